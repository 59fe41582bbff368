/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What control groups this host offers: by the usual places under /sys/fs/cgroup, else by /proc/self/mountinfo, which
 * takes longer the more is mounted.
 *
 * By file and not by libcgroup: its cgroup_init() takes half a millisecond (it fills tables of several hundred KiB),
 * and every launch probes, whether or not it makes a group.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

static const char usual_root[] = "/sys/fs/cgroup";

/* v1 controllers by their mount option. */
static const struct {
	const char *option;
	enum cgroup_hierarchy hierarchy;
} controllers[] = {
	{ "memory", CGROUP_MEMORY }, { "cpu", CGROUP_CPU }, { "cpuacct", CGROUP_CPUACCT }, { "pids", CGROUP_PIDS },
	{ "freezer", CGROUP_FREEZER }, { "cpuset", CGROUP_CPUSET }, { "devices", CGROUP_DEVICES },
	{ "blkio", CGROUP_BLKIO }, { "hugetlb", CGROUP_HUGETLB }, { "net_cls", CGROUP_NET_CLS },
	{ "net_prio", CGROUP_NET_PRIO }, { "rdma", CGROUP_RDMA },
};
enum { ALWAYS_LOOKED_AT = 5 }; /* the first rows; the rest when a plan asks for them: cgroup_has() */

/* Asked of the kernel: a read-only mount, or root of a user namespace only, may not write. */
static void set_root(struct cgroup_host *host, enum cgroup_hierarchy h, const char *root)
{
	if (!host->roots[h][0] && strlen(root) < CGROUP_ROOT_MAX && faccessat(AT_FDCWD, root, W_OK, AT_EACCESS) == 0)
		(void)snprintf(host->roots[h], CGROUP_ROOT_MAX, "%s", root); /* fits */
}

bool cgroup_has_word(const char *list, const char *word, const char *delimiters)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n = strcspn(list, delimiters);

		if (n == len && !strncmp(list, word, len))
			return true;
		list += n + (list[n] != '\0');
	}
	return false;
}

/* One line: "36 35 98:0 /group /mount/point opts [optional…] - type source super-options". Cut up in place. */
static void read_mount(struct cgroup_host *host, char *line, bool *v1, bool *v2)
{
	char *fields[5], *type = strstr(line, " - "), *options, *rest = line;

	if (!type || strncmp(type + 3, "cgroup", 6))
		return;
	*type = '\0';
	type += 3;
	options = strrchr(type, ' ');
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		fields[i] = strsep(&rest, " ");
	if (!options || !fields[4] || strcmp(fields[3], "/")) /* part of a hierarchy only: not the root that we name */
		return;
	if (!strncmp(type, "cgroup2 ", 8)) {
		*v2 = true;
		set_root(host, CGROUP_UNIFIED, fields[4]);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (cgroup_has_word(options + 1, controllers[i].option, ",")) {
			*v1 = true;
			set_root(host, controllers[i].hierarchy, fields[4]);
		}
}

/* Whether this process may make groups in the folder, and let them have controllers. */
static bool is_delegated(const char *dir)
{
	char name[CGROUP_ROOT_MAX * 2 + 32];

	(void)snprintf(name, sizeof name, "%s/cgroup.subtree_control", dir); /* fits */
	return faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) == 0 && faccessat(AT_FDCWD, name, W_OK, AT_EACCESS) == 0;
}

/*
 * Of an ordinary user: the topmost group above ours that is his, as systemd delegates user@.service. Not our own group
 * first: processes live in it, so it could pass no controllers on.
 */
static void probe_delegated(struct cgroup_host *host)
{
	_cleanup_free_ char *text = NULL;
	char dir[CGROUP_ROOT_MAX * 2], *own, *end;
	size_t root = strlen(usual_root);

	if (file_read_at(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL, NULL) < 0 ||
			!(own = !strncmp(text, "0::/", 4) ? text : strstr(text, "\n0::/")))
		return;
	own = strchr(own, '/') + 1;
	*strchrnul(own, '\n') = '\0';
	if (!*own || strlen(own) >= CGROUP_ROOT_MAX)
		return;
	for (end = strchrnul(own, '/');; end = strchrnul(end + 1, '/')) { /* from the top */
		(void)snprintf(dir, sizeof dir, "%s/%.*s", usual_root, (int)(end - own), own); /* fits */
		if (is_delegated(dir))
			break;
		if (!*end)
			return;
	}
	memcpy(host->roots[CGROUP_UNIFIED], usual_root, root + 1);
	(void)snprintf(host->base, sizeof host->base, "%.*s", (int)(end - own), own); /* fits */
}

static void probe_v2(struct cgroup_host *host)
{
	_cleanup_free_ char *path = NULL, *list = NULL;
	struct statfs fs;

	if (!host->roots[CGROUP_UNIFIED][0] && statfs(usual_root, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		probe_delegated(host);
	path = xasprintf("%s/%s/cgroup.controllers", host->roots[CGROUP_UNIFIED], host->base);

	if (!host->roots[CGROUP_UNIFIED][0] || file_read_at(AT_FDCWD, path, 4096, &list, NULL, NULL) < 0)
		return;
	for (unsigned h = CGROUP_CPUSET; h < CGROUP_HIERARCHIES; h++)
		if (cgroup_controller_name(host, h) && cgroup_has_word(list, cgroup_controller_name(host, h), " \n"))
			host->others |= 1u << h;
	host->memory = cgroup_has_word(list, "memory", " \n");
	host->cpu = cgroup_has_word(list, "cpu", " \n");
	host->pids = cgroup_has_word(list, "pids", " \n");
	host->freezer = true; /* cgroup.freeze: part of every group since Linux 5.2 */
	host->swap = host->memory && access("/proc/swaps", F_OK) == 0;
}

static void probe_v1(struct cgroup_host *host)
{
	_cleanup_free_ char *memsw = xasprintf("%s/memory.memsw.limit_in_bytes", host->roots[CGROUP_MEMORY]);

	host->memory = host->roots[CGROUP_MEMORY][0];
	host->cpu = host->roots[CGROUP_CPU][0];
	host->pids = host->roots[CGROUP_PIDS][0];
	host->freezer = host->roots[CGROUP_FREEZER][0];
	host->swap = host->memory && access(memsw, F_OK) == 0;
}

/* By the places where everybody mounts them. False: something is not there; this host may do it otherwise. */
static bool probe_usual(struct cgroup_host *host, bool *v1, bool *v2)
{
	fsid_t devices[CGROUP_HIERARCHIES] = { 0 }; /* of the file system, that is of the hierarchy */
	struct statfs fs;
	bool all = true;
	char path[64];

	if (statfs(usual_root, &fs) < 0)
		return false;
	if (fs.f_type == CGROUP2_SUPER_MAGIC) {
		*v2 = true;
		set_root(host, CGROUP_UNIFIED, usual_root);
		return true;
	}
	for (size_t i = ALWAYS_LOOKED_AT; i < ARRAY_LEN(controllers); i++)
		(void)snprintf(host->roots[controllers[i].hierarchy], CGROUP_ROOT_MAX, "%s/%s", usual_root,
				controllers[i].option); /* fits */
	for (size_t i = 0; i < ALWAYS_LOOKED_AT; i++) {
		enum cgroup_hierarchy h = controllers[i].hierarchy;

		(void)snprintf(path, sizeof path, "%s/%s", usual_root, controllers[i].option); /* fits */
		if (statfs(path, &fs) < 0 || fs.f_type != CGROUP_SUPER_MAGIC) {
			all = false;
			continue;
		}
		*v1 = true;
		devices[h] = fs.f_fsid;
		/* "cpu" and "cpuacct" may be links to one place. */
		for (unsigned j = 0; j < h && !host->roots[h][0]; j++)
			if (host->roots[j][0] && !memcmp(&devices[j], &devices[h], sizeof devices[h]))
				memcpy(host->roots[h], host->roots[j], CGROUP_ROOT_MAX);
		set_root(host, h, path);
	}
	(void)snprintf(path, sizeof path, "%s/unified", usual_root); /* fits */
	*v2 = statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
	return all;
}

static void probe_mounts(struct cgroup_host *host, bool *v1, bool *v2)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (file_read_at(AT_FDCWD, "/proc/self/mountinfo", 4 << 20, &text, NULL, NULL) < 0)
		return;
	rest = text;
	while ((line = strsep(&rest, "\n")))
		read_mount(host, line, v1, v2);
}

void cgroup_probe(struct cgroup_host *ret)
{
	bool v1 = false, v2 = false;

	*ret = (struct cgroup_host){ .layout = CGROUP_NONE };
	if (!probe_usual(ret, &v1, &v2))
		probe_mounts(ret, &v1, &v2);
	ret->layout = v1 ? v2 ? CGROUP_HYBRID : CGROUP_V1 : v2 ? CGROUP_V2 : CGROUP_NONE;
	if (v1)
		probe_v1(ret);
	else if (v2)
		probe_v2(ret);
}

const char *cgroup_layout_name(enum cgroup_layout layout)
{
	static const char *const names[] = { "none", "v1", "hybrid", "v2" };

	return layout >= CGROUP_NONE && layout <= CGROUP_V2 ? names[layout] : "unknown";
}

bool cgroup_usable(const struct cgroup_host *host)
{
	return host->memory || host->cpu || host->pids;
}
