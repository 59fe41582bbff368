/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that come late: there and back, and what is refused of them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/model/late.h"
#include "tests/unit/tap.h"

static struct error err;
static char one[] = "sh", two[] = "-c", empty[] = "", variable[] = "A=b c", mac[] = "02:00:00:00:00:01";
static char *argv[] = { one, two, empty, NULL };
static char *env[] = { variable, NULL };
static const struct plan plan = { .process = { .argv = argv, .env = env }, .audit = 5, .figures = true,
	.interface = { .mac = mac } };

static void test_round(void)
{
	struct plan got = { 0 };
	_cleanup_free_ char *bytes = NULL, *late = NULL;
	size_t len;
	int ends[2];

	bytes = late_write(&plan, &len);
	if (!bytes || pipe(ends) < 0 || fd_write_full(ends[1], bytes, len) < 0)
		abort();
	ok(late_check(bytes, len, &err) == 0, "what was written is right");
	late = late_receive(ends[0], &err);
	ok(late != NULL, "and comes through a pipe");
	late_apply(late, &got);
	ok(!strcmp(got.process.argv[0], "sh") && !strcmp(got.process.argv[2], "") && !got.process.argv[3],
			"with every argument, the empty one too");
	ok(!strcmp(got.process.env[0], variable) && !got.process.env[1], "and the environment");
	ok(late_mac(late) && !strcmp(late_mac(late), mac), "and the card's address");
	ok(got.audit == 5 && late_head(late).audit == 5, "what is watched");
	ok(got.figures && late_head(late).figures, "and whether figures are wanted");
	free(got.process.argv);
	free(got.process.env);
	(void)fd_write_full(ends[1], bytes, len - 1); /* a pipe takes it */
	(void)close(ends[1]); /* pipes */
	ok(late_receive(ends[0], &err) == NULL && strstr(err.message, "cut off"), "cut off");
	(void)close(ends[0]);
}

static int check(const char *bytes, size_t len, size_t at, uint32_t value)
{
	_cleanup_free_ char *copy = xcalloc(1, len + 8);

	memcpy(copy, bytes, len);
	memcpy(copy + at, &value, sizeof value);
	return late_check(copy, len, &err);
}

static void test_refusals(void)
{
	size_t len;
	_cleanup_free_ char *bytes = late_write(&plan, &len), *large = xcalloc(1, LATE_MAX_BYTES + 1);
	char *many[] = { large, NULL };
	struct plan big = { .process = { .argv = many } };

	ok(late_check(bytes, sizeof(struct late_head) - 1, &err) < 0, "no whole head");
	ok(late_check(bytes, len - 1, &err) < 0, "fewer bytes than it says");
	ok(check(bytes, len, offsetof(struct late_head, n_argv), 0) < 0, "no program");
	ok(check(bytes, len, offsetof(struct late_head, n_argv), 4) < 0, "more strings than there are");
	ok(check(bytes, len, offsetof(struct late_head, n_argv), UINT32_MAX) < 0, "many more");
	ok(check(bytes, len, offsetof(struct late_head, n_env), 0) < 0, "fewer");
	ok(check(bytes, len, offsetof(struct late_head, figures), 2) < 0, "a flag that is none");
	ok(check(bytes, len, offsetof(struct late_head, n_mac), 2) < 0 &&
			check(bytes, len, offsetof(struct late_head, n_mac), 0) < 0,
			"one card at most, and as many as it says");
	ok(check(bytes, len, len - 1, 'x') < 0, "a last string without its end");
	memset(large, 'x', LATE_MAX_BYTES);
	ok(late_write(&big, &len) == NULL, "too much is not written");
}

int main(void)
{
	test_round();
	test_refusals();
	return tap_done();
}
