/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine "kvm": our own VMM on /dev/kvm.
 *
 * Theory of operation
 *
 * spawn forks. The child becomes the VMM and never returns: it opens all it needs, sets up the machine, goes to jail
 * and lets the vCPUs run; kvm_child() is that list. The parent waits on a pipe for the outcome of it, one struct
 * error whose code is 0 once the jail is closed, so that whatever goes wrong before the guest's first instruction is
 * the error of spawn. What goes wrong later is told to event_fd.
 *
 *   threads      main: console, agent channel, entropy, the end   one per vCPU   one or four per disk   one for shares
 *
 * The end: a vCPU thread that sees the guest reset or power off calls machine_stop, which kicks the main thread. That
 * passes on what the guest has sent to the agent's channel and is still in the queue, and leaves with exit_group, which
 * takes all other threads along, in KVM_RUN or out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "vm-backend/boot.h"
#include "vm-backend/jail.h"
#include "vm-backend/machine.h"
#include "vm-backend/measure.h"
#include "vm-backend/snapshot.h"
#include "vm-backend/threads.h"

#define DRAIN_NS      UINT64_C(5000000000)      /* for the agent to take what the guest left */
#define LOG_MAX_BYTES (UINT64_C(64) << 20)      /* that a log file may grow by */

enum { DRAIN_TURN_MS = 20, EXIT_NOT_STARTED = 125 };

void machine_stop(struct machine *machine, int code, const char *why)
{
	if (__atomic_exchange_n(&machine->stop_claimed, 1, __ATOMIC_ACQ_REL))
		return;
	if (code)
		(void)error_set(&machine->stop_error, code, "%s", why); /* the text is what counts */
	io_source_kick(&machine->stop); /* a system call: what was written above is seen by who waits for it */
}

static void stop_ready(struct io_source *source, uint32_t events)
{
	struct machine *machine = source->owner;

	machine->stopping = true;
	machine->stop_deadline_ns = clock_now_ns() + DRAIN_NS;
}

/* The main thread from the release of the others to the end of the process. */
static void __attribute__((noreturn)) machine_serve(struct machine *machine)
{
	while (!machine->stopping)
		io_loop_turn(&machine->loop, -1);
	while (!virtio_console_drain(&machine->devices.console) && clock_now_ns() < machine->stop_deadline_ns)
		io_loop_turn(&machine->loop, DRAIN_TURN_MS);
	arch_flush(machine);
	if (machine->stop_error.code)
		(void)backend_event_error(machine->config->event_fd, &machine->stop_error,
				EXIT_NOT_STARTED); /* if nobody listens, the exit status has to do */
	_exit(machine->stop_error.code ? 1 : 0);
}

static int map_memory(struct machine *machine, struct error *err)
{
	const struct vm_config *config = machine->config;
	const char *path = config->restore ? config->restore->ram_path : NULL;
	_cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;

	if (!path)
		return vm_memory_map(&machine->memory, config->memory_bytes, err);
	if (fd < 0)
		return error_sys(err, "%s", path);
	return vm_memory_map_file(&machine->memory, config->memory_bytes, fd, err);
}

static int machine_init(struct machine *machine, struct error *err)
{
	int r;

	machine->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (machine->kvm_fd < 0)
		return error_sys(err, "/dev/kvm");
	if (ioctl(machine->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return error_set(err, ENOTSUP, "/dev/kvm: not version %d of its interface", KVM_API_VERSION);
	do
		machine->vm_fd = ioctl(machine->kvm_fd, KVM_CREATE_VM, 0);
	while (machine->vm_fd < 0 && errno == EINTR);
	if (machine->vm_fd < 0)
		return error_sys(err, "kvm: KVM_CREATE_VM");
	r = io_loop_init(&machine->loop, err);
	if (r < 0)
		return r;
	machine->stop = (struct io_source){ .fd = -1, .ready = stop_ready, .owner = machine };
	r = io_source_event(&machine->stop, &machine->loop, 0, err);
	if (r < 0)
		return r;
	r = arch_vm_init(machine, err);
	if (r < 0)
		return r;
	r = map_memory(machine, err);
	return r < 0 ? r : vm_memory_plug(&machine->memory, machine->vm_fd, err);
}

/* How large the VMM may make a file: its largest disk, or a log of some length. */
static uint64_t max_file_bytes(const struct machine *machine)
{
	const struct devices *devices = &machine->devices;
	uint64_t max = 0;
	struct stat st;

	for (size_t i = 0; i < devices->n_disks; i++)
		if (!devices->disks[i].read_only && devices->disks[i].bytes > max)
			max = devices->disks[i].bytes;
	if (machine->config->log_fd >= 0 && fstat(machine->config->log_fd, &st) == 0 && S_ISREG(st.st_mode) &&
			(uint64_t)st.st_size + LOG_MAX_BYTES > max)
		max = (uint64_t)st.st_size + LOG_MAX_BYTES;
	return max;
}

/* The signal does all there is to do: KVM_RUN returns. */
static void leave_guest(int signo)
{
}

/* A process of its own: no handlers, no terminal, a name, and dead when its parent is. */
static int become_vmm(const struct vm_config *config, pid_t parent, struct error *err)
{
	static const int ignored[] = { SIGPIPE, SIGXFSZ };
	char name[16];
	sigset_t none;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_sys(err, "prctl");
	if (getppid() != parent)
		return error_set(err, ESRCH, "the launcher is gone");
	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL); /* fails for those that have no handler anyway */
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		(void)signal(ignored[i], SIG_IGN); /* valid numbers: cannot fail */
	(void)sigaction(VCPU_SIGNAL, &(struct sigaction){ .sa_handler = leave_guest }, NULL); /* likewise */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* likewise */
	(void)setsid(); /* fails only for a session's leader, which has none to leave */
	(void)snprintf(name, sizeof name, "vmm:%s", config->name ? config->name : ""); /* cut is fine */
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	return 0;
}

static int prepare_saving(struct machine *machine, int control, struct error *err)
{
	int r = arch_state_prepare(machine, err);

	return r < 0 ? r : snapshot_attach(machine, control, err);
}

/* In the jail, but before its filter: that has no request that changes a vCPU. */
static int go_on_from(struct machine *machine, const struct vm_restore *restore, struct error *err)
{
	const struct snapshot_machine wanted = { SNAPSHOT_VERSION, machine->config->vcpus,
		(uint32_t)machine->devices.n_windows, 0, machine->memory.bytes };
	struct snapshot saved;
	int r = snapshot_read(restore->state_fd, restore->state_bytes, &wanted,
			restore->ram_path ? NULL : &machine->memory, &saved, err);

	if (r < 0)
		return r;
	r = snapshot_restore(machine, &saved, err);
	snapshot_release(&saved);
	(void)close(restore->state_fd); /* read only */
	return r;
}

static int lock_thread(int kind, const void *fds, struct error *err)
{
	return jail_lock(fds, (enum jail_thread)kind, err);
}

/* The order of steps, from fork to the first instruction of the guest. Does not return unless it fails. */
static int kvm_child(const struct vm_config *config, pid_t parent, int sync_fd, struct error *err)
{
	const int control = config->control ? config->control[1] : -1;
	int keep[7 + VM_MAX_DISKS] = { config->agent_fd, config->log_fd, config->event_fd, sync_fd, control,
		config->network_fd, config->restore ? config->restore->state_fd : -1 };
	const struct jail_fds fds = { config->agent_fd, config->event_fd, sync_fd, control, config->network_fd };
	struct jail_shares shares = { config->shares, config->n_shares, -1, -1 };
	const struct error fine = { 0 };
	struct machine *machine = xcalloc(1, sizeof *machine);
	int r = become_vmm(config, parent, err);

	machine->config = config;
	machine->counters = config->counters ? config->counters : xcalloc(1, sizeof *machine->counters);
	machine->counters->n_vcpus = config->vcpus;
	for (size_t i = 0; i < VM_MAX_DISKS; i++)
		keep[7 + i] = i < config->n_disks && config->disks[i].copied ? config->disks[i].copy_fd : -1;
	if (r >= 0)
		r = jail_close_fds(keep, ARRAY_LEN(keep), err);
	if (r >= 0)
		r = machine_init(machine, err);
	if (r >= 0)
		r = devices_init(machine, err);
	if (r >= 0 && !config->restore)
		r = boot_start(machine, err);
	if (r >= 0)
		r = vcpus_init(machine, err);
	if (r >= 0 && control >= 0)
		r = prepare_saving(machine, control, err);
	if (r >= 0 && geteuid() != 0)
		r = boot_await(err); /* a process with threads gets no user namespace */
	if (r >= 0) {
		(void)close(machine->kvm_fd); /* makes VMs; this one is made */
		r = jail_enter(parent, max_file_bytes(machine), config->n_shares ? &shares : NULL, err);
	}
	if (r >= 0)
		r = boot_await(err);
	if (r >= 0 && !config->restore)
		r = arch_vcpu_enter(machine, machine->vcpus[0].fd, err);
	if (r >= 0)
		r = devices_start(machine, shares.root_fd, shares.proc_fd, err);
	if (r >= 0)
		r = vcpus_start(machine, err);
	if (r >= 0 && config->restore)
		r = go_on_from(machine, config->restore, err);
	if (r >= 0)
		r = threads_lock(lock_thread, &fds, err);
	if (r >= 0)
		r = jail_lock(&fds, JAIL_MAIN, err);
	if (r >= 0 && write(sync_fd, &fine, sizeof fine) != sizeof fine)
		r = error_sys(err, "the launcher is gone");
	if (r < 0)
		return r;
	(void)close(sync_fd); /* nothing more to say */
	threads_release();
	machine_serve(machine);
}

static int check_config(const struct vm_config *config, struct error *err)
{
	if (config->vcpus < 1 || config->vcpus > VM_MAX_VCPUS)
		return error_set(err, EINVAL, "vcpus: %u: not between 1 and %d", config->vcpus, VM_MAX_VCPUS);
	if (config->n_disks > VM_MAX_DISKS)
		return error_set(err, EINVAL, "disks: %zu: at most %d", config->n_disks, VM_MAX_DISKS);
	if (!config->kernel_path)
		return error_set(err, EINVAL, "kernel: none");
	return 0;
}

/* Waits for the child's word. On failure the child is gone and reaped. */
static int await_child(pid_t pid, int sync_fd, struct error *err)
{
	struct error said;
	ssize_t n = fd_read_full(sync_fd, &said, sizeof said);
	int status;

	if (n == sizeof said && said.code == 0)
		return 0;
	(void)kill(pid, SIGKILL); /* it may be gone already */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n == sizeof said) {
		said.message[sizeof said.message - 1] = '\0';
		return error_set(err, said.code, "%s", said.message);
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return error_set(err, EIO, "the VMM died of signal %d while it was set up", WTERMSIG(status));
	return error_set(err, EIO, "the VMM ended while it was set up");
}

static int kvm_spawn(const struct vm_config *config, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	_cleanup_close_ int sync_read = -1;
	_cleanup_close_ int sync_write = -1;
	pid_t parent = getpid(), pid;
	int pipe_fds[2], pidfd, r;

	r = check_config(config, err);
	if (r < 0)
		return r;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_sys(err, "pipe");
	sync_read = pipe_fds[0];
	sync_write = pipe_fds[1];
	pid = fork();
	if (pid < 0)
		return error_sys(err, "fork");
	if (pid == 0) {
		struct error child_error = { 0 };

		(void)kvm_child(config, parent, sync_write, &child_error); /* returned, so it failed */
		(void)fd_write_full(sync_write, &child_error, sizeof child_error); /* fails if nobody reads it */
		_exit(EXIT_NOT_STARTED);
	}
	close_cleanup(&sync_write);
	sync_write = -1;
	r = await_child(pid, sync_read, err);
	if (r < 0)
		return r;
	pidfd = pidfd_open_pid(pid);
	if (pidfd < 0) {
		(void)kill(pid, SIGKILL); /* our own child, not reaped: it is still this process */
		(void)waitpid(pid, NULL, 0);
		return error_set(err, -pidfd, "pidfd_open");
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

static int look_at_kvm(char *reason, size_t size)
{
	_cleanup_close_ int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0) {
		(void)snprintf(reason, size, errno == ENOENT ? "no /dev/kvm" : "/dev/kvm: %s", strerror(errno));
		return 0;
	}
	return arch_probe(kvm, reason, size);
}

/* Once in a process: it takes milliseconds, and where it says no, engine qemu asks again at several steps. */
static int kvm_probe(char *reason, size_t size)
{
	static char said[160];
	static int answer = -1;

	if (answer < 0)
		answer = look_at_kvm(said, sizeof said);
	(void)snprintf(reason, size, "%s", said); /* a cut reason is still one */
	return answer;
}

/* Another state version is another engine to a saved machine; one of the same version goes on on any build. */
static char *kvm_identity(struct error *err)
{
	_cleanup_free_ char *cpu = arch_cpu_identity();

	return xasprintf("state %d, %s", SNAPSHOT_VERSION, cpu);
}

const struct vm_engine engine_kvm = {
	.name = "kvm",
	.probe = kvm_probe,
	.spawn = kvm_spawn,
	.save = snapshot_save,
	.resume = snapshot_resume,
	.identity = kvm_identity,
	.measure = kvm_measure,
};
