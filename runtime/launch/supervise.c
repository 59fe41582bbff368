/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run from an empty instance to a removed one.
 *
 *   claim folder → create (→ state.json) → start → watch { events, signals, terminal, output, time }
 *   → account → delete
 *
 * The workload's side is one pid, one event socket and, with a terminal, one master: the loop is the same for both
 * shells. Whatever the event socket says is only believed where the pid's own exit status agrees.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/console.h"
#include "runtime/launch/oci_create.h"
#include "runtime/launch/supervise.h"
#include "runtime/launch/sweep.h"
#include "runtime/model/hooks.h"

enum { WATCH_PID, WATCH_EVENTS, WATCH_SIGNALS, WATCH_MASTER, WATCH_STDIN, WATCH_OUT, WATCH_ERR, WATCH_CALLS,
	WATCH_COUNT };
enum { KILL_GRACE_NS = 1000000000, CPU_CHECK_MAX_NS = 500000000, CPU_CHECK_MIN_NS = 5000000, RELAY_PIECE = 4096 };
#define BOOT_GRACE_NS UINT64_C(180000000000) /* for a machine to come as far as the workload */

/* Signals that are passed on to the workload rather than ending the launcher. */
static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };

struct watch {
	const struct backend *backend;
	const struct plan *plan;
	struct instance in;
	struct supervise_io *io;
	struct report *report;
	struct console console;
	struct pollfd fds[WATCH_COUNT];
	int capture[2];            /* read ends of the workload's standard output and error */
	uint64_t deadline_ns;      /* 0: none */
	bool killed_hard;
	const char *limit;         /* which limit has ended it; NULL: none */
	uint64_t cpu_check_ns;     /* when the CPU time is looked at next; 0: it is not limited */
	uint64_t output;           /* bytes that were passed on under a limit of them */
	uint64_t processors;       /* how fast CPU time can pass */
	bool began;                /* its first instruction is told */
	bool have_exit;            /* the workload's side told its wait status */
	int told_status;
	int error_status;          /* exit status of a workload that could not be started; 0: it was */
	siginfo_t ended;           /* si_pid 0: still running */
};

static void block_signals(sigset_t *ret_old, int *ret_fd)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		(void)sigaddset(&set, forwarded[i]);
	(void)sigprocmask(SIG_BLOCK, &set, ret_old); /* cannot fail with valid arguments */
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_exit_event(struct watch *w, const struct backend_event *e)
{
	struct report *r = w->report;

	w->have_exit = true;
	w->told_status = e->exit_status;
	if (e->cpu_user_us || e->cpu_system_us) {
		r->cpu_user_us = e->cpu_user_us;
		r->cpu_system_us = e->cpu_system_us;
	}
	if (e->peak_memory_bytes)
		r->peak_memory_bytes = e->peak_memory_bytes;
	r->max_rss_bytes = e->max_rss_bytes;
	r->read_bytes = e->read_bytes;
	r->write_bytes = e->write_bytes;
	r->switches = e->switches;
	r->preemptions = e->preemptions;
	r->oom_kills += e->oom_kills;
	r->pids_denied += e->pids_denied;
	r->cpu_throttled += e->cpu_throttled;
	r->cpu_throttled_us += e->cpu_throttled_us;
	report_mark(r, "exit", e->at_ns);
}

/* Names become part of our report: plain ones only, whoever sent them. */
static void on_milestone(struct watch *w, const struct backend_event *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t len = strlen(e->text);

	if (len && len <= 40 && !e->text[strspn(e->text, allowed)])
		report_mark(w->report, e->text, e->at_ns);
	if (!strcmp(e->text, "exec") && !w->began) {
		w->began = true;
		if (w->plan->limits.wall_us && !w->limit)
			w->deadline_ns = clock_now_ns() + w->plan->limits.wall_us * 1000;
	}
}

static void on_event(struct watch *w)
{
	struct backend_event e;
	_cleanup_close_ int passed = -1;
	ssize_t n = fd_recv(w->in.live.event_fd, &e, sizeof e, &passed, 1); /* poll(2) has seen something */

	if (n != (ssize_t)sizeof e) { /* end of file, or not one of ours */
		w->fds[WATCH_EVENTS].fd = -1;
		return;
	}
	if (e.kind == EVENT_WATCHED && w->io->audit)
		audit_note_text(w->io->audit, e.text, sizeof e.text);
	if (e.kind == EVENT_LISTENER && passed >= 0 && w->io->audit)
		w->fds[WATCH_CALLS].fd = audit_listen(w->io->audit, steal_fd(&passed));
	e.text[sizeof e.text - 1] = '\0';
	if (e.kind == EVENT_MILESTONE) {
		on_milestone(w, &e);
	} else if (e.kind == EVENT_EXIT) {
		on_exit_event(w, &e);
	} else if (e.kind == EVENT_ERROR && !w->report->error) {
		w->report->error = xstrdup(e.text);
		w->error_status = e.exit_status >= EXIT_BIVALVE && e.exit_status <= EXIT_NOT_FOUND ? e.exit_status
			: EXIT_BIVALVE;
	}
}

static void on_signal(struct watch *w)
{
	struct signalfd_siginfo info;

	while (read(w->fds[WATCH_SIGNALS].fd, &info, sizeof info) == (ssize_t)sizeof info) {
		struct error err = { 0 };

		if (info.ssi_signo == SIGWINCH && w->io->terminal)
			console_resize(&w->console);
		else if (w->backend->kill(&w->in, (int)info.ssi_signo, &err) < 0)
			log_debug("cannot pass on signal %u: %s", info.ssi_signo, err.message);
	}
}

static void reap(struct watch *w)
{
	struct rusage usage = { 0 };
	struct report *r = w->report;

	if (syscall(SYS_waitid, P_PIDFD, w->in.live.pidfd, &w->ended, WEXITED | WNOHANG, &usage) < 0 &&
			errno == ECHILD) {
		/* Reaped by another part of ours: how it ended is lost, that it did is not. */
		w->ended.si_pid = (pid_t)w->in.pid;
		w->ended.si_code = CLD_EXITED;
		w->ended.si_status = 125;
	}
	if (w->ended.si_pid == 0)
		return;
	w->fds[WATCH_PID].fd = -1;
	if (!w->have_exit)
		report_mark(r, "exit", 0);
	if (!strcmp(w->plan->backend, "container") && !w->have_exit) { /* PID 1 was ended too: what it had waited for */
		r->switches = (uint64_t)usage.ru_nvcsw;
		r->preemptions = (uint64_t)usage.ru_nivcsw;
		r->read_bytes = (uint64_t)usage.ru_inblock * 512;
		r->write_bytes = (uint64_t)usage.ru_oublock * 512;
	}
	if (!strcmp(w->plan->backend, "container") && !r->cpu_user_us && !r->cpu_system_us) {
		r->cpu_user_us = (uint64_t)usage.ru_utime.tv_sec * 1000000 + (uint64_t)usage.ru_utime.tv_usec;
		r->cpu_system_us = (uint64_t)usage.ru_stime.tv_sec * 1000000 + (uint64_t)usage.ru_stime.tv_usec;
		r->max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
		r->peak_memory_bytes = r->max_rss_bytes; /* account() may know better */
	}
}

static int poll_timeout(const struct watch *w)
{
	uint64_t now, first = w->deadline_ns;

	if (w->cpu_check_ns && !w->limit && (!first || w->cpu_check_ns < first))
		first = w->cpu_check_ns;
	if (first == 0)
		return -1;
	now = clock_now_ns();
	if (now >= first)
		return 0;
	return (first - now) / 1000000 >= INT_MAX ? INT_MAX : (int)((first - now) / 1000000 + 1);
}

/* First the workload, so that its figures still reach us; a second later whatever stands for it on this host. */
static void end_by(struct watch *w, const char *limit)
{
	struct error err = { 0 };

	if (w->limit)
		return;
	w->limit = limit;
	w->deadline_ns = clock_now_ns() + KILL_GRACE_NS;
	if (w->backend->kill(&w->in, SIGKILL, &err) < 0)
		(void)pidfd_kill(w->in.live.pidfd, SIGKILL); /* ESRCH: it is over, which is what we want */
}

static void on_deadline(struct watch *w)
{
	if (!w->limit) {
		end_by(w, "wall_time");
		return;
	}
	if (!w->killed_hard)
		(void)pidfd_kill(w->in.live.pidfd, SIGKILL); /* as above */
	w->killed_hard = true;
	w->deadline_ns = 0;
}

/*
 * The kernel limits no group's CPU time: it is read, the more often the nearer the limit is. A guest is asked; one that
 * does not answer is asked again.
 */
static void check_cpu(struct watch *w)
{
	uint64_t limit = w->plan->limits.cpu_us, left, now = clock_now_ns();
	struct stats inside = { 0 }, outside = { 0 };

	if (!w->cpu_check_ns || now < w->cpu_check_ns || w->limit)
		return;
	w->cpu_check_ns = now + CPU_CHECK_MAX_NS;
	if (!w->began || w->backend->stats(&w->in, &inside, &outside, NULL) < 0) {
		w->cpu_check_ns = now + CPU_CHECK_MIN_NS;
		record_release(&stats_type, &outside);
		return;
	}
	if (inside.cpu_us >= limit)
		end_by(w, "cpu_time");
	left = inside.cpu_us >= limit ? 0 : (limit - inside.cpu_us) * 1000 / w->processors;
	if (left < CPU_CHECK_MAX_NS)
		w->cpu_check_ns = now + (left < CPU_CHECK_MIN_NS ? CPU_CHECK_MIN_NS : left);
	record_release(&stats_type, &inside);
	record_release(&stats_type, &outside);
}

/* How many of n bytes are still within the limit; beyond, the workload is over. */
static ssize_t count_output(struct watch *w, ssize_t n)
{
	uint64_t left = w->plan->limits.output_bytes - w->output;

	if ((uint64_t)n > left) {
		n = (ssize_t)left;
		end_by(w, "output");
	}
	w->output += (uint64_t)n;
	return n;
}

/* To our own stream, which others share and which stays as blocking as it is: in pieces that poll(2) vouches for. */
static void relay(struct watch *w, int which, const char *data, size_t n)
{
	struct pollfd p = { .fd = w->io->stdio[which == WATCH_OUT ? 1 : 2], .events = POLLOUT };

	if (n && which == WATCH_OUT)
		report_mark(w->report, "first-output", 0);
	while (n && !w->killed_hard) {
		int ready = poll(&p, 1, poll_timeout(w));
		ssize_t written;

		if (w->deadline_ns && clock_now_ns() >= w->deadline_ns)
			on_deadline(w);
		if (ready <= 0)
			continue;
		written = write(p.fd, data, n < RELAY_PIECE ? n : RELAY_PIECE);
		if (written < 0 && errno != EINTR &&
			errno != EAGAIN) { /* nobody reads it: the workload is to see that */
			close_cleanup(&w->capture[which == WATCH_OUT ? 0 : 1]);
			w->capture[which == WATCH_OUT ? 0 : 1] = w->fds[which].fd = -1;
			return;
		}
		data += written > 0 ? written : 0;
		n -= written > 0 ? (size_t)written : 0;
	}
}

static void on_captured(struct watch *w, int which)
{
	char buffer[65536];
	struct strbuf *to = which == WATCH_OUT ? &w->io->out : &w->io->err;
	ssize_t n = read(w->fds[which].fd, buffer, sizeof buffer);
	size_t room = w->io->capture_max > to->len ? w->io->capture_max - to->len : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		w->fds[which].fd = -1;
		return;
	}
	if (w->plan->limits.output_bytes)
		n = count_output(w, n);
	if (!w->io->capture) {
		relay(w, which, buffer, (size_t)n);
		return;
	}
	if (which == WATCH_OUT && w->io->out_bytes == 0)
		report_mark(w->report, "first-output", 0);
	if (which == WATCH_OUT)
		w->io->out_bytes += (uint64_t)n;
	strbuf_add(to, buffer, (size_t)n < room ? (size_t)n : room);
}

static bool watching(const struct watch *w)
{
	/* The pid's end comes last but for what still lies in the pipes and the socket. */
	return w->ended.si_pid == 0 || w->fds[WATCH_OUT].fd >= 0 || w->fds[WATCH_ERR].fd >= 0;
}

static void watch_once(struct watch *w)
{
	int n;

	w->fds[WATCH_STDIN].fd = w->io->terminal && w->console.input_open && !w->console.pending_len ? 0 : -1;
	w->fds[WATCH_MASTER].events = (short)(POLLIN | (w->console.pending_len ? POLLOUT : 0));
	n = poll(w->fds, WATCH_COUNT, poll_timeout(w));
	if (w->deadline_ns && clock_now_ns() >= w->deadline_ns)
		on_deadline(w);
	check_cpu(w);
	if (n <= 0)
		return;
	if (w->fds[WATCH_SIGNALS].revents)
		on_signal(w);
	if (w->fds[WATCH_EVENTS].revents)
		on_event(w);
	if (w->fds[WATCH_OUT].revents)
		on_captured(w, WATCH_OUT);
	if (w->fds[WATCH_ERR].revents)
		on_captured(w, WATCH_ERR);
	if (w->fds[WATCH_STDIN].revents || w->fds[WATCH_MASTER].revents & POLLOUT)
		console_input(&w->console, w->fds[WATCH_STDIN].revents != 0);
	if (w->fds[WATCH_MASTER].revents & (POLLIN | POLLHUP) && !console_output(&w->console))
		w->fds[WATCH_MASTER].fd = -1;
	if (w->console.over)
		end_by(w, "output");
	if (w->fds[WATCH_CALLS].revents && !audit_step(w->io->audit))
		w->fds[WATCH_CALLS].fd = -1;
	if (w->fds[WATCH_PID].revents && !(w->fds[WATCH_EVENTS].revents & POLLIN))
		reap(w);
}

/* Whether the pid is the workload itself: all it says is that it executes, and to be woken for that costs too much. */
static bool is_quiet(const struct plan *plan)
{
	return !strcmp(plan->backend, "container") && !plan->process.init;
}

static void watch_run(struct watch *w)
{
	bool quiet = is_quiet(w->plan);

	/* Until it begins; then anew: on_milestone(). */
	if (w->plan->limits.wall_us && !w->began)
		w->deadline_ns = clock_now_ns() + w->plan->limits.wall_us * 1000 +
			(strcmp(w->plan->backend, "vm") ? 0 : BOOT_GRACE_NS);
	if (w->plan->limits.cpu_us)
		w->cpu_check_ns = clock_now_ns();
	w->processors = !strcmp(w->plan->backend, "vm") ? w->plan->vm.vcpus : (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (w->processors == 0 || w->processors > 4096)
		w->processors = 1;
	w->fds[WATCH_PID] = (struct pollfd){ .fd = w->in.live.pidfd, .events = POLLIN };
	w->fds[WATCH_EVENTS] = (struct pollfd){ .fd = quiet ? -1 : w->in.live.event_fd,
		.events = POLLIN };
	w->fds[WATCH_SIGNALS].events = POLLIN;
	w->fds[WATCH_MASTER] = (struct pollfd){ .fd = w->io->terminal ? w->in.live.console_fd : -1 };
	w->fds[WATCH_STDIN] = (struct pollfd){ .fd = -1, .events = POLLIN };
	w->fds[WATCH_OUT] = (struct pollfd){ .fd = w->capture[0], .events = POLLIN };
	w->fds[WATCH_ERR] = (struct pollfd){ .fd = w->capture[1], .events = POLLIN };
	w->fds[WATCH_CALLS] = (struct pollfd){ .fd = -1, .events = POLLIN };
	while (watching(w))
		watch_once(w);
	if (quiet)
		w->fds[WATCH_EVENTS].fd = w->in.live.event_fd;
	while (w->fds[WATCH_EVENTS].fd >= 0) { /* what was sent before the end is still in the socket */
		struct pollfd p = { .fd = w->fds[WATCH_EVENTS].fd, .events = POLLIN };

		if (poll(&p, 1, 0) <= 0)
			break;
		on_event(w);
	}
}

/*
 * The instance's identity. The backend's create writes it down before it makes what would outlive us; until then there
 * is the folder alone.
 */
static void begin(struct watch *w, const char *run_dir)
{
	create_describe(w->plan, run_dir, &w->in);
	w->in.supervisor = (uint64_t)getpid();
	(void)pid_start_time(getpid(), &w->in.supervisor_start); /* /proc not mounted: the lock still tells */
}

/* What a bundle asks for once it runs; the workload runs meanwhile. */
static void after_start(struct watch *w)
{
	_cleanup_free_ char *state = NULL;
	struct error hook = { 0 };

	if (!w->plan->bundle || w->plan->hooks.n_poststart == 0)
		return;
	state = instance_oci_state(&w->in, INSTANCE_RUNNING, false);
	if (hooks_run(w->plan, HOOK_POSTSTART, state, &hook) < 0)
		log_line(LOG_LEVEL_WARNING, "%s: %s", w->in.id, hook.message);
}

static int open_capture(struct watch *w, int workload[2], struct error *err)
{
	bool counted = w->plan->limits.output_bytes && !w->io->terminal; /* a terminal's is counted at its master */

	for (int i = 0; i < 2 && (w->io->capture || counted); i++) {
		int pipe_fds[2];

		if (pipe2(pipe_fds, O_CLOEXEC) < 0)
			return error_sys(err, "cannot make a pipe");
		w->capture[i] = pipe_fds[0];
		workload[i] = pipe_fds[1];
	}
	return 0;
}

static int create_and_start(struct watch *w, struct error *err)
{
	_cleanup_close_ int out = -1, errors = -1;
	int workload[2] = { -1, -1 }, stdio[3], r;

	r = open_capture(w, workload, err);
	out = workload[0];
	errors = workload[1];
	if (r < 0)
		return r;
	memcpy(stdio, w->io->stdio, sizeof stdio);
	if (out >= 0) {
		stdio[1] = out;
		stdio[2] = errors;
	}
	report_mark(w->report, "spawn", 0);
	r = w->backend->create(w->plan, &w->in, stdio, err);
	if (r < 0)
		return r;
	report_mark(w->report, "created", 0);
	r = create_pid_file(w->io->pid_file, w->in.pid, err);
	if (r == 0) /* says too that it runs (instance_load()): who reads its first word may name it in another verb */
		r = instance_save_plan(&w->in, w->plan, err);
	if (r == 0)
		r = w->backend->start(&w->in, err);
	w->in.status = INSTANCE_RUNNING;
	if (r == 0)
		after_start(w);
	return r;
}

static const char *signal_name(int signo, char *buf, size_t size)
{
	const char *abbreviation = sigabbrev_np(signo);

	if (abbreviation)
		(void)snprintf(buf, size, "SIG%s", abbreviation);
	else
		(void)snprintf(buf, size, "%d", signo);
	return buf;
}

/* Turns what was seen into the report's verdict and the exit status. */
static int conclude(struct watch *w)
{
	struct report *r = w->report;
	bool signaled = w->ended.si_code != CLD_EXITED;
	int code = signaled ? 128 + w->ended.si_status : w->ended.si_status;
	int signo = signaled ? w->ended.si_status : 0;
	char name[32];

	/* PID 1 of ours ends by exit(128+n): its word on the signal counts if it fits. */
	if (!signaled && w->have_exit && WIFSIGNALED(w->told_status) && code == 128 + WTERMSIG(w->told_status))
		signo = WTERMSIG(w->told_status);
	if (signo == SIGKILL && w->io->audit && audit_killed(w->io->audit)) {
		signo = SIGSYS; /* a watched program is killed by us instead of by its filter */
		code = 128 + SIGSYS;
	}
	r->status = signo ? REPORT_SIGNALED : REPORT_EXITED;
	if (signo)
		r->signal = xstrdup(signal_name(signo, name, sizeof name));
	if (!w->limit && w->plan->limits.cpu_us && r->cpu_user_us + r->cpu_system_us > w->plan->limits.cpu_us)
		w->limit = "cpu_time"; /* between two looks */
	if (w->limit && !strcmp(w->limit, "output")) {
		r->status = REPORT_LIMIT;
		r->limit = xstrdup(w->limit);
		code = 128 + SIGKILL;
	} else if (w->limit) {
		r->status = REPORT_TIMEOUT;
		r->limit = xstrdup(w->limit);
		code = EXIT_TIMEOUT;
	} else if (w->error_status) {
		r->status = REPORT_ERROR;
		code = w->error_status;
	} else if (signo == SIGKILL && r->oom_kills) {
		r->status = REPORT_OOM;
		r->limit = xstrdup("memory");
	} else if (signo == SIGXFSZ || signo == SIGXCPU) {
		r->limit = xstrdup(signo == SIGXFSZ ? "file_size" : "cpu_time");
	}
	r->exit_code = code;
	return code;
}

static int run_claimed(struct watch *w, const char *run_dir, struct error *err)
{
	int r;

	begin(w, run_dir);
	r = create_and_start(w, err);
	if (r < 0)
		return r;
	if (w->io->terminal)
		console_attach(&w->console, w->in.live.console_fd, w->plan->limits.output_bytes);
	if (!w->plan->bundle)
		(void)instance_sweep(run_dir); /* the dead of earlier launches, while the workload runs */
	watch_run(w);
	console_detach(&w->console);
	if (w->console.over && !w->limit)
		w->limit = "output"; /* it had ended before we saw that */
	w->report->wall_us = (clock_now_ns() - w->report->start_ns) / 1000;
	if (!w->io->no_figures)
		w->backend->account(&w->in, w->report);
	if (w->io->audit)
		audit_finish(w->io->audit, w->report);
	w->io->scratch_fd = steal_fd(&w->in.live.scratch_fd);
	w->report->engine = xstrdup(w->in.engine);
	w->report->engine_reason = xstrdup(w->in.engine_reason);
	w->report->start = xstrdup(w->in.start);
	w->report->start_reason = xstrdup(w->in.start_reason);
	return conclude(w);
}

static void describe(const struct plan *plan, struct report *r)
{
	r->version = 1;
	r->id = xstrdup(plan->id);
	r->backend = xstrdup(plan->backend);
	r->image = xstrdup(plan->root.image);
	r->digest = xstrdup(plan->root.digest);
	r->policy = xstrdup(plan->policy);
	r->policy_digest = xstrdup(plan->policy_digest);
	r->command = strv_dup(plan->process.argv);
	if (r->start_ns == 0)
		r->start_ns = clock_now_ns();
}

/* A kept one belongs to nobody from now on but has nothing left to undo: `delete` removes its folder. */
static void end(struct watch *w, bool ran)
{
	_cleanup_free_ char *state = NULL;
	struct error undo = { 0 };
	int r = w->backend->delete(&w->in, &undo);

	if (r == 0 && w->io->keep && ran) {
		w->in.detached = true;
		w->in.status = INSTANCE_STOPPED;
		r = instance_save(&w->in, &undo);
	} else if (r == 0) {
		r = instance_remove_files(&w->in, &undo);
	}
	if (r < 0)
		log_line(LOG_LEVEL_WARNING, "%s: not all could be removed: %s", w->plan->id, undo.message);
	if (w->plan->hooks.n_poststop == 0 || (w->io->keep && ran))
		return;
	state = instance_oci_state(&w->in, INSTANCE_STOPPED, false);
	if (hooks_run(w->plan, HOOK_POSTSTOP, state, &undo) < 0)
		log_line(LOG_LEVEL_WARNING, "%s: %s", w->in.id, undo.message);
}

int supervise_run(const struct backend *backend, const struct plan *plan, struct supervise_io *io,
		struct report *report, struct error *err)
{
	struct watch w = { .backend = backend, .plan = plan, .io = io, .report = report, .console = { .master = -1 },
		.capture = { -1, -1 } };
	_cleanup_free_ char *run_dir = store_run_dir();
	_cleanup_close_ int lock = -1;
	sigset_t old;
	int r;

	io->scratch_fd = -1;
	instance_init(&w.in);
	describe(plan, report);
	r = instance_claim(run_dir, plan->id, &lock, err);
	if (r < 0)
		goto out;
	block_signals(&old, &w.fds[WATCH_SIGNALS].fd);
	r = run_claimed(&w, run_dir, err);
	end(&w, r >= 0);
	report_mark(report, "cleaned-up", 0);
	(void)sigprocmask(SIG_SETMASK, &old, NULL); /* what came meanwhile is delivered now */
	close_cleanup(&w.fds[WATCH_SIGNALS].fd);
out:
	if (r < 0) {
		report->status = REPORT_ERROR;
		report->exit_code = EXIT_BIVALVE;
		report->error = xstrdup(err->message);
	}
	close_cleanup(&w.capture[0]);
	close_cleanup(&w.capture[1]);
	instance_release(&w.in);
	return r;
}
