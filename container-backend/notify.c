/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp notify descriptor on its way to the listener. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "container-backend/notify.h"
#include "policies/enforce/seccomp.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"

int notify_check(const struct plan *plan, struct error *err)
{
	static const struct {
		int nr;
		const char *name;
	} needed[] = { { SYS_sendmsg, "sendmsg" }, { SYS_close, "close" } };

	if (!plan->seccomp_listener)
		return 0;
	if (strlen(plan->seccomp_listener) >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
		return error_set(err, ENAMETOOLONG, "linux.seccomp.listenerPath: too long for a socket: %s",
			plan->seccomp_listener);
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		uint32_t action = seccomp_action_for(&plan->seccomp, needed[i].nr) & SECCOMP_RET_ACTION_FULL;

		if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG)
			return error_set(err, EINVAL,
				"linux.seccomp: %s: has to be allowed with a listener: the descriptor is sent "
				"by it",
				needed[i].name);
	}
	return 0;
}

int notify_connect(const struct plan *plan, int *ret_fd, struct error *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	*ret_fd = -1;
	if (!plan->seccomp_listener)
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strncpy(to.sun_path, plan->seccomp_listener, sizeof to.sun_path - 1); /* checked: fits */
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return error_sys(err, "linux.seccomp.listenerPath: %s", plan->seccomp_listener);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Our pid as the host knows it: what procfs of the host's pid namespace calls us. */
/* Of the structure itself: what the specification's example says, and what crun and its listeners take. */
#define PROCESS_STATE_VERSION "0.2.0"

static uint64_t pid_on_host(int proc_fd)
{
	char text[24] = "";

	return readlinkat(proc_fd, "self", text, sizeof text - 1) > 0 ? strtoull(text, NULL, 10) : 0;
}

char *notify_state(const struct plan *plan, const struct instance *in, int proc_fd)
{
	struct instance self = in ? *in : (struct instance){ .id = plan->id, .bundle = plan->bundle }; /* borrowed */
	uint64_t pid = pid_on_host(proc_fd);
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *head = NULL, *state = NULL;
	size_t len;

	if (!self.pid)
		self.pid = pid;
	state = instance_oci_state(&self, INSTANCE_CREATING, false); /* the workload does not run yet */
	json_begin_object(w, NULL);
	json_put_string(w, "ociVersion", PROCESS_STATE_VERSION);
	json_begin_array(w, "fds");
	json_put_string(w, NULL, "seccompFd");
	json_end(w);
	json_put_uint(w, "pid", pid);
	if (plan->seccomp_metadata)
		json_put_string(w, "metadata", plan->seccomp_metadata);
	json_end(w);
	head = json_writer_finish(w, &len);
	while (len && head[len - 1] != '}') /* the object goes on with the state, which is text already */
		len--;
	return xasprintf("%.*s,\"state\":%s}", (int)(len ? len - 1 : 0), head, state);
}

int notify_send(int listener_fd, const char *state, int notify_fd, struct error *err)
{
	int r = fd_send(listener_fd, state, strlen(state), &notify_fd, 1);

	(void)close(notify_fd);
	(void)close(listener_fd);
	return r < 0 ? error_set(err, -r, "linux.seccomp.listenerPath: cannot send the descriptor: %s", strerror(-r))
		     : 0;
}
