/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor.
 *
 * Theory of operation. One loop over: the agent channel and the workload's streams (agent_host), the machine's pidfd,
 * its log, signals, the start pipe and one deadline. The stages:
 *
 *      boot ---- HELLO and the start byte ----> running ---- EXIT or ERROR ----> drain ---> exit(status)
 *        |                                         |                              |
 *        +- machine ends, 120 s pass,              +- machine ends, bad frames:   +- the machine is killed at
 *           or the start pipe closes:                 ERROR, exit(125)               once, unless it has disks
 *           ERROR, exit(125)                                                         to write back
 *
 * Everything dies together: the machine with the monitor and the monitor with its parent, by PR_SET_PDEATHSIG; the
 * monitor kills the machine before it exits.
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
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/shares.h"
#include "vm-backend/vm_log.h"
#include "vm-backend/vm_monitor.h"

#define SECOND_NS UINT64_C(1000000000)
#define BOOT_NS   (120 * SECOND_NS) /* an emulated machine on a loaded host is slow */
#define KILL_NS   (2 * SECOND_NS)   /* for SIGKILL to take effect in the guest */
#define LOST_NS   (2 * SECOND_NS)   /* for a machine whose agent channel has closed to end */
#define OFF_MS    2000              /* for the guest to write back its disks */

/*
 * A reset instead of a halt ends the machine. The tracing file system, which nothing in the guest mounts, has thousands
 * of files: making them is a tenth of a boot. The other word is one more self-test of a cipher.
 */
#define WORDS "panic=-1 reboot=t initcall_blacklist=tracer_init_tracefs,crypto_kdf108_init"

enum { EXIT_INTERNAL = 125, MEMORY_STEP = 2 << 20 };
enum { WATCH_SIGNALS = AGENT_HOST_WATCHES, WATCH_MACHINE, WATCH_LOG, WATCH_START, WATCH_COUNT };

struct monitor {
	const struct vm_monitor_start *start;
	struct agent_host agent;
	struct vm_log log;
	int signal_fd, machine_fd, start_fd;
	pid_t machine;
	struct vm_share *shares;
	size_t n_shares;
	char *words;             /* the kernel's command line; this and shares live as long as the process */
	uint64_t spawned_ns, deadline_ns; /* deadline 0: none */
	bool go;                 /* the start byte has come */
	bool killing;            /* SIGKILL was passed on */
	bool writable;           /* the machine has a disk that it may write */
	bool lost;               /* the agent channel has closed */
	bool finished;
	int exit_status;
};

/* Signals that somebody may send to the monitor and means the workload. */
static const int relayed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU,
	SIGALRM, SIGVTALRM, SIGPROF, SIGURG, SIGIO, SIGPWR };

static void tell_error(const struct monitor *m, const struct error *err)
{
	(void)backend_event_error(m->start->event_fd, err, EXIT_INTERNAL); /* the exit status says it too */
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

static void on_agent(struct monitor *m, const struct pollfd *fds)
{
	struct error err = { 0 };
	bool was_ready = m->agent.ready;
	int r = agent_host_step(&m->agent, fds, &err);

	if (r < 0) {
		(void)error_prefix(&err, "vm: the guest broke the protocol"); /* the code is in err */
		fail(m, &err);
		return;
	}
	if (m->agent.ready && !was_ready) {
		struct backend_event entered = { .kind = EVENT_MILESTONE, .text = "kernel-entered" };
		uint64_t now = clock_now_ns();

		if (m->start->engine->entry_unseen && m->agent.uptime_ns < now - m->spawned_ns) {
			entered.at_ns = now - m->agent.uptime_ns;
			(void)backend_event_send(m->start->event_fd, &entered); /* the supervisor may be gone */
		}
		(void)backend_event_milestone(m->start->event_fd, "agent-ready"); /* as above */
		m->deadline_ns = m->killing ? m->deadline_ns : 0;
	}
	if (m->agent.gone && !m->killing && !m->lost) {
		m->lost = true;
		m->deadline_ns = clock_now_ns() + LOST_NS;
	}
}

static void start_if_ready(struct monitor *m)
{
	struct error err = { 0 };

	if (m->go && m->agent.ready && !m->agent.started && agent_host_start(&m->agent, m->start->plan, &err) < 0)
		fail(m, &err);
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

static void resize(struct monitor *m)
{
	struct winsize size;
	struct error err = { 0 };

	if (m->agent.started && ioctl(m->agent.stdio[0], TIOCGWINSZ, &size) == 0 &&
			agent_host_resize(&m->agent, size.ws_row, size.ws_col, &err) < 0)
		fail(m, &err);
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
	if (m->agent.over || m->finished)
		return;
	if (m->agent.started) {
		if (agent_host_signal(&m->agent, (uint32_t)signo, &err) < 0)
			fail(m, &err);
	} else if (signo == SIGKILL || signo == SIGTERM || signo == SIGINT || signo == SIGHUP || signo == SIGQUIT) {
		finish_signaled(m, signo);
	}
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

/* The machine has ended. What it said before is still in the channel, and counts. */
static void on_machine(struct monitor *m)
{
	struct pollfd fds[AGENT_HOST_WATCHES];
	struct error err = { 0 };

	while (!m->agent.gone && !m->agent.over && !m->finished) {
		agent_host_watch(&m->agent, fds);
		fds[0].revents = POLLIN;
		on_agent(m, fds);
		if (!m->agent.gone && poll(fds, 1, 0) == 0)
			break; /* somebody else keeps the socket open */
	}
	(void)close(m->machine_fd); /* a pidfd */
	m->machine_fd = -1;
	if (m->agent.over || m->finished)
		return;
	if (m->killing) {
		finish_signaled(m, SIGKILL);
		return;
	}
	(void)error_set(&err, EIO, "vm: the machine ended %s", !m->agent.ready ? "before the guest was up"
			: m->agent.started ? "under the workload" : "before the workload was started");
	fail(m, &err);
}

static void on_deadline(struct monitor *m)
{
	struct error err = { 0 };

	m->deadline_ns = 0;
	if (m->killing && m->agent.over)
		finish(m, m->agent.exit_status); /* nobody reads the rest of its output */
	else if (m->killing)
		finish_signaled(m, SIGKILL);
	else if (m->lost)
		(void)error_set(&err, EPIPE, "vm: the guest closed the agent channel"); /* the code is in err */
	else if (!m->agent.ready)
		(void)error_set(&err, ETIMEDOUT, "vm: the guest was not up after %d s", (int)(BOOT_NS / SECOND_NS));
	if (err.code)
		fail(m, &err);
}

/* Lets the guest write back what it has not; without a writable disk there is nothing. */
static void power_off(struct monitor *m)
{
	struct pollfd machine = { m->machine_fd, POLLIN, 0 };

	if (m->writable && m->machine_fd >= 0 && agent_host_shutdown(&m->agent, NULL) == 0)
		(void)poll(&machine, 1, OFF_MS); /* then it is killed, whatever it does */
}

/* Ends the machine and takes its usage. */
static void end_machine(struct monitor *m)
{
	struct rusage usage = { 0 };
	_cleanup_free_ char *path = xasprintf("%s/vmm.json", m->start->dir), *text = NULL;
	struct json_writer *w;
	size_t len;

	if (m->machine <= 0)
		return;
	(void)kill(m->machine, SIGKILL); /* our child and not yet reaped: the pid is its own */
	while (wait4(m->machine, NULL, 0, &usage) < 0 && errno == EINTR)
		;
	m->machine = 0;
	w = json_writer_new(true);
	json_begin_object(w, NULL);
	json_put_uint(w, "cpu_us", (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
	json_put_uint(w, "peak_rss_bytes", (uint64_t)usage.ru_maxrss * 1024);
	json_end(w);
	text = json_writer_finish(w, &len);
	(void)file_write_atomic(AT_FDCWD, path, text, len, 0600, NULL); /* figures for the report, no more */
}

static int poll_timeout(const struct monitor *m)
{
	uint64_t now = clock_now_ns();

	if (m->deadline_ns == 0)
		return -1;
	return m->deadline_ns <= now ? 0 : (int)((m->deadline_ns - now) / 1000000 + 1);
}

static void loop_once(struct monitor *m)
{
	struct pollfd fds[WATCH_COUNT];

	agent_host_watch(&m->agent, fds);
	fds[WATCH_SIGNALS] = (struct pollfd){ m->signal_fd, POLLIN, 0 };
	fds[WATCH_MACHINE] = (struct pollfd){ m->machine_fd, POLLIN, 0 };
	fds[WATCH_LOG] = (struct pollfd){ m->log.fd, POLLIN, 0 };
	fds[WATCH_START] = (struct pollfd){ m->start_fd, POLLIN, 0 };
	if (poll(fds, WATCH_COUNT, poll_timeout(m)) < 0)
		return; /* EINTR */
	if (m->deadline_ns && clock_now_ns() >= m->deadline_ns)
		on_deadline(m);
	if (fds[WATCH_SIGNALS].revents)
		on_signals(m);
	if (fds[WATCH_LOG].revents)
		vm_log_read(&m->log);
	if (fds[WATCH_START].revents)
		on_start(m);
	if (!m->finished)
		on_agent(m, fds);
	if (!m->finished && fds[WATCH_MACHINE].revents && m->machine_fd >= 0)
		on_machine(m);
	if (!m->finished)
		start_if_ready(m);
}

static void loop(struct monitor *m)
{
	while (!m->finished && !m->agent.over)
		loop_once(m);
	if (!m->finished) {
		power_off(m);
		end_machine(m);
	}
	while (!m->finished && !agent_host_drained(&m->agent))
		loop_once(m);
	if (!m->finished)
		finish(m, m->agent.exit_status);
	end_machine(m);
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

static void describe_machine(struct monitor *m, struct vm_config *config, bool verbose)
{
	const struct plan *plan = m->start->plan;

	m->n_shares = shares_of_plan(plan, &m->shares);
	m->words = xasprintf(WORDS "%s%s%s%s", verbose ? "" : " quiet", m->n_shares ? " --" : "",
			m->n_shares ? " " SHARES_WORD : "", plan->root.path ? " " NO_IMAGE_WORD : "");

	*config = (struct vm_config){
		.name = plan->id,
		.kernel_path = plan->vm.kernel_path,
		.vmlinux_path = plan->vm.vmlinux_path,
		.initramfs_path = plan->vm.initramfs_path,
		.command_line = m->words,
		.memory_bytes = (plan->vm.memory_bytes + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP,
		.vcpus = plan->vm.vcpus ? (unsigned)plan->vm.vcpus : 1,
		.disks = { { plan->root.disk, true } },
		.n_disks = plan->root.disk && !plan->root.path ? 1 : 0,
		.shares = m->shares,
		.n_shares = m->n_shares,
		.event_fd = m->start->event_fd,
		.work_dir = m->start->dir,
	};
}

/* Makes channel and log and starts the machine. */
static int spawn_machine(struct monitor *m, struct error *err)
{
	const char *verbose = getenv("BIVALVE_VM_LOG");
	bool copy = verbose && !strcmp(verbose, "1");
	int agent[2], log[2], r;
	struct vm_config config;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0)
		return error_sys(err, "vm: cannot make the agent channel");
	if (pipe2(log, O_CLOEXEC) < 0) {
		(void)close(agent[0]); /* the process is about to end anyway */
		(void)close(agent[1]);
		return error_sys(err, "vm: cannot make the log's pipe");
	}
	vm_log_init(&m->log, log[0], copy ? STDERR_FILENO : -1);
	describe_machine(m, &config, copy);
	config.agent_fd = agent[1];
	config.log_fd = log[1];
	for (size_t i = 0; i < config.n_disks; i++)
		m->writable |= !config.disks[i].read_only;
	m->spawned_ns = clock_now_ns();
	r = m->start->engine->spawn(&config, &m->machine, &m->machine_fd, err);
	(void)close(agent[1]); /* the machine has its own */
	(void)close(log[1]);
	if (r == 0)
		r = agent_host_init(&m->agent, agent[0], m->start->stdio, m->start->plan->process.terminal,
				m->start->event_fd, err);
	return r < 0 ? error_prefix(err, "vm: engine %s", m->start->engine->name) : 0;
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
	struct monitor m = { .start = start, .machine_fd = -1, .start_fd = start->start_fd, .log.fd = -1,
		.deadline_ns = clock_now_ns() + BOOT_NS };
	struct vm_monitor_ready ready = { 0 };

	leave_parent(start);
	open_signals(&m);
	if (spawn_machine(&m, &ready.error) == 0) {
		ready.machine = m.machine;
		(void)backend_event_milestone(start->event_fd, "vmm-started"); /* the supervisor may be gone */
	}
	if (fd_write_full(start->ready_fd, &ready, sizeof ready) < 0 || ready.machine == 0) {
		end_machine(&m);
		_exit(EXIT_INTERNAL);
	}
	(void)close(start->ready_fd); /* the answer is out */
	loop(&m);
	if (m.log.fd >= 0)
		vm_log_read(&m.log);
	(void)vm_log_save(&m.log, start->dir); /* a debugging aid */
	_exit(m.exit_status);
}
