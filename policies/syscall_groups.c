/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of groups. A new system call goes into the group that fits it by what it does; test_policy.c sees to
 * it that none of the kernel's table is left out. A new group is found by `bivalve policy list --groups` and by
 * the README's test; it needs a line in policies/README.md.
 *
 * A group says what calls are about, not whether they are safe: which of them a preset allows is the preset's business.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "policies/syscall_groups.h"
#include "runtime/base/alloc.h"

enum { MAX_GROUPS = 64, MAX_DEPTH = 4 };

const struct syscall_group syscall_groups[] = {
	{ "@io", "descriptors that are open: reading, writing, copying, waiting for none",
		"read write close close_range lseek pread64 pwrite64 readv writev preadv pwritev preadv2 "
		"pwritev2 dup dup2 dup3 fcntl ioctl sendfile copy_file_range splice tee vmsplice pipe pipe2 "
		"fadvise64 readahead cachestat" },
	{ "@file-read", "finding files and reading them; opening is here and in @file-write, the flags say for what",
		"open openat openat2 access faccessat faccessat2 stat lstat fstat newfstatat statx readlink "
		"readlinkat getdents getdents64 getcwd chdir fchdir statfs fstatfs getxattr lgetxattr "
		"fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat file_getattr inotify_init "
		"inotify_init1 inotify_add_watch inotify_rm_watch name_to_handle_at lookup_dcookie ustat" },
	{ "@file-write", "making, changing and removing files",
		"open openat openat2 creat truncate ftruncate fallocate mkdir mkdirat rmdir link linkat "
		"symlink symlinkat unlink unlinkat rename renameat renameat2 chmod fchmod fchmodat fchmodat2 "
		"utime utimes futimesat utimensat umask flock fsync fdatasync sync syncfs sync_file_range "
		"setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat "
		"file_setattr @file-owner" },
	{ "@file-owner", "changing the owner of files",
		"chown lchown fchown fchownat" },
	{ "@device-node", "making device nodes and FIFOs",
		"mknod mknodat" },
	{ "@file-handle", "files by handle, past the path and its rights",
		"open_by_handle_at name_to_handle_at" },
	{ "@wait", "waiting for descriptors and events",
		"poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait "
		"epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime "
		"timerfd_gettime" },
	{ "@aio", "asynchronous input and output",
		"io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents" },
	{ "@io-uring", "submission rings, whose operations no filter sees",
		"io_uring_setup io_uring_enter io_uring_register" },
	{ "@memory", "the caller's memory",
		"brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 munlock mlockall "
		"munlockall mseal map_shadow_stack remap_file_pages memfd_create memfd_secret pkey_alloc "
		"pkey_free pkey_mprotect membarrier" },
	{ "@numa", "where memory lies",
		"mbind get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages move_pages" },
	{ "@process", "programs, processes and threads",
		"fork vfork clone clone3 execve execveat exit exit_group wait4 waitid getpid getppid gettid "
		"getpgid setpgid getpgrp getsid setsid set_tid_address set_robust_list get_robust_list rseq "
		"rseq_slice_yield restart_syscall prctl arch_prctl set_thread_area get_thread_area modify_ldt "
		"process_mrelease pidfd_open pidfd_send_signal" },
	{ "@lock", "locks between threads",
		"futex futex_waitv futex_wait futex_wake futex_requeue" },
	{ "@signal", "signals",
		"kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait "
		"rt_sigqueueinfo rt_tgsigqueueinfo rt_sigsuspend sigaltstack pause signalfd signalfd4 "
		"pidfd_send_signal" },
	{ "@time", "reading clocks, sleeping, timers",
		"time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm getitimer "
		"setitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete "
		"timerfd_create timerfd_settime timerfd_gettime times" },
	{ "@clock-set", "setting the machine's clock",
		"settimeofday clock_settime adjtimex clock_adjtime" },
	{ "@schedule", "priorities, processors, limits and accounts",
		"sched_yield sched_setparam sched_getparam sched_setscheduler sched_getscheduler "
		"sched_setattr sched_getattr sched_get_priority_max sched_get_priority_min "
		"sched_rr_get_interval sched_setaffinity sched_getaffinity getcpu getpriority setpriority "
		"ioprio_set ioprio_get getrlimit setrlimit prlimit64 getrusage" },
	{ "@identity", "who the caller is",
		"getuid geteuid getgid getegid getresuid getresgid getgroups capget" },
	{ "@setuid", "becoming another user",
		"setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset" },
	{ "@network", "sockets of all families",
		"socket socketpair connect accept accept4 bind listen getsockname getpeername getsockopt "
		"setsockopt shutdown sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg" },
	{ "@ipc", "System V and POSIX queues, semaphores and shared memory",
		"shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open "
		"mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr" },
	{ "@system-info", "about the machine and the mounts",
		"uname sysinfo getrandom statmount listmount listns lsm_get_self_attr lsm_list_modules" },
	{ "@sandbox", "giving up rights of one's own",
		"seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self lsm_set_self_attr" },
	{ "@debug", "other processes' memory, descriptors and state; tracing",
		"ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp perf_event_open" },
	{ "@namespace", "namespaces; clone and clone3 make them too",
		"unshare setns" },
	{ "@mount", "mounts and the root",
		"mount umount2 pivot_root mount_setattr move_mount open_tree open_tree_attr fsopen fsconfig "
		"fsmount fspick chroot" },
	{ "@keyring", "the kernel's key rings, which no namespace divides",
		"add_key request_key keyctl" },
	{ "@page-fault", "page faults served by a program",
		"userfaultfd" },
	{ "@bpf", "programs in the kernel",
		"bpf" },
	{ "@module", "kernel modules",
		"init_module finit_module delete_module" },
	{ "@reboot", "the machine's life",
		"reboot kexec_load kexec_file_load" },
	{ "@raw-io", "the machine's ports",
		"iopl ioperm" },
	{ "@admin", "what administrators do",
		"sethostname setdomainname swapon swapoff quotactl quotactl_fd fanotify_init fanotify_mark "
		"acct vhangup syslog" },
	{ "@personality", "how the kernel presents itself",
		"personality" },
	{ "@obsolete", "never implemented, long gone, or replaced",
		"_sysctl getpmsg putpmsg afs_syscall tuxcall security vserver epoll_ctl_old epoll_wait_old "
		"uselib ustat sysfs create_module query_module get_kernel_syms nfsservctl lookup_dcookie" },
	{ "@pure", "computing with what is open: no file, process, network or clock is reached by these",
		"read write close lseek readv writev fstat brk mmap munmap mremap mprotect madvise futex exit "
		"exit_group rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack set_tid_address "
		"set_robust_list rseq restart_syscall arch_prctl getrandom @identity" },
	{ "@basic", "what nearly every program calls, and none can do harm with that its descriptors cannot",
		"@io @wait @memory @lock @signal @time @identity @schedule @system-info" },
	{ "@privileged", "what takes a capability, or should",
		"@device-node @file-handle @clock-set @namespace @mount @module @reboot @raw-io @admin @bpf "
		"@keyring perf_event_open" },
	{ "@all", "every system call",
		"@io @file-read @file-write @file-owner @device-node @file-handle @wait @aio @io-uring "
		"@memory @numa @process @lock @signal @time @clock-set @schedule @identity @setuid @network "
		"@ipc @system-info @sandbox @debug @namespace @mount @keyring @page-fault @bpf @module "
		"@reboot @raw-io @admin @personality @obsolete" },
	{ .name = NULL },
};

const struct syscall_group *syscall_group_find(const char *name)
{
	for (const struct syscall_group *g = syscall_groups; g->name; g++)
		if (!strcmp(g->name, name))
			return g;
	return NULL;
}

static bool has(char *const *list, const char *name, size_t len)
{
	strv_foreach(item, list)
		if (strlen(item) == len && !memcmp(item, name, len))
			return true;
	return false;
}

static int expand(const char *name, char ***list, int depth)
{
	const struct syscall_group *g = syscall_group_find(name);
	int r = 0;

	if (!g || depth == MAX_DEPTH)
		return -ENOENT;
	for (const char *at = g->members; *at && r == 0; at += strspn(at, " ")) {
		size_t len = strcspn(at, " ");

		if (*at == '@') {
			_cleanup_free_ char *inner = xstrndup(at, len);

			r = expand(inner, list, depth + 1);
		} else if (!has(*list, at, len)) {
			strv_push(list, xstrndup(at, len));
		}
		at += len;
	}
	return r;
}

int syscall_group_expand(const char *name, char ***list)
{
	return expand(name, list, 0);
}

const char *const *syscall_group_names(void)
{
	static const char *names[MAX_GROUPS];

	_Static_assert(ARRAY_LEN(syscall_groups) <= MAX_GROUPS, "room for all and the NULL");
	for (size_t i = 0; i + 1 < ARRAY_LEN(syscall_groups); i++)
		names[i] = syscall_groups[i].name;
	return names;
}
