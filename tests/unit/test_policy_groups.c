/* SPDX-License-Identifier: Apache-2.0 */
/* System calls by name and by group: the default policy decides on each, groups hold each, rules may name groups. */
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/syscall_names.h"
#include "policies/policy.h"
#include "policies/syscall_groups.h"
#include "runtime/base/alloc.h"
#include "tests/unit/tap.h"

#define V           "{\"version\":1,"

static bool has(char *const *list, const char *word)
{
	strv_foreach (s, list)
		if (!strcmp(s, word))
			return true;
	return false;
}

/* A system call that nobody thought about would silently be ENOSYS. */
static void test_all_decided(void)
{
	struct policy p = { 0 };
	struct error err;
	unsigned missing = 0, calls = 0;

	(void)policy_load("default", &p, &err);
	for (int nr = 0; nr < 1024; nr++) {
		_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		bool found = false;

		if (!name)
			continue;
		calls++;
		for (size_t i = 0; i < p.seccomp.n_rules && !found; i++)
			found = has(p.seccomp.rules[i].syscalls, name);
		if (!found)
			printf("# undecided: %s\n", name);
		missing += !found;
	}
	ok(calls > 300 && missing == 0,
		"default decides on all %u system calls of libseccomp's table", calls);
	policy_release(&p);
}

static void test_groups(void)
{
	_cleanup_strv_ char **all = NULL, **once = NULL;
	unsigned missing = 0, unknown = 0, calls = 0, deep = 0;

	for (const struct syscall_group *g = syscall_groups; g->name; g++) {
		_cleanup_strv_ char **members = NULL;

		deep += syscall_group_expand(g->name, &members) < 0 || strv_len(members) == 0;
		if (!strcmp(g->name, "@all"))
			continue;
		strv_foreach(name, members) {
			if (!seccomp_syscall_known(name))
				printf("# %s: no such call: %s\n", g->name, name);
			unknown += !seccomp_syscall_known(name);
			if (!has(all, name))
				strv_push(&all, xstrdup(name));
		}
	}
	ok(deep == 0 && unknown == 0, "groups hold known calls and known groups");
	for (int nr = 0; nr <= SYSCALL_LAST; nr++) {
		char name[64];

		if (syscall_number(syscall_name(nr, name, sizeof name)) != nr)
			continue;
		calls++;
		if (!has(all, name))
			printf("# in no group: %s\n", name);
		missing += !has(all, name);
	}
	ok(calls > 380 && missing == 0, "each of the %u system calls is in a group", calls);
	(void)syscall_group_expand("@all", &once);
	strv_foreach(name, all)
		missing += !has(once, name);
	ok(missing == 0 && strv_len(all) == strv_len(once), "@all holds all of them, each once");
	ok(syscall_group_expand("@none", &once) == -ENOENT && !syscall_group_find("io"), "unknown groups");
}

static void test_group_rules(void)
{
	static const char text[] = V "\"extends\":null,\"seccomp\":{\"default\":\"allow\",\"rules\":["
			"{\"syscalls\":[\"@mount\",\"mount\",\"read\"],\"action\":\"errno\"}]}}";
	struct error err;
	struct policy p = { 0 };
	int r = policy_parse(text, sizeof text - 1, "t", &p, &err);
	struct bytes program = { 0 };
	char *const *calls;
	size_t mounts = 0;

	ok(r == 0 && p.seccomp.n_rules == 1, "a rule by group: %s", r < 0 ? err.message : "read");
	calls = r == 0 ? p.seccomp.rules[0].syscalls : NULL;
	strv_foreach(name, calls)
		mounts += !strcmp(name, "mount");
	ok(has(calls, "move_mount") && has(calls, "read") && mounts == 1 && !has(calls, "@mount"),
		"a group in a rule is its calls, each once");
	/* Newer than libseccomp 2.5's table: a default that allows must not let it slip past the group. */
	ok(r == 0 && seccomp_compile(&p.seccomp, 0, NULL, &program, &err) == 0 &&
			seccomp_action_for(&program, 467) == (SECCOMP_RET_ERRNO | EPERM) &&
			seccomp_action_for(&program, 1) == SECCOMP_RET_ALLOW,
		"a call that libseccomp has no name for is denied with its group");
	free(program.data);
	policy_release(&p);
}

int main(void)
{
	test_all_decided();
	test_groups();
	test_group_rules();
	return tap_done();
}
