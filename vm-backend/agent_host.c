/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the agent channel. What comes from the guest is checked here before anything else sees it: kinds
 * and sizes by table, text made printable, statuses in range, milestones limited in number, answers in size.
 *
 * A guest that breaks the protocol ends the connection, and with it the machine. One that answers a question wrongly,
 * late or never fails that question alone: an answer whose question was forgotten is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "policies/enforce/watch.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "runtime/model/late.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/agent_plan.h"

enum { MAX_MILESTONES = 32, MAX_MILESTONE_NAME = 40 };
/* A clock that is wrong by no more than this is right enough; how far ahead of our own the guest's is set at most. */
enum { CLOCK_ERROR_NS = 8000000, CLOCK_LEAD_NS = 4000000, MAX_RENEWALS = 6 };
enum { WATCH_CHANNEL, WATCH_SESSIONS };

int agent_host_init(struct agent_host *h, int fd, const int stdio[3], bool terminal, int event_fd, struct error *err)
{
	int r = fd_set_nonblock(fd, true);

	if (r < 0)
		return error_set(err, -r, "agent channel: %s", strerror(-r));
	/* -1 without /proc: see agent_session_init. */
	*h = (struct agent_host){ .event_fd = event_fd,
		.own_fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC) };
	agent_channel_init(&h->channel, fd);
	agent_session_init(&h->workload, 0, stdio, terminal, h->own_fds);
	return 0;
}

static void free_session(struct agent_host *h, unsigned number)
{
	agent_session_release(h->others[number]);
	free(steal_ptr(h->others[number]));
}

void agent_host_release(struct agent_host *h)
{
	agent_session_release(&h->workload);
	for (unsigned i = 1; i < AGENT_SESSIONS; i++)
		if (h->others[i])
			free_session(h, i);
	for (size_t i = 0; i < AGENT_QUESTIONS; i++)
		strbuf_release(&h->answers[i].text);
	agent_channel_release(&h->channel);
	free(steal_ptr(h->late));
	close_cleanup(&h->own_fds);
}

struct agent_session *agent_host_session(struct agent_host *h, unsigned number)
{
	return number == 0 ? &h->workload : number < AGENT_SESSIONS ? h->others[number] : NULL;
}

int agent_host_start(struct agent_host *h, const struct plan *plan, unsigned flags, struct error *err)
{
	size_t len;
	_cleanup_free_ char *text = agent_plan_text(plan, flags & AGENT_PREPARE, &len);
	int r = agent_channel_send_start(&h->channel, 0, flags, text, len, err);

	h->started = r == 0;
	h->audited = plan->audit != 0;
	return r == 0 ? agent_channel_flush(&h->channel, err) : r;
}

bool agent_host_adopt(struct agent_host *h, const struct plan *plan)
{
	char *late = h->prepared && !h->started ? late_write(plan, &h->late_len) : NULL;

	if (!late)
		return false;
	h->late = late;
	h->started = h->workload.isolated = true;
	h->audited = plan->audit != 0;
	return true;
}

static int send_now(struct agent_host *h, enum agent_kind kind, unsigned session, const void *payload, size_t len,
		struct error *err)
{
	int r = agent_channel_send(&h->channel, kind, (uint16_t)session, 0, payload, len, err);

	return r < 0 ? r : agent_channel_flush(&h->channel, err);
}

/* What a person or another process may ask for any number of times must not fill the channel of a guest that sleeps. */
static int check_room(const struct agent_host *h, size_t len, struct error *err)
{
	return agent_channel_has_room(&h->channel, len) ? 0 : error_set(err, EAGAIN, "the guest takes nothing now");
}

int agent_host_go(struct agent_host *h, struct error *err)
{
	h->workload.running = true;
	return h->late ? send_now(h, AGENT_BECOME, 0, h->late, h->late_len, err)
			: send_now(h, AGENT_GO, 0, NULL, 0, err);
}

int agent_host_exec(struct agent_host *h, const char *text, size_t len, const int stdio[3], bool terminal,
		struct error *err)
{
	unsigned number = 1;
	int r = check_room(h, len, err);

	while (number < AGENT_SESSIONS && h->others[number])
		number++;
	if (r == 0 && number == AGENT_SESSIONS)
		r = error_set(err, EAGAIN, "%d processes are executed already", AGENT_SESSIONS - 1);
	if (r == 0)
		r = agent_channel_send_start(&h->channel, (uint16_t)number, 0, text, len, err);
	if (r < 0) {
		for (int i = 0; i < 3; i++)
			close_cleanup(&stdio[i]);
		return r;
	}
	h->others[number] = xcalloc(1, sizeof *h->others[number]);
	agent_session_init(h->others[number], (uint16_t)number, stdio, terminal, h->own_fds);
	return (int)number;
}

void agent_host_close(struct agent_host *h, unsigned number)
{
	const uint32_t killed = 9;
	struct agent_session *s = number ? agent_host_session(h, number) : NULL;

	if (!s)
		return;
	if (s->over) {
		free_session(h, number);
		return;
	}
	agent_session_abandon(s, &h->channel);
	(void)send_now(h, AGENT_SIGNAL, number, &killed, sizeof killed, NULL); /* a channel that is full ends soon */
}

int agent_host_signal(struct agent_host *h, unsigned session, uint32_t signo, struct error *err)
{
	int r = check_room(h, 0, err);

	return r < 0 ? r : send_now(h, AGENT_SIGNAL, session, &signo, sizeof signo, err);
}

int agent_host_resize(struct agent_host *h, unsigned session, uint16_t rows, uint16_t columns, struct error *err)
{
	struct agent_size size = { rows, columns };
	int r = check_room(h, 0, err);

	return r < 0 ? r : send_now(h, AGENT_RESIZE, session, &size, sizeof size, err);
}

int agent_host_shutdown(struct agent_host *h, struct error *err)
{
	return send_now(h, AGENT_SHUTDOWN, 0, NULL, 0, err);
}

int64_t agent_host_ask(struct agent_host *h, enum agent_question question, const char *text, size_t len,
		struct error *err)
{
	struct agent_request head = { .id = ++h->last_id ? h->last_id : ++h->last_id, .question = question };
	struct agent_answer *slot = NULL;
	int r = check_room(h, len, err);

	for (size_t i = 0; i < AGENT_QUESTIONS && !slot; i++)
		if (h->answers[i].id == 0)
			slot = &h->answers[i];
	if (r == 0 && !slot)
		r = error_set(err, EAGAIN, "the guest has %d questions to answer already", AGENT_QUESTIONS);
	if (r == 0 && len > AGENT_MAX_PAYLOAD - sizeof head)
		r = error_set(err, E2BIG, "a question of %zu bytes", len);
	if (r == 0)
		r = agent_channel_send2(&h->channel, AGENT_REQUEST, 0, &head, sizeof head, text, len, err);
	if (r < 0)
		return r;
	*slot = (struct agent_answer){ .id = head.id };
	r = agent_channel_flush(&h->channel, err);
	return r < 0 ? r : (int64_t)head.id;
}

const struct agent_answer *agent_host_answer(const struct agent_host *h, int64_t id)
{
	for (size_t i = 0; i < AGENT_QUESTIONS && id > 0; i++)
		if (h->answers[i].id == id)
			return &h->answers[i];
	return NULL;
}

void agent_host_forget(struct agent_host *h, int64_t id)
{
	for (size_t i = 0; i < AGENT_QUESTIONS && id > 0; i++)
		if (h->answers[i].id == id) {
			strbuf_release(&h->answers[i].text);
			h->answers[i] = (struct agent_answer){ 0 };
		}
}

static int on_hello(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_hello hello;
	int r = agent_frame_get(frame, &hello, sizeof hello, err);

	if (r < 0)
		return r;
	if (h->renewals)
		return error_set(err, EPROTO, "agent channel: HELLO from a machine that goes on from a saved state");
	if (h->ready || hello.version != AGENT_VERSION)
		return error_set(err, EPROTO, "agent channel: the guest speaks version %u, not %d: install bivalve "
				"and bivalve-guest of one release", hello.version, AGENT_VERSION);
	h->ready = true;
	h->uptime_ns = hello.uptime_ns;
	return 0;
}

/*
 * The guest sets its clock at some moment of the way there and back. Told a time that is ahead of ours by a lead, it is
 * wrong by the lead at most if it did so at once, and by the rest of the way if it did so at the end.
 */
static int send_renew(struct agent_host *h, const char *hostname, bool only_clock, struct error *err)
{
	struct agent_renew renew = { .version = AGENT_VERSION, .only_clock = only_clock };
	size_t len = hostname ? strnlen(hostname, AGENT_MAX_HOSTNAME) : 0;
	int r;

	if (!only_clock && getrandom(renew.entropy, sizeof renew.entropy, 0) != (ssize_t)sizeof renew.entropy)
		return error_sys(err, "agent channel: no random numbers for the guest");
	h->renewing = true;
	h->renewals++;
	h->renew_sent_ns = clock_now_ns();
	h->clock_lead_ns = h->clock_error_ns / 8 < CLOCK_LEAD_NS ? h->clock_error_ns / 8 : CLOCK_LEAD_NS;
	renew.wall_ns = clock_wall_ns() + h->clock_lead_ns;
	r = agent_channel_send2(&h->channel, AGENT_RENEW, 0, &renew, sizeof renew, hostname, len, err);
	explicit_bzero(&renew, sizeof renew);
	return r < 0 ? r : agent_channel_flush(&h->channel, err);
}

int agent_host_renew(struct agent_host *h, const char *hostname, struct error *err)
{
	return send_renew(h, hostname, false, err);
}

static uint64_t clock_error(const struct agent_host *h)
{
	uint64_t round = clock_now_ns() - h->renew_sent_ns;

	return round > 2 * h->clock_lead_ns ? round - h->clock_lead_ns : h->clock_lead_ns;
}

/* The first time there and back has the machine's own start in it: its clock is late by no more than that. */
static int on_renewed(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_renewed renewed;
	int r = agent_frame_get(frame, &renewed, sizeof renewed, err);

	if (r < 0)
		return r;
	if (!h->renewing || renewed.running > AGENT_PREPARED || renewed.version != AGENT_VERSION)
		return error_set(err, EPROTO, "agent channel: RENEWED out of turn or of version %u, not %d",
				renewed.version, AGENT_VERSION);
	h->renewing = false;
	if (h->ready) /* it was saved and goes on */
		return 0;
	h->clock_error_ns = clock_error(h);
	h->uptime_ns = renewed.uptime_ns;
	/* The first of them is about the streams; those that follow find them in use. */
	if (h->attach && renewed.running == AGENT_RUNNING && !h->workload.isolated)
		r = agent_session_attach(&h->workload, renewed.input_used, renewed.ended, err);
	if (r < 0)
		return r;
	h->started = h->workload.isolated; /* it may speak from now on */
	if (h->clock_error_ns > CLOCK_ERROR_NS && h->renewals < MAX_RENEWALS)
		return send_renew(h, NULL, true, err);
	if (h->workload.isolated != (renewed.running == AGENT_RUNNING) || h->attach != h->workload.isolated)
		return error_set(err, EPROTO, h->attach ? "agent channel: the saved machine's workload does not run"
				: "agent channel: the template has a workload");
	h->prepared = renewed.running == AGENT_PREPARED;
	h->ready = true;
	return 0;
}

static int on_quiesced(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_quiesced answer;
	int r = agent_frame_get(frame, &answer, sizeof answer, err);

	if (r < 0 || !h->channel.held)
		return r < 0 ? r : error_set(err, EPROTO, "agent channel: QUIESCED out of turn");
	h->quiesced = true;
	h->quiesce_code = answer.code < 0 || answer.code >= 4096 ? EPROTO : answer.code;
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

/* As it is: the supervisor trusts it no more than the guest. */
static int on_watched(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct backend_event event = { .kind = EVENT_WATCHED };

	if (!h->audited)
		return error_set(err, EPROTO, "agent channel: a watched call that nobody asked for");
	if (frame->length != sizeof(struct watch_event))
		return error_set(err, EPROTO, "agent channel: a watched call of %u bytes", frame->length);
	memcpy(event.text, frame->payload, frame->length);
	(void)backend_event_send(h->event_fd, &event); /* as above */
	return 0;
}

static int on_reply(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_answer *a = NULL;
	struct agent_reply head;
	size_t len = frame->length - sizeof head;

	if (frame->length < sizeof head)
		return error_set(err, EPROTO, "agent channel: a reply of %u bytes", frame->length);
	memcpy(&head, frame->payload, sizeof head);
	for (size_t i = 0; i < AGENT_QUESTIONS && head.id; i++)
		if (h->answers[i].id == head.id && !h->answers[i].done)
			a = &h->answers[i];
	if (!a)
		return 0;
	a->code = head.code < 0 || head.code >= 4096 ? EIO : head.code;
	if (head.left > AGENT_MAX_REPLY || len > AGENT_MAX_REPLY - head.left ||
			a->text.len > AGENT_MAX_REPLY - head.left - len || (len == 0 && head.left)) {
		a->code = EPROTO;
		a->text.len = 0;
		strbuf_puts(&a->text, "the guest's answer is too long");
		a->done = true;
		return 0;
	}
	if (len)
		strbuf_add(&a->text, frame->payload + sizeof head, len);
	a->done = head.left == 0;
	if (a->done && a->code) {
		if (!a->text.text)
			strbuf_puts(&a->text, "no reason given");
		if (a->text.len > AGENT_MAX_TEXT)
			a->text.text[AGENT_MAX_TEXT] = '\0';
		agent_text_clean(a->text.text);
	}
	return 0;
}

static int on_isolated(struct agent_host *h, struct agent_session *s, const struct agent_frame *frame,
		struct error *err)
{
	if (s->isolated || s->over)
		return error_set(err, EPROTO, "agent channel: session %u is set up twice", s->number);
	s->isolated = true;
	s->running = s != &h->workload;
	return 0;
}

static int on_data(struct agent_host *h, struct agent_session *s, const struct agent_frame *frame, struct error *err)
{
	bool any = s->any_output;
	int r;

	if (s == &h->workload && !s->running)
		return error_set(err, EPROTO, "agent channel: data on stream %u out of turn", frame->stream);
	r = agent_session_data(s, &h->channel, frame, err);
	if (s == &h->workload && s->any_output && !any)
		(void)backend_event_milestone(h->event_fd, "first-output"); /* as above */
	return r;
}

static int on_credit(struct agent_host *h, struct agent_session *s, const struct agent_frame *frame, struct error *err)
{
	return agent_session_credit(s, frame, err);
}

static int on_closed(struct agent_host *h, struct agent_session *s, const struct agent_frame *frame, struct error *err)
{
	return agent_session_closed(s, frame, err);
}

static int on_error(struct agent_host *h, struct agent_session *s, const struct agent_frame *frame, struct error *err)
{
	int r = agent_session_error(s, frame, err);

	if (r == 0 && s == &h->workload)
		(void)backend_event_error(h->event_fd, &s->error, s->exit_status); /* as above */
	return r;
}

static int on_exit_frame(struct agent_host *h, struct agent_session *s, const struct agent_frame *frame,
		struct error *err)
{
	struct backend_event event = { .kind = EVENT_EXIT };
	struct agent_exit told;
	int r = agent_session_exit(s, frame, &told, err);

	if (r < 0 || s != &h->workload)
		return r;
	event.exit_status = s->wait_status;
	event.cpu_user_us = told.cpu_user_us;
	event.cpu_system_us = told.cpu_system_us;
	event.peak_memory_bytes = told.peak_memory_bytes;
	event.oom_kills = told.oom_kills;
	event.pids_denied = told.pids_denied;
	event.cpu_throttled = told.cpu_throttled;
	event.cpu_throttled_us = told.cpu_throttled_us;
	event.read_bytes = told.read_bytes;
	event.write_bytes = told.write_bytes;
	event.switches = told.switches;
	event.preemptions = told.preemptions;
	event.max_rss_bytes = told.max_rss_bytes;
	(void)backend_event_send(h->event_fd, &event); /* as above */
	return 0;
}

/* What a guest may send. A new kind: a row here and in the guest's table, a line in agent_protocol.h. */
static const struct {
	int (*whole)(struct agent_host *, const struct agent_frame *, struct error *);
	int (*session)(struct agent_host *, struct agent_session *, const struct agent_frame *, struct error *);
} handlers[AGENT_KIND_COUNT] = {
	[AGENT_HELLO] = { .whole = on_hello },
	[AGENT_RENEWED] = { .whole = on_renewed },
	[AGENT_QUIESCED] = { .whole = on_quiesced },
	[AGENT_MILESTONE] = { .whole = on_milestone },
	[AGENT_REPLY] = { .whole = on_reply },
	[AGENT_WATCHED] = { .whole = on_watched },
	[AGENT_ISOLATED] = { .session = on_isolated },
	[AGENT_DATA] = { .session = on_data },
	[AGENT_EOF] = { .session = on_data },
	[AGENT_CREDIT] = { .session = on_credit },
	[AGENT_CLOSED] = { .session = on_closed },
	[AGENT_ERROR] = { .session = on_error },
	[AGENT_EXIT] = { .session = on_exit_frame },
};

static int handle(struct agent_host *h, const struct agent_frame *frame, struct error *err)
{
	struct agent_session *s = agent_host_session(h, frame->session);
	int r;

	if (handlers[frame->kind].whole && frame->session == 0)
		return handlers[frame->kind].whole(h, frame, err);
	if (!handlers[frame->kind].session)
		return error_set(err, EPROTO, "agent channel: frame of kind %u from the guest", frame->kind);
	if (!s || s->over)
		return error_set(err, EPROTO, "agent channel: frame of kind %u for session %u, which does not run",
				frame->kind, frame->session);
	/* An ERROR of session 0 may come before anything else: a guest that cannot be a guest. */
	if (frame->session == 0 && (!h->started || (!h->ready && !h->renewals)) && frame->kind != AGENT_ERROR)
		return error_set(err, EPROTO, "agent channel: frame of kind %u out of turn", frame->kind);
	r = handlers[frame->kind].session(h, s, frame, err);
	if (r == 0 && s->over && s->abandoned)
		free_session(h, frame->session);
	return r;
}

/* Reads once and handles all whole frames. */
static int receive(struct agent_host *h, struct error *err)
{
	struct agent_frame frame;
	int r = agent_channel_fill(&h->channel, err);

	if (r < 0) {
		h->lost = true; /* whoever watches the machine says why */
		return 0;
	}
	while (!h->workload.over && (r = agent_channel_next(&h->channel, &frame, err)) > 0) {
		r = handle(h, &frame, err);
		if (r < 0)
			return r;
	}
	return h->workload.over ? 0 : r;
}

void agent_host_watch(const struct agent_host *h, struct pollfd fds[AGENT_HOST_WATCHES])
{
	static const struct pollfd none = { .fd = -1 };
	short out = agent_channel_pending(&h->channel) ? POLLOUT : 0;

	fds[WATCH_CHANNEL] = (struct pollfd){ h->lost || h->workload.over ? -1 : h->channel.fd,
		(short)(POLLIN | out), 0 };
	for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
		const struct agent_session *s = i ? h->others[i] : &h->workload;
		struct pollfd *at = fds + WATCH_SESSIONS + i * AGENT_SESSION_WATCHES;

		for (int k = 0; k < AGENT_SESSION_WATCHES; k++)
			at[k] = none;
		if (s)
			agent_session_watch(s, &h->channel, at);
	}
}

int agent_host_step(struct agent_host *h, const struct pollfd fds[AGENT_HOST_WATCHES], struct error *err)
{
	int r = 0;

	/* Before frames are received: these may end a session, and its number may be another's then. */
	for (unsigned i = 0; i < AGENT_SESSIONS && r == 0; i++)
		if (agent_host_session(h, i))
			r = agent_session_step(agent_host_session(h, i), &h->channel,
					fds + WATCH_SESSIONS + i * AGENT_SESSION_WATCHES, err);
	if (r == 0 && fds[WATCH_CHANNEL].revents & (POLLIN | POLLHUP | POLLERR))
		r = receive(h, err);
	if (r == 0 && !h->lost && !h->workload.over && agent_channel_pending(&h->channel) &&
			agent_channel_flush(&h->channel, NULL) < 0)
		h->lost = true;
	return r;
}

/* Waits for the channel alone; streams stand still. 1: something happened. */
static int wait_channel(struct agent_host *h, uint64_t end, struct error *err)
{
	struct pollfd fds[AGENT_HOST_WATCHES];
	uint64_t now = clock_now_ns();

	if (h->lost || h->workload.over || now >= end)
		return error_set(err, now >= end ? ETIMEDOUT : ESRCH, "the guest does not hold still: %s",
				h->lost ? "it is gone" : h->workload.over ? "its workload is over" : "it says nothing");
	agent_host_watch(h, fds);
	for (unsigned i = WATCH_SESSIONS; i < AGENT_HOST_WATCHES; i++)
		fds[i] = (struct pollfd){ .fd = -1 };
	if (h->channel.held)
		fds[WATCH_CHANNEL].events = POLLIN;
	(void)poll(fds, 1, (int)((end - now) / 1000000 + 1)); /* whatever it says is looked at */
	return agent_host_step(h, fds, err);
}

int agent_host_hold(struct agent_host *h, uint64_t timeout_ns, struct error *err)
{
	uint64_t end = clock_now_ns() + timeout_ns;
	int r = send_now(h, AGENT_QUIESCE, 0, NULL, 0, err);

	h->quiesced = false;
	while (r == 0 && agent_channel_pending(&h->channel))
		r = wait_channel(h, end, err);
	h->channel.held = true;
	while (r == 0 && !h->quiesced)
		r = wait_channel(h, end, err);
	if (r == 0 && h->quiesce_code)
		r = error_set(err, h->quiesce_code, h->quiesce_code == EBUSY
				? "processes are executed beside the workload; end them first"
				: "the workload has ended");
	return r;
}

int agent_host_go_on(struct agent_host *h, struct error *err)
{
	h->channel.held = false;
	return send_renew(h, NULL, true, err);
}

bool agent_host_drained(const struct agent_host *h)
{
	return agent_session_drained(&h->workload);
}
