/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a group's folders are, by layout; the paths that a plan may name; parents that come and go with the group.
 *
 * A parent that we made carries an extended attribute, so that whichever process removes the group, after whatever
 * crash, removes the empty parents that are ours and no others: those of an engine or an administrator stay. (systemd
 * marks
 * its groups the same way.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"

static const char *const marks[] = { "trusted.bivalve.made", "user.bivalve.made" }; /* root's; v2 also: anybody's */

static const struct {
	const char *v1, *v2;
} names[CGROUP_HIERARCHIES] = {
	[CGROUP_MEMORY] = { "memory", "memory" },
	[CGROUP_CPU] = { "cpu", "cpu" },
	[CGROUP_CPUACCT] = { "cpuacct", NULL },
	[CGROUP_PIDS] = { "pids", "pids" },
	[CGROUP_FREEZER] = { "freezer", NULL },
	[CGROUP_CPUSET] = { "cpuset", "cpuset" },
	[CGROUP_DEVICES] = { "devices", NULL },
	[CGROUP_BLKIO] = { "blkio", "io" },
	[CGROUP_HUGETLB] = { "hugetlb", "hugetlb" },
	[CGROUP_NET_CLS] = { "net_cls", NULL },
	[CGROUP_NET_PRIO] = { "net_prio", NULL },
	[CGROUP_RDMA] = { "rdma", "rdma" },
};

const char *cgroup_controller_name(const struct cgroup_host *host, enum cgroup_hierarchy h)
{
	return host->layout == CGROUP_V2 ? names[h].v2 : names[h].v1;
}

enum cgroup_hierarchy cgroup_controller_hierarchy(const char *name, size_t len)
{
	unsigned h = 0;

	while (h < CGROUP_HIERARCHIES &&
		!(names[h].v2 && strlen(names[h].v2) == len && !strncmp(names[h].v2, name, len)))
		h++;
	return (enum cgroup_hierarchy)h;
}

bool cgroup_has(const struct cgroup_host *host, enum cgroup_hierarchy h)
{
	char path[CGROUP_ROOT_MAX + 16];

	switch (h) {
	case CGROUP_MEMORY:
		return host->memory;
	case CGROUP_CPU:
		return host->cpu;
	case CGROUP_PIDS:
		return host->pids;
	case CGROUP_FREEZER:
		return host->freezer;
	case CGROUP_DEVICES:
		if (host->layout == CGROUP_V2)
			return cgroup_devices_able(host);
		break;
	default:
		break;
	}
	if (host->others & 1u << h)
		return true;
	if (host->layout == CGROUP_V2 || host->layout == CGROUP_NONE || !host->roots[h][0])
		return false;
	(void)snprintf(path, sizeof path, "%s/cgroup.procs", host->roots[h]); /* fits */
	return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

bool cgroup_dir_in(const struct cgroup_host *host, const char *path, enum cgroup_hierarchy h, char dir[CGROUP_DIR_MAX])
{
	if (host->layout == CGROUP_V2)
		h = CGROUP_UNIFIED;
	else if (h == CGROUP_UNIFIED) /* on hybrid hosts the v2 hierarchy has no controller that we use */
		return false;
	return host->roots[h][0] && snprintf(dir, CGROUP_DIR_MAX, "%s/%s", host->roots[h], path) < CGROUP_DIR_MAX;
}

bool cgroup_next_dir(const struct cgroup_host *host, const char *path, unsigned *at, char dir[CGROUP_DIR_MAX])
{
	while (*at < CGROUP_HIERARCHIES) {
		unsigned h = (*at)++;
		bool seen = host->layout == CGROUP_V2 && h != CGROUP_UNIFIED;

		for (unsigned i = 0; i < h && !seen; i++)
			seen = !strcmp(host->roots[i], host->roots[h]);
		if (!seen && cgroup_dir_in(host, path, (enum cgroup_hierarchy)h, dir))
			return true;
	}
	return false;
}

int cgroup_first_dir(const struct cgroup_host *host, const char *path, char dir[CGROUP_DIR_MAX])
{
	unsigned at = 0;

	while (cgroup_next_dir(host, path, &at, dir))
		if (access(dir, F_OK) == 0)
			return 0;
	return -ENOENT;
}

int cgroup_read(const char *dir, const char *file, char **ret)
{
	char name[CGROUP_DIR_MAX + 64];

	if (snprintf(name, sizeof name, "%s/%s", dir, file) >= (int)sizeof name)
		return -ENAMETOOLONG;
	return file_read_at(AT_FDCWD, name, 1 << 20, ret, NULL, NULL);
}

uint64_t cgroup_read_u64(const char *dir, const char *file)
{
	_cleanup_free_ char *text = NULL;

	if (cgroup_read(dir, file, &text) < 0)
		return 0;
	return !strncmp(text, "max", 3) || text[0] == '-' ? UINT64_MAX : strtoull(text, NULL, 10);
}

uint64_t cgroup_find_u64(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!strncmp(line, key, len) && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
	return 0;
}

int cgroup_path_check(const char *path, struct error *err)
{
	size_t len = path ? strlen(path) : 0;

	if (len == 0 || len > CGROUP_PATH_MAX - 128) /* room for a delegated group before it */
		return error_set(err, EINVAL, "cgroup: %s", len ? "too long" : "empty");
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return error_set(err, EINVAL, "cgroup: an unprintable character");
	for (const char *part = path;; part += strcspn(part, "/") + 1) {
		size_t n = strcspn(part, "/");

		if ((n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.') || n > 255)
			return error_set(err, EINVAL, "cgroup: %s: a component is \".\", \"..\" or too long", path);
		if (!part[n])
			return path[strspn(path, "/")] ? 0
						       : error_set(err, EINVAL, "cgroup: %s: the root itself", path);
	}
}

char *cgroup_path_of(const struct cgroup_host *host, const struct plan *plan, struct error *err)
{
	_cleanup_strbuf_ struct strbuf b = { 0 };
	const char *rest = plan->cgroup;
	size_t n;

	if (host->base[0])
		strbuf_puts(&b, host->base);
	if (!rest || !*rest) {
		strbuf_printf(&b, "%sbivalve-%s", b.len ? "/" : "", plan->id);
		return steal_ptr(b.text);
	}
	if (cgroup_path_check(rest, err) < 0)
		return NULL;
	for (; *(rest += strspn(rest, "/")); rest += n) { /* one slash where there are several, none at the end */
		n = strcspn(rest, "/");
		if (b.len)
			strbuf_puts(&b, "/");
		strbuf_add(&b, rest, n);
	}
	return steal_ptr(b.text);
}

/* "a-b.slice" as its parents and itself: a.slice/a-b.slice. False: not a slice's name. */
static bool add_slices(struct strbuf *b, const char *slice, size_t len)
{
	static const char end[] = ".slice";
	size_t stem = len - (sizeof end - 1);

	if (len <= sizeof end - 1 || memcmp(slice + stem, end, sizeof end - 1) || memchr(slice, '/', len))
		return false;
	if (stem == 1 && slice[0] == '-') /* the root */
		return true;
	if (slice[0] == '-' || slice[stem - 1] == '-')
		return false;
	for (size_t i = 1; i <= stem; i++)
		if (i == stem || slice[i] == '-') {
			if (slice[i - 1] == '-')
				return false;
			strbuf_add(b, slice, i);
			strbuf_printf(b, "%s/", end);
		}
	return true;
}

char *cgroup_systemd_path(const char *text, struct error *err)
{
	_cleanup_strbuf_ struct strbuf b = { 0 };
	const char *prefix = strchr(text, ':'), *name = prefix ? strchr(prefix + 1, ':') : NULL;
	const char *slice = prefix == text ? "system.slice" : text;
	size_t len = prefix == text ? strlen(slice) : prefix ? (size_t)(prefix - text) : 0, n;

	if (!name || !name[1] || strchr(name + 1, ':') || strchr(prefix, '/') || !add_slices(&b, slice, len)) {
		(void)error_set(err, EINVAL, "cgroup: %s: not of the form slice:prefix:name", text);
		return NULL;
	}
	n = strlen(++name);
	if (n > 6 && !strcmp(name + n - 6, ".slice")) {
		if (!add_slices(&b, name, n)) {
			(void)error_set(err, EINVAL, "cgroup: %s: not a slice's name", name);
			return NULL;
		}
		b.text[--b.len] = '\0';
	} else {
		if (name - prefix > 2) {
			strbuf_add(&b, prefix + 1, (size_t)(name - prefix) - 2);
			strbuf_puts(&b, "-");
		}
		strbuf_printf(&b, "%s.scope", name);
	}
	return cgroup_path_check(b.text, err) < 0 ? NULL : steal_ptr(b.text);
}

int cgroup_make_parents(const char *path, const char *dir, struct error *err)
{
	char copy[CGROUP_DIR_MAX];
	size_t begin = strlen(dir) - strlen(path);

	(void)snprintf(copy, sizeof copy, "%s", dir); /* fits */
	for (char *slash = copy + begin; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0) {
			if (errno != EEXIST)
				return error_sys(err, "cannot make the control group %s", copy);
			continue;
		}
		/* None can be set: then it stays when the group goes. */
		for (size_t i = 0; i < ARRAY_LEN(marks) && setxattr(copy, marks[i], "1", 1, 0) < 0; i++)
			;
	}
	return 0;
}

void cgroup_remove_parents(const char *path, const char *dir)
{
	char copy[CGROUP_DIR_MAX];
	size_t begin = strlen(dir) - strlen(path);
	char *slash;

	(void)snprintf(copy, sizeof copy, "%s", dir); /* fits */
	while ((slash = strrchr(copy + begin, '/'))) {
		bool ours = false;
		char value;

		*slash = '\0';
		for (size_t i = 0; i < ARRAY_LEN(marks) && !ours; i++)
			ours = getxattr(copy, marks[i], &value, 1) == 1;
		if (!ours || rmdir(copy) < 0) /* others are in it still */
			return;
	}
}
