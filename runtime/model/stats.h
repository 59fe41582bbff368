/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_STATS_H
#define BIVALVE_MODEL_STATS_H

#include "runtime/base/record.h"

/* What a running instance uses, as control groups count it. 0: not known. Bytes, microseconds, counts. */
struct stats_io { /* of one device and operation */
	uint64_t major, minor;
	char *operation;     /* "read", "write" */
	uint64_t bytes, operations;
};

struct stats_pair {
	char *key;           /* a line of memory.stat */
	uint64_t value;
};

struct stats_hugepages {
	char *page_size;     /* "2MB" */
	uint64_t usage_bytes, max_bytes, failures;
};

struct stats {
	uint64_t cpu_us, cpu_user_us, cpu_system_us;
	uint64_t throttle_periods, throttled_periods, throttled_us;
	uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes, memory_failures; /* limit UINT64_MAX: none */
	uint64_t swap_bytes, swap_limit_bytes; /* memory and swap together on v1, swap alone on v2 */
	uint64_t memory_cache_bytes, oom_kills;
	struct stats_pair *memory; /* memory.stat as it is */
	size_t n_memory;
	uint64_t pids, pids_limit;     /* limit 0: none */
	struct stats_io *io;
	size_t n_io;
	struct stats_hugepages *hugepages;
	size_t n_hugepages;
};

extern const struct record_type stats_type;

#endif
