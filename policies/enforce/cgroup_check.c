/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a plan's limits can bind on this host: their ranges, the words that become names and lines of files, and
 * whether the host's layout and controllers have them. What cannot bind is refused by its field.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum { MAX_LIST = 1024 };

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
