/* SPDX-License-Identifier: Apache-2.0 */
/* The lowest layer: strict JSON, records, base64, options, paths. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/base64.h"
#include "runtime/base/json.h"
#include "runtime/base/options.h"
#include "runtime/base/path.h"
#include "runtime/base/sha256.h"
#include "runtime/model/instance.h"
#include "runtime/model/plan.h"
#include "tests/unit/tap.h"

static bool refused(const char *text, size_t len, const char *because)
{
	struct json *j = NULL;
	struct error err = { 0 };
	int r = json_parse(text, len, "doc", &j, &err);

	if (r == 0)
		json_free(j);
	return r == -EINVAL && strstr(err.message, because) && !strchr(err.message, '\n');
}

static void test_json_refusals(void)
{
	_cleanup_free_ char *exact = xcalloc(1, 1);
	char deep[200];

	ok(refused(exact + 1, 0, "premature EOF"), "nothing is read behind an empty document");
	memset(deep, '[', sizeof deep);
	ok(refused("", 0, "premature EOF"), "an empty document is refused");
	ok(refused("{\"a\":1,\n\"a\":2}", 14, "doc:2: duplicate key: a"),
		"duplicate keys are refused with their line");
	ok(refused("\"a\\u0000b\"", 10, "NUL"), "a NUL byte in a string is refused");
	ok(refused("{\"a\\u0000\":1}", 13, "NUL"), "a NUL byte in a key is refused");
	ok(refused("{} x", 4, "doc:1"), "trailing text is refused");
	ok(refused("{\"a\":", 5, "doc:1"), "a truncated document is refused");
	ok(refused(deep, sizeof deep, "deeper"), "200 levels are refused");
	ok(refused("\"\xff\"", 3, "doc:1"), "what is no UTF-8 is refused");
}

static void test_json_many_keys(void)
{
	char *text = xcalloc(1, 400000);
	size_t n = 0;
	struct json *j = NULL;

	n += (size_t)sprintf(text + n, "{");
	for (int i = 0; i < 10000; i++)
		n += (size_t)sprintf(text + n, "\"key%d\":%d,", i, i);
	(void)sprintf(text + n, "\"last\":0}");
	ok(json_parse(text, strlen(text), "doc", &j, NULL) == 0 && j->n_items == 10001,
		"10,001 keys are read");
	json_free(j);
	(void)sprintf(text + n, "\"key77\":0}");
	ok(refused(text, strlen(text), "duplicate key: key77"),
		"a duplicate among 10,001 keys is found");
	free(text);
}

static void test_json_paths(void)
{
	static const char text[] = "{\n\"a\": [1, {\"b\": true}]\n}";
	struct json *j = NULL;
	const struct json *b;
	char path[64];

	ok(json_parse(text, sizeof text - 1, "doc", &j, NULL) == 0, "a document is read");
	b = json_get(json_get(j, "a")->items[1], "b");
	ok(b && b->line == 2 && !strcmp(json_path(b, path, sizeof path), "a[1].b"),
		"a node knows its line and path");
	ok(json_get(j, "none") == NULL && json_string(j, "a") == NULL, "what is not there is NULL");
	json_free(j);
}

static void test_writer(void)
{
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *text = NULL;

	json_begin_object(w, NULL);
	json_put_string(w, "s", "a\"\xff\xe2\x82\xac\n");
	json_put_uint(w, "u", UINT64_MAX);
	json_begin_array(w, "a");
	json_put_bool(w, NULL, true);
	json_put_null(w, NULL);
	json_end(w);
	json_end(w);
	text = json_writer_finish(w, NULL);
	ok(!strcmp(text, "{\"s\":\"a\\\"\xef\xbf\xbd\xe2\x82\xac\\n\",\"u\":18446744073709551615,"
			 "\"a\":[true,null]}"),
		"the writer escapes, and replaces what is no UTF-8: %s", text);
}

static void test_base64(void)
{
	bool good = true;

	for (size_t len = 0; len < 300; len++) {
		uint8_t in[300], *out = NULL;
		size_t n = 0;
		_cleanup_free_ char *text = NULL;

		for (size_t i = 0; i < len; i++)
			in[i] = (uint8_t)(i * 37 + len);
		text = base64_encode(in, len);
		good &= base64_decode(text, &out, &n) == 0 && n == len &&
			(len == 0 || !memcmp(in, out, len));
		free(out);
	}
	ok(good, "base64 there and back for all lengths to 300");
	static const char *const bad[] = { "A", "AA=", "AB==", "A===", "AA=A", "!!!!", "AAAA=AAA" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint8_t *out = NULL;
		size_t n;

		ok(base64_decode(bad[i], &out, &n) == -EINVAL, "base64 refuses %s", bad[i]);
	}
}

static struct plan a_plan(void)
{
	struct plan p = { .id = xstrdup("x"), .namespaces = PLAN_NS(PID) | PLAN_NS(USER) };

	strv_push(&p.process.argv, xstrdup("echo"));
	strv_push(&p.process.argv, xstrdup("h\"i"));
	p.process.rlimits = xcalloc(1, sizeof *p.process.rlimits);
	p.process.rlimits[0] =
		(struct plan_rlimit){ .type = xstrdup("nofile"), .soft = 5, .hard = UINT64_MAX };
	p.process.n_rlimits = 1;
	p.seccomp.data = xmemdup("12345678", 8);
	p.seccomp.len = 8;
	p.vm.engine = ENGINE_QEMU;
	return p;
}

static void test_record_round_trip(void)
{
	struct plan p = a_plan(), q = { 0 };
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL, *again = NULL;
	struct json *j = NULL;
	struct error err = { 0 };

	record_write(w, NULL, &plan_type, &p, false);
	text = json_writer_finish(w, NULL);
	ok(json_parse(text, strlen(text), "plan", &j, &err) == 0, "a plan is written as JSON %s",
		err.message);
	ok(record_read(j, &plan_type, &q, &err) == 0, "and read again %s", err.message);
	w = json_writer_new(false);
	record_write(w, NULL, &plan_type, &q, false);
	again = json_writer_finish(w, NULL);
	ok(!strcmp(text, again), "with nothing changed");
	ok(q.process.rlimits[0].hard == UINT64_MAX && q.vm.engine == ENGINE_QEMU &&
			q.namespaces == p.namespaces && q.seccomp.len == 8,
		"numbers, names, flags and bytes are the same");
	json_free(j);
	record_release(&plan_type, &p);
	record_release(&plan_type, &q);
}

static void test_record_refusals(void)
{
	static const struct {
		const char *text, *because;
	} cases[] = {
		{ "{\"process\":{\"argv\":[\"a\"]},\n\"colour\":1}",
			"line 2: colour: unknown key" },
		{ "{\"process\":{\"argv\":[1]}}",
			"process.argv[0]: expected a string, found an integer" },
		{ "{\"process\":{}}", "process: missing key: argv" },
		{ "{\"process\":{\"argv\":[\"a\"],\"umask\":-1}}", "process.umask" },
		{ "{\"namespaces\":[\"moon\"]}", "namespaces[0]: unknown value: moon" },
		{ "{\"seccomp\":\"A\"}", "seccomp: expected base64" },
		{ "[]", "the document: expected an object" },
		{ "{\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\"},{\"type\":\"bind\"}]}",
			"mounts[1]: missing key" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct plan p = { 0 };
		struct json *j = NULL;
		struct error err = { 0 };

		ok(json_parse(cases[i].text, strlen(cases[i].text), "plan", &j, &err) == 0 &&
				record_read(j, &plan_type, &p, &err) == -EINVAL &&
				strstr(err.message, cases[i].because),
			"refused: %s", err.message);
		json_free(j);
	}
}

static void test_options(void)
{
	bool flag = false, other = false, help;
	const char *text = NULL;
	char **list = NULL;
	const struct option_row rows[] = {
		{ 'i', "in", OPTION_FLAG, &flag, NULL, "", NULL },
		{ 't', "tty", OPTION_FLAG, &other, NULL, "", NULL },
		{ 'n', "name", OPTION_STRING, &text, "N", "", NULL },
		{ 'e', "env", OPTION_LIST, &list, "E", "", NULL },
		{ 0 },
	};
	char *argv[] = { (char *)"x", (char *)"-it", (char *)"--name=a=b", (char *)"-eA=1",
		(char *)"-e", (char *)"B", (char *)"img", (char *)"--tty", NULL };
	char *bad[] = { (char *)"x", (char *)"--nope", NULL },
	     *lacking[] = { (char *)"x", (char *)"-n", NULL };
	struct error err;
	int at;

	ok(options_parse(rows, 8, argv, &at, &help, &err) == 0 && at == 6 && flag && other &&
			!strcmp(text, "a=b") && strv_len(list) == 2 && !strcmp(list[1], "B"),
		"options of all forms, ended by the first word");
	ok(options_parse(rows, 2, bad, &at, &help, &err) == -EINVAL &&
			strstr(err.message, "--nope"),
		"an unknown one");
	ok(options_parse(rows, 2, lacking, &at, &help, &err) == -EINVAL, "one without its value");
	strv_free(list);
}

static void test_paths(void)
{
	char dir[] = "/tmp/bivalve-test-XXXXXX", *text = NULL;
	struct error err = { 0 };
	_cleanup_free_ char *deep = NULL;
	int fd;

	if (!mkdtemp(dir)) {
		ok(false, "a folder in /tmp");
		return;
	}
	deep = xasprintf("%s/a/b/c", dir);
	ok(path_mkdirs(deep, 0700, &err) == 0 && path_mkdirs(deep, 0700, &err) == 0,
		"folders with their parents, twice");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(file_write_atomic(fd, "a/file", "text", 4, 0600, &err) == 0 &&
			file_read_at(fd, "a/file", 100, &text, NULL, &err) == 0 &&
			!strcmp(text, "text"),
		"write and read");
	free(text);
	ok(file_read_at(fd, "a/file", 3, &text, NULL, &err) == -EFBIG,
		"a file over its limit is refused");
	ok(symlinkat("/etc", fd, "a/out") == 0 && symlinkat("../../..", fd, "a/up") == 0,
		"links that lead out");
	ok(path_open_beneath(fd, "a/out/passwd", O_RDONLY, 0) < 0, "beneath: no links");
	ok(path_open_beneath(fd, "../x", O_RDONLY, 0) == -EXDEV, "beneath: no way up");
	ok(path_open_in_root(fd, "a/out/passwd", O_RDONLY, 0) == -ENOENT,
		"in root: an absolute link stays inside");
	(void)close(fd);
	ok(path_remove_tree(AT_FDCWD, dir, &err) == 0 && access(dir, F_OK) < 0 &&
			access("/etc/passwd", F_OK) == 0,
		"a tree is removed, its links are not followed");
	ok(path_remove_tree(AT_FDCWD, dir, &err) == 0, "removing what is not there is fine");
}

/* FIPS 180-4's examples, and lengths at which the padding changes. */
static void test_sha256(void)
{
	static const char *const known[][2] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
		{ "0123456789012345678901234567890123456789012345678901234",
			"f34d5a0f80c0cbf84c8c0b90218c22637abd199965249da736a20143c8c9c9d9" },
		{ "0123456789012345678901234567890123456789012345678901234567890123",
			"9674d9e078535b7cec43284387a6ee39956188e735a85452b0050b55341cda56" },
	};
	char *million = xcalloc(1, 1000000), hex[SHA256_HEX];

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		sha256_hex(known[i][0], strlen(known[i][0]), hex);
		ok(!strcmp(hex, known[i][1]), "SHA-256 of %zu bytes", strlen(known[i][0]));
	}
	memset(million, 'a', 1000000);
	sha256_hex(million, 1000000, hex);
	ok(!strcmp(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
		"SHA-256 of a million bytes");
	free(million);
}

static void test_ids(void)
{
	static const char *const bad[] = { "", ".", "..", ".x", "-x", "a/b", "a b", "\xc3\xa9",
		"0123456789012345678901234567890123456789012345678901234567890123"
		"0123456789012345678901234567890123456789012345678901234567890123x" };

	ok(instance_id_check("a-b_c.9", NULL) == 0, "a good name");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(instance_id_check(bad[i], NULL) == -EINVAL, "a bad name: %.20s", bad[i]);
}

static void test_errors(void)
{
	struct error err = { 0 };

	(void)error_set(&err, EINVAL, "%s", "two\nlines and \033[31m red");
	ok(!strcmp(err.message, "two?lines and ?[31m red"),
		"an error is one line without control characters");
	(void)error_prefix(&err, "file");
	ok(!strncmp(err.message, "file: two?", 10), "a prefix stands in front");
}

int main(void)
{
	test_errors();
	test_json_refusals();
	test_json_many_keys();
	test_json_paths();
	test_writer();
	test_base64();
	test_record_round_trip();
	test_record_refusals();
	test_options();
	test_paths();
	test_sha256();
	test_ids();
	return tap_done();
}
