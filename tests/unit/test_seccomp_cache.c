/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of compiled filters: what it gives, and what it does not trust. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "tests/unit/filters.h"

static char dir[] = "/tmp/bivalve-test-seccomp-XXXXXX";

static bool equal(const struct bytes *a, const struct bytes *b)
{
	return a->len == b->len && a->len > 0 && !memcmp(a->data, b->data, a->len);
}

static bool compile_cached(
	const struct policy *p, const char *cache, const struct bytes *want, uint64_t *ret_ns)
{
	struct bytes got = { 0 };
	struct error err;
	uint64_t start = clock_now_ns();
	bool good = seccomp_compile(&p->seccomp, 0, cache, &got, &err) == 0;

	*ret_ns = clock_now_ns() - start;
	good = good && equal(&got, want);
	free(got.data);
	return good;
}

/* The one file of the cache folder. */
static char *cached_file(const char *cache)
{
	_cleanup_free_ char *command = xasprintf("ls %s/*.bpf", cache);
	FILE *f = popen(command, "re");
	char line[256] = "";

	if (!f || !fgets(line, sizeof line, f))
		line[0] = '\0';
	if (f)
		(void)pclose(f);
	line[strcspn(line, "\n")] = '\0';
	return xstrdup(line);
}

static void poison(const char *file, off_t at)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	uint8_t byte = 0;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		at = at < 0 ? st.st_size + at : at;
		if (pread(fd, &byte, 1, at) == 1) {
			byte ^= 0x55;
			if (pwrite(fd, &byte, 1, at) != 1)
				printf("# cannot poison\n");
		}
	}
	if (fd >= 0)
		(void)close(fd);
}

static void test_cache(void)
{
	_cleanup_free_ char *cache = xasprintf("%s/a/cache", dir), *file = NULL,
			    *link = xasprintf("%s/link", dir);
	_cleanup_free_ uint8_t *owned = NULL;
	struct bytes want = compile_policy("default", 0);
	struct policy p = { 0 };
	struct error err;
	uint64_t miss, ns, best = UINT64_MAX;
	struct stat st;
	bool good = true;

	owned = want.data;
	(void)policy_load("default", &p, &err);
	ok(compile_cached(&p, cache, &want, &miss), "a miss compiles");
	file = cached_file(cache);
	ok(stat(file, &st) == 0 && (st.st_mode & 07777) == 0600, "the cached file is ours alone");
	for (int i = 0; i < 50; i++) {
		good = good && compile_cached(&p, cache, &want, &ns);
		best = ns < best ? ns : best;
	}
	ok(good, "a hit gives the same program");
	ok(best * 2 < miss, "and sooner: %llu us instead of %llu us",
		(unsigned long long)best / 1000, (unsigned long long)miss / 1000);
	poison(file, -3);
	ok(compile_cached(&p, cache, &want, &ns), "a broken program is not used");
	poison(file, 40);
	ok(compile_cached(&p, cache, &want, &ns), "nor one of other rules under the same name");
	ok(truncate(file, 100) == 0 && compile_cached(&p, cache, &want, &ns), "nor a short file");
	ok(stat(file, &st) == 0 && st.st_size > 1000, "and the file is made anew");
	poison(file, -3);
	(void)chmod(file, 0666);
	ok(compile_cached(&p, cache, &want, &ns), "nor a file that others can write");
	(void)chmod(cache, 0777);
	ok(compile_cached(&p, cache, &want, &ns), "a folder that others can write is not used");
	(void)chmod(cache, 0700);
	ok(symlink(cache, link) == 0 && compile_cached(&p, link, &want, &ns),
		"nor a link to a folder");
	ok(compile_cached(&p, "/proc/self/no/such", &want, &ns),
		"a folder that cannot be made is no error");
	policy_release(&p);
}

int main(void)
{
	struct error err;

	if (!mkdtemp(dir))
		return 1;
	test_cache();
	ok(path_remove_tree(AT_FDCWD, dir, &err) == 0, "cleaned up");
	return tap_done();
}
