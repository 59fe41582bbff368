/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host directories for engine qemu: Debian's virtiofsd as a process of its own, over a vhost-user socket.
 *
 * Theory of operation. The caller makes a listening socket in its folder, connects to it and removes it: nobody else
 * can be its client. The child gets the listening end (virtiofsd takes no other), a mount namespace, and without root a
 * user namespace of the caller's one id. It mounts the share tree on the caller's folder, there alone, and
 * becomes virtiofsd, whose own sandbox then makes that tree its root, in process and network namespaces of its own,
 * under its seccomp filter and with the few capabilities that files need.
 *
 * What fails up to the start of virtiofsd is an error of qemu_shares_start. When it ends later, QEMU's device stops
 * answering and the guest's file operations hang, until the workload's time is up: virtio-fs knows no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "vm-backend/qemu_shares.h"
#include "vm-backend/shares.h"

enum { LISTEN_FD = 3, FIRST_OTHER_FD = 4, SAFE_FD = 64 };

#define SOCKET_NAME "virtiofs"

static const char *find_program(void)
{
	static const char *const places[] = { "/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd",
		"/usr/bin/virtiofsd" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

/* A listening socket and one that is connected to it; the name is gone again. */
static int make_sockets(const char *folder, int *ret_listen, int *ret_client, struct error *err)
{
	_cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r = 0;

	if (dir < 0)
		return error_sys(err, "cannot open %s", folder);
	/* The folder's own path may be longer than a socket's address. */
	(void)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" SOCKET_NAME, dir); /* fits */
	if (server < 0 || client < 0 || bind(server, (struct sockaddr *)&address, sizeof address) < 0)
		return error_sys(err, "cannot make a socket in %s", folder);
	if (listen(server, 1) < 0 || connect(client, (struct sockaddr *)&address, sizeof address) < 0)
		r = error_sys(err, "cannot connect a socket in %s", folder);
	(void)unlinkat(dir, SOCKET_NAME, 0); /* it is there: we made it */
	if (r < 0)
		return r;
	*ret_listen = steal_fd(&server);
	*ret_client = steal_fd(&client);
	return 0;
}

/* Those of the new user namespace, over the execution of a program by another user than root. */
static int keep_capabilities(struct error *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return error_sys(err, "capabilities");
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	if (syscall(SYS_capset, &head, data) < 0)
		return error_sys(err, "capabilities");
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0); /* virtiofsd tells what it misses */
	return 0;
}

/*
 * An id is the same in the guest as on the host, so that the id maps of the plan mean the same in the guest. Without
 * root the one id that can be mapped is the caller's; files of others belong to nobody.
 */
static int enter_namespaces(struct error *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];
	int r;

	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | (uid ? CLONE_NEWUSER : 0)) < 0)
		return error_sys(err, "%s", uid ? "without root a user namespace is needed, and cannot be made"
				: "namespaces");
	if (uid) {
		(void)file_write_once(AT_FDCWD, "/proc/self/setgroups", "deny"); /* what it is for fails if it fails */
		(void)snprintf(map, sizeof map, "%u %u 1", uid, uid); /* fits, like the next */
		r = file_write_once(AT_FDCWD, "/proc/self/uid_map", map);
		(void)snprintf(map, sizeof map, "%u %u 1", gid, gid);
		if (r == 0)
			r = file_write_once(AT_FDCWD, "/proc/self/gid_map", map);
		if (r < 0)
			return error_set(err, -r, "cannot map user and group: %s", strerror(-r));
		r = keep_capabilities(err);
		if (r < 0)
			return r;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? error_sys(err, "cannot make mounts private") : 0;
}

static int mount_tree(const struct vm_config *config, struct error *err)
{
	struct share_tree tree = { 0 };
	int r = share_tree_open(&tree, config->shares, config->n_shares, err);

	if (r == 0)
		r = share_tree_mount(&tree, config->work_dir, err);
	if (r >= 0)
		(void)close(r); /* it is mounted */
	share_tree_release(&tree);
	return r < 0 ? r : 0;
}

static int arrange_child(const struct vm_config *config, pid_t parent, int listen_fd, struct error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = config->log_fd >= 0 ? config->log_fd : null;
	struct rlimit files;
	sigset_t none;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* one for each file that the guest knows */
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files); /* up to the hard limit: cannot fail */
	}
	(void)sigemptyset(&none);
	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL); /* what cannot be set is so already */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid(); /* a fresh child is no group leader */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return error_set(err, ESRCH, "the launcher is gone");
	listen_fd = fcntl(listen_fd, F_DUPFD_CLOEXEC, SAFE_FD);
	log = fcntl(log, F_DUPFD_CLOEXEC, SAFE_FD);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(listen_fd, LISTEN_FD) < 0)
		return error_sys(err, "cannot arrange descriptors");
	return 0;
}

/* In the child. What fails goes to status_fd. */
static void __attribute__((noreturn)) become_server(const struct vm_config *config, const char *program, pid_t parent,
		int listen_fd, int status_fd)
{
	_cleanup_free_ char *fd_option = xasprintf("--fd=%d", LISTEN_FD);
	_cleanup_free_ char *source = xasprintf("source=%s", config->work_dir);
	/* cache=auto: the guest keeps pages, and asks after a second whether the file has changed. */
	char *argv[] = { (char *)(uintptr_t)program, fd_option, (char *)"-f", (char *)"-o", source, (char *)"-o",
		(char *)"cache=auto,xattr,no_posix_lock,no_flock,sandbox=namespace,log_level=err",
		(char *)"--rlimit-nofile=0", NULL };
	static char *const environment[] = { (char *)(uintptr_t)"LC_ALL=C", NULL };
	struct error err = { 0 };
	int r;

	status_fd = fcntl(status_fd, F_DUPFD_CLOEXEC, SAFE_FD);
	r = arrange_child(config, parent, listen_fd, &err);
	if (r == 0)
		r = enter_namespaces(&err);
	if (r == 0)
		r = mount_tree(config, &err);
	if (r == 0) {
		(void)syscall(SYS_close_range, FIRST_OTHER_FD, SAFE_FD - 1, 0); /* all others close on exec */
		(void)execve(program, argv, environment);
		(void)error_sys(&err, "cannot run %s", program); /* the code is in err */
	}
	(void)fd_write_full(status_fd, &err, sizeof err); /* else the end tells that something went wrong */
	_exit(1);
}

int qemu_shares_start(const struct vm_config *config, int *ret_fd, struct error *err)
{
	_cleanup_close_ int listen_fd = -1, client = -1, status_read = -1, status_write = -1;
	const char *program = find_program();
	pid_t pid, parent = getpid();
	struct error said;
	int status[2], r;

	if (!program)
		return error_set(err, ENOENT, "host directories: no virtiofsd: install qemu-system-common");
	r = make_sockets(config->work_dir, &listen_fd, &client, err);
	if (r < 0)
		return r;
	if (pipe2(status, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make a pipe");
	status_read = status[0];
	status_write = status[1];
	pid = fork();
	if (pid == 0)
		become_server(config, program, parent, listen_fd, status_write);
	if (pid < 0)
		return error_sys(err, "cannot fork");
	close_cleanup(&status_write);
	status_write = -1;
	if (fd_read_full(status_read, &said, sizeof said) == 0) {
		*ret_fd = steal_fd(&client);
		return 0;
	}
	(void)kill(pid, SIGKILL); /* our child and not yet reaped */
	(void)waitpid(pid, NULL, 0);
	said.message[sizeof said.message - 1] = '\0';
	return error_set(err, said.code, "host directories: %s", said.message);
}
