/* SPDX-License-Identifier: Apache-2.0 */
/* What a process can still do after each stage of the jail. Each probe is a child of its own, for most end it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "vm-backend/jail.h"
#include "vm-backend/threads.h"

static int inside[2], kept;
static pid_t parent;

enum { NO_FILTER = -1 };

static int lock_thread(int kind, const void *fds, struct error *err)
{
	return jail_lock(fds, (enum jail_thread)kind, err);
}

/*
 * Runs probe in a child, behind the jail, and behind the filter of a kind of thread. Its wait status; 99: the jail
 * failed.
 */
static int jailed(int kind, int (*probe)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		const struct jail_fds fds = { inside[0], inside[1], -1, -1, -1 };
		const int keep[] = { inside[0], inside[1], kept, -1, STDERR_FILENO };
		struct error err = { 0 };

		if (jail_close_fds(keep, 5, &err) < 0 || jail_enter(parent, 4096, NULL, &err) < 0 ||
				(kind != NO_FILTER && lock_thread(kind, &fds, &err) < 0)) {
			(void)!write(STDERR_FILENO, err.message, strlen(err.message));
			_exit(99);
		}
		_exit(probe());
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

static int good(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static int nothing(void)
{
	return 0;
}

static int files_are_gone(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0 || open("/", O_RDONLY) >= 0 || mkdir("/x", 0700) == 0;
}

static int root_is_empty(void)
{
	return access("/proc", F_OK) == 0 || access("/dev/kvm", F_OK) == 0 || access("/..", F_OK) != 0;
}

static int no_privilege(void)
{
	return geteuid() == 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
			prctl(PR_CAPBSET_READ, 0, 0, 0, 0) != 0 || setuid(0) == 0 ||
			prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
}

static const char *first_variable = "";

static int no_environment(void)
{
	return getenv("PATH") != NULL || *first_variable != 0;
}

static int no_network(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd >= 0; /* no descriptor may be opened at all */
}

static int no_foreign_fds(void)
{
	int flags;

	for (int fd = 0; fd < 256; fd++) {
		flags = fcntl(fd, F_GETFD);
		if (flags >= 0 && fd > 2 && fd != inside[0] && fd != inside[1] && fd != kept)
			return 1;
	}
	return 0;
}

static int file_limit(void)
{
	char page[8192] = "";

	(void)signal(SIGXFSZ, SIG_IGN);
	return write(kept, page, sizeof page) != 4096 || write(kept, page, 1) >= 0;
}

static int serve_agent(void)
{
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sendmsg(inside[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL) != 1;
}

static int tell(void)
{
	return send(inside[1], "x", 1, MSG_NOSIGNAL) != 1;
}

static int serve_disk(void)
{
	char byte = 'x';
	struct iovec iov = { &byte, 1 };

	return preadv(kept, &iov, 1, 0) < 0 || pwritev(kept, &iov, 1, 0) != 1 || fdatasync(kept) < 0;
}

static int run_vcpu(void)
{
	return ioctl(-1, KVM_RUN, 0) == 0;
}

static int give_random(void)
{
	char byte;

	return getrandom(&byte, 1, 0) != 1;
}

static int drop_pages(void)
{
	return madvise(NULL, 0, MADV_DONTNEED) != 0;
}

static int kick(void)
{
	return write(kept, "x", 1) != 1;
}

static int receive_frame(void)
{
	char byte;

	return recvfrom(-1, &byte, 1, MSG_DONTWAIT, NULL, NULL) >= 0; /* -1 stands for no card in these descriptors */
}

static int name_file(void)
{
	struct stat st;

	return fstatat(AT_FDCWD, "/x", &st, 0) == 0;
}

static int try_open(void)
{
	return (int)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}
static int try_other_ioctl(void)
{
	return ioctl(kept, KVM_CREATE_VM, 0);
}
static int try_other_send(void)
{
	struct msghdr message = { 0 };

	return (int)sendmsg(kept, &message, 0);
}
static int try_mmap(void)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static int try_mprotect(void)
{
	return mprotect((void *)((uintptr_t)&kept & ~4095UL), 4096, PROT_READ | PROT_WRITE);
}
static int try_fork(void)
{
	return fork() < 0;
}
static int try_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}
static int try_kill(void)
{
	return (int)syscall(SYS_kill, parent, 0);
}
static int try_ptrace(void)
{
	return (int)syscall(SYS_ptrace, 0, 0, 0, 0);
}
static int try_other_write(void)
{
	return pwrite(kept, "x", 1, 0) != 1;
}
static int try_execve(void)
{
	return (int)syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static void test_stages(void)
{
	static const struct {
		int (*probe)(void);
		const char *what;
		int needs_root;
	} probes[] = {
		{ files_are_gone, "no file of the host can be opened", 0 },
		{ root_is_empty, "the root is empty", 1 },
		{ no_privilege, "nothing is left of root, and nothing can be regained", 1 },
		{ no_environment, "the environment is empty", 0 },
		{ no_network, "no socket can be made", 0 },
		{ no_foreign_fds, "only the descriptors that were kept are open", 0 },
		{ file_limit, "a file grows no further than allowed", 0 },
	};

	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
		if (probes[i].needs_root && geteuid() != 0)
			skip("%s: not root", probes[i].what);
		else
			ok(good(jailed(NO_FILTER, probes[i].probe)), "%s", probes[i].what);
	}
}

/* What only some threads do, and the end of any other that tries it. */
#define KIND(k) (1U << JAIL_##k)
static const struct {
	int (*probe)(void);
	const char *what;
	unsigned kinds;
} divided[] = {
	{ run_vcpu, "KVM_RUN", KIND(VCPU) },
	{ serve_agent, "the agent's channel", KIND(MAIN) },
	{ tell, "an event", KIND(MAIN) | KIND(VCPU) },
	{ serve_disk, "a disk's requests", KIND(DISK) },
	{ give_random, "random numbers", KIND(MAIN) },
	{ drop_pages, "pages given back", KIND(MAIN) },
	{ receive_frame, "a frame", KIND(NETWORK) },
	{ name_file, "the name of a file", KIND(SHARES) },
	{ kick, "a kick", KIND(MAIN) | KIND(VCPU) | KIND(DISK) | KIND(NETWORK) | KIND(SHARES) },
};

static int chosen;              /* of divided */
static int done[2];             /* a pipe: a byte for a probe that came back with success */

static void __attribute__((noreturn)) probe_and_tell(void)
{
	if (divided[chosen].probe() == 0)
		(void)!write(done[1], "x", 1);
	for (;;)
		(void)syscall(SYS_futex, &chosen, FUTEX_WAIT_PRIVATE, chosen, NULL, NULL, 0);
}

/*
 * Whether a thread of that kind may do it: 1, or 0 if it was killed. To end itself only the main thread may, so who
 * survives sleeps, and is killed by us.
 */
static int survives(int kind, int row)
{
	int status = 0, survived;
	char byte;
	pid_t pid;

	chosen = row;
	if (pipe2(done, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		const struct jail_fds fds = { inside[0], inside[1], -1, -1, -1 };
		struct error err = { 0 };

		(void)lseek(kept, 0, SEEK_SET); /* a memfd */
		if (jail_enter(parent, 4096, NULL, &err) < 0 || lock_thread(kind, &fds, &err) < 0)
			_exit(99);
		probe_and_tell();
	}
	(void)close(done[1]); /* the child's is the last */
	survived = read(done[0], &byte, 1) == 1; /* else it is the end of the child */
	(void)close(done[0]); /* a pipe */
	(void)kill(pid, SIGKILL); /* it may be dead already */
	if (waitpid(pid, &status, 0) != pid || (!survived && !killed(status)))
		return -1;
	return survived;
}

static void test_divided(void)
{
	static const char *const kinds[] = { "main", "vCPU", "disk", "network", "shares" };

	for (int row = 0; row < (int)(sizeof divided / sizeof *divided); row++)
		for (int kind = JAIL_MAIN; kind <= JAIL_SHARES; kind++) {
			int may = divided[row].kinds >> kind & 1;

			ok(survives(kind, row) == may, "%s: %s %s", kinds[kind], divided[row].what,
					may ? "is served" : "kills");
		}
}

/* Threads as the VMM has them: the wrong one's call ends the process while the right one has made it. */
static struct thread thread_disk, thread_vcpu;
static sem_t turns[2];

static void disk_work(void *arg)
{
	if (serve_disk() == 0)
		(void)!write(done[1], "d", 1);
	sem_post(&turns[0]);
}

static void vcpu_work(void *arg)
{
	sem_wait(&turns[0]);
	if (run_vcpu() == 0)
		(void)!write(done[1], "v", 1);
	(void)serve_disk();
	(void)!write(done[1], "!", 1);
}

static void test_threads(void)
{
	char said[8] = "";
	pid_t pid;
	int status = 0;

	if (pipe2(done, O_CLOEXEC) < 0 || sem_init(&turns[0], 0, 0) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		const struct jail_fds fds = { inside[0], inside[1], -1, -1, -1 };
		struct error err = { 0 };

		if (jail_enter(parent, 4096, NULL, &err) < 0 ||
				thread_start(&thread_disk, JAIL_DISK, "vda", disk_work, NULL, &err) < 0 ||
				thread_start(&thread_vcpu, JAIL_VCPU, "vcpu 0", vcpu_work, NULL, &err) < 0 ||
				threads_lock(lock_thread, &fds, &err) < 0 || jail_lock(&fds, JAIL_MAIN, &err) < 0)
			_exit(99);
		threads_release();
		for (;;)
			thread_wait_while((const uint32_t *)&chosen, (uint32_t)chosen, 0);
	}
	(void)close(done[1]); /* the child's is the last */
	ok(waitpid(pid, &status, 0) == pid && killed(status), "a disk's request in a vCPU's thread kills the process");
	ok(read(done[0], said, sizeof said - 1) >= 0 && !strcmp(said, "dv"), "after each has done its own: %s", said);
	(void)close(done[0]); /* a pipe */
}

static void test_filter(void)
{
	static const struct {
		int (*probe)(void);
		const char *what;
	} deadly[] = {
		{ try_open, "open" },
		{ try_other_ioctl, "an ioctl that is not KVM_RUN" },
		{ try_other_send, "sendmsg to another descriptor" },
		{ try_mmap, "mmap" },
		{ try_mprotect, "mprotect" },
		{ try_fork, "fork" },
		{ try_socket, "socket" },
		{ try_kill, "kill" },
		{ try_ptrace, "ptrace" },
		{ try_execve, "execve" },
		{ try_other_write, "a write that is not the VMM's way" },
	};

#ifdef __SANITIZE_ADDRESS__
	skip("what the filter allows: the sanitizer makes system calls of its own");
	(void)nothing;
	(void)test_divided;
	(void)test_threads;
#else
	ok(good(jailed(JAIL_MAIN, nothing)), "behind the filter a process can end");
	test_divided();
	test_threads();
#endif
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		for (int kind = JAIL_MAIN; kind <= JAIL_NETWORK; kind++)
			ok(killed(jailed(kind, deadly[i].probe)), "%s kills thread %d", deadly[i].what, kind);
}

int main(void)
{
	int pair[2], agent[2];

	kept = memfd_create("kept", MFD_CLOEXEC);
	if (kept < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0 ||
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return 1;
	inside[0] = agent[0];
	inside[1] = pair[0];
	parent = getpid();
	if (environ && *environ)
		first_variable = *environ;
	if (jailed(NO_FILTER, nothing) != 0) {
		skip("no jail on this host, see above");
		return tap_done();
	}
	test_stages();
	test_filter();
	return tap_done();
}
