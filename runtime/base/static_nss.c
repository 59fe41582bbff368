/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of users and groups are looked up in the image, never on this host. Libraries that are linked into the static
 * programs could ask the host all the same, through glibc's name service, which a static program must not: here is
 * all they get. Linked into the static programs alone.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>

struct passwd *getpwnam(const char *name)
{
	(void)name;
	return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
	(void)uid;
	return NULL;
}

struct group *getgrnam(const char *name)
{
	(void)name;
	return NULL;
}

struct group *getgrgid(gid_t gid)
{
	(void)gid;
	return NULL;
}

int getpwnam_r(const char *name, struct passwd *entry, char *buf, size_t size, struct passwd **ret)
{
	(void)name, (void)entry, (void)buf, (void)size;
	*ret = NULL;
	return 0;
}

int getgrnam_r(const char *name, struct group *entry, char *buf, size_t size, struct group **ret)
{
	(void)name, (void)entry, (void)buf, (void)size;
	*ret = NULL;
	return 0;
}
