/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's end of the agent channel.
 *
 * Theory of operation. One loop over the port, SIGCHLD, the spawned child's events and the workload's streams:
 *
 *      waiting — START, PLAN… → running — the child ends → draining — streams empty → over (EXIT sent)
 *                      |
 *                      +— cannot be started → over (ERROR sent)
 *
 * Over, only SHUTDOWN is awaited, or the host kills the machine. The workload is spawned by the container shell's own
 * code from the same plan; PID 1 is its supervisor here, as the launcher is on the host.
 *
 * After the workload's end its pipes are read until they are empty, not until they are closed: a process that it left
 * behind may keep them open for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "container-backend/spawn.h"
#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "vm-backend/agent_stream.h"
#include "vm-backend/guest/guest_agent.h"
#include "vm-backend/guest/guest_boot.h"

enum { PIPE_BYTES = 256 * 1024, CLOCK_SLACK_NS = 100000000, MAX_SIGNAL = 64, EXIT_INTERNAL = 125 };
enum { WATCH_PORT, WATCH_SIGNALS, WATCH_EVENTS, WATCH_INPUT, WATCH_OUTPUT, WATCH_ERRORS, WATCH_COUNT };
enum state { WAITING, RUNNING, DRAINING, OVER };

struct guest {
	struct agent_channel channel;
	enum state state;
	char *plan_text;         /* between START and the last PLAN */
	size_t plan_len, plan_bytes;
	struct plan plan;
	char *cgroup;
	struct agent_sink input;
	struct agent_source output, errors;
	int local[3];            /* what input, output and errors use; owned */
	int signal_fd, event_fd, pidfd;
	pid_t pid;
	bool ended, told;        /* the child was reaped; it told the workload's status before */
	int wait_status, told_status;
	struct rusage usage;
	bool off;                /* SHUTDOWN has come */
};

static int send_error(struct guest *g, const struct error *reason, int exit_status, struct error *err)
{
	struct {
		struct agent_error head;
		char text[AGENT_MAX_TEXT];
	} frame = { .head = { reason->code, exit_status } };
	size_t len = strnlen(reason->message, sizeof frame.text);

	memcpy(frame.text, reason->message, len);
	g->state = OVER;
	return agent_channel_send(&g->channel, AGENT_ERROR, 0, &frame, sizeof frame.head + len, err);
}

static void close_local(struct guest *g, enum agent_stream stream)
{
	close_cleanup(&g->local[stream]);
	g->local[stream] = -1;
}

/* A pipe for one stream: *ret_theirs for the workload, the other end kept. */
static int open_pipe(struct guest *g, enum agent_stream stream, int *ret_theirs, struct error *err)
{
	int ends[2], ours = stream == AGENT_STDIN ? 1 : 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_sys(err, "guest: cannot make a pipe");
	(void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* fewer switches; any size works */
	(void)fchmod(ends[0], 0666); /* a workload that is not root may open /dev/stdout */
	(void)fd_set_nonblock(ends[ours], true); /* cannot fail on a pipe */
	g->local[stream] = ends[ours];
	*ret_theirs = ends[!ours];
	return 0;
}

static int spawn_workload(struct guest *g, struct error *err)
{
	struct spawn_request request = { .plan = &g->plan, .cgroup = g->cgroup, .stdio = { -1, -1, -1 }, .event_fd = -1,
		.start_fd = -1, .in_guest = true };
	struct spawn_result result = { .pidfd = -1, .console_fd = -1 };
	int events[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0)
		return error_sys(err, "guest: cannot make the event socket");
	g->event_fd = events[0];
	request.event_fd = events[1];
	(void)fd_set_nonblock(g->event_fd, true); /* cannot fail on a socket */
	for (int i = 0; i < 3 && r == 0 && !g->plan.process.terminal; i++)
		r = open_pipe(g, (enum agent_stream)i, &request.stdio[i], err);
	if (r == 0)
		r = container_spawn(&request, &result, err);
	close_cleanup(&request.event_fd);
	for (int i = 0; i < 3; i++)
		close_cleanup(&request.stdio[i]);
	if (r < 0)
		return r;
	g->pid = result.pid;
	g->pidfd = result.pidfd;
	if (result.console_fd >= 0) {
		(void)fd_set_nonblock(result.console_fd, true); /* cannot fail on a terminal */
		g->local[AGENT_STDIN] = result.console_fd;
		g->local[AGENT_STDOUT] = fcntl(result.console_fd, F_DUPFD_CLOEXEC, 3);
	}
	agent_sink_init(&g->input, AGENT_STDIN, g->local[AGENT_STDIN]);
	agent_source_init(&g->output, AGENT_STDOUT, g->local[AGENT_STDOUT]);
	agent_source_init(&g->errors, AGENT_STDERR, g->local[AGENT_STDERR]);
	g->state = RUNNING;
	return 0;
}

/* The image is a disk here. Everything else of the plan holds as it is. */
static int read_plan(struct guest *g, struct error *err)
{
	_cleanup_json_ struct json *j = NULL;
	int r = json_parse(g->plan_text, g->plan_len, "plan", &j, err);

	if (r == 0)
		r = record_read(j, &plan_type, &g->plan, err);
	if (r < 0)
		return r;
	strv_free(g->plan.root.lowers);
	g->plan.root.lowers = NULL;
	strv_push(&g->plan.root.lowers, xstrdup(GUEST_IMAGE));
	g->cgroup = xasprintf("bivalve-%s", g->plan.id ? g->plan.id : "workload");
	return 0;
}

static void start_workload(struct guest *g, struct error *reason)
{
	int r = read_plan(g, reason);

	free(steal_ptr(g->plan_text));
	if (r == 0)
		(void)spawn_workload(g, reason); /* reason has a code if it failed */
}

static int on_start(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct agent_start start = { 0 };
	int r = agent_frame_get(frame, &start, sizeof start, err);
	uint64_t now = clock_wall_ns();

	if (r < 0)
		return r;
	if (g->state != WAITING || g->plan_text || start.plan_bytes == 0 || start.plan_bytes > AGENT_MAX_PLAN)
		return error_set(err, EPROTO, "guest: START out of turn or for a plan of %u bytes", start.plan_bytes);
	if (start.wall_ns > now + CLOCK_SLACK_NS || now > start.wall_ns + CLOCK_SLACK_NS) {
		struct timespec t = { (time_t)(start.wall_ns / 1000000000), (long)(start.wall_ns % 1000000000) };

		(void)clock_settime(CLOCK_REALTIME, &t); /* a wrong date is no reason to stop */
	}
	g->plan_bytes = start.plan_bytes;
	g->plan_text = xcalloc(1, start.plan_bytes + 1);
	g->plan_len = 0;
	return 0;
}

static int on_plan(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct error reason = { 0 };

	if (!g->plan_text || frame->length > g->plan_bytes - g->plan_len)
		return error_set(err, EPROTO, "guest: more of a plan than was announced");
	memcpy(g->plan_text + g->plan_len, frame->payload, frame->length);
	g->plan_len += frame->length;
	if (g->plan_len < g->plan_bytes)
		return 0;
	start_workload(g, &reason);
	return reason.code ? send_error(g, &reason, EXIT_INTERNAL, err) : 0;
}

/* Once a sink is of no more use its end of the pipe must go, so that the workload sees the end of its input. */
static void settle_input(struct guest *g)
{
	if (g->input.ended && agent_sink_empty(&g->input) && !g->plan.process.terminal)
		g->input.fd = -1;
	if (g->input.fd < 0)
		close_local(g, AGENT_STDIN);
}

static int on_input(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	int r;

	if (frame->stream != AGENT_STDIN || g->state == WAITING)
		return error_set(err, EPROTO, "guest: data on stream %u out of turn", frame->stream);
	if (g->state == OVER)
		return 0;
	r = agent_sink_receive(&g->input, &g->channel, frame, err);
	settle_input(g);
	return r;
}

/* The source of stream 1 or 2; NULL for any other. */
static struct agent_source *source_of(struct guest *g, uint8_t stream)
{
	return stream == AGENT_STDOUT ? &g->output : stream == AGENT_STDERR ? &g->errors : NULL;
}

static int on_credit(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct agent_source *source = source_of(g, frame->stream);

	if (!source || g->state == WAITING)
		return error_set(err, EPROTO, "guest: credit for stream %u", frame->stream);
	return agent_source_credit(source, frame, err);
}

static int on_closed(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct agent_source *source = source_of(g, frame->stream);

	if (!source || g->state == WAITING)
		return error_set(err, EPROTO, "guest: stream %u closed", frame->stream);
	source->fd = -1;
	close_local(g, (enum agent_stream)frame->stream);
	return 0;
}

static int on_resize(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	struct agent_size size = { 0 };
	int r = agent_frame_get(frame, &size, sizeof size, err);
	struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };

	if (r == 0 && g->plan.process.terminal && g->local[AGENT_STDIN] >= 0)
		(void)ioctl(g->local[AGENT_STDIN], TIOCSWINSZ, &window); /* a wrong size is no reason to stop */
	return r;
}

static int on_signal(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	uint32_t signo = 0;
	int r = agent_frame_get(frame, &signo, sizeof signo, err);

	if (r < 0)
		return r;
	if (signo == 0 || signo > MAX_SIGNAL)
		return error_set(err, EPROTO, "guest: signal %u", signo);
	if (g->pidfd >= 0)
		(void)pidfd_kill(g->pidfd, (int)signo); /* it may have just ended */
	return 0;
}

static int on_shutdown(struct guest *g, const struct agent_frame *frame, struct error *err)
{
	g->off = true;
	return 0;
}

/* What the host may send. A new kind: a row here and in the host's table, a line in agent_protocol.h. */
static int (*const handlers[AGENT_KIND_COUNT])(struct guest *, const struct agent_frame *, struct error *) = {
	[AGENT_START] = on_start,
	[AGENT_PLAN] = on_plan,
	[AGENT_DATA] = on_input,
	[AGENT_EOF] = on_input,
	[AGENT_CREDIT] = on_credit,
	[AGENT_CLOSED] = on_closed,
	[AGENT_RESIZE] = on_resize,
	[AGENT_SIGNAL] = on_signal,
	[AGENT_SHUTDOWN] = on_shutdown,
};

static int receive(struct guest *g, struct error *err)
{
	struct agent_frame frame;
	int r = agent_channel_fill(&g->channel, err);

	while (r >= 0 && !g->off && (r = agent_channel_next(&g->channel, &frame, err)) > 0) {
		if (!handlers[frame.kind])
			return error_set(err, EPROTO, "guest: frame of kind %u from the host", frame.kind);
		r = handlers[frame.kind](g, &frame, err);
	}
	return r < 0 ? r : 0;
}

/* Passes on what the spawned child tells: milestones, why it failed, and the status of the workload below our init. */
static int on_events(struct guest *g, struct error *err)
{
	struct backend_event e;
	struct error reason = { 0 };
	ssize_t n;
	int r = 0;

	while (r == 0 && g->event_fd >= 0 && (n = recv(g->event_fd, &e, sizeof e, 0)) != -1) {
		if (n != (ssize_t)sizeof e) { /* end of file */
			close_cleanup(&g->event_fd);
			g->event_fd = -1;
			break;
		}
		e.text[sizeof e.text - 1] = '\0';
		if (e.kind == EVENT_MILESTONE) {
			r = agent_channel_send(&g->channel, AGENT_MILESTONE, 0, e.text, strnlen(e.text, 40), err);
		} else if (e.kind == EVENT_EXIT) {
			g->told = true;
			g->told_status = e.exit_status;
		} else if (e.kind == EVENT_ERROR && g->state != OVER) {
			reason.code = e.code;
			(void)snprintf(reason.message, sizeof reason.message, "%s", e.text); /* fits */
			r = send_error(g, &reason, e.exit_status, err);
		}
	}
	return r;
}

/* Reaps whatever ended: the workload's child and everything orphaned. */
static void on_children(struct guest *g)
{
	struct signalfd_siginfo info;
	struct rusage usage;
	int status;
	pid_t pid;

	while (read(g->signal_fd, &info, sizeof info) > 0)
		;
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		if (pid != g->pid)
			continue;
		g->ended = true;
		g->wait_status = status;
		g->usage = usage;
		close_cleanup(&g->pidfd);
		g->pidfd = -1;
	}
}

static uint64_t microseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static int send_exit(struct guest *g, struct error *err)
{
	struct agent_exit told = { .wait_status = g->told ? g->told_status : g->wait_status };
	struct cgroup_stats stats = { 0 };
	struct cgroup_host host;

	cgroup_probe(&host);
	cgroup_stats(&host, g->cgroup, &stats);
	told.cpu_user_us = stats.cpu_user_us ? stats.cpu_user_us : microseconds(g->usage.ru_utime);
	told.cpu_system_us = stats.cpu_system_us ? stats.cpu_system_us : microseconds(g->usage.ru_stime);
	told.peak_memory_bytes = stats.peak_memory_bytes ? stats.peak_memory_bytes
			: (uint64_t)g->usage.ru_maxrss * 1024;
	told.oom_kills = stats.oom_kills;
	told.pids_denied = stats.pids_denied;
	g->state = OVER;
	return agent_channel_send(&g->channel, AGENT_EXIT, 0, &told, sizeof told, err);
}

/* Reads what a stream still holds. Returns whether that was all. */
static bool drain(struct guest *g, struct agent_source *source, struct error *err)
{
	while (agent_source_ready(source, &g->channel)) {
		ssize_t n = agent_source_pump(source, &g->channel);

		if (n == -EAGAIN) { /* empty, though somebody still holds it */
			source->fd = -1;
			/* EXIT says so too, should this not go out. */
			(void)agent_channel_send(&g->channel, AGENT_EOF, source->stream, NULL, 0, err);
		}
	}
	if (source->fd < 0)
		close_local(g, (enum agent_stream)source->stream);
	return source->fd < 0;
}

/* After the child's end: events first, then the rest of the output, then EXIT. */
static int wind_up(struct guest *g, struct error *err)
{
	bool out, errors;
	int r = on_events(g, err);

	if (r < 0 || g->state == OVER)
		return r;
	g->state = DRAINING;
	out = drain(g, &g->output, err);
	errors = drain(g, &g->errors, err);
	return out && errors ? send_exit(g, err) : 0;
}

static void pump(struct guest *g, struct agent_source *source, const struct pollfd *p)
{
	if (p->revents && source->fd >= 0 && agent_source_pump(source, &g->channel) == 0)
		close_local(g, (enum agent_stream)source->stream);
}

static void watch(const struct guest *g, struct pollfd fds[WATCH_COUNT])
{
	bool running = g->state == RUNNING;

	fds[WATCH_PORT] = (struct pollfd){ g->channel.fd,
		(short)(POLLIN | (agent_channel_pending(&g->channel) ? POLLOUT : 0)), 0 };
	fds[WATCH_SIGNALS] = (struct pollfd){ g->signal_fd, POLLIN, 0 };
	fds[WATCH_EVENTS] = (struct pollfd){ g->event_fd, POLLIN, 0 };
	fds[WATCH_INPUT] = (struct pollfd){ agent_sink_empty(&g->input) ? -1 : g->input.fd, POLLOUT, 0 };
	fds[WATCH_OUTPUT] = (struct pollfd){
		running && agent_source_ready(&g->output, &g->channel) ? g->output.fd : -1, POLLIN, 0 };
	fds[WATCH_ERRORS] = (struct pollfd){
		running && agent_source_ready(&g->errors, &g->channel) ? g->errors.fd : -1, POLLIN, 0 };
}

static int serve_once(struct guest *g, struct error *err)
{
	struct pollfd fds[WATCH_COUNT];
	int r = 0;

	watch(g, fds);
	if (poll(fds, WATCH_COUNT, -1) < 0)
		return errno == EINTR ? 0 : error_sys(err, "guest: poll");
	if (fds[WATCH_PORT].revents & (POLLIN | POLLHUP))
		r = receive(g, err);
	if (r == 0 && fds[WATCH_EVENTS].revents)
		r = on_events(g, err);
	if (r == 0 && fds[WATCH_INPUT].revents) {
		r = agent_sink_flush(&g->input, &g->channel, err);
		settle_input(g);
	}
	if (g->state == RUNNING) {
		pump(g, &g->output, &fds[WATCH_OUTPUT]);
		pump(g, &g->errors, &fds[WATCH_ERRORS]);
	}
	if (fds[WATCH_SIGNALS].revents)
		on_children(g);
	if (r == 0 && g->ended && g->state != OVER)
		r = wind_up(g, err);
	return r < 0 ? r : agent_channel_flush(&g->channel, err);
}

static int say_hello(struct guest *g, struct error *err)
{
	struct agent_hello hello = { .version = AGENT_VERSION, .uptime_ns = clock_now_ns() };
	int r = agent_channel_send(&g->channel, AGENT_HELLO, 0, &hello, sizeof hello, err);

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
	struct guest g = { .local = { -1, -1, -1 }, .event_fd = -1, .pidfd = -1, .input = { .fd = -1 },
		.output = { .fd = -1 }, .errors = { .fd = -1 } };
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
	struct guest g = { 0 };

	agent_channel_init(&g.channel, port);
	(void)fd_set_nonblock(port, false); /* these three: there is nobody else to tell */
	(void)send_error(&g, reason, EXIT_INTERNAL, NULL);
	(void)agent_channel_flush(&g.channel, NULL);
	agent_channel_release(&g.channel);
}
