/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_TEMPLATE_H
#define BIVALVE_VM_TEMPLATE_H

#include "runtime/base/record.h"
#include "runtime/base/strbuf.h"
#include "runtime/model/plan.h"
#include "vm-backend/engine.h"
#include "vm-backend/state_file.h"

/*
 * Templates: machines that were saved when their guest had prepared a workload that had not begun. In
 * <store>/templates/<name>/, closed to other users:
 *
 *      state    a state file (state_file.h): STATE_MANIFEST, a struct template as JSON; STATE_ENGINE; STATE_PLAN,
 *               what kind of plan its prepared workload can become
 *      ram      the guest's memory
 *
 * A template fits a machine when all of struct template_key is equal. Kernel, initramfs and disk are known by their
 * files' inode, size and time: stricter than what is in them, and quick. The name is a hash of the key, so there is one
 * template for each.
 *
 * The RAM file is known by its inode, size and time of last change, which nobody can set: what was written to since it
 * was made, by a broken machine that has it open or by accident, is refused.
 */
struct template_key {
	char *engine, *identity; /* vm_engine.name, vm_engine.identity */
	char *kernel, *initramfs, *disk; /* paths and what they were */
	char *command_line;
	char *devices;           /* which, in order */
	uint64_t memory_bytes, vcpus;
	uint64_t agent_version;
};

struct template {
	uint64_t format;         /* TEMPLATE_FORMAT */
	char *name;
	struct template_key key;
	char *image, *image_digest, *kernel_name;
	uint64_t created_ns;     /* wall clock */
	uint64_t boot_us;        /* from its start to the guest's first word */
	char *ram;               /* what the file was */
	uint64_t ram_bytes;      /* on the disk */
	uint64_t state_bytes;
};
extern const struct record_type template_type;

enum { TEMPLATE_FORMAT = 2 };
#define TEMPLATE_STATE "state"
#define TEMPLATE_RAM   "ram"

/*
 * The key of a machine. -EOPNOTSUPP, naming what, for one that cannot be saved: host directories and, unless it is a
 * running instance with its disk (by_content), disks that can be written.
 */
int template_key_of(const struct vm_config *config, const struct vm_engine *engine, bool by_content,
		struct template_key *ret, struct error *err);
/* Appends the names of the fields in which they differ; returns how many these are. */
size_t template_key_differences(const struct template_key *a, const struct template_key *b, struct strbuf *ret);
/* Its name, owned by the caller. */
char *template_name_of(const struct template_key *key);
void template_key_release(struct template_key *key);

/* A template that is open to be gone on from. */
struct template_use {
	struct template template;
	struct state_file file;
	char *ram_path;
	char *shape;             /* agent_plan_text of what was prepared in it; NULL: nothing */
	struct vm_restore restore; /* borrows from the above */
};

/*
 * The template of this folder (plan.vm.templates) that fits the machine, whole and unchanged. -ENOENT: there is none;
 * or why that one cannot be used. Released by template_use_release in any case.
 */
int template_find(const char *templates, const struct vm_config *config, const struct vm_engine *engine,
		struct template_use *ret, struct error *err);
/* Whether its prepared workload can become the plan's. */
bool template_prepared_for(const struct template_use *use, const struct plan *plan);
void template_use_release(struct template_use *use);

/*
 * All templates by name; whether each is whole (err has why not, for the last that is not). Free with
 * template_list_free.
 */
int template_list(const char *templates, struct template **ret, size_t *ret_n, struct error *err);
void template_list_free(struct template *list, size_t n);
/* Reads one by name. -ENOENT with advice. */
int template_load(const char *templates, const char *name, struct template *ret, struct error *err);
int template_remove(const char *templates, const char *name, struct error *err);

/* "PATH INODE SIZE TIME" of a file, owned by the caller; with changed, also when its inode last changed. NULL: none. */
char *template_file_identity(const char *path, bool changed);

#endif
