/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From words to the plan: command line + image + policy → struct plan. The command line wins over the policy, the
 * policy over the image. Only reads; what a VM needs and the store lacks is made by prepare_store(), a step of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/scratch.h"
#include "images/scratch.h"
#include "images/store.h"
#include "policies/enforce/cgroup.h"
#include "policies/policy.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/launch/limits.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/sandbox_view.h"
#include "runtime/launch/prepare_network.h"
#include "vm-backend/kernel/kernel.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MIB (UINT64_C(1) << 20)

enum { CPU_PERIOD_US = 100000 };

/*
 * Guest RAM beside a memory limit: the kernel, its page tables and the initramfs want their share, so that the limit
 * binds before memory ends. A kernel made for microVMs has taken 40 MiB when the workload starts; with each processor
 * come some stacks, and a 16th of the limit: descriptions of pages, tables that grow with memory, what is kept free.
 */
static const uint64_t guest_default_bytes = 256 * MIB;
static const uint64_t guest_overhead_bytes = 128 * MIB, lean_overhead_bytes = 64 * MIB;
enum { LEAN_OVERHEAD_SHARE = 16 };

static int choose(const char *value, const char *const *names, int *ret, const char *what, struct error *err)
{
	_cleanup_free_ char *all = NULL;

	for (int i = 0; value && names[i]; i++)
		if (!strcmp(value, names[i])) {
			*ret = i;
			return 0;
		}
	if (!value)
		return 0;
	for (int i = 0; names[i]; i++) {
		char *more = xasprintf("%s%s%s", all ? all : "", all ? ", " : "", names[i]);

		free(all);
		all = more;
	}
	return error_set(err, EINVAL, "%s %s: expected one of %s", what, value, all);
}

int prepare_name(const char *given, char **ret, struct error *err)
{
	uint32_t random[2];

	if (given) {
		*ret = xstrdup(given);
		return instance_id_check(given, err);
	}
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return error_sys(err, "cannot draw a random name");
	*ret = xasprintf("%08x%04x", random[0], random[1] & 0xffff);
	return 0;
}

/* Later settings of a variable replace earlier ones. */
static void set_env(char ***env, char *owned)
{
	size_t len = strcspn(owned, "=");

	for (char **at = *env; at && *at; at++)
		if (!strncmp(*at, owned, len) && (*at)[len] == '=') {
			free(*at);
			*at = owned;
			return;
		}
	strv_push(env, owned);
}

/* What a sandboxed program gets of our environment; others may hold secrets, and --env passes them on. */
static const char *const host_variables[] = { "PATH", "TERM", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "LANG",
	"LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME" };

static int fill_env(const struct launch_options *o, const struct image *image, struct plan *plan, struct error *err)
{
	char ***env = &plan->process.env;

	set_env(env, xstrdup(DEFAULT_PATH));
	for (size_t i = 0; !o->image && i < ARRAY_LEN(host_variables); i++)
		if (getenv(host_variables[i]))
			set_env(env, xasprintf("%s=%s", host_variables[i], getenv(host_variables[i])));
	set_env(env, xasprintf("HOSTNAME=%s", plan->hostname));
	set_env(env, xstrdup("container=bivalve"));
	if (plan->process.terminal)
		set_env(env, xstrdup("TERM=xterm"));
	strv_foreach(s, image->env)
		if (strchr(s, '='))
			set_env(env, xstrdup(s));
	strv_foreach(s, o->env) {
		const char *ours = strchr(s, '=') ? NULL : getenv(s);

		if (s[0] == '=' || s[0] == '\0')
			return error_set(err, EINVAL, "--env %s: expected NAME=VALUE", s);
		if (strchr(s, '='))
			set_env(env, xstrdup(s));
		else if (ours)
			set_env(env, xasprintf("%s=%s", s, ours));
	}
	return 0;
}

static int fill_command(const struct launch_options *o, const struct image *image, struct plan *plan,
		struct error *err)
{
	char ***argv = &plan->process.argv;

	if (o->entrypoint) {
		if (*o->entrypoint)
			strv_push(argv, xstrdup(o->entrypoint));
	} else {
		strv_foreach(s, image->entrypoint)
			strv_push(argv, xstrdup(s));
	}
	if (o->command && o->command[0]) {
		strv_foreach(s, o->command)
			strv_push(argv, xstrdup(s));
	} else if (!o->entrypoint) {
		strv_foreach(s, image->command)
			strv_push(argv, xstrdup(s));
	}
	if (!strv_len(*argv))
		return error_set(err, EINVAL, "image %s names no command to run: write one after the image's name",
				o->image);
	return 0;
}

static int fill_root(const char *store, const struct image *image, struct plan *plan, bool vm)
{
	plan->root.image = xstrdup(image->name);
	plan->root.digest = xstrdup(image->digest);
	strv_foreach(layer, image->layers)
		strv_push(&plan->root.lowers, image_layer_path(store, layer));
	if (vm)
		plan->root.disk = image_disk_path(store, image->digest);
	return 0;
}

static struct plan_mount *add_mount(struct plan *plan)
{
	plan->mounts = xreallocarray(plan->mounts, plan->n_mounts + 1, sizeof *plan->mounts);
	plan->mounts[plan->n_mounts] = (struct plan_mount){ 0 };
	return &plan->mounts[plan->n_mounts++];
}

static void split_options(struct plan_mount *m, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, ",");

		if (len)
			strv_push(&m->options, xstrndup(text, len));
		text += len + (text[len] == ',');
	}
}

static int fill_volumes(const struct launch_options *o, struct plan *plan, struct error *err)
{
	strv_foreach(s, o->volumes) {
		const char *colon = strchr(s, ':'), *dst = colon ? colon + 1 : NULL,
			   *opts = dst ? strchr(dst, ':') : NULL;
		struct plan_mount *m;
		char *source;

		if (!dst || dst[0] != '/' || colon == s)
			return error_set(err, EINVAL, "--volume %s: expected SOURCE:/DESTINATION[:ro]", s);
		if (opts && strcmp(opts, ":ro") && strcmp(opts, ":rw"))
			return error_set(err, EINVAL, "--volume %s: unknown option %s: expected ro or rw", s, opts + 1);
		m = add_mount(plan);
		m->type = xstrdup("bind");
		m->destination = opts ? xstrndup(dst, (size_t)(opts - dst)) : xstrdup(dst);
		source = xstrndup(s, (size_t)(colon - s));
		m->source = realpath(source, NULL);
		if (!m->source) {
			(void)error_sys(err, "--volume %s: %s", s, source);
			free(source);
			return -err->code;
		}
		free(source);
		strv_push(&m->options, xstrdup("rbind")); /* in both shells: with what is mounted below */
		if (opts && !strcmp(opts, ":ro"))
			strv_push(&m->options, xstrdup("ro"));
	}
	strv_foreach(s, o->tmpfs) {
		const char *colon = strchr(s, ':');
		struct plan_mount *m = add_mount(plan);

		m->type = xstrdup("tmpfs");
		m->destination = colon ? xstrndup(s, (size_t)(colon - s)) : xstrdup(s);
		split_options(m, colon ? colon + 1 : "nosuid,nodev,noexec");
		if (m->destination[0] != '/')
			return error_set(err, EINVAL, "--tmpfs %s: expected an absolute path", s);
	}
	return 0;
}

static void fill_limits(const struct launch_options *o, struct plan *plan)
{
	plan->resources.memory_bytes = o->memory_bytes;
	plan->resources.pids = o->pids;
	if (o->cpus > 0) {
		plan->resources.cpu_period_us = CPU_PERIOD_US;
		plan->resources.cpu_quota_us = (uint64_t)(o->cpus * CPU_PERIOD_US + 0.5);
	}
	plan->limits = (struct plan_limits){ .wall_us = o->timeout_us, .cpu_us = o->cpu_time_us,
		.output_bytes = o->output_bytes, .file_bytes = o->file_bytes, .open_files = o->open_files };
	plan->root.upper_bytes = o->disk_bytes ? o->disk_bytes : o->upper_bytes;
	plan->root.upper_disk = o->disk_bytes > 0;
	plan->root.upper_inodes = o->upper_inodes;
	plan->figures = o->report || o->meta;
	plan->root.read_only = o->read_only;
}

static uint64_t guest_bytes(uint64_t limit, uint64_t vcpus, const struct kernel *kernel)
{
	uint64_t overhead = kernel->no_acpi ? lean_overhead_bytes + vcpus * MIB + limit / LEAN_OVERHEAD_SHARE
			: guest_overhead_bytes;
	uint64_t wanted = limit ? limit + overhead : guest_default_bytes;

	return (wanted + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
}

/* After the policy, whose limits shape the machine too. */
static int fill_vm(const struct launch_options *o, const char *store, struct plan *plan, struct error *err)
{
	static const char *const engines[] = { "auto", "kvm", "qemu", NULL };
	static const char *const starts[] = { "auto", "cold", "warm", NULL };
	uint64_t quota = plan->resources.cpu_quota_us;
	struct kernel kernel = { 0 };
	int r;

	plan->vm.vcpus = quota ? (quota + plan->resources.cpu_period_us - 1) / plan->resources.cpu_period_us : 1;
	plan->vm.templates = xasprintf("%s/templates", store);
	r = choose(o->engine, engines, &plan->vm.engine, "--engine", err);
	if (r == 0)
		r = choose(o->start, starts, &plan->vm.start, "--start", err);
	if (r < 0)
		return r;
	r = kernel_load(store, o->kernel, &kernel, err);
	if (r < 0)
		return r;
	plan->vm.memory_bytes = guest_bytes(plan->resources.memory_bytes, plan->vm.vcpus, &kernel);
	plan->vm.kernel = xstrdup(kernel.name);
	plan->vm.kernel_path = xstrdup(kernel.path);
	plan->vm.vmlinux_path = kernel.vmlinux_path ? xstrdup(kernel.vmlinux_path) : NULL;
	kernel_release(&kernel);
	return 0;
}

int prepare_machine(struct plan *plan, struct error *err)
{
	_cleanup_free_ char *store = store_dir();
	struct kernel kernel = { 0 };
	int r = plan->vm.kernel_path ? 0 : kernel_load(store, plan->vm.kernel, &kernel, err);

	if (r < 0 || plan->vm.kernel_path)
		return r;
	free(plan->vm.kernel);
	plan->vm.kernel = xstrdup(kernel.name);
	plan->vm.kernel_path = xstrdup(kernel.path);
	plan->vm.vmlinux_path = xstrdup(kernel.vmlinux_path);
	kernel_release(&kernel);
	return 0;
}

static void fill_terminal(struct plan *plan)
{
	struct winsize size;

	if (!plan->process.terminal || (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 &&
			ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0))
		return;
	plan->process.rows = size.ws_row;
	plan->process.columns = size.ws_col;
}

static int fill_identity(const struct launch_options *o, struct plan *plan, struct error *err)
{
	static const char *const networks[] = { "none", "host", "user", NULL }; /* enum plan_network */
	int r;

	plan->backend = xstrdup(o->vm ? "vm" : o->backend ? o->backend : "container");
	if (!backend_find(plan->backend))
		return error_set(err, EINVAL, "--backend %s: expected container or vm", plan->backend);
	if (o->vm && o->backend && strcmp(o->backend, "vm"))
		return error_set(err, EINVAL, "--vm and --backend %s contradict each other", o->backend);
	if (!strcmp(plan->backend, "container") && o->start && !strcmp(o->start, "warm"))
		return error_set(err, EOPNOTSUPP, "--start warm: a container has no saved state to start from; "
				"use --vm");
	r = prepare_name(o->name, &plan->id, err);
	if (r < 0)
		return r;
	plan->hostname = xstrdup(o->hostname ? o->hostname : plan->id);
	plan->policy = xstrdup(o->policy ? o->policy : o->image ? "default" : "strict");
	if (o->hostname && strlen(o->hostname) > 64)
		return error_set(err, EINVAL, "--hostname: longer than 64 characters");
	return choose(o->network, networks, &plan->network, "--net", err);
}

static int fill_process(const struct launch_options *o, const struct image *image, struct plan *plan,
		struct error *err)
{
	struct plan_process *p = &plan->process;
	int r;

	p->terminal = o->terminal;
	p->init = !o->init_off;
	if (o->workdir)
		p->cwd = xstrdup(o->workdir);
	else if (o->image)
		p->cwd = xstrdup(image->cwd && *image->cwd ? image->cwd : "/");
	else
		p->cwd = getcwd(NULL, 0);
	if (!p->cwd)
		return error_sys(err, "the working directory");
	if (p->cwd[0] != '/')
		return error_set(err, EINVAL, "--workdir %s: expected an absolute path", p->cwd);
	p->user = xstrdup(o->user);
	r = fill_env(o, image, plan, err);
	plan->root.empty = !o->image;
	return r < 0 ? r : fill_command(o, image, plan, err);
}

static void add_map(struct plan_id_map **maps, size_t *n, uint64_t outside, uint64_t count)
{
	*maps = xcalloc(1, sizeof **maps);
	(*maps)[0] = (struct plan_id_map){ .inside = 0, .outside = outside, .count = count };
	*n = 1;
}

/*
 * Root gives each instance 65536 ids of its own, far above people's, drawn from its name: two instances share none
 * but by an accident of 1 in 30000, and then still no namespace. An ordinary user has one id to give.
 */
static void fill_id_maps(struct plan *plan)
{
	uint64_t base = 0;

	if (geteuid() != 0)
		plan->namespaces |= PLAN_NS(USER);
	if (!(plan->namespaces & PLAN_NS(USER)))
		return;
	for (const char *c = plan->id; *c; c++)
		base = base * 31 + (unsigned char)*c;
	base = (1 << 20) + base % 30000 * 65536;
	if (plan->root.empty && !strcmp(plan->backend, "vm"))
		base = 0; /* shared folders cannot be idmapped in a guest, whose root is nobody's but its own */
	add_map(&plan->uid_maps, &plan->n_uid_maps, geteuid() ? geteuid() : base, geteuid() ? 1 : 65536);
	add_map(&plan->gid_maps, &plan->n_gid_maps, geteuid() ? getegid() : base, geteuid() ? 1 : 65536);
}

/*
 * Who has no control groups could not use the default policy at all for its bound on processes. RLIMIT_NPROC counts
 * per user namespace (Linux 5.14) and such a user's container always has one: it binds the same. A limit that the
 * user or another policy asks for is not touched: check() refuses it by name.
 */
static void bind_pids_by_rlimit(const struct launch_options *o, struct plan *plan)
{
	struct plan_process *p = &plan->process;
	struct cgroup_host host;
	struct rlimit now;

	if (geteuid() == 0 || o->pids || strcmp(plan->policy, "default") || strcmp(plan->backend, "container"))
		return;
	cgroup_probe(&host);
	if (host.pids || getrlimit(RLIMIT_NPROC, &now) < 0)
		return;
	if (now.rlim_max == RLIM_INFINITY || now.rlim_max > plan->resources.pids)
		now.rlim_max = plan->resources.pids;
	p->rlimits = xreallocarray(p->rlimits, p->n_rlimits + 1, sizeof *p->rlimits);
	p->rlimits[p->n_rlimits++] = (struct plan_rlimit){ .type = xstrdup("nproc"), .soft = now.rlim_max,
		.hard = now.rlim_max };
	plan->resources.pids = 0;
}

/*
 * The disk for the writes, of the same size and kind in both shells. A container's takes rights that not everybody has:
 * then it is a tmpfs with the same bounds. A root that cannot be written has none.
 */
static void fill_scratch(const char *store, struct plan *plan)
{
	struct plan_root *root = &plan->root;

	if (root->read_only && !root->empty)
		root->upper_disk = false;
	if (!root->upper_disk)
		return;
	if (!root->upper_inodes)
		root->upper_inodes = scratch_default_inodes(root->upper_bytes);
	if (!strcmp(plan->backend, "vm") || !scratch_refusal())
		root->scratch = scratch_path(store, root->upper_bytes, root->upper_inodes);
}

/*
 * Where compiled filters are kept: in the store, which outlives a boot of the host (compiling one is most of what a
 * first launch does before the machine is made), or with the instances, if the store is not ours to write.
 */
static char *filter_cache(const char *store, const char *run_dir)
{
	return access(store, W_OK) == 0 ? xasprintf("%s/filters", store) : xasprintf("%s/.seccomp", run_dir);
}

/* The policy's part, and the namespaces that follow from it. */
static int fill_policy(const struct launch_options *o, const struct image *image, const char *store,
		const char *run_dir, struct plan *plan, struct error *err)
{
	_cleanup_free_ char *cache = filter_cache(store, run_dir);
	struct policy policy = { 0 };
	int r = policy_load(plan->policy, &policy, err);

	if (r < 0)
		return r;
	r = policy_apply(&policy, cache, plan, err);
	if (o->report)
		plan->policy_digest = policy_digest(&policy);
	if (o->network && plan->network != NETWORK_NONE && !strcmp(o->network, "none"))
		plan->network = NETWORK_NONE; /* 0, which policy_apply takes for "not said" */
	if (!plan->process.user && image->user && *image->user)
		plan->process.user = xstrdup(image->user);
	plan->namespaces |= PLAN_NS(PID) | PLAN_NS(MOUNT) | PLAN_NS(UTS) | PLAN_NS(IPC) | PLAN_NS(CGROUP);
	if (r == 0)
		r = prepare_network(plan, o->ports, err);
	if (plan->network == NETWORK_NONE && plan->audit)
		plan->audit |= PLAN_AUDIT(NETWORK); /* who tries to get out is worth knowing */
	fill_id_maps(plan);
	if (r == 0)
		bind_pids_by_rlimit(o, plan);
	policy_release(&policy);
	return r;
}

int prepare_plan(const struct launch_options *o, struct plan *ret, struct error *err)
{
	_cleanup_free_ char *store = store_dir(), *run_dir = store_run_dir();
	struct image image = { 0 };
	bool vm;
	int r = o->from ? error_set(err, EINVAL, "--from: only launch goes on from a saved microVM")
			: fill_identity(o, ret, err);

	if (r == 0 && o->image)
		r = image_load(store, o->image, &image, err);
	if (r < 0)
		return r;
	vm = !strcmp(ret->backend, "vm");
	ret->audit = o->report || o->audit ? PLAN_AUDIT(DENIED) : 0;
	fill_limits(o, ret);
	r = fill_process(o, &image, ret, err);
	if (r == 0 && o->image)
		r = fill_root(store, &image, ret, vm);
	if (r == 0)
		r = fill_volumes(o, ret, err);
	if (r == 0)
		r = fill_policy(o, &image, store, run_dir, ret, err);
	limits_to_rlimits(ret);
	fill_scratch(store, ret);
	if (r == 0 && !o->image) /* what the policy says of the root decides how the host is shown */
		r = sandbox_view_fill(o, ret, err);
	policy_landlock_mounts(ret);
	if (ret->audit && ret->landlock.restricts)
		ret->audit |= PLAN_AUDIT(FILES); /* the kernel tells nobody what Landlock denies */
	fill_terminal(ret);
	if (r == 0 && vm)
		r = fill_vm(o, store, ret, err);
	record_release(&image_type, &image);
	return r;
}

/* Runs `bivalve-image disk IMAGE`, whose errors are told on its own standard error, one line. */
static int make_disk(const struct plan *plan, struct error *err)
{
	_cleanup_free_ char *dir = path_program_dir(), *program = xasprintf("%s/bivalve-image", dir ? dir : ".");
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return error_sys(err, "cannot start %s", program);
	if (pid == 0) {
		(void)dup2(STDERR_FILENO, STDOUT_FILENO); /* the path that it prints is not the workload's output */
		if (!freopen("/dev/null", "w", stdout))
			_exit(125);
		execl(program, "bivalve image", "disk", plan->root.image, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, "cannot wait for %s", program);
	if (status)
		return error_set(err, EIO, "cannot make the disk of image %s: %s", plan->root.image,
				WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "bivalve-image is missing"
				: "see the line above");
	return 0;
}

int prepare_scratch(const struct plan *plan, struct error *err)
{
	_cleanup_free_ char *store = store_dir();

	return plan->root.scratch ? scratch_make(store, plan->root.upper_bytes, plan->root.upper_inodes, err) : 0;
}

int prepare_store(struct plan *plan, struct error *err)
{
	_cleanup_free_ char *store = store_dir();
	struct kernel kernel = { 0 };
	int r = prepare_scratch(plan, err);

	if (r < 0)
		return r;
	if (plan->root.disk && access(plan->root.disk, R_OK) < 0) {
		r = make_disk(plan, err);
		if (r < 0)
			return r;
	}
	r = kernel_load(store, plan->vm.kernel, &kernel, err);
	if (r == 0)
		r = kernel_initramfs(store, &kernel, NULL, &plan->vm.initramfs_path, err);
	kernel_release(&kernel);
	return r;
}
