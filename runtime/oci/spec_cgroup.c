/* SPDX-License-Identifier: Apache-2.0 */
/* Where the control groups are: linux.cgroupsPath, as a path or in systemd's form. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/strbuf.h"
#include "runtime/oci/spec_reader.h"

/* Without empty components, "." and leading slashes. False: there is a "..". */
static bool clean(const char *path, struct strbuf *ret)
{
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len == 2 && !memcmp(path, "..", 2))
			return false;
		if (len > 0 && !(len == 1 && path[0] == '.')) {
			if (ret->len)
				strbuf_puts(ret, "/");
			strbuf_add(ret, path, len);
		}
		path += len + (path[len] == '/');
	}
	return true;
}

/* "a-b.slice" lies in "a.slice": systemd.slice(5). False: not a slice's name. */
static bool expand_slice(const char *slice, struct strbuf *ret)
{
	static const char suffix[] = ".slice";
	size_t len = strlen(slice), stem = len - (sizeof suffix - 1);

	if (len < sizeof suffix || strcmp(slice + stem, suffix) || strchr(slice, '/'))
		return false;
	if (stem == 1 && slice[0] == '-') /* "-.slice" is the root */
		return true;
	for (size_t i = 0; i <= stem; i++) {
		if (i < stem && slice[i] != '-')
			continue;
		if (i == 0 || slice[i - 1] == '-')
			return false;
		strbuf_add(ret, slice, i);
		strbuf_puts(ret, i < stem ? ".slice/" : ".slice");
	}
	return true;
}

/* "slice:prefix:name" → the slice's folder, then "prefix-name.scope". */
static int systemd_path(const struct spec *s, const struct json *j, const char *text, struct strbuf *ret)
{
	const char *first = strchr(text, ':'), *second = first ? strchr(first + 1, ':') : NULL;
	_cleanup_free_ char *slice = NULL, *prefix = NULL;
	const char *name;

	if (!second || strchr(second + 1, ':') || strchr(text, '/'))
		return spec_refuse(s, j, "expected slice:prefix:name: %s", text);
	slice = xstrndup(text, (size_t)(first - text));
	prefix = xstrndup(first + 1, (size_t)(second - first - 1));
	name = second + 1;
	if (!*name)
		return spec_refuse(s, j, "no name after the second colon: %s", text);
	if (!expand_slice(*slice ? slice : geteuid() ? "user.slice" : "system.slice", ret))
		return spec_refuse(s, j, "not the name of a slice: %s", slice);
	strbuf_printf(ret, "%s%s%s%s", ret->len ? "/" : "", prefix, *prefix ? "-" : "", name);
	if (strlen(name) < 7 || strcmp(name + strlen(name) - 6, ".slice"))
		strbuf_puts(ret, ".scope");
	return 0;
}

int spec_cgroup_finish(const struct spec *s, const struct json *root)
{
	const struct json *j = json_get(json_get(root, "linux"), "cgroupsPath");
	_cleanup_strbuf_ struct strbuf path = { 0 };
	_cleanup_free_ char *text = steal_ptr(s->plan->cgroup), *own = NULL;
	int r;

	if (!text && !s->request->systemd_cgroup)
		return 0;
	if (s->request->systemd_cgroup) {
		own = xasprintf(":bivalve:%s", s->request->id);
		r = systemd_path(s, j ? j : root, text ? text : own, &path);
		if (r < 0)
			return r;
	} else if (!clean(text, &path)) {
		return spec_refuse(s, j, "leads out by \"..\": %s", text);
	}
	if (path.len == 0)
		return spec_refuse(s, j, "names no group: %s", text);
	if (path.len >= 4096)
		return spec_refuse(s, j, "longer than 4095 characters");
	s->plan->cgroup = xstrdup(path.text);
	return 0;
}
