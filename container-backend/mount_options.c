/* SPDX-License-Identifier: Apache-2.0 */
/* The words of mount(8), as tables. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "container-backend/mount_options.h"
#include "runtime/base/alloc.h"

/* To add one that is a flag: a row. Words that are not here go to the file system as they are. */
static const struct {
	const char *word;
	unsigned long set, clear; /* MS_ */
	uint64_t attr_set, attr_clear;
} flags[] = {
	{ "ro", MS_RDONLY, 0, MOUNT_ATTR_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY, 0, MOUNT_ATTR_RDONLY },
	{ "nosuid", MS_NOSUID, 0, MOUNT_ATTR_NOSUID, 0 },
	{ "suid", 0, MS_NOSUID, 0, MOUNT_ATTR_NOSUID },
	{ "nodev", MS_NODEV, 0, MOUNT_ATTR_NODEV, 0 },
	{ "dev", 0, MS_NODEV, 0, MOUNT_ATTR_NODEV },
	{ "noexec", MS_NOEXEC, 0, MOUNT_ATTR_NOEXEC, 0 },
	{ "exec", 0, MS_NOEXEC, 0, MOUNT_ATTR_NOEXEC },
	{ "nosymfollow", MS_NOSYMFOLLOW, 0, MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "nodiratime", MS_NODIRATIME, 0, MOUNT_ATTR_NODIRATIME, 0 },
	{ "noatime", MS_NOATIME, 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ "relatime", MS_RELATIME, MS_NOATIME, 0, MOUNT_ATTR__ATIME },
	{ "strictatime", MS_STRICTATIME, MS_NOATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "sync", MS_SYNCHRONOUS, 0, 0, 0 },
	{ "async", 0, MS_SYNCHRONOUS, 0, 0 },
	{ "dirsync", MS_DIRSYNC, 0, 0, 0 },
	{ "defaults", 0, 0, 0, 0 },
	/* All is private in a container's mount namespace: asking for less sharing is granted, for more is not. */
	{ "private", 0, 0, 0, 0 },
	{ "rprivate", 0, 0, 0, 0 },
	{ "slave", 0, 0, 0, 0 },
	{ "rslave", 0, 0, 0, 0 },
	{ "rbind", 0, 0, 0, 0 },
};
static const char *const refused[] = { "shared", "rshared", "remount", "move", "unbindable", "runbindable" };

static bool add_flag(const char *word, struct mount_options *o)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (!strcmp(word, flags[i].word)) {
			o->flags = (o->flags & ~flags[i].clear) | flags[i].set;
			o->clear |= flags[i].attr_clear;
			o->set = (o->set & ~flags[i].attr_clear) | flags[i].attr_set;
			if (flags[i].attr_set)
				o->clear &= ~flags[i].attr_set | (flags[i].attr_clear & MOUNT_ATTR__ATIME);
			return true;
		}
	return false;
}

int mount_options_parse(char *const *words, unsigned long base, struct mount_options *ret, struct error *err)
{
	size_t len = 0;

	*ret = (struct mount_options){ .flags = base, .recursive = true };
	strv_foreach(word, words) {
		size_t n = strlen(word);

		if (!strcmp(word, "bind")) {
			ret->recursive = false;
			continue;
		}
		if (add_flag(word, ret))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(refused); i++)
			if (!strcmp(word, refused[i]))
				return error_set(err, EINVAL, "%s: not possible in a container", word);
		if (n == 0 || strchr(word, ',') || len + n + 2 > sizeof ret->data)
			return error_set(err, EINVAL, "%.64s: not an option, or too long", word);
		len += (size_t)snprintf(ret->data + len, sizeof ret->data - len, "%s%s", len ? "," : "", word);
	}
	return 0;
}
