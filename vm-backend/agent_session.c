/* SPDX-License-Identifier: Apache-2.0 */
/* One session of the agent channel, as the host sees it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "vm-backend/agent_session.h"

enum { MAX_SIGNAL = 64, SAFE_PIECE = 4096, EXIT_INTERNAL = 125 };
enum { WATCH_INPUT, WATCH_OUTPUT, WATCH_ERRORS, WATCH_CHANGES };

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
static int reopen(const struct agent_session *s, int fd, int flags)
{
	char name[16];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd))))
		return -1;
	(void)snprintf(name, sizeof name, "%d", fd); /* fits */
	return openat(s->own_fds, name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A sink for one of the process's outputs; it must never block, whatever the descriptor is. */
static void open_sink(struct agent_session *s, struct agent_sink *sink, enum agent_stream stream)
{
	struct stat st;

	s->reopened[stream] = reopen(s, s->stdio[stream], O_WRONLY);
	agent_sink_init(sink, s->number, stream, s->reopened[stream] >= 0 ? s->reopened[stream] : s->stdio[stream]);
	if (s->reopened[stream] >= 0 || s->stdio[stream] < 0)
		return;
	sink->nonblocking = false;
	if (fstat(s->stdio[stream], &st) < 0 || !S_ISREG(st.st_mode))
		sink->piece = SAFE_PIECE; /* what poll(2) promises to take without blocking */
}

void agent_session_init(struct agent_session *s, uint16_t number, const int stdio[3], bool terminal, int own_fds)
{
	*s = (struct agent_session){ .number = number, .own_fds = own_fds, .changes = { .fd = -1 } };
	for (int i = 0; i < 3; i++) {
		s->stdio[i] = stdio[i];
		s->reopened[i] = -1;
	}
	if (terminal) {
		(void)fd_set_nonblock(s->stdio[0], true); /* nobody else reads it; poll(2) guards it anyway */
		agent_source_init(&s->input, number, AGENT_STDIN, s->stdio[0]);
		agent_sink_init(&s->output, number, AGENT_STDOUT, s->stdio[0]);
		agent_sink_init(&s->errors, number, AGENT_STDERR, -1);
		return;
	}
	s->reopened[0] = reopen(s, s->stdio[0], O_RDONLY);
	agent_source_init(&s->input, number, AGENT_STDIN, s->reopened[0] >= 0 ? s->reopened[0] : s->stdio[0]);
	open_sink(s, &s->output, AGENT_STDOUT);
	open_sink(s, &s->errors, AGENT_STDERR);
}

void agent_session_want_changes(struct agent_session *s, int fd, uint64_t max)
{
	agent_sink_init(&s->changes, s->number, AGENT_CHANGES, fd);
	s->changes.nonblocking = false;
	s->changes_left = max;
}

static void close_stdio(struct agent_session *s, int which)
{
	close_cleanup(&s->reopened[which]);
	close_cleanup(&s->stdio[which]);
	s->reopened[which] = s->stdio[which] = -1;
}

void agent_session_release(struct agent_session *s)
{
	for (int i = 0; i < 3; i++)
		close_stdio(s, i);
	agent_sink_release(&s->output);
	agent_sink_release(&s->errors);
	agent_sink_release(&s->changes);
	s->input.fd = -1;
}

/* What stream 1 and 2 go to; stream 0 is not the guest's to send. */
static struct agent_sink *sink_of(struct agent_session *s, const struct agent_frame *frame)
{
	if (frame->stream == AGENT_CHANGES)
		return s->changes.fd >= 0 && frame->length <= s->changes_left ? &s->changes : NULL;
	return frame->stream == AGENT_STDOUT ? &s->output : frame->stream == AGENT_STDERR ? &s->errors : NULL;
}

/* The reader of a pipe sees its end as soon as the process closes it. A terminal is input, too. */
static void settle_sink(struct agent_session *s, struct agent_sink *sink)
{
	if (!sink->ended || !agent_sink_empty(sink) || sink->fd < 0 || sink->fd == s->input.fd)
		return;
	sink->fd = -1;
	if (sink != &s->changes)
		close_stdio(s, sink->stream);
}

int agent_session_attach(struct agent_session *s, uint32_t input_used, uint32_t ended, struct error *err)
{
	if (input_used > AGENT_WINDOW || ended >> AGENT_STREAM_COUNT)
		return error_set(err, EPROTO, "agent channel: streams in a state that cannot be");
	s->isolated = s->running = true;
	s->input.credit = AGENT_WINDOW - input_used;
	s->output.ended = ended >> AGENT_STDOUT & 1;
	s->errors.ended = ended >> AGENT_STDERR & 1;
	if (ended >> AGENT_STDIN & 1)
		s->input.fd = -1;
	return 0;
}

int agent_session_data(struct agent_session *s, struct agent_channel *c, const struct agent_frame *frame,
		struct error *err)
{
	struct agent_sink *sink = sink_of(s, frame);
	int r;

	if (!sink)
		return error_set(err, EPROTO, "agent channel: data on stream %u out of turn", frame->stream);
	if (sink == &s->changes)
		s->changes_left -= frame->length;
	else
		s->any_output |= frame->kind == AGENT_DATA;
	r = agent_sink_receive(sink, c, frame, err);
	settle_sink(s, sink);
	return r;
}

int agent_session_credit(struct agent_session *s, const struct agent_frame *frame, struct error *err)
{
	if (frame->stream != AGENT_STDIN)
		return error_set(err, EPROTO, "agent channel: credit for stream %u", frame->stream);
	return agent_source_credit(&s->input, frame, err);
}

int agent_session_closed(struct agent_session *s, const struct agent_frame *frame, struct error *err)
{
	if (frame->stream != AGENT_STDIN)
		return error_set(err, EPROTO, "agent channel: stream %u closed by its writer", frame->stream);
	s->input.fd = -1;
	if (s->output.fd != s->stdio[0]) /* a terminal is both */
		close_stdio(s, 0);
	return 0;
}

int agent_session_error(struct agent_session *s, const struct agent_frame *frame, struct error *err)
{
	struct agent_error told;
	size_t len = frame->length - sizeof told;

	if (frame->length < sizeof told || len > AGENT_MAX_TEXT)
		return error_set(err, EPROTO, "agent channel: an error of %u bytes", frame->length);
	memcpy(&told, frame->payload, sizeof told);
	(void)snprintf(s->error.message, sizeof s->error.message, "%.*s", (int)len,
			(const char *)frame->payload + sizeof told);
	agent_text_clean(s->error.message);
	s->error.code = told.code > 0 && told.code < 4096 ? told.code : EIO;
	s->exit_status = told.exit_status == 126 || told.exit_status == 127 ? told.exit_status : EXIT_INTERNAL;
	s->over = s->failed = true;
	return 0;
}

int agent_session_exit(struct agent_session *s, const struct agent_frame *frame, struct agent_exit *ret,
		struct error *err)
{
	int status, r = agent_frame_get(frame, ret, sizeof *ret, err);

	if (r < 0)
		return r;
	status = ret->wait_status & 0xffff;
	if (!WIFEXITED(status) && !(WIFSIGNALED(status) && WTERMSIG(status) <= MAX_SIGNAL))
		return error_set(err, EPROTO, "agent channel: not a wait status: %#x", (unsigned)ret->wait_status);
	s->wait_status = status;
	s->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	s->over = true;
	return 0;
}

void agent_session_watch(const struct agent_session *s, const struct agent_channel *c,
		struct pollfd fds[AGENT_SESSION_WATCHES])
{
	fds[WATCH_INPUT] = (struct pollfd){ -1, POLLIN, 0 };
	if (s->running && !s->over && agent_source_ready(&s->input, c))
		fds[WATCH_INPUT].fd = s->input.fd;
	fds[WATCH_OUTPUT] = (struct pollfd){ agent_sink_empty(&s->output) ? -1 : s->output.fd, POLLOUT, 0 };
	fds[WATCH_ERRORS] = (struct pollfd){ agent_sink_empty(&s->errors) ? -1 : s->errors.fd, POLLOUT, 0 };
	fds[WATCH_CHANGES] = (struct pollfd){ agent_sink_empty(&s->changes) ? -1 : s->changes.fd, POLLOUT, 0 };
}

static int flush_sink(struct agent_session *s, struct agent_channel *c, struct agent_sink *sink, struct error *err)
{
	int r = agent_sink_flush(sink, c, err);

	if (r == 0)
		settle_sink(s, sink);
	return r;
}

int agent_session_step(struct agent_session *s, struct agent_channel *c, const struct pollfd fds[AGENT_SESSION_WATCHES],
		struct error *err)
{
	int r = 0;

	if (fds[WATCH_OUTPUT].revents)
		r = flush_sink(s, c, &s->output, err);
	if (r == 0 && fds[WATCH_ERRORS].revents)
		r = flush_sink(s, c, &s->errors, err);
	if (r == 0 && fds[WATCH_CHANGES].revents)
		r = flush_sink(s, c, &s->changes, err);
	if (r == 0 && fds[WATCH_INPUT].revents && s->input.fd >= 0 && !s->over)
		(void)agent_source_pump(&s->input, c); /* its end is in the channel now */
	return r;
}

void agent_session_abandon(struct agent_session *s, struct agent_channel *c)
{
	s->abandoned = true;
	s->input.fd = -1;
	(void)agent_sink_close(&s->output, c, NULL); /* a channel that is full ends soon, and all with it */
	(void)agent_sink_close(&s->errors, c, NULL); /* likewise */
	for (int i = 0; i < 3; i++)
		close_stdio(s, i);
}

bool agent_session_drained(const struct agent_session *s)
{
	return s->over && (s->output.fd < 0 || agent_sink_empty(&s->output)) &&
			(s->errors.fd < 0 || agent_sink_empty(&s->errors)) &&
			(s->changes.fd < 0 || agent_sink_empty(&s->changes));
}
