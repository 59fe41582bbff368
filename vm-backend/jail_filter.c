/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last stage of the jail: which system calls each thread of a running VMM may make.
 *
 * Theory of operation. A guest that breaks out does so in the thread that handled what it sent: a vCPU's for registers
 * and ports, a disk's for its requests, that of the shares for FUSE, that of the network card for frames, the main one
 * for the console, entropy and the balloon. Each has the calls that it makes itself and no others: who takes over a
 * disk's thread cannot send on the agent's channel, and who takes over a vCPU's can do little but run the vCPU, write
 * and raise interrupts. A call that is not on the list kills the whole process.
 *
 * Filters of one thread add up, each only takes away; so every thread gets exactly one, by itself, after it has started
 * and before any work (threads.h), the main one last. No other thread exists, and none can be made any more.
 *
 * What it does not defend against: the threads share their memory. Who has one can write what another will read, so the
 * calls of all of them together are the outer bound; the lists make each step beyond the first thread a new attack on
 * running code, in a process that can make no memory executable.
 */
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/jail.h"
#include "vm-backend/vcpu.h"

/*
 * Each row: a call, who makes it, why. The frequent ones first. A new device's calls go here, with the narrowest
 * argument that will do and its thread alone. Only the low 32 bits of an argument are compared: the kernel takes no
 * more of a descriptor or a request.
 */
enum { ANY = -1 };
enum fd_kind { NO_FD, AGENT_FD, EVENT_FD, SYNC_FD, CONTROL_FD, NETWORK_FD };
enum {
	MAIN = 1 << JAIL_MAIN,
	VCPU = 1 << JAIL_VCPU,
	DISK = 1 << JAIL_DISK,
	NET = 1 << JAIL_NETWORK,
	SHARES = 1 << JAIL_SHARES,
	ALL = MAIN | VCPU | DISK | NET | SHARES,
};
static const struct allowed {
	unsigned nr;
	int argument;           /* which, or ANY */
	uint32_t value;
	enum fd_kind fd;        /* the value is this descriptor */
	unsigned who;           /* bits */
	const char *reason;
} allowed[] = {
	{ SYS_ioctl, 1, KVM_RUN, NO_FD, VCPU, "the guest runs" },
	{ SYS_epoll_wait, ANY, 0, NO_FD, ALL & ~VCPU, "to wait for work" },
	{ SYS_write, ANY, 0, NO_FD, ALL, "interrupts and kicks (eventfds); the serial port's log; a saved state" },
	{ SYS_recvmsg, 0, 0, AGENT_FD, MAIN, "agent channel to the guest" },
	{ SYS_sendmsg, 0, 0, AGENT_FD, MAIN, "agent channel from the guest" },
	{ SYS_preadv, ANY, 0, NO_FD, DISK | SHARES, "disk reads; read" },
	{ SYS_pwritev, ANY, 0, NO_FD, DISK, "disk writes" },
	{ SYS_fdatasync, ANY, 0, NO_FD, DISK | SHARES, "disk flushes; fsync of the data" },
	{ SYS_futex, ANY, 0, NO_FD, ALL, "device locks; the gate of the threads" },
	{ SYS_getrandom, ANY, 0, NO_FD, MAIN, "virtio-rng" },
	{ SYS_madvise, 2, MADV_DONTNEED, NO_FD, MAIN, "virtio-balloon: what the guest reports as free" },
	{ SYS_fallocate, ANY, 0, NO_FD, DISK | SHARES, "disk discard and write-zeroes; fallocate" },
	{ SYS_writev, ANY, 0, NO_FD, MAIN | NET, "hvc0 to the log; frames from the guest" },
	{ SYS_recvfrom, 0, 0, NETWORK_FD, NET, "frames to the guest" },
	{ SYS_clock_gettime, ANY, 0, NO_FD, ALL & ~NET, "event times, CMOS clock, rates: where the vDSO has none" },
	{ SYS_sendto, 0, 0, EVENT_FD, MAIN | VCPU, "errors, and the milestone of the first instruction" },
	{ SYS_close, 0, 0, SYNC_FD, MAIN, "the pipe that tells the launcher that all is set up" },
	{ SYS_recvfrom, 0, 0, CONTROL_FD, MAIN, "being asked to be saved" },
	{ SYS_tgkill, 2, VCPU_SIGNAL, NO_FD, MAIN, "to be saved, vCPUs come out of the guest" },
	{ SYS_rt_sigreturn, ANY, 0, NO_FD, VCPU, "as above" },
	{ SYS_exit_group, ANY, 0, NO_FD, MAIN, "the end" },
#ifdef __SANITIZE_ADDRESS__
	{ SYS_sigaltstack, ANY, 0, NO_FD, ALL, "the sanitizer, before a function that does not return" },
	{ SYS_exit_group, ANY, 0, NO_FD, ALL, "as above: its report ends the process" },
#endif

	/* Host directories: paths are of the share tree, which is all there is, or numbers in /proc/self/fd. */
	{ SYS_openat, ANY, 0, NO_FD, SHARES, "lookup, open, create, opendir" },
	{ SYS_close, ANY, 0, NO_FD, SHARES, "forget and release" },
	{ SYS_newfstatat, ANY, 0, NO_FD, SHARES, "getattr" },
	{ SYS_statx, ANY, 0, NO_FD, SHARES, "lookup: which mount a file is on" },
	{ SYS_pwritev2, ANY, 0, NO_FD, SHARES, "write, at the end too" },
	{ SYS_getdents64, ANY, 0, NO_FD, SHARES, "readdir" },
	{ SYS_lseek, ANY, 0, NO_FD, SHARES, "readdir; where data and holes are" },
	{ SYS_readlinkat, ANY, 0, NO_FD, SHARES, "readlink" },
	{ SYS_mknodat, ANY, 0, NO_FD, SHARES, "mknod" },
	{ SYS_mkdirat, ANY, 0, NO_FD, SHARES, "mkdir" },
	{ SYS_symlinkat, ANY, 0, NO_FD, SHARES, "symlink" },
	{ SYS_linkat, ANY, 0, NO_FD, SHARES, "link" },
	{ SYS_unlinkat, ANY, 0, NO_FD, SHARES, "unlink, rmdir" },
	{ SYS_renameat2, ANY, 0, NO_FD, SHARES, "rename" },
	{ SYS_renameat, ANY, 0, NO_FD, SHARES, "rename: what the C library makes of it without flags" },
	{ SYS_fchmodat, ANY, 0, NO_FD, SHARES, "setattr: mode" },
	{ SYS_fchownat, ANY, 0, NO_FD, SHARES, "setattr: owner" },
	{ SYS_utimensat, ANY, 0, NO_FD, SHARES, "setattr: times" },
	{ SYS_ftruncate, ANY, 0, NO_FD, SHARES, "setattr: size" },
	{ SYS_fsync, ANY, 0, NO_FD, SHARES, "fsync" },
	{ SYS_copy_file_range, ANY, 0, NO_FD, SHARES, "copy_file_range" },
	{ SYS_getxattr, ANY, 0, NO_FD, SHARES, "getxattr" },
	{ SYS_setxattr, ANY, 0, NO_FD, SHARES, "setxattr" },
	{ SYS_listxattr, ANY, 0, NO_FD, SHARES, "listxattr" },
	{ SYS_removexattr, ANY, 0, NO_FD, SHARES, "removexattr" },
	{ SYS_fstatfs, ANY, 0, NO_FD, SHARES, "statfs" },
	{ SYS_setfsuid, ANY, 0, NO_FD, SHARES, "the owner of what is made" },
	{ SYS_setfsgid, ANY, 0, NO_FD, SHARES, "its group" },
	{ SYS_getuid, ANY, 0, NO_FD, SHARES, "libfuse begins a session" },
	{ SYS_brk, ANY, 0, NO_FD, SHARES, "the tables of what the guest knows grow" },
	{ SYS_mmap, 2, PROT_READ | PROT_WRITE, NO_FD, SHARES, "as above; never to be executed" },
	{ SYS_mremap, ANY, 0, NO_FD, SHARES, "as above" },
	{ SYS_munmap, ANY, 0, NO_FD, SHARES, "as above" },
};

enum {
	STATE_IOCTLS = 16,      /* at most so many: arch_state_ioctls */
	FILTER_MAX = 4 + 5 * (ARRAY_LEN(allowed) + STATE_IOCTLS) + 1,
};

/* One row: what does not match goes on to the next, with the call's number loaded again. */
static size_t filter_row(struct sock_filter *filter, size_t n, const struct allowed *a, const struct jail_fds *fds)
{
	const uint32_t numbers[] = { [AGENT_FD] = (uint32_t)fds->agent_fd, [EVENT_FD] = (uint32_t)fds->event_fd,
		[SYNC_FD] = (uint32_t)fds->sync_fd, [CONTROL_FD] = (uint32_t)fds->control_fd,
		[NETWORK_FD] = (uint32_t)fds->network_fd };
	uint32_t value = a->fd == NO_FD ? a->value : numbers[a->fd];
	uint32_t at = (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (size_t)(a->argument & 7));
	bool any = a->argument == ANY;

	filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, a->nr, 0, any ? 1 : 4);
	if (!any) {
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at);
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (!any)
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
				offsetof(struct seccomp_data, nr));
	return n;
}

static size_t filter_compile(struct sock_filter *filter, const struct jail_fds *fds, enum jail_thread thread)
{
	static const struct sock_filter head[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH_AUDIT, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	const bool saved = thread == JAIL_MAIN && fds->control_fd >= 0; /* it may be asked to save the machine */
	size_t n = ARRAY_LEN(head);

	memcpy(filter, head, sizeof head);
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (allowed[i].who >> thread & 1 && (allowed[i].fd != CONTROL_FD || saved))
			n = filter_row(filter, n, &allowed[i], fds);
	for (size_t i = 0; i < STATE_IOCTLS && arch_state_ioctls[i] && saved; i++)
		n = filter_row(filter, n, &(struct allowed){ SYS_ioctl, 1, (uint32_t)arch_state_ioctls[i], NO_FD,
				MAIN, NULL }, fds);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	return n;
}

int jail_lock(const struct jail_fds *fds, enum jail_thread thread, struct error *err)
{
	struct sock_filter filter[FILTER_MAX];
	struct sock_fprog program = { .filter = filter };

	program.len = (unsigned short)filter_compile(filter, fds, thread);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		return error_sys(err, "jail: filter");
	return 0;
}
