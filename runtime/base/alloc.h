/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_ALLOC_H
#define BIVALVE_BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Allocation that does not fail: out of memory ends the process with one line and exit status 125. Sizes that come
 * from outside must be limited by the caller before they get here.
 */
void *xcalloc(size_t count, size_t size) __attribute__((malloc));
/* Grows to count elements of size bytes each; new elements are not cleared. Overflow-checked. */
void *xreallocarray(void *ptr, size_t count, size_t size);
char *xstrdup(const char *s);                 /* NULL stays NULL */
char *xstrndup(const char *s, size_t len);
void *xmemdup(const void *p, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* NULL-terminated vectors of owned strings. A NULL vector counts as empty. */
size_t strv_len(char *const *v);
char **strv_dup(char *const *v);
void strv_free(char **v);
void strv_push(char ***v, char *owned);       /* takes ownership; grows *v (NULL at first) */
#define strv_foreach(s, v) for (char *const *s##_at = (char *const *)(v), *s; s##_at && (s = *s##_at); s##_at++)

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}
static inline void strv_cleanup(char ***v)
{
	strv_free(*v);
}
static inline void close_cleanup(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing can be done about it, and the fd is gone either way */
}

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _cleanup_free_  _cleanup_(free_cleanup)
#define _cleanup_strv_  _cleanup_(strv_cleanup)
#define _cleanup_close_ _cleanup_(close_cleanup)

/* Hands over what a variable owns and empties it. */
#define steal_ptr(p)                     \
	({                               \
		typeof(p) *_p = &(p);    \
		typeof(p) _owned = *_p;  \
		*_p = NULL;              \
		_owned;                  \
	})
static inline int steal_fd(int *fd)
{
	int owned = *fd;

	*fd = -1;
	return owned;
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

#endif
