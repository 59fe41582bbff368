/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a policy document: refused with one line, or a policy that a plan can take. Files are out of reach. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policies/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy p = { 0 };
	struct plan plan = { 0 };
	struct error err = { 0 };
	_Bool compile;

	if (policy_parse((const char *)data, size, "fuzz", &p, &err) < 0) {
		if (err.code == 0 || err.message[0] == '\0' || strchr(err.message, '\n'))
			abort();
		return 0;
	}
	/* libseccomp takes milliseconds: one document in sixteen gets that far. */
	compile = size % 16 == 0;
	p.seccomp_off = p.seccomp_off || !compile;
	if (policy_apply(&p, NULL, &plan, &err) < 0 && err.code == 0)
		abort();
	record_release(&plan_type, &plan);
	policy_release(&p);
	return 0;
}
