/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device nodes a group's processes may use. v1: the devices controller. v2: an eBPF program of our own, made from
 * the rules and attached to the group.
 *
 * The rules begin from "nothing", the later one wins, and what every container needs is allowed last. The program keeps
 * the access bits that are still undecided and walks the rules from the last to the first: a rule that matches
 * the node allows its bits (none left: allowed) or, if one of them is left, denies. v1 has a coarser memory:
 * there a deny takes back exactly what an allow of the same node gave.
 *
 * A user without root cannot make device nodes, nor load the program: rules are left out for him, as other runtimes do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/userns.h"

enum { MAX_RULES = 1024, INSNS_PER_RULE = 8, MAX_ATTACHED = 16 };

/* Making nodes is harmless, opening what is behind them is not. The numbers are of Linux's devices.txt. */
static const struct plan_device_rule usual[] = {
	{ true, (char *)"c", -1, -1, (char *)"m" }, { true, (char *)"b", -1, -1, (char *)"m" },
	{ true, (char *)"c", 1, 3, (char *)"rwm" }, /* null */ { true, (char *)"c", 1, 5, (char *)"rwm" }, /* zero */
	{ true, (char *)"c", 1, 7, (char *)"rwm" }, /* full */ { true, (char *)"c", 1, 8, (char *)"rwm" }, /* random */
	{ true, (char *)"c", 1, 9, (char *)"rwm" }, /* urandom */ { true, (char *)"c", 5, 0, (char *)"rwm" }, /* tty */
	{ true, (char *)"c", 5, 1, (char *)"rwm" }, /* console */ { true, (char *)"c", 5, 2, (char *)"rwm" }, /* ptmx */
	{ true, (char *)"c", 136, -1, (char *)"rwm" }, /* pts */
};

static char type_of(const struct plan_device_rule *r)
{
	return r->type && *r->type ? r->type[0] : 'a';
}

static const char *access_of(const struct plan_device_rule *r)
{
	return r->access && *r->access ? r->access : "rwm";
}

int cgroup_devices_check(const struct plan_resources *res, struct error *err)
{
	if (res->n_devices > MAX_RULES)
		return error_set(err, EINVAL, "resources.devices: more than %d rules", MAX_RULES);
	for (size_t i = 0; i < res->n_devices; i++) {
		const struct plan_device_rule *r = &res->devices[i];

		if (!strchr("abcu", type_of(r)) || (r->type && *r->type && r->type[1]))
			return error_set(err, EINVAL, "resources.devices[%zu].type: one of a, b, c", i);
		if (r->major < -1 || r->major > INT32_MAX || r->minor < -1 || r->minor > INT32_MAX)
			return error_set(err, EINVAL, "resources.devices[%zu]: no such number", i);
		if (strlen(access_of(r)) > 3 || strspn(access_of(r), "rwm") != strlen(access_of(r)))
			return error_set(err, EINVAL, "resources.devices[%zu].access: of r, w and m", i);
	}
	return 0;
}

bool cgroup_devices_needless(const struct plan_resources *res)
{
	return res->n_devices == 0 || geteuid() != 0 || userns_is_nested();
}

static void put_number(char *text, size_t size, int64_t n)
{
	(void)snprintf(text, size, n < 0 ? "*" : "%jd", (intmax_t)n); /* fits */
}

/* The two files, open for all rules: devices.deny and devices.allow by the rule's word. */
static int write_rule(const int files[2], const struct plan_device_rule *r, char type, struct error *err)
{
	char text[64], major[24], minor[24];
	int n;

	put_number(major, sizeof major, r->major);
	put_number(minor, sizeof minor, r->minor);
	n = snprintf(text, sizeof text, "%c %s:%s %s", type == 'u' ? 'c' : type, major, minor, access_of(r)); /* fits */
	if (write(files[r->allow], text, (size_t)n) != n)
		return error_sys(err, "resources.devices: cannot %s %s", r->allow ? "allow" : "deny", text);
	return 0;
}

static bool says_all(const struct plan_device_rule *r)
{
	return type_of(r) == 'a' && r->major < 0 && r->minor < 0 && strlen(access_of(r)) == 3;
}

/* The kernel takes an "a" for everything, whatever else the line says: one that says less is two rules. */
static int apply_rule(const int files[2], const struct plan_device_rule *r, struct error *err)
{
	int s;

	if (says_all(r) || type_of(r) != 'a')
		return write_rule(files, r, type_of(r), err);
	s = write_rule(files, r, 'c', err);
	return s < 0 ? s : write_rule(files, r, 'b', err);
}

static int open_file(const char *dir, const char *file, struct error *err)
{
	char name[CGROUP_DIR_MAX + 16];
	int fd;

	(void)snprintf(name, sizeof name, "%s/%s", dir, file); /* fits */
	fd = open(name, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? error_sys(err, "resources.devices: cannot open %s", name) : fd;
}

static int apply_v1(
	const struct cgroup_host *host, const char *path, const struct plan_resources *res, struct error *err)
{
	static const struct plan_device_rule nothing = { false, NULL, -1, -1, NULL };
	_cleanup_close_ int deny = -1, allow = -1;
	char dir[CGROUP_DIR_MAX];
	int r;

	if (!cgroup_dir_in(host, path, CGROUP_DEVICES, dir))
		return error_set(err, EOPNOTSUPP, "resources.devices: no devices control group");
	deny = open_file(dir, "devices.deny", err);
	allow = deny < 0 ? -1 : open_file(dir, "devices.allow", err);
	if (deny < 0 || allow < 0)
		return deny < 0 ? deny : allow;
	const int files[2] = { deny, allow };

	r = says_all(&res->devices[0]) ? 0 : apply_rule(files, &nothing, err);
	for (size_t i = 0; r == 0 && i < res->n_devices; i++)
		r = apply_rule(files, &res->devices[i], err);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(usual); i++)
		r = apply_rule(files, &usual[i], err);
	return r;
}

/* ---- v2 ---- */

enum { R_RESULT, R_CONTEXT, R_LEFT, R_TYPE, R_MAJOR, R_MINOR, R_SCRATCH };
#define INSN(c, d, s, o, i)                                                                                          \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (int16_t)(o), .imm = (i) })
#define LOAD(reg, at) INSN(BPF_LDX | BPF_MEM | BPF_W, reg, R_CONTEXT, at, 0)
#define ALU(op, reg, value) INSN(BPF_ALU64 | (op) | BPF_K, reg, 0, 0, value)
#define COPY(to, from) INSN(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0)
#define JUMP(op, reg, value, by) INSN(BPF_JMP | (op) | BPF_K, reg, 0, by, value)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static int access_bits(const char *text)
{
	return (strchr(text, 'm') ? BPF_DEVCG_ACC_MKNOD : 0) | (strchr(text, 'r') ? BPF_DEVCG_ACC_READ : 0) |
			(strchr(text, 'w') ? BPF_DEVCG_ACC_WRITE : 0);
}

static struct bpf_insn *put_rule(struct bpf_insn *to, const struct plan_device_rule *r)
{
	struct bpf_insn *jumps[3];
	size_t n = 0;

	if (type_of(r) != 'a') {
		jumps[n++] = to;
		*to++ = JUMP(BPF_JNE, R_TYPE, type_of(r) == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0);
	}
	if (r->major >= 0) {
		jumps[n++] = to;
		*to++ = JUMP(BPF_JNE, R_MAJOR, (int32_t)r->major, 0);
	}
	if (r->minor >= 0) {
		jumps[n++] = to;
		*to++ = JUMP(BPF_JNE, R_MINOR, (int32_t)r->minor, 0);
	}
	if (r->allow) {
		*to++ = ALU(BPF_AND, R_LEFT, ~access_bits(access_of(r)));
		*to++ = JUMP(BPF_JNE, R_LEFT, 0, 2);
	} else {
		*to++ = COPY(R_SCRATCH, R_LEFT);
		*to++ = ALU(BPF_AND, R_SCRATCH, access_bits(access_of(r)));
		*to++ = JUMP(BPF_JEQ, R_SCRATCH, 0, 2);
	}
	*to++ = ALU(BPF_MOV, R_RESULT, r->allow);
	*to++ = EXIT();
	while (n-- > 0)
		jumps[n]->off = (int16_t)(to - jumps[n] - 1);
	return to;
}

struct bpf_insn *cgroup_devices_program(const struct plan_resources *res, size_t *ret_n)
{
	struct bpf_insn *program = xcalloc((res->n_devices + ARRAY_LEN(usual) + 2) * INSNS_PER_RULE, sizeof *program);
	struct bpf_insn *to = program;

	*to++ = LOAD(R_TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	*to++ = COPY(R_LEFT, R_TYPE);
	*to++ = ALU(BPF_AND, R_TYPE, 0xffff);
	*to++ = ALU(BPF_RSH, R_LEFT, 16);
	*to++ = LOAD(R_MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	*to++ = LOAD(R_MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
	for (size_t i = ARRAY_LEN(usual); i-- > 0;)
		to = put_rule(to, &usual[i]);
	for (size_t i = res->n_devices; i-- > 0;)
		to = put_rule(to, &res->devices[i]);
	*to++ = ALU(BPF_MOV, R_RESULT, 0);
	*to++ = EXIT();
	*ret_n = (size_t)(to - program);
	return program;
}

static int bpf(int command, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, command, attr, sizeof *attr);

	return r < 0 ? -errno : (int)r;
}

static int load_program(const struct plan_resources *res)
{
	size_t n;
	_cleanup_free_ struct bpf_insn *program = cgroup_devices_program(res, &n);
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insn_cnt = (uint32_t)n,
		.insns = (uint64_t)(uintptr_t)program, .license = (uint64_t)(uintptr_t)"Apache-2.0" };

	memcpy(attr.prog_name, "bivalve_devices", 15);
	return bpf(BPF_PROG_LOAD, &attr);
}

bool cgroup_devices_able(const struct cgroup_host *host)
{
	static const struct plan_resources none;
	_cleanup_close_ int fd = -1;

	if (host->layout != CGROUP_V2)
		return cgroup_has(host, CGROUP_DEVICES);
	fd = load_program(&none);
	return fd >= 0;
}

/* A program that is there already (an update, or a group that was left) is exchanged in one step. */
static int attach(int group, int program)
{
	uint32_t ids[MAX_ATTACHED] = { 0 };
	union bpf_attr query = { .query = { .target_fd = (uint32_t)group, .attach_type = BPF_CGROUP_DEVICE,
		.prog_ids = (uint64_t)(uintptr_t)ids, .prog_cnt = MAX_ATTACHED } };
	union bpf_attr attr = { .target_fd = (uint32_t)group, .attach_bpf_fd = (uint32_t)program,
		.attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI };
	_cleanup_close_ int old = -1;

	if (bpf(BPF_PROG_QUERY, &query) == 0 && query.query.prog_cnt == 1) {
		union bpf_attr by_id = { .prog_id = ids[0] };

		old = bpf(BPF_PROG_GET_FD_BY_ID, &by_id);
	}
	if (old >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (uint32_t)old;
	}
	return bpf(BPF_PROG_ATTACH, &attr);
}

static int apply_v2(
	const struct cgroup_host *host, const char *path, const struct plan_resources *res, struct error *err)
{
	_cleanup_close_ int group = cgroup_open_dir(host, path), program = -1;
	int r;

	if (group < 0)
		return error_sys(err, "cannot open the control group %s", path);
	program = load_program(res);
	if (program < 0)
		return error_set(err, -program, "resources.devices: the kernel does not take the eBPF program: %s",
				strerror(-program));
	r = attach(group, program);
	return r < 0 ? error_set(err, -r, "resources.devices: cannot attach the eBPF program: %s", strerror(-r)) : 0;
}

int cgroup_devices_apply(const struct cgroup_host *host, const char *path, const struct plan_resources *res,
		struct error *err)
{
	return host->layout == CGROUP_V2 ? apply_v2(host, path, res, err) : apply_v1(host, path, res, err);
}
