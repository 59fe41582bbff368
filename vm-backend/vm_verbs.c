/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other processes ask of a machine that runs. Signals go to the monitor as signals; everything else by its control
 * socket (vm_control.h), for it alone speaks to the guest.
 *
 * An executed process is stood for by a proxy, a child of the caller:
 *
 *      caller --fork--> proxy ==control socket==> monitor --session n--> process in the guest
 *                         |                          |
 *                         | signals, window size     +-- reads and writes the caller's descriptors itself
 *                         +-- exits with its status      (or the slave of a terminal of the host)
 *
 * Nothing of the data goes through the proxy. A proxy that is killed ends the connection, and the monitor the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "vm-backend/vm_control.h"
#include "vm-backend/vm_limits.h"
#include "vm-backend/vm_monitor.h"
#include "vm-backend/vm_processes.h"
#include "vm-backend/vm_verbs.h"

enum { EXIT_INTERNAL = 125, EXIT_LOST = 137, END_MS = 2000 };

int vm_open_process(uint64_t pid, uint64_t start)
{
	uint64_t now_start;
	int pidfd = pid ? pidfd_open_pid((pid_t)pid) : -ESRCH;

	if (pidfd >= 0 && start && (pid_start_time((pid_t)pid, &now_start) < 0 || now_start != start)) {
		(void)close(pidfd); /* another process has the number now */
		return -ESRCH;
	}
	return pidfd;
}

int vm_kill(const struct instance *in, int signo, struct error *err)
{
	siginfo_t info = { .si_signo = VM_RELAY_SIGNAL, .si_code = SI_QUEUE };
	_cleanup_close_ int pidfd = vm_open_process(in->pid, in->pid_start);

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = signo;
	if (pidfd < 0)
		return error_set(err, -pidfd, "the workload is gone");
	if (signo == 0) /* whether it is there */
		return 0;
	if (syscall(SYS_pidfd_send_signal, pidfd, VM_RELAY_SIGNAL, &info, 0) < 0)
		return error_sys(err, "cannot signal the workload");
	return 0;
}

int vm_kill_all(const struct instance *in, int signo, struct error *err)
{
	char text[16];
	int r;

	(void)snprintf(text, sizeof text, "%d", signo); /* fits */
	r = control_ask(in, CONTROL_KILL_ALL, 0, text, strlen(text), NULL, NULL, err);
	return r == -ESRCH ? 0 : r; /* all of nobody: with the machine went its processes */
}

int vm_pause(const struct instance *in, struct error *err)
{
	return control_ask(in, CONTROL_PAUSE, 0, NULL, 0, NULL, NULL, err);
}

int vm_resume(const struct instance *in, struct error *err)
{
	return control_ask(in, CONTROL_RESUME, 0, NULL, 0, NULL, NULL, err);
}

int vm_save(const struct instance *in, int fd, struct error *err)
{
	return control_ask_with(in, CONTROL_SAVE, fd, err);
}

int vm_open_terminal(const struct plan_process *process, int *ret_slave, struct error *err)
{
	struct winsize size = { .ws_row = (unsigned short)process->rows, .ws_col = (unsigned short)process->columns };
	_cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_close_ int slave = -1;
	struct termios raw;

	if (master < 0 || unlockpt(master) < 0)
		return error_sys(err, "cannot make a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &raw) < 0)
		return error_sys(err, "cannot open the terminal");
	cfmakeraw(&raw);
	if (tcsetattr(slave, TCSANOW, &raw) < 0)
		return error_sys(err, "cannot set up the terminal");
	if (size.ws_row && size.ws_col)
		(void)ioctl(slave, TIOCSWINSZ, &size); /* the caller sets the real size later */
	*ret_slave = steal_fd(&slave);
	return steal_fd(&master);
}

/* Reads what the guest said, strictly: an answer that does not fit is the guest's fault and this request's end. */
static int read_answer(const struct instance *in, const char *text, size_t len, const struct record_type *type,
		void *ret, struct error *err)
{
	_cleanup_json_ struct json *j = NULL;
	int r = json_parse(text, len, "the guest's answer", &j, err);

	if (r == 0)
		r = record_read(j, type, ret, err);
	return r < 0 ? error_prefix(err, "%s", in->id) : 0;
}

/* A workload that is over has a monitor for a moment more: whoever looks next should find it stopped. */
static void await_end(const struct instance *in)
{
	_cleanup_close_ int pidfd = vm_open_process(in->pid, in->pid_start);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0)
		(void)poll(&p, 1, END_MS); /* no longer: it is only for the looks of it */
}

static int ask_record(const struct instance *in, enum control_kind kind, const struct record_type *type, void *ret,
		struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = control_ask(in, kind, 0, NULL, 0, &text, &len, err);

	if (r == -ESRCH)
		await_end(in);
	return r < 0 ? r : read_answer(in, text, len, type, ret, err);
}

int vm_processes(const struct instance *in, struct backend_process **ret, size_t *ret_n, struct error *err)
{
	struct vm_processes all = { 0 };
	int r = ask_record(in, CONTROL_PROCESSES, &vm_processes_type, &all, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++)
		if (all.list[i].command)
			agent_text_clean(all.list[i].command);
		else
			all.list[i].command = xstrdup("[?]");
	*ret = all.list;
	*ret_n = all.n;
	return 0;
}

/* A number from a line of the machine's /proc files; 0: not known. */
static uint64_t find_field(const char *text, const char *key)
{
	const char *at = text ? strstr(text, key) : NULL;

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* What the machine's process uses: by its control group if it has one that counts, and by /proc. */
static void measure_outside(const struct instance *in, struct stats *ret)
{
	_cleanup_free_ char *status = NULL, *stat = NULL;
	_cleanup_free_ char *status_path = xasprintf("/proc/%ju/status", (uintmax_t)in->vmm_pid);
	_cleanup_free_ char *stat_path = xasprintf("/proc/%ju/stat", (uintmax_t)in->vmm_pid);
	uint64_t user = 0, system = 0, tick = (uint64_t)sysconf(_SC_CLK_TCK);
	_cleanup_close_ int pidfd = vm_open_process(in->vmm_pid, in->vmm_pid_start);
	struct stats counted = { 0 };
	struct cgroup_host host;
	const char *end;

	if (pidfd < 0)
		return; /* it is gone: nothing is used */
	(void)file_read_at(AT_FDCWD, status_path, 8192, &status, NULL, NULL); /* no /proc: not known */
	(void)file_read_at(AT_FDCWD, stat_path, 4096, &stat, NULL, NULL);
	end = stat ? strrchr(stat, ')') : NULL;
	if (end && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
			&system) == 2) {
		ret->cpu_user_us = user * (1000000 / tick);
		ret->cpu_system_us = system * (1000000 / tick);
		ret->cpu_us = ret->cpu_user_us + ret->cpu_system_us;
	}
	ret->memory_bytes = find_field(status, "VmRSS:") * 1024;
	ret->memory_peak_bytes = find_field(status, "VmHWM:") * 1024;
	ret->pids = find_field(status, "Threads:");
	if (!in->cgroup)
		return;
	cgroup_probe(&host);
	if (cgroup_measure(&host, in->cgroup, &counted, NULL) < 0)
		return; /* what /proc says has to do */
	if (!counted.cpu_us) {
		counted.cpu_us = ret->cpu_us;
		counted.cpu_user_us = ret->cpu_user_us;
		counted.cpu_system_us = ret->cpu_system_us;
	}
	if (!counted.memory_bytes) {
		counted.memory_bytes = ret->memory_bytes;
		counted.memory_peak_bytes = ret->memory_peak_bytes;
	}
	*ret = counted;
}

int vm_stats(const struct instance *in, struct stats *ret_inside, struct stats *ret_outside, struct error *err)
{
	struct stats inside = { 0 };
	int r = ask_record(in, CONTROL_STATS, &stats_type, &inside, err);

	*ret_outside = (struct stats){ 0 };
	measure_outside(in, ret_outside);
	if (r < 0 && r != -EBUSY) /* a paused guest counts nothing, and the machine is still there */
		return r;
	*ret_inside = inside;
	return 0;
}

int vm_machine(const struct instance *in, struct machine_stats *ret, struct error *err)
{
	return ask_record(in, CONTROL_MACHINE, &machine_stats_type, ret, err);
}

static int check_update(const struct plan *plan, const struct plan_resources *res, struct error *err)
{
	if (res->memory_bytes && res->memory_bytes != UINT64_MAX && res->memory_bytes > plan->vm.memory_bytes)
		return error_set(err, EOPNOTSUPP, "memory.limit: %ju bytes: the machine was made with %ju, and a VM's "
				"memory does not grow", (uintmax_t)res->memory_bytes, (uintmax_t)plan->vm.memory_bytes);
	return 0;
}

static int update_inside(const struct instance *in, const struct plan_resources *res, struct error *err)
{
	struct plan_resources inside = vm_limits_inside(res);
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	size_t len;

	record_write(w, NULL, &plan_resources_type, &inside, false);
	text = json_writer_finish(w, &len);
	return control_ask(in, CONTROL_UPDATE, 0, text, len, NULL, NULL, err);
}

/* The guest, which may refuse, comes first; then the host, and if that fails the guest is given back what it had. */
int vm_update(const struct instance *in, const struct plan *plan, const struct plan_resources *resources,
		struct error *err)
{
	struct plan_resources outside;
	struct cgroup_host host;
	int r = check_update(plan, resources, err);

	if (r == 0)
		r = vm_limits_check(resources, err);
	if (r == 0)
		r = update_inside(in, resources, err);
	if (r < 0 || !in->cgroup)
		return r;
	cgroup_probe(&host);
	outside = vm_limits_outside(plan, resources, in->engine, &host);
	r = cgroup_update(&host, in->cgroup, &outside, err);
	if (r < 0)
		(void)update_inside(in, &plan->resources, NULL); /* it held a moment ago */
	return r;
}

/* ---- the proxy ---- */

struct proxy {
	int control, event_fd;
	int terminal;            /* the slave; -1: none */
	int signal_fd;
	bool die_with_parent;
	pid_t parent;
};

/* What a signal to the proxy means for the process. SIGKILL and SIGSTOP cannot be caught: the former ends both. */
static const int relayed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP, SIGALRM, SIGVTALRM,
	SIGPROF, SIGURG, SIGIO, SIGPWR, SIGWINCH };

static void proxy_signals(struct proxy *p)
{
	sigset_t set;

	(void)sigemptyset(&set); /* this and the next cannot fail with signals that exist */
	for (size_t i = 0; i < ARRAY_LEN(relayed); i++)
		(void)sigaddset(&set, relayed[i]);
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		(void)signal(signo, SIG_DFL); /* our parent's handlers are not for us; some cannot be set */
	(void)signal(SIGPIPE, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
}

static void pass_size(const struct proxy *p)
{
	struct winsize size;

	if (p->terminal >= 0 && ioctl(p->terminal, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
		(void)control_send(p->control, CONTROL_RESIZE, size.ws_row << 16 | size.ws_col, NULL, 0, NULL, 0,
				NULL); /* a wrong size is no reason to stop */
}

static void pass_signals(const struct proxy *p)
{
	struct signalfd_siginfo info;

	while (read(p->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGWINCH && p->terminal >= 0)
			pass_size(p);
		else /* should it fail, the connection's end is next */
			(void)control_send(p->control, CONTROL_SIGNAL, (int)info.ssi_signo, NULL, 0, NULL, 0, NULL);
	}
}

/* The monitor's word. Ends the proxy when it is the last. */
static void hear(const struct proxy *p)
{
	char buf[sizeof(struct control_message) + sizeof(struct error)];
	struct control_message m = { 0 };
	struct error err = { 0 };
	ssize_t n = recv(p->control, buf, sizeof buf - 1, 0);

	if (n < 0 && errno == EINTR)
		return;
	if (n < (ssize_t)sizeof m)
		_exit(EXIT_LOST); /* the monitor was killed, and the machine with it */
	memcpy(&m, buf, sizeof m);
	if (m.kind == CONTROL_STARTED) {
		pass_size(p); /* it may have changed since the process was described */
		(void)backend_event_milestone(p->event_fd, "exec"); /* the caller may not care */
	} else if (m.kind == CONTROL_EXIT) {
		_exit(m.value & 0xff);
	} else {
		buf[n] = '\0';
		(void)error_set(&err, m.code > 0 ? m.code : EIO, "%s", buf + sizeof m); /* its text is all we need */
		(void)backend_event_error(p->event_fd, &err, m.value); /* the exit status says it too */
		_exit(m.value ? m.value & 0xff : EXIT_INTERNAL);
	}
}

static void proxy_run(struct proxy *p) __attribute__((noreturn));
static void proxy_run(struct proxy *p)
{
	if (p->die_with_parent) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail with a valid signal */
		if (getppid() != p->parent)
			_exit(EXIT_LOST);
	}
	(void)prctl(PR_SET_NAME, "bivalve-exec"); /* for people who look at ps(1) */
	(void)setsid(); /* a fresh child is no group leader */
	if (p->terminal >= 0)
		(void)ioctl(p->terminal, TIOCSCTTY, 0); /* without it only resizing is lost */
	proxy_signals(p);
	for (;;) {
		struct pollfd fds[] = { { p->control, POLLIN, 0 }, { p->signal_fd, POLLIN, 0 } };

		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue; /* EINTR */
		if (fds[1].revents)
			pass_signals(p);
		if (fds[0].revents)
			hear(p);
	}
}

/* Only what the proxy needs stays open: a pipe of the caller's that it kept would not end with the process. */
static void keep_fds(struct proxy *p)
{
	enum { FIRST = 3, COUNT = 3, SAFE = 64 };
	int *const kept[COUNT] = { &p->control, &p->event_fd, &p->terminal };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < COUNT; i++)
		*kept[i] = *kept[i] < 0 ? -1 : fcntl(*kept[i], F_DUPFD_CLOEXEC, SAFE);
	for (int i = 0; i < 3 && null >= 0; i++)
		(void)dup2(null, i); /* cannot fail with descriptors that are open */
	for (int i = 0; i < COUNT; i++) {
		if (*kept[i] >= 0)
			*kept[i] = dup3(*kept[i], FIRST + i, O_CLOEXEC);
		else
			(void)close(FIRST + i); /* whatever it was, it is not ours */
	}
	(void)syscall(SYS_close_range, FIRST + COUNT, ~0u, 0);
}

static int fork_proxy(struct proxy *p, struct backend_exec_result *ret, struct error *err)
{
	sigset_t all, old;
	pid_t pid;

	(void)sigfillset(&all); /* cannot fail, nor can the next with it */
	(void)sigprocmask(SIG_SETMASK, &all, &old); /* none may be lost before the proxy listens */
	p->parent = getpid();
	pid = fork();
	if (pid == 0) {
		keep_fds(p);
		proxy_run(p);
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return error_sys(err, "cannot fork");
	ret->pid = pid;
	ret->pidfd = pidfd_open_pid(pid); /* -errno counts as none: the caller has the pid */
	return 0;
}

static char *describe_process(const struct plan_process *process, size_t *ret_len)
{
	struct json_writer *w = json_writer_new(true);

	record_write(w, NULL, &plan_process_type, process, false);
	return json_writer_finish(w, ret_len);
}

int vm_exec(const struct instance *in, const struct plan *plan, const struct backend_exec *exec,
		struct backend_exec_result *ret, struct error *err)
{
	const struct plan_process *process = exec->process;
	_cleanup_close_ int control = -1, slave = -1, master = -1, ours = -1, theirs = -1;
	struct backend_exec_result result = { .pidfd = -1, .console_fd = -1, .event_fd = -1 };
	_cleanup_free_ char *text = NULL;
	int events[2], r;
	size_t len;

	if (exec->cgroup)
		return error_set(err, EOPNOTSUPP, "exec: cgroup: %s: a VM has one control group", exec->cgroup);
	if (process->preserve_fds)
		return error_set(err, EOPNOTSUPP, "exec: process.preserve_fds: a VM takes no descriptors of the host");
	if (process->exec_cpus_initial || process->exec_cpus_final)
		return error_set(err, EOPNOTSUPP, "exec: process.execCPUAffinity: the guest's processors are "
				"not the host's");
	control = control_connect(in, err);
	if (control < 0)
		return control;
	if (process->terminal) {
		master = vm_open_terminal(process, &slave, err);
		if (master < 0)
			return master;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0)
		return error_sys(err, "cannot make the event socket");
	ours = events[0];
	theirs = events[1];
	text = describe_process(process, &len);
	r = control_send(control, CONTROL_EXEC, process->terminal, text, len, process->terminal ? &slave : exec->stdio,
			process->terminal ? 1 : 3, err);
	if (r == 0) {
		struct proxy p = { .control = control, .event_fd = theirs, .terminal = slave,
			.die_with_parent = exec->die_with_parent };

		r = fork_proxy(&p, &result, err);
	}
	if (r < 0)
		return r;
	result.console_fd = steal_fd(&master);
	result.event_fd = steal_fd(&ours);
	*ret = result;
	return 0;
}
