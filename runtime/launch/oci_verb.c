/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs on an existing instance share: words, opening, signals. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "container-backend/ungrouped.h"
#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/sweep.h"

int verb_parse(const struct option_row *rows, int argc, char **argv, const char *words, int min, int max,
		int *ret_first, struct error *err)
{
	bool help;
	int r = options_parse(rows, argc, argv, ret_first, &help, err);

	if (r < 0)
		return error_prefix(err, "%s", argv[0]);
	if (help) {
		printf("Usage: bivalve %s\n", words);
		if (rows->name)
			printf("\nOptions:\n");
		options_print(rows, stdout);
		return 1;
	}
	if (argc - *ret_first < min || (max && argc - *ret_first > max))
		return error_set(err, EINVAL, "%s: expected `bivalve %s`", argv[0], words);
	return 0;
}

int verb_open(const char *id, bool change, struct verb_target *ret, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	int r;

	*ret = (struct verb_target){ .lock = -1 };
	instance_init(&ret->in);
	r = instance_open(run_dir, id, change, &ret->in, &ret->lock, err);
	if (r < 0)
		return r;
	ret->backend = backend_find(ret->in.backend);
	if (!ret->backend)
		return error_set(err, EINVAL, "%s: unknown shell %s", id, ret->in.backend);
	ret->status = instance_status_now(&ret->in);
	if (!ret->in.detached && !instance_is_held(run_dir, id))
		ret->status = INSTANCE_STOPPED; /* its launcher is dead */
	return 0;
}

void verb_close(struct verb_target *t)
{
	close_cleanup(&t->lock);
	t->lock = -1;
	instance_release(&t->in);
}

void verb_narrow(const struct plan *plan, struct plan_process *process, enum log_level level)
{
	const char *taken = strcmp(plan->backend, "container") ? NULL : ungrouped_narrow(plan, process);

	if (taken)
		log_line(level, "%s: %s is not granted without a control group", plan->id, taken);
}

static int real_time_signal(const char *name)
{
	bool from_min = !strncasecmp(name, "RTMIN", 5);
	long offset = 0;
	char *end = NULL;
	int signo;

	if (!from_min && strncasecmp(name, "RTMAX", 5))
		return -EINVAL;
	if (name[5] && (name[5] != (from_min ? '+' : '-') || !name[6]))
		return -EINVAL;
	if (name[5])
		offset = strtol(name + 5, &end, 10);
	if ((end && *end) || offset > SIGRTMAX || offset < -SIGRTMAX)
		return -EINVAL;
	signo = (from_min ? SIGRTMIN : SIGRTMAX) + (int)offset;
	return signo >= SIGRTMIN && signo <= SIGRTMAX ? signo : -EINVAL;
}

int verb_signal(const char *name)
{
	char *end;
	long number = strtol(name, &end, 10);

	if (*name && !*end)
		return number >= 0 && number < NSIG ? (int)number : -EINVAL;
	if (!strncasecmp(name, "SIG", 3))
		name += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *known = sigabbrev_np(i);

		if (known && !strcasecmp(known, name))
			return i;
	}
	return real_time_signal(name);
}

int verb_parse_uint(const char *text, void *target, struct error *err)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return error_set(err, EINVAL, "%s: expected a number", text);
	*(uint64_t *)target = value;
	return 0;
}
