/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the agent channel. What comes from the guest is checked here before anything else sees it: kinds
 * and sizes by table, text made printable, statuses in range, milestones limited in number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/shares.h"

enum { MAX_MILESTONES = 32, MAX_MILESTONE_NAME = 40, MAX_SIGNAL = 64, SAFE_PIECE = 4096 };
enum { WATCH_CHANNEL, WATCH_INPUT, WATCH_OUTPUT, WATCH_ERRORS };

void agent_text_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

/*
 * The descriptors that we were given are shared with others, who must not find them non-blocking all of a sudden.
 * Pipes and terminals are therefore opened once more; -1 where that cannot be done.
 */
static int reopen(int fd, int flags)
{
	char path[40];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd))))
		return -1;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A sink for one of the workload's outputs; it must never block, whatever the descriptor is. */
static void open_sink(struct agent_host *h, struct agent_sink *sink, enum agent_stream stream)
{
	struct stat st;

	h->reopened[stream] = reopen(h->stdio[stream], O_WRONLY);
	agent_sink_init(sink, stream, h->reopened[stream] >= 0 ? h->reopened[stream] : h->stdio[stream]);
	if (h->reopened[stream] >= 0 || h->stdio[stream] < 0)
		return;
	sink->nonblocking = false;
	if (fstat(h->stdio[stream], &st) < 0 || !S_ISREG(st.st_mode))
		sink->piece = SAFE_PIECE; /* what poll(2) promises to take without blocking */
}

int agent_host_init(struct agent_host *h, int fd, const int stdio[3], bool terminal, int event_fd, struct error *err)
{
	int r = fd_set_nonblock(fd, true);

	if (r < 0)
		return error_set(err, -r, "agent channel: %s", strerror(-r));
	*h = (struct agent_host){ .event_fd = event_fd };
	agent_channel_init(&h->channel, fd);
	for (int i = 0; i < 3; i++) {
		h->stdio[i] = stdio[i];
		h->reopened[i] = -1;
	}
	if (terminal) {
		(void)fd_set_nonblock(h->stdio[0], true); /* nobody else has it; poll(2) guards it anyway */
		agent_source_init(&h->input, AGENT_STDIN, h->stdio[0]);
		agent_sink_init(&h->output, AGENT_STDOUT, h->stdio[0]);
		agent_sink_init(&h->errors, AGENT_STDERR, -1);
		return 0;
	}
	h->reopened[0] = reopen(h->stdio[0], O_RDONLY);
	agent_source_init(&h->input, AGENT_STDIN, h->reopened[0] >= 0 ? h->reopened[0] : h->stdio[0]);
	open_sink(h, &h->output, AGENT_STDOUT);
	open_sink(h, &h->errors, AGENT_STDERR);
	return 0;
}

static void close_stdio(struct agent_host *h, int which)
{
	close_cleanup(&h->reopened[which]);
	close_cleanup(&h->stdio[which]);
	h->reopened[which] = h->stdio[which] = -1;
}

void agent_host_release(struct agent_host *h)
{
	for (int i = 0; i < 3; i++)
		close_stdio(h, i);
	agent_sink_release(&h->output);
	agent_sink_release(&h->errors);
	agent_channel_release(&h->channel);
}

int agent_host_start(struct agent_host *h, const struct plan *plan, struct error *err)
{
	struct plan guest_plan = *plan; /* strings are borrowed: never released */
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	struct agent_start start = { .wall_ns = clock_wall_ns() };
	size_t len;
	int r;

	guest_plan.root.lowers = NULL;
	guest_plan.root.disk = NULL;
	guest_plan.vm = (struct plan_vm){ 0 };
	guest_plan.policy = NULL;
	shares_rewrite(&guest_plan);
	record_write(w, NULL, &plan_type, &guest_plan, false);
	shares_rewrite_undo(&guest_plan);
	text = json_writer_finish(w, &len);
	if (len > AGENT_MAX_PLAN)
		return error_set(err, E2BIG, "the plan is larger than %d bytes", AGENT_MAX_PLAN);
	start.plan_bytes = (uint32_t)len;
	r = agent_channel_send(&h->channel, AGENT_START, 0, &start, sizeof start, err);
	for (size_t at = 0; at < len && r == 0; at += AGENT_MAX_PAYLOAD)
		r = agent_channel_send(&h->channel, AGENT_PLAN, 0, text + at,
				len - at < AGENT_MAX_PAYLOAD ? len - at : AGENT_MAX_PAYLOAD, err);
	h->started = r == 0;
	return r == 0 ? agent_channel_flush(&h->channel, err) : r;
}

static int send_now(struct agent_host *h, enum agent_kind kind, const void *payload, size_t len, struct error *err)
{
	int r = agent_channel_send(&h->channel, kind, 0, payload, len, err);

	return r < 0 ? r : agent_channel_flush(&h->channel, err);
}

int agent_host_signal(struct agent_host *h, uint32_t signo, struct error *err)
{
	return send_now(h, AGENT_SIGNAL, &signo, sizeof signo, err);
}

int agent_host_resize(struct agent_host *h, uint16_t rows, uint16_t columns, struct error *err)
{
	struct agent_size size = { rows, columns };

	return send_now(h, AGENT_RESIZE, &size, sizeof size, err);
}

int agent_host_shutdown(struct agent_host *h, struct error *err)
{
	return send_now(h, AGENT_SHUTDOWN, NULL, 0, err);
}

static int on_hello(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_hello hello;
	int r = agent_frame_get(frame, &hello, sizeof hello, err);

	if (r < 0)
		return r;
	if (h->ready || hello.version != AGENT_VERSION)
		return error_set(err, EPROTO, "agent channel: the guest speaks version %u, not %d: install bivalve "
				"and bivalve-guest of one release", hello.version, AGENT_VERSION);
	h->ready = true;
	h->uptime_ns = hello.uptime_ns;
	return 0;
}

static int on_milestone(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	char name[MAX_MILESTONE_NAME + 1];

	if (frame->length > MAX_MILESTONE_NAME || ++h->milestones > MAX_MILESTONES)
		return error_set(err, EPROTO, "agent channel: too many or too long milestones");
	memcpy(name, frame->payload, frame->length);
	name[frame->length] = '\0';
	agent_text_clean(name);
	(void)backend_event_milestone(h->event_fd, name); /* the supervisor may be gone; the workload runs on */
	return 0;
}

/* What stream 1 and 2 go to; stream 0 is not the guest's to send. */
static struct agent_sink *sink_of(struct agent_host *h, const struct agent_frame *frame)
{
	return frame->stream == AGENT_STDOUT ? &h->output : frame->stream == AGENT_STDERR ? &h->errors : NULL;
}

static int on_data(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_sink *sink = sink_of(h, frame);
	int r;

	if (!sink || !h->started)
		return error_set(err, EPROTO, "agent channel: data on stream %u out of turn", frame->stream);
	if (frame->kind == AGENT_DATA && !h->any_output) {
		h->any_output = true;
		(void)backend_event_milestone(h->event_fd, "first-output"); /* as above */
	}
	r = agent_sink_receive(sink, &h->channel, frame, err);
	if (r == 0 && sink->ended && agent_sink_empty(sink) && h->stdio[frame->stream] >= 0) {
		sink->fd = -1; /* the reader of a pipe sees its end as soon as the workload closes it */
		close_stdio(h, frame->stream);
	}
	return r;
}

static int on_credit(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	if (frame->stream != AGENT_STDIN)
		return error_set(err, EPROTO, "agent channel: credit for stream %u", frame->stream);
	return agent_source_credit(&h->input, frame, err);
}

static int on_closed(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	if (frame->stream != AGENT_STDIN)
		return error_set(err, EPROTO, "agent channel: stream %u closed by its writer", frame->stream);
	h->input.fd = -1;
	if (h->output.fd != h->stdio[0]) /* a terminal is both */
		close_stdio(h, 0);
	return 0;
}

static int on_error(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_error told;
	struct error e = { 0 };
	size_t len = frame->length - sizeof told;

	if (frame->length < sizeof told || len > AGENT_MAX_TEXT)
		return error_set(err, EPROTO, "agent channel: an error of %u bytes", frame->length);
	memcpy(&told, frame->payload, sizeof told);
	(void)snprintf(e.message, sizeof e.message, "%.*s", (int)len, (const char *)frame->payload + sizeof told);
	agent_text_clean(e.message);
	e.code = told.code > 0 && told.code < 4096 ? told.code : EIO;
	h->exit_status = told.exit_status == 126 || told.exit_status == 127 ? told.exit_status : 125;
	h->over = h->failed = true;
	(void)backend_event_error(h->event_fd, &e, h->exit_status); /* as above */
	return 0;
}

static int on_exit_frame(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct backend_event event = { .kind = EVENT_EXIT };
	struct agent_exit told;
	int status, r = agent_frame_get(frame, &told, sizeof told, err);

	if (r < 0)
		return r;
	status = told.wait_status & 0xffff;
	if (!WIFEXITED(status) && !(WIFSIGNALED(status) && WTERMSIG(status) <= MAX_SIGNAL))
		return error_set(err, EPROTO, "agent channel: not a wait status: %#x", (unsigned)told.wait_status);
	h->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	h->over = true;
	event.exit_status = status;
	event.cpu_user_us = told.cpu_user_us;
	event.cpu_system_us = told.cpu_system_us;
	event.peak_memory_bytes = told.peak_memory_bytes;
	event.oom_kills = told.oom_kills;
	event.pids_denied = told.pids_denied;
	(void)backend_event_send(h->event_fd, &event); /* as above */
	return 0;
}

/* What a guest may send. A new kind: a row here and in the guest's table, a line in agent_protocol.h. */
static int (*const handlers[AGENT_KIND_COUNT])(struct agent_host *, const struct agent_frame *, struct error *) = {
	[AGENT_HELLO] = on_hello,
	[AGENT_MILESTONE] = on_milestone,
	[AGENT_DATA] = on_data,
	[AGENT_EOF] = on_data,
	[AGENT_CREDIT] = on_credit,
	[AGENT_CLOSED] = on_closed,
	[AGENT_ERROR] = on_error,
	[AGENT_EXIT] = on_exit_frame,
};

/* Reads once and handles all whole frames. */
static int receive(struct agent_host *h, struct error *err)
{
	struct agent_frame frame;
	int r = agent_channel_fill(&h->channel, err);

	if (r < 0) {
		h->gone = true; /* whoever watches the machine says why */
		return 0;
	}
	while (!h->over && (r = agent_channel_next(&h->channel, &frame, err)) > 0) {
		if (!handlers[frame.kind])
			return error_set(err, EPROTO, "agent channel: frame of kind %u from the guest", frame.kind);
		r = handlers[frame.kind](h, &frame, err);
		if (r < 0)
			return r;
	}
	return h->over ? 0 : r;
}

void agent_host_watch(const struct agent_host *h, struct pollfd fds[AGENT_HOST_WATCHES])
{
	short out = agent_channel_pending(&h->channel) ? POLLOUT : 0;

	fds[WATCH_CHANNEL] = (struct pollfd){ h->gone || h->over ? -1 : h->channel.fd, (short)(POLLIN | out), 0 };
	fds[WATCH_INPUT] = (struct pollfd){ -1, POLLIN, 0 };
	if (h->started && !h->over && agent_source_ready(&h->input, &h->channel))
		fds[WATCH_INPUT].fd = h->input.fd;
	fds[WATCH_OUTPUT] = (struct pollfd){ agent_sink_empty(&h->output) ? -1 : h->output.fd, POLLOUT, 0 };
	fds[WATCH_ERRORS] = (struct pollfd){ agent_sink_empty(&h->errors) ? -1 : h->errors.fd, POLLOUT, 0 };
}

static int flush_sink(struct agent_host *h, struct agent_sink *sink, struct error *err)
{
	int r = agent_sink_flush(sink, &h->channel, err);

	if (r == 0 && sink->ended && agent_sink_empty(sink) && sink->fd >= 0 && sink->fd != h->input.fd) {
		sink->fd = -1;
		close_stdio(h, sink->stream);
	}
	return r;
}

int agent_host_step(struct agent_host *h, const struct pollfd fds[AGENT_HOST_WATCHES], struct error *err)
{
	int r = 0;

	if (fds[WATCH_CHANNEL].revents & (POLLIN | POLLHUP | POLLERR))
		r = receive(h, err);
	if (r == 0 && fds[WATCH_OUTPUT].revents)
		r = flush_sink(h, &h->output, err);
	if (r == 0 && fds[WATCH_ERRORS].revents)
		r = flush_sink(h, &h->errors, err);
	if (r == 0 && fds[WATCH_INPUT].revents && h->input.fd >= 0)
		(void)agent_source_pump(&h->input, &h->channel); /* its end is in the channel now */
	if (r == 0 && !h->gone && !h->over && agent_channel_pending(&h->channel) &&
			agent_channel_flush(&h->channel, NULL) < 0)
		h->gone = true;
	return r;
}

bool agent_host_drained(const struct agent_host *h)
{
	return h->over && (h->output.fd < 0 || agent_sink_empty(&h->output)) &&
			(h->errors.fd < 0 || agent_sink_empty(&h->errors));
}
