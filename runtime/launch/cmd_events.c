/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bivalve events`, and `stats`, which prints once: what an instance uses, a JSON object a line, in runc's shape.
 *
 * In the VM shell data.host is the outside view beside it: what the machine's process costs this host.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "policies/units.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"

enum { OOM_LOOK_MS = 1000 }; /* how long an OOM kill may go unnoticed between two intervals */

static void put_memory_entry(struct json_writer *w, const char *key, uint64_t usage, uint64_t max, uint64_t limit,
		uint64_t failures)
{
	json_begin_object(w, key);
	json_put_uint(w, "limit", limit);
	json_put_uint(w, "usage", usage);
	json_put_uint(w, "max", max);
	json_put_uint(w, "failcnt", failures);
	json_end(w);
}

static void put_cpu(struct json_writer *w, const struct stats *s)
{
	json_begin_object(w, "cpu");
	json_begin_object(w, "usage"); /* ns */
	json_put_uint(w, "total", s->cpu_us * 1000);
	json_put_uint(w, "kernel", s->cpu_system_us * 1000);
	json_put_uint(w, "user", s->cpu_user_us * 1000);
	json_end(w);
	json_begin_object(w, "throttling");
	json_put_uint(w, "periods", s->throttle_periods);
	json_put_uint(w, "throttledPeriods", s->throttled_periods);
	json_put_uint(w, "throttledTime", s->throttled_us * 1000);
	json_end(w);
	json_end(w);
}

static void put_memory(struct json_writer *w, const struct stats *s)
{
	json_begin_object(w, "memory");
	json_put_uint(w, "cache", s->memory_cache_bytes);
	put_memory_entry(w, "usage", s->memory_bytes, s->memory_peak_bytes, s->memory_limit_bytes, s->memory_failures);
	put_memory_entry(w, "swap", s->swap_bytes, 0, s->swap_limit_bytes, 0);
	json_begin_object(w, "raw");
	for (size_t i = 0; i < s->n_memory; i++)
		json_put_uint(w, s->memory[i].key, s->memory[i].value);
	json_end(w);
	json_end(w);
}

static void put_io_list(struct json_writer *w, const char *key, const struct stats *s, bool bytes)
{
	json_begin_array(w, key);
	for (size_t i = 0; i < s->n_io; i++) {
		json_begin_object(w, NULL);
		json_put_uint(w, "major", s->io[i].major);
		json_put_uint(w, "minor", s->io[i].minor);
		json_put_string(w, "op", s->io[i].operation);
		json_put_uint(w, "value", bytes ? s->io[i].bytes : s->io[i].operations);
		json_end(w);
	}
	json_end(w);
}

static void put_stats(struct json_writer *w, const struct stats *s)
{
	put_cpu(w, s);
	put_memory(w, s);
	json_begin_object(w, "pids");
	json_put_uint(w, "current", s->pids);
	json_put_uint(w, "limit", s->pids_limit);
	json_end(w);
	json_begin_object(w, "blkio");
	put_io_list(w, "ioServiceBytesRecursive", s, true);
	put_io_list(w, "ioServicedRecursive", s, false);
	json_end(w);
	json_begin_object(w, "hugetlb");
	for (size_t i = 0; i < s->n_hugepages; i++) {
		json_begin_object(w, s->hugepages[i].page_size);
		json_put_uint(w, "usage", s->hugepages[i].usage_bytes);
		json_put_uint(w, "max", s->hugepages[i].max_bytes);
		json_put_uint(w, "failcnt", s->hugepages[i].failures);
		json_end(w);
	}
	json_end(w);
}

/* What there is to print; members that are NULL are not known. */
struct figures {
	const struct stats *inside, *outside;
	const struct machine_stats *machine;
	const char *unknown;     /* why there is no inside */
};

static void put_figures(struct json_writer *w, const struct figures *f)
{
	json_begin_object(w, "data");
	if (f->inside)
		put_stats(w, f->inside);
	else
		json_put_string(w, "unknown", f->unknown);
	if (f->outside) {
		json_begin_object(w, "host");
		put_stats(w, f->outside);
		if (f->machine)
			record_write(w, "machine", &machine_stats_type, f->machine, true);
		json_end(w);
	}
	json_end(w);
}

static int print_event(const char *type, const struct verb_target *t, const struct figures *figures, struct error *err)
{
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *text = NULL;

	json_begin_object(w, NULL);
	json_put_string(w, "type", type);
	json_put_string(w, "id", t->in.id);
	if (figures)
		put_figures(w, figures);
	json_end(w);
	text = json_writer_finish(w, NULL);
	puts(text);
	/* a reader waits for lines */
	return fflush(stdout) < 0 ? error_sys(err, "cannot write to standard output") : 0;
}

struct looking {
	const struct verb_target *t;
	uint64_t oom_kills;
	bool first;
};

/*
 * Measures; prints an OOM that was not told yet, and the figures if asked. A guest that gives none, or none that make
 * sense, hides nothing of what the host sees.
 */
static int look(struct looking *l, bool print, struct error *err)
{
	const struct backend *backend = l->t->backend;
	struct stats inside = { 0 }, outside = { 0 };
	struct machine_stats machine = { 0 };
	int r = backend->stats(&l->t->in, &inside, &outside, err);
	bool vm = backend->machine, known = r == 0, there = known || (vm && r != -ESRCH);
	bool seen = vm && there && print && backend->machine(&l->t->in, &machine, NULL) == 0;
	const struct figures figures = { known ? &inside : NULL, vm ? &outside : NULL, seen ? &machine : NULL,
		err->message };

	if (there && (seen || !print))
		r = 0; /* what the host sees is enough to go on with */
	if (known && !l->first && inside.oom_kills > l->oom_kills)
		r = print_event("oom", l->t, NULL, err);
	if (r == 0 && print)
		r = print_event("stats", l->t, &figures, err);
	if (known) {
		l->oom_kills = inside.oom_kills;
		l->first = false;
	}
	record_release(&stats_type, &inside);
	record_release(&stats_type, &outside);
	record_release(&machine_stats_type, &machine);
	return r;
}

/* Until the instance ends. Its figures may be gone a moment earlier than its process. */
static int follow(const struct verb_target *t, uint64_t interval_us, struct error *err)
{
	_cleanup_close_ int pidfd = pidfd_open_pid((pid_t)t->in.pid);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	struct looking l = { .t = t, .first = true };
	uint64_t next_ns = clock_now_ns() + interval_us * 1000;
	int r = look(&l, false, err);

	while (r == 0 && pidfd >= 0) {
		uint64_t now = clock_now_ns(), left_ms = now < next_ns ? (next_ns - now + 999999) / 1000000 : 0;

		if (poll(&p, 1, left_ms > OOM_LOOK_MS ? OOM_LOOK_MS : (int)left_ms) > 0)
			break;
		now = clock_now_ns();
		r = look(&l, now >= next_ns, err);
		while (now >= next_ns)
			next_ns += interval_us * 1000;
	}
	return r < 0 && instance_status_now(&t->in) != INSTANCE_STOPPED ? r : 0;
}

static int parse_interval(const char *text, void *target, struct error *err)
{
	uint64_t us;

	if (duration_parse_us(text, &us) < 0 || us == 0 || us > UINT64_C(86400000000))
		return error_set(err, EINVAL, "%s: expected a time with its unit, such as 5s", text);
	*(uint64_t *)target = us;
	return 0;
}

static int events(const char *id, bool once, uint64_t interval_us, struct error *err)
{
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	struct looking l = { .t = &t, .first = true };
	int r = verb_open(id, false, &t, err);

	if (r < 0)
		return r;
	if (t.status == INSTANCE_STOPPED || t.status == INSTANCE_CREATING)
		return error_set(err, EINVAL, "container not running: %s is %s", id, instance_status_name(t.status));
	if (!t.backend->stats)
		return error_set(err, EOPNOTSUPP, "events: the shell %s cannot do that", t.in.backend);
	return once ? look(&l, true, err) : follow(&t, interval_us, err);
}

int cmd_events(int argc, char **argv, struct error *err)
{
	uint64_t interval_us = 5000000;
	bool once = false;
	const struct option_row rows[] = {
		{ 0, "stats", OPTION_FLAG, &once, NULL, "print the figures once", NULL },
		{ 0, "interval", OPTION_PARSED, &interval_us, "TIME", "between two lines of figures (5s)",
			parse_interval },
		{ 0 },
	};
	int at, r = verb_parse(rows, argc, argv, "events [OPTIONS] ID", 1, 1, &at, err);

	return r > 0 ? 0 : r < 0 ? r : events(argv[at], once, interval_us, err);
}

int cmd_stats(int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { 0 } };
	int at, r = verb_parse(rows, argc, argv, "stats ID", 1, 1, &at, err);

	return r > 0 ? 0 : r < 0 ? r : events(argv[at], true, 0, err);
}
