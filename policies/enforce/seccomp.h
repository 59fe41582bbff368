/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_SECCOMP_H
#define BIVALVE_ENFORCE_SECCOMP_H

#include <linux/audit.h>

#include "runtime/base/record.h"

/* This machine in struct seccomp_data. */
#if defined(__x86_64__)
#define SECCOMP_NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SECCOMP_NATIVE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define SECCOMP_NATIVE_ARCH AUDIT_ARCH_RISCV64
#else
#error "Name this architecture's AUDIT_ARCH_ here."
#endif

/* System call filters. The only user of libseccomp is the compiler; loading needs none, so the guest has none. */

/*
 * SECCOMP_DEFAULT, in rules only: what the profile's default says; without conditions it takes back earlier rules.
 * SECCOMP_KILL ends the process, SECCOMP_KILL_THREAD the thread.
 */
enum seccomp_action {
	SECCOMP_ALLOW, SECCOMP_ERRNO, SECCOMP_KILL, SECCOMP_LOG, SECCOMP_DEFAULT, SECCOMP_NOTIFY,
	SECCOMP_KILL_THREAD, SECCOMP_TRAP, SECCOMP_TRACE,
};
enum seccomp_compare { SECCOMP_NE, SECCOMP_LT, SECCOMP_LE, SECCOMP_EQ, SECCOMP_GE, SECCOMP_GT, SECCOMP_MASKED_EQ };

struct seccomp_argument {
	uint64_t index, value, value_two; /* MASKED_EQ: (arg & value) == value_two */
	int compare;                      /* enum seccomp_compare */
};
struct seccomp_rule {
	char **syscalls;
	int action;                       /* enum seccomp_action */
	uint64_t error;                   /* ERRNO: errno value, TRACE: message; 0: EPERM, unless error_zero */
	bool error_zero;                  /* 0 is meant: the call seems to succeed */
	struct seccomp_argument *arguments;
	size_t n_arguments;
	uint64_t
		capability; /* applies only when the process is granted this capability (number + 1); 0: always */
	bool without_capability;          /* the other way round: only when it is not granted */
	const char *document;             /* where the rule stands, for people: borrowed; NULL: nowhere */
	unsigned line;
};
struct seccomp_profile {
	int default_action;               /* enum seccomp_action */
	uint64_t default_error;
	bool default_error_zero;
	/* Other ABIs of this machine to filter by the same rules: "x86", "x32" as libseccomp names them; others are
	 * skipped. */
	char **architectures;
	struct seccomp_rule *rules;
	size_t n_rules;
	const char *default_document;     /* where the default stands, as for a rule */
	unsigned default_line;
};

/* What a profile says to one call: the rule that decides, NULL for the default, and its action. */
struct seccomp_decision {
	const struct seccomp_rule *rule;
	int action;                       /* enum seccomp_action, never SECCOMP_DEFAULT */
	uint64_t error;                   /* ERRNO */
};
struct seccomp_decision seccomp_decide(const struct seccomp_profile *profile, uint64_t capabilities, const char *name,
		const uint64_t args[6]);

/*
 * Compiles the profile for processes with these capabilities (a bit per number) into struct sock_filter[].
 *
 * Of several rules without arguments for one system call the last one decides. Rules with arguments that have
 * different actions must exclude each other, else -EINVAL: libseccomp would choose between them by an order of its
 * own. What it makes of conditions is run against them, and refused (-EINVAL) where it differs. Conditions on the same
 * argument within one rule are alternatives, as runc reads them. System calls that
 * libseccomp or this machine does not know are skipped: callers that want them refused ask seccomp_syscall_known().
 * Calls by an ABI that is neither the native one nor in architectures (i386, x32) end the process.
 *
 * With cache_dir (made if missing) the program is kept there by content: the whole rules text is compared, so a
 * collision is harmless. A folder or file that is not ours, or that others can write, is not used. NULL: no cache.
 * ret_program->data is the caller's to free.
 */
int seccomp_compile(const struct seccomp_profile *profile, uint64_t capabilities, const char *cache_dir,
		struct bytes *ret_program, struct error *err);
/*
 * The same for a profile that follows from a document alone: its text is the key, so that a hit needs no profile at
 * all. seccomp_cached() says whether the program is there; seccomp_compile_text() compiles, and keeps what it made.
 */
bool seccomp_cached(const char *cache_dir, const char *text, size_t len, struct bytes *ret_program);
int seccomp_compile_text(const struct seccomp_profile *profile, const char *cache_dir, const char *text, size_t len,
		struct bytes *ret_program, struct error *err);
/* Whether libseccomp knows a system call of this name on any architecture. */
bool seccomp_syscall_known(const char *name);
/*
 * Installs the program on the calling thread; needs no_new_privs or CAP_SYS_ADMIN. Async-signal-safe. An empty
 * program is no filter. 0 or -errno. (Not called seccomp_load: libseccomp exports that name.)
 */
int seccomp_install(const struct bytes *program);
/* What the program answers (SECCOMP_RET_…) to this call of the native ABI with all arguments 0. */
uint32_t seccomp_action_for(const struct bytes *program, int nr);
/*
 * With SECCOMP_FILTER_FLAG_ bits (linux/seccomp.h). With SECCOMP_FILTER_FLAG_NEW_LISTENER it returns the notify
 * descriptor (CLOEXEC), else 0. TSYNC is left out beside it: the kernel takes only one of the two.
 */
int seccomp_install_flags(const struct bytes *program, uint64_t flags);

#endif
