/* SPDX-License-Identifier: Apache-2.0 */
/* config.json → plan: what each member becomes, and each kind of malformed document with its exact refusal. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"
#include "runtime/oci/spec.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/bivalve-test-oci-XXXXXX";

/* A good document with one hole: members of the top, after which a comma may stand. */
#define PROCESS "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]}"
#define ROOT "\"root\":{\"path\":\"rootfs\"}"
#define HEAD "{\"ociVersion\":\"1.0.2\"," ROOT
#define DOC(members) HEAD "," PROCESS "," members "}"
#define PROC(members) HEAD ",\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]," members "}}"
#define LINUX(members) DOC("\"linux\":{" members "}")
#define ALL_NS \
	"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"uts\"}," \
	"{\"type\":\"ipc\"},{\"type\":\"network\"}]"
#define RES(members) LINUX("\"resources\":{" members "}")
#define SECCOMP(members) LINUX("\"seccomp\":{" members "}")

static int plan_of(const char *text, const char *backend, bool systemd, struct plan *ret, struct error *err)
{
	const struct oci_spec_request request = { .id = "id", .bundle = "/bundle", .backend = backend,
		.systemd_cgroup = systemd };

	*err = (struct error){ 0 };
	*ret = (struct plan){ 0 };
	return oci_spec_plan_text(&request, text, strlen(text), ret, err);
}

/* ---- what members become: a piece of the plan's JSON ---- */

struct fact {
	const char *text, *expected;
	const char *backend;
	bool systemd;
};

static const struct fact facts[] = {
	{ .text = DOC("\"x\":1"), "\"root\":{\"path\":\"/bundle/rootfs\"}" },
	{ .text = DOC("\"x\":1"), "\"mounts_exact\":true" },
	{ .text = DOC("\"x\":1"), "\"backend\":\"container\"" },
	{ .text = DOC("\"x\":1"), "\"user\":\"0:0\"" },
	{ .text = DOC("\"x\":1"), "\"keyring\":true" },
	{ .text = DOC("\"x\":1"), "\"network\":\"host\"" },
	{ .text = DOC("\"x\":1"), "\"devices\":[{\"type\":\"a\",\"major\":-1,\"minor\":-1,\"access\":\"rwm\"}]" },
	{ .text = DOC("\"hostname\":null,\"mounts\":null,\"linux\":null"), "\"argv\":[\"sh\"]" },
	{ .text = "{\"ociVersion\":\"1.3.0-dev\"," ROOT "," PROCESS "}", "\"argv\":[\"sh\"]" },
	{ .text = "{\"ociVersion\":\"1.2.1+dev\",\"root\":{\"path\":\"/r\",\"readonly\":true}," PROCESS "}",
		"\"root\":{\"path\":\"/r\",\"read_only\":true}" },
	/* process */
	{ .text = PROC("\"terminal\":true,\"consoleSize\":{\"height\":40,\"width\":132}"),
		"\"terminal\":true,\"rows\":40,\"columns\":132" },
	{ .text = PROC("\"user\":{\"uid\":7,\"gid\":8,\"umask\":0,"
		"\"additionalGids\":[9,4294967294]}"), "\"user\":\"7:8\"" },
	{ .text = PROC("\"user\":{\"uid\":7,\"gid\":8,\"umask\":0,\"additionalGids\":[9,4294967294]}"),
		"\"umask_set\":true,\"groups\":[\"9\",\"4294967294\"]" },
	{ .text = PROC("\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_OF_TOMORROW\",\"CAP_KILL\"]}"),
		"\"capabilities\":{\"bounding\":33}" },
	{ .text = PROC("\"capabilities\":{\"ambient\":[\"CAP_CHOWN\",\"CAP_KILL\"],\"permitted\":[\"CAP_CHOWN\","
		"\"CAP_KILL\"],"
		"\"inheritable\":[\"CAP_CHOWN\"]}"), "\"inheritable\":1,\"permitted\":33,\"ambient\":1}" },
	{ .text = PROC("\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":18446744073709551615}]"),
		"\"rlimits\":[{\"type\":\"nofile\",\"soft\":1,\"hard\":18446744073709551615}]" },
	{ .text = PROC("\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":9223372036854775809,"
		"\"hard\":9223372036854775811}]"),
		"\"soft\":9223372036854775809,\"hard\":9223372036854775811" },
	{ .text = PROC("\"oomScoreAdj\":0"), "\"oom_score_adj_set\":true" },
	{ .text = PROC("\"oomScoreAdj\":-998"), "\"oom_score_adj\":-998" },
	{ .text = PROC("\"noNewPrivileges\":true"), "\"no_new_privs\":true" },
	{ .text = PROC("\"apparmorProfile\":\"p\",\"selinuxLabel\":\"l\""), "\"apparmor_profile\":\"p\","
		"\"selinux_label\":\"l\"" },
	{ .text = PROC("\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"nice\":-3,"
		"\"flags\":[\"SCHED_FLAG_RECLAIM\"],\"runtime\":1,"
		"\"deadline\":2,\"period\":3}"), "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"nice\":-3,"
		"\"flags\":[\"SCHED_FLAG_RECLAIM\"],\"runtime_ns\":1,\"deadline_ns\":2,\"period_ns\":3}" },
	{ .text = PROC("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4}"),
		"\"io_priority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4}" },
	/* mounts */
	{ .text = DOC("\"mounts\":[{\"destination\":\"data\",\"source\":\"vol\",\"options\":[\"rbind\",\"ro\"]}]"),
		"{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/bundle/vol\",\"options\":[\"rbind\","
		"\"ro\"]}" },
	{ .text = DOC("\"mounts\":[{\"destination\":\"/d\",\"type\":\"none\",\"source\":\"/s\","
		"\"options\":[\"bind\"]}]"),
		"\"type\":\"bind\",\"source\":\"/s\"" },
	{ .text = DOC("\"mounts\":[{\"destination\":\"/d\",\"type\":\"bind\",\"source\":\"/s\","
		"\"uidMappings\":[{\"containerID\":0,"
		"\"hostID\":5,\"size\":9}],\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":4294967295}]}]"),
		"\"uid_maps\":[{\"outside\":5,\"count\":9}]" },
	/* hooks */
	{ .text = DOC("\"hooks\":{\"createContainer\":[{\"path\":\"/h\",\"args\":[\"h\",\"x\"],\"env\":[\"A=b\"],"
		"\"timeout\":5}]}"),
		"\"hooks\":{\"create_container\":[{\"path\":\"/h\",\"args\":[\"h\",\"x\"],\"env\":[\"A=b\"],"
		"\"timeout_s\":5}]}" },
	/* linux */
	{ .text = LINUX(ALL_NS), "\"namespaces\":[\"pid\",\"mount\",\"uts\",\"ipc\",\"net\"]" },
	{ .text = LINUX(ALL_NS), "\"network\":\"none\"" },
	{ .text = LINUX("\"namespaces\":[{\"type\":\"network\",\"path\":\"/run/netns/a\"}]"),
		"\"joins\":[{\"type\":\"net\",\"path\":\"/run/netns/a\"}],\"network\":\"none\"" },
	{ .text = LINUX("\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[{\"containerID\":0,"
		"\"hostID\":1000,\"size\":65536}],"
		"\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":65536}]"),
		"\"uid_maps\":[{\"outside\":1000,\"count\":65536}]" },
	{ .text = LINUX("\"namespaces\":[{\"type\":\"time\"}],\"timeOffsets\":{\"boottime\":{\"secs\":-4,"
		"\"nanosecs\":5}}"),
		"\"time_offsets\":[{\"clock\":\"boottime\",\"seconds\":-4,\"nanoseconds\":5}]" },
	{ .text = LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/dev/x\",\"major\":1,\"minor\":3,"
		"\"fileMode\":33206,\"gid\":5}]"),
		"{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":1,\"minor\":3,\"mode\":438,\"gid\":5}" },
	{ .text = LINUX("\"devices\":[{\"type\":\"p\",\"path\":\"/dev/f\"}]"), "{\"path\":\"/dev/f\","
		"\"type\":\"p\",\"mode\":438}" },
	{ .text = LINUX("\"cgroupsPath\":\"/a//./b/\""), "\"cgroup\":\"a/b\"" },
	{ .text = LINUX("\"cgroupsPath\":\"machine-a-b.slice:libpod:77\""),
		"\"cgroup\":\"machine.slice/machine-a.slice/machine-a-b.slice/libpod-77.scope\"", NULL, true },
	{ .text = LINUX("\"cgroupsPath\":\"user.slice::x.slice\""), "\"cgroup\":\"user.slice/x.slice\"", NULL, true },
	{ .text = DOC("\"x\":1"), ".slice/bivalve-id.scope\"", NULL, true },
	{ .text = LINUX("\"rootfsPropagation\":\"rslave\""), "\"propagation\":\"rslave\"" },
	{ .text = LINUX(ALL_NS ",\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"kernel/shmmax\":\"9\"}"),
		"\"sysctls\":[{\"key\":\"net.ipv4.ip_forward\",\"value\":\"1\"},{\"key\":\"kernel/shmmax\","
		"\"value\":\"9\"}]" },
	{ .text = LINUX(ALL_NS ","
		"\"sysctl\":{\"kernel.core_pattern\":\"|/x\"}"), "\"key\":\"kernel.core_pattern\"", "vm" },
	{ .text = LINUX(ALL_NS ",\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[\"/proc/sys\"],"
		"\"mountLabel\":\"l\""),
		"\"mount_label\":\"l\",\"masked_paths\":[\"/proc/kcore\"],\"readonly_paths\":[\"/proc/sys\"]" },
	{ .text = LINUX("\"personality\":{\"domain\":\"LINUX32\",\"flags\":[]}"), "\"personality\":8,"
		"\"personality_set\":true" },
	{ .text = LINUX("\"intelRdt\":{}"), "\"argv\":[\"sh\"]" },
	/* resources */
	{ .text = RES("\"memory\":{\"limit\":1048576,\"swap\":-1,\"reservation\":4096,\"swappiness\":0,"
		"\"disableOOMKiller\":true,"
		"\"useHierarchy\":true}"), "\"resources\":{\"memory_bytes\":1048576,"
		"\"memory_swap_bytes\":18446744073709551615,"
		"\"memory_reservation_bytes\":4096,\"memory_swappiness_set\":true,\"memory_oom_kill_off\":true" },
	{ .text = RES("\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":100000,\"cpus\":\"0-1\",\"mems\":\"0\","
		"\"idle\":1}"),
		"\"cpu_shares\":512,\"cpu_set\":\"0-1\",\"memory_nodes\":\"0\",\"cpu_idle\":1" },
	{ .text = RES("\"cpu\":{\"quota\":50000,\"period\":100000}"), "\"cpu_quota_us\":50000,"
		"\"cpu_period_us\":100000" },
	{ .text = RES("\"cpu\":{\"quota\":-1,\"period\":100000}"), "\"cpu_period_us\":100000" },
	{ .text = RES("\"pids\":{\"limit\":64}"), "\"pids\":64" },
	{ .text = RES("\"pids\":{\"limit\":-1}"), "\"pids_unlimited\":true" },
	{ .text = RES("\"blockIO\":{\"weight\":500,\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":100,"
		"\"leafWeight\":50}],"
		"\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":16,\"rate\":300}]}"), "\"io_weight\":500,"
		"\"io_weights\":"
		"[{\"major\":8,\"rate\":100,\"leaf_rate\":50}],\"io_write_ops\":[{\"major\":8,\"minor\":16,"
		"\"rate\":300}]" },
	{ .text = RES("\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4194304}]"),
		"\"hugepages\":[{\"page_size\":\"2MB\",\"bytes\":4194304}]" },
	{ .text = RES("\"network\":{\"classID\":1048577,\"priorities\":[{\"name\":\"eth0\",\"priority\":5}]}"),
		"\"net_class\":1048577,\"net_priorities\":[{\"interface\":\"eth0\",\"priority\":5}]" },
	{ .text = RES("\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3}}"),
		"\"rdma\":[{\"device\":\"mlx5_1\",\"handles\":3,\"objects\":18446744073709551615}]" },
	{ .text = PROC("\"execCPUAffinity\":{\"initial\":\"0-3\",\"final\":\"1,7\"}"),
		"\"exec_cpus_initial\":\"0-3\",\"exec_cpus_final\":\"1,7\"" },
	{ .text = RES("\"unified\":{\"memory.high\":\"1\"}"), "\"unified\":[{\"key\":\"memory.high\","
		"\"value\":\"1\"}]" },
	{ .text = RES("\"devices\":[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,"
		"\"access\":\"rw\"}]"),
		"\"devices\":[{\"type\":\"a\",\"major\":-1,\"minor\":-1,\"access\":\"rwm\"},{\"allow\":true,"
		"\"type\":\"c\","
		"\"major\":1,\"minor\":3,\"access\":\"rw\"}]" },
	/* seccomp */
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_TSYNC\","
		"\"SECCOMP_FILTER_FLAG_LOG\"]"),
		"\"seccomp_flags\":2" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/s\","
		"\"listenerMetadata\":\"m\",\"syscalls\":[{\"names\":"
		"[\"mkdir\"],\"action\":\"SCMP_ACT_NOTIFY\"}]"), "\"seccomp_listener\":\"/s\","
		"\"seccomp_metadata\":\"m\"" },
	/* the shell */
	{ .text = DOC("\"annotations\":{\"org.bivalve.backend\":\"vm\"}"), "\"backend\":\"vm\"" },
	{ .text = DOC("\"annotations\":{\"org.bivalve.backend\":\"vm\"}"), "\"backend\":\"container\"", "container" },
	{ .text = DOC("\"annotations\":{\"a.b\":\"c\"}"), "\"annotations\":[{\"key\":\"a.b\",\"value\":\"c\"}]" },
	{ .text = DOC("\"x\":1"),
		"\"vm\":{\"memory_bytes\":268435456,\"vcpus\":1,\"engine\":\"auto\",\"start\":\"auto\"}", "vm" },
	{ .text = RES("\"memory\":{\"limit\":67108864},\"cpu\":{\"quota\":150000,\"period\":100000}"),
		"\"vm\":{\"memory_bytes\":201326592,\"vcpus\":2,\"engine\":\"auto\",\"start\":\"auto\"}", "vm" },
	{ .text = DOC("\"annotations\":{\"org.bivalve.vm.memory\":\"512m\",\"org.bivalve.vm.vcpus\":\"3\","
		"\"org.bivalve.vm.engine\":\"qemu\","
		"\"org.bivalve.vm.kernel\":\"k\"}"), "\"vm\":{\"memory_bytes\":536870912,\"vcpus\":3,"
		"\"engine\":\"qemu\",\"start\":\"auto\",\"kernel\":\"k\"}",
		"vm" },
};

static void test_facts(void)
{
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		_cleanup_free_ char *json = NULL;
		struct plan plan;
		struct error err;
		int r = plan_of(facts[i].text, facts[i].backend, facts[i].systemd, &plan, &err);

		if (r == 0) {
			struct json_writer *w = json_writer_new(true);

			record_write(w, NULL, &plan_type, &plan, false);
			json = json_writer_finish(w, NULL);
			record_release(&plan_type, &plan);
		}
		ok(r == 0 && strstr(json, facts[i].expected), "%.60s…: %.70s", strlen(facts[i].text) > 90 ?
				facts[i].text + 83 : facts[i].text, facts[i].expected);
		if (r < 0 || !strstr(json, facts[i].expected))
			printf("# %s\n", r < 0 ? err.message : json);
	}
}

/* ---- refusals: the whole line after "config.json:" ---- */

struct refusal {
	const char *text, *expected;
	const char *backend;
	bool systemd;
};

static const struct refusal refusals[] = {
	{ .text = "", "1: not JSON: parse error: premature EOF" },
	{ .text = "{", "1: not JSON: parse error: premature EOF" },
	{ .text = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"roo", "1: not JSON: parse error: premature EOF" },
	{ .text = "[]", "1: expected an object, found an array" },
	{ .text = HEAD "," PROCESS "} x", "1: not JSON: parse error: trailing garbage" },
	{ .text = DOC("\"hostname\":\"a\\u0000b\""), "1: a string holds a NUL byte" },
	{ .text = DOC("\"hostname\":\"a\",\n\"hostname\":\"b\""), "2: duplicate key: hostname" },
	{ .text = "{}", "1: ociVersion: missing: it is required" },
	{ .text = "{\"ociVersion\":null}", "1: ociVersion: missing: it is required" },
	{ .text = "{\"ociVersion\":1}", "1: ociVersion: expected a string, found an integer" },
	{ .text = "{\"ociVersion\":\"2.0.0\"}", "1: ociVersion: expected a version 1.x of the specification: 2.0.0" },
	{ .text = "{\"ociVersion\":\"1.\"}", "1: ociVersion: expected a version 1.x of the specification: 1." },
	{ .text = "{\"ociVersion\":\"1.0\"," PROCESS "}", "1: root: missing: it is required" },
	{ .text = "{\"ociVersion\":\"1.0\",\"root\":{}," PROCESS "}", "1: root.path: missing: it is required" },
	{ .text = "{\"ociVersion\":\"1.0\",\"root\":{\"path\":\"\"}," PROCESS "}", "1: root.path: empty" },
	{ .text = HEAD "}", "1: process: missing: it is required" },
	{ .text = HEAD ",\"process\":{\"cwd\":\"/\"}}", "1: process.args: missing: it is required" },
	{ .text = HEAD ",\"process\":{\"args\":[\"x\"]}}", "1: process.cwd: missing: it is required" },
	{ .text = HEAD ",\"process\":{\"args\":[],\"cwd\":\"/\"}}", "1: process.args: empty: no program to run" },
	{ .text = HEAD ",\"process\":{\"args\":[\"\"],"
		"\"cwd\":\"/\"}}", "1: process.args[0]: empty: no program to run" },
	{ .text = HEAD ",\"process\":{\"args\":[\"x\",5],"
		"\"cwd\":\"/\"}}", "1: process.args[1]: expected a string, found an integer" },
	{ .text = HEAD ",\"process\":{\"args\":[\"x\"],"
		"\"cwd\":\"tmp\"}}", "1: process.cwd: not an absolute path: tmp" },
	{ .text = PROC("\"terminal\":\"yes\""), "1: process.terminal: expected true or false, found a string" },
	{ .text = PROC("\"user\":{\"uid\":-1}"), "1: process.user.uid: expected a whole number, 0 to 4294967294" },
	{ .text = PROC("\"user\":{\"uid\":1.5}"), "1: process.user.uid: expected a whole number, 0 to 4294967294" },
	{ .text = PROC("\"user\":{\"gid\":4294967296}"),
		"1: process.user.gid: 4294967296 is too large: at most 4294967294" },
	{ .text = PROC("\"user\":{\"additionalGids\":[1,\"x\"]}"),
		"1: process.user.additionalGids[1]: expected a whole number, found a string" },
	{ .text = PROC("\"capabilities\":[\"CAP_KILL\"]"),
		"1: process.capabilities: expected an object, found an array" },
	{ .text = PROC("\"capabilities\":{\"bounding\":[7]}"),
		"1: process.capabilities.bounding[0]: expected a string, found an integer" },
	{ .text = PROC("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},\n{\"type\":\"NOFILE\","
		"\"soft\":1,\"hard\":1}]"),
		"2: process.rlimits[1].type: unknown resource limit: NOFILE" },
	{ .text = PROC("\"rlimits\":[{\"type\":\"RLIMIT_CPU\","
		"\"soft\":1}]"), "1: process.rlimits[0].hard: missing: it is required" },
	{ .text = PROC("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]"),
		"1: process.rlimits[0].soft: 2 is above the hard limit 1" },
	{ .text = PROC("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},{\"type\":\"RLIMIT_CPU\","
		"\"soft\":1,\"hard\":1}]"),
		"1: process.rlimits[1].type: the same limit twice" },
	{ .text = PROC("\"oomScoreAdj\":1001"), "1: process.oomScoreAdj: expected a whole number, -1000 to 1000" },
	{ .text = PROC("\"scheduler\":{\"policy\":\"SCHED_X\"}"),
		"1: process.scheduler.policy: unknown value: SCHED_X" },
	{ .text = PROC("\"ioPriority\":{\"priority\":1}"), "1: process.ioPriority.class: missing: it is required" },
	{ .text = PROC("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_RT\",\"priority\":8}"),
		"1: process.ioPriority.priority: expected a whole number, 0 to 7" },
	{ .text = DOC("\"mounts\":{}"), "1: mounts: expected an array, found an object" },
	{ .text = DOC("\"mounts\":[\n{\"type\":\"tmpfs\"}]"), "2: mounts[0].destination: missing: it is required" },
	{ .text = DOC("\"mounts\":[{\"destination\":\"/a\"}]"),
		"1: mounts[0].type: missing: only a bind mount needs none" },
	{ .text = DOC("\"mounts\":[{\"destination\":\"/a\","
		"\"type\":\"bind\"}]"), "1: mounts[0].source: missing: a bind mount needs one" },
	{ .text = DOC("\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":\"ro\"}]"),
		"1: mounts[0].options: expected an array of strings, found a string" },
	{ .text = DOC("\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/s\","
		"\"uidMappings\":[{\"containerID\":0,\"hostID\":0,"
		"\"size\":1}]}]"), "1: mounts[0].gidMappings: missing: an idmapped mount needs both mappings" },
	{ .text = DOC("\"hooks\":{\"poststart\":[{\"path\":\"bin/x\"}]}"),
		"1: hooks.poststart[0].path: not an absolute path: bin/x" },
	{ .text = DOC("\"hooks\":{\"prestart\":[{\"args\":[]}]}"),
		"1: hooks.prestart[0].path: missing: it is required" },
	{ .text = DOC("\"hooks\":{\"createruntime\":[]}"), "1: hooks.createruntime: no such point of the life cycle" },
	{ .text = DOC("\"hooks\":{\"prestart\":[{\"path\":\"/x\","
		"\"timeout\":0}]}"), "1: hooks.prestart[0].timeout: expected 1 or more seconds" },
	{ .text = DOC("\"annotations\":{\"a\":1}"), "1: annotations.a: expected a string, found an integer" },
	{ .text = DOC("\"annotations\":{\"org.bivalve.backend\":\"jail\"}"),
		"1: annotations.org.bivalve.backend: expected container or vm: jail" },
	{ .text = DOC("\"annotations\":{\"org.bivalve.vm.memory\":\"lots\"}"),
		"1: annotations.org.bivalve.vm.memory: expected a size such as 512m, 32m to 1t: lots", "vm" },
	{ .text = DOC("\"annotations\":{\"org.bivalve.vm.kernel\":\"../k\"}"),
		"1: annotations.org.bivalve.vm.kernel: expected the name of a kernel in the store: ../k", "vm" },
	{ .text = DOC("\"vm\":{\"kernel\":{\"path\":\"/k\"}}"),
		"1: vm: not supported: use the annotations org.bivalve.backend and org.bivalve.vm.*" },
	{ .text = DOC("\"hostname\":\"h\""), "1: hostname: there is no uts namespace: it would be the host's" },
	{ .text = LINUX("\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"quantum\"}]"),
		"1: linux.namespaces[1].type: no namespace that we know: quantum" },
	{ .text = LINUX("\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\",\"path\":\"/p\"}]"),
		"1: linux.namespaces[1].type: the same namespace twice: pid" },
	{ .text = LINUX("\"namespaces\":[{\"type\":\"pid\","
		"\"path\":\"p\"}]"), "1: linux.namespaces[0].path: not an absolute path: p" },
	{ .text = LINUX("\"namespaces\":[{\"type\":\"user\"}]"),
		"1: linux.uidMappings: missing: a new user namespace needs both mappings" },
	{ .text = LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]"),
		"1: linux.uidMappings: there is no user namespace to map" },
	{ .text = LINUX("\"uidMappings\":[{\"containerID\":4294967295,\"hostID\":0,\"size\":2}]"),
		"1: linux.uidMappings[0].size: 2: goes beyond the last id" },
	{ .text = LINUX("\"timeOffsets\":{\"monotonic\":{\"secs\":1}}"),
		"1: linux.timeOffsets: there is no new time namespace" },
	{ .text = LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/d\","
		"\"major\":1}]"), "1: linux.devices[0].minor: missing: it is required" },
	{ .text = LINUX("\"devices\":[{\"type\":\"x\","
		"\"path\":\"/d\"}]"), "1: linux.devices[0].type: unknown value: x" },
	{ .text = LINUX("\"cgroupsPath\":\"/a/../../b\""), "1: linux.cgroupsPath: leads out by \"..\": /a/../../b" },
	{ .text = LINUX("\"cgroupsPath\":\"/\""), "1: linux.cgroupsPath: names no group: /" },
	{ .text = LINUX("\"cgroupsPath\":\"/a/b\""),
		"1: linux.cgroupsPath: expected slice:prefix:name: /a/b", NULL, true },
	{ .text = LINUX("\"cgroupsPath\":\"a--b.slice:p:n\""),
		"1: linux.cgroupsPath: not the name of a slice: a--b.slice", NULL, true },
	{ .text = LINUX("\"rootfsPropagation\":\"everywhere\""),
		"1: linux.rootfsPropagation: unknown value: everywhere" },
	{ .text = LINUX("\"maskedPaths\":[\"/a\"]"),
		"1: linux.maskedPaths: there is no mount namespace: it would be the host's" },
	{ .text = LINUX(ALL_NS ","
		"\"maskedPaths\":[\"proc\"]"), "1: linux.maskedPaths[0]: not an absolute path: proc" },
	{ .text = LINUX(ALL_NS ",\"sysctl\":{\"kernel.core_pattern\":\"|/x\"}"),
		"1: linux.sysctl.kernel.core_pattern: belongs to no namespace: it would change the host's" },
	{ .text = LINUX("\"sysctl\":{\"net.core.somaxconn\":\"1\"}"),
		"1: linux.sysctl.net.core.somaxconn: would change the host's: there is no network namespace" },
	{ .text = LINUX(ALL_NS ",\"sysctl\":{\"net/../kernel/core_pattern\":\"x\"}"),
		"1: linux.sysctl.net/../kernel/core_pattern: not the name of a sysctl", "vm" },
	{ .text = LINUX("\"intelRdt\":{\"closID\":\"x\"}"), "1: linux.intelRdt: not supported" },
	{ .text = LINUX("\"netDevices\":{\"eth0\":{}}"), "1: linux.netDevices: not supported" },
	{ .text = LINUX("\"personality\":{\"domain\":\"BSD\"}"), "1: linux.personality.domain: unknown value: BSD" },
	{ .text = RES("\"memory\":{\"limit\":-2}"),
		"1: linux.resources.memory.limit: expected a whole number, -1 to 9223372036854775807" },
	{ .text = RES("\"memory\":{\"limit\":\"1g\"}"),
		"1: linux.resources.memory.limit: expected a whole number, found a string" },
	{ .text = RES("\"memory\":{\"limit\":99,\"swap\":9}"),
		"1: linux.resources.memory.swap: 9 is below memory's limit 99: it counts both" },
	{ .text = RES("\"cpu\":{\"shares\":-5}"),
		"1: linux.resources.cpu.shares: expected a whole number, 0 to 18446744073709551615" },
	{ .text = RES("\"hugepageLimits\":[{\"pageSize\":\"../x\",\"limit\":1}]"),
		"1: linux.resources.hugepageLimits[0].pageSize: expected a size such as 2MB: ../x" },
	{ .text = RES("\"unified\":[{\"allow\":true}]"),
		"1: linux.resources.unified: expected an object, found an array" },
	{ .text = RES("\"unified\":{\"../memory.max\":\"1\"}"),
		"1: linux.resources.unified.../memory.max: not the name of a control group's file" },
	{ .text = RES("\"devices\":[{\"type\":\"c\"}]"),
		"1: linux.resources.devices[0].allow: missing: it is required" },
	{ .text = RES("\"devices\":[{\"allow\":true,\"access\":\"x\"}]"),
		"1: linux.resources.devices[0].access: expected letters of r, w and m: x" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_MAYBE\""),
		"1: linux.seccomp.defaultAction: unknown value: SCMP_ACT_MAYBE" },
	{ .text = SECCOMP("\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\"}]"),
		"1: linux.seccomp.defaultAction: missing: it is required" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_Z80\"]"),
		"1: linux.seccomp.architectures[0]: unknown value: SCMP_ARCH_Z80" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_X\"]"),
		"1: linux.seccomp.flags[0]: unknown value: SECCOMP_FILTER_FLAG_X" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[],"
		"\"action\":\"SCMP_ACT_ERRNO\"}]"),
		"1: linux.seccomp.syscalls[0].names: empty" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"args\":"
		"[{\"index\":6,\"value\":0,"
		"\"op\":\"SCMP_CMP_EQ\"}]}]"),
		"1: linux.seccomp.syscalls[0].args[0].index: 6 is too large: at most 5" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"args\":"
		"[{\"index\":0,\"value\":0,"
		"\"op\":\"~\"}]}]"), "1: linux.seccomp.syscalls[0].args[0].op: unknown value: ~" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_NOTIFY\"}]"),
		"1: linux.seccomp.listenerPath: missing: SCMP_ACT_NOTIFY needs a listener" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/s\""),
		"1: linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default" },
	{ .text = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\"},"
		"{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":0,"
		"\"op\":\"SCMP_CMP_EQ\"}]}]"),
		"1: linux: seccomp: read: two rules of different actions can apply to one call: give them "
		"conditions that exclude "
		"each other" },
};

static void test_refusals(void)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct refusal *c = &refusals[i];
		struct plan plan;
		struct error err;
		int r = plan_of(c->text, c->backend, c->systemd, &plan, &err);
		const char *rest = strncmp(err.message, "config.json:", 12) ? "" : err.message + 12;

		ok(r < 0 && (!strcmp(rest, c->expected) || !strcmp(err.message, c->expected)),
			"refused: %s", c->expected);
		if (r == 0)
			record_release(&plan_type, &plan);
		else if (strcmp(rest, c->expected) && strcmp(err.message, c->expected))
			printf("# %s\n", err.message);
	}
}

/* ---- size and depth ---- */

static void test_large(void)
{
	_cleanup_strbuf_ struct strbuf text = { 0 }, deep = { 0 };
	struct plan plan;
	struct error err;
	int r;

	strbuf_puts(&text, HEAD "," PROCESS ",\n\"mounts\":[");
	for (int i = 0; i < 10000; i++)
		strbuf_printf(&text, "%s{\"destination\":\"/m%d\",\"type\":\"tmpfs\","
		"\"source\":\"tmpfs\"}", i ? "," : "", i);
	strbuf_puts(&text, "]}");
	r = plan_of(text.text, NULL, false, &plan, &err);
	ok(r < 0 && !strcmp(err.message, "config.json:2: mounts: 10000 entries: at most 4096"),
		"10000 mounts are refused, naming mounts");
	strbuf_puts(&deep, HEAD "," PROCESS ",\"x\":");
	for (int i = 0; i < 100000; i++)
		strbuf_puts(&deep, "[");
	r = plan_of(deep.text, NULL, false, &plan, &err);
	ok(r < 0 && !strcmp(err.message, "config.json:1: nested deeper than 64 levels"), "100000 levels are refused");
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
	struct error err;

	if (file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, &err) < 0)
		printf("# %s\n", err.message);
}

static void test_files(void)
{
	_cleanup_free_ char *config = xasprintf("%s/config.json", dir), *root = xasprintf("%s/real", dir),
		*link = xasprintf("%s/rootfs", dir), *text = oci_spec_default(false),
		*cache = xasprintf("%s/cache", dir);
	struct oci_spec_request request = { .id = "id", .bundle = dir, .seccomp_cache = cache };
	struct plan plan = { 0 };
	struct error err = { 0 };

	ok(oci_spec_plan(&request, &plan, &err) == -ENOENT && strstr(err.message, config), "no file: named");
	write_file(config, text);
	ok(oci_spec_plan(&request, &plan, &err) < 0 && strstr(err.message, "root.path"), "no root: root.path is named");
	ok(mkdir(root, 0755) == 0 && symlink("real", link) == 0, "a root behind a link");
	ok(oci_spec_plan(&request, &plan, &err) == 0 && !strcmp(plan.root.path, root) && plan.n_mounts == 7 &&
			!strcmp(plan.hostname, "bivalve") && plan.process.no_new_privs && plan.root.read_only,
		"what `spec` writes is a plan, its root without links");
	record_release(&plan_type, &plan);
	(void)unlink(config);
	ok(mkfifo(config, 0644) == 0 && oci_spec_plan(&request, &plan, &err) == -EINVAL &&
			strstr(err.message, "not a regular file"), "a FIFO in its place does not keep us waiting");
	(void)unlink(config);
	ok(truncate(config, 0) < 0 && close(open(config, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) == 0 &&
			truncate(config, (16 << 20) + 1) == 0 && oci_spec_plan(&request, &plan, &err) == -EFBIG,
		"a file over 16 MiB is refused");
}

static void test_cache(void)
{
	_cleanup_free_ char *cache = xasprintf("%s/cache", dir);
	struct oci_spec_request request = { .id = "id", .bundle = "/b", .seccomp_cache = cache };
	static const char text[] = SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\","
		"\"syscalls\":[{\"names\":[\"mkdir\",\"of_tomorrow\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":7}]");
	_cleanup_free_ char *other = xstrdup(text);
	struct plan first = { 0 }, second = { 0 }, third = { 0 };
	struct error err;

	*strstr(other, "7}") = '8';
	ok(oci_spec_plan_text(&request, text, strlen(text), &first, &err) == 0 && first.seccomp.len > 0 &&
			oci_spec_plan_text(&request, text, strlen(text), &second, &err) == 0 &&
			first.seccomp.len == second.seccomp.len &&
			!memcmp(first.seccomp.data, second.seccomp.data, first.seccomp.len),
		"a cached filter is the compiled one; a call nobody knows is skipped");
	ok(oci_spec_plan_text(&request, other, strlen(other), &third, &err) == 0 &&
			(third.seccomp.len != first.seccomp.len ||
			memcmp(first.seccomp.data, third.seccomp.data, first.seccomp.len)),
		"another text is another filter");
	record_release(&plan_type, &first);
	record_release(&plan_type, &second);
	record_release(&plan_type, &third);
}

/* ---- parts ---- */

static void test_update(void)
{
	static const char text[] = "{\"memory\":{\"limit\":5},\"cpu\":{\"quota\":-1,\"cpus\":\"1\"},\"unified\":{}}";
	struct plan_resources res = { .memory_bytes = 9, .pids = 3, .cpu_quota_us = 7, .cpu_set = xstrdup("0"),
		.memory_nodes = xstrdup("0") };
	struct error err;

	res.unified = xcalloc(1, sizeof *res.unified);
	res.unified[0] = (struct plan_pair){ xstrdup("memory.high"), xstrdup("1") };
	res.n_unified = 1;
	ok(oci_spec_resources_text("r", text, strlen(text), &res, &err) == 0 && res.memory_bytes == 5 &&
			res.pids == 3 && res.cpu_quota_us == 0 && !strcmp(res.cpu_set, "1") &&
			!strcmp(res.memory_nodes, "0") &&
			res.n_unified == 0,
		"resources: what is named is replaced, the rest stays");
	ok(oci_spec_resources_text("r", "{\"pids\":{\"limit\":\"x\"}}", 22, &res, &err) < 0 &&
			!strcmp(err.message, "r:1: pids.limit: expected a whole number, found a string"),
		"resources: refused by name");
	record_release(&plan_resources_type, &res);
}

static void test_process(void)
{
	static const char text[] = "{\"cwd\":\"/tmp\",\"args\":[\"id\"],\"user\":{\"uid\":5,\"gid\":6}}";
	struct plan_process p = { 0 };
	struct error err;

	ok(oci_spec_process_text("p", text, strlen(text), &p, &err) == 0 && !strcmp(p.argv[0], "id") &&
			!strcmp(p.cwd, "/tmp") && !strcmp(p.user, "5:6") && !p.capabilities.bounding,
		"a process alone; without capabilities it has none");
	record_release(&plan_process_type, &p);
	ok(oci_spec_process_text("p", "{\"cwd\":\"/\"}", 11, &p, &err) < 0 &&
			!strcmp(err.message, "p:1: args: missing: it is required"),
		"a process without args is refused");
}

int main(void)
{
	struct error err;

	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	test_facts();
	test_refusals();
	test_large();
	test_files();
	test_cache();
	test_update();
	test_process();
	(void)path_remove_tree(AT_FDCWD, dir, &err); /* a left-over folder in /tmp fails no test */
	return tap_done();
}
