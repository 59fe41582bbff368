/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_SECCOMP_H
#define BIVALVE_ENFORCE_SECCOMP_H

#include "runtime/base/record.h"

/* System call filters. The only user of libseccomp is the compiler; loading needs none, so the guest has none. */

enum seccomp_action { SECCOMP_ALLOW, SECCOMP_ERRNO, SECCOMP_KILL, SECCOMP_LOG };
enum seccomp_compare { SECCOMP_NE, SECCOMP_LT, SECCOMP_LE, SECCOMP_EQ, SECCOMP_GE, SECCOMP_GT, SECCOMP_MASKED_EQ };

struct seccomp_argument {
	uint64_t index, value, value_two; /* MASKED_EQ: (arg & value) == value_two */
	int compare;                      /* enum seccomp_compare */
};
struct seccomp_rule {
	char **syscalls;
	int action;                       /* enum seccomp_action */
	uint64_t error;                   /* ERRNO: errno value; 0: EPERM */
	struct seccomp_argument *arguments;
	size_t n_arguments;
	uint64_t capability;              /* applies only when the process is granted this capability (number + 1); 0: always */
};
struct seccomp_profile {
	int default_action;               /* enum seccomp_action */
	uint64_t default_error;
	struct seccomp_rule *rules;
	size_t n_rules;
};

/*
 * Compiles the profile for processes with these capabilities (a bit per number) into struct sock_filter[]. With
 * cache_dir the program is kept there by content (the whole rules text is compared, so a collision is harmless);
 * NULL: no cache. System calls that libseccomp does not know are an error naming them only in strict mode.
 */
int seccomp_compile(const struct seccomp_profile *profile, uint64_t capabilities, const char *cache_dir,
		struct bytes *ret_program, struct error *err);
/* Installs the program on the calling thread; needs no_new_privs or CAP_SYS_ADMIN. Async-signal-safe. 0 or -errno. */
int seccomp_load(const struct bytes *program);

#endif
