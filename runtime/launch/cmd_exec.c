/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bivalve exec`: one more process in a running instance.
 *
 * What it runs is the instance's own process object (plan.json) with what the command line changes, or the one of
 * --process. In the foreground it is watched as a launch is: signals are passed on, the terminal is joined, its status
 * becomes ours. The backend's event socket says why a program could not be executed: 125, 126 or 127.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/self.h"
#include "policies/enforce/caps.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/console.h"
#include "runtime/launch/oci_create.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/oci/spec.h"

enum {
	MAX_PRESERVED_FDS = 1024,
	MAX_GROUPS = 1024,
	EXEC_ERROR_MS = 300,     /* for a guest to say that its execve failed */
};

struct exec_options {
	const char *process, *cwd, *user, *pid_file, *console_socket, *cgroup, *apparmor, *label;
	char **env, **caps, **groups;
	bool terminal, detach, no_new_privs, ignore_paused;
	uint64_t preserve_fds;
	const char *id;
	char **command;           /* points into argv, NULL-terminated */
};

static int exec_parse(int argc, char **argv, struct exec_options *o, struct error *err)
{
	const char *subcgroup = NULL;
	const struct option_row rows[] = {
		{ 'p', "process", OPTION_STRING, &o->process, "FILE", "a process object as in config.json", NULL },
		{ 0, "cwd", OPTION_STRING, &o->cwd, "DIR", "working folder", NULL },
		{ 'e', "env", OPTION_LIST, &o->env, "NAME=VALUE", "one more variable", NULL },
		{ 'u', "user", OPTION_STRING, &o->user, "UID[:GID]", "as whom", NULL },
		{ 'g', "additional-gids", OPTION_LIST, &o->groups, "GID", "one more group", NULL },
		{ 't', "tty", OPTION_FLAG, &o->terminal, NULL, "on a terminal of its own", NULL },
		{ 'c', "cap", OPTION_LIST, &o->caps, "NAME", "one more capability", NULL },
		{ 'd', "detach", OPTION_FLAG, &o->detach, NULL, "return once it runs", NULL },
		{ 0, "pid-file", OPTION_STRING, &o->pid_file, "FILE", "where its pid is written", NULL },
		{ 0, "console-socket", OPTION_STRING, &o->console_socket, "PATH",
			"unix socket that gets the terminal", NULL },
		{ 0, "no-new-privs", OPTION_FLAG, &o->no_new_privs, NULL, "no more privilege by set-user-id programs",
			NULL },
		{ 0, "apparmor", OPTION_STRING, &o->apparmor, "PROFILE", "AppArmor profile", NULL },
		{ 0, "process-label", OPTION_STRING, &o->label, "LABEL", "SELinux label", NULL },
		{ 0, "cgroup", OPTION_STRING, &o->cgroup, "PATH", "control group below the instance's", NULL },
		{ 0, "sub-cgroup", OPTION_STRING, &subcgroup, "PATH", "the same", NULL },
		{ 0, "preserve-fds", OPTION_PARSED, &o->preserve_fds, "N", "hand on N descriptors, from 3",
			verb_parse_uint },
		{ 0, "ignore-paused", OPTION_FLAG, &o->ignore_paused, NULL, "also in a paused one: it waits", NULL },
		{ 0 },
	};
	int at, r = verb_parse(rows, argc, argv, "exec [OPTIONS] ID COMMAND [ARG…]", 1, 0, &at, err);

	if (r != 0)
		return r;
	if (at >= argc)
		return error_set(err, EINVAL, "exec: expected `bivalve exec [OPTIONS] ID COMMAND [ARG…]`");
	o->id = argv[at];
	o->command = argv + at + 1;
	if (subcgroup)
		o->cgroup = subcgroup;
	if (!o->process && !o->command[0])
		return error_set(err, EINVAL, "exec: no command: write one after the ID, or give --process");
	if (o->preserve_fds > MAX_PRESERVED_FDS)
		return error_set(err, EINVAL, "--preserve-fds: more than %d", MAX_PRESERVED_FDS);
	return 0;
}

static void set_env(char ***env, const char *setting)
{
	size_t len = strcspn(setting, "=") + 1;

	for (char **at = *env; at && *at; at++)
		if (!strncmp(*at, setting, len)) {
			free(*at);
			*at = xstrdup(setting);
			return;
		}
	strv_push(env, xstrdup(setting));
}

static void add_capabilities(char *const *names, struct plan_capabilities *caps)
{
	strv_foreach(name, names) {
		int number = caps_from_name(name);
		uint64_t bit;

		if (number < 0) { /* as in config.json: what this kernel does not have cannot be granted */
			log_line(LOG_LEVEL_WARNING, "--cap %s: unknown, and not granted", name);
			continue;
		}
		bit = UINT64_C(1) << number;
		caps->bounding |= bit;
		caps->permitted |= bit;
		caps->effective |= bit;
	}
}

static void replace(char **target, const char *value)
{
	if (!value)
		return;
	free(*target);
	*target = xstrdup(value);
}

/* What the words say on top of the process object that is in p. */
static int apply_words(const struct exec_options *o, struct plan_process *p, struct error *err)
{
	if (o->cwd && o->cwd[0] != '/')
		return error_set(err, EINVAL, "--cwd %s: expected an absolute path", o->cwd);
	if (strv_len(o->groups) > MAX_GROUPS)
		return error_set(err, EINVAL, "--additional-gids: more than %d", MAX_GROUPS);
	replace(&p->cwd, o->cwd);
	replace(&p->apparmor_profile, o->apparmor);
	replace(&p->selinux_label, o->label);
	if (o->user) { /* the groups were the other user's */
		replace(&p->user, o->user);
		strv_free(p->groups);
		p->groups = NULL;
	}
	strv_foreach(s, o->env) {
		if (!strchr(s, '=') || s[0] == '=')
			return error_set(err, EINVAL, "--env %s: expected NAME=VALUE", s);
		set_env(&p->env, s);
	}
	strv_foreach(s, o->groups) {
		uint64_t gid;

		if (verb_parse_uint(s, &gid, err) < 0)
			return error_prefix(err, "--additional-gids");
		strv_push(&p->groups, xstrdup(s));
	}
	p->no_new_privs |= o->no_new_privs;
	add_capabilities(o->caps, &p->capabilities);
	return 0;
}

static void take_window_size(struct plan_process *p)
{
	struct winsize size;

	if (!p->terminal || p->rows || (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 &&
			ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0))
		return;
	p->rows = size.ws_row;
	p->columns = size.ws_col;
}

/* Fills p (released first): from --process, or from the instance's own and the command's words. */
static int make_process(const struct exec_options *o, struct plan_process *p, struct error *err)
{
	int r = 0;

	if (o->process) {
		_cleanup_free_ char *initial = xstrdup(p->exec_cpus_initial), *final = xstrdup(p->exec_cpus_final);

		record_release(&plan_process_type, p);
		r = oci_spec_process(o->process, p, err);
		p->terminal |= o->terminal;
		if (r == 0 && !p->exec_cpus_initial && !p->exec_cpus_final) { /* as the configuration has it */
			p->exec_cpus_initial = steal_ptr(initial);
			p->exec_cpus_final = steal_ptr(final);
		}
	} else {
		strv_free(p->argv);
		p->argv = strv_dup(o->command);
		p->terminal = o->terminal;
		p->rows = p->columns = 0;
	}
	if (r == 0)
		r = apply_words(o, p, err);
	p->init = false;
	p->preserve_fds = o->preserve_fds;
	take_window_size(p);
	return r;
}

static int check(const struct exec_options *o, const struct verb_target *t, const struct plan_process *p,
		struct error *err)
{
	if (t->status == INSTANCE_STOPPED || t->status == INSTANCE_CREATING)
		return error_set(err, EINVAL, "cannot exec in a %s container: container not running: %s",
				instance_status_name(t->status), o->id);
	if (t->status == INSTANCE_PAUSED && !o->ignore_paused)
		return error_set(err, EINVAL, "cannot exec in a paused container (use --ignore-paused to override): %s",
				o->id);
	if (!t->backend->exec)
		return error_set(err, EOPNOTSUPP, "exec: the shell %s cannot do that", t->in.backend);
	if (p->terminal && o->detach && !o->console_socket)
		return error_set(err, EINVAL, "--tty: a detached one needs --console-socket");
	if (o->console_socket && (!o->detach || !p->terminal))
		return error_set(err, EINVAL, "--console-socket: only with --detach and a terminal");
	return 0;
}

struct session {
	struct backend_exec_result made;
	struct console console;
	bool ended, told;
	int status;               /* wait(2) status once ended */
	int error_status;         /* 125, 126, 127: it never ran; 0: it did */
};

/* Returns whether the socket has more to give. */
static bool hear(struct session *s, bool *ret_running)
{
	struct backend_event e;
	ssize_t n = recv(s->made.event_fd, &e, sizeof e, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n != (ssize_t)sizeof e) {
		close_cleanup(&s->made.event_fd);
		s->made.event_fd = -1;
		*ret_running = true;
		return false;
	}
	e.text[sizeof e.text - 1] = '\0';
	*ret_running |= e.kind == EVENT_EXIT || (e.kind == EVENT_MILESTONE && !strcmp(e.text, "exec"));
	if (e.kind == EVENT_ERROR && !s->error_status) {
		struct error line; /* to be one line whatever is in it */

		(void)error_set(&line, EIO, "%s", e.text);
		s->error_status = e.exit_status >= EXIT_BIVALVE && e.exit_status <= EXIT_NOT_FOUND ? e.exit_status
			: EXIT_BIVALVE;
		log_line(LOG_LEVEL_ERROR, "%s", line.message);
	}
	return true;
}

static int block_signals(sigset_t *ret_old)
{
	static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		(void)sigaddset(&set, forwarded[i]);
	(void)sigprocmask(SIG_BLOCK, &set, ret_old); /* cannot fail with valid arguments */
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void pass_signals(struct session *s, int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGWINCH && s->console.master >= 0)
			console_resize(&s->console);
		else
			(void)pidfd_kill(s->made.pidfd, (int)info.ssi_signo); /* ESRCH: it has just ended */
	}
}

static void watch(struct session *s, int signal_fd)
{
	enum { PID, EVENTS, SIGNALS, MASTER, INPUT, COUNT };
	struct pollfd fds[COUNT] = { [PID] = { s->made.pidfd, POLLIN, 0 }, [SIGNALS] = { signal_fd, POLLIN, 0 },
		[MASTER] = { s->console.master, POLLIN, 0 }, [INPUT] = { -1, POLLIN, 0 } };
	bool running = false;

	while (!s->ended) {
		fds[EVENTS] = (struct pollfd){ s->made.event_fd, POLLIN, 0 };
		fds[INPUT].fd = s->console.master >= 0 && s->console.input_open && !s->console.pending_len ? 0 : -1;
		fds[MASTER].events = (short)(POLLIN | (s->console.pending_len ? POLLOUT : 0));
		if (poll(fds, COUNT, -1) <= 0)
			continue;
		if (fds[SIGNALS].revents)
			pass_signals(s, signal_fd);
		if (fds[EVENTS].revents)
			(void)hear(s, &running);
		if (fds[INPUT].revents || fds[MASTER].revents & POLLOUT)
			console_input(&s->console, fds[INPUT].revents != 0);
		if (fds[MASTER].revents & (POLLIN | POLLHUP) && !console_output(&s->console))
			fds[MASTER].fd = -1;
		if (fds[PID].revents && !(fds[EVENTS].revents & POLLIN))
			s->ended = waitpid(s->made.pid, &s->status, WNOHANG) != 0;
	}
}

/* What it ran as is told by its own status; 128+n for a signal, as everywhere. */
static int exit_status(const struct session *s)
{
	if (s->error_status)
		return s->error_status;
	return WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status);
}

static int in_foreground(struct session *s)
{
	sigset_t old;
	int signal_fd = block_signals(&old);

	if (s->made.console_fd >= 0)
		console_attach(&s->console, s->made.console_fd, 0);
	watch(s, signal_fd);
	console_detach(&s->console);
	close_cleanup(&signal_fd);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return exit_status(s);
}

/*
 * Until it runs, or is known not to: its pid file must not name a process that never was. "exec" is said just before
 * execve(2). In a container the socket's end follows when that worked; a microVM's stays open as long as the process
 * lives,
 * so that an error is waited for, not for ever.
 */
static int in_background(const struct exec_options *o, struct session *s, struct error *err)
{
	struct pollfd fds[2] = { { s->made.event_fd, POLLIN, 0 }, { s->made.pidfd, POLLIN, 0 } };
	bool exec = false;
	int r = create_send_console(o->console_socket, s->made.console_fd, err);

	while (r == 0 && s->made.event_fd >= 0 && !s->error_status) {
		int n = poll(fds, 2, exec ? EXEC_ERROR_MS : -1);

		if (n > 0 && fds[0].revents)
			(void)hear(s, &exec);
		else if (n == 0 || (n > 0 && fds[1].revents))
			break;
	}
	if (r == 0 && s->error_status)
		return s->error_status;
	if (r == 0)
		r = create_pid_file(o->pid_file, (uint64_t)s->made.pid, err);
	if (r < 0)
		(void)pidfd_kill(s->made.pidfd, SIGKILL);
	return r;
}

static int run(const struct exec_options *o, const struct verb_target *t, const struct plan *plan,
		const struct plan_process *process, struct error *err)
{
	struct session s = { .made = { .pidfd = -1, .console_fd = -1, .event_fd = -1 }, .console = { .master = -1 } };
	struct backend_exec exec = { .process = process, .cgroup = o->cgroup, .stdio = { 0, 1, 2 },
		.die_with_parent = !o->detach };
	int r = t->backend->exec(&t->in, plan, &exec, &s.made, err);

	if (r < 0)
		return r;
	if (o->detach) {
		r = in_background(o, &s, err);
	} else {
		r = create_pid_file(o->pid_file, (uint64_t)s.made.pid, err);
		if (r < 0)
			(void)pidfd_kill(s.made.pidfd, SIGKILL);
		else
			r = in_foreground(&s);
	}
	close_cleanup(&s.made.pidfd);
	close_cleanup(&s.made.console_fd);
	close_cleanup(&s.made.event_fd);
	return r;
}

int cmd_exec(int argc, char **argv, struct error *err)
{
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	struct exec_options o = { 0 };
	struct plan plan = { 0 }, changed = { 0 };
	int r = exec_parse(argc, argv, &o, err);

	if (r > 0) { /* help */
		r = 0;
		goto out;
	}
	if (r == 0)
		r = verb_open(o.id, false, &t, err);
	if (r == 0 && t.backend == &container_backend)
		r = self_protect(err);
	if (r == 0)
		r = instance_load_plan(&t.in, &plan, err);
	if (r == 0)
		r = instance_load_plan(&t.in, &changed, err);
	if (r == 0)
		r = make_process(&o, &changed.process, err);
	if (r == 0)
		verb_narrow(&plan, &changed.process, LOG_LEVEL_DEBUG); /* create has said it */
	if (r == 0)
		r = check(&o, &t, &changed.process, err);
	if (r == 0)
		r = run(&o, &t, &plan, &changed.process, err);
out:
	record_release(&plan_type, &plan);
	record_release(&plan_type, &changed);
	strv_free(o.env);
	strv_free(o.caps);
	strv_free(o.groups);
	return r;
}
