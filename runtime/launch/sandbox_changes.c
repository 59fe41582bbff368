/* SPDX-License-Identifier: Apache-2.0 */
/* From a sandbox's scratch file system to what its user wanted to know of it and to have of it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "changes/changes.h"
#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/launch/sandbox_changes.h"

enum { MAX_REPORTED = 10000 };

int sandbox_changes_wanted(const struct sandbox_changes *want, bool report)
{
	return want->keep || want->commit ? CHANGES_CONTENTS : want->list || report ? CHANGES_LIST : CHANGES_NONE;
}

static int check_empty(const char *dir, struct error *err)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	if (!d)
		return errno == ENOENT ? 0 : error_sys(err, "--keep %s", dir);
	while (readdir(d))
		n++;
	(void)closedir(d); /* only read */
	return n > 2 ? error_set(
			       err, EEXIST, "--keep %s: there is something in it: name a new or an empty folder", dir)
		     : 0;
}

int sandbox_changes_check(const struct sandbox_changes *want, struct error *err)
{
	if (want->yes && !want->commit)
		return error_set(err, EINVAL, "--yes: only together with --commit");
	if (want->commit && !want->yes && !isatty(STDIN_FILENO))
		return error_set(err, EINVAL,
			"--commit asks before it applies the changes, and standard input is no terminal: "
			"--yes applies them without asking");
	return want->keep ? check_empty(want->keep, err) : 0;
}

static char **places_of(const struct plan *plan)
{
	char **places = NULL;

	for (size_t i = 0; i < plan->n_mounts; i++)
		if (plan_is_overlay(plan, &plan->mounts[i]))
			strv_push(&places, xstrdup(plan->mounts[i].source));
	return places;
}

static int read_changes(const struct plan *plan, int fd, char *const *places, struct changes *ret, struct error *err)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, ENODATA, "changes: nothing is known of them");
	if (S_ISDIR(st.st_mode))
		return changes_walk(fd, strv_len(places), ret, err);
	return changes_read(fd, strv_len(places), plan->changes == CHANGES_CONTENTS, ret, err);
}

static void fill_report(const struct changes *c, char *const *places, struct report *report)
{
	size_t n = c->n < MAX_REPORTED ? c->n : MAX_REPORTED;

	report->changes = xcalloc(n + 1, sizeof *report->changes);
	report->n_changes = n;
	report->changes_more = c->omitted + (c->n - n);
	report->changes_known = c->complete && n == c->n;
	for (size_t i = 0; i < n; i++) {
		const struct change *e = &c->list[i];

		report->changes[i] = (struct report_change){
			.path = change_path(e, places),
			.change = xstrdup(change_kind_name(e->kind)),
			.type = xstrdup(change_type_name(e->kind == CHANGE_DELETED ? e->real_type : e->type)),
			.target = e->target ? xstrdup(e->target) : NULL,
			.size = e->size,
			.mode = e->kind == CHANGE_DELETED ? 0 : e->mode,
		};
	}
}

static bool ask(size_t n)
{
	char answer[16] = "";

	(void)fprintf(stderr, "apply these %zu changes? [y/N] ", n); /* a terminal that is gone says no */
	if (!fgets(answer, sizeof answer, stdin))
		return false;
	return answer[0] == 'y' || answer[0] == 'Y';
}

static int commit(const struct sandbox_changes *want, const struct changes *c, char *const *places, struct error *err)
{
	size_t done = 0;
	int r = changes_check(c, places, err);

	if (r < 0)
		return error_prefix(err, "--commit");
	if (c->n == 0)
		return 0;
	if (!want->yes && !ask(c->n)) {
		(void)fprintf(stderr, "nothing was applied\n");
		return 0;
	}
	r = changes_commit(c, places, &done, err);
	if (done < c->n)
		log_line(LOG_LEVEL_WARNING, "%zu of %zu changes were applied", done, c->n);
	return r < 0 ? error_prefix(err, "--commit") : 0;
}

int sandbox_changes_finish(const struct sandbox_changes *want, const struct plan *plan, int scratch_fd,
	uint64_t since_ns, struct report *report, struct error *err)
{
	_cleanup_strv_ char **places = places_of(plan);
	struct changes changes = { .source = -1 };
	struct error cut = { 0 };
	int r = read_changes(plan, scratch_fd, places, &changes, &cut);

	if (r < 0 && !changes.n)
		*err = cut;
	else
		r = changes_compare(&changes, places, since_ns, err);
	if (r == 0) {
		fill_report(&changes, places, report);
		if (want->list || want->commit)
			changes_print(&changes, places, stderr);
		if (cut.code)
			log_line(LOG_LEVEL_WARNING, "%s", cut.message);
		if (want->keep)
			r = changes_keep(&changes, places, want->keep, err);
		if (r == 0 && want->commit)
			r = commit(want, &changes, places, err);
	}
	changes_release(&changes);
	return r;
}
