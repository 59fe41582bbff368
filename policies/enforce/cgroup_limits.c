/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of a plan as writes to the files of a group: one function a controller and layout says which. What may be
 * asked for is in cgroup_check.c, the writing in cgroup_apply.c.
 *
 * When a resource is added: a row here, its range in ranges[] or its layout in refused[] of cgroup_check.c, its file in
 * the manual page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"

static struct cgroup_setting *add(struct cgroup_settings *s, enum cgroup_hierarchy h, const char *field, char *file,
		char *value)
{
	struct cgroup_setting *one;

	s->items = xreallocarray(s->items, s->n + 1, sizeof *s->items);
	one = &s->items[s->n++];
	*one = (struct cgroup_setting){ .hierarchy = h, .field = field, .file = file, .value = value };
	return one;
}

static struct cgroup_setting *add_number(struct cgroup_settings *s, enum cgroup_hierarchy h, const char *field,
		const char *file, uint64_t value)
{
	return add(s, h, field, xstrdup(file), xasprintf("%ju", (uintmax_t)value));
}

/* A limit in bytes and the like: 0 is not set, UINT64_MAX is the file's word for "none". */
static struct cgroup_setting *add_limit(struct cgroup_settings *s, enum cgroup_hierarchy h, const char *field,
		const char *file, uint64_t value, const char *none)
{
	struct cgroup_setting *one;

	if (!value)
		return NULL;
	if (value != UINT64_MAX)
		return add_number(s, h, field, file, value);
	one = add(s, h, field, xstrdup(file), xstrdup(none));
	one->unlimited = true;
	return one;
}

static void add_text(struct cgroup_settings *s, enum cgroup_hierarchy h, const char *field, const char *file,
		const char *text)
{
	if (text && *text)
		(void)add(s, h, field, xstrdup(file), xstrdup(text));
}

static uint64_t period_of(const struct plan_resources *res)
{
	return res->cpu_period_us ? res->cpu_period_us : 100000;
}

static void memory_v1(const struct cgroup_host *host, const struct plan_resources *res, struct cgroup_settings *s)
{
	uint64_t swap = res->memory_swap_bytes ? res->memory_swap_bytes : host->swap ? res->memory_bytes : 0;
	struct cgroup_setting *one;

	(void)add_limit(s, CGROUP_MEMORY, "memory_bytes", "memory.limit_in_bytes", res->memory_bytes, "-1");
	if (host->swap || swap != UINT64_MAX)
		(void)add_limit(s, CGROUP_MEMORY, res->memory_swap_bytes ? "memory_swap_bytes" : "memory_bytes",
				"memory.memsw.limit_in_bytes", swap, "-1");
	(void)add_limit(s, CGROUP_MEMORY, "memory_reservation_bytes", "memory.soft_limit_in_bytes",
			res->memory_reservation_bytes, "-1");
	one = add_limit(s, CGROUP_MEMORY, "memory_kernel_bytes", "memory.kmem.limit_in_bytes", res->memory_kernel_bytes,
			"-1");
	if (one)
		one->verify = true; /* newer kernels take it and count nothing */
	(void)add_limit(s, CGROUP_MEMORY, "memory_kernel_tcp_bytes", "memory.kmem.tcp.limit_in_bytes",
			res->memory_kernel_tcp_bytes, "-1");
	if (res->memory_swappiness_set)
		(void)add_number(s, CGROUP_MEMORY, "memory_swappiness", "memory.swappiness", res->memory_swappiness);
	if (res->memory_oom_kill_off)
		(void)add_number(s, CGROUP_MEMORY, "memory_oom_kill_off", "memory.oom_control", 1);
}

static void memory_v2(const struct cgroup_host *host, const struct plan_resources *res, struct cgroup_settings *s)
{
	uint64_t swap = res->memory_swap_bytes;

	(void)add_limit(s, CGROUP_MEMORY, "memory_bytes", "memory.max", res->memory_bytes, "max");
	(void)add_limit(
		s, CGROUP_MEMORY, "memory_reservation_bytes", "memory.low", res->memory_reservation_bytes, "max");
	if (swap == UINT64_MAX) {
		if (host->swap)
			(void)add_limit(s, CGROUP_MEMORY, "memory_swap_bytes", "memory.swap.max", swap, "max");
	} else if (swap) /* v2 limits swap alone */
		(void)add_number(s, CGROUP_MEMORY, "memory_swap_bytes", "memory.swap.max", swap - res->memory_bytes);
	else if (res->memory_bytes && host->swap)
		(void)(res->memory_bytes == UINT64_MAX ?
				add_limit(s, CGROUP_MEMORY, "memory_bytes", "memory.swap.max", UINT64_MAX, "max") :
				add_number(s, CGROUP_MEMORY, "memory_bytes", "memory.swap.max", 0));
}

static void cpu_v1(const struct plan_resources *res, struct cgroup_settings *s)
{
	/* Weight 100 and 1024 shares are the two defaults; 2 is the least. */
	uint64_t shares = res->cpu_shares ? res->cpu_shares : res->cpu_weight * 1024 / 100;

	if (shares || res->cpu_weight)
		(void)add_number(s, CGROUP_CPU, res->cpu_shares ? "cpu_shares" : "cpu_weight", "cpu.shares",
				shares < 2 ? 2 : shares);
	if ((res->cpu_quota_us && res->cpu_quota_us != UINT64_MAX) || res->cpu_period_us)
		(void)add_number(s, CGROUP_CPU, res->cpu_period_us ? "cpu_period_us" : "cpu_quota_us",
			"cpu.cfs_period_us", period_of(res));
	(void)add_limit(s, CGROUP_CPU, "cpu_quota_us", "cpu.cfs_quota_us", res->cpu_quota_us, "-1");
	(void)add_limit(s, CGROUP_CPU, "cpu_burst_us", "cpu.cfs_burst_us", res->cpu_burst_us, "0");
	(void)add_limit(s, CGROUP_CPU, "cpu_realtime_period_us", "cpu.rt_period_us", res->cpu_realtime_period_us, "-1");
	if (res->cpu_realtime_runtime_us)
		(void)add(s, CGROUP_CPU, "cpu_realtime_runtime_us", xstrdup("cpu.rt_runtime_us"),
				xasprintf("%jd", (intmax_t)res->cpu_realtime_runtime_us));
}

static void cpu_v2(const struct plan_resources *res, struct cgroup_settings *s)
{
	if (res->cpu_weight)
		(void)add_number(s, CGROUP_CPU, "cpu_weight", "cpu.weight", res->cpu_weight);
	else if (res->cpu_shares) /* the linear map of 2 … 262144 to 1 … 10000 that runc and crun use */
		(void)add_number(s, CGROUP_CPU, "cpu_shares", "cpu.weight",
				res->cpu_shares < 2 ? 1 : 1 + (res->cpu_shares - 2) * 9999 / 262142);
	if (res->cpu_quota_us && res->cpu_quota_us != UINT64_MAX)
		(void)add(s, CGROUP_CPU, "cpu_quota_us", xstrdup("cpu.max"), xasprintf("%ju %ju",
				(uintmax_t)res->cpu_quota_us, (uintmax_t)period_of(res)));
	else if (res->cpu_quota_us || res->cpu_period_us)
		add(s, CGROUP_CPU, "cpu_quota_us", xstrdup("cpu.max"),
				xasprintf("max %ju", (uintmax_t)period_of(res)))->unlimited = !res->cpu_period_us;
	(void)add_limit(s, CGROUP_CPU, "cpu_burst_us", "cpu.max.burst", res->cpu_burst_us, "0");
}

static void cpu_both(const struct plan_resources *res, struct cgroup_settings *s)
{
	if (res->cpu_idle)
		(void)add(s, CGROUP_CPU, "cpu_idle", xstrdup("cpu.idle"), xasprintf("%jd", (intmax_t)res->cpu_idle));
	add_text(s, CGROUP_CPUSET, "cpu_set", "cpuset.cpus", res->cpu_set);
	add_text(s, CGROUP_CPUSET, "memory_nodes", "cpuset.mems", res->memory_nodes);
}

/* What plan.h calls io_weights: a weight per device, in the file of whichever scheduler is there. */
static void add_device_weight(struct cgroup_settings *s, bool v2, const struct plan_device_rate *d, const char *word,
		const char *other, uint64_t rate)
{
	struct cgroup_setting *one;
	uint64_t weight = v2 ? 1 + (rate - 10) * 9999 / 990 : rate;

	if (!rate)
		return;
	one = add(s, CGROUP_BLKIO, "io_weights", xstrdup(v2 ? "io.bfq.weight" : word),
			xasprintf("%ju:%ju %ju", (uintmax_t)d->major, (uintmax_t)d->minor, (uintmax_t)rate));
	one->keyed = true;
	one->reset = xasprintf("%ju:%ju default", (uintmax_t)d->major, (uintmax_t)d->minor);
	one->other_file = xstrdup(v2 ? "io.weight" : other);
	one->other_value = xasprintf("%ju:%ju %ju", (uintmax_t)d->major, (uintmax_t)d->minor, (uintmax_t)weight);
}

static void add_weights(struct cgroup_settings *s, bool v2, const struct plan_resources *res)
{
	struct cgroup_setting *one;

	if (res->io_weight) {
		one = add_number(
			s, CGROUP_BLKIO, "io_weight", v2 ? "io.bfq.weight" : "blkio.bfq.weight", res->io_weight);
		one->other_file = xstrdup(v2 ? "io.weight" : "blkio.weight");
		one->other_value = xasprintf("%ju", (uintmax_t)(v2 ? 1 + (res->io_weight - 10) * 9999 / 990
						: res->io_weight));
	}
	if (res->io_leaf_weight)
		(void)add_number(s, CGROUP_BLKIO, "io_leaf_weight", "blkio.leaf_weight", res->io_leaf_weight);
	for (size_t i = 0; i < res->n_io_weights; i++) {
		const struct plan_device_rate *d = &res->io_weights[i];

		add_device_weight(s, v2, d, "blkio.bfq.weight_device", "blkio.weight_device", d->rate);
		if (!v2)
			add_device_weight(
				s, v2, d, "blkio.leaf_weight_device", "blkio.leaf_weight_device", d->leaf_rate);
	}
}

static void add_rates(struct cgroup_settings *s, bool v2, const struct plan_resources *res)
{
	const struct {
		const struct plan_device_rate *list;
		size_t n;
		const char *field, *file, *word;
	} all[] = {
		{ res->io_read_bytes, res->n_io_read_bytes, "io_read_bytes", "blkio.throttle.read_bps_device",
			"rbps" },
		{ res->io_write_bytes, res->n_io_write_bytes, "io_write_bytes", "blkio.throttle.write_bps_device",
			"wbps" },
		{ res->io_read_ops, res->n_io_read_ops, "io_read_ops", "blkio.throttle.read_iops_device", "riops" },
		{ res->io_write_ops, res->n_io_write_ops, "io_write_ops", "blkio.throttle.write_iops_device",
			"wiops" },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t j = 0; j < all[i].n; j++) {
			const struct plan_device_rate *d = &all[i].list[j];
			_cleanup_free_ char *key = xasprintf("%ju:%ju", (uintmax_t)d->major, (uintmax_t)d->minor);
			char rate[32];
			struct cgroup_setting *one;

			(void)snprintf(rate, sizeof rate, "%ju", (uintmax_t)d->rate); /* fits */
			one = v2 ? add(s, CGROUP_BLKIO, all[i].field, xstrdup("io.max"), xasprintf("%s %s=%s", key,
					all[i].word, d->rate ? rate : "max")) :
				add(s, CGROUP_BLKIO, all[i].field, xstrdup(all[i].file), xasprintf("%s %s", key, rate));
			one->keyed = true;
			one->reset = v2 ? xasprintf("%s %s=max", key, all[i].word) : xasprintf("%s 0", key);
		}
}

static void rdma_word(char *text, size_t size, uint64_t value)
{
	(void)snprintf(text, size, value == UINT64_MAX ? "max" : "%ju", (uintmax_t)value); /* fits */
}

static void add_others(struct cgroup_settings *s, bool v2, const struct plan_resources *res)
{
	for (size_t i = 0; i < res->n_hugepages; i++) {
		const struct plan_hugepage_limit *h = &res->hugepages[i];

		(void)add(s, CGROUP_HUGETLB, "hugepages", xasprintf("hugetlb.%s.%s", h->page_size,
				v2 ? "max" : "limit_in_bytes"), xasprintf("%ju", (uintmax_t)h->bytes));
	}
	for (size_t i = 0; i < res->n_rdma; i++) {
		struct cgroup_setting *one;
		char handles[24], objects[24];

		rdma_word(handles, sizeof handles, res->rdma[i].handles);
		rdma_word(objects, sizeof objects, res->rdma[i].objects);
		one = add(s, CGROUP_RDMA, "rdma", xstrdup("rdma.max"), xasprintf("%s hca_handle=%s hca_object=%s",
				res->rdma[i].device, handles, objects));
		one->keyed = true;
		one->reset = xasprintf("%s hca_handle=max hca_object=max", res->rdma[i].device);
	}
	if (res->net_class)
		(void)add_number(s, CGROUP_NET_CLS, "net_class", "net_cls.classid", res->net_class);
	for (size_t i = 0; i < res->n_net_priorities; i++) {
		struct cgroup_setting *one = add(s, CGROUP_NET_PRIO, "net_priorities", xstrdup("net_prio.ifpriomap"),
				xasprintf("%s %ju", res->net_priorities[i].interface,
						(uintmax_t)res->net_priorities[i].priority));

		one->keyed = true;
		one->reset = xasprintf("%s 0", res->net_priorities[i].interface);
	}
	for (size_t i = 0; i < res->n_unified; i++) {
		const char *key = res->unified[i].key;

		(void)add(s, cgroup_controller_hierarchy(key, strcspn(key, ".")), "unified", xstrdup(key),
				xstrdup(res->unified[i].value));
	}
}

void cgroup_settings_fill(const struct cgroup_host *host, const struct plan_resources *res, struct cgroup_settings *ret)
{
	bool v2 = host->layout == CGROUP_V2;

	*ret = (struct cgroup_settings){ 0 };
	if (v2)
		memory_v2(host, res, ret);
	else
		memory_v1(host, res, ret);
	if (res->pids)
		(void)add_limit(ret, CGROUP_PIDS, "pids", "pids.max", res->pids, "max");
	else if (res->pids_unlimited)
		(void)add_limit(ret, CGROUP_PIDS, "pids", "pids.max", UINT64_MAX, "max");
	if (v2)
		cpu_v2(res, ret);
	else
		cpu_v1(res, ret);
	cpu_both(res, ret);
	add_weights(ret, v2, res);
	add_rates(ret, v2, res);
	add_others(ret, v2, res);
	for (size_t i = 0; i < ret->n; i++)
		if (!ret->items[i].unlimited && ret->items[i].hierarchy < CGROUP_HIERARCHIES)
			ret->hierarchies |= 1u << ret->items[i].hierarchy;
}

void cgroup_settings_release(struct cgroup_settings *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct cgroup_setting *one = &s->items[i];

		free(one->file);
		free(one->value);
		free(one->other_file);
		free(one->other_value);
		free(one->reset);
	}
	free(s->items);
	*s = (struct cgroup_settings){ 0 };
}
