/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a group's limits: all, or none.
 *
 * Theory of operation. The kernel checks some limits against each other (memory against memory and swap, quota against
 * period and burst, a cpuset against its parent), so whether an order is right depends on what was set before. We need
 * not know: a write that is refused with EINVAL or EBUSY is tried again after the others, as long as one more succeeds
 * in each round. A change is all or nothing: what each file said is kept, and put back from the last to the first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

/* The line of a file with many that begins with the same word as value; NULL: none. The caller's. */
static char *line_of(const char *text, const char *value)
{
	size_t len = strcspn(value, " ");

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, value, len) && line[len] == ' ')
			return xstrndup(line, strcspn(line, "\n"));
	return NULL;
}

/* What undoes the writing of s: NULL if nothing can be known. */
static char *undo_of(const char *dir, const struct cgroup_setting *s, const char *file)
{
	_cleanup_free_ char *text = NULL;
	char *line;

	if (cgroup_read(dir, file, &text) < 0)
		return NULL;
	if (s->keyed) {
		line = line_of(text, s->value);
		return line ? line : xstrdup(s->reset);
	}
	if (!strcmp(file, "memory.oom_control"))
		return xstrdup(strstr(text, "oom_kill_disable 1") ? "1" : "0");
	line = !strncmp(text, "default ", 8) ? text + 8 : text;
	return *line && *line != '\n' ? xstrndup(line, strcspn(line, "\n")) : xstrdup("\n"); /* an empty cpuset */
}

static int write_file(const char *dir, const char *file, const char *value)
{
	char name[CGROUP_DIR_MAX + 160];

	if (snprintf(name, sizeof name, "%s/%s", dir, file) >= (int)sizeof name)
		return -ENAMETOOLONG;
	return file_write_once(AT_FDCWD, name, value);
}

static int write_setting(
	const char *dir, const struct cgroup_setting *s, bool fresh, char **ret_undo, const char **ret_file)
{
	char *undo = fresh ? NULL : undo_of(dir, s, s->file);
	int r = write_file(dir, s->file, s->value);

	*ret_file = s->file;
	if (r == -ENOENT && s->other_file) {
		*ret_file = s->other_file;
		free(undo);
		undo = fresh ? NULL : undo_of(dir, s, s->other_file);
		r = write_file(dir, s->other_file, s->other_value);
	}
	if (r == 0 && s->verify && cgroup_read_u64(dir, s->file) / 4096 != strtoull(s->value, NULL, 10) / 4096)
		r = s->value[0] == '-' ? 0 : -EOPNOTSUPP;
	if (r < 0)
		free(steal_ptr(undo));
	*ret_undo = undo;
	return r;
}

static int setting_error(const char *dir, const struct cgroup_setting *s, int code, struct error *err)
{
	if (code == -ENOENT && access(dir, F_OK) == 0)
		return error_set(err, EOPNOTSUPP, "resources.%s: this kernel's control groups have no file %s",
			s->field, s->file);
	return error_set(err, -code, "resources.%s: cannot set %s of %s to %s: %s%s", s->field, s->file, dir, s->value,
			strerror(-code), code == -EBUSY && s->hierarchy == CGROUP_MEMORY ?
			": more is in use" : "");
}

struct undo {
	char *dir, *text;
	const char *file;
};

/* One round. Returns how many more are written now; *ret_r: the first refusal, of item *ret_i. */
static size_t write_round(const struct cgroup_host *host, const char *path, const struct cgroup_settings *s, bool fresh,
		bool *done, struct undo *undo, size_t *n_undo, int *ret_r, size_t *ret_i)
{
	char dir[CGROUP_DIR_MAX];
	size_t written = 0;

	*ret_r = 0;
	for (size_t i = 0; i < s->n; i++) {
		const struct cgroup_setting *one = &s->items[i];
		struct undo *u = &undo[*n_undo];
		int r;

		if (done[i])
			continue;
		done[i] = one->unlimited && (fresh || !cgroup_has(host, one->hierarchy));
		if (done[i] || !cgroup_dir_in(host, path, one->hierarchy, dir))
			continue;
		r = write_setting(dir, one, fresh, &u->text, &u->file);
		if (r == 0) {
			done[i] = true;
			written++;
			u->dir = u->text ? xstrdup(dir) : NULL;
			*n_undo += u->text != NULL;
		} else if (*ret_r == 0 || (r != -EINVAL && r != -EBUSY)) {
			*ret_r = r;
			*ret_i = i;
			if (r != -EINVAL && r != -EBUSY)
				return 0; /* hopeless */
		}
	}
	return written;
}

int cgroup_settings_apply(const struct cgroup_host *host, const char *path, const struct cgroup_settings *s, bool fresh,
		struct error *err)
{
	_cleanup_free_ bool *done = xcalloc(s->n + 1, sizeof *done);
	_cleanup_free_ struct undo *undo = xcalloc(s->n + 1, sizeof *undo);
	char dir[CGROUP_DIR_MAX];
	size_t n_undo = 0, failed = 0;
	int r;

	while (write_round(host, path, s, fresh, done, undo, &n_undo, &r, &failed) > 0 && r < 0)
		;
	if (r < 0) {
		(void)cgroup_dir_in(host, path, s->items[failed].hierarchy, dir); /* was there a moment ago */
		r = setting_error(dir, &s->items[failed], r, err);
	}
	/* Backwards, and twice: what depends on a later one goes back in the second round. */
	for (int round = 0; r < 0 && round < 2; round++)
		for (size_t i = n_undo; i-- > 0;)
			(void)write_file(undo[i].dir, undo[i].file, undo[i].text); /* as far as the kernel lets us */
	for (size_t i = 0; i < n_undo; i++) {
		free(undo[i].dir);
		free(undo[i].text);
	}
	return r;
}
