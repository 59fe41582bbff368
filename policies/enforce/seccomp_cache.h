/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_SECCOMP_CACHE_H
#define BIVALVE_ENFORCE_SECCOMP_CACHE_H

#include "runtime/base/record.h"
#include "runtime/base/strbuf.h"

/*
 * Compiled filters by content. text is everything that decides the program, versions included; it is stored with the
 * program and compared in full. Neither function reports an error: a cache that cannot be used is no cache.
 */
bool seccomp_cache_get(const char *dir, const struct strbuf *text, struct bytes *ret_program);
void seccomp_cache_put(const char *dir, const struct strbuf *text, const struct bytes *program);

#endif
