/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: what they get, how they fail, which stages go on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "runtime/model/hooks.h"
#include "tests/unit/tap.h"

static char folder[] = "/tmp/bivalve-hooks.XXXXXX";

/* A hook that runs a line of sh; static storage for a handful of them. */
static struct plan_hook hook(const char *line, uint64_t timeout_s)
{
	static char *args[16][4], *env[] = { "GREETING=hello", NULL };
	static int used;
	char **a = args[used++];

	a[0] = "sh";
	a[1] = "-c";
	a[2] = xasprintf("cd %s && %s", folder, line);
	a[3] = NULL;
	return (struct plan_hook){ .path = "/bin/sh", .args = a, .env = env, .timeout_s = timeout_s };
}

static bool holds(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", folder, name), *found = NULL;

	return file_read_at(AT_FDCWD, path, 65536, &found, NULL, NULL) == 0 && !strcmp(found, text);
}

static void test_input(void)
{
	struct plan_hook hooks[] = { hook("cat > in; echo $GREETING > env; ls /proc/self/fd | wc -l > fds", 0),
		hook("echo second > order", 0) };
	struct plan plan = { .hooks = { .prestart = hooks, .n_prestart = 2 } };
	struct error err = { 0 };
	int kept = open("/dev/null", O_RDONLY); /* on purpose without CLOEXEC */

	ok(hooks_run(&plan, HOOK_PRESTART, "{\"id\":\"x\"}", &err) == 0, "two hooks run: %s", err.message);
	ok(holds("in", "{\"id\":\"x\"}"), "the state is on standard input");
	ok(holds("env", "hello\n"), "its environment is the plan's");
	ok(holds("order", "second\n"), "the second one runs");
	ok(holds("fds", "4\n"), "no descriptor of ours is open in it"); /* 0 1 2 and ls's own */
	ok(hooks_run(&plan, HOOK_POSTSTOP, "{}", &err) == 0, "a stage without hooks is nothing");
	(void)close(kept);
}

static void test_failures(void)
{
	struct plan_hook bad[] = { hook("true", 0), hook("echo the reason >&2; exit 3", 0), hook("touch never", 0) };
	struct plan_hook absent = { .path = "/no/such/hook" }, relative = { .path = "hook" };
	struct plan plan = {
		.hooks = { .create_runtime = bad, .n_create_runtime = 3, .poststop = bad, .n_poststop = 3 }
	};
	struct plan other = {
		.hooks = { .prestart = &absent, .n_prestart = 1, .poststart = &relative, .n_poststart = 1 }
	};
	_cleanup_free_ char *never = xasprintf("%s/never", folder);
	struct error err = { 0 };

	ok(hooks_run(&plan, HOOK_CREATE_RUNTIME, "{}", &err) < 0, "a status other than 0 fails");
	ok(!strcmp(err.message, "hooks.createRuntime[1] /bin/sh: exit status 3: the reason"), "named and quoted: %s",
			err.message);
	ok(access(never, F_OK) < 0, "the ones after it do not run");
	ok(hooks_run(&plan, HOOK_POSTSTOP, "{}", &err) < 0 && strstr(err.message, "poststop[1]"), "poststop fails too");
	ok(access(never, F_OK) == 0, "but the ones after it do run");
	ok(hooks_run(&other, HOOK_PRESTART, "{}", &err) == -ENOENT && strstr(err.message, "cannot be executed"),
			"one that is not there: %s", err.message);
	ok(hooks_run(&other, HOOK_POSTSTART, "{}", &err) == -EINVAL, "one without an absolute path");
}

static void test_time(void)
{
	struct plan_hook slow = hook("echo waiting >&2; sleep 1000 & wait", 1);
	struct plan_hook loud = hook("i=0; while [ $i -lt 3000 ]; do echo $i 0123456789012345678901234567890 >&2; "
			"i=$((i+1)); done; exit 1", 60);
	_cleanup_free_ char *path = xasprintf("%s/left", folder), *text = NULL;
	_cleanup_free_ char *script = xasprintf("sleep 1000 & echo $! > %s; exit 0", path);
	struct plan_hook leaves = hook(script, 60);
	struct plan plan = { .hooks = { .prestart = &slow, .n_prestart = 1, .poststart = &loud, .n_poststart = 1,
		.poststop = &leaves, .n_poststop = 1 } };
	struct error err = { 0 };
	uint64_t begin = clock_now_ns();

	ok(hooks_run(&plan, HOOK_PRESTART, "{}", &err) == -ETIMEDOUT, "the time-out ends it: %s", err.message);
	ok(clock_now_ns() - begin < UINT64_C(20000000000), "soon");
	ok(hooks_run(&plan, HOOK_POSTSTART, "{}", &err) < 0 && strstr(err.message, "2999 0123"),
			"of much talk the end is quoted: %s", err.message);
	ok(hooks_run(&plan, HOOK_POSTSTOP, "{}", &err) == 0, "one that leaves a process behind is not waited for");
	ok(file_read_at(AT_FDCWD, path, 64, &text, NULL, NULL) == 0 && atoi(text) > 1 && kill(atoi(text), SIGKILL) == 0,
			"it still runs");
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	test_input();
	test_failures();
	test_time();
	(void)path_remove_tree(AT_FDCWD, folder, NULL);
	return tap_done();
}
