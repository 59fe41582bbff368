/* SPDX-License-Identifier: Apache-2.0 */
/* Sending events to the supervisor: see backend.h for their order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/base/clock.h"
#include "runtime/model/backend.h"

int backend_event_send(int fd, struct backend_event *event)
{
	ssize_t n;

	if (fd < 0)
		return 0;
	if (event->at_ns == 0)
		event->at_ns = clock_now_ns();
	do
		n = send(fd, event, sizeof *event, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int backend_event_milestone(int fd, const char *name)
{
	struct backend_event event = { .kind = EVENT_MILESTONE };

	/* Not by printf(3), a large piece of code that a warm start would run for this alone. Names are short. */
	memcpy(event.text, name, strnlen(name, sizeof event.text - 1));
	return backend_event_send(fd, &event);
}

int backend_event_error(int fd, const struct error *err, int exit_status)
{
	struct backend_event event = { .kind = EVENT_ERROR, .code = err->code, .exit_status = exit_status };

	(void)snprintf(event.text, sizeof event.text, "%s", err->message); /* a cut line is still a line */
	return backend_event_send(fd, &event);
}

void backend_processes_free(struct backend_process *processes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(processes[i].command);
	free(processes);
}
