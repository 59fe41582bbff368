/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's end of the agent channel.
 *
 * Theory of operation. One loop over the port, SIGCHLD and every session's events and streams (guest_session.h).
 * Session 0 is the workload: it is spawned by the container shell's own code from the plan that the host sends; PID 1
 * is its supervisor here, as the launcher is on the host. The others are processes executed beside it. Questions about
 * the workload as a whole are answered at once (guest_answer.h).
 *
 * When the workload is over only SHUTDOWN is awaited, or the host kills the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "container-backend/exec.h"
#include "container-backend/mounts.h"
#include "container-backend/preload.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/late.h"
#include "vm-backend/guest/guest_agent.h"
#include "vm-backend/guest/guest_answer.h"
#include "vm-backend/guest/guest_boot.h"
#include "vm-backend/guest/guest_end.h"
#include "vm-backend/guest/guest_renew.h"
#include "vm-backend/guest/guest_rest.h"
#include "vm-backend/guest/guest_session.h"

enum { CLOCK_SLACK_NS = 100000000, EXIT_INTERNAL = 125 };
enum {
	WATCH_PORT, WATCH_SIGNALS, WATCH_SESSIONS,
	WATCH_COUNT = WATCH_SESSIONS + AGENT_SESSIONS * GUEST_SESSION_WATCHES,
};

struct guest {
	struct agent_channel channel;
	struct guest_session *sessions[AGENT_SESSIONS]; /* NULL: free */
	struct plan plan;
	char *cgroup;            /* once the plan is here */
	struct cgroup_host cgroups; /* likewise */
	int random_fd;           /* -1: to be opened when it is needed */
	int signal_fd;
	bool off;                /* SHUTDOWN has come */
	bool quiet;              /* QUIESCED was queued: nothing more until RENEW */
};

static void close_all(int fds[3], int event_fd)
{
	close_cleanup(&event_fd);
	for (int i = 0; i < 3; i++)
		close_cleanup(&fds[i]);
}

/*
 * The image is a disk here. A folder that the host shares read-only is a layer: mount points that it lacks are made
 * above it, in the guest, and nothing on the host. Everything else of the plan holds as it is.
 */
static int read_plan(struct guest *g, const struct guest_session *s, struct error *err)
{
	_cleanup_json_ struct json *j = NULL;
	int r = json_parse(s->text, s->text_len, "plan", &j, err);

	if (r == 0)
		r = record_read(j, &plan_type, &g->plan, err);
	if (r < 0)
		return r;
	if (g->plan.root.path ? g->plan.root.read_only : !g->plan.root.empty) {
		strv_free(g->plan.root.lowers);
		g->plan.root.lowers = NULL;
		strv_push(&g->plan.root.lowers, g->plan.root.path ? steal_ptr(g->plan.root.path)
				: xstrdup(GUEST_IMAGE));
	}
	if (g->plan.root.scratch)
		guest_find_scratch(g->plan.root.scratch);
	g->cgroup = xasprintf("bivalve-%s", g->plan.id ? g->plan.id : "workload");
	return 0;
}

static size_t count_overlays(const struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_mounts; i++)
		n += plan_is_overlay(plan, &plan->mounts[i]);
	return n;
}

/* The host name of a copy, which RENEW sets, is then the prepared workload's too. */
static int share_hostname(const struct guest_session *s, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/uts", (int)s->pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || setns(fd, CLONE_NEWUTS) < 0 ? error_sys(err, "guest: the workload's host name") : 0;
}

/* A process of its own in the workload's mounts: what it reads is in nobody's figures. */
static void preload(const struct guest_session *s)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/mnt", (int)s->pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	pid_t pid = fd >= 0 ? fork() : -1;

	if (pid == 0) {
		if (setns(fd, CLONE_NEWNS) == 0)
			preload_root();
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int finish_preparing(struct guest *g, struct guest_session *s, struct error *err)
{
	int r = guest_session_await_prepared(s, err);

	if (r < 0)
		return r;
	preload(s);
	preload_self();
	g->random_fd = open("/dev/urandom", O_RDWR | O_CLOEXEC); /* should it fail: when it is needed */
	cgroup_cpu(&g->cgroups, g->cgroup, &s->setup);
	return share_hostname(s, err);
}

static int spawn_workload(struct guest *g, struct guest_session *s, struct error *err)
{
	struct spawn_request request = { .plan = &g->plan, .stdio = { -1, -1, -1 }, .event_fd = -1, .start_fd = -1,
		.in_guest = true, .detached = s->detached, .prepared = s->prepare };
	struct spawn_result result = { .pidfd = -1, .console_fd = -1, .scratch_fd = -1, .release_fd = -1 };
	int go[2], events[2], r = read_plan(g, s, err);

	if (r == 0)
		r = mounts_check(&g->plan, err); /* as the container shell does it */
	if (r < 0)
		return r;
	request.cgroup = g->cgroup;
	cgroup_probe(&g->cgroups);
	request.host = &g->cgroups;
	s->plan = &g->plan;
	if (pipe2(go, O_CLOEXEC) < 0)
		return error_sys(err, "guest: cannot make the start pipe");
	s->start_fd = go[1];
	request.start_fd = go[0];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0) {
		(void)close(go[0]); /* a pipe */
		return error_sys(err, "guest: cannot make the event socket");
	}
	request.event_fd = events[1];
	request.stays = guest_end_may_stay(&g->plan);
	if (s->prepare)
		guest_prepare_network(&g->plan); /* its address is not known yet */
	else
		r = guest_join_network(&g->plan, err);
	if (r == 0)
		r = guest_session_open(s, g->plan.process.terminal, request.stdio, err);
	if (r == 0)
		r = container_spawn(&request, &result, err);
	if (r == 0 && s->detached)
		r = container_release(&result.release_fd, err);
	(void)close(go[0]); /* a pipe */
	close_all(request.stdio, request.event_fd);
	s->stays = request.stays;
	guest_session_begin(s, &result, events[0]);
	guest_session_want_changes(s, count_overlays(&g->plan), g->plan.changes == CHANGES_CONTENTS);
	return r == 0 && s->prepare ? finish_preparing(g, s, err) : r;
}

/* The workload is another than the one that was prepared in the template. */
static void discard_prepared(struct guest *g)
{
	(void)pidfd_kill(g->sessions[0]->pidfd, SIGKILL); /* our child and not yet reaped, like the next */
	while (waitpid(g->sessions[0]->pid, NULL, 0) < 0 && errno == EINTR)
		;
	(void)cgroup_remove(&g->cgroups, g->cgroup, NULL); /* an empty group is in nobody's way */
	guest_session_free(g->sessions[0]);
	g->sessions[0] = NULL;
	record_release(&plan_type, &g->plan);
	free(steal_ptr(g->cgroup));
}

static int spawn_beside(struct guest *g, struct guest_session *s, struct error *err)
{
	const struct guest_session *workload = g->sessions[0];
	struct plan_process process = { 0 };
	struct backend_exec exec = { .process = &process, .stdio = { -1, -1, -1 } };
	struct exec_request request = { .plan = &g->plan, .exec = &exec, .cgroup = g->cgroup };
	struct backend_exec_result result = { .pidfd = -1, .console_fd = -1, .event_fd = -1 };
	_cleanup_json_ struct json *j = NULL;
	int r = json_parse(s->text, s->text_len, "process", &j, err);

	if (r == 0)
		r = record_read(j, &plan_process_type, &process, err);
	if (r < 0)
		return r;
	if (!process.argv || !process.argv[0])
		r = error_set(err, EINVAL, "process.args: empty");
	else if (!workload || workload->pid <= 0)
		r = error_set(err, ESRCH, "the workload is gone");
	if (r == 0)
		r = guest_session_open(s, process.terminal, exec.stdio, err);
	if (r == 0) {
		request.target = workload->pidfd;
		request.target_pid = workload->pid;
		r = container_enter(&request, &result, err);
	}
	close_all(exec.stdio, -1);
	record_release(&plan_process_type, &process);
	if (r == 0)
		guest_session_begin(s, &(struct spawn_result){ .pid = result.pid, .pidfd = result.pidfd,
				.console_fd = result.console_fd, .scratch_fd = -1 }, result.event_fd);
	return r;
}

static void set_clock(uint64_t wall_ns)
{
	uint64_t now = clock_wall_ns();
	struct timespec t = { (time_t)(wall_ns / 1000000000), (long)(wall_ns % 1000000000) };

	if (wall_ns > now + CLOCK_SLACK_NS || now > wall_ns + CLOCK_SLACK_NS)
		(void)clock_settime(CLOCK_REALTIME, &t); /* a wrong date is no reason to stop */
}

/* A copy has another host, whose windows begin anew; the one that was saved goes on with the same. */
static int on_renew(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	bool copied;
	int r = guest_renew(frame, g->random_fd, &copied, err);
	struct agent_renewed done = { .version = AGENT_VERSION, .uptime_ns = clock_now_ns() };
	struct guest_session *s = g->sessions[0];

	if (r < 0)
		return r;
	g->quiet = false;
	if (s && s->state == SESSION_RUNNING) {
		done.running = s->prepared ? AGENT_PREPARED : AGENT_RUNNING;
		if (copied)
			guest_session_reattach(s, &done.input_used, &done.ended);
	}
	return agent_channel_send(&g->channel, AGENT_RENEWED, 0, 0, &done, sizeof done, err);
}

/* A process that was executed beside the workload has a caller, whom a copy would not have. */
static int on_quiesce(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct agent_quiesced answer = { 0 };

	for (unsigned i = 1; i < AGENT_SESSIONS; i++)
		if (g->sessions[i])
			answer.code = EBUSY;
	if (!g->sessions[0] || g->sessions[0]->state != SESSION_RUNNING)
		answer.code = ESRCH;
	g->quiet = answer.code == 0;
	if (g->quiet && g->sessions[0]->prepared) /* a template is saved only once */
		guest_rest();
	return agent_channel_send(&g->channel, AGENT_QUIESCED, 0, 0, &answer, sizeof answer, err);
}

static int on_start(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct guest_session **at = &g->sessions[frame->session];
	struct agent_start start = { 0 };
	int r = agent_frame_get(frame, &start, sizeof start, err);

	if (r < 0)
		return r;
	if (!frame->session && *at && (*at)->prepared)
		discard_prepared(g);
	if (*at || (frame->session && !g->cgroup) || start.plan_bytes == 0 || start.plan_bytes > AGENT_MAX_PLAN)
		return error_set(err, EPROTO, "guest: START out of turn or for a plan of %u bytes", start.plan_bytes);
	set_clock(start.wall_ns);
	*at = guest_session_new(frame->session);
	(*at)->detached = start.flags & AGENT_DETACHED;
	(*at)->prepare = !frame->session && start.flags & AGENT_PREPARE;
	(*at)->text_bytes = start.plan_bytes;
	(*at)->text = xcalloc(1, start.plan_bytes + 1);
	return 0;
}

static int on_plan(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct guest_session *s = g->sessions[frame->session];
	struct error reason = { 0 };
	int r = s ? guest_session_text(s, frame, err) : error_set(err, EPROTO, "guest: PLAN without START");

	if (r <= 0)
		return r;
	r = s->number ? spawn_beside(g, s, &reason) : spawn_workload(g, s, &reason);
	free(steal_ptr(s->text));
	if (r < 0)
		return guest_session_refuse(s, &g->channel, &reason, EXIT_INTERNAL, err);
	if (s->number) /* said once its program was found: guest_session.c */
		return 0;
	return agent_channel_send(&g->channel, AGENT_ISOLATED, s->number, 0, NULL, 0, err);
}

static int on_go(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct guest_session *s = g->sessions[0];

	if (frame->session || !s || s->start_fd < 0 || s->prepare)
		return error_set(err, EPROTO, "guest: GO out of turn");
	(void)!write(s->start_fd, "", 1); /* EPIPE: it has ended, and SIGCHLD tells */
	close_cleanup(&s->start_fd);
	s->start_fd = -1;
	return 0;
}

/* The card of a prepared workload stayed down until now: what it is to be called differs in each copy. */
static int plug_in(struct guest *g, const char *late, struct error *err)
{
	const char *mac = late_mac(late);

	if (!mac)
		return 0;
	free(g->plan.interface.mac);
	g->plan.interface.mac = xstrdup(mac);
	return guest_join_network(&g->plan, err);
}

/* The pipe is empty and takes it at once. */
static int on_become(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct guest_session *s = g->sessions[0];
	struct error reason = { 0 };

	if (frame->session || !s || !s->prepared)
		return error_set(err, EPROTO, "guest: BECOME out of turn");
	if (late_check(frame->payload, frame->length, err) < 0)
		return -err->code;
	s->prepared = false;
	g->plan.audit = late_head(frame->payload).audit;
	g->plan.figures = late_head(frame->payload).figures;
	if (plug_in(g, (const char *)frame->payload, &reason) < 0)
		return guest_session_refuse(s, &g->channel, &reason, EXIT_INTERNAL, err);
	(void)fd_write_full(s->start_fd, frame->payload, frame->length); /* EPIPE: as in on_go */
	return 0; /* nobody waits for the pipe's end */
}

static int on_data(struct guest *g, struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	return guest_session_data(s, &g->channel, frame, err);
}

static int on_credit(struct guest *g, struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	return guest_session_credit(s, frame, err);
}

static int on_closed(struct guest *g, struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	return guest_session_closed(s, frame, err);
}

static int on_resize(struct guest *g, struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	return guest_session_resize(s, frame, err);
}

static int on_signal(struct guest *g, struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	return guest_session_signal(s, frame, err);
}

static int on_request(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	const struct guest_session *workload = g->sessions[0];
	struct agent_request head;

	if (frame->length < sizeof head || !workload || !g->cgroup)
		return error_set(err, EPROTO, "guest: REQUEST of %u bytes or out of turn", frame->length);
	memcpy(&head, frame->payload, sizeof head);
	return guest_answer(&g->channel, &head, (const char *)frame->payload + sizeof head,
			frame->length - sizeof head, g->cgroup, workload->setup, err);
}

static int on_shutdown(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	g->off = true;
	return 0;
}

/* What the host may send. A new kind: a row here and in the host's table, a line in agent_protocol.h. */
static const struct {
	int (*whole)(struct guest *, const struct agent_frame *, struct error *);
	int (*session)(struct guest *, struct guest_session *, const struct agent_frame *, struct error *);
} handlers[AGENT_KIND_COUNT] = {
	[AGENT_START] = { .whole = on_start },
	[AGENT_PLAN] = { .whole = on_plan },
	[AGENT_GO] = { .whole = on_go },
	[AGENT_BECOME] = { .whole = on_become },
	[AGENT_REQUEST] = { .whole = on_request },
	[AGENT_RENEW] = { .whole = on_renew },
	[AGENT_QUIESCE] = { .whole = on_quiesce },
	[AGENT_SHUTDOWN] = { .whole = on_shutdown },
	[AGENT_DATA] = { .session = on_data },
	[AGENT_EOF] = { .session = on_data },
	[AGENT_CREDIT] = { .session = on_credit },
	[AGENT_CLOSED] = { .session = on_closed },
	[AGENT_RESIZE] = { .session = on_resize },
	[AGENT_SIGNAL] = { .session = on_signal },
};

static int handle(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct guest_session *s = g->sessions[frame->session];

	if (handlers[frame->kind].whole)
		return handlers[frame->kind].whole(g, frame, err);
	if (!handlers[frame->kind].session)
		return error_set(err, EPROTO, "guest: frame of kind %u from the host", frame->kind);
	if (s)
		return handlers[frame->kind].session(g, s, frame, err);
	if (frame->session == 0)
		return error_set(err, EPROTO, "guest: frame of kind %u before START", frame->kind);
	return 0; /* its EXIT is on its way to the host */
}

static int receive(struct guest *g, struct error *err)
{
	struct agent_frame frame;
	int r = agent_channel_fill(&g->channel, err);

	while (r >= 0 && !g->off && (r = agent_channel_next(&g->channel, &frame, err)) > 0)
		r = handle(g, &frame, err);
	return r < 0 ? r : 0;
}

/* Reaps whatever ended: the sessions' children and everything orphaned. */
static void on_children(struct guest *g)
{
	struct signalfd_siginfo info;
	struct rusage usage;
	int status;
	pid_t pid;

	while (read(g->signal_fd, &info, sizeof info) > 0)
		;
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
		for (unsigned i = 0; i < AGENT_SESSIONS; i++)
			if (g->sessions[i] && g->sessions[i]->pid == pid)
				guest_session_ended(g->sessions[i], status, &usage);
}

/* Ends what has ended. The workload's session stays: it says that there was one. */
static int wind_up(struct guest *g, struct error *err)
{
	bool others = false;
	int r = 0;

	for (unsigned i = AGENT_SESSIONS; i-- > 0 && r == 0;) { /* the workload last: its EXIT ends the connection */
		struct guest_session *s = g->sessions[i];

		if (!s)
			continue;
		if (i == 0)
			guest_end_settle(s, &g->channel, !others);
		r = guest_session_wind_up(s, &g->channel, i ? NULL : &g->cgroups, g->cgroup, err);
		if (i && s->state == SESSION_OVER && !s->pid) {
			guest_session_free(s);
			g->sessions[i] = NULL;
		}
		others |= i && g->sessions[i];
	}
	return r;
}

/* Returns how many of them there is something to watch in: the kernel copies them all, each time. */
static nfds_t watch(const struct guest *g, struct pollfd fds[WATCH_COUNT])
{
	nfds_t n = WATCH_SESSIONS;

	fds[WATCH_PORT] = (struct pollfd){ g->channel.fd,
		(short)(POLLIN | (agent_channel_pending(&g->channel) ? POLLOUT : 0)), 0 };
	fds[WATCH_SIGNALS] = (struct pollfd){ g->signal_fd, POLLIN, 0 };
	for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
		struct pollfd *at = fds + WATCH_SESSIONS + i * GUEST_SESSION_WATCHES;

		for (int k = 0; k < GUEST_SESSION_WATCHES; k++)
			at[k] = (struct pollfd){ .fd = -1 };
		if (!g->sessions[i] || g->quiet)
			continue;
		guest_session_watch(g->sessions[i], &g->channel, at);
		n = WATCH_SESSIONS + (i + 1) * GUEST_SESSION_WATCHES;
	}
	return n;
}

static int serve_once(struct guest *g, struct error *err)
{
	struct pollfd fds[WATCH_COUNT];
	nfds_t n = watch(g, fds);
	int r = 0;

	if (poll(fds, n, -1) < 0)
		return errno == EINTR ? 0 : error_sys(err, "guest: poll");
	/* Before frames are received: these may make a session under a number that was another's. */
	for (unsigned i = 0; i < AGENT_SESSIONS && r == 0 && !g->quiet; i++)
		if (g->sessions[i])
			r = guest_session_step(g->sessions[i], &g->channel,
					fds + WATCH_SESSIONS + i * GUEST_SESSION_WATCHES, err);
	if (r == 0 && fds[WATCH_PORT].revents & (POLLIN | POLLHUP))
		r = receive(g, err);
	if (fds[WATCH_SIGNALS].revents)
		on_children(g);
	if (r == 0 && !g->quiet)
		r = wind_up(g, err);
	return r < 0 ? r : agent_channel_flush(&g->channel, err);
}

static int say_hello(struct guest *g, struct error *err)
{
	struct agent_hello hello = { .version = AGENT_VERSION, .uptime_ns = clock_now_ns() };
	int r = agent_channel_send(&g->channel, AGENT_HELLO, 0, 0, &hello, sizeof hello, err);

	return r < 0 ? r : agent_channel_flush(&g->channel, err);
}

static void open_signals(struct guest *g)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN); /* these four cannot fail */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	g->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int guest_agent_serve(int port, struct error *err)
{
	struct guest g = { .signal_fd = -1, .random_fd = -1 };
	int r;

	agent_channel_init(&g.channel, port);
	open_signals(&g);
	r = say_hello(&g, err);
	while (r == 0 && !g.off)
		r = serve_once(&g, err);
	return r;
}

void guest_agent_refuse(int port, const struct error *reason)
{
	struct guest_session *s = guest_session_new(0);
	struct agent_channel channel;

	agent_channel_init(&channel, port);
	(void)fd_set_nonblock(port, false); /* these three: there is nobody else to tell */
	(void)guest_session_refuse(s, &channel, reason, EXIT_INTERNAL, NULL);
	(void)agent_channel_flush(&channel, NULL);
	agent_channel_release(&channel);
	guest_session_free(s);
}
