/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of a container: passes signals on to the workload, reaps what it leaves, ends with its status.
 *
 * The workload is hostile to its PID 1. So PID 1 keeps one descriptor (the event socket), which the workload never has;
 * cannot be traced or looked into (undumpable, so /proc/1/exe and /proc/1/mem are closed); has the workload's user, no
 * capability but CAP_KILL within its own pid namespace, to reach a workload that changes its user; and a filter that
 * leaves it the system calls of its loop. When it ends, the kernel kills whatever else is in the namespace.
 *
 * Not defended against: a host that debugs with fs.suid_dumpable=1, where the change of user makes PID 1 dumpable for
 * a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/init.h"
#include "container-backend/preload.h"
#include "policies/enforce/caps.h"
#include "policies/enforce/seccomp.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED false
#endif

enum { EXIT_SETUP = 125, EXIT_SIGNALED = 128 };

/* What the loop below calls, and nothing else: an added call needs a row and its reason. */
static const unsigned allowed[] = {
	SYS_rt_sigtimedwait, /* waits for the next signal */
	SYS_waitid,          /* learns that the workload has ended */
	SYS_wait4,           /* reaps */
	SYS_kill,            /* passes signals on */
	SYS_sendto,          /* tells the end */
	SYS_getrusage,       /* with what it took */
	SYS_clock_gettime,   /* and when; where the vDSO cannot tell */
	SYS_exit_group,
	SYS_restart_syscall, /* a stopped wait that goes on */
};

static int load_filter(struct error *err)
{
	struct sock_filter program[ARRAY_LEN(allowed) + 6] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_NATIVE_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct bytes bytes = { .data = (uint8_t *)program, .len = sizeof program };
	size_t n = 4;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++, n++)
		program[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
				(uint8_t)(ARRAY_LEN(allowed) - i), 0);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program[n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	r = seccomp_install(&bytes);
	return r < 0 ? error_set(err, -r, "cannot load the filter of PID 1: %s", strerror(-r)) : 0;
}

/* Everything that PID 1 does not need is given up; CAP_KILL is kept if it is there to keep. */
static int confine(const struct workload *w, struct error *err)
{
	const struct plan_capabilities kill_only = { .effective = UINT64_C(1) << CAP_KILL,
		.permitted = UINT64_C(1) << CAP_KILL }, none = { 0 };
	const int kept[] = { w->request->event_fd };
	int r;

	keep_only(3, kept, ARRAY_LEN(kept));
	for (int fd = 0; fd < 3; fd++)
		if (fd != w->request->event_fd)
			(void)close(fd); /* else a reader of the workload's output would wait for us too */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_sys(err, "cannot keep CAP_KILL for PID 1");
	r = workload_become_user(w, err);
	if (r == 0 && caps_apply(&kill_only, NULL) < 0)
		r = caps_apply(&none, err);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = error_sys(err, "cannot give up new privileges for PID 1");
	if (r < 0 || SANITIZED) /* the sanitizers' run-time makes system calls of its own */
		return r;
	return load_filter(err);
}

/*
 * /proc/1/cmdline is open to everybody in the container, and holds the launcher's own: host paths, perhaps passwords
 * given by --env. The kernel reads it from our memory, between the addresses in fields 48 and 49 of /proc/self/stat.
 */
static void hide_arguments(void)
{
	_cleanup_free_ char *text = NULL;
	uintptr_t start, end;
	char *at;

	(void)prctl(PR_SET_NAME, "bivalve-init"); /* cannot fail */
	if (file_read_at(AT_FDCWD, "/proc/self/stat", 4096, &text, NULL, NULL) < 0)
		return; /* no /proc: nobody reads it there either */
	at = strrchr(text, ')');
	for (int field = 2; at && field < 48; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return;
	start = strtoull(at, &at, 10);
	end = strtoull(at, NULL, 10);
	if (!start || end <= start)
		return;
	memset((void *)start, 0, end - start);
	(void)snprintf((char *)start, end - start, "bivalve-init"); /* cut short when there is less room */
}

static uint64_t microseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void add_usage(struct backend_event *event, const struct rusage *usage)
{
	uint64_t rss = (uint64_t)usage->ru_maxrss * 1024;

	event->cpu_user_us += microseconds(usage->ru_utime);
	event->cpu_system_us += microseconds(usage->ru_stime);
	event->max_rss_bytes = rss > event->max_rss_bytes ? rss : event->max_rss_bytes;
	event->peak_memory_bytes = event->max_rss_bytes; /* where no group counts them all */
	event->read_bytes += (uint64_t)usage->ru_inblock * 512;
	event->write_bytes += (uint64_t)usage->ru_oublock * 512;
	event->switches += (uint64_t)usage->ru_nvcsw;
	event->preemptions += (uint64_t)usage->ru_nivcsw;
}

/* more: of who is not reaped yet; NULL: nobody. 0 or -errno. */
static int tell_end(int event_fd, int status, const struct rusage *more)
{
	struct backend_event event = { .kind = EVENT_EXIT, .exit_status = status };
	struct rusage usage;

	if (getrusage(RUSAGE_CHILDREN, &usage) == 0)
		add_usage(&event, &usage);
	if (more)
		add_usage(&event, more);
	return backend_event_send(event_fd, &event);
}

/*
 * Whether the workload has ended, without reaping it: that its /proc entries, its ids and its memory's accounts are
 * given back takes longer than all the rest of this, and the machine is about to end.
 */
static bool has_ended(pid_t workload, int *ret_status, struct rusage *ret_usage)
{
	siginfo_t info = { 0 };

	/* The C library's has no room for the usage. */
	if (syscall(SYS_waitid, P_PID, workload, &info, WEXITED | WNOHANG | WNOWAIT, ret_usage) < 0 || !info.si_pid)
		return false;
	*ret_status = info.si_code == CLD_EXITED ? info.si_status << 8
			: info.si_status | (info.si_code == CLD_DUMPED ? WCOREFLAG : 0);
	return true;
}

/* Reaps all that has ended. True, with its status, once the workload is among them. */
static bool reap(pid_t workload, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == workload) {
			*ret_status = status;
			ended = true;
		}
	return ended;
}

/* Whoever is told kills us, or ends the machine. */
static void stay(const sigset_t *all) __attribute__((noreturn));
static void stay(const sigset_t *all)
{
	for (;;)
		(void)sigwaitinfo(all, NULL); /* nobody is left to pass a signal to */
}

static void loop(pid_t workload, int event_fd, bool stays) __attribute__((noreturn));
static void loop(pid_t workload, int event_fd, bool stays)
{
	struct rusage usage;
	sigset_t all;
	int status;

	(void)sigfillset(&all);
	for (;;) {
		int signo = sigwaitinfo(&all, NULL);

		if (signo == SIGCHLD && stays && has_ended(workload, &status, &usage) &&
				tell_end(event_fd, status, &usage) == 0)
			stay(&all);
		if (signo == SIGCHLD && reap(workload, &status))
			break;
		if (signo > 0 && signo != SIGCHLD)
			(void)kill(workload, signo); /* ESRCH: it has ended, SIGCHLD is on its way */
	}
	(void)tell_end(event_fd, status, NULL); /* our own status says the same to whoever waits */
	_exit(WIFSIGNALED(status) ? EXIT_SIGNALED + WTERMSIG(status) : WEXITSTATUS(status));
}

void reaper_run(const struct workload *w)
{
	int event_fd = w->request->event_fd;
	struct error err = { 0 };
	sigset_t all, old;
	pid_t pid;

	hide_arguments();
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old); /* from before the fork, so that none is lost */
	pid = fork();
	if (pid == 0) {
		(void)sigprocmask(SIG_SETMASK, &old, NULL); /* cannot fail with valid arguments */
		workload_run(w);
	}
	if (pid < 0)
		(void)error_sys(&err, "cannot make the workload's process");
	if (w->request->prepared)
		preload_self();
	if (pid < 0 || confine(w, &err) < 0) {
		(void)backend_event_error(event_fd, &err, EXIT_SETUP); /* the exit status says it in any case */
		_exit(EXIT_SETUP); /* takes the workload along: the kernel ends a namespace with its PID 1 */
	}
	if (w->request->prepared)
		(void)backend_event_milestone(event_fd, "prepared"); /* without it no template is made */
	loop(pid, event_fd, w->request->stays);
}
