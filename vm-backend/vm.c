/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM shell: the plan in a machine with a kernel of its own.
 *
 * Theory of operation. Three processes on the host stand for a workload:
 *
 *      launcher --fork--> monitor (instance.pid) --engine.spawn--> machine (instance.vmm_pid)
 *         ^    events        |   ^                                    |  RAM, vCPUs, disks
 *         +------------------+   +-- agent channel --> PID 1 in the guest --container_spawn--> workload
 *
 * The monitor is what the launcher sees of the workload: it exists before the workload runs, holds its standard
 * streams, takes its signals and exits with its status. The machine is the engine's child, KVM or QEMU. PID 1 in the
 * guest applies the same plan by the same code as the container shell.
 *
 * create() returns when the machine runs, not when the guest is up: the boot overlaps with whatever the launcher does.
 * The workload starts when both the guest has set it up and start() was called. A detached instance is different: its
 * creator waits until the workload is set up in the guest, so that whatever is wrong with the plan is create's error;
 * until then, and until state.json names every process, the monitor dies with it. Afterwards the FIFO starts it.
 *
 * Limits bind twice: inside, by the guest's cgroup v2 and the plan; outside, the machine's process is in a cgroup with
 * room for the guest's RAM and the engine's overhead. Wall time is the launcher's.
 *
 * What this does not defend against: the host's root; side channels between machines; a launcher that is killed
 * before create() is done (the processes die with it; an empty cgroup may stay until `delete`).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/json.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "runtime/model/hooks.h"
#include "runtime/model/usernet.h"
#include "vm-backend/engine.h"
#include "vm-backend/saved.h"
#include "vm-backend/shares.h"
#include "vm-backend/template.h"
#include "vm-backend/vm_children.h"
#include "vm-backend/vm_config.h"
#include "vm-backend/vm_end.h"
#include "vm-backend/vm_limits.h"
#include "vm-backend/vm_monitor.h"
#include "vm-backend/vm_verbs.h"

/* What a plan can ask for that is the host kernel's to give. `features` lists these, and what else is refused. */
struct host_only {
	const char *field, *why;
	bool asked;
};
enum { HOST_ONLY = 7 };

static void list_host_only(const struct plan *plan, struct host_only ret[HOST_ONLY])
{
	const struct plan_process *p = &plan->process;
	const struct host_only fields[HOST_ONLY] = {
		{ "hooks.createContainer", "there are no namespaces on the host to run it in",
			plan->hooks.n_create_container },
		{ "linux.seccomp.listenerPath", "the filter is the guest kernel's", plan->seccomp_listener },
		{ "process.execCPUAffinity", "the guest's processors are not the host's",
			p->exec_cpus_initial || p->exec_cpus_final },
		{ "process.apparmorProfile", "the guest has no AppArmor", p->apparmor_profile && *p->apparmor_profile },
		{ "process.selinuxLabel", "the guest has no SELinux", p->selinux_label && *p->selinux_label },
		{ "linux.mountLabel", "the guest has no SELinux", plan->mount_label && *plan->mount_label },
		{ "process.preserve_fds", "a VM takes no descriptors of the host", p->preserve_fds },
	};

	memcpy(ret, fields, sizeof fields);
}

static const char *const refused_besides[] = {
	"linux.namespaces[].path", "linux.devices[] of the host", "mounts[].source: a socket, device or FIFO",
	"mounts[].options: idmap", "linux.resources.blockIO of a device", "a network of the host's",
};

static void vm_probe(struct json_writer *w)
{
	static const struct plan nothing;
	struct host_only fields[HOST_ONLY];

	json_begin_object(w, "engines");
	for (size_t i = 0; vm_engines[i]; i++) {
		char reason[200] = "";
		int usable = vm_engines[i]->probe(reason, sizeof reason);

		json_begin_object(w, vm_engines[i]->name);
		json_put_bool(w, "usable", usable == 1);
		json_put_string(w, "reason", reason);
		json_end(w);
	}
	json_end(w);
	list_host_only(&nothing, fields);
	json_begin_array(w, "refused");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		json_put_string(w, NULL, fields[i].field);
	for (size_t i = 0; i < ARRAY_LEN(refused_besides); i++)
		json_put_string(w, NULL, refused_besides[i]);
	json_end(w);
}

/* Devices that every kernel has by itself, the guest's too: null zero full random urandom, tty ptmx. */
static bool is_common_device(const struct plan_device *d)
{
	static const struct {
		unsigned major, minor;
	} common[] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 }, { 1, 9 }, { 5, 0 }, { 5, 2 } };

	if (d->type && !strcmp(d->type, "p"))
		return true; /* no device */
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if (d->major == common[i].major && d->minor == common[i].minor)
			return true;
	return false;
}

static int check_shared(const struct plan *plan, struct error *err)
{
	int r = shares_check(plan, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < plan->n_devices; i++)
		if (!is_common_device(&plan->devices[i]))
			return error_set(err, EOPNOTSUPP, "devices[%zu].path: %s (%u:%u): the VM shell cannot pass on "
					"devices of the host", i, plan->devices[i].path,
					(unsigned)plan->devices[i].major, (unsigned)plan->devices[i].minor);
	if (plan->network == NETWORK_HOST)
		return error_set(err, EOPNOTSUPP, "network: a VM cannot use the host's network; use user or none (a "
				"bundle: a network namespace)");
	return usernet_check(plan, err);
}

static int check_host_only(const struct plan *plan, struct error *err)
{
	struct host_only fields[HOST_ONLY];

	if (plan->n_joins)
		return error_set(err, EOPNOTSUPP, "linux.namespaces: %s by path: a VM cannot join a namespace of "
				"the host (%s)", plan->joins[0].type, plan->joins[0].path);
	if (vm_limits_disk_rates(&plan->resources) && shares_wanted(plan))
		return error_set(err, EOPNOTSUPP, "resources.io: in a VM only disks have a rate, and this workload is "
				"shown folders of the host (virtio-fs); --best-effort goes on without");
	list_host_only(plan, fields);
	for (size_t i = 0; i < HOST_ONLY; i++)
		if (fields[i].asked)
			return error_set(err, EOPNOTSUPP, "%s: %s", fields[i].field, fields[i].why);
	return vm_limits_check(&plan->resources, err);
}

static int vm_check(const struct plan *plan, struct error *err)
{
	int r = check_shared(plan, err);

	if (r == 0)
		r = check_host_only(plan, err);
	if (r < 0)
		return r;
	r = vm_memory_check(plan, err);
	if (r < 0)
		return r;
	if (plan->vm.vcpus > VM_MAX_VCPUS)
		return error_set(err, EINVAL, "vm.vcpus: %llu: at most %d", (unsigned long long)plan->vm.vcpus,
				VM_MAX_VCPUS);
	if (!plan->vm.kernel_path || access(plan->vm.kernel_path, R_OK) < 0)
		return error_set(err, ENOENT, "vm.kernel: no guest kernel%s%s; import one: bivalve kernel import",
				plan->vm.kernel_path ? " at " : "", plan->vm.kernel_path ? plan->vm.kernel_path : "");
	if (!plan->root.disk && !plan->root.path && !plan->root.empty)
		return error_set(err, EOPNOTSUPP,
			"root: the VM shell needs it as a disk or as a folder (root.path), and "
			"there is neither for %s",
			plan->root.image ? plan->root.image : "this root");
	return 0; /* create() chooses the engine, and says why when there is none: a probe costs milliseconds */
}

/* What create() gathers; everything but what went to the instance is closed at the end. */
struct creation {
	const struct vm_engine *engine;
	struct cgroup_host cgroups;
	int event_fd, start_fd, ready, ready_theirs; /* the monitor's ends, and ours of the answer's socket */
	int stdio[3];            /* for the monitor: borrowed, or the terminal's slave */
	int slave;
	struct template_use use; /* if the machine starts from one */
	bool prepared;           /* and the plan's workload is prepared there */
};

static void creation_release(struct creation *c)
{
	close_cleanup(&c->event_fd);
	close_cleanup(&c->start_fd);
	close_cleanup(&c->ready);
	close_cleanup(&c->ready_theirs);
	close_cleanup(&c->slave);
	template_use_release(&c->use);
}

/* Asks the engines whether they can run here. */
static int choose_engine(const struct plan *plan, struct instance *in, struct creation *c, struct error *err)
{
	char reason[200];

	c->engine = vm_engine_choose(plan->vm.engine, reason, sizeof reason, err);
	if (!c->engine)
		return -err->code;
	free(in->engine);
	free(in->engine_reason);
	in->engine = xstrdup(c->engine->name);
	in->engine_reason = xstrdup(reason);
	return 0;
}

/*
 * An engine that was asked for is started before it is probed: the probe then takes its time while the machine is made.
 * Where there is a choice the probe must come first.
 */
static int take_engine(const struct plan *plan, struct instance *in, struct creation *c, struct error *err)
{
	if (!plan->vm.initramfs_path) /* check() comes before it is made */
		return error_set(err, EINVAL, "vm.initramfs_path: missing");
	c->engine = vm_engine_named(plan->vm.engine);
	return c->engine ? 0 : choose_engine(plan, in, c, err);
}

/* A saved instance; what its machine's kernel was told is part of it. */
static int open_saved(const struct plan *plan, struct instance *in, struct creation *c, struct error *err)
{
	struct vm_machine machine;
	int r;

	vm_machine_describe(plan, false, &machine);
	r = saved_open(plan->vm.from, &machine.config, c->engine, &c->use, err);
	vm_machine_release(&machine);
	free(in->start);
	free(in->start_reason);
	in->start = xstrdup("snapshot");
	in->start_reason = xstrdup(plan->vm.from);
	return r;
}

/* From a template if one fits, unless the plan says otherwise; why not is part of the report. */
static int choose_start(const struct plan *plan, struct instance *in, struct creation *c, struct error *err)
{
	struct vm_machine machine;
	struct error why = { 0 };
	int r = 0;

	if (plan->vm.from)
		return open_saved(plan, in, c, err);
	vm_machine_describe(plan, vm_log_wanted(), &machine);
	if (plan->vm.start != START_COLD)
		r = template_find(plan->vm.templates, &machine.config, c->engine, &c->use, &why);
	vm_machine_release(&machine);
	if (r < 0 && plan->vm.start == START_WARM)
		return error_set(err, why.code, "start: warm: no template can be used: %s; make one: bivalve template "
				"create %s", why.message, plan->root.image ? plan->root.image : "IMAGE");
	free(in->start);
	free(in->start_reason);
	in->start = xstrdup(c->use.ram_path ? "warm" : "cold");
	c->prepared = c->use.ram_path && !in->detached && template_prepared_for(&c->use, plan);
	in->start_reason = c->use.ram_path ? xasprintf("template %s fits%s", c->use.template.name,
			c->prepared ? ", and has prepared the workload" : "")
			: xstrdup(plan->vm.start == START_COLD ? "it was asked for" : why.message);
	return 0;
}

/*
 * The outer limits: the machine's process may use what the plan allows, plus what running a machine takes. Without
 * control groups of our own (not root) the inner limits still bind, RAM by the machine's very size.
 */
static int make_cgroup(const struct plan *plan, struct instance *in, struct creation *c, struct error *err)
{
	const struct plan_resources *res = &plan->resources;
	struct plan_resources outside;
	int r;

	if (plan->no_cgroup)
		return 0;
	if (!plan->cgroup && !in->detached && !res->memory_bytes && !res->cpu_quota_us && !res->cpu_weight &&
			!res->cpu_shares && !res->cpu_set && !res->memory_nodes && !res->io_weight && !res->pids)
		return 0;
	cgroup_probe(&c->cgroups);
	if (!c->cgroups.memory && !c->cgroups.cpu && !c->cgroups.pids)
		return 0;
	outside = vm_limits_outside(plan, res, c->engine->name, &c->cgroups);
	in->cgroup = cgroup_path_of(&c->cgroups, plan, err);
	if (!in->cgroup)
		return -err->code;
	r = cgroup_check_free(&c->cgroups, in->cgroup, err);
	if (r == 0)
		r = instance_save(in, err);
	if (r == 0)
		r = cgroup_create_with(&c->cgroups, in->cgroup, &outside, in->detached ? CGROUP_FIGURES : 0, NULL, err);
	if (r < 0)
		free(steal_ptr(in->cgroup));
	return r < 0 ? error_prefix(err, "resources, outside the machine") : 0;
}

/* A detached instance tells nobody its events, and waits at its FIFO. */
static int open_start(struct instance *in, struct creation *c, struct error *err)
{
	int events[2], start[2];

	if (in->detached) {
		c->start_fd = instance_make_fifo(in, err);
		return c->start_fd < 0 ? c->start_fd : 0;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0)
		return error_sys(err, "cannot make the event socket");
	in->live.event_fd = events[0];
	c->event_fd = events[1];
	if (pipe2(start, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make the start pipe");
	c->start_fd = start[0];
	in->live.start_fd = start[1];
	return 0;
}

static int open_channels(struct instance *in, struct creation *c, struct error *err)
{
	int ready[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ready) < 0)
		return error_sys(err, "cannot make a socket pair");
	c->ready = ready[0];
	c->ready_theirs = ready[1];
	return open_start(in, c, err);
}

/* A terminal of the host between the launcher and the monitor. */
static int open_terminal(const struct plan *plan, struct instance *in, struct creation *c, struct error *err)
{
	in->live.console_fd = vm_open_terminal(&plan->process, &c->slave, err);
	if (in->live.console_fd < 0)
		return -err->code;
	c->stdio[0] = c->slave;
	c->stdio[1] = c->stdio[2] = -1;
	return 0;
}

/* Moves fd to a number from base on, so that the others can be put below. */
static int move_up(int fd, int base)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, base);
}

/*
 * In the child: standard streams that say nothing, our descriptors at fixed places, no other ones. Standard error is
 * the launcher's, for BIVALVE_VM_LOG; not when we outlive it, since somebody may wait for the end of its streams.
 */
static void arrange_fds(struct vm_monitor_start *s)
{
	enum { FIRST = 3, COUNT = 8, SAFE = 64 };
	int *const kept[COUNT] = { &s->event_fd, &s->start_fd, &s->ready_fd, &s->changes_fd, &s->stdio[0], &s->stdio[1],
		&s->stdio[2], &s->restore.state_fd };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < COUNT; i++)
		*kept[i] = move_up(*kept[i], SAFE);
	for (int i = 0; i < COUNT; i++)
		if (*kept[i] >= 0)
			*kept[i] = dup3(*kept[i], FIRST + i, O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, 0); /* these cannot fail with descriptors that are open */
		(void)dup2(null, 1);
		if (s->detached)
			(void)dup2(null, 2);
	}
	for (int i = 0; i < COUNT; i++)
		if (*kept[i] < 0)
			(void)close(FIRST + i);
	(void)syscall(SYS_close_range, FIRST + COUNT, ~0u, 0);
}

/*
 * Whoever asks for the group of instance.pid should find the machine's, and the machine and its helpers are to be in it
 * from their first step. Alone in its process this waits for nothing.
 */
static void join_cgroup(const struct creation *c, const struct instance *in, int ready_fd)
{
	struct vm_monitor_ready ready = { 0 };

	if (in->detached && in->cgroup && cgroup_attach(&c->cgroups, in->cgroup, 0, &ready.error) < 0) {
		(void)send(ready_fd, &ready, sizeof ready, MSG_NOSIGNAL); /* else our end tells */
		_exit(1);
	}
}

/* The changes come as a stream: into a file without a name, which is gone with the last of us. */
static int open_changes(const struct plan *plan, struct instance *in, struct error *err)
{
	const char *folder = getenv("TMPDIR");

	folder = folder && *folder == '/' ? folder : "/var/tmp";
	if (!plan->changes)
		return 0;
	in->live.scratch_fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (in->live.scratch_fd < 0 && errno == EOPNOTSUPP) { /* then by a name that is gone at once */
		_cleanup_free_ char *name = xasprintf("%s/.bivalve-changes.XXXXXX", folder);

		in->live.scratch_fd = mkostemp(name, O_CLOEXEC);
		if (in->live.scratch_fd >= 0)
			(void)unlink(name); /* it is ours, and was just made */
	}
	return in->live.scratch_fd < 0 ? error_sys(err, "changes: cannot make a file in %s (TMPDIR)", folder) : 0;
}

static int fork_monitor(const struct plan *plan, struct instance *in, struct creation *c, struct error *err)
{
	struct vm_monitor_start start = { .plan = plan,
		.engine = c->engine,
		.dir = in->dir,
		.parent = getpid(),
		.stdio = { c->stdio[0], c->stdio[1], c->stdio[2] },
		.event_fd = c->event_fd,
		.start_fd = c->start_fd,
		.ready_fd = c->ready_theirs,
		.changes_fd = in->live.scratch_fd,
		.detached = in->detached,
		.prepared = c->prepared,
		.restore = { .state_fd = -1 } };
	sigset_t all, old;
	pid_t pid;

	if (c->use.restore.state_bytes)
		start.restore = c->use.restore;
	(void)sigfillset(&all); /* cannot fail, nor can the next with it */
	(void)sigprocmask(SIG_SETMASK, &all, &old); /* no handler of ours may run in the child */
	pid = fork();
	if (pid == 0) {
		join_cgroup(c, in, start.ready_fd);
		arrange_fds(&start);
		vm_monitor_run(&start);
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return error_sys(err, "cannot fork the monitor");
	in->pid = (uint64_t)pid;
	(void)pid_start_time(pid, &in->pid_start); /* without /proc the pid alone must do */
	in->live.pidfd = pidfd_open_pid(pid);
	close_cleanup(&c->ready_theirs);
	c->ready_theirs = -1;
	return in->live.pidfd < 0 ? error_set(err, -in->live.pidfd, "cannot open the monitor's pidfd") : 0;
}

/* The monitor's next answer. */
static int await_monitor(struct creation *c, pid_t *ret_machine, struct error *err)
{
	struct vm_monitor_ready ready;
	ssize_t n;

	do
		n = recv(c->ready, &ready, sizeof ready, 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof ready)
		return error_set(err, EIO, "vm: the monitor died");
	if (ready.machine <= 0) {
		*err = ready.error;
		return -err->code;
	}
	*ret_machine = ready.machine;
	return 0;
}

static int await_machine(struct instance *in, struct creation *c, struct error *err)
{
	pid_t machine;
	int r = await_monitor(c, &machine, err);

	if (r < 0)
		return r;
	in->vmm_pid = (uint64_t)machine;
	(void)pid_start_time(machine, &in->vmm_pid_start); /* as for the monitor */
	return in->cgroup && !in->detached ? cgroup_attach(&c->cgroups, in->cgroup, machine, err) : 0;
}

/* The hooks that run on the host while the workload is not there yet. */
static int run_hooks(const struct plan *plan, const struct instance *in, struct error *err)
{
	_cleanup_free_ char *state = NULL;
	int r;

	if (!plan->hooks.n_prestart && !plan->hooks.n_create_runtime)
		return 0;
	state = instance_oci_state(in, INSTANCE_CREATING, false);
	r = hooks_run(plan, HOOK_PRESTART, state, err);
	return r < 0 ? r : hooks_run(plan, HOOK_CREATE_RUNTIME, state, err);
}

/* The last steps of a detached create, what there is being written down: the workload is set up, the monitor let go. */
static int detach(struct instance *in, struct creation *c, struct error *err)
{
	pid_t machine;
	int r = await_monitor(c, &machine, err);

	char byte;

	if (r == 0 && send(c->ready, &(char){ VM_MONITOR_RELEASE }, 1, MSG_NOSIGNAL) != 1)
		r = error_sys(err, "vm: the monitor died");
	if (r == 0) /* its end of file: from now on our end is not the monitor's */
		(void)!recv(c->ready, &byte, 1, 0);
	return r;
}

static int vm_create(const struct plan *plan, struct instance *in, const int stdio[3], struct error *err)
{
	struct creation c = { .use = { .file = { .fd = -1 } }, .event_fd = -1, .start_fd = -1, .ready = -1,
		.ready_theirs = -1, .slave = -1,
		.stdio = { stdio[0], stdio[1], stdio[2] } };
	int r = take_engine(plan, in, &c, err);

	if (r == 0)
		r = choose_start(plan, in, &c, err);
	if (r == 0 && in->detached)
		r = make_cgroup(plan, in, &c, err);
	if (r == 0)
		r = open_channels(in, &c, err);
	if (r == 0 && plan->process.terminal)
		r = open_terminal(plan, in, &c, err);
	if (!in->detached)
		vm_children_adopt();
	if (r == 0)
		r = open_changes(plan, in, err);
	if (r == 0)
		r = fork_monitor(plan, in, &c, err);
	if (r == 0 && !in->detached) /* the machine is put into it once it is made: making both takes its time */
		r = make_cgroup(plan, in, &c, err);
	if (r == 0 && plan->vm.engine != ENGINE_AUTO)
		r = choose_engine(plan, in, &c, err);
	if (r == 0)
		r = await_machine(in, &c, err);
	if (r == 0)
		r = instance_save(in, err);
	if (r == 0)
		r = run_hooks(plan, in, err);
	if (r == 0 && in->detached)
		r = detach(in, &c, err);
	creation_release(&c);
	if (r < 0)
		(void)vm_delete(in, NULL); /* the first error is the one to tell */
	return r;
}

/* Why a detached instance is no longer there to be started. */
static int tell_fate(const struct instance *in, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/" VM_MONITOR_ERROR, in->dir), *text = NULL;

	if (file_read_at(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return -err->code;
	text[strcspn(text, "\n")] = '\0';
	return error_set(err, ESRCH, "%s", text);
}

static int vm_start(struct instance *in, struct error *err)
{
	int r;

	if (in->detached) {
		r = instance_write_fifo(in, err);
		return r == -ESRCH ? tell_fate(in, err) : r;
	}
	r = fd_write_full(in->live.start_fd, "", 1);
	close_cleanup(&in->live.start_fd);
	in->live.start_fd = -1;
	return r < 0 ? error_set(err, -r, "vm: the monitor does not take the start: %s", strerror(-r)) : 0;
}

const struct backend vm_backend = {
	.name = "vm",
	.probe = vm_probe,
	.check = vm_check,
	.create = vm_create,
	.start = vm_start,
	.kill = vm_kill,
	.account = vm_account,
	.delete = vm_delete,
	.exec = vm_exec,
	.kill_all = vm_kill_all,
	.pause = vm_pause,
	.resume = vm_resume,
	.update = vm_update,
	.stats = vm_stats,
	.machine = vm_machine,
	.processes = vm_processes,
	.save = vm_save,
};
