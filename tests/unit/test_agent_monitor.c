/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor with an engine whose machine is a plain process that plays the guest: what the launcher sees of good
 * guests, bad ones and dead ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "tests/unit/tap.h"
#include "vm-backend/agent_protocol.h"
#include "vm-backend/vm_control.h"
#include "vm-backend/vm_monitor.h"
#include "vm-backend/vm_verbs.h"

static char dir[] = "/tmp/bivalve-test.XXXXXX";

/* ---- the guest's side: blocking, simple, run in the machine's process ---- */

static void send_frame(int fd, uint8_t kind, uint8_t stream, const void *payload, uint32_t len)
{
	struct agent_header h = { len, kind, stream, 0 };

	if (fd_write_full(fd, &h, sizeof h) < 0 || fd_write_full(fd, payload, len) < 0)
		_exit(1);
}

/* Reads frames until one of kind; its payload is in buf. */
static struct agent_header await_frame(int fd, uint8_t kind, char buf[AGENT_MAX_PAYLOAD + 1])
{
	struct agent_header h;

	do {
		if (fd_read_full(fd, &h, sizeof h) != (ssize_t)sizeof h || h.length > AGENT_MAX_PAYLOAD ||
				fd_read_full(fd, buf, h.length) != (ssize_t)h.length)
			_exit(1);
		buf[h.length] = '\0';
	} while (h.kind != kind);
	return h;
}

static char buffer[AGENT_MAX_PAYLOAD + 1];

static void say_hello(int fd)
{
	struct agent_hello hello = { .version = AGENT_VERSION, .uptime_ns = 1000 };

	send_frame(fd, AGENT_HELLO, 0, &hello, sizeof hello);
}

/* Session 0 is described, set up, and let go. */
static void await_plan(int fd)
{
	static char ignored[AGENT_MAX_PAYLOAD + 1];

	(void)await_frame(fd, AGENT_PLAN, buffer);
	send_frame(fd, AGENT_ISOLATED, 0, NULL, 0);
	(void)await_frame(fd, AGENT_GO, ignored);
}

static void say_exit(int fd, int wait_status)
{
	struct agent_exit told = { .wait_status = wait_status, .cpu_user_us = 11, .peak_memory_bytes = 22 };

	send_frame(fd, AGENT_EXIT, 0, &told, sizeof told);
}

/* Echoes standard input to standard output and exits with 3. */
static void play_cat(int fd, int log)
{
	struct agent_header h = { 0 };
	uint32_t len;

	say_hello(fd);
	await_plan(fd);
	if (strstr(buffer, "secret.erofs") || !strstr(buffer, "\"argv\":[\"cat\"]"))
		_exit(1);
	send_frame(fd, AGENT_MILESTONE, 0, "exec", 4);
	do {
		if (fd_read_full(fd, &h, sizeof h) != (ssize_t)sizeof h ||
				fd_read_full(fd, buffer, h.length) != (ssize_t)h.length)
			_exit(1);
		len = h.length;
		if (h.kind == AGENT_DATA)
			send_frame(fd, AGENT_DATA, AGENT_STDOUT, buffer, h.length);
		if (h.kind == AGENT_DATA)
			send_frame(fd, AGENT_CREDIT, AGENT_STDIN, &len, sizeof len);
	} while (h.kind != AGENT_EOF);
	send_frame(fd, AGENT_EOF, AGENT_STDOUT, NULL, 0);
	say_exit(fd, 3 << 8);
	(void)pause(); /* the monitor does not need us to leave */
}

/* Dies of the signal that the host asks for. */
static void play_signals(int fd, int log)
{
	uint32_t signo;

	say_hello(fd);
	await_plan(fd);
	send_frame(fd, AGENT_MILESTONE, 0, "exec", 4);
	(void)await_frame(fd, AGENT_SIGNAL, buffer);
	memcpy(&signo, buffer, sizeof signo);
	say_exit(fd, (int)signo);
	(void)pause();
}

static void play_deaf(int fd, int log)
{
	say_hello(fd);
	await_plan(fd);
	send_frame(fd, AGENT_MILESTONE, 0, "exec", 4);
	(void)pause();
}

static void play_failure(int fd, int log)
{
	struct {
		struct agent_error head;
		char text[20];
	} e = { { ENOENT, 127 }, "no such\n\033[31mfile" };

	say_hello(fd);
	await_plan(fd);
	send_frame(fd, AGENT_ERROR, 0, &e, sizeof e.head + (uint32_t)strlen(e.text));
	(void)pause();
}

static void play_panic(int fd, int log)
{
	(void)fd_write_full(log, "booting\r\nKernel panic - not syncing\r\n", 36);
	_exit(0);
}

static void play_liar(int fd, int log)
{
	struct agent_header h = { UINT32_MAX, AGENT_DATA, 1, 0 };

	say_hello(fd);
	await_plan(fd);
	(void)fd_write_full(fd, &h, sizeof h);
	(void)pause();
}

static void play_early(int fd, int log)
{
	send_frame(fd, AGENT_DATA, 1, "before START", 12);
	(void)pause();
}

static void play_bad_status(int fd, int log)
{
	say_hello(fd);
	await_plan(fd);
	say_exit(fd, 0x7f);
	(void)pause();
}

static void play_old(int fd, int log)
{
	struct agent_hello hello = { .version = 99 };

	send_frame(fd, AGENT_HELLO, 0, &hello, sizeof hello);
	(void)pause();
}

/* Answers the first question with nonsense, never the second, the third in pieces; then plays session 1. */
static void play_answers(int fd, int log)
{
	static const char piece[] = "{\"processes\":[]}";
	struct {
		struct agent_reply head;
		char text[20];
	} reply = { .text = "not JSON" };
	struct agent_exit told = { .wait_status = 5 << 8 };
	struct agent_header h;
	struct agent_request asked;

	say_hello(fd);
	await_plan(fd);
	send_frame(fd, AGENT_MILESTONE, 0, "exec", 4);
	for (int i = 0; i < 3; i++) {
		(void)await_frame(fd, AGENT_REQUEST, buffer);
		memcpy(&asked, buffer, sizeof asked);
		reply.head.id = asked.id;
		if (i == 0)
			send_frame(fd, AGENT_REPLY, 0, &reply, sizeof reply.head + 8);
		if (i == 1) { /* one for a question that nobody asked, and one that is too long */
			reply.head.id = asked.id + 1000;
			send_frame(fd, AGENT_REPLY, 0, &reply, sizeof reply.head);
			reply.head.id = asked.id;
			reply.head.left = UINT32_MAX;
			send_frame(fd, AGENT_REPLY, 0, &reply, sizeof reply.head + 8);
			reply.head.left = 0;
		}
		for (size_t at = 0; i == 2 && at < sizeof piece - 1; at++) {
			reply.head.left = (uint32_t)(sizeof piece - 2 - at);
			reply.text[0] = piece[at];
			send_frame(fd, AGENT_REPLY, 0, &reply, sizeof reply.head + 1);
		}
	}
	do
		h = await_frame(fd, AGENT_PLAN, buffer);
	while (h.session != 1);
	h = (struct agent_header){ 0, AGENT_ISOLATED, 0, 1 };
	(void)fd_write_full(fd, &h, sizeof h); /* else the next fails */
	h = (struct agent_header){ 6, AGENT_DATA, AGENT_STDOUT, 1 };
	(void)fd_write_full(fd, &h, sizeof h);
	(void)fd_write_full(fd, "beside", 6);
	h = (struct agent_header){ sizeof told, AGENT_EXIT, 0, 1 };
	(void)fd_write_full(fd, &h, sizeof h);
	(void)fd_write_full(fd, &told, sizeof told);
	(void)await_frame(fd, AGENT_SIGNAL, buffer);
	say_exit(fd, 9);
	(void)pause();
}

/* Tells of a watched call though the plan asks for none. */
static void play_gossip(int fd, int log)
{
	static const char event[1000];

	say_hello(fd);
	await_plan(fd);
	send_frame(fd, AGENT_WATCHED, 0, event, sizeof event);
	(void)pause();
}

/* Speaks of a session that nobody has begun. */
static void play_stranger(int fd, int log)
{
	struct agent_header h = { 1, AGENT_DATA, AGENT_STDOUT, 7 };

	say_hello(fd);
	await_plan(fd);
	(void)fd_write_full(fd, &h, sizeof h); /* else the monitor fails otherwise */
	(void)fd_write_full(fd, "x", 1);
	(void)pause();
}

/* ---- the engine ---- */

static void (*play)(int fd, int log);

static int fake_spawn(const struct vm_config *config, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	pid_t parent = getpid(), pid;

	if (!play)
		return error_set(err, ENOEXEC, "no machine here");
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent) /* killed before we could say so */
			_exit(0);
		play(config->agent_fd, config->log_fd);
		_exit(0);
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd_open_pid(pid);
	return *ret_pidfd < 0 ? *ret_pidfd : 0;
}

static const struct vm_engine fake = { .name = "fake", .spawn = fake_spawn };

/* ---- one run, as the launcher would do it ---- */

struct run {
	pid_t monitor;
	int events, start, input, output;
	struct vm_monitor_ready ready;
	int status;              /* of the monitor */
	struct backend_event error, exited; /* kind 0: none came */
	bool exec_seen;
	char out[65536];
	size_t out_len;
};

static void run_begin(struct run *r, void (*guest)(int, int))
{
	static char *argv[] = { (char *)(uintptr_t)"cat", NULL };
	static char disk[] = "/secret.erofs", id[] = "t";
	static struct plan plan = { .id = id, .root.disk = disk, .process.argv = argv, .vm.memory_bytes = 64 << 20 };
	int events[2], start[2], ready[2], in[2], out[2];
	sigset_t all, old;

	play = guest;
	*r = (struct run){ 0 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0 || pipe2(start, O_CLOEXEC) < 0 ||
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ready) < 0 || pipe2(in, O_CLOEXEC) < 0 ||
			pipe2(out, O_CLOEXEC) < 0)
		exit(99);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	r->monitor = fork();
	if (r->monitor == 0) {
		struct vm_monitor_start s = { .plan = &plan, .engine = &fake, .dir = dir, .parent = getppid(),
			.stdio = { in[0], out[1], fcntl(out[1], F_DUPFD_CLOEXEC, 3) }, .event_fd = events[1],
			.start_fd = start[0], .ready_fd = ready[1] };

		(void)close(in[1]);
		(void)close(out[0]);
		(void)close(events[0]);
		(void)close(start[1]);
		vm_monitor_run(&s);
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)close(in[0]);
	(void)close(out[1]);
	(void)close(events[1]);
	(void)close(start[0]);
	(void)close(ready[1]);
	r->events = events[0];
	r->start = start[1];
	r->input = in[1];
	r->output = out[0];
	(void)!recv(ready[0], &r->ready, sizeof r->ready, 0); /* zero: no machine */
	(void)close(ready[0]);
}

/* Takes events until the workload runs, or to the end. */
static void run_events(struct run *r, bool until_exec)
{
	struct backend_event e;

	while (!(until_exec && r->exec_seen) && recv(r->events, &e, sizeof e, 0) == (ssize_t)sizeof e) {
		if (e.kind == EVENT_ERROR)
			r->error = e;
		else if (e.kind == EVENT_EXIT)
			r->exited = e;
		else if (!strcmp(e.text, "exec"))
			r->exec_seen = true;
	}
}

static void run_end(struct run *r)
{
	ssize_t n;

	if (r->input >= 0)
		(void)close(r->input);
	while ((n = read(r->output, r->out + r->out_len, sizeof r->out - r->out_len)) > 0)
		r->out_len += (size_t)n;
	run_events(r, false);
	(void)waitpid(r->monitor, &r->status, 0);
	(void)close(r->output);
	(void)close(r->events);
	if (r->start >= 0)
		(void)close(r->start);
}

static void relay(const struct run *r, int signo)
{
	(void)sigqueue(r->monitor, VM_RELAY_SIGNAL, (union sigval){ .sival_int = signo });
}

static bool gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void test_cat(void)
{
	static struct run r;

	run_begin(&r, play_cat);
	ok(r.ready.machine > 0, "the machine runs (%s)", r.ready.error.message);
	(void)!write(r.input, "hello, guest", 12);
	(void)!write(r.start, "", 1);
	run_end(&r);
	ok(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 3, "the monitor exits with the workload's status");
	ok(r.exited.kind == EVENT_EXIT && WEXITSTATUS(r.exited.exit_status) == 3 && r.exited.cpu_user_us == 11 &&
			r.exited.peak_memory_bytes == 22, "and its figures are told");
	ok(r.out_len == 12 && memcmp(r.out, "hello, guest", 12) == 0, "input and output are joined");
	ok(r.exec_seen && gone(r.ready.machine), "the machine is gone");
}

static void test_signals(void)
{
	static struct run r;
	uint64_t begin;

	run_begin(&r, play_signals);
	(void)!write(r.start, "", 1);
	run_events(&r, true);
	relay(&r, SIGKILL);
	run_end(&r);
	ok(WEXITSTATUS(r.status) == 137 && r.exited.exit_status == SIGKILL, "a relayed SIGKILL ends the workload");

	run_begin(&r, play_signals);
	(void)!write(r.start, "", 1);
	run_events(&r, true);
	(void)kill(r.monitor, SIGTERM);
	run_end(&r);
	ok(WEXITSTATUS(r.status) == 143, "a plain SIGTERM is passed on");

	run_begin(&r, play_deaf);
	(void)!write(r.start, "", 1);
	run_events(&r, true);
	begin = clock_now_ns();
	relay(&r, SIGKILL);
	run_end(&r);
	ok(WEXITSTATUS(r.status) == 137 && r.exited.exit_status == SIGKILL && clock_now_ns() - begin < 10000000000,
			"a guest that ignores SIGKILL is killed with its machine");

	run_begin(&r, play_deaf);
	relay(&r, SIGTERM);
	run_end(&r);
	ok(WEXITSTATUS(r.status) == 143 && gone(r.ready.machine),
			"before the start the monitor itself dies of a signal");

	run_begin(&r, play_deaf);
	(void)kill(r.monitor, SIGKILL);
	run_end(&r);
	for (int i = 0; i < 1000 && !gone(r.ready.machine); i++)
		(void)usleep(5000); /* an orphan: nobody tells us of its end */
	ok(gone(r.ready.machine), "the machine dies with the monitor");
}

static void test_failures(void)
{
	static const struct {
		const char *what, *text;
		void (*guest)(int, int);
		int status;
	} cases[] = {
		{ "a workload that cannot be started", "no such??[31mfile", play_failure, 127 },
		{ "a kernel panic", "it said: Kernel panic - not syncing", play_panic, 125 },
		{ "a frame of 4 GiB", "bad frame", play_liar, 125 },
		{ "data before the start", "out of turn", play_early, 125 },
		{ "a status that is none", "not a wait status", play_bad_status, 125 },
		{ "data of a session that is none", "session 7, which does not run", play_stranger, 125 },
		{ "a watched call where none is", "that nobody asked for", play_gossip, 125 },
		{ "a guest of another release", "speaks version 99", play_old, 125 },
	};
	static struct run r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		run_begin(&r, cases[i].guest);
		(void)!write(r.start, "", 1);
		run_end(&r);
		ok(WIFEXITED(r.status) && WEXITSTATUS(r.status) == cases[i].status && r.error.kind == EVENT_ERROR &&
				r.error.exit_status == cases[i].status && strstr(r.error.text, cases[i].text),
				"%s: %s", cases[i].what, r.error.text);
		ok(gone(r.ready.machine) && !r.exited.kind, "and nothing is left");
	}
	run_begin(&r, NULL);
	ok(r.ready.machine == 0 && strstr(r.ready.error.message, "no machine here"), "no machine: %s",
			r.ready.error.message);
	run_end(&r);

	run_begin(&r, play_deaf);
	(void)close(r.start);
	r.start = -1;
	run_end(&r);
	ok(WEXITSTATUS(r.status) == 125 && gone(r.ready.machine), "closed unwritten, the start pipe ends it");
}

static void test_control(void)
{
	static char id[] = "t";
	static char *argv[] = { (char *)(uintptr_t)"true", NULL };
	const struct instance in = { .id = id, .dir = dir };
	const struct plan_process process = { .argv = argv };
	struct backend_process *list = NULL;
	struct backend_exec_result made;
	struct machine_stats machine = { 0 };
	struct stats inside, outside;
	struct error err = { 0 };
	char text[16] = "";
	int out[2], status = 0, idle;
	static struct run r;
	size_t n = 1;

	run_begin(&r, play_answers);
	(void)!write(r.start, "", 1);
	run_events(&r, true);
	idle = control_connect(&in, &err);
	ok(idle >= 0, "a client that says nothing is no hindrance (%s)", err.message);
	ok(vm_stats(&in, &inside, &outside, &err) == -EINVAL, "nonsense fails its question: %s", err.message);
	ok(vm_machine(&in, &machine, &err) == 0 && machine.dirty_bytes > 0 && !machine.n_queues,
			"what the host sees of the machine is known all the same (%s)", err.message);
	record_release(&machine_stats_type, &machine);
	ok(vm_processes(&in, &list, &n, &err) == -EPROTO, "so does an endless answer: %s", err.message);
	ok(vm_processes(&in, &list, &n, &err) == 0 && n == 0, "the next one is answered (%s)", err.message);
	backend_processes_free(list, n);
	ok(vm_pause(&in, &err) == 0 && vm_stats(&in, &inside, &outside, &err) == 0 && vm_resume(&in, &err) == 0,
			"paused, nothing is asked of the guest (%s)", err.message);
	if (pipe2(out, O_CLOEXEC) < 0)
		exit(99);
	ok(vm_exec(&in, NULL, &(struct backend_exec){ .process = &process, .stdio = { out[0], out[1], out[1] } }, &made,
			&err) == 0, "one more process (%s)", err.message);
	(void)close(out[1]);
	(void)waitpid(made.pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 5, "its proxy ends with its status");
	ok(read(out[0], text, sizeof text) == 6 && !memcmp(text, "beside", 6) && read(out[0], text, 1) == 0,
			"its output came, and its end");
	(void)close(out[0]);
	(void)close(made.event_fd);
	(void)close(made.pidfd);
	relay(&r, SIGKILL);
	run_end(&r);
	ok(WEXITSTATUS(r.status) == 137, "all that did the monitor no harm");
	ok(control_connect(&in, &err) == -ESRCH, "then there is nobody to ask: %s", err.message);
	(void)close(idle);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 99;
	(void)signal(SIGPIPE, SIG_IGN);
	test_cat();
	test_signals();
	test_failures();
	test_control();
	(void)path_remove_tree(AT_FDCWD, dir, NULL); /* a left-over in /tmp is no failure */
	return tap_done();
}
