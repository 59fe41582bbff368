/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_CGROUP_LAYOUT_H
#define BIVALVE_ENFORCE_CGROUP_LAYOUT_H

#include "policies/enforce/cgroup.h"

/* What the parts of cgroup_*.c share, and the unit tests look at; nobody else includes it. */
enum { CGROUP_DIR_MAX = CGROUP_ROOT_MAX + CGROUP_PATH_MAX + 2, CGROUP_DEPTH_MAX = 32 };

/* The kernel's name of the controller on this layout; NULL: it has none. */
const char *cgroup_controller_name(const struct cgroup_host *host, enum cgroup_hierarchy h);
/* The hierarchy of a controller by v2's name; CGROUP_HIERARCHIES: unknown. */
enum cgroup_hierarchy cgroup_controller_hierarchy(const char *name, size_t len);
/* The folder of a group in one hierarchy (v2: in the only one). False: not on this host. */
bool cgroup_dir_in(const struct cgroup_host *host, const char *path, enum cgroup_hierarchy h, char dir[CGROUP_DIR_MAX]);
/* The folders of a group, each once: co-mounted v1 controllers share one. *at begins with 0. False: that was all. */
bool cgroup_next_dir(const struct cgroup_host *host, const char *path, unsigned *at, char dir[CGROUP_DIR_MAX]);
/* The first folder of a group that exists: the one whose cgroup.procs tells who is in it. 0 or -ENOENT. */
int cgroup_first_dir(const struct cgroup_host *host, const char *path, char dir[CGROUP_DIR_MAX]);
/* Whether list, separated by any of delimiters, has the word. */
bool cgroup_has_word(const char *list, const char *word, const char *delimiters);
/* A file of a group's folder, at most 1 MiB, or its first number; -errno / 0 when it is not there. */
int cgroup_read(const char *dir, const char *file, char **ret);
uint64_t cgroup_read_u64(const char *dir, const char *file); /* "max": UINT64_MAX */
/* The number behind `key ` at the beginning of a line; 0 if there is none. */
uint64_t cgroup_find_u64(const char *text, const char *key);

/* Makes the missing parents of the group in dir, whose last components path is, and marks them as ours. */
int cgroup_make_parents(const char *path, const char *dir, struct error *err);
/* Removes the parents that were marked so and are empty. */
void cgroup_remove_parents(const char *path, const char *dir);
/* v1: makes the group in one more hierarchy and moves every process of it there. Already there: nothing. */
int cgroup_extend(const struct cgroup_host *host, const char *path, enum cgroup_hierarchy h, struct error *err);
/* v2: lets the group have the controllers (bits of hierarchies): enables them in all its parents. */
int cgroup_enable(const struct cgroup_host *host, const char *path, unsigned controllers, unsigned needed,
		struct error *err);

/* One write to one file. */
struct cgroup_setting {
	enum cgroup_hierarchy hierarchy;
	const char *field;        /* of the plan's resources */
	char *file, *value;
	char *other_file, *other_value; /* where file is not there; NULL: then that is an error */
	char *reset;              /* keyed: what undoes a line that was not there before */
	bool keyed;               /* one line of many, found by its first word */
	bool unlimited;           /* takes a limit away: needless in a new group, or without the controller */
	bool verify;              /* some kernels take it and do nothing */
};
struct cgroup_settings {
	struct cgroup_setting *items;
	size_t n;
	unsigned hierarchies;     /* those in which a limit binds */
};
/* What is to be written, in the order that suits most; res passed cgroup_check(). */
void cgroup_settings_fill(
	const struct cgroup_host *host, const struct plan_resources *res, struct cgroup_settings *ret);
void cgroup_settings_release(struct cgroup_settings *s);
/* Writes them. Not fresh: what was there before is put back when one fails. */
int cgroup_settings_apply(const struct cgroup_host *host, const char *path, const struct cgroup_settings *s, bool fresh,
		struct error *err);

/* Whether rules for devices can be left out because this user could not make or open such nodes anyway. */
bool cgroup_devices_needless(const struct plan_resources *res);
bool cgroup_devices_able(const struct cgroup_host *host);
int cgroup_devices_check(const struct plan_resources *res, struct error *err);
int cgroup_devices_apply(const struct cgroup_host *host, const char *path, const struct plan_resources *res,
		struct error *err);
/* The eBPF program of the rules (struct bpf_insn[]; the caller's) and its length. */
struct bpf_insn;
struct bpf_insn *cgroup_devices_program(const struct plan_resources *res, size_t *ret_n);

/* Calls act for each process of the group and below, until it returns non-zero, which is returned. */
int cgroup_each_process(const char *dir, int (*act)(pid_t pid, void *arg), void *arg);

#endif
