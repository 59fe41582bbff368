/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hooks between clone and the workload. The states, whose size the annotations decide, cross as files in memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/hook_points.h"
#include "container-backend/init.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "runtime/model/hooks.h"

enum { STATE_CREATING, STATE_CREATED, STATES, MAX_STATE_BYTES = 4 << 20 };

bool hook_points_needed(const struct plan *plan)
{
	return plan->hooks.n_prestart || plan->hooks.n_create_runtime || plan->hooks.n_create_container ||
		plan->hooks.n_start_container;
}

/* In the guest there is no instance: the plan says what the state needs. */
static char *make_state(const struct spawn_request *q, pid_t pid, enum instance_status status)
{
	struct instance in;

	if (q->instance)
		in = *q->instance; /* borrowed: nothing of it is released here */
	else
		in = (struct instance){ .id = q->plan->id, .bundle = q->plan->bundle, .rootfs = q->plan->root.path,
			.annotations = q->plan->annotations, .n_annotations = q->plan->n_annotations };
	in.pid = (uint64_t)pid;
	return instance_oci_state(&in, status, false);
}

static int in_memory(const char *text)
{
	_cleanup_close_ int fd = memfd_create("state", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));

	return r < 0 ? r : steal_fd(&fd);
}

int hook_points_serve(const struct spawn_request *q, pid_t pid, int sock, struct error *err)
{
	_cleanup_free_ char *creating = make_state(q, pid, INSTANCE_CREATING);
	_cleanup_free_ char *created = make_state(q, pid, INSTANCE_CREATED);
	int fds[STATES], r = hooks_run(q->plan, HOOK_PRESTART, creating, err);

	if (r == 0)
		r = hooks_run(q->plan, HOOK_CREATE_RUNTIME, creating, err);
	if (r < 0)
		return r;
	fds[STATE_CREATING] = in_memory(creating);
	fds[STATE_CREATED] = in_memory(created);
	r = fds[0] < 0 ? fds[0] : fds[1] < 0 ? fds[1] : fd_send(sock, (char[]){ CHILD_HOOKS }, 1, fds, STATES);
	for (size_t i = 0; i < STATES; i++)
		close_cleanup(&fds[i]);
	return r < 0 ? error_set(err, -r, "hooks: cannot hand on the state: %s", strerror(-r)) : 0;
}

static char *read_back(int fd)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > MAX_STATE_BYTES)
		return NULL;
	text = xcalloc((size_t)st.st_size + 1, 1);
	return pread(fd, text, (size_t)st.st_size, 0) == st.st_size ? steal_ptr(text) : NULL;
}

int hook_points_pass(const struct plan *plan, int sock, char **ret_state, struct error *err)
{
	struct backend_event point = { .kind = EVENT_MILESTONE, .text = HOOK_POINT };
	_cleanup_free_ char *creating = NULL, *created = NULL;
	int fds[STATES], r;
	char message;

	r = backend_event_send(sock, &point);
	if (r == 0)
		r = fd_recv(sock, &message, 1, fds, STATES) == 1 && message == CHILD_HOOKS ? 0 : -EPROTO;
	if (r < 0)
		return error_set(err, -r, "hooks: the maker is gone");
	creating = read_back(fds[STATE_CREATING]);
	created = read_back(fds[STATE_CREATED]);
	for (size_t i = 0; i < STATES; i++)
		close_cleanup(&fds[i]);
	if (!creating || !created)
		return error_set(err, EIO, "hooks: no state");
	*ret_state = steal_ptr(created);
	return hooks_run(plan, HOOK_CREATE_CONTAINER, creating, err);
}
