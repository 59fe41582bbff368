/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what was watched to a policy.
 *
 * The policy extends the one that the run was under and only takes away: all calls that were not made are denied, those
 * that have kinds (socket, ioctl, prctl) are cut down to the kinds that were seen, files and ports to those that were
 * used. So it can never allow what its base denies, and what the base denied in the run it denies in the same way.
 *
 * Paths are generalised where the next run has others: /proc and /dev/pts by number, a folder in which something was
 * made or removed, a folder of which very many files were used, and what is temporary.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "policies/enforce/seccomp.h"
#include "policies/enforce/syscall_names.h"
#include "policies/syscall_groups.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"
#include "runtime/launch/learn.h"

enum { MANY_FILES = 24, MAX_KINDS = 512 };

/* Calls whose first int says what kind of call it is, and in which argument. */
static const struct kinded {
	int nr;
	unsigned argument;
	const char *what;
} kinded[] = {
	{ SYS_socket, 0, "family" }, { SYS_ioctl, 1, "request" }, { SYS_prctl, 0, "option" },
};
enum { KINDED = 3 };

/* Signals, ends and starts are not made by every run that may need them. */
static const int always[] = { SYS_execve, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_restart_syscall };

struct kind {
	size_t of;               /* index of kinded */
	uint32_t value;
	int error;               /* 0: allowed */
};

enum { READ, WRITE, EXECUTE, LIST, PATHS };

struct learnt {
	bool called[SYSCALL_LAST + 1], denied[SYSCALL_LAST + 1];
	struct kind kinds[MAX_KINDS];
	size_t n_kinds;
	char **paths[PATHS];
	char **made;             /* what was not there before the run */
	char **connects, **binds; /* ports */
};

struct learnt *learnt_new(void)
{
	return xcalloc(1, sizeof(struct learnt));
}

void learnt_free(struct learnt *l)
{
	for (size_t i = 0; l && i < PATHS; i++)
		strv_free(l->paths[i]);
	if (l) {
		strv_free(l->made);
		strv_free(l->connects);
		strv_free(l->binds);
	}
	free(l);
}

/* ---- gathering ---- */

static bool has(char *const *list, const char *text)
{
	strv_foreach(item, list)
		if (!strcmp(item, text))
			return true;
	return false;
}

static void add(char ***list, const char *text)
{
	if (!has(*list, text))
		strv_push(list, xstrdup(text));
}

/* Where names change from run to run, the folder that holds them. */
static const char *generalise(const char *path)
{
	static const char *const folders[] = { "/proc", "/sys", "/dev/pts", "/dev/shm", "/tmp", "/var/tmp" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (path_beneath(path, folders[i]))
			return folders[i];
	return path;
}

/* Where the path will be found by a rule when the next run starts: what this one made is not there then. */
static char *place_of(const struct learnt *l, const char *path)
{
	char *place = xstrdup(generalise(path));

	while (has(l->made, place)) {
		char *slash = strrchr(place, '/');

		slash[slash == place] = '\0';
	}
	return place;
}

static void add_place(struct learnt *l, int list, const char *path)
{
	_cleanup_free_ char *place = place_of(l, path);

	add(&l->paths[list], place);
}

/* The folder of an entry that was made or removed. */
static void add_folder(struct learnt *l, int list, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = xstrndup(path, slash > path ? (size_t)(slash - path) : 1);

	add_place(l, list, folder);
}

static void hear_path(struct learnt *l, const struct watch_event *e)
{
	static const char gone[] = " (deleted)";
	static const struct {
		uint32_t access;
		int list;
	} wanted[] = { { WATCH_READ, READ }, { WATCH_LIST, LIST }, { WATCH_EXECUTE, EXECUTE }, { WATCH_WRITE, WRITE } };
	size_t len = strlen(e->path);
	bool exists = e->exists || path_beneath(e->path, "/proc"); /* "self" is another one for who looks it up */

	if (e->path[0] != '/' || !e->access || len + 1 >= sizeof e->path)
		return;
	if (len >= sizeof gone && !strcmp(e->path + len - (sizeof gone - 1), gone))
		return;
	if (e->access & (WATCH_MAKE | WATCH_REMOVE))
		add_folder(l, WRITE, e->path);
	if (!exists && e->access & WATCH_MAKE) {
		if (e->access & WATCH_READ)
			add_folder(l, READ, e->path);
		add(&l->made, e->path);
	}
	for (size_t i = 0; exists && i < ARRAY_LEN(wanted); i++)
		if (e->access & wanted[i].access)
			add_place(l, wanted[i].list, e->path);
}

static void hear_address(struct learnt *l, const struct watch_event *e)
{
	const char *colon = strrchr(e->address, ':');

	if (!*e->address || !colon || !strncmp(e->address, "unix:", 5) || !strncmp(e->address, "family ", 7))
		return;
	add(e->nr == SYS_bind ? &l->binds : &l->connects, colon + 1);
}

static bool hear_kind(struct learnt *l, const struct watch_event *e)
{
	for (size_t i = 0; i < KINDED; i++) {
		struct kind kind = { .of = i };

		if (kinded[i].nr != e->nr)
			continue;
		kind.value = (uint32_t)e->args[kinded[i].argument];
		kind.error = e->action == WATCH_DENIED ? e->error : 0;
		for (size_t k = 0; k < l->n_kinds; k++)
			if (l->kinds[k].of == i && l->kinds[k].value == kind.value)
				return true;
		if (l->n_kinds < MAX_KINDS)
			l->kinds[l->n_kinds++] = kind;
		return true;
	}
	return false;
}

void learnt_hear(void *arg, const struct watch_event *e)
{
	struct learnt *l = arg;

	if (e->arch != SECCOMP_NATIVE_ARCH || e->nr < 0 || e->nr > SYSCALL_LAST || e->action == WATCH_KILLED)
		return;
	if (hear_kind(l, e) || e->action != WATCH_DENIED)
		l->called[e->nr] = true;
	else
		l->denied[e->nr] = true;
	if (e->action == WATCH_DENIED)
		return;
	hear_path(l, e);
	hear_address(l, e);
}

/* ---- fewer paths ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, without what lies beneath another one. */
static void settle(char ***list)
{
	char **left = NULL;

	if (*list)
		qsort(*list, strv_len(*list), sizeof **list, compare_texts);
	strv_foreach(path, *list) {
		bool covered = false;

		strv_foreach(kept, left)
			covered = covered || path_beneath(path, kept);
		if (!covered)
			strv_push(&left, xstrdup(path));
	}
	strv_free(*list);
	*list = left;
}

/* Very many files of one folder become the folder. */
static void gather_folders(char ***list)
{
	char **folders = NULL;

	strv_foreach(path, *list) {
		const char *slash = strrchr(path, '/');
		_cleanup_free_ char *folder = slash > path ? xstrndup(path, (size_t)(slash - path)) : NULL;
		size_t n = 0;

		if (!folder || has(folders, folder))
			continue;
		strv_foreach(other, *list)
			n += path_beneath(other, folder) && !strchr(other + strlen(folder) + 1, '/');
		if (n > MANY_FILES)
			strv_push(&folders, xstrdup(folder));
	}
	strv_foreach(folder, folders)
		add(list, folder);
	strv_free(folders);
	settle(list);
}

/* ---- the document ---- */

static void put_names(struct json_writer *w, const char *key, char *const *names)
{
	json_begin_array(w, key);
	strv_foreach(name, names)
		json_put_string(w, NULL, name);
	json_end(w);
}

static void put_ports(struct json_writer *w, const char *key, char *const *ports)
{
	json_begin_array(w, key);
	strv_foreach(port, ports)
		json_put_uint(w, NULL, strtoull(port, NULL, 10));
	json_end(w);
}

static void put_landlock(struct json_writer *w, struct learnt *l, bool network)
{
	static const char *const keys[] = { [READ] = "read", [WRITE] = "write", [EXECUTE] = "execute",
		[LIST] = "list" };

	json_begin_object(w, "landlock");
	json_put_bool(w, "best_effort", network); /* ports need a newer kernel than Debian 12's guest has */
	for (size_t i = 0; i < PATHS; i++) {
		settle(&l->paths[i]);
		gather_folders(&l->paths[i]);
		put_names(w, keys[i], l->paths[i]);
	}
	if (network) {
		put_ports(w, "connect_tcp", l->connects);
		put_ports(w, "bind_tcp", l->binds);
	}
	json_end(w);
}

static bool is_always(int nr)
{
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (always[i] == nr)
			return true;
	return false;
}

/* The calls that were made, or denied, or that every run may come to make. */
static char **names_of(const struct learnt *l, bool denied)
{
	char **names = NULL, name[64];

	for (int nr = 0; nr <= SYSCALL_LAST; nr++)
		if (denied ? l->denied[nr] && !l->called[nr] : l->called[nr] || is_always(nr))
			strv_push(&names, xstrdup(syscall_name(nr, name, sizeof name)));
	return names;
}

static void begin_rule(struct json_writer *w, const char *comment)
{
	json_begin_object(w, NULL);
	json_put_string(w, "comment", comment);
}

static void put_kind(struct json_writer *w, const struct kind *k)
{
	char name[64], comment[128], value[16];

	(void)syscall_name(kinded[k->of].nr, name, sizeof name);
	(void)snprintf(value, sizeof value, "0x%x", k->value); /* fits */
	(void)snprintf(comment, sizeof comment, "%s of this %s%s", name, kinded[k->of].what,
			k->error ? " was denied in the run" : ""); /* fits */
	begin_rule(w, comment);
	json_begin_array(w, "syscalls");
	json_put_string(w, NULL, name);
	json_end(w);
	json_begin_array(w, "arguments");
	json_begin_object(w, NULL);
	json_put_uint(w, "index", kinded[k->of].argument);
	json_put_string(w, "op", "masked_eq");
	json_put_string(w, "value", "0xffffffff");
	json_put_string(w, "value_two", value);
	json_end(w);
	json_end(w);
	json_put_string(w, "action", k->error ? "errno" : "allow");
	if (k->error)
		json_put_uint(w, "errno", (uint64_t)k->error);
	json_end(w);
}

static void put_kinds(struct json_writer *w, const struct learnt *l)
{
	for (size_t i = 0; i < KINDED; i++) {
		char name[64];

		if (!l->called[kinded[i].nr])
			continue;
		begin_rule(w, "of these calls, only the kinds below: what stood before is forgotten");
		json_begin_array(w, "syscalls");
		json_put_string(w, NULL, syscall_name(kinded[i].nr, name, sizeof name));
		json_end(w);
		json_put_string(w, "action", "default");
		json_end(w);
		for (size_t k = 0; k < l->n_kinds; k++)
			if (l->kinds[k].of == i)
				put_kind(w, &l->kinds[k]);
	}
}

static void put_seccomp(struct json_writer *w, const struct learnt *l, const struct policy *base)
{
	_cleanup_strv_ char **made = names_of(l, false), **denied = names_of(l, true);
	bool list = base->seccomp_off || base->seccomp.default_action != SECCOMP_ERRNO;

	strv_foreach(name, denied)
		strv_push(&made, xstrdup(name));
	json_begin_object(w, "seccomp");
	if (list) {
		json_put_string(w, "default", "errno");
		json_put_string(w, "errno", "ENOSYS");
		json_begin_array(w, "rules");
		begin_rule(w, "the calls of the run; all others fail");
		put_names(w, "syscalls", made);
		json_put_string(w, "action", "allow");
		json_end(w);
	} else {
		json_begin_object(w, "rules");
		json_begin_array(w, "add");
		begin_rule(w, "all calls but those of the run (excepted: what is extended decides on them)");
		json_begin_array(w, "syscalls");
		json_put_string(w, NULL, "@all");
		json_end(w);
		put_names(w, "except", made);
		json_put_string(w, "action", "errno");
		json_put_string(w, "errno", "EPERM");
		json_end(w);
	}
	put_kinds(w, l);
	json_end(w);
	if (!list)
		json_end(w);
	json_end(w);
}

static char *describe(const struct plan *plan, const struct report *report)
{
	struct strbuf b = { 0 };
	char day[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(day, sizeof day, "%Y-%m-%d", &tm); /* fits */
	strbuf_printf(&b, "learnt on %s in the %s shell from", day, plan->backend);
	strv_foreach(word, plan->process.argv)
		strbuf_printf(&b, " %s", word);
	if (report->exit_code)
		strbuf_printf(&b, " (which ended with status %lld)", (long long)report->exit_code);
	return b.text;
}

/* Whether it wrote to what is neither a mount of the plan nor of every container. */
static bool wrote_root(const struct learnt *l, const struct plan *plan)
{
	strv_foreach(path, l->paths[WRITE]) {
		bool mounted = path_beneath(path, "/dev") || path_beneath(path, "/proc") || path_beneath(path, "/sys");

		for (size_t i = 0; i < plan->n_mounts; i++)
			mounted = mounted || path_beneath(path, plan->mounts[i].destination);
		if (!mounted)
			return true;
	}
	return false;
}

/* A file is found from wherever the new one lies. */
static void put_extends(struct json_writer *w, const char *policy)
{
	_cleanup_free_ char *real = strchr(policy, '/') || strchr(policy, '.') ? realpath(policy, NULL) : NULL;

	json_put_string(w, "extends", real ? real : policy);
}

char *learnt_document(struct learnt *l, const struct policy *base, const struct plan *plan, const struct report *report,
		bool writable)
{
	static const char *const networks[] = { "none", "host", "user" };
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *description = describe(plan, report);
	bool network = plan->network != NETWORK_NONE;

	json_begin_object(w, NULL);
	json_put_uint(w, "version", 1);
	json_put_string(w, "description", description);
	put_extends(w, plan->policy);
	json_put_bool(w, "no_new_privs", true);
	if (plan->network != base->network && (size_t)plan->network < ARRAY_LEN(networks))
		json_put_string(w, "network", networks[plan->network]);
	if (writable && wrote_root(l, plan)) {
		json_begin_object(w, "root");
		json_put_bool(w, "read_only", false);
		json_put_uint(w, "upper", plan->root.upper_bytes);
		json_end(w);
	}
	put_landlock(w, l, network);
	put_seccomp(w, l, base);
	json_end(w);
	return json_writer_finish(w, NULL);
}
