/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_POLICIES_EXPLAIN_H
#define BIVALVE_POLICIES_EXPLAIN_H

#include "policies/policy.h"

/* What a policy says to a question, and which rules say so. */
enum explain_answer { EXPLAIN_YES, EXPLAIN_NO, EXPLAIN_DEPENDS };

struct explain_reason {
	char *what;              /* "network: none" */
	char *rule;              /* "FILE:LINE", "preset strict:14"; NULL: no document says so */
};
struct explanation {
	int answer;              /* enum explain_answer: the strictest reason's */
	struct explain_reason *reasons;
	size_t n_reasons;
};

/* May it call this, with these arguments? n_args of 0: with any. -EINVAL: no such call. */
int explain_call(const struct policy *p, const char *syscall, const uint64_t *args, size_t n_args,
		struct explanation *ret, struct error *err);
enum explain_access { EXPLAIN_READ, EXPLAIN_WRITE, EXPLAIN_EXECUTE, EXPLAIN_LIST };
/* May it do this to a path of its root? What the file system's own rights say is not asked. */
int explain_path(const struct policy *p, enum explain_access access, const char *path, struct explanation *ret,
		struct error *err);
/* May it connect to "host:port"? */
int explain_reach(const struct policy *p, const char *address, struct explanation *ret, struct error *err);
void explanation_release(struct explanation *e);

#endif
