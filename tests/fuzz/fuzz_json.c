/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, read as JSON and then as a plan: what PID 1 in the guest does with what the channel brings. */
#include <stdint.h>
#include <stdlib.h>

#include "runtime/base/json.h"
#include "runtime/model/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_seeds[] = {
	"{\"id\":\"x\",\"process\":{\"argv\":[\"a\",\"b\"],\"rlimits\":[{\"type\":\"nofile\",\"soft\":1,\"hard\":2}]},"
	"\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"ro\"]}],\"namespaces\":[\"pid\"],"
	"\"seccomp\":\"AAAA\",\"vm\":{\"engine\":\"kvm\",\"memory_bytes\":18446744073709551615}}",
	"[1,2.5e3,-7,\"\\u00e9\",null,true,{}]",
	NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json *j = NULL;
	struct plan plan = { 0 };
	struct error err;

	if (json_parse((const char *)data, size, "input", &j, &err) < 0)
		return 0;
	if (record_read(j, &plan_type, &plan, &err) == 0) {
		struct json_writer *w = json_writer_new(true);

		record_write(w, NULL, &plan_type, &plan, true);
		free(json_writer_finish(w, NULL));
		record_release(&plan_type, &plan);
	}
	json_free(j);
	return 0;
}
