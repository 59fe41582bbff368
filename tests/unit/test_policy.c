/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: units, documents good and bad with their exact errors, chains of documents, presets, and plans. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policies/policy.h"
#include "policies/units.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/bivalve-test-policy-XXXXXX";

/* ---- units ---- */

struct unit_case {
	const char *text;
	int r;
	uint64_t value;
};

static const struct unit_case sizes[] = {
	{ "0", 0, 0 },
	{ "4096", 0, 4096 },
	{ "64m", 0, 64 << 20 },
	{ "64M", 0, 64 << 20 },
	{ "1k", 0, 1024 },
	{ "1.5g", 0, UINT64_C(1536) << 20 },
	{ "2T", 0, UINT64_C(2) << 40 },
	{ "1KiB", 0, 1024 },
	{ "1kb", 0, 1024 },
	{ "7b", 0, 7 },
	{ "0.5k", 0, 512 },
	{ "18446744073709551615", 0, UINT64_MAX },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "16777216t", -ERANGE, 0 },
	{ "99999999999999999999999k", -ERANGE, 0 },
	{ "", -EINVAL, 0 },
	{ "m", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "+1", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
	{ "1 m", -EINVAL, 0 },
	{ "1mm", -EINVAL, 0 },
	{ "1.m", -EINVAL, 0 },
	{ ".5m", -EINVAL, 0 },
	{ "1.5.5m", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 },
	{ "1kib ", -EINVAL, 0 },
};

static const struct unit_case durations[] = {
	{ "0", 0, 0 },
	{ "10s", 0, 10000000 },
	{ "1500ms", 0, 1500000 },
	{ "1.5s", 0, 1500000 },
	{ "1m30s", 0, 90000000 },
	{ "2h", 0, UINT64_C(7200) * 1000000 },
	{ "1d", 0, UINT64_C(86400) * 1000000 },
	{ "7us", 0, 7 },
	{ "10", -EINVAL, 0 },
	{ "", -EINVAL, 0 },
	{ "s", -EINVAL, 0 },
	{ "10 s", -EINVAL, 0 },
	{ "-1s", -EINVAL, 0 },
	{ "10x", -EINVAL, 0 },
	{ "1s1", -EINVAL, 0 },
	{ "18446744073709551615h", -ERANGE, 0 },
	{ "18446744073709551615us1us", -ERANGE, 0 },
};

static void test_units(void)
{
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		uint64_t value = 0;
		int r = size_parse(sizes[i].text, &value);

		ok(r == sizes[i].r && value == sizes[i].value, "size \"%s\"", sizes[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		uint64_t value = 0;
		int r = duration_parse_us(durations[i].text, &value);

		ok(r == durations[i].r && value == durations[i].value, "duration \"%s\"",
			durations[i].text);
	}
}

/* ---- errors: each document is one slip ---- */

struct error_case {
	const char *text, *message; /* the end of the line */
};

#define V           "{\"version\":1,"
#define RULES(text) V "\"seccomp\":{\"rules\":{\"add\":[" text "]}}}"

static const struct error_case errors[] = {
	{ RULES("{\"syscalls\":[\"@netwrk\"],\"action\":\"allow\"}"),
		"seccomp.rules.add[0].syscalls[0]: \"@netwrk\": no such group: did you mean \"@network\"?" },
	{ "{}", "t:1: version: missing: expected \"version\": 1" },
	{ "[]", "t:1: an array: expected an object" },
	{ "{\"version\":2}", "t:1: version: version 2: this program reads version 1" },
	{ "{\"version\":\"1\"}", "t:1: version: a string: expected an integer" },
	{ V "\n\"capabilites\":[]}",
		"t:2: capabilites: unknown key: did you mean \"capabilities\"?" },
	{ V "\"zzzzzz\":1}", "zzzzzz: unknown key: one of version, description, extends, "
			     "capabilities, no_new_privs, user, "
			     "user_namespace, root, disk, rlimits, resources, limits, network, "
			     "masked_paths, readonly_paths, landlock, seccomp" },
	{ V "\n\n\"resources\":{\"memroy\":1}}",
		"t:3: resources.memroy: unknown key: did you mean \"memory\"?" },
	{ V "\"resources\":{\"memory\":\"64q\"}}", "resources.memory: \"64q\" is malformed: "
						   "expected bytes or a size such as \"64m\"" },
	{ V "\"resources\":{\"memory\":\"99999999t\"}}",
		"resources.memory: \"99999999t\" is too large: expected bytes or a size such as "
		"\"64m\"" },
	{ V "\"resources\":{\"memory\":-1}}",
		"resources.memory: negative: expected bytes or a size such as \"64m\"" },
	{ V "\"resources\":{\"memory\":true}}",
		"resources.memory: a boolean: expected bytes or a size such as \"64m\"" },
	{ V "\"resources\":{\"memory\":1000}}",
		"resources.memory: out of range: 1048576 to 1152921504606846976 bytes" },
	{ V "\"resources\":{\"pids\":0}}", "resources.pids: out of range: 1 to 4194304" },
	{ V "\"resources\":{\"pids\":1.5}}", "resources.pids: a number: expected an integer" },
	{ V "\"resources\":{\"cpus\":0}}", "resources.cpus: out of range: 0.01 to 4096" },
	{ V "\"resources\":{\"cpus\":1e999}}", "resources.cpus: out of range: 0.01 to 4096" },
	{ V "\"resources\":{\"cpus\":\"2\"}}",
		"resources.cpus: a string: expected a number such as 1.5" },
	{ V "\"resources\":{\"cpu_weight\":10001}}",
		"resources.cpu_weight: out of range: 1 to 10000" },
	{ V "\"limits\":{\"wall_time\":\"10\"}}", "limits.wall_time: \"10\" is malformed: expected "
						  "milliseconds or a duration such as \"10s\"" },
	{ V "\"capabilities\":[\"CAP_NOPE\"]}",
		"capabilities[0]: \"CAP_NOPE\": not a capability: names as in capabilities(7), "
		"\"CAP_NET_RAW\", or \"ALL\"" },
	{ V "\"capabilities\":{\"add\":[\"CAP_CHOWN\"],\"drop\":[\"chown\"]}}",
		"capabilities: CAP_CHOWN is both added and dropped: one of the two" },
	{ V "\"capabilities\":{\"ad\":[]}}",
		"capabilities.ad: unknown key: did you mean \"add\"?" },
	{ V "\"capabilities\":{\"add\":{\"add\":[]}}}",
		"capabilities.add: an object: expected an array" },
	{ V "\"capabilities\":\"ALL\"}", "capabilities: a string: expected an array" },
	{ V "\"user\":\"\"}", "user: \"\": not a user: \"name\", \"uid\", with \":group\" or "
			      "\":gid\" behind it if wanted" },
	{ V "\"user\":\"a:b:c\"}", "with \":group\" or \":gid\" behind it if wanted" },
	{ V "\"network\":\"hots\"}", "network: unknown value \"hots\": one of none, host, user" },
	{ V "\"masked_paths\":[\"proc\"]}",
		"masked_paths[0]: \"proc\": not an absolute path without \"..\": it is taken from "
		"the workload's root" },
	{ V "\"readonly_paths\":[\"/proc/..\"]}", "it is taken from the workload's root" },
	{ V "\"rlimits\":{\"nofiles\":1}}",
		"rlimits.nofiles: unknown limit: names as in getrlimit(2), in lower case without "
		"RLIMIT_, such as \"nofile\"" },
	{ V "\"rlimits\":{\"nofile\":{\"soft\":2,\"hard\":1}}}",
		"rlimits.nofile: soft is above hard: at most hard" },
	{ V "\"rlimits\":{\"nofile\":{\"soft\":2}}}",
		"rlimits.nofile: both \"soft\" and \"hard\" are required" },
	{ V "\"rlimits\":{\"nofile\":false}}", "rlimits.nofile: a boolean: expected a number, "
					       "\"unlimited\" or a size such as \"64m\"" },
	{ V "\"root\":{\"read_only\":true,\"upper\":\"64m\"}}",
		"root: \"upper\" has no use with \"read_only\": one of the two (null takes the "
		"other back)" },
	{ V "\"extends\":null}", "seccomp: missing: this document extends nothing, so it says "
				 "false or gives a filter" },
	{ V "\"extends\":null,\"seccomp\":{}}", "seccomp: \"default\" is required where no filter "
						"is extended: allow, errno, kill, log" },
	{ V "\"extends\":\"defualt\"}",
		"extends: no preset is called \"defualt\": did you mean \"default\"?" },
	{ V "\"extends\":\"zzzzzzzz\"}", "or a file (FILE.json, ./FILE)" },
	{ V "\"extends\":\"x.json\"}",
		"extends: \"x.json\": only a file can extend a file: one of the presets" },
	{ V "\"a\\nb\":1}", "a?b: unknown key: one of version, description, extends, capabilities, "
			    "no_new_privs, user, "
			    "user_namespace, root, disk, rlimits, resources, limits, network, "
			    "masked_paths, readonly_paths, landlock, seccomp" },
	{ V "\"extends\":1}", "extends: an integer: expected a string" },
	{ V "\"seccomp\":true}", "seccomp: a boolean: expected false or an object" },
	{ V "\"seccomp\":null}", "seccomp: null: expected false or an object" },
	{ V "\"seccomp\":{\"default\":\"deny\"}}",
		"seccomp.default: unknown value \"deny\": one of allow, errno, kill, log" },
	{ V "\"seccomp\":{\"default\":\"kill\",\"errno\":\"EPERM\"}}",
		"seccomp.errno: belongs to the default \"errno\"" },
	{ V "\"seccomp\":{\"errno\":\"EPREM\"}}", "seccomp.errno: not an error: a name as in "
						  "errno(3), \"EPERM\", \"ENOSYS\", or 1 to 4095" },
	{ RULES("{\"action\":\"allow\"}"),
		"seccomp.rules.add[0]: \"syscalls\" is required: the names that the rule is for" },
	{ RULES("{\"syscalls\":[\"read\"]}"),
		"seccomp.rules.add[0]: \"action\" is required: allow, errno, kill, log, default, notify" },
	{ RULES("{\"syscalls\":[\"raed\"],\"action\":\"allow\"}"),
		"seccomp.rules.add[0].syscalls[0]: \"raed\": no such system call: names as in "
		"syscalls(2), known to this libseccomp, and groups (`bivalve policy list --groups`)" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"errno\":1}"),
		"seccomp.rules.add[0].errno: belongs to the action \"errno\"" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"capability\":\"!CAP_X\"}"),
		"with \"!\" in front for \"only without it\"" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"arguments\":[{\"index\":6,\"op\":"
		"\"eq\",\"value\":1}]}"),
		"arguments[0].index: out of range: 0 to 5" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"arguments\":[{\"index\":0,"
		"\"value\":1}]}"),
		"arguments[0]: \"index\", \"op\" and \"value\" are required" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"arguments\":[{\"index\":0,\"op\":"
		"\"masked_eq\",\"value\":1,\"value_two\":2}]}"),
		"\"value_two\" has bits outside the mask: it would never match" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"arguments\":[{\"index\":0,\"op\":"
		"\"eq\",\"value\":1,\"value_two\":2}]}"),
		"\"value_two\" belongs to \"masked_eq\": (argument & value) == value_two" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"arguments\":[{\"index\":0,\"op\":"
		"\"eq\",\"value\":1},{\"index\":0,\"op\":\"eq\",\"value\":2}]}"),
		"argument 0 a second time: write alternatives as rules of their own" },
	{ RULES("{\"syscalls\":[\"read\"],\"action\":\"allow\",\"arguments\":[{\"index\":0,\"op\":"
		"\"eq\",\"value\":\"0xg\"}]}"),
		"not a register's value: 0 to 2^63 - 1, or a string such as \"0x7e020000\"" },
};

static bool ends_with(const char *text, const char *end)
{
	return strlen(text) >= strlen(end) && !strcmp(text + strlen(text) - strlen(end), end);
}

static void test_errors(void)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct policy p = { 0 };
		struct error err = { 0 };
		int r = policy_parse(errors[i].text, strlen(errors[i].text), "t", &p, &err);

		ok(r == -EINVAL && err.code == EINVAL &&
				ends_with(err.message, errors[i].message) &&
				!strncmp(err.message, "t:", 2),
			"refused: %s", err.message);
		if (r == 0)
			policy_release(&p);
	}
}

/* ---- documents and chains ---- */

static char *write_file(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);
	struct error err;

	if (file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, &err) < 0)
		printf("# %s\n", err.message);
	return path;
}

static bool has(char *const *list, const char *word)
{
	strv_foreach (s, list)
		if (!strcmp(s, word))
			return true;
	return false;
}

static const struct plan_rlimit *rlimit(const struct policy *p, const char *type)
{
	for (size_t i = 0; i < p->n_rlimits; i++)
		if (!strcmp(p->rlimits[i].type, type))
			return &p->rlimits[i];
	return NULL;
}

static void test_chain(void)
{
	_cleanup_free_ char *base = write_file("base.json",
		V "\"description\":\"base\",\"extends\":\"strict\","
		  "\"user\":\"nobody:nogroup\",\"resources\":{\"memory\":\"64m\",\"cpus\":1.5},"
		  "\"rlimits\":{\"fsize\":\"1m\",\"nofile\":{\"soft\":10,\"hard\":20}},\"limits\":{"
		  "\"wall_time\":1500,\"cpu_time\":\"2s\",\"output\":\"1m\",\"file_size\":\"2m\","
		  "\"open_files\":40},\"disk\":{\"bytes\":\"3m\",\"inodes\":99}}");
	_cleanup_free_ char *leaf = write_file("leaf.json",
		V "\"extends\":\"base.json\","
		  "\"capabilities\":{\"add\":[\"chown\",\"CAP_KILL\"],\"drop\":[\"CAP_SYSLOG\"]},"
		  "\"resources\":{\"pids\":null,\"cpu_weight\":50},\"rlimits\":{\"fsize\":null,"
		  "\"as\":\"unlimited\"},"
		  "\"root\":{\"read_only\":false,\"upper\":\"64m\"},\"masked_paths\":{\"drop\":[\"/"
		  "sys/kernel\"]},"
		  "\"seccomp\":{\"rules\":{\"add\":[{\"syscalls\":[\"chroot\"],\"action\":"
		  "\"allow\"}]}}}");
	struct policy p = { 0 }, strict = { 0 };
	struct error err = { 0 };

	ok(policy_load(leaf, &p, &err) == 0 && policy_load("strict", &strict, &err) == 0,
		"a chain of four documents%s", err.message);
	ok(p.description == NULL && !strcmp(p.name, leaf), "name and description are the leaf's");
	ok(strv_len(p.capabilities) == 2 && has(p.capabilities, "CAP_CHOWN") &&
			has(p.capabilities, "CAP_KILL"),
		"capabilities are added to none, under their full names");
	ok(p.limits.cpu_us == 2000000 && p.limits.output_bytes == 1 << 20 && p.limits.file_bytes == 2 << 20 &&
			p.limits.open_files == 40 && p.disk_bytes == 3 << 20 && p.upper_inodes == 99,
		"limits and the disk are inherited");
	ok(p.no_new_privs && p.user_namespace && !strcmp(p.user, "nobody:nogroup"),
		"booleans and the user are inherited");
	ok(p.resources.memory_bytes == 64 << 20 && p.resources.pids == 0 &&
			p.resources.cpu_weight == 50 && p.resources.cpu_quota_us == 150000 &&
			p.resources.cpu_period_us == 100000,
		"resources merge key by key; null takes back");
	ok(!rlimit(&p, "fsize") && rlimit(&p, "as") && rlimit(&p, "as")->hard == UINT64_MAX &&
			rlimit(&p, "nofile") && rlimit(&p, "nofile")->soft == 10 &&
			rlimit(&p, "nofile")->hard == 20 && rlimit(&p, "core"),
		"rlimits merge limit by limit");
	ok(!p.read_only_root && p.upper_bytes == 64 << 20 && p.limits.wall_us == 1500000,
		"root and limits");
	ok(has(p.masked_paths, "/proc/kcore") && has(p.masked_paths, "/sys/module") &&
			!has(p.masked_paths, "/sys/kernel"),
		"lists change by what is added and dropped");
	ok(p.seccomp.n_rules == strict.seccomp.n_rules + 1 && !p.seccomp_off,
		"rules are added behind the others");
	policy_release(&p);
	policy_release(&strict);
	(void)base; /* found through leaf */
}

static void test_disk(void)
{
	struct policy p = { 0 };
	struct plan plan = { 0 }, small = { .root.upper_bytes = 1 << 20 };
	struct error err = { 0 };
	static const char text[] = "{\"version\":1,\"disk\":{\"bytes\":\"3m\",\"inodes\":99},\"resources\":"
			"{\"io\":{\"read_bytes\":\"4m\",\"write_ops\":70}}}";

	ok(policy_parse(text, strlen(text), "text", &p, &err) == 0 && policy_apply(&p, NULL, &plan, &err) == 0,
		"a disk with rates%s", err.message);
	ok(plan.root.upper_disk && plan.root.upper_bytes == 3 << 20 && plan.root.upper_inodes == 99,
		"the plan has a disk of that size");
	ok(plan.resources.disk_read_bytes == 4 << 20 && plan.resources.disk_write_ops == 70 &&
			!plan.resources.disk_write_bytes && !plan.resources.disk_read_ops,
		"and its rates");
	ok(policy_apply(&p, NULL, &small, &err) == 0 && !small.root.upper_disk && small.root.upper_bytes == 1 << 20,
		"a size in memory on the command line wins");
	record_release(&plan_type, &plan);
	record_release(&plan_type, &small);
	policy_release(&p);
}

static void test_circles(void)
{
	_cleanup_free_ char *a = write_file("a.json", V "\n\"extends\":\"b.json\"}"), *deep = NULL;
	_cleanup_free_ char *b = write_file("b.json", V "\"extends\":\"./a.json\"}");
	_cleanup_free_ char *lost = write_file("lost.json", V "\"extends\":\"gone.json\"}");
	_cleanup_free_ char *slip = write_file("slip.json", "{\"version\":1,\n\"user\":7}");
	_cleanup_free_ char *over = write_file("over.json", V "\"extends\":\"slip.json\"}");
	struct policy p = { 0 };
	struct error err = { 0 };

	ok(policy_load(a, &p, &err) == -EINVAL &&
			strstr(err.message,
				"b.json:1: extends: \"./a.json\" extends itself in the end"),
		"a circle: %s", err.message);
	for (int i = 0; i < 8; i++) {
		_cleanup_free_ char *name = xasprintf("d%d.json", i);
		_cleanup_free_ char *text = xasprintf(V "\"extends\":\"d%d.json\"}", i + 1);

		free(write_file(name, text));
	}
	free(write_file("d8.json", V "\"extends\":\"default\"}"));
	deep = xasprintf("%s/d0.json", dir);
	ok(policy_load(deep, &p, &err) == -EINVAL &&
			strstr(err.message, "a chain of more than 8 documents"),
		"depth: %s", err.message);
	ok(policy_load(lost, &p, &err) < 0 &&
			strstr(err.message, "lost.json:1: extends: policy ") &&
			strstr(err.message, "gone.json: No such file"),
		"missing: %s", err.message);
	ok(policy_load(over, &p, &err) < 0 &&
			strstr(err.message, "slip.json:2: user: an integer: expected a string"),
		"a slip is told where it stands: %s", err.message);
	ok(policy_load("defaul", &p, &err) < 0 && strstr(err.message, "did you mean \"default\"?"),
		"%s", err.message);
	ok(policy_load("/", &p, &err) < 0, "a folder: %s", err.message);
	ok(policy_load("/no/such.json", &p, &err) == -ENOENT, "no file: %s", err.message);
	(void)b; /* these are found through the others */
	(void)slip;
}

/* ---- presets ---- */

static void test_presets(void)
{
	static const char *const want[] = { "default", "open", "strict" };
	struct policy p = { 0 };
	struct error err = { 0 };
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		good = good && has((char *const *)(uintptr_t)policy_presets(), want[i]);
	ok(good, "the presets are built in");
	ok(policy_load("default", &p, &err) == 0 && strv_len(p.capabilities) == 11 &&
			has(p.capabilities, "CAP_SYS_CHROOT") && !p.no_new_privs &&
			p.resources.pids == 2048 && has(p.masked_paths, "/proc/kcore") &&
			has(p.readonly_paths, "/proc/sys") && !p.seccomp_off,
		"default %s", err.message);
	policy_release(&p);
	ok(policy_load("strict", &p, &err) == 0 && !strv_len(p.capabilities) && p.no_new_privs &&
			p.user_namespace && p.read_only_root && p.network == NETWORK_NONE &&
			p.resources.memory_bytes == UINT64_C(512) << 20 && p.resources.pids == 64,
		"strict %s", err.message);
	policy_release(&p);
	ok(policy_load("open", &p, &err) == 0 && p.seccomp_off && has(p.capabilities, "ALL") &&
			!p.masked_paths,
		"open %s", err.message);
	policy_release(&p);
}

static void test_except(void)
{
	static const char text[] = V "\"extends\":null,\"seccomp\":{\"default\":\"allow\",\"rules\":["
			"{\"syscalls\":[\"@mount\"],\"except\":[\"mount\",\"chroot\"],\"action\":\"errno\"}]}}";
	struct policy p = { 0 };
	struct error err;
	int r = policy_parse(text, sizeof text - 1, "t", &p, &err);

	ok(r == 0 && has(p.seccomp.rules[0].syscalls, "umount2") && !has(p.seccomp.rules[0].syscalls, "mount") &&
			!has(p.seccomp.rules[0].syscalls, "chroot"), "a rule for a group, but for some of its calls");
	policy_release(&p);
}

/* What is written of a policy reads back as the same policy; written again it is the same text. */
static void test_effective(void)
{
	for (const char *const *name = policy_presets(); *name; name++) {
		struct policy p = { 0 }, again = { 0 };
		_cleanup_free_ char *first = NULL, *second = NULL;
		struct bytes a = { 0 }, b = { 0 };
		struct error err;
		bool good = policy_load(*name, &p, &err) == 0;

		first = policy_effective(&p);
		good = good && policy_parse(first, strlen(first), "t", &again, &err) == 0;
		again.description = again.description ? again.description : xstrdup("");
		if (good && !p.seccomp_off)
			good = seccomp_compile(&p.seccomp, 0, NULL, &a, &err) == 0 &&
				seccomp_compile(&again.seccomp, 0, NULL, &b, &err) == 0 && a.len == b.len &&
				memcmp(a.data, b.data, a.len) == 0;
		for (size_t i = 0; good && i < again.seccomp.n_rules; i++) {
			again.seccomp.rules[i].document = p.seccomp.rules[i].document; /* comments say where it stood */
			again.seccomp.rules[i].line = p.seccomp.rules[i].line;
		}
		second = good ? policy_effective(&again) : NULL;
		ok(good && !strcmp(first, second), "%s: what is in force, written and read, is the same", *name);
		free(a.data);
		free(b.data);
		policy_release(&p);
		policy_release(&again);
	}
}

/* ---- plans ---- */

static bool plan_has_rlimit(const struct plan *plan, const char *type, uint64_t soft)
{
	size_t n = 0;
	bool good = false;

	for (size_t i = 0; i < plan->process.n_rlimits; i++)
		if (!strcmp(plan->process.rlimits[i].type, type)) {
			n++;
			good = plan->process.rlimits[i].soft == soft;
		}
	return n == 1 && good;
}

static void test_apply(void)
{
	struct policy p = { 0 };
	struct plan plan = { 0 };
	struct error err = { 0 };

	ok(policy_load("strict", &p, &err) == 0 && policy_apply(&p, NULL, &plan, &err) == 0,
		"an empty plan %s", err.message);
	ok(plan.seccomp.len > 0 && plan.resources.pids == 64 && plan.root.read_only &&
			plan.process.no_new_privs && (plan.namespaces & PLAN_NS(USER)) &&
			plan.process.capabilities.bounding == 0 &&
			plan_has_rlimit(&plan, "nofile", 1024) &&
			has(plan.masked_paths, "/proc/kcore") && !strcmp(plan.policy, "strict"),
		"takes everything");
	record_release(&plan_type, &plan);

	plan.process.user = xstrdup("7");
	plan.process.rlimits = xcalloc(1, sizeof *plan.process.rlimits);
	plan.process.rlimits[0] =
		(struct plan_rlimit){ .type = xstrdup("nofile"), .soft = 5, .hard = 6 };
	plan.process.n_rlimits = 1;
	plan.resources.pids = 9;
	plan.resources.cpu_quota_us = 1000;
	plan.limits.wall_us = 3;
	plan.root.upper_bytes = 1 << 20;
	plan.network = NETWORK_HOST;
	plan.process.capabilities.bounding = 1;
	free(p.user);
	p.user = xstrdup("nobody");
	ok(policy_apply(&p, NULL, &plan, &err) == 0 && !strcmp(plan.process.user, "7") &&
			plan_has_rlimit(&plan, "nofile", 5) && plan_has_rlimit(&plan, "core", 0) &&
			plan.resources.pids == 9 &&
			plan.resources.memory_bytes == UINT64_C(512) << 20 &&
			plan.resources.cpu_quota_us == 1000 && plan.resources.cpu_period_us == 0 &&
			plan.limits.wall_us == 3 && !plan.root.read_only &&
			plan.network == NETWORK_HOST && plan.process.capabilities.bounding == 1 &&
			plan.process.capabilities.permitted == 0,
		"what a plan has stays");
	record_release(&plan_type, &plan);
	policy_release(&p);

	ok(policy_load("default", &p, &err) == 0 && policy_apply(&p, NULL, &plan, &err) == 0 &&
			plan.process.capabilities.bounding == plan.process.capabilities.effective &&
			plan.process.capabilities.bounding == plan.process.capabilities.permitted &&
			(plan.process.capabilities.bounding & UINT64_C(1) << CAP_SYS_CHROOT) &&
			__builtin_popcountll(plan.process.capabilities.bounding) == 11 &&
			!plan.process.capabilities.inheritable &&
			!plan.process.capabilities.ambient,
		"capability sets");
	record_release(&plan_type, &plan);
	policy_release(&p);

	ok(policy_load("open", &p, &err) == 0 && policy_apply(&p, NULL, &plan, &err) == 0 &&
			plan.seccomp.len == 0,
		"open: no filter");
	record_release(&plan_type, &plan);
	policy_release(&p);
}

int main(void)
{
	struct error err;

	if (!mkdtemp(dir))
		return 1;
	test_units();
	test_errors();
	test_chain();
	test_circles();
	test_presets();
	test_except();
	test_effective();
	test_apply();
	ok(path_remove_tree(AT_FDCWD, dir, &err) == 0, "cleaned up");
	test_disk();
	return tap_done();
}
