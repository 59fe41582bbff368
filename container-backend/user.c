/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users of the image. A parser of our own: the C library's would read the host's files, or load the image's modules
 * (NSS) into a privileged process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/user.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"

enum { MAX_FILE = 4 << 20, MAX_NAME = 256 };

/* A decimal id, all of the text; (uid_t)-1 means "no change" to the kernel and is none. */
static bool parse_id(const char *text, uint32_t *ret)
{
	uint64_t value = 0;

	if (!*text || strlen(text) > 10)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	if (value >= UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* The whole file, or "" when there is none. */
static int read_database(int root_fd, const char *path, char **ret_text, struct error *err)
{
	_cleanup_close_ int fd = path_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd == -ENOENT || fd == -ENOTDIR) {
		*ret_text = xstrdup("");
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, fd < 0 ? -fd : errno, "%s in the root: %s", path, strerror(fd < 0 ? -fd : errno));
	if (S_ISCHR(st.st_mode)) { /* masked: /dev/null lies over it */
		*ret_text = xstrdup("");
		return 0;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_FILE)
		return error_set(err, EINVAL, "%s in the root: %s", path,
				S_ISREG(st.st_mode) ? "larger than 4 MiB" : "not a regular file");
	text = xcalloc(1, (size_t)st.st_size + 1);
	n = fd_read_full(fd, text, (size_t)st.st_size);
	if (n < 0)
		return error_set(err, (int)-n, "%s in the root: %s", path, strerror((int)-n));
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = '?'; /* a NUL would hide the lines after it */
	*ret_text = steal_ptr(text);
	return 0;
}

/* Cuts the next line of *rest into n fields at colons. False at the end; lines of another shape are passed over. */
static bool next_entry(char **rest, char **fields, size_t n)
{
	char *line;

	while ((line = strsep(rest, "\n"))) {
		size_t i = 0;

		while (i < n && line)
			fields[i++] = strsep(&line, ":");
		if (i == n && !line && fields[0][0])
			return true;
	}
	return false;
}

/* Fills ret from the line of a name, or of a uid (name NULL). False: there is none. */
static bool find_user(char *text, const char *name, uint32_t uid, struct user *ret, char login[MAX_NAME])
{
	char *fields[7];

	while (next_entry(&text, fields, ARRAY_LEN(fields))) {
		uint32_t entry_uid, entry_gid;

		if (!parse_id(fields[2], &entry_uid) || !parse_id(fields[3], &entry_gid) ||
				strlen(fields[0]) >= MAX_NAME)
			continue;
		if (name ? strcmp(fields[0], name) : entry_uid != uid)
			continue;
		ret->uid = entry_uid;
		ret->gid = entry_gid;
		if (fields[5][0] == '/' && strlen(fields[5]) < sizeof ret->home)
			(void)snprintf(ret->home, sizeof ret->home, "%s", fields[5]); /* fits */
		(void)snprintf(login, MAX_NAME, "%s", fields[0]); /* fits */
		return true;
	}
	return false;
}

static bool is_member(char *members, const char *login)
{
	char *name;

	while ((name = strsep(&members, ",")))
		if (!strcmp(name, login))
			return true;
	return false;
}

static int find_group(char *text, const char *name, gid_t *ret, struct error *err)
{
	char *fields[4];
	uint32_t gid;

	while (next_entry(&text, fields, ARRAY_LEN(fields)))
		if (!strcmp(fields[0], name) && parse_id(fields[2], &gid)) {
			*ret = gid;
			return 0;
		}
	return error_set(err, ENOENT, "process.user: no group %s in the root's /etc/group", name);
}

static int find_groups(char *text, const char *login, struct user *ret, struct error *err)
{
	char *fields[4];
	uint32_t gid;

	while (next_entry(&text, fields, ARRAY_LEN(fields))) {
		if (!parse_id(fields[2], &gid) || !is_member(fields[3], login))
			continue;
		if (ret->n_groups == USER_MAX_GROUPS)
			return error_set(err, E2BIG, "process.user: %s is in more than %d groups", login,
					USER_MAX_GROUPS);
		ret->groups[ret->n_groups++] = gid;
	}
	return 0;
}

static int lookup(int root_fd, const char *name, const char *group, struct user *ret, struct error *err)
{
	_cleanup_free_ char *passwd = NULL, *groups = NULL;
	char login[MAX_NAME] = "";
	uint32_t uid = 0, gid;
	bool number = parse_id(name, &uid), found;
	bool ids = number && group && parse_id(group, &gid);
	int r = read_database(root_fd, "/etc/passwd", &passwd, err);

	if (r < 0 && ids) { /* only where home is: not known then */
		ret->uid = uid;
		ret->gid = gid;
		return 0;
	}
	if (r < 0)
		return r;
	found = find_user(passwd, number ? NULL : name, uid, ret, login);
	if (!found && !number)
		return error_set(err, ENOENT, "process.user: no user %s in the root's /etc/passwd", name);
	ret->uid = number ? uid : ret->uid;
	if (group && parse_id(group, &gid)) {
		ret->gid = gid;
		return 0;
	}
	if (!group && !found)
		return 0;
	r = read_database(root_fd, "/etc/group", &groups, err);
	if (r < 0)
		return r;
	return group ? find_group(groups, group, &ret->gid, err) : find_groups(groups, login, ret, err);
}

int user_lookup(int root_fd, const char *spec, struct user *ret, struct error *err)
{
	struct user user = { .home = "/" };
	char name[MAX_NAME], *group;
	int r;

	if (!spec)
		spec = "0:0";
	if (!*spec || strlen(spec) >= sizeof name)
		return error_set(err, EINVAL, "process.user: %s", *spec ? "too long" : "empty");
	(void)snprintf(name, sizeof name, "%s", spec); /* fits */
	group = strchr(name, ':');
	if (group)
		*group++ = '\0';
	if (!name[0] || (group && (!*group || strchr(group, ':'))))
		return error_set(err, EINVAL, "process.user: expected USER[:GROUP]: %s", spec);
	r = lookup(root_fd, name, group, &user, err);
	if (r == 0)
		*ret = user;
	return r;
}

int user_add_groups(char *const *groups, struct user *user, struct error *err)
{
	strv_foreach(text, groups) {
		bool known = false;
		uint32_t gid;

		if (!parse_id(text, &gid))
			return error_set(err, EINVAL, "process.user.additionalGids: not a group id: %s", text);
		for (size_t i = 0; i < user->n_groups; i++)
			known |= user->groups[i] == gid;
		if (!known && user->n_groups == USER_MAX_GROUPS)
			return error_set(
				err, E2BIG, "process.user.additionalGids: more than %d groups", USER_MAX_GROUPS);
		if (!known)
			user->groups[user->n_groups++] = gid;
	}
	return 0;
}
