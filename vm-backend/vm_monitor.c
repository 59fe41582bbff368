/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor.
 *
 * Theory of operation. One loop over: the agent channel and the sessions' streams (agent_host), the machine's pidfd,
 * its log, signals, the start pipe, the control socket and one deadline. The stages:
 *
 *   boot -- HELLO --> set up -- ISOLATED and the start byte --> running -- EXIT or ERROR --> drain ---> exit(status)
 *     |                 |                                         |                             |
 *     +-----------------+- machine ends, time passes,             +- machine ends, bad frames:  +- the machine is
 *                          or the start pipe closes:                 ERROR, exit(125)              killed at once,
 *                          ERROR, exit(125)                                                        unless it has
 *                                                                                                  disks to write back
 *
 * Everything dies together: the machine with the monitor and the monitor with its parent, by PR_SET_PDEATHSIG; the
 * monitor kills the machine before it exits.
 *
 * A detached monitor is tied to its maker only until that has written down its pids and says so by a byte: whenever the
 * maker is killed, either all is gone or state.json names it. Nobody reads its events: its last error is a file.
 *
 * A paused machine is a stopped process (SIGSTOP): no vCPU runs, and no deadline of the guest's passes meanwhile.
 *
 * SIGKILL cannot be caught, so the backend sends it as the value of VM_RELAY_SIGNAL. The guest delivers it and the
 * workload's status comes back the usual way; a guest that does not answer is killed with its machine.
 *
 * Not defended against: a guest that lies about its workload. It can claim any exit status, output and figures; it
 * cannot make the monitor do more than write to the workload's streams and send events.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "runtime/model/usernet.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/saved_disk.h"
#include "vm-backend/vm_config.h"
#include "vm-backend/vm_children.h"
#include "vm-backend/vm_control.h"
#include "vm-backend/vm_log.h"
#include "vm-backend/vm_monitor.h"
#include "vm-backend/vm_monitor_private.h"
#include "vm-backend/vm_view.h"

#define SECOND_NS UINT64_C(1000000000)
#define BOOT_NS   (120 * SECOND_NS) /* an emulated machine on a loaded host is slow */
#define SETUP_NS  (60 * SECOND_NS)  /* for the guest to isolate the workload */
#define KILL_NS   (2 * SECOND_NS)   /* for SIGKILL to take effect in the guest */
#define LOST_NS   (2 * SECOND_NS)   /* for a machine whose agent channel has closed to end */
#define CHANGES_LIST_BYTES (UINT64_C(256) << 20) /* of names and what else is told of files */

enum { EXIT_INTERNAL = 125 };
enum {
	WATCH_SIGNALS = AGENT_HOST_WATCHES, WATCH_MACHINE, WATCH_LOG, WATCH_START, WATCH_READY, WATCH_CONTROL,
	WATCH_COUNT = WATCH_CONTROL + CONTROL_WATCHES,
};

/* Signals that somebody may send to the monitor and means the workload. */
static const int relayed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU,
	SIGALRM, SIGVTALRM, SIGPROF, SIGURG, SIGIO, SIGPWR };

/* The answer to the maker. A maker that is gone takes us along. */
static void tell_maker(struct monitor *m, const struct error *err)
{
	struct vm_monitor_ready ready = { .machine = err ? 0 : m->machine };

	if (err)
		ready.error = *err;
	if (m->ready_fd >= 0)
		(void)send(m->ready_fd, &ready, sizeof ready, MSG_NOSIGNAL | MSG_DONTWAIT); /* two small messages fit */
}

/* For whoever asks later what became of a detached instance; and for its maker, if that still waits. */
static void keep_error(struct monitor *m, const struct error *err)
{
	_cleanup_free_ char *line = NULL;

	if (!m->start->detached)
		return;
	line = xasprintf("%s\n", err->message);
	/* Should it fail, the exit status says it too. */
	(void)file_write_volatile(m->dir_fd, VM_MONITOR_ERROR, line, strlen(line), 0600, NULL);
	if (!m->told_isolated)
		tell_maker(m, err);
}

static void tell_error(struct monitor *m, const struct error *err)
{
	(void)backend_event_error(m->start->event_fd, err, EXIT_INTERNAL); /* the exit status says it too */
	keep_error(m, err);
}

static void finish(struct monitor *m, int exit_status)
{
	m->finished = true;
	m->exit_status = exit_status;
}

/* The run failed for a reason that is not the workload's; the log's end usually tells why. */
static void fail(struct monitor *m, const struct error *err)
{
	char tail[600];
	struct error full = { .code = err->code };

	if (m->finished)
		return;
	if (m->log.fd >= 0)
		vm_log_read(&m->log);
	vm_log_tail(&m->log, tail, sizeof tail);
	(void)snprintf(full.message, sizeof full.message, "%.380s%s%s", err->message, *tail ? "; it said: " : "", tail);
	tell_error(m, &full);
	finish(m, EXIT_INTERNAL);
}

/* The workload ended by a signal, as far as anybody can tell: there is no word from the guest. */
static void finish_signaled(struct monitor *m, int signo)
{
	struct backend_event event = { .kind = EVENT_EXIT, .exit_status = signo };

	(void)backend_event_send(m->start->event_fd, &event); /* the exit status says it too */
	finish(m, 128 + signo);
}

/* The guest's kernel is up. */
static void on_ready(struct monitor *m)
{
	struct backend_event entered = { .kind = EVENT_MILESTONE, .text = "kernel-entered" };
	uint64_t now = clock_now_ns();

	if (m->start->engine->entry_unseen && !m->agent.renewals && m->agent.uptime_ns < now - m->spawned_ns) {
		entered.at_ns = now - m->agent.uptime_ns;
		(void)backend_event_send(m->start->event_fd, &entered); /* the supervisor may be gone */
	}
	(void)backend_event_milestone(m->start->event_fd, "agent-ready"); /* as above */
	if (!m->killing)
		m->deadline_ns = now + SETUP_NS;
}

static void resize(struct monitor *m);

/* The guest has set up the workload, which waits for its start now. */
static void on_isolated(struct monitor *m)
{
	struct error err = { 0 };

	if (vm_view_enter(m->start->plan, &err) < 0) {
		fail(m, &err);
		return;
	}
	m->told_isolated = true;
	if (!m->killing)
		m->deadline_ns = 0;
	if (m->start->plan->process.terminal)
		resize(m);
	if (m->start->detached)
		tell_maker(m, NULL);
}

static void on_agent(struct monitor *m, const struct pollfd *fds)
{
	const struct agent_session *workload = &m->agent.workload;
	struct error err = { 0 };
	bool was_ready = m->agent.ready, was_over = workload->over;
	int r = agent_host_step(&m->agent, fds, &err);

	if (r < 0) {
		(void)error_prefix(&err, "vm: the guest broke the protocol"); /* the code is in err */
		fail(m, &err);
		return;
	}
	if (m->agent.ready && !was_ready)
		on_ready(m);
	if (workload->isolated && !m->told_isolated)
		on_isolated(m);
	if (workload->failed && !was_over)
		keep_error(m, &workload->error);
	if (m->agent.lost && !m->killing && !m->lost) {
		m->lost = true;
		m->deadline_ns = clock_now_ns() + LOST_NS;
	}
}

/* A machine that boots gets the plan at once: it waits in the channel for the guest, which so need not wait for it. */
static void start_if_ready(struct monitor *m)
{
	const struct agent_session *workload = &m->agent.workload;
	bool boots = !m->start->restore.state_bytes;
	struct error err = { 0 };
	int r = 0;

	if (workload->over)
		return;
	if (m->agent.ready && !m->agent.started && m->start->prepared && agent_host_adopt(&m->agent, m->start->plan)) {
		(void)backend_event_milestone(m->start->event_fd, "isolated"); /* as above */
		on_isolated(m);
	} else if ((m->agent.ready || boots) && !m->agent.started) {
		r = agent_host_start(&m->agent, m->start->plan, m->start->detached ? AGENT_DETACHED : 0, &err);
	}
	if (r == 0 && m->go && !m->finished && workload->isolated && !workload->running)
		r = agent_host_go(&m->agent, &err);
	if (r < 0)
		fail(m, &err);
}

/* The maker of a detached instance has written down what there is, or is gone. */
static void on_maker(struct monitor *m)
{
	char byte = 0;

	if (read(m->ready_fd, &byte, 1) == 1 && byte == VM_MONITOR_RELEASE)
		(void)prctl(PR_SET_PDEATHSIG, 0); /* cannot fail */
	else
		finish(m, EXIT_INTERNAL);
	(void)close(m->ready_fd); /* it has told all it can */
	m->ready_fd = -1;
}

static void on_start(struct monitor *m)
{
	char byte;
	ssize_t n = read(m->start_fd, &byte, 1);

	if (n < 0)
		return;
	(void)close(m->start_fd); /* it has told all it can */
	m->start_fd = -1;
	m->go = n == 1;
	if (!m->go)
		finish(m, EXIT_INTERNAL);
}

/* What fails because the guest takes nothing now is lost, as it would be in a full queue of any kind. */
static void note(struct monitor *m, int r, const struct error *err)
{
	if (r < 0 && r != -EAGAIN)
		fail(m, err);
}

static void resize(struct monitor *m)
{
	struct winsize size;
	struct error err = { 0 };

	if (m->agent.workload.isolated && ioctl(m->agent.workload.stdio[0], TIOCGWINSZ, &size) == 0 && size.ws_row &&
			size.ws_col)
		note(m, agent_host_resize(&m->agent, 0, size.ws_row, size.ws_col, &err), &err);
}

/* A signal for the workload. Before it exists, the monitor is what dies of the signal. */
static void relay(struct monitor *m, int signo)
{
	struct error err = { 0 };

	if (signo <= 0 || signo > SIGRTMAX)
		return;
	if (signo == SIGKILL && !m->killing) {
		m->killing = true;
		m->deadline_ns = clock_now_ns() + KILL_NS;
	}
	if (m->agent.workload.over || m->finished)
		return;
	if (signo == SIGKILL && m->paused_ns)
		finish_signaled(m, signo); /* the guest cannot answer */
	else if (m->agent.workload.running)
		note(m, agent_host_signal(&m->agent, 0, (uint32_t)signo, &err), &err);
	else if (signo == SIGKILL || signo == SIGTERM || signo == SIGINT || signo == SIGHUP || signo == SIGQUIT)
		finish_signaled(m, signo);
}

static void on_signals(struct monitor *m)
{
	struct signalfd_siginfo info;

	while (read(m->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		int signo = (int)info.ssi_signo;

		if (signo == SIGWINCH && m->start->plan->process.terminal)
			resize(m);
		else if (signo == VM_RELAY_SIGNAL && info.ssi_code == SI_QUEUE)
			relay(m, info.ssi_int);
		else if (signo != VM_RELAY_SIGNAL)
			relay(m, signo);
	}
}

/* Of which signal the machine's process died, if it did; it is not reaped yet. */
static const char *how_ended(const struct monitor *m, char *text, size_t size)
{
	siginfo_t info = { 0 };

	text[0] = '\0';
	if (waitid(P_PID, (id_t)m->machine, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid &&
			(info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED))
		(void)snprintf(text, size, " (by signal %d)", info.si_status); /* fits */
	return text;
}

/* The machine has ended. What it said before is still in the channel, and counts. */
static void on_machine(struct monitor *m)
{
	char how[40];
	struct pollfd fds[AGENT_HOST_WATCHES];
	struct error err = { 0 };

	while (!m->agent.lost && !m->agent.workload.over && !m->finished) {
		agent_host_watch(&m->agent, fds);
		fds[0].revents = POLLIN;
		on_agent(m, fds);
		if (!m->agent.lost && poll(fds, 1, 0) == 0)
			break; /* somebody else keeps the socket open */
	}
	(void)close(m->machine_fd); /* a pidfd */
	m->machine_fd = -1;
	if (m->agent.workload.over || m->finished)
		return;
	if (m->killing) {
		finish_signaled(m, SIGKILL);
		return;
	}
	(void)error_set(&err, EIO, "vm: the machine ended%s %s", how_ended(m, how, sizeof how),
			!m->agent.ready ? "before the guest was up"
			: m->agent.workload.running ? "under the workload" : "before the workload was started");
	fail(m, &err);
}

static void on_deadline(struct monitor *m)
{
	struct error err = { 0 };

	m->deadline_ns = 0;
	if (m->killing && m->agent.workload.over)
		finish(m, m->agent.workload.exit_status); /* nobody reads the rest of its output */
	else if (m->killing)
		finish_signaled(m, SIGKILL);
	else if (m->lost)
		(void)error_set(&err, EPIPE, "vm: the guest closed the agent channel"); /* the code is in err */
	else if (!m->agent.ready)
		(void)error_set(&err, ETIMEDOUT, "vm: the guest was not up after %d s", (int)(BOOT_NS / SECOND_NS));
	else if (!m->agent.workload.isolated)
		(void)error_set(&err, ETIMEDOUT, "vm: the guest has not set up the workload after %d s",
				(int)(SETUP_NS / SECOND_NS));
	if (err.code)
		fail(m, &err);
}

/* For messages. */
static const char *stage_of(const struct monitor *m)
{
	const struct agent_session *workload = &m->agent.workload;

	return workload->over ? "over" : workload->running ? "running" : workload->isolated ? "isolated"
			: !m->agent.ready ? "booting" : m->agent.started ? "setting-up" : "ready";
}

static int check_guest(void *owner, struct error *err)
{
	const struct monitor *m = owner;

	if (m->paused_ns)
		return error_set(err, EBUSY, "the machine is paused");
	if (!m->agent.workload.isolated || m->agent.workload.over || m->agent.lost)
		return error_set(err, ESRCH, "the workload is not running (%s)", stage_of(m));
	return 0;
}

/* ---- the loop ---- */

static const struct control_ops control_ops = { monitor_pause, monitor_save, monitor_measure, check_guest };

/* Until the earliest deadline, in ms. What the guest owes is not due while it is paused. */
static int poll_timeout(const struct monitor *m)
{
	uint64_t now = clock_now_ns(), control = control_server_deadline(&m->control);
	uint64_t first = m->paused_ns ? 0 : m->deadline_ns;

	if (control && (!first || control < first))
		first = control;
	if (first == 0)
		return -1;
	return first <= now ? 0 : (int)((first - now) / 1000000 + 1);
}

static void loop_once(struct monitor *m)
{
	struct pollfd fds[WATCH_COUNT];

	agent_host_watch(&m->agent, fds);
	fds[WATCH_SIGNALS] = (struct pollfd){ m->signal_fd, POLLIN, 0 };
	fds[WATCH_MACHINE] = (struct pollfd){ m->machine_fd, POLLIN, 0 };
	fds[WATCH_LOG] = (struct pollfd){ m->log.fd, POLLIN, 0 };
	fds[WATCH_START] = (struct pollfd){ m->start_fd, POLLIN, 0 };
	fds[WATCH_READY] = (struct pollfd){ m->ready_fd, POLLIN, 0 };
	control_server_watch(&m->control, fds + WATCH_CONTROL);
	if (poll(fds, WATCH_COUNT, poll_timeout(m)) < 0)
		return; /* EINTR */
	if (m->deadline_ns && !m->paused_ns && clock_now_ns() >= m->deadline_ns)
		on_deadline(m);
	if (fds[WATCH_SIGNALS].revents)
		on_signals(m);
	if (fds[WATCH_LOG].revents)
		vm_log_read(&m->log);
	if (fds[WATCH_READY].revents)
		on_maker(m);
	if (fds[WATCH_START].revents)
		on_start(m);
	if (!m->finished)
		on_agent(m, fds);
	if (!m->finished && fds[WATCH_MACHINE].revents && m->machine_fd >= 0)
		on_machine(m);
	if (!m->finished)
		control_server_step(&m->control, fds + WATCH_CONTROL);
	if (!m->finished)
		start_if_ready(m);
}

static void loop(struct monitor *m)
{
	while (!m->finished && !m->agent.workload.over)
		loop_once(m);
	if (!m->finished) {
		monitor_power_off(m);
		monitor_end_machine(m);
	}
	while (!m->finished && !agent_host_drained(&m->agent))
		loop_once(m);
	if (!m->finished)
		finish(m, m->agent.workload.exit_status);
	monitor_end_machine(m);
	control_server_end(&m->control);
}

static void open_signals(struct monitor *m)
{
	sigset_t set;

	(void)sigemptyset(&set); /* this and the next cannot fail with signals that exist */
	for (size_t i = 0; i < ARRAY_LEN(relayed); i++)
		(void)sigaddset(&set, relayed[i]);
	(void)sigaddset(&set, SIGWINCH);
	(void)sigaddset(&set, VM_RELAY_SIGNAL);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		(void)signal(signo, SIG_DFL); /* our parent's handlers are not for us; some cannot be set */
	(void)signal(SIGPIPE, SIG_IGN); /* a workload's reader that leaves is no end for us */
	(void)sigfillset(&set);
	(void)sigdelset(&set, SIGSEGV);
	(void)sigdelset(&set, SIGBUS);
	(void)sigdelset(&set, SIGFPE);
	(void)sigdelset(&set, SIGILL);
	(void)sigdelset(&set, SIGABRT);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
}

/* No more than an upper can hold, with its names. */
static uint64_t max_changes(const struct plan *plan)
{
	uint64_t room = plan->root.upper_bytes ? plan->root.upper_bytes : plan->vm.memory_bytes;

	return plan->changes == CHANGES_CONTENTS ? room + CHANGES_LIST_BYTES : CHANGES_LIST_BYTES;
}

/* The card's other end, if the plan has one. */
static int connect_network(const struct monitor *m, struct vm_config *config, struct error *err)
{
	return config->has_network ? usernet_connect(m->start->plan, &config->network_fd, err) : 0;
}

/* Makes channel and log and starts the machine. */
static int spawn_machine(struct monitor *m, struct error *err)
{
	const struct vm_monitor_start *start = m->start;
	struct vm_config *config = &m->described.config;
	bool copy = vm_log_wanted();
	int agent[2], log[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0)
		return error_sys(err, "vm: cannot make the agent channel");
	if (pipe2(log, O_CLOEXEC) < 0) {
		(void)close(agent[0]); /* the process is about to end anyway */
		(void)close(agent[1]);
		return error_sys(err, "vm: cannot make the log's pipe");
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->saving) < 0)
		return error_sys(err, "vm: cannot make the control socket");
	vm_log_init(&m->log, log[0], copy ? STDERR_FILENO : -1);
	vm_machine_describe(start->plan, copy, &m->described);
	r = vm_machine_copy_disks(&m->described, err);
	if (r == 0 && start->restore.disk_bytes)
		r = saved_disk_read(start->restore.state_fd, start->restore.disk_at, start->restore.disk_bytes,
				vm_scratch_disk(config)->copy_fd, err);
	if (r == 0)
		r = connect_network(m, config, err);
	if (r < 0)
		return r;
	config->agent_fd = agent[1];
	config->log_fd = log[1];
	config->event_fd = start->event_fd;
	config->work_dir = start->dir;
	config->control = m->saving;
	config->counters = monitor_share_counters();
	config->restore = start->restore.state_bytes ? &start->restore : NULL;
	for (size_t i = 0; i < config->n_disks; i++)
		m->writable |= !config->disks[i].read_only;
	m->spawned_ns = clock_now_ns();
	r = start->engine->spawn(config, &m->machine, &m->machine_fd, err);
	if (r == 0)
		m->machine_proc = monitor_open_proc(m->machine);
	(void)close(agent[1]); /* the machine has its own, like the next two */
	(void)close(m->saving[1]);
	(void)close(log[1]);
	if (config->network_fd >= 0)
		(void)close(config->network_fd); /* likewise; passt ends when the machine does */
	if (r == 0)
		r = agent_host_init(&m->agent, agent[0], start->stdio, start->plan->process.terminal, start->event_fd,
				err);
	if (r == 0 && config->restore) {
		(void)backend_event_milestone(start->event_fd, "restored"); /* the supervisor may be gone */
		m->agent.attach = start->plan->vm.from != NULL;
		r = agent_host_renew(&m->agent, start->plan->hostname, err);
	}
	if (r == 0 && start->changes_fd >= 0)
		agent_session_want_changes(&m->agent.workload, start->changes_fd, max_changes(start->plan));
	return r < 0 ? error_prefix(err, "vm: engine %s", start->engine->name) : 0;
}

/* Dies with the parent; out of reach of the terminal's signals, which the supervisor passes on. */
static void leave_parent(const struct vm_monitor_start *start)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail with a valid signal */
	if (getppid() != start->parent)
		_exit(EXIT_INTERNAL);
	(void)prctl(PR_SET_NAME, "bivalve-vm"); /* for people who look at ps(1) */
	(void)setsid(); /* a fresh child is no group leader */
	if (start->plan->process.terminal)
		(void)ioctl(start->stdio[0], TIOCSCTTY, 0); /* without it only resizing is lost */
}

void vm_monitor_run(const struct vm_monitor_start *start)
{
	struct monitor m = { .start = start, .machine_fd = -1, .machine_proc = -1, .start_fd = start->start_fd,
		.log.fd = -1, .ready_fd = start->ready_fd, .deadline_ns = clock_now_ns() + BOOT_NS };
	struct error err = { 0 };

	leave_parent(start);
	open_signals(&m);
	m.dir_fd = open(start->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (m.dir_fd < 0)
		(void)error_sys(&err, "%s", start->dir); /* the code is in err */
	if (m.dir_fd < 0 || spawn_machine(&m, &err) < 0 ||
			control_server_init(&m.control, start->dir, &m.agent, &control_ops, &m, &err) < 0) {
		tell_maker(&m, &err);
		monitor_end_machine(&m);
		_exit(EXIT_INTERNAL);
	}
	(void)backend_event_milestone(start->event_fd, "vmm-started"); /* the supervisor may be gone */
	tell_maker(&m, NULL);
	if (!start->detached) {
		(void)close(m.ready_fd); /* the answer is out */
		m.ready_fd = -1;
	}
	start_if_ready(&m);
	loop(&m);
	if (m.log.fd >= 0)
		vm_log_read(&m.log);
	(void)vm_log_save(&m.log, m.dir_fd); /* a debugging aid */
	vm_children_await();
	_exit(m.exit_status);
}
