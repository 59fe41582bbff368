/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for names that come out of an archive; pure functions, so that they can be tested alone. */
#include <string.h>

#include "images/entry_path.h"

#define WHITEOUT_PREFIX ".wh."
#define META_PREFIX     ".wh..wh."
#define OPAQUE_NAME     ".wh..wh..opq"

const char *entry_path_clean(const char *raw, char ret_path[static ENTRY_PATH_MAX])
{
	size_t used = 0, depth = 0;

	for (const char *at = raw; *at;) {
		size_t len = strcspn(at, "/");

		if (len == 2 && at[0] == '.' && at[1] == '.')
			return "leaves the root by \"..\"";
		if (len > NAME_MAX)
			return "has a component of more than 255 bytes";
		if (len > 0 && !(len == 1 && *at == '.')) {
			if (used + 1 + len >= ENTRY_PATH_MAX)
				return "is longer than 4095 bytes";
			if (++depth > ENTRY_DEPTH_MAX)
				return "is more than 256 folders deep";
			if (used)
				ret_path[used++] = '/';
			memcpy(ret_path + used, at, len);
			used += len;
		}
		at += len;
		at += strspn(at, "/");
	}
	ret_path[used] = '\0';
	return NULL;
}

const char *entry_path_show(const char *name, char *buf, size_t size)
{
	size_t i;

	for (i = 0; name[i] && i + 1 < size; i++)
		buf[i] = (unsigned char)name[i] < ' ' || name[i] == 0x7f ? '?' : name[i];
	buf[i] = '\0';
	if (name[i] && size > 4)
		strcpy(buf + size - 4, "...");
	return buf;
}

enum entry_whiteout entry_whiteout_kind(const char *base, const char **ret_target)
{
	const char *target = base + strlen(WHITEOUT_PREFIX);

	if (strncmp(base, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) != 0)
		return ENTRY_PLAIN;
	if (strcmp(base, OPAQUE_NAME) == 0)
		return ENTRY_OPAQUE;
	if (strncmp(base, META_PREFIX, strlen(META_PREFIX)) == 0)
		return ENTRY_IGNORED;
	if (*target == '\0' || strcmp(target, ".") == 0 || strcmp(target, "..") == 0)
		return ENTRY_BAD;
	*ret_target = target;
	return ENTRY_WHITEOUT;
}
