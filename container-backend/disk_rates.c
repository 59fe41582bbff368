/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From rates to devices. The kernel limits whole disks, so a partition stands for its disk; a file system in memory has
 * no rate to limit. One that is on a disk that cannot be told (several disks, a network) is refused rather than passed
 * over.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "container-backend/disk_rates.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

struct devices {
	dev_t *items;
	size_t n;
};

static void add_once(struct devices *d, dev_t device)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i] == device)
			return;
	d->items = xreallocarray(d->items, d->n + 1, sizeof *d->items);
	d->items[d->n++] = device;
}

static bool wanted(const struct plan_resources *res)
{
	return res->disk_read_bytes || res->disk_write_bytes || res->disk_read_ops || res->disk_write_ops;
}

/* The disk that a partition is of, else the device itself. */
static dev_t whole_disk(dev_t device)
{
	_cleanup_free_ char *partition = xasprintf("/sys/dev/block/%u:%u/partition", major(device), minor(device));
	_cleanup_free_ char *disk = xasprintf("/sys/dev/block/%u:%u/../dev", major(device), minor(device));
	_cleanup_free_ char *text = NULL;
	unsigned major_number, minor_number;

	if (access(partition, F_OK) < 0 || file_read_at(AT_FDCWD, disk, 64, &text, NULL, NULL) < 0 ||
			sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
		return device;
	return makedev(major_number, minor_number);
}

static int add_path(struct devices *d, const char *path, struct error *err)
{
	struct statfs fs;
	struct stat st;

	if (stat(path, &st) < 0 || statfs(path, &fs) < 0)
		return error_sys(err, "resources.io: %s", path);
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC || fs.f_type == PROC_SUPER_MAGIC ||
			fs.f_type == SYSFS_MAGIC)
		return 0;
	if (major(st.st_dev) == 0)
		return error_set(err, EOPNOTSUPP, "resources.io: %s: its file system is on no one disk that could have "
				"a rate; --best-effort goes on without", path);
	add_once(d, whole_disk(st.st_dev));
	return 0;
}

static int find_devices(const struct plan *plan, dev_t scratch, struct devices *ret, struct error *err)
{
	int r = 0;

	*ret = (struct devices){ 0 };
	strv_foreach(lower, plan->root.lowers)
		if (r == 0)
			r = add_path(ret, lower, err);
	if (r == 0 && plan->root.path)
		r = add_path(ret, plan->root.path, err);
	for (size_t i = 0; r == 0 && i < plan->n_mounts; i++)
		if (plan->mounts[i].source && plan->mounts[i].source[0] == '/')
			r = add_path(ret, plan->mounts[i].source, err);
	if (r == 0 && scratch)
		add_once(ret, scratch);
	if (r == 0 && ret->n == 0 && !plan->root.scratch)
		r = error_set(err, EOPNOTSUPP, "resources.io: nothing that the workload sees is on a disk of "
				"this host");
	return r;
}

int disk_rates_check(const struct plan *plan, const struct cgroup_host *host, struct error *err)
{
	const struct plan_resources *res = &plan->resources;
	struct devices devices;
	int r;

	if (!wanted(res))
		return 0;
	if (!cgroup_has(host, CGROUP_BLKIO))
		return error_set(err, EOPNOTSUPP, "resources.io: cannot be limited: no %s control group that this user "
				"may write to (cgroup layout: %s); --best-effort goes on without",
				host->layout == CGROUP_V2 ? "io" : "blkio", cgroup_layout_name(host->layout));
	r = find_devices(plan, 0, &devices, err);
	free(devices.items);
	return r;
}

static void add_rate(struct plan_device_rate **list, size_t *n, const struct devices *d, uint64_t rate)
{
	size_t more = rate ? d->n : 0;
	/* a copy: the plan's own list is const */
	struct plan_device_rate *longer = xcalloc(*n + more + 1, sizeof *longer);

	if (*n)
		memcpy(longer, *list, *n * sizeof *longer);
	for (size_t i = 0; i < more; i++)
		longer[(*n)++] = (struct plan_device_rate){ .major = major(d->items[i]), .minor = minor(d->items[i]),
			.rate = rate };
	*list = longer;
}

int disk_rates_name(const struct plan *plan, bool in_guest, dev_t scratch, struct plan_resources *ret,
		struct error *err)
{
	struct devices devices = { 0 };
	int r = in_guest || !wanted(&plan->resources) ? 0 : find_devices(plan, scratch, &devices, err);

	*ret = plan->resources;
	add_rate(&ret->io_read_bytes, &ret->n_io_read_bytes, &devices, ret->disk_read_bytes);
	add_rate(&ret->io_write_bytes, &ret->n_io_write_bytes, &devices, ret->disk_write_bytes);
	add_rate(&ret->io_read_ops, &ret->n_io_read_ops, &devices, ret->disk_read_ops);
	add_rate(&ret->io_write_ops, &ret->n_io_write_ops, &devices, ret->disk_write_ops);
	free(devices.items);
	return r;
}

void disk_rates_release(struct plan_resources *named)
{
	free(named->io_read_bytes);
	free(named->io_write_bytes);
	free(named->io_read_ops);
	free(named->io_write_ops);
}
