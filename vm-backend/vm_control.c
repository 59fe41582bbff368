/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket.
 *
 * Theory of operation. The server lives in the monitor's loop. A client is a row of a table; what it asked decides
 * which of session, question and answer its row has, and each turn of the loop looks at every row: a session that has
 * ended,
 * a question that was answered, an answer that the client can take more of. Nothing waits for a client or the guest:
 *
 *   a client that says nothing, or does not take its answer    hung up on after 10 s
 *   a guest that does not answer                               ERROR (ETIMEDOUT) after 10 s, the answer forgotten
 *   more clients than rows                                     hung up on at once
 *
 * Trust. A peer must have the monitor's user or be root (SO_PEERCRED); the folder is the owner's alone besides. What
 * the guest answers is passed on as it is: whoever asked reads it strictly.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "vm-backend/vm_control.h"

#define NAME "control"
#define PATIENCE_NS UINT64_C(10000000000)

enum { PIECE = 32 * 1024, BACKLOG = 32, MAX_SIGNAL = 64, EXIT_KILLED = 137, EXIT_INTERNAL = 125 };
enum { ASK_MS = 15000, SAVE_MS = 150000 };

/* ---- the monitor's side ---- */

/* The folder's path may be longer than sun_path. */
static int open_address(const char *dir, struct sockaddr_un *ret, struct error *err)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, "cannot open %s", dir);
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/" NAME, fd); /* fits */
	return fd;
}

int control_server_init(struct control_server *s, const char *dir, struct agent_host *agent,
		const struct control_ops *ops, void *owner, struct error *err)
{
	_cleanup_close_ int fd = -1, folder = -1;
	struct sockaddr_un address;

	*s = (struct control_server){ .fd = -1, .agent = agent, .ops = ops, .owner = owner };
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		s->clients[i].fd = -1;
	folder = open_address(dir, &address, err);
	if (folder < 0)
		return folder;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_sys(err, "cannot make the control socket");
	(void)unlink(address.sun_path); /* of a monitor before us, which is dead */
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
		return error_sys(err, "cannot make %s/" NAME, dir);
	s->fd = steal_fd(&fd);
	return 0;
}

static void drop_client(struct control_server *s, struct control_client *c)
{
	if (c->session)
		agent_host_close(s->agent, c->session);
	if (c->question)
		agent_host_forget(s->agent, c->question);
	free(c->answer);
	close_cleanup(&c->fd);
	*c = (struct control_client){ .fd = -1 };
}

/* Queues the last message of this client; it is hung up on once it has it. */
static void answer(struct control_client *c, enum control_kind kind, int value, int code, const char *text, size_t len)
{
	struct control_message head = { .kind = kind, .value = value, .code = code };
	size_t n = 0;

	/* Messages lie one after the other, each with its own head: see send_answer. */
	c->answer = xcalloc(1, (len / PIECE + 1) * sizeof head + len);
	do {
		size_t piece = len < PIECE ? len : PIECE;

		head.left = (uint32_t)(len - piece);
		memcpy(c->answer + n, &head, sizeof head);
		if (piece)
			memcpy(c->answer + n + sizeof head, text, piece);
		n += sizeof head + piece;
		text += piece;
		len -= piece;
	} while (len);
	c->answer_len = n;
	c->deadline_ns = clock_now_ns() + PATIENCE_NS;
}

static void answer_error(struct control_client *c, const struct error *err, int exit_status)
{
	answer(c, CONTROL_ERROR, exit_status, err->code ? err->code : EIO, err->message, strlen(err->message));
}

static void send_answer(struct control_server *s, struct control_client *c)
{
	while (c->answer_sent < c->answer_len) {
		size_t whole = PIECE + sizeof(struct control_message), left = c->answer_len - c->answer_sent;
		size_t n = left < whole ? left : whole;

		if (send(c->fd, c->answer + c->answer_sent, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			break;
		}
		c->answer_sent += n;
	}
	drop_client(s, c);
}

static void do_exec(struct control_server *s, struct control_client *c, const struct control_message *m,
		const char *text, size_t len, int fds[3])
{
	struct error err = { 0 };
	bool terminal = m->value == 1;
	int stdio[3] = { steal_fd(&fds[0]), steal_fd(&fds[1]), steal_fd(&fds[2]) }, r = s->ops->check(s->owner, &err);

	if (r == 0 && (stdio[0] < 0 || terminal != (stdio[1] < 0) || terminal != (stdio[2] < 0)))
		r = error_set(&err, EINVAL, "control: exec without its descriptors");
	if (r == 0)
		r = agent_host_exec(s->agent, text, len, stdio, terminal, &err);
	else
		for (int i = 0; i < 3; i++)
			close_cleanup(&stdio[i]);
	if (r < 0)
		answer_error(c, &err, EXIT_INTERNAL);
	else
		c->session = (unsigned)r;
}

static void do_pause(struct control_server *s, struct control_client *c, const struct control_message *m,
		const char *text, size_t len, int fds[3])
{
	struct error err = { 0 };

	if (s->ops->pause(s->owner, m->kind == CONTROL_PAUSE, &err) < 0)
		answer_error(c, &err, 0);
	else
		answer(c, CONTROL_OK, 0, 0, NULL, 0);
}

static void do_save(struct control_server *s, struct control_client *c, const struct control_message *m,
		const char *text, size_t len, int fds[3])
{
	struct error err = { 0 };
	int r = s->ops->check(s->owner, &err);

	if (r == 0)
		r = fds[0] < 0 ? error_set(&err, EINVAL, "control: save without a file")
				: s->ops->save(s->owner, fds[0], &err);
	if (r < 0)
		answer_error(c, &err, 0);
	else
		answer(c, CONTROL_OK, 0, 0, NULL, 0);
}

static void do_measure(struct control_server *s, struct control_client *c, const struct control_message *m,
		const char *text, size_t len, int fds[3])
{
	_cleanup_free_ char *figures = s->ops->measure(s->owner);

	answer(c, CONTROL_OK, 0, 0, figures, strlen(figures));
}

static void do_ask(struct control_server *s, struct control_client *c, const struct control_message *m,
		const char *text, size_t len, int fds[3])
{
	static const enum agent_question questions[CONTROL_KIND_COUNT] = {
		[CONTROL_PROCESSES] = AGENT_PROCESSES,
		[CONTROL_STATS] = AGENT_STATS,
		[CONTROL_UPDATE] = AGENT_UPDATE,
		[CONTROL_KILL_ALL] = AGENT_KILL_ALL,
	};
	struct error err = { 0 };
	int64_t id = s->ops->check(s->owner, &err);

	if (id == 0)
		id = agent_host_ask(s->agent, questions[m->kind], text, len, &err);
	if (id < 0) {
		answer_error(c, &err, 0);
		return;
	}
	c->question = id;
	c->deadline_ns = clock_now_ns() + PATIENCE_NS;
}

/* The client's first message. A new kind: a row here, in enum control_kind and in its comment. */
static void (*const first[CONTROL_KIND_COUNT])(struct control_server *, struct control_client *,
		const struct control_message *, const char *text, size_t len, int fds[3]) = {
	[CONTROL_MACHINE] = do_measure,
	[CONTROL_PAUSE] = do_pause,
	[CONTROL_RESUME] = do_pause,
	[CONTROL_PROCESSES] = do_ask,
	[CONTROL_STATS] = do_ask,
	[CONTROL_UPDATE] = do_ask,
	[CONTROL_KILL_ALL] = do_ask,
	[CONTROL_SAVE] = do_save,
	[CONTROL_EXEC] = do_exec,
};

/* What the client of an EXEC may say later. False: it does not keep to that. */
static bool on_later(struct control_server *s, const struct control_client *c, const struct control_message *m)
{
	if (!c->session || c->answer)
		return c->session;
	/* These fail when the guest takes nothing: then it does not take the signal either. */
	if (m->kind == CONTROL_SIGNAL && m->value > 0 && m->value <= MAX_SIGNAL)
		(void)agent_host_signal(s->agent, c->session, (uint32_t)m->value, NULL);
	else if (m->kind == CONTROL_RESIZE)
		(void)agent_host_resize(s->agent, c->session, (uint16_t)((uint32_t)m->value >> 16),
				(uint16_t)m->value, NULL);
	else
		return false;
	return true;
}

static void on_client(struct control_server *s, struct control_client *c)
{
	_cleanup_free_ char *buf = xcalloc(1, sizeof(struct control_message) + CONTROL_MAX_TEXT + 1);
	struct control_message m;
	int fds[3] = { -1, -1, -1 };
	ssize_t n = fd_recv(c->fd, buf, sizeof m + CONTROL_MAX_TEXT + 1, fds, 3);
	bool fine = n >= (ssize_t)sizeof m && n <= (ssize_t)sizeof m + CONTROL_MAX_TEXT;

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (fine) {
		memcpy(&m, buf, sizeof m);
		if (c->heard) {
			fine = on_later(s, c, &m);
		} else {
			fine = m.kind < CONTROL_KIND_COUNT && first[m.kind];
			c->heard = true;
			c->deadline_ns = 0;
			if (fine)
				first[m.kind](s, c, &m, buf + sizeof m, (size_t)n - sizeof m, fds);
		}
	}
	for (int i = 0; i < 3; i++)
		close_cleanup(&fds[i]);
	if (!fine)
		drop_client(s, c); /* the end, an error, or nonsense */
}

static bool is_owner(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void accept_client(struct control_server *s)
{
	_cleanup_close_ int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 || !is_owner(fd))
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (s->clients[i].fd < 0) {
			s->clients[i] = (struct control_client){ .fd = steal_fd(&fd),
				.deadline_ns = clock_now_ns() + PATIENCE_NS };
			return;
		}
}

/* A client's session: its start and its end. */
static void follow_session(struct control_server *s, struct control_client *c)
{
	const struct agent_session *session = agent_host_session(s->agent, c->session);
	struct control_message started = { .kind = CONTROL_STARTED };
	bool failed = session->failed;
	struct error err = session->error;
	int status = session->exit_status;

	if (session->isolated && !c->told) {
		c->told = true;
		/* A client that takes nothing yet sees the end all the same. */
		(void)send(c->fd, &started, sizeof started, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	if (!agent_session_drained(session))
		return;
	agent_host_close(s->agent, c->session); /* our ends of its streams too: their readers see the end first */
	c->session = 0;
	if (failed)
		answer_error(c, &err, status);
	else
		answer(c, CONTROL_EXIT, status, 0, NULL, 0);
}

static void follow_question(struct control_client *c, const struct agent_answer *a)
{
	if (!a->done)
		return;
	if (a->code)
		answer(c, CONTROL_ERROR, 0, a->code, a->text.text, strlen(a->text.text));
	else
		answer(c, CONTROL_OK, 0, 0, a->text.text, a->text.len);
}

static void on_deadline(struct control_server *s, struct control_client *c)
{
	struct error err = { 0 };

	if (!c->question || c->answer) {
		drop_client(s, c);
		return;
	}
	agent_host_forget(s->agent, c->question);
	c->question = 0;
	(void)error_set(&err, ETIMEDOUT, "vm: the guest does not answer"); /* the code is in err */
	answer_error(c, &err, 0);
}

static void progress(struct control_server *s, struct control_client *c)
{
	if (c->session && !c->answer)
		follow_session(s, c);
	if (c->question && !c->answer)
		follow_question(c, agent_host_answer(s->agent, c->question));
	if (c->deadline_ns && clock_now_ns() >= c->deadline_ns)
		on_deadline(s, c);
	if (c->answer)
		send_answer(s, c);
}

void control_server_watch(const struct control_server *s, struct pollfd fds[CONTROL_WATCHES])
{
	fds[0] = (struct pollfd){ s->fd, POLLIN, 0 };
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		fds[1 + i] = (struct pollfd){ s->clients[i].fd, s->clients[i].answer ? POLLOUT : POLLIN, 0 };
}

void control_server_step(struct control_server *s, const struct pollfd fds[CONTROL_WATCHES])
{
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (s->clients[i].fd >= 0 && fds[1 + i].fd == s->clients[i].fd && fds[1 + i].revents &&
				!s->clients[i].answer)
			on_client(s, &s->clients[i]);
	if (fds[0].revents)
		accept_client(s);
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (s->clients[i].fd >= 0)
			progress(s, &s->clients[i]);
}

uint64_t control_server_deadline(const struct control_server *s)
{
	uint64_t first_ns = 0;

	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (s->clients[i].fd >= 0 && s->clients[i].deadline_ns &&
				(!first_ns || s->clients[i].deadline_ns < first_ns))
			first_ns = s->clients[i].deadline_ns;
	return first_ns;
}

void control_server_end(struct control_server *s)
{
	static const struct error gone = { ESRCH, "the workload is over" };

	close_cleanup(&s->fd);
	s->fd = -1;
	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct control_client *c = &s->clients[i];

		if (c->fd < 0)
			continue;
		if (!c->answer && c->session)
			answer(c, CONTROL_EXIT, EXIT_KILLED, 0, NULL, 0);
		else if (!c->answer)
			answer_error(c, &gone, EXIT_INTERNAL);
		send_answer(s, c);
	}
}

/* ---- everybody else's side ---- */

int control_connect(const struct instance *in, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), folder = -1;
	struct sockaddr_un address;

	if (fd < 0)
		return error_sys(err, "cannot make a socket");
	folder = open_address(in->dir, &address, err);
	if (folder < 0)
		return folder;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return errno == ECONNREFUSED || errno == ENOENT ? error_set(err, ESRCH, "%s: the machine is gone",
				in->id) : error_sys(err, "%s/" NAME, in->dir);
	return steal_fd(&fd);
}

int control_send(int fd, enum control_kind kind, int value, const char *text, size_t len, const int *fds, size_t n_fds,
		struct error *err)
{
	struct control_message head = { .kind = kind, .value = value };
	_cleanup_free_ char *whole = NULL;
	int r;

	if (len > CONTROL_MAX_TEXT)
		return error_set(err, E2BIG, "control: %zu bytes; at most %d", len, CONTROL_MAX_TEXT);
	whole = xcalloc(1, sizeof head + len);
	memcpy(whole, &head, sizeof head);
	if (len)
		memcpy(whole + sizeof head, text, len);
	r = fd_send(fd, whole, sizeof head + len, fds, n_fds);
	return r < 0 ? error_set(err, r == -EPIPE ? ESRCH : -r, "the monitor does not listen: %s", strerror(-r)) : 0;
}

/* One message of the answer. Returns the bytes of text, or -errno. */
static ssize_t receive(int fd, int wait_ms, struct control_message *head, char *text, struct error *err)
{
	static const size_t room = sizeof *head + PIECE;
	_cleanup_free_ char *buf = xcalloc(1, room);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	do
		n = poll(&p, 1, wait_ms);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return error_set(err, ETIMEDOUT, "the monitor does not answer");
	n = recv(fd, buf, room, 0);
	if (n < (ssize_t)sizeof *head)
		return error_set(err, ESRCH, "the machine has ended");
	memcpy(head, buf, sizeof *head);
	memcpy(text, buf + sizeof *head, (size_t)n - sizeof *head);
	return n - (ssize_t)sizeof *head;
}

int control_ask(const struct instance *in, enum control_kind kind, int value, const char *text, size_t len,
		char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_close_ int fd = control_connect(in, err);
	_cleanup_free_ char *piece = xcalloc(1, PIECE + 1);
	_cleanup_strbuf_ struct strbuf all = { 0 };
	struct control_message head = { .left = 1 };
	int r = fd < 0 ? fd : control_send(fd, kind, value, text, len, NULL, 0, err);

	while (r == 0 && head.left) {
		ssize_t n = receive(fd, ASK_MS, &head, piece, err);

		if (n < 0)
			return (int)n;
		piece[n] = '\0';
		if (head.kind == CONTROL_ERROR)
			return error_set(err, head.code > 0 ? head.code : EIO, "%s: %s", in->id, piece);
		if (head.kind != CONTROL_OK || all.len + (size_t)n > AGENT_MAX_REPLY)
			return error_set(err, EPROTO, "%s: the monitor answers out of turn", in->id);
		strbuf_add(&all, piece, (size_t)n);
	}
	if (r == 0 && ret_text) {
		*ret_len = all.len;
		*ret_text = all.text ? steal_ptr(all.text) : xstrdup("");
	}
	return r;
}

int control_ask_with(const struct instance *in, enum control_kind kind, int with, struct error *err)
{
	_cleanup_close_ int fd = control_connect(in, err);
	_cleanup_free_ char *text = xcalloc(1, PIECE + 1);
	struct control_message head = { 0 };
	ssize_t n = fd < 0 ? fd : control_send(fd, kind, 0, NULL, 0, &with, 1, err);

	if (n == 0)
		n = receive(fd, SAVE_MS, &head, text, err);
	if (n < 0)
		return (int)n;
	if (head.kind == CONTROL_ERROR)
		return error_set(err, head.code > 0 ? head.code : EIO, "%s: %s", in->id, text);
	return head.kind == CONTROL_OK ? 0 : error_set(err, EPROTO, "%s: the monitor answers out of turn", in->id);
}
