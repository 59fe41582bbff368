/* SPDX-License-Identifier: Apache-2.0 */
/* Users by the root's own files, which may be hostile. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/user.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"

static const char passwd[] =
	"root:x:0:0:root:/root:/bin/sh\n"
	"\n"
	"# comment\n"
	"short:x:1\n"
	"bad:x:12a:0::/:\n"
	"huge:x:4294967296:0::/:\n"
	"none:x:4294967295:0::/:\n"
	"minus:x:-1:0::/:\n"
	"seven:x:7:7:a:b:c:d\n"
	"app:x:1000:1001:App,,,:/home/app:/bin/sh\n"
	"app:x:5:5::/second:/bin/sh\n"
	"relative:x:1002:1002::home:/bin/sh\n"
	"1234:x:99:99::/numeric:/bin/sh\n"
	"last:x:1003:1003::/last:"; /* no newline */
static const char group[] =
	"root:x:0:\n"
	"app:x:1001:\n"
	"wheel:x:10:root,app\n"
	"apple:x:11:apple\n"
	"audio:x:29:foo,app,bar\n"
	"broken:x:zz:app\n";

static const struct {
	const char *spec;
	int ret;
	unsigned uid, gid;
	const char *home, *groups;
} cases[] = {
	{ NULL, 0, 0, 0, "/root", "" },
	{ "root", 0, 0, 0, "/root", "10" },
	{ "0", 0, 0, 0, "/root", "10" },
	{ "app", 0, 1000, 1001, "/home/app", "10 29" },
	{ "1000", 0, 1000, 1001, "/home/app", "10 29" },
	{ "app:wheel", 0, 1000, 10, "/home/app", "" },
	{ "app:77", 0, 1000, 77, "/home/app", "" },
	{ "4000", 0, 4000, 0, "/", "" },
	{ "4000:4001", 0, 4000, 4001, "/", "" },
	{ "4000:audio", 0, 4000, 29, "/", "" },
	{ "1234", 0, 1234, 0, "/", "" },
	{ "relative", 0, 1002, 1002, "/", "" },
	{ "last", 0, 1003, 1003, "/last", "" },
	{ "4294967294", 0, 4294967294U, 0, "/", "" },
	{ "4294967295", -ENOENT, 0, 0, NULL, NULL },
	{ "99999999999999999999", -ENOENT, 0, 0, NULL, NULL },
	{ "-1", -ENOENT, 0, 0, NULL, NULL },
	{ "+5", -ENOENT, 0, 0, NULL, NULL },
	{ "nobody", -ENOENT, 0, 0, NULL, NULL },
	{ "bad", -ENOENT, 0, 0, NULL, NULL },
	{ "huge", -ENOENT, 0, 0, NULL, NULL },
	{ "none", -ENOENT, 0, 0, NULL, NULL },
	{ "minus", -ENOENT, 0, 0, NULL, NULL },
	{ "seven", -ENOENT, 0, 0, NULL, NULL },
	{ "short", -ENOENT, 0, 0, NULL, NULL },
	{ "app:nogroup", -ENOENT, 0, 0, NULL, NULL },
	{ "app:broken", -ENOENT, 0, 0, NULL, NULL },
	{ "", -EINVAL, 0, 0, NULL, NULL },
	{ ":", -EINVAL, 0, 0, NULL, NULL },
	{ ":0", -EINVAL, 0, 0, NULL, NULL },
	{ "app:", -EINVAL, 0, 0, NULL, NULL },
	{ "app:0:0", -EINVAL, 0, 0, NULL, NULL },
};

static void put(int root, const char *path, const char *text)
{
	struct error err;

	if (file_write_atomic(root, path, text, strlen(text), 0644, &err) < 0)
		abort();
}

static void test_table(int root)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *spec = cases[i].spec ? cases[i].spec : "nothing";
		struct user u = { .uid = 42 };
		struct error err = { 0 };
		char list[128] = "";
		int r = user_lookup(root, cases[i].spec, &u, &err);

		ok(r == cases[i].ret, "%s: %d %s", spec, r, err.message);
		if (r < 0) {
			ok(u.uid == 42 && !strncmp(err.message, "process.user: ", 14), "%s: untouched, and named",
				spec);
			continue;
		}
		for (size_t g = 0; g < u.n_groups; g++) {
			size_t len = strlen(list);

			snprintf(list + len, sizeof list - len, "%s%u", len ? " " : "", u.groups[g]);
		}
		ok(cases[i].home && u.uid == cases[i].uid && u.gid == cases[i].gid && !strcmp(u.home, cases[i].home) &&
				!strcmp(list, cases[i].groups), "%s is %u:%u (%s) at %s", spec, u.uid, u.gid, list,
				u.home);
	}
}

static void test_hostile(int root)
{
	struct error err = { 0 };
	struct user u;
	int fd;

	(void)unlinkat(root, "etc/passwd", 0);
	ok(user_lookup(root, "5:6", &u, &err) == 0 && u.uid == 5 && u.gid == 6, "no passwd: numbers still work");
	ok(user_lookup(root, "app", &u, &err) == -ENOENT, "no passwd: names do not");
	(void)mkfifoat(root, "etc/passwd", 0644);
	ok(user_lookup(root, "app", &u, &err) == -EINVAL, "a pipe is refused, without waiting: %s", err.message);
	(void)unlinkat(root, "etc/passwd", 0);
	if (symlinkat("/proc/self/environ", root, "etc/passwd") == 0)
		ok(user_lookup(root, "root", &u, &err) == -ENOENT, "a link to the host's files stays in the root");
	(void)unlinkat(root, "etc/passwd", 0);
	if (symlinkat("../../../../etc/group", root, "etc/passwd") == 0)
		ok(user_lookup(root, "app", &u, &err) == -ENOENT, "a link upwards ends at the root");
	(void)unlinkat(root, "etc/passwd", 0);
	fd = openat(root, "etc/passwd", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (ftruncate(fd, 5 << 20) < 0)
		abort();
	(void)close(fd);
	ok(user_lookup(root, "app", &u, &err) == -EINVAL && strstr(err.message, "4 MiB"), "too large: %s", err.message);
	(void)unlinkat(root, "etc/passwd", 0);
	fd = openat(root, "etc/passwd", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (write(fd, "a\0b:x:1:1::/:\napp:x:8:8::/:\n", 29) != 29)
		abort();
	(void)close(fd);
	ok(user_lookup(root, "app", &u, &err) == 0 && u.uid == 8, "a NUL hides no line");
}

static void test_many_groups(int root)
{
	_cleanup_free_ char *text = xcalloc(300, 24);
	struct error err = { 0 };
	struct user u;
	size_t len = 0;

	put(root, "etc/passwd", passwd);
	for (int i = 0; i < 300; i++)
		len += (size_t)snprintf(text + len, 24, "g%d:x:%d:app\n", i, 2000 + i);
	put(root, "etc/group", text);
	ok(user_lookup(root, "app", &u, &err) == -E2BIG, "more groups than fit are refused, not cut");
}

int main(void)
{
	char dir[] = "/tmp/bivalve-test-user-XXXXXX";
	struct error err;
	int root;

	if (!mkdtemp(dir) || (root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 || mkdirat(root, "etc", 0755) < 0)
		abort();
	put(root, "etc/passwd", passwd);
	put(root, "etc/group", group);
	test_table(root);
	test_hostile(root);
	test_many_groups(root);
	(void)close(root);
	ok(path_remove_tree(AT_FDCWD, dir, &err) == 0, "cleaned up");
	return tap_done();
}
