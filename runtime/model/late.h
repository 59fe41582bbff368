/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_LATE_H
#define BIVALVE_MODEL_LATE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/model/plan.h"

/*
 * What a workload that was set up beforehand still lacks: its arguments, its environment, the hardware address of its
 * network card, which of its calls are watched, and whether its figures are wanted. As bytes: this head, then n_argv,
 * n_env and n_mac strings, each with its NUL. Little-endian; at most LATE_MAX_BYTES in all, which a pipe takes at once.
 */
enum { LATE_MAX_BYTES = 32 * 1024 };

struct late_head {
	uint32_t bytes;          /* of the strings */
	uint32_t n_argv, n_env, n_mac; /* the last is 0 or 1 */
	uint32_t figures;        /* plan.figures */
	uint32_t zero;
	uint64_t audit;          /* plan.audit */
};

/* The bytes for a plan, owned by the caller. NULL: it is too much. */
char *late_write(const struct plan *plan, size_t *ret_len);
/* -EPROTO: that cannot be. */
int late_check(const void *bytes, size_t len, struct error *err);
/* Points the process's argv and env to what checked bytes say, which must stay. The arrays are the caller's. */
void late_apply(char *bytes, struct plan *plan);
/* The card's address in checked bytes, NULL: none. */
const char *late_mac(const char *bytes);
/* The head of checked bytes. */
struct late_head late_head(const void *bytes);
/* Reads them from a pipe; the bytes are the caller's. NULL, and err: its end came first, or nonsense. */
char *late_receive(int fd, struct error *err);

#endif
