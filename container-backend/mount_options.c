/* SPDX-License-Identifier: Apache-2.0 */
/* The words of mount(8), as tables. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "container-backend/mount_options.h"
#include "runtime/base/alloc.h"
#include "runtime/base/strbuf.h"

enum { MAX_DATA = 4095 }; /* mount(2) takes a page */

static const unsigned long atime_flags = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

/*
 * To add one that is a flag: a row; also its name in the list that `features` prints. Words that are not here go to the
 * file system as they are. Flags without an attribute are of a whole file system: a bind mount takes them and has no
 * use for them, as mount(8) does.
 */
static const struct {
	const char *word;
	unsigned long flag;  /* MS_ */
	uint64_t attribute;  /* MOUNT_ATTR_ */
	bool clear;          /* takes it away */
	bool atime;          /* a value of the field MOUNT_ATTR__ATIME, not a bit */
	bool recursive;      /* with an r before it: also what is mounted below */
} flags[] = {
	{ "ro", MS_RDONLY, MOUNT_ATTR_RDONLY, false, false, true },
	{ "rw", MS_RDONLY, MOUNT_ATTR_RDONLY, true, false, true },
	{ "nosuid", MS_NOSUID, MOUNT_ATTR_NOSUID, false, false, true },
	{ "suid", MS_NOSUID, MOUNT_ATTR_NOSUID, true, false, true },
	{ "nodev", MS_NODEV, MOUNT_ATTR_NODEV, false, false, true },
	{ "dev", MS_NODEV, MOUNT_ATTR_NODEV, true, false, true },
	{ "noexec", MS_NOEXEC, MOUNT_ATTR_NOEXEC, false, false, true },
	{ "exec", MS_NOEXEC, MOUNT_ATTR_NOEXEC, true, false, true },
	{ "nosymfollow", MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW, false, false, true },
	{ "symfollow", MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW, true, false, true },
	{ "nodiratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, false, false, true },
	{ "diratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, true, false, true },
	{ "noatime", MS_NOATIME, MOUNT_ATTR_NOATIME, false, true, true },
	{ "atime", MS_NOATIME, MOUNT_ATTR_NOATIME, true, true, true },
	{ "relatime", MS_RELATIME, MOUNT_ATTR_RELATIME, false, true, true },
	{ "norelatime", MS_RELATIME, MOUNT_ATTR_RELATIME, true, true, true },
	{ "strictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, false, true, true },
	{ "nostrictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, true, true, true },
	{ "sync", MS_SYNCHRONOUS, 0, false, false, false },
	{ "async", MS_SYNCHRONOUS, 0, true, false, false },
	{ "dirsync", MS_DIRSYNC, 0, false, false, false },
	{ "mand", MS_MANDLOCK, 0, false, false, false },
	{ "nomand", MS_MANDLOCK, 0, true, false, false },
	{ "iversion", MS_I_VERSION, 0, false, false, false },
	{ "noiversion", MS_I_VERSION, 0, true, false, false },
	{ "lazytime", MS_LAZYTIME, 0, false, false, false },
	{ "nolazytime", MS_LAZYTIME, 0, true, false, false },
	{ "silent", MS_SILENT, 0, false, false, false },
	{ "loud", MS_SILENT, 0, true, false, false },
	{ "defaults", 0, 0, false, false, false },
};

static const struct {
	const char *word;
	unsigned long flag;
} propagations[] = {
	{ "private", MS_PRIVATE }, { "rprivate", MS_PRIVATE | MS_REC },
	{ "slave", MS_SLAVE }, { "rslave", MS_SLAVE | MS_REC },
	{ "shared", MS_SHARED }, { "rshared", MS_SHARED | MS_REC },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
};

/* Words that are asked for by name. */
static const struct {
	const char *word;
	size_t member, also; /* offsets of bools in struct mount_options */
} switches[] = {
#define AT(x) offsetof(struct mount_options, x)
	{ "rbind", AT(bind), AT(recursive) },
	{ "remount", AT(remount), AT(remount) },
	{ "tmpcopyup", AT(copy_up), AT(copy_up) },
	{ "copy-symlink", AT(copy_symlink), AT(copy_symlink) },
	{ "src-nofollow", AT(source_nofollow), AT(source_nofollow) },
	{ "dest-nofollow", AT(target_nofollow), AT(target_nofollow) },
	{ "idmap", AT(idmap), AT(idmap) },
	{ "ridmap", AT(idmap), AT(idmap_recursive) },
#undef AT
};

unsigned long mount_propagation(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(propagations); i++)
		if (!strcmp(word, propagations[i].word))
			return propagations[i].flag;
	return 0;
}

static void add_attribute(size_t row, uint64_t *set, uint64_t *clear)
{
	uint64_t bit = flags[row].attribute;

	if (flags[row].atime) { /* the kernel wants the whole field cleared for any change; 0 in it is relatime */
		*clear |= MOUNT_ATTR__ATIME;
		*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | (flags[row].clear ? 0 : bit);
	} else if (flags[row].clear) {
		*clear |= bit;
		*set &= ~bit;
	} else {
		*set |= bit;
		*clear &= ~bit;
	}
}

static bool add_flag(const char *word, struct mount_options *o)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!strcmp(word, flags[i].word)) {
			if (flags[i].atime && !flags[i].clear)
				o->flags &= ~atime_flags;
			o->flags = flags[i].clear ? o->flags & ~flags[i].flag : o->flags | flags[i].flag;
			add_attribute(i, &o->set, &o->clear);
			return true;
		}
		if (flags[i].recursive && word[0] == 'r' && !strcmp(word + 1, flags[i].word)) {
			add_attribute(i, &o->rec_set, &o->rec_clear);
			return true;
		}
	}
	return false;
}

static bool add_switch(const char *word, struct mount_options *o)
{
	if (!strcmp(word, "bind")) { /* the last of bind and rbind counts */
		o->bind = true;
		o->recursive = false;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(switches); i++)
		if (!strcmp(word, switches[i].word)) {
			*(bool *)((char *)o + switches[i].member) = true;
			*(bool *)((char *)o + switches[i].also) = true;
			return true;
		}
	return false;
}

int mount_options_parse(char *const *words, unsigned long base, struct mount_options *ret, struct error *err)
{
	_cleanup_strbuf_ struct strbuf data = { 0 };
	struct mount_options o = { .flags = base };

	strv_foreach(word, words) {
		unsigned long propagation = mount_propagation(word);

		if (propagation) {
			if (o.n_propagation == MOUNT_PROPAGATIONS)
				return error_set(err, EINVAL, "%s: more than %d words on propagation", word,
						MOUNT_PROPAGATIONS);
			o.propagation[o.n_propagation++] = propagation;
			continue;
		}
		if (add_switch(word, &o) || add_flag(word, &o))
			continue;
		if (!*word || !strcmp(word, "move") || data.len + strlen(word) + 2 > MAX_DATA)
			return error_set(err, EINVAL, "%.64s: not an option, or too long", word);
		strbuf_printf(&data, "%s%s", data.len ? "," : "", word);
	}
	o.data = data.text ? steal_ptr(data.text) : xstrdup("");
	*ret = o;
	return 0;
}

void mount_options_release(struct mount_options *o)
{
	free(o->data);
	o->data = NULL;
}
