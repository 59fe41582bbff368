/* SPDX-License-Identifier: Apache-2.0 */
/* What only OCI profiles say: every action, other architectures, no rule at all. */
#include "tests/unit/filters.h"

static struct bytes compile_profile(const struct seccomp_profile *profile)
{
	struct bytes program = { 0 };
	struct error err;

	if (seccomp_compile(profile, 0, NULL, &program, &err) < 0)
		printf("# %s\n", err.message);
	return program;
}

static void test_actions(void)
{
	static const struct {
		const char *what;
		struct seccomp_rule rule;
		uint32_t expected;
	} cases[] = {
		{ "allow", { .action = SECCOMP_ALLOW }, SECCOMP_RET_ALLOW },
		{ "log", { .action = SECCOMP_LOG }, SECCOMP_RET_LOG },
		{ "kill process", { .action = SECCOMP_KILL }, SECCOMP_RET_KILL_PROCESS },
		{ "kill thread", { .action = SECCOMP_KILL_THREAD }, SECCOMP_RET_KILL_THREAD },
		{ "trap", { .action = SECCOMP_TRAP }, SECCOMP_RET_TRAP },
		{ "notify", { .action = SECCOMP_NOTIFY }, SECCOMP_RET_USER_NOTIF },
		{ "errno is EPERM", { .action = SECCOMP_ERRNO }, SECCOMP_RET_ERRNO | EPERM },
		{ "errno 0 if it is meant", { .action = SECCOMP_ERRNO, .error_zero = true }, SECCOMP_RET_ERRNO },
		{ "errno 38", { .action = SECCOMP_ERRNO, .error = 38, .error_zero = true }, SECCOMP_RET_ERRNO | 38 },
		{ "trace with a message", { .action = SECCOMP_TRACE, .error = 4242 }, SECCOMP_RET_TRACE | 4242 },
	};
	char *names[] = { "mkdir", "a_call_of_tomorrow", NULL };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seccomp_rule rule = cases[i].rule;
		const struct seccomp_profile profile = { .default_action = SECCOMP_ERRNO, .default_error = ENOTTY,
			.rules = &rule, .n_rules = 1 };
		_cleanup_free_ uint8_t *owned = NULL;
		struct bytes program;

		rule.syscalls = names;
		program = compile_profile(&profile);
		owned = program.data;
		ok(program.len && ask(&program, SYS_mkdir, 0, 0, 0) == cases[i].expected &&
				ask(&program, SYS_rmdir, 0, 0, 0) == ERRNO(ENOTTY), "action: %s", cases[i].what);
	}
}

static void test_no_rules(void)
{
	const struct seccomp_profile profile = { .default_action = SECCOMP_ALLOW };
	struct bytes program = compile_profile(&profile);
	_cleanup_free_ uint8_t *owned = program.data;

	ok(program.len && ask(&program, SYS_read, 0, 0, 0) == SECCOMP_RET_ALLOW &&
			ask(&program, 400, 0, 0, 0) == SECCOMP_RET_ALLOW, "a profile without rules");
}

#ifdef __x86_64__
static void test_architectures(void)
{
	enum { I386_MKDIR = 39, I386_SOCKETCALL = 102, I386_PERSONALITY = 136, I386_RMDIR = 40 };
	char *some[] = { "x86", "x86_64", "aarch64", NULL }, *both[] = { "x86", "x32", NULL };
	char *names[] = { "mkdir", "socketcall", NULL }, *personality[] = { "personality", NULL };
	struct seccomp_argument eight = { .index = 0, .value = 8, .compare = SECCOMP_EQ };
	struct seccomp_rule rules[] = {
		{ .syscalls = names, .action = SECCOMP_ALLOW },
		{ .syscalls = personality, .action = SECCOMP_ALLOW, .arguments = &eight, .n_arguments = 1 },
	};
	struct seccomp_profile profile = { .default_action = SECCOMP_ERRNO, .rules = rules, .n_rules = 2,
		.architectures = some };
	struct bytes one = compile_profile(&profile), two;
	_cleanup_free_ uint8_t *own_one = one.data, *own_two = NULL;
	const uint64_t zero[6] = { 0 }, with_eight[6] = { 8 };

	profile.architectures = both;
	two = compile_profile(&profile);
	own_two = two.data;
	ok(one.len && ask6(&one, AUDIT_ARCH_I386, I386_MKDIR, zero) == SECCOMP_RET_ALLOW &&
			ask6(&one, AUDIT_ARCH_I386, I386_SOCKETCALL, zero) == SECCOMP_RET_ALLOW &&
			ask6(&one, AUDIT_ARCH_I386, I386_RMDIR, zero) == ERRNO(EPERM),
		"i386, if listed: the same rules by its own numbers, also calls that only it has");
	ok(ask6(&one, AUDIT_ARCH_I386, I386_PERSONALITY, with_eight) == SECCOMP_RET_ALLOW &&
			ask6(&one, AUDIT_ARCH_I386, I386_PERSONALITY, zero) == ERRNO(EPERM), "and conditions");
	ok(ask6(&one, AUDIT_ARCH_X86_64, X32_BIT | SYS_mkdir, zero) == SECCOMP_RET_KILL_PROCESS &&
			ask6(&one, AUDIT_ARCH_AARCH64, 0, zero) == SECCOMP_RET_KILL_PROCESS,
		"what is not listed, or never runs here, ends the process");
	ok(two.len && ask6(&two, AUDIT_ARCH_X86_64, X32_BIT | SYS_mkdir, zero) == SECCOMP_RET_ALLOW &&
			ask6(&two, AUDIT_ARCH_X86_64, X32_BIT | SYS_rmdir, zero) == ERRNO(EPERM) &&
			ask(&two, SYS_mkdir, 0, 0, 0) == SECCOMP_RET_ALLOW, "x32, if listed");
}
#endif

int main(void)
{
	test_actions();
	test_no_rules();
#ifdef __x86_64__
	test_architectures();
#endif
	return tap_done();
}
