/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled filters against the rules that they came from: presets and random profiles, random arguments near the values
 * that conditions speak of.
 */
#include "tests/unit/filters.h"

static bool holds(const struct seccomp_argument *a, const uint64_t args[6])
{
	uint64_t v = args[a->index];

	switch ((enum seccomp_compare)a->compare) {
	case SECCOMP_NE:
		return v != a->value;
	case SECCOMP_LT:
		return v < a->value;
	case SECCOMP_LE:
		return v <= a->value;
	case SECCOMP_EQ:
		return v == a->value;
	case SECCOMP_GE:
		return v >= a->value;
	case SECCOMP_GT:
		return v > a->value;
	case SECCOMP_MASKED_EQ:
		break;
	}
	return (v & a->value) == a->value_two;
}

static uint32_t verdict(int action, uint64_t error)
{
	return action == SECCOMP_ALLOW  ? SECCOMP_RET_ALLOW
	       : action == SECCOMP_LOG  ? SECCOMP_RET_LOG
	       : action == SECCOMP_KILL ? SECCOMP_RET_KILL_PROCESS
					: ERRNO(error ? error : EPERM);
}

/* What the rules say, read as README.md describes them: the last rule that applies. */
static uint32_t expected(
	const struct seccomp_profile *p, uint64_t caps, const char *name, const uint64_t args[6])
{
	uint32_t fallback = verdict(p->default_action, p->default_error), result = fallback;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct seccomp_rule *r = &p->rules[i];
		bool applies = !r->capability ||
			       (caps >> (r->capability - 1) & 1) != r->without_capability,
		     named = false;

		strv_foreach (s, r->syscalls)
			named = named || !strcmp(s, name);
		if (!applies || !named)
			continue;
		if (r->n_arguments == 0)
			result = fallback; /* whatever stood before */
		for (size_t k = 0; k < r->n_arguments; k++)
			applies = applies && holds(&r->arguments[k], args);
		if (applies)
			result = r->action == SECCOMP_DEFAULT ? fallback
							      : verdict(r->action, r->error);
	}
	return result;
}

static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Values near those that conditions speak of. */
static uint64_t interesting(void)
{
	uint64_t r = next_random();

	switch (r & 7) {
	case 0:
		return r >> 3 & 63;
	case 1:
		return UINT64_C(1) << (r >> 3 & 63);
	case 2:
		return r >> 32;
	case 3:
		return (r & UINT64_C(0xffffffff00000000)) | (r >> 3 & 31);
	case 4:
		return 0x5400 + (r >> 3 & 63);
	case 5:
		return UINT64_MAX - (r >> 3 & 3);
	default:
		return r >> 3 & 7;
	}
}

struct call {
	long nr;
	const char *name;
};
static const struct call calls[] = {
	{ SYS_read, "read" },
	{ SYS_openat, "openat" },
	{ SYS_clone, "clone" },
	{ SYS_unshare, "unshare" },
	{ SYS_socket, "socket" },
	{ SYS_personality, "personality" },
	{ SYS_ioctl, "ioctl" },
	{ SYS_clone3, "clone3" },
	{ SYS_mount, "mount" },
	{ SYS_bpf, "bpf" },
	{ SYS_syslog, "syslog" },
	{ SYS_chroot, "chroot" },
	{ SYS_reboot, "reboot" },
	{ SYS_ptrace, "ptrace" },
	{ SYS_kcmp, "kcmp" },
	{ SYS_keyctl, "keyctl" },
	{ SYS_userfaultfd, "userfaultfd" },
	{ SYS_futex_waitv, "futex_waitv" },
	{ SYS_execve, "execve" },
	{ SYS_exit_group, "exit_group" },
	{ SYS_kill, "kill" },
	{ SYS_setns, "setns" },
	{ SYS_rseq, "rseq" },
};

static bool agrees(const struct seccomp_profile *p, uint64_t caps, unsigned rounds)
{
	struct bytes program = { 0 };
	struct error err;
	bool good = true;

	if (seccomp_compile(p, caps, NULL, &program, &err) < 0) {
		printf("# %s\n", err.message);
		return false;
	}
	for (unsigned i = 0; i < rounds && good; i++) {
		const struct call *c = &calls[i % ARRAY_LEN(calls)];
		uint64_t args[6];

		for (int k = 0; k < 6; k++)
			args[k] = interesting();
		good = ask6(&program, AUDIT_ARCH_X86_64, c->nr, args) ==
		       expected(p, caps, c->name, args);
		if (!good)
			printf("# %s(%llx, %llx, %llx)\n", c->name, (unsigned long long)args[0],
				(unsigned long long)args[1], (unsigned long long)args[2]);
	}
	free(program.data);
	return good;
}

static void test_presets_agree(void)
{
	for (const char *const *name = policy_presets(); *name; name++) {
		struct policy p = { 0 };
		struct error err;
		bool good = policy_load(*name, &p, &err) == 0;

		for (int i = 0; good && !p.seccomp_off && i < 12; i++)
			good = agrees(&p.seccomp,
				i == 0   ? 0
				: i == 1 ? UINT64_MAX
					 : next_random(),
				20000);
		ok(good, "%s: the program does what the rules say", *name);
		policy_release(&p);
	}
}

/* Small random profiles: whatever compiles must do what its rules say. */
static void test_random_agree(void)
{
	static char *names[] = { (char *)"kill", (char *)"socket", (char *)"ioctl" };
	unsigned compiled = 0, refused = 0;
	bool good = true;

	for (int round = 0; round < 3000 && good; round++) {
		struct seccomp_argument args[6][2] = { 0 };
		struct seccomp_rule rules[6] = { 0 };
		struct seccomp_profile p = {
			.default_action = SECCOMP_ERRNO, .default_error = ENOSYS, .rules = rules
		};
		char *lists[6][2] = { 0 };
		struct bytes program = { 0 };
		struct error err;

		p.n_rules = 1 + next_random() % 6;
		for (size_t i = 0; i < p.n_rules; i++) {
			lists[i][0] = names[next_random() % ARRAY_LEN(names)];
			rules[i].syscalls = lists[i];
			rules[i].action = (int)(next_random() % 5);
			rules[i].arguments = args[i];
			rules[i].n_arguments = next_random() % 3;
			for (size_t k = 0; k < rules[i].n_arguments; k++) {
				args[i][k] = (struct seccomp_argument){ .index = k + next_random() %
											     2 * 2,
					.compare = (int)(next_random() % 7),
					.value = interesting() };
				if (args[i][k].compare == SECCOMP_MASKED_EQ)
					args[i][k].value_two = args[i][k].value & next_random();
			}
		}
		if (seccomp_compile(&p, 0, NULL, &program, &err) < 0) {
			refused++;
			continue;
		}
		free(program.data);
		compiled++;
		good = agrees(&p, 0, 600);
		if (!good)
			printf("# round %d\n", round);
	}
	ok(good && compiled > 500 && refused > 100,
		"random profiles: %u compiled and agree, %u refused", compiled, refused);
}

int main(void)
{
	test_presets_agree();
	test_random_agree();
	return tap_done();
}
