/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_USER_H
#define BIVALVE_CONTAINER_USER_H

#include <sys/types.h>

#include "runtime/base/error.h"

enum { USER_MAX_GROUPS = 256, USER_MAX_HOME = 1024 };

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_MAX_GROUPS]; /* supplementary */
	size_t n_groups;
	char home[USER_MAX_HOME];      /* "/" when /etc/passwd does not say */
};

/*
 * Who spec ("name|uid[:group|gid]", NULL: 0:0) is, by /etc/passwd and /etc/group beneath root_fd. A name that is not
 * there is -ENOENT; a uid that is not there is taken as it is, with group 0. A user named without a group has the
 * supplementary groups that /etc/group gives it. The files are hostile: only regular ones of at most 4 MiB are read,
 * and malformed lines are passed over.
 */
int user_lookup(int root_fd, const char *spec, struct user *ret, struct error *err);

/* More supplementary groups, decimal; one that is there already is not doubled. */
int user_add_groups(char *const *groups, struct user *user, struct error *err);

#endif
