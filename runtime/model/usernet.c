/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt and pasta, one program under two names: the options, the start, and what it says when it fails.
 *
 * It tells that it is ready by writing its pid to a file; ours is a pipe, named by /dev/fd. Descriptors in the child:
 * 3 the namespace (pasta) or the socket (passt), 4 the user namespace, 5 the pipe. What it says goes to a file in
 * memory, of which the last line is the reason if it ends instead.
 *
 * Its jail is its own: an empty root, namespaces, a system call filter. passt started by root becomes the user nobody;
 * pasta started by root cannot, since joining a namespace takes CAP_SYS_ADMIN over it, which it keeps (over the
 * container's user namespace alone, where there is one).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/usernet.h"

enum { FIRST_OTHER_FD = 6, SAFE_FD = 64, MAX_SAID = 16384, MAX_PORT = 65535 };

static const char *program_path(const char *name)
{
	static const char *const folders[] = { "/usr/bin", "/usr/local/bin" };
	static char path[64];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", folders[i], name); /* fits */
		if (access(path, X_OK) == 0)
			return path;
	}
	return NULL;
}

static bool is_ipv4(const char *text)
{
	struct in_addr address;

	return text && inet_pton(AF_INET, text, &address) == 1;
}

static int check_port(const struct plan_port *port, size_t i, struct error *err)
{
	if (port->host < 1 || port->host > MAX_PORT || port->guest < 1 || port->guest > MAX_PORT)
		return error_set(err, EINVAL, "interface.ports[%zu]: ports are from 1 to %d", i, MAX_PORT);
	if (port->address && !is_ipv4(port->address))
		return error_set(err, EINVAL, "interface.ports[%zu].address: %s: not an IPv4 address", i,
				port->address);
	return 0;
}

int usernet_check(const struct plan *plan, struct error *err)
{
	const struct plan_interface *interface = &plan->interface;
	unsigned char mac[6];
	int r = 0;

	if (plan->network != NETWORK_USER)
		return interface->n_ports ? error_set(err, EINVAL, "interface.ports: only with the network user") : 0;
	if (!program_path("passt"))
		return error_set(err, EOPNOTSUPP, "network: user: there is no passt; apt-get install passt");
	if (!is_ipv4(interface->address) || !is_ipv4(interface->gateway) || !is_ipv4(interface->dns) ||
			interface->prefix < 1 || interface->prefix > 30)
		return error_set(err, EINVAL, "interface: address, gateway and dns are IPv4 addresses, prefix 1 to 30");
	if (!interface->mac || sscanf(interface->mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3,
			mac + 4, mac + 5) != 6)
		return error_set(err, EINVAL, "interface.mac: not a hardware address");
	for (size_t i = 0; r == 0 && i < interface->n_ports; i++)
		r = check_port(&interface->ports[i], i, err);
	return r;
}

static void add(char ***argv, const char *option, const char *value)
{
	strv_push(argv, xstrdup(option));
	if (value)
		strv_push(argv, xstrdup(value));
}

static void add_ports(char ***argv, const struct plan_interface *interface, bool udp)
{
	size_t n = 0;

	for (size_t i = 0; i < interface->n_ports; i++) {
		const struct plan_port *port = &interface->ports[i];

		if (port->udp != udp)
			continue;
		strv_push(argv, xstrdup(udp ? "-u" : "-t"));
		strv_push(argv, xasprintf("%s%s%u:%u", port->address ? port->address : "", port->address ? "/" : "",
				(unsigned)port->host, (unsigned)port->guest));
		n++;
	}
	if (n == 0)
		add(argv, udp ? "-u" : "-t", "none");
}

/* What the two have in common. Nothing is assigned by DHCP: our side sets the addresses, in both shells alike. */
static char **common_argv(const struct plan *plan, const char *name)
{
	const struct plan_interface *interface = &plan->interface;
	_cleanup_free_ char *prefix = xasprintf("%u", (unsigned)interface->prefix);
	static const char *const flags[] = { "--foreground", "--quiet", "--ipv4-only", "--no-map-gw", "--no-dhcp" };
	char **argv = NULL;

	add(&argv, name, NULL);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		add(&argv, flags[i], NULL);
	add(&argv, "--address", interface->address);
	add(&argv, "--netmask", prefix);
	add(&argv, "--gateway", interface->gateway);
	add(&argv, "--dns-forward", interface->dns);
	add(&argv, "--pid", "/dev/fd/5");
	add_ports(&argv, interface, false);
	add_ports(&argv, interface, true);
	return argv;
}

/* In the child. Returns only if it fails. */
static void become_passt(const char *path, char *const argv[], int subject_fd, int userns_fd, int pid_fd, int said_fd,
		pid_t parent)
{
	static char *const environment[] = { (char *)(uintptr_t)"LC_ALL=C", NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int from[] = { null, said_fd, said_fd, subject_fd, userns_fd >= 0 ? userns_fd : null, pid_fd };
	int safe[ARRAY_LEN(from)];
	sigset_t none;

	(void)sigemptyset(&none);
	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL); /* what cannot be set is so already */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid(); /* out of reach of a terminal's signals */
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		safe[i] = fcntl(from[i], F_DUPFD_CLOEXEC, SAFE_FD);
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		if (safe[i] < 0 || dup2(safe[i], (int)i) < 0)
			return;
	(void)syscall(SYS_close_range, FIRST_OTHER_FD, ~0U, 0); /* they would close on exec */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		return;
	(void)execve(path, argv, environment);
	(void)!write(STDERR_FILENO, strerror(errno), strlen(strerror(errno)));
}

/* The last line that says something about the failure; owned by the caller. */
static char *last_words(int said_fd)
{
	static const char *const noise[] = { "Failed to send ", "Don't run as root" };
	char text[MAX_SAID], *rest = text, *line, *last = NULL;
	ssize_t n = pread(said_fd, text, sizeof text - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		bool skip = *line == '\0';

		for (size_t i = 0; i < ARRAY_LEN(noise); i++)
			skip |= !strncmp(line, noise[i], strlen(noise[i]));
		if (!skip)
			last = line;
	}
	return xstrdup(last ? last : "it ended without a word");
}

static int start(const char *name, char *const argv[], int subject_fd, int userns_fd, pid_t *ret_pid, struct error *err)
{
	_cleanup_close_ int said = memfd_create("passt", MFD_CLOEXEC), ready = -1, ready_theirs = -1;
	_cleanup_free_ char *path = NULL, *words = NULL;
	const char *found = program_path(name);
	pid_t parent = getpid(), pid;
	int fds[2];
	char byte;

	if (!found)
		return error_set(err, ENOENT, "network: user: there is no %s; apt-get install passt", name);
	path = xstrdup(found);
	if (said < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, "network: user: cannot start %s", name);
	ready = fds[0];
	ready_theirs = fds[1];
	(void)fchmod(ready_theirs, 0622); /* it opens its end anew, as nobody; a failure is told as its own */
	pid = fork();
	if (pid == 0) {
		become_passt(path, argv, subject_fd, userns_fd, ready_theirs, said, parent);
		_exit(127);
	}
	if (pid < 0)
		return error_sys(err, "network: user: cannot start %s", name);
	close_cleanup(&ready_theirs);
	ready_theirs = -1;
	if (fd_read_full(ready, &byte, 1) == 1) { /* its pid's first digit */
		*ret_pid = pid;
		return 0;
	}
	(void)kill(pid, SIGKILL); /* our child and not yet reaped */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	words = last_words(said);
	return error_set(err, EIO, "network: user: %s: %s", name, words);
}

int usernet_join(const struct plan *plan, int netns_fd, int userns_fd, pid_t *ret_pid, struct error *err)
{
	_cleanup_strv_ char **argv = common_argv(plan, "pasta");

	add(&argv, "--config-net", NULL);
	add(&argv, "--ns-ifname", USERNET_INTERFACE);
	add(&argv, "--ns-mac-addr", plan->interface.mac);
	add(&argv, "-T", "none");
	add(&argv, "-U", "none");
	if (geteuid() == 0)
		add(&argv, "--runas", "0:0");
	if (userns_fd >= 0)
		add(&argv, "--userns", "/proc/self/fd/4");
	else
		add(&argv, "--netns-only", NULL);
	add(&argv, "--netns", "/proc/self/fd/3");
	return start("pasta", argv, netns_fd, userns_fd, ret_pid, err);
}

int usernet_connect(const struct plan *plan, int *ret_fd, struct error *err)
{
	_cleanup_strv_ char **argv = common_argv(plan, "passt");
	_cleanup_close_ int ours = -1, theirs = -1;
	pid_t pid;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, "network: user: cannot make a socket pair");
	ours = pair[0];
	theirs = pair[1];
	add(&argv, "--one-off", NULL);
	add(&argv, "--fd", "3");
	r = start("passt", argv, theirs, -1, &pid, err);
	if (r == 0)
		r = fd_set_nonblock(ours, true);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&ours);
	return 0;
}
