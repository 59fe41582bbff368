/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the plan's mounts may be, asked before anything is made: types, options, sources, and above all places. What
 * kind each is, and whose task its source is, follows from the same words.
 *
 * Onto procfs go only a few files, by name: anything else could replace what later steps and the workload trust.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/mount_kinds.h"
#include "container-backend/mount_options.h"
#include "container-backend/mounts.h"
#include "runtime/base/alloc.h"

enum { MAX_MOUNTS = 1024, MAX_TYPE = 64 };

/* Types that a plan of our own making has; a bundle may have any of the kernel's. Flags: unless the words say no. */
static const struct {
	const char *type;
	unsigned long flags;
} types[] = {
	{ "bind", 0 },
	{ "tmpfs", 0 },
	{ "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "devpts", MS_NOSUID | MS_NOEXEC },
	{ "overlay", 0 },
	{ "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "cgroup", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

/* The only names on procfs that may be covered: files that lxcfs and the like emulate. */
static const char *const proc_files[] = {
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
	"/proc/sys/crypto/fips_enabled",
};

bool mount_is_type(const struct plan_mount *m, const char *type)
{
	return m->type && !strcmp(m->type, type);
}

bool mount_is_cgroup(const struct plan_mount *m)
{
	return mount_is_type(m, "cgroup");
}

bool mount_is_bind(const struct plan_mount *m, const struct mount_options *o)
{
	return mount_is_type(m, "bind") || (o->bind && !o->remount);
}

unsigned long mount_default_flags(const struct plan *plan, const struct plan_mount *m)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!plan->mounts_exact && mount_is_type(m, types[i].type))
			return types[i].flags;
	return 0;
}

static bool is_idmapped(const struct plan_mount *m, const struct mount_options *o)
{
	return o->idmap || m->n_uid_maps || m->n_gid_maps;
}

static int check_type(const struct plan_mount *m, bool exact, struct error *err)
{
	size_t n = m->type ? strlen(m->type) : 0;

	if (n == 0 || n >= MAX_TYPE || !strcmp(m->type, "none"))
		return error_set(err, EINVAL, "type: unknown: %.64s", m->type ? m->type : "none");
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)m->type[i]) && !strchr("._-", m->type[i]))
			return error_set(err, EINVAL, "type: unknown: %s", m->type);
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strcmp(m->type, types[i].type))
			return 0;
	return exact ? 0 : error_set(err, EINVAL, "type: unknown: %s", m->type);
}

static int check_destination(const struct plan_mount *m, bool bind, bool exact, struct error *err)
{
	_cleanup_free_ char *path = m->destination ? place_clean(m->destination) : NULL;

	if (!path || !m->destination[0] || strlen(path) >= PATH_MAX ||
			(!exact && (m->destination[0] != '/' || strstr(m->destination, "/../"))))
		return error_set(err, EINVAL, "destination: not a plain absolute path: %s",
				m->destination ? m->destination : "none");
	if (!strcmp(path, "/"))
		return error_set(err, EINVAL, "destination: /: the root itself cannot be mounted over");
	if (!place_within(path, "/proc"))
		return 0;
	if (!strcmp(path, "/proc"))
		return bind || mount_is_type(m, "proc") ? 0 :
			error_set(err, EPERM, "destination: /proc: only a procfs may be there, not %s", m->type);
	for (size_t i = 0; i < ARRAY_LEN(proc_files); i++)
		if (bind && !strcmp(path, proc_files[i]))
			return 0;
	return error_set(err, EPERM, "destination: %s: nothing may be mounted inside /proc", path);
}

static int check_idmap(const struct plan *plan, const struct plan_mount *m, const struct mount_options *o, bool bind,
		struct error *err)
{
	if (!is_idmapped(m, o))
		return 0;
	if (!bind && !plan_is_overlay(plan, m))
		return error_set(err, EINVAL, "options: idmap: only for bind mounts");
	if (!m->n_uid_maps != !m->n_gid_maps)
		return error_set(err, EINVAL, "%s: missing: an idmapped mount needs both maps",
				m->n_uid_maps ? "gid_maps" : "uid_maps");
	if (!m->n_uid_maps && !plan_has_userns(plan))
		return error_set(err, EINVAL, "options: idmap: neither the mount nor the container has id maps");
	if (geteuid() != 0)
		return error_set(err, EPERM, "options: idmap: takes root");
	return 0;
}

static int check_source(const struct plan_mount *m, const struct mount_options *o, struct error *err)
{
	struct stat st;

	if (o->data[0])
		return error_set(err, EINVAL, "options: not for a bind mount: %s", o->data);
	if (!m->source || m->source[0] != '/')
		return error_set(err, EINVAL, "source: not absolute: %s", m->source ? m->source : "none");
	/* A link to nowhere is a source if it is the link that is wanted. */
	if (fstatat(AT_FDCWD, m->source, &st, o->copy_symlink || o->source_nofollow ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return error_sys(err, "source: %s", m->source);
	return 0;
}

static int check_mount(const struct plan *plan, const struct plan_mount *m, struct error *err)
{
	struct mount_options options;
	bool bind;
	int r;

	if (mount_options_parse(m->options, 0, &options, err) < 0)
		return error_prefix(err, "options");
	bind = mount_is_bind(m, &options);
	r = bind ? 0 : check_type(m, plan->mounts_exact, err);
	if (r == 0)
		r = check_destination(m, bind, plan->mounts_exact, err);
	if (r == 0)
		r = check_idmap(plan, m, &options, bind, err);
	if (r == 0 && (bind || plan_is_overlay(plan, m)))
		r = check_source(m, &options, err);
	if (r == 0 && plan_is_overlay(plan, m) && !plan->root.empty)
		r = error_set(err, EINVAL, "type: overlay: only in an empty root (root.empty)");
	if (r == 0 && options.remount && !plan->mounts_exact)
		r = error_set(err, EINVAL, "options: remount: there is nothing mounted yet");
	if (r == 0 && options.copy_up && !mount_is_type(m, "tmpfs"))
		r = error_set(err, EINVAL, "options: tmpcopyup: only for tmpfs");
	mount_options_release(&options);
	return r;
}

int mounts_check(const struct plan *plan, struct error *err)
{
	if (plan->n_mounts > MAX_MOUNTS)
		return error_set(err, E2BIG, "mounts: %zu are more than %d", plan->n_mounts, MAX_MOUNTS);
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (check_mount(plan, &plan->mounts[i], err) < 0)
			return error_prefix(err, "mounts[%zu]", i);
	if (plan->root.propagation && !mount_propagation(plan->root.propagation))
		return error_set(err, EINVAL, "root.propagation: unknown: %s", plan->root.propagation);
	if (plan->mount_label && access("/sys/fs/selinux", F_OK) < 0)
		return error_set(err, EOPNOTSUPP, "mount_label: this host has no SELinux");
	return 0;
}

bool mounts_need_cgroup(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (mount_is_cgroup(&plan->mounts[i]))
			return true;
	return false;
}

/* Whether nothing of the plan is to follow or feed the host's mounts. */
static bool is_all_private(const struct plan *plan)
{
	const unsigned long linked = MS_SLAVE | MS_SHARED;

	if (plan->root.propagation && mount_propagation(plan->root.propagation) & linked)
		return false;
	for (size_t i = 0; i < plan->n_mounts; i++)
		strv_foreach(word, plan->mounts[i].options)
			if (mount_propagation(word) & linked)
				return false;
	return true;
}

bool mounts_is_given(const struct plan *plan, size_t i, bool by_root)
{
	const struct plan_mount *m = &plan->mounts[i];
	bool idmap = m->n_uid_maps || m->n_gid_maps, bind = mount_is_type(m, "bind"), other = false;

	strv_foreach(word, m->options) {
		idmap |= !strcmp(word, "idmap") || !strcmp(word, "ridmap");
		bind |= !strcmp(word, "bind") || !strcmp(word, "rbind");
		other |= !strcmp(word, "remount") || !strcmp(word, "copy-symlink");
	}
	return idmap || (by_root && bind && !other && plan_has_userns(plan) && is_all_private(plan));
}

size_t mounts_count_given(const struct plan *plan, bool by_root)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_mounts; i++)
		n += mounts_is_given(plan, i, by_root);
	return n;
}
