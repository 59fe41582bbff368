/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as config.json, as a process and as resources: refused with one line, or a plan that can be written and
 * read back. Nothing of the host is looked at. The first byte chooses which; the rest is the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONFIG(members)                                                                                              \
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\",\"args\":[\"a\"]}," members  \
	"}"
#define LINUX(members) CONFIG("\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"ipc\"}]," members "}")

const char *const fuzz_seeds[] = {
	"0" CONFIG("\"hostname\":\"h\",\"annotations\":{\"org.bivalve.backend\":\"vm\",\"org.bivalve.vm.memory\":"
		   "\"64m\","
		   "\"org.bivalve.vm.vcpus\":\"2\"},\"linux\":{\"namespaces\":[{\"type\":\"uts\"},{\"type\":\"pid\","
		   "\"path\":\"/p\"}]}"),
	"0" CONFIG("\"mounts\":[{\"destination\":\"/"
		   "a\",\"type\":\"tmpfs\",\"options\":[\"ro\"]},{\"destination\":\"b\",\"source\":"
		   "\"s\",\"options\":[\"rbind\"],\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}],"
		   "\"gidMappings\":"
		   "[{\"containerID\":0,\"hostID\":1,\"size\":2}]}]"),
	"0" CONFIG("\"hooks\":{\"prestart\":[{\"path\":\"/"
		   "h\",\"args\":[\"h\"],\"env\":[\"A=b\"],\"timeout\":3}],\"poststop\":[]}"),
	"0" LINUX("\"uidMappings\":[],\"sysctl\":{\"kernel.sem\":\"1\"},\"maskedPaths\":[\"/"
		  "a\"],\"readonlyPaths\":[\"/b\"],"
		  "\"cgroupsPath\":\"a/"
		  "b:c\",\"rootfsPropagation\":\"rslave\",\"personality\":{\"domain\":\"LINUX32\"}"),
	"1" LINUX("\"cgroupsPath\":\"a-b.slice:p:n\",\"devices\":[{\"type\":\"c\",\"path\":\"/"
		  "d\",\"major\":1,\"minor\":3,"
		  "\"fileMode\":438,\"uid\":0,\"gid\":5}]"),
	"0" LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"architectures\":["
		  "\"SCMP_ARCH_X86\"],"
		  "\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"syscalls\":[{\"names\":[\"read\",\"socket\"],\"action\":"
		  "\"SCMP_ACT_ALLOW\","
		  "\"args\":[{\"index\":0,\"value\":18446744073709551615,\"valueTwo\":0,\"op\":\"SCMP_CMP_EQ\"}]}]}"),
	"2{\"cwd\":\"/"
	"\",\"args\":[\"sh\"],\"env\":[\"A=b\"],\"terminal\":true,\"consoleSize\":{\"height\":2,\"width\":3},"
	"\"user\":"
	"{\"uid\":1,\"gid\":2,\"umask\":18,\"additionalGids\":[5,6]},\"capabilities\":{\"bounding\":[\"CAP_KILL\"]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":2}],\"oomScoreAdj\":-5,\"scheduler\":{\"policy\":"
	"\"SCHED_OTHER\",\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]},\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\"}}",
	"3{\"memory\":{\"limit\":4,\"swap\":5,\"swappiness\":3},\"cpu\":{\"quota\":-1,\"period\":9,\"cpus\":\"0-1\"}"
	",\"pids\":"
	"{\"limit\":3},\"blockIO\":{\"weight\":10,\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":9}]},"
	"\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":1}],\"network\":{\"classID\":1,\"priorities\":[{"
	"\"name\":\"e\","
	"\"priority\":2}]},\"rdma\":{\"mlx\":{\"hcaHandles\":2}},\"unified\":{\"memory.high\":\"1\"},\"devices\":"
	"[{\"allow\":true,\"type\":\"c\",\"major\":1,\"access\":\"rw\"}]}",
	NULL,
};

/* A refusal is one line that says something. */
static void check_error(const struct error *err)
{
	if (err->code == 0 || err->message[0] == '\0' || strchr(err->message, '\n'))
		abort();
}

/* What one side writes the other reads: the plan goes to the guest as JSON, and into the instance's folder. */
static void check_round_trip(const struct record_type *type, const void *record, void *again)
{
	struct json_writer *w = json_writer_new(true);
	struct json *j = NULL;
	struct error err;
	size_t len;
	char *text;

	record_write(w, NULL, type, record, false);
	text = json_writer_finish(w, &len);
	if (json_parse(text, len, "again", &j, &err) < 0 || record_read(j, type, again, &err) < 0)
		abort();
	json_free(j);
	free(text);
}

static void try_plan(const char *text, size_t len, bool systemd)
{
	const struct oci_spec_request request = { .id = "x", .bundle = "/b", .systemd_cgroup = systemd };
	struct plan plan = { 0 }, again = { 0 };
	struct error err = { 0 };

	if (oci_spec_plan_text(&request, text, len, &plan, &err) < 0) {
		check_error(&err);
		return;
	}
	if (!plan.process.argv || !plan.process.argv[0] || !plan.process.cwd || plan.process.cwd[0] != '/' ||
			!plan.root.path || plan.root.path[0] != '/' || !plan.backend)
		abort();
	check_round_trip(&plan_type, &plan, &again);
	record_release(&plan_type, &again);
	record_release(&plan_type, &plan);
}

static void try_process(const char *text, size_t len)
{
	struct plan_process process = { 0 }, again = { 0 };
	struct error err = { 0 };

	if (oci_spec_process_text("input", text, len, &process, &err) < 0) {
		check_error(&err);
		return;
	}
	check_round_trip(&plan_process_type, &process, &again);
	record_release(&plan_process_type, &again);
	record_release(&plan_process_type, &process);
}

/* Twice into the same record: an update replaces what is there. */
static void try_resources(const char *text, size_t len)
{
	struct plan_resources resources = { 0 }, again = { 0 };
	struct error err = { 0 };
	bool good = oci_spec_resources_text("input", text, len, &resources, &err) == 0;

	if (!good)
		check_error(&err);
	else if (oci_spec_resources_text("input", text, len, &resources, &err) < 0)
		abort();
	if (good)
		check_round_trip(&plan_resources_type, &resources, &again);
	record_release(&plan_resources_type, &again);
	record_release(&plan_resources_type, &resources);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (size == 0)
		return 0;
	switch (data[0] & 3) {
	case 0: case 1:
		try_plan(text, size - 1, data[0] & 1);
		break;
	case 2:
		try_process(text, size - 1);
		break;
	default:
		try_resources(text, size - 1);
	}
	return 0;
}
