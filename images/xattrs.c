/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes of files in layers. */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "images/xattrs.h"
#include "runtime/base/alloc.h"

#define NAME_BYTES_MAX  255         /* XATTR_NAME_MAX */
#define VALUE_BYTES_MAX (64 * 1024) /* XATTR_SIZE_MAX */
#define COUNT_MAX       1000

static bool starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool xattr_allowed(const char *name)
{
	if (starts(name, "user."))
		return !starts(name, "user.overlay.");
	if (starts(name, "trusted."))
		return !starts(name, "trusted.overlay.");
	return !strcmp(name, "security.capability") || !strcmp(name, "system.posix_acl_access") ||
	       !strcmp(name, "system.posix_acl_default");
}

int xattrs_add(struct xattrs *x, const char *name, const void *value, size_t len, struct error *err)
{
	size_t i = 0;

	if (strlen(name) > NAME_BYTES_MAX || len > VALUE_BYTES_MAX)
		return error_set(err, E2BIG, "an extended attribute is larger than Linux allows");
	while (i < x->n && strcmp(x->items[i].name, name) != 0)
		i++;
	if (i == COUNT_MAX)
		return error_set(err, E2BIG, "more than %d extended attributes", COUNT_MAX);
	if (i == x->n) {
		x->items = xreallocarray(x->items, x->n + 1, sizeof *x->items);
		x->items[x->n++] = (struct xattr){ .name = xstrdup(name) };
	}
	free(x->items[i].value);
	x->items[i].value = xmemdup(value, len);
	x->items[i].len = len;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

/* The list of names, each with its NUL. Returns its length or -errno. */
static ssize_t list_names(const char *path, char **ret)
{
	for (;;) {
		ssize_t size = llistxattr(path, NULL, 0), len;
		char *names;

		if (size <= 0)
			return size < 0 && errno != ENOTSUP ? -errno : 0;
		names = xcalloc((size_t)size, 1);
		len = llistxattr(path, names, (size_t)size);
		if (len >= 0) {
			*ret = names;
			return len;
		}
		free(names);
		if (errno != ERANGE) /* else it grew in between */
			return -errno;
	}
}

int xattrs_read(const char *path, struct xattrs *x, struct error *err)
{
	_cleanup_free_ char *names = NULL, *value = NULL;
	ssize_t len = list_names(path, &names);
	int r = 0;

	if (len < 0) {
		errno = (int)-len;
		return error_sys(err, "cannot list its extended attributes");
	}
	for (const char *name = names; len > 0 && r == 0 && name < names + len; name += strlen(name) + 1) {
		ssize_t n;

		if (!xattr_allowed(name))
			continue;
		if (!value)
			value = xcalloc(VALUE_BYTES_MAX, 1);
		n = lgetxattr(path, name, value, VALUE_BYTES_MAX);
		if (n < 0 && errno != ENODATA)
			return error_sys(err, "cannot read its extended attribute %s", name);
		if (n >= 0)
			r = xattrs_add(x, name, value, (size_t)n, err);
	}
	if (x->n)
		qsort(x->items, x->n, sizeof *x->items, by_name);
	return r;
}

int xattrs_apply(const struct xattrs *x, int fd, const char *path, uint64_t *skipped, struct error *err)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct xattr *a = &x->items[i];
		int r = fd >= 0 ? fsetxattr(fd, a->name, a->value, a->len, 0) :
				  lsetxattr(path, a->name, a->value, a->len, 0);

		if (r == 0)
			continue;
		if (errno == ENOTSUP || errno == EPERM || errno == EACCES || errno == EINVAL)
			(*skipped)++;
		else if (errno == ENOSPC) /* ext4's word for attributes that do not fit into their block */
			return error_set(err, E2BIG, "extended attribute %s: no room for it", a->name);
		else
			return error_sys(err, "cannot set the extended attribute %s", a->name);
	}
	return 0;
}

void xattrs_release(struct xattrs *x)
{
	for (size_t i = 0; i < x->n; i++) {
		free(x->items[i].name);
		free(x->items[i].value);
	}
	free(x->items);
	*x = (struct xattrs){ 0 };
}
