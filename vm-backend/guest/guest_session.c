/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session in the guest.
 *
 * After a process's end its pipes are read until they are empty, not until they are closed: one that it left behind may
 * keep them open for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "changes/changes.h"
#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "vm-backend/guest/guest_session.h"

enum { PIPE_BYTES = 256 * 1024, MAX_SIGNAL = 64, MAX_PUMPS = 8 };
enum { WATCH_EVENTS, WATCH_INPUT, WATCH_OUTPUT, WATCH_ERRORS, WATCH_CALLS, WATCH_CHANGES };

struct guest_session *guest_session_new(uint16_t number)
{
	struct guest_session *s = xcalloc(1, sizeof *s);

	*s = (struct guest_session){ .number = number, .local = { -1, -1, -1 }, .event_fd = -1, .pidfd = -1,
		.start_fd = -1, .input = { .fd = -1 }, .output = { .fd = -1 }, .errors = { .fd = -1 },
		.watch = { .fd = -1 }, .changes = { .fd = -1 }, .changes_fd = -1, .scratch_fd = -1, .net_fd = -1 };
	return s;
}

static void close_local(struct guest_session *s, enum agent_stream stream)
{
	close_cleanup(&s->local[stream]);
	s->local[stream] = -1;
}

void guest_session_free(struct guest_session *s)
{
	if (!s)
		return;
	for (int i = 0; i < 3; i++)
		close_local(s, (enum agent_stream)i);
	close_cleanup(&s->event_fd);
	close_cleanup(&s->pidfd);
	close_cleanup(&s->start_fd);
	watch_end(&s->watch);
	close_cleanup(&s->changes_fd);
	close_cleanup(&s->scratch_fd);
	close_cleanup(&s->net_fd);
	agent_sink_release(&s->input);
	free(s->text);
	free(s);
}

/* A pipe for one stream: *ret_theirs for the process, the other end kept. */
static int open_pipe(struct guest_session *s, enum agent_stream stream, int *ret_theirs, struct error *err)
{
	int ends[2], ours = stream == AGENT_STDIN ? 1 : 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_sys(err, "guest: cannot make a pipe");
	(void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* fewer switches; any size works */
	(void)fchmod(ends[0], 0666); /* a workload that is not root may open /dev/stdout */
	(void)fd_set_nonblock(ends[ours], true); /* cannot fail on a pipe */
	s->local[stream] = ends[ours];
	*ret_theirs = ends[!ours];
	return 0;
}

int guest_session_open(struct guest_session *s, bool terminal, int ret_theirs[3], struct error *err)
{
	int r = 0;

	s->terminal = terminal;
	for (int i = 0; i < 3 && r == 0 && !terminal; i++)
		r = open_pipe(s, (enum agent_stream)i, &ret_theirs[i], err);
	return r;
}

/*
 * The kernel takes the last process's namespaces down while the end of the workload waits to be told: the network's
 * alone takes it longer than all that. The machine is about to end: it may live until then. Not those that hold
 * memory, the mounts' and System V's: a machine that has no more of it could not even tell its end.
 */
static void hold_network(struct guest_session *s)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)s->pid); /* fits */
	s->net_fd = open(path, O_RDONLY | O_CLOEXEC); /* without it the end takes longer */
}

void guest_session_begin(struct guest_session *s, const struct spawn_result *result, int event_fd)
{
	s->event_fd = event_fd;
	(void)fd_set_nonblock(event_fd, true); /* cannot fail on a socket */
	s->pid = result->pid;
	s->pidfd = result->pidfd;
	s->scratch_fd = result->scratch_fd;
	s->setup = result->setup;
	if (result->console_fd >= 0) {
		(void)fd_set_nonblock(result->console_fd, true); /* cannot fail on a terminal */
		s->local[AGENT_STDIN] = result->console_fd;
		s->local[AGENT_STDOUT] = fcntl(result->console_fd, F_DUPFD_CLOEXEC, 3);
	}
	agent_sink_init(&s->input, s->number, AGENT_STDIN, s->local[AGENT_STDIN]);
	agent_source_init(&s->output, s->number, AGENT_STDOUT, s->local[AGENT_STDOUT]);
	agent_source_init(&s->errors, s->number, AGENT_STDERR, s->local[AGENT_STDERR]);
	s->state = SESSION_RUNNING;
	if (s->number == 0 && s->pid > 0 && !s->stays)
		hold_network(s);
}

void guest_session_want_changes(struct guest_session *s, size_t n_overlays, bool contents)
{
	s->n_overlays = n_overlays;
	s->changes_contents = contents;
}

/* Nothing else is done meanwhile: the machine has nobody whom it could keep waiting. */
int guest_session_await_prepared(struct guest_session *s, struct error *err)
{
	unsigned left = s->plan->process.init ? 2 : 1; /* the workload's process and its PID 1 */
	struct backend_event e;

	(void)fd_set_nonblock(s->event_fd, false); /* nor can this fail */
	while (left > 0) {
		if (fd_recv(s->event_fd, &e, sizeof e, NULL, 0) != (ssize_t)sizeof e)
			return error_set(err, ECHILD, "the workload's process ended while it was prepared");
		e.text[sizeof e.text - 1] = '\0';
		if (e.kind == EVENT_ERROR)
			return error_set(err, e.code > 0 ? e.code : EIO, "%s", e.text);
		left -= e.kind == EVENT_MILESTONE && !strcmp(e.text, "prepared");
	}
	(void)fd_set_nonblock(s->event_fd, true); /* as before */
	s->prepared = true;
	return 0;
}

int guest_session_refuse(struct guest_session *s, struct agent_channel *c, const struct error *reason, int exit_status,
		struct error *err)
{
	struct agent_error head = { reason->code, exit_status };

	s->state = SESSION_OVER;
	return agent_channel_send2(c, AGENT_ERROR, s->number, &head, sizeof head, reason->message,
			strnlen(reason->message, AGENT_MAX_TEXT), err);
}

int guest_session_text(struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	if (!s->text || frame->length > s->text_bytes - s->text_len)
		return error_set(err, EPROTO, "guest: more of a plan than was announced");
	memcpy(s->text + s->text_len, frame->payload, frame->length);
	s->text_len += frame->length;
	return s->text_len == s->text_bytes;
}

/* Once a sink is of no more use its end of the pipe must go, so that the process sees the end of its input. */
static void settle_input(struct guest_session *s)
{
	if (s->input.ended && agent_sink_empty(&s->input) && !s->terminal)
		s->input.fd = -1;
	if (s->input.fd < 0)
		close_local(s, AGENT_STDIN);
}

int guest_session_data(struct guest_session *s, struct agent_channel *c, const struct agent_frame *frame,
		struct error *err)
{
	int r;

	if (frame->stream != AGENT_STDIN || s->state == SESSION_TEXT)
		return error_set(err, EPROTO, "guest: data on stream %u out of turn", frame->stream);
	if (s->state == SESSION_OVER)
		return 0;
	r = agent_sink_receive(&s->input, c, frame, err);
	settle_input(s);
	return r;
}

/* The source of stream 1 or 2; NULL for any other. */
static struct agent_source *source_of(struct guest_session *s, uint8_t stream)
{
	if (stream == AGENT_CHANGES)
		return s->changes_fd >= 0 ? &s->changes : NULL;
	return stream == AGENT_STDOUT ? &s->output : stream == AGENT_STDERR ? &s->errors : NULL;
}

static void close_changes(struct guest_session *s)
{
	close_cleanup(&s->changes_fd);
	s->changes_fd = -1;
}

int guest_session_credit(struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	struct agent_source *source = source_of(s, frame->stream);

	if (!source || s->state == SESSION_TEXT)
		return error_set(err, EPROTO, "guest: credit for stream %u", frame->stream);
	return agent_source_credit(source, frame, err);
}

int guest_session_closed(struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	struct agent_source *source = source_of(s, frame->stream);

	if (!source)
		return error_set(err, EPROTO, "guest: stream %u closed", frame->stream);
	source->fd = -1;
	if (source == &s->changes)
		close_changes(s);
	else
		close_local(s, (enum agent_stream)frame->stream);
	return 0;
}

int guest_session_resize(struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	struct agent_size size = { 0 };
	int r = agent_frame_get(frame, &size, sizeof size, err);
	struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };

	if (r == 0 && s->terminal && s->local[AGENT_STDIN] >= 0)
		(void)ioctl(s->local[AGENT_STDIN], TIOCSWINSZ, &window); /* a wrong size is no reason to stop */
	return r;
}

int guest_session_signal(struct guest_session *s, const struct agent_frame *frame, struct error *err)
{
	uint32_t signo = 0;
	int r = agent_frame_get(frame, &signo, sizeof signo, err);

	if (r < 0)
		return r;
	if (signo == 0 || signo > MAX_SIGNAL)
		return error_set(err, EPROTO, "guest: signal %u", signo);
	if (s->pidfd >= 0)
		(void)pidfd_kill(s->pidfd, (int)signo); /* it may have just ended */
	return 0;
}

/* Passes on what the child tells: milestones, why it failed, and the status of the workload below our init. */
static int on_events(struct guest_session *s, struct agent_channel *c, struct error *err)
{
	struct backend_event e;
	ssize_t n;
	int r = 0, passed;

	while (r == 0 && s->event_fd >= 0 && (n = fd_recv(s->event_fd, &e, sizeof e, &passed, 1)) >= 0) {
		if (n == (ssize_t)sizeof e && e.kind == EVENT_LISTENER && passed >= 0 && s->plan && s->watch.fd < 0)
			watch_begin(&s->watch, steal_fd(&passed), &s->plan->seccomp, s->plan->audit);
		close_cleanup(&passed);
		if (n != (ssize_t)sizeof e) { /* end of file */
			close_cleanup(&s->event_fd);
			s->event_fd = -1;
			break;
		}
		e.text[sizeof e.text - 1] = '\0';
		if (e.kind == EVENT_MILESTONE && s->number && !strcmp(e.text, "exec")) {
			r = agent_channel_send(c, AGENT_ISOLATED, s->number, 0, NULL, 0, err);
		} else if (e.kind == EVENT_MILESTONE && s->number == 0) {
			r = agent_channel_send(c, AGENT_MILESTONE, 0, 0, e.text, strnlen(e.text, 40), err);
		} else if (e.kind == EVENT_EXIT) {
			s->told = true;
			s->told_status = e.exit_status;
			s->end = e;
		} else if (e.kind == EVENT_ERROR && !s->reason.code) {
			(void)error_set(&s->reason, e.code > 0 ? e.code : EIO, "%s", e.text); /* told at its end */
			s->reason_status = e.exit_status;
		}
	}
	return r;
}

/* Answers one watched call and tells the host. */
static int on_call(struct guest_session *s, struct agent_channel *c, struct error *err)
{
	struct watch_event events[WATCH_MAX];
	int n = watch_step(&s->watch, events), r = 0;

	for (int i = 0; i < n && r == 0; i++)
		r = agent_channel_send(c, AGENT_WATCHED, 0, 0, &events[i], sizeof events[i], err);
	return r;
}

void guest_session_ended(struct guest_session *s, int status, const struct rusage *usage)
{
	s->ended = true;
	s->wait_status = status;
	s->usage = *usage;
	s->pid = 0;
	close_cleanup(&s->pidfd);
	s->pidfd = -1;
}

static uint64_t microseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

/* What wait4(2) tells costs nothing; whether memory ran out is worth a look only after a signal. */
static bool needs_stats(const struct guest_session *s, int status)
{
	return s->plan && (s->plan->figures || s->plan->limits.cpu_us || WIFSIGNALED(status));
}

static int send_exit(struct guest_session *s, struct agent_channel *c, const struct cgroup_host *host,
		const char *cgroup, struct error *err)
{
	struct agent_exit told = { .wait_status = s->told ? s->told_status : s->wait_status };
	struct cgroup_stats stats = { 0 };
	struct cgroup_cpu cpu;

	if (host && needs_stats(s, told.wait_status))
		cgroup_stats(host, cgroup, &stats);
	cpu = cgroup_cpu_without(stats.cpu, s->setup);
	told.cpu_user_us = cpu.user_us ? cpu.user_us : microseconds(s->usage.ru_utime);
	told.cpu_system_us = cpu.system_us ? cpu.system_us : microseconds(s->usage.ru_stime);
	told.peak_memory_bytes = stats.peak_memory_bytes ? stats.peak_memory_bytes
			: (uint64_t)s->usage.ru_maxrss * 1024;
	told.oom_kills = stats.oom_kills;
	told.pids_denied = stats.pids_denied;
	told.cpu_throttled = stats.cpu_throttled;
	told.cpu_throttled_us = stats.cpu_throttled_us;
	/* Its PID 1 may have been ended too: then what that had waited for. */
	told.read_bytes = s->told ? s->end.read_bytes : (uint64_t)s->usage.ru_inblock * 512;
	told.write_bytes = s->told ? s->end.write_bytes : (uint64_t)s->usage.ru_oublock * 512;
	told.switches = s->told ? s->end.switches : (uint64_t)s->usage.ru_nvcsw;
	told.preemptions = s->told ? s->end.preemptions : (uint64_t)s->usage.ru_nivcsw;
	told.max_rss_bytes = s->told ? s->end.max_rss_bytes : (uint64_t)s->usage.ru_maxrss * 1024;
	s->state = SESSION_OVER;
	return agent_channel_send(c, AGENT_EXIT, s->number, 0, &told, sizeof told, err);
}

/* Reads what a stream still holds. Returns whether that was all. */
static bool drain(struct guest_session *s, struct agent_channel *c, struct agent_source *source, struct error *err)
{
	while (agent_source_ready(source, c)) {
		ssize_t n = agent_source_pump(source, c);

		if (n == -EAGAIN) { /* empty, though somebody still holds it */
			source->fd = -1;
			/* EXIT says so too, should this not go out. */
			(void)agent_channel_send(c, AGENT_EOF, s->number, source->stream, NULL, 0, err);
		}
	}
	if (source->fd < 0)
		close_local(s, (enum agent_stream)source->stream);
	return source->fd < 0;
}

static void tell_changes(const struct guest_session *s, int to) __attribute__((noreturn));
static void tell_changes(const struct guest_session *s, int to)
{
	struct changes changes;

	/* A list that is cut off says so itself: it has no end. */
	if (changes_walk(s->scratch_fd, s->n_overlays, &changes, NULL) == 0)
		(void)changes_write(&changes, s->changes_contents, to);
	_exit(0);
}

/* A process of its own tells them: there may be much to read. The workload's have all ended by now. */
static void begin_changes(struct guest_session *s)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == 0) {
		pid_t pid = fork();

		if (pid == 0)
			tell_changes(s, ends[1]);
		(void)close(ends[1]); /* a pipe; without a child its end comes at once, and the host knows */
		(void)fd_set_nonblock(ends[0], true); /* cannot fail on a pipe */
		(void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* any size works */
		s->changes_fd = ends[0];
		agent_source_init(&s->changes, s->number, AGENT_CHANGES, s->changes_fd);
	}
	close_cleanup(&s->scratch_fd);
	s->scratch_fd = -1;
}

int guest_session_wind_up(struct guest_session *s, struct agent_channel *c, const struct cgroup_host *host,
		const char *cgroup, struct error *err)
{
	bool out, errors;
	int r;

	if (!s->ended || s->state == SESSION_OVER)
		return 0;
	r = on_events(s, c, err);
	if (r < 0)
		return r;
	if (s->reason.code)
		return guest_session_refuse(s, c, &s->reason, s->reason_status, err);
	if (s->number == 0 && s->state == SESSION_RUNNING) {
		r = agent_channel_send(c, AGENT_MILESTONE, 0, 0, "exit", 4, err);
		if (r == 0 && s->scratch_fd >= 0) /* now: what it changed may take a while to tell */
			r = agent_channel_flush(c, err);
	}
	if (r < 0)
		return r;
	s->state = SESSION_DRAINING;
	out = drain(s, c, &s->output, err);
	errors = drain(s, c, &s->errors, err);
	if (!out || !errors)
		return 0;
	if (s->scratch_fd >= 0)
		begin_changes(s);
	return s->changes_fd < 0 ? send_exit(s, c, host, cgroup, err) : 0;
}

void guest_session_reattach(struct guest_session *s, uint32_t *ret_input_used, uint32_t *ret_ended)
{
	s->output.credit = s->errors.credit = AGENT_WINDOW;
	*ret_input_used = s->input.used;
	*ret_ended = (uint32_t)(s->input.ended || s->input.fd < 0) << AGENT_STDIN |
			(uint32_t)(s->output.fd < 0) << AGENT_STDOUT | (uint32_t)(s->errors.fd < 0) << AGENT_STDERR;
}

void guest_session_watch(const struct guest_session *s, const struct agent_channel *c,
		struct pollfd fds[GUEST_SESSION_WATCHES])
{
	bool running = s->state == SESSION_RUNNING;

	fds[WATCH_EVENTS] = (struct pollfd){ s->event_fd, POLLIN, 0 };
	fds[WATCH_INPUT] = (struct pollfd){ agent_sink_empty(&s->input) ? -1 : s->input.fd, POLLOUT, 0 };
	fds[WATCH_OUTPUT] = (struct pollfd){ -1, POLLIN, 0 };
	if (running && agent_source_ready(&s->output, c))
		fds[WATCH_OUTPUT].fd = s->output.fd;
	fds[WATCH_ERRORS] = (struct pollfd){ -1, POLLIN, 0 };
	if (running && agent_source_ready(&s->errors, c))
		fds[WATCH_ERRORS].fd = s->errors.fd;
	/* While the host is slow to hear, the workload waits in its call. */
	fds[WATCH_CALLS] = (struct pollfd){ -1, POLLIN, 0 };
	if (agent_channel_has_room(c, WATCH_MAX * sizeof(struct watch_event)))
		fds[WATCH_CALLS].fd = s->watch.fd;
	fds[WATCH_CHANGES] = (struct pollfd){ -1, POLLIN, 0 };
	if (s->changes_fd >= 0 && agent_source_ready(&s->changes, c))
		fds[WATCH_CHANGES].fd = s->changes_fd;
}

/* Takes what is there, but not for ever. Whether that was all there will be: nobody has it open any more. */
static bool has_closed(struct guest_session *s, struct agent_channel *c, struct agent_source *source)
{
	for (int i = 0; i < MAX_PUMPS && agent_source_ready(source, c); i++) {
		ssize_t n = agent_source_pump(source, c);

		if (n == 0)
			close_local(s, (enum agent_stream)source->stream);
		if (n <= 0)
			break;
	}
	return source->fd < 0;
}

bool guest_session_has_closed(struct guest_session *s, struct agent_channel *c)
{
	bool output = has_closed(s, c, &s->output), errors = has_closed(s, c, &s->errors);

	return output && errors;
}

static void pump(struct guest_session *s, struct agent_channel *c, struct agent_source *source, const struct pollfd *p)
{
	if (p->revents && source->fd >= 0 && agent_source_pump(source, c) == 0)
		close_local(s, (enum agent_stream)source->stream);
}

int guest_session_step(struct guest_session *s, struct agent_channel *c, const struct pollfd fds[GUEST_SESSION_WATCHES],
		struct error *err)
{
	int r = fds[WATCH_EVENTS].revents ? on_events(s, c, err) : 0;

	if (r == 0 && fds[WATCH_CALLS].revents)
		r = on_call(s, c, err);
	if (r == 0 && fds[WATCH_INPUT].revents) {
		r = agent_sink_flush(&s->input, c, err);
		settle_input(s);
	}
	if (r == 0 && s->state == SESSION_RUNNING) {
		pump(s, c, &s->output, &fds[WATCH_OUTPUT]);
		pump(s, c, &s->errors, &fds[WATCH_ERRORS]);
	}
	if (r == 0 && fds[WATCH_CHANGES].revents && s->changes_fd >= 0 && agent_source_pump(&s->changes, c) == 0)
		close_changes(s);
	return r;
}
