/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of a plan as writes to the files of a group: one function a controller and layout says which, one loop
 * writes them.
 *
 * Theory of operation. The kernel checks some limits against each other (memory against memory and swap, quota against
 * period and burst, a cpuset against its parent), so whether an order is right depends on what was set before. We need
 * not know: a write that is refused with EINVAL or EBUSY is tried again after the others, as long as one more
 * succeeds in
 * each round. A change is all or nothing: what each file said is kept, and put back from the last to the first.
 *
 * When a resource is added: a row here, its range in ranges[] or its layout in refused[], its file in the manual page.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum { MAX_LIST = 1024 };

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

static bool swap_in_use(void)
{
	_cleanup_free_ char *text = NULL;
	char *line;

	if (file_read_at(AT_FDCWD, "/proc/swaps", 65536, &text, NULL, NULL) < 0)
		return false;
	line = strchr(text, '\n'); /* the heading */
	return line && line[1];
}

static int check_ranges(const struct plan_resources *res, struct error *err)
{
	const struct {
		uint64_t value, min, max;
		const char *field;
	} ranges[] = {
		{ res->cpu_quota_us == UINT64_MAX ? 0 : res->cpu_quota_us, 1000, INT64_MAX, "cpu_quota_us" },
		{ res->cpu_period_us, 1000, 1000000, "cpu_period_us" },
		{ res->cpu_weight, 1, 10000, "cpu_weight" },
		{ res->cpu_shares, 1, 262144, "cpu_shares" },
		{ res->memory_swappiness_set ? res->memory_swappiness : 0, 0, 100, "memory_swappiness" },
		{ (uint64_t)res->cpu_idle, 0, 1, "cpu_idle" },
		{ res->io_weight, 10, 1000, "io_weight" },
		{ res->io_leaf_weight, 10, 1000, "io_leaf_weight" },
		{ res->net_class, 0, UINT32_MAX, "net_class" },
	};
	uint64_t swap = res->memory_swap_bytes;

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (ranges[i].value && (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max))
			return error_set(err, EINVAL, "resources.%s: %ju: %ju to %ju", ranges[i].field,
					(uintmax_t)ranges[i].value, (uintmax_t)ranges[i].min, (uintmax_t)ranges[i].max);
	for (size_t i = 0; i < res->n_io_weights; i++)
		if ((res->io_weights[i].rate && (res->io_weights[i].rate < 10 || res->io_weights[i].rate > 1000)) ||
				res->io_weights[i].leaf_rate > 1000)
			return error_set(err, EINVAL, "resources.io_weights[%zu]: 10 to 1000", i);
	if (swap && swap != UINT64_MAX && !res->memory_bytes)
		return error_set(err, EINVAL, "resources.memory_swap_bytes: a limit needs resources.memory_bytes too");
	if (swap && swap < res->memory_bytes)
		return error_set(err, EINVAL, "resources.memory_swap_bytes: %ju: memory and swap together: at least "
				"resources.memory_bytes (%ju)", (uintmax_t)swap, (uintmax_t)res->memory_bytes);
	return 0;
}

/* A word that becomes part of a file's name or of a line: only what such words are made of. */
static bool plain(const char *word, const char *allowed, size_t max)
{
	size_t n = word ? strlen(word) : 0;

	return n > 0 && n <= max && strspn(word, allowed) == n;
}

static int check_words(const struct plan_resources *res, struct error *err)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:@";
	const struct {
		const char *text, *field;
	} sets[] = { { res->cpu_set, "cpu_set" }, { res->memory_nodes, "memory_nodes" } };

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		if (sets[i].text && *sets[i].text && !plain(sets[i].text, "0123456789,- \n", 4095))
			return error_set(err, EINVAL, "resources.%s: not a list of numbers", sets[i].field);
	if (res->n_hugepages > MAX_LIST || res->n_rdma > MAX_LIST || res->n_net_priorities > MAX_LIST ||
			res->n_unified > MAX_LIST)
		return error_set(err, EINVAL, "resources: a list of more than %d entries", MAX_LIST);
	for (size_t i = 0; i < res->n_hugepages; i++)
		if (!plain(res->hugepages[i].page_size, "0123456789KMGTB", 16))
			return error_set(err, EINVAL, "resources.hugepages[%zu].page_size: not a size", i);
	for (size_t i = 0; i < res->n_rdma; i++)
		if (!plain(res->rdma[i].device, name, 64))
			return error_set(err, EINVAL, "resources.rdma[%zu].device: not a name", i);
	for (size_t i = 0; i < res->n_net_priorities; i++)
		if (!plain(res->net_priorities[i].interface, name, 15))
			return error_set(err, EINVAL, "resources.net_priorities[%zu].interface: not a name", i);
	for (size_t i = 0; i < res->n_unified; i++)
		if (!plain(res->unified[i].key, name, 128) || !strchr(res->unified[i].key, '.') ||
				res->unified[i].key[0] == '.' || !res->unified[i].value)
			return error_set(err, EINVAL, "resources.unified[%zu]: %s: not a file of a control group", i,
					plain(res->unified[i].key, name, 128) ? res->unified[i].key : "key");
	return 0;
}

/* What only the other layout can do. */
static int check_layout(const struct cgroup_host *host, const struct plan_resources *res, struct error *err)
{
	bool leaf = res->io_leaf_weight > 0;
	bool v2 = host->layout == CGROUP_V2;

	for (size_t i = 0; i < res->n_io_weights; i++)
		leaf |= res->io_weights[i].leaf_rate > 0;
	const struct {
		bool asked, v2_only;
		const char *field;
	} refused[] = {
		{ res->memory_kernel_bytes && res->memory_kernel_bytes != UINT64_MAX, false, "memory_kernel_bytes" },
		{ res->memory_kernel_tcp_bytes && res->memory_kernel_tcp_bytes != UINT64_MAX, false,
			"memory_kernel_tcp_bytes" },
		{ res->memory_swappiness_set, false, "memory_swappiness" },
		{ res->memory_oom_kill_off, false, "memory_oom_kill_off" },
		{ res->cpu_realtime_runtime_us != 0, false, "cpu_realtime_runtime_us" },
		{ res->cpu_realtime_period_us, false, "cpu_realtime_period_us" },
		{ leaf, false, "io_leaf_weight" },
		{ res->net_class, false, "net_class" },
		{ res->n_net_priorities, false, "net_priorities" },
		{ res->n_unified, true, "unified" },
	};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (refused[i].asked && refused[i].v2_only != v2)
			return error_set(err, EOPNOTSUPP,
				"resources.%s: cannot be set: only control groups %s have it, and "
				"this host's are %s",
				refused[i].field, v2 ? "v1" : "v2", cgroup_layout_name(host->layout));
	return 0;
}

static int check_controllers(const struct cgroup_host *host, const struct plan_resources *res, struct error *err)
{
	_cleanup_(cgroup_settings_release) struct cgroup_settings s;

	cgroup_settings_fill(host, res, &s);
	for (unsigned h = 0; h < CGROUP_HIERARCHIES && s.hierarchies; h++) {
		size_t i = 0;

		if (!(s.hierarchies & 1u << h) || cgroup_has(host, (enum cgroup_hierarchy)h))
			continue;
		while (s.items[i].hierarchy != h || s.items[i].unlimited)
			i++;
		return error_set(err, EOPNOTSUPP,
			"resources.%s: cannot be limited: no %s control group that this user "
			"may write to (cgroup layout: %s)",
			s.items[i].field, cgroup_controller_name(host, (enum cgroup_hierarchy)h),
			cgroup_layout_name(host->layout));
	}
	return 0;
}

int cgroup_check(const struct cgroup_host *host, const struct plan_resources *res, struct error *err)
{
	int r = check_ranges(res, err);

	if (r == 0)
		r = check_words(res, err);
	if (r == 0)
		r = check_layout(host, res, err);
	if (r == 0)
		r = cgroup_devices_check(res, err);
	if (r == 0)
		r = check_controllers(host, res, err);
	if (r < 0)
		return r;
	if (res->memory_bytes && res->memory_bytes != UINT64_MAX && res->memory_swap_bytes != UINT64_MAX &&
		!host->swap && swap_in_use())
		return error_set(err, EOPNOTSUPP, "resources.memory_bytes: this host swaps, but its kernel does not "
				"count swap per control group: boot with swapaccount=1 or turn swap off");
	return 0;
}

/* The line of a file with many that begins with the same word as value; NULL: none. The caller's. */
static char *line_of(const char *text, const char *value)
{
	size_t len = strcspn(value, " ");

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, value, len) && line[len] == ' ')
			return xstrndup(line, strcspn(line, "\n"));
	return NULL;
}

/* What undoes the writing of s: NULL if nothing can be known. */
static char *undo_of(const char *dir, const struct cgroup_setting *s, const char *file)
{
	_cleanup_free_ char *text = NULL;
	char *line;

	if (cgroup_read(dir, file, &text) < 0)
		return NULL;
	if (s->keyed) {
		line = line_of(text, s->value);
		return line ? line : xstrdup(s->reset);
	}
	if (!strcmp(file, "memory.oom_control"))
		return xstrdup(strstr(text, "oom_kill_disable 1") ? "1" : "0");
	line = !strncmp(text, "default ", 8) ? text + 8 : text;
	return *line && *line != '\n' ? xstrndup(line, strcspn(line, "\n")) : xstrdup("\n"); /* an empty cpuset */
}

static int write_file(const char *dir, const char *file, const char *value)
{
	char name[CGROUP_DIR_MAX + 160];

	if (snprintf(name, sizeof name, "%s/%s", dir, file) >= (int)sizeof name)
		return -ENAMETOOLONG;
	return file_write_once(AT_FDCWD, name, value);
}

static int write_setting(
	const char *dir, const struct cgroup_setting *s, bool fresh, char **ret_undo, const char **ret_file)
{
	char *undo = fresh ? NULL : undo_of(dir, s, s->file);
	int r = write_file(dir, s->file, s->value);

	*ret_file = s->file;
	if (r == -ENOENT && s->other_file) {
		*ret_file = s->other_file;
		free(undo);
		undo = fresh ? NULL : undo_of(dir, s, s->other_file);
		r = write_file(dir, s->other_file, s->other_value);
	}
	if (r == 0 && s->verify && cgroup_read_u64(dir, s->file) / 4096 != strtoull(s->value, NULL, 10) / 4096)
		r = s->value[0] == '-' ? 0 : -EOPNOTSUPP;
	if (r < 0)
		free(steal_ptr(undo));
	*ret_undo = undo;
	return r;
}

static int setting_error(const char *dir, const struct cgroup_setting *s, int code, struct error *err)
{
	if (code == -ENOENT && access(dir, F_OK) == 0)
		return error_set(err, EOPNOTSUPP, "resources.%s: this kernel's control groups have no file %s",
			s->field, s->file);
	return error_set(err, -code, "resources.%s: cannot set %s of %s to %s: %s%s", s->field, s->file, dir, s->value,
			strerror(-code), code == -EBUSY && s->hierarchy == CGROUP_MEMORY ?
			": more is in use" : "");
}

struct undo {
	char *dir, *text;
	const char *file;
};

/* One round. Returns how many more are written now; *ret_r: the first refusal, of item *ret_i. */
static size_t write_round(const struct cgroup_host *host, const char *path, const struct cgroup_settings *s, bool fresh,
		bool *done, struct undo *undo, size_t *n_undo, int *ret_r, size_t *ret_i)
{
	char dir[CGROUP_DIR_MAX];
	size_t written = 0;

	*ret_r = 0;
	for (size_t i = 0; i < s->n; i++) {
		const struct cgroup_setting *one = &s->items[i];
		struct undo *u = &undo[*n_undo];
		int r;

		if (done[i])
			continue;
		done[i] = one->unlimited && (fresh || !cgroup_has(host, one->hierarchy));
		if (done[i] || !cgroup_dir_in(host, path, one->hierarchy, dir))
			continue;
		r = write_setting(dir, one, fresh, &u->text, &u->file);
		if (r == 0) {
			done[i] = true;
			written++;
			u->dir = u->text ? xstrdup(dir) : NULL;
			*n_undo += u->text != NULL;
		} else if (*ret_r == 0 || (r != -EINVAL && r != -EBUSY)) {
			*ret_r = r;
			*ret_i = i;
			if (r != -EINVAL && r != -EBUSY)
				return 0; /* hopeless */
		}
	}
	return written;
}

int cgroup_settings_apply(const struct cgroup_host *host, const char *path, const struct cgroup_settings *s, bool fresh,
		struct error *err)
{
	_cleanup_free_ bool *done = xcalloc(s->n + 1, sizeof *done);
	_cleanup_free_ struct undo *undo = xcalloc(s->n + 1, sizeof *undo);
	char dir[CGROUP_DIR_MAX];
	size_t n_undo = 0, failed = 0;
	int r;

	while (write_round(host, path, s, fresh, done, undo, &n_undo, &r, &failed) > 0 && r < 0)
		;
	if (r < 0) {
		(void)cgroup_dir_in(host, path, s->items[failed].hierarchy, dir); /* was there a moment ago */
		r = setting_error(dir, &s->items[failed], r, err);
	}
	/* Backwards, and twice: what depends on a later one goes back in the second round. */
	for (int round = 0; r < 0 && round < 2; round++)
		for (size_t i = n_undo; i-- > 0;)
			(void)write_file(undo[i].dir, undo[i].file, undo[i].text); /* as far as the kernel lets us */
	for (size_t i = 0; i < n_undo; i++) {
		free(undo[i].dir);
		free(undo[i].text);
	}
	return r;
}
