/* SPDX-License-Identifier: Apache-2.0 */
/* What is found in uppers, which are hostile; what a guest tells of them, which is too; and what becomes of real
 * files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "changes/changes.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"

static char base[] = "/tmp/test_changes.XXXXXX";
static char *real_place[2];
static int scratch;

static char *at(const char *path)
{
	return xasprintf("%s/%s", base, path);
}

static void put(const char *path, const char *text)
{
	_cleanup_free_ char *full = at(path);
	_cleanup_close_ int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || fd_write_full(fd, text, strlen(text)) < 0)
		abort();
}

static void folder(const char *path)
{
	_cleanup_free_ char *full = at(path);

	if (path_mkdirs(full, 0755, NULL) < 0)
		abort();
}

static void link_to(const char *target, const char *path)
{
	_cleanup_free_ char *full = at(path);

	if (symlink(target, full) < 0)
		abort();
}

static void whiteout(const char *path)
{
	_cleanup_free_ char *full = at(path);

	if (mknod(full, S_IFCHR, makedev(0, 0)) < 0)
		abort();
}

static bool holds(const char *path, const char *text)
{
	_cleanup_free_ char *full = at(path), *now = NULL;

	return file_read_at(AT_FDCWD, full, 4096, &now, NULL, NULL) >= 0 && !strcmp(now, text);
}

static bool is_there(const char *path)
{
	_cleanup_free_ char *full = at(path);
	struct stat st;

	return lstat(full, &st) == 0;
}

static const struct change *find(const struct changes *c, const char *path)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->list[i].path, path))
			return &c->list[i];
	return NULL;
}

static bool is(const struct changes *c, const char *path, enum change_kind kind)
{
	const struct change *e = find(c, path);

	return e ? e->kind == kind : kind == CHANGE_NONE;
}

/* A real folder, and an upper over it with one of each. */
static void prepare(void)
{
	folder("real/d/sub");
	folder("real/gone");
	folder("outside");
	folder("scratch/o0/upper/d");
	folder("scratch/o0/upper/made");
	put("real/changed", "old");
	put("real/removed", "x");
	put("real/gone/file", "x");
	put("real/d/same", "same");
	put("outside/canary", "safe");
	put("scratch/o0/upper/changed", "new");
	put("scratch/o0/upper/made/file", "made");
	put("scratch/o0/upper/d/new", "new");
	whiteout("scratch/o0/upper/removed");
	whiteout("scratch/o0/upper/gone");
	link_to("../outside/canary", "scratch/o0/upper/link");
	_cleanup_free_ char *set_id = at("scratch/o0/upper/made/setuid"), *fifo = at("scratch/o0/upper/fifo");

	put("scratch/o0/upper/made/setuid", "");
	if (chmod(set_id, 04755) < 0 || mkfifo(fifo, 0666) < 0)
		abort();
}

static void test_compare(const struct changes *c)
{
	ok(is(c, "changed", CHANGE_MODIFIED) && is(c, "removed", CHANGE_DELETED) && is(c, "gone", CHANGE_DELETED),
		"what was there is modified or deleted");
	ok(is(c, "made", CHANGE_CREATED) && is(c, "made/file", CHANGE_CREATED) && is(c, "link", CHANGE_CREATED),
		"what was not is created");
	ok(is(c, "d", CHANGE_NONE) && is(c, "d/new", CHANGE_CREATED) && is(c, "d/same", CHANGE_NONE) &&
			is(c, "", CHANGE_NONE),
		"a folder on the way is no change");
	ok(find(c, "gone") && find(c, "gone")->real_type == CHANGE_FOLDER, "what is deleted keeps its type");
}

/* Through a file, as a guest's stream comes. */
static void test_stream(void)
{
	_cleanup_free_ char *path = at("stream");
	_cleanup_close_ int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), copy = -1;
	struct changes walked, read_back;
	struct error err = { 0 };
	struct stat st;
	char text[8] = "";

	ok(changes_walk(scratch, 1, &walked, &err) == 0 && walked.complete, "an upper is walked");
	ok(changes_write(&walked, true, file) == 0 && changes_read(file, 1, true, &read_back, &err) == 0 &&
			read_back.complete && read_back.n == walked.n, "and comes through a stream whole");
	copy = open(base, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	ok(copy >= 0 && changes_copy(&read_back, find(&read_back, "changed"), copy, &err) == 0 &&
			pread(copy, text, sizeof text, 0) == 3 && !memcmp(text, "new", 3), "with what its files hold");
	changes_release(&read_back);
	ok(fstat(file, &st) == 0 && ftruncate(file, st.st_size - 1) == 0 &&
			changes_read(file, 1, true, &read_back, &err) == -EPROTO && !read_back.complete,
		"one that is cut off is told");
	changes_release(&read_back);
	changes_release(&walked);
}

struct raw {
	uint16_t kind;
	uint8_t type, opaque;
	uint32_t nth;
	uint16_t path_len, target_len;
	uint32_t mode;
	uint64_t size, mtime_ns;
};
enum { ENTRY = 0x6368, END = 0x656e };

static const struct {
	const char *what, *path, *target;
	uint8_t type;
	uint32_t nth, mode;
	uint64_t size;
} hostile[] = {
	{ "a path above the folder", "../x", NULL, CHANGE_FILE, 0, 0644, 0 },
	{ "a path that goes up in its midst", "a/../../x", NULL, CHANGE_FILE, 0, 0644, 0 },
	{ "an absolute path", "/etc/passwd", NULL, CHANGE_FILE, 0, 0644, 0 },
	{ "an empty part", "a//b", NULL, CHANGE_FILE, 0, 0644, 0 },
	{ "a dot", ".", NULL, CHANGE_FILE, 0, 0644, 0 },
	{ "a folder that was not told before", "a/b", NULL, CHANGE_FILE, 0, 0644, 0 },
	{ "an overlay that is not there", "x", NULL, CHANGE_FILE, 7, 0644, 0 },
	{ "an unknown type", "x", NULL, CHANGE_TYPES, 0, 0644, 0 },
	{ "a mode that is none", "x", NULL, CHANGE_FILE, 0, 010644, 0 },
	{ "a size that is none", "x", NULL, CHANGE_FILE, 0, 0644, UINT64_MAX },
	{ "a link without a target", "x", NULL, CHANGE_LINK, 0, 0777, 0 },
	{ "a target without a link", "x", "y", CHANGE_FILE, 0, 0644, 0 },
	{ "the folder itself as a file", "", NULL, CHANGE_FILE, 0, 0644, 0 },
};

static void write_raw(int fd, const struct raw *head, const char *path, const char *target)
{
	if (fd_write_full(fd, head, sizeof *head) < 0 || fd_write_full(fd, path, head->path_len) < 0 ||
			fd_write_full(fd, target ? target : "", head->target_len) < 0)
		abort();
}

static void test_hostile(void)
{
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		_cleanup_close_ int file = open(base, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		const struct raw first = { .kind = ENTRY, .type = CHANGE_FOLDER, .mode = 0755 }, end = { .kind = END,
			.opaque = 1 };
		const struct raw head = { .kind = ENTRY, .type = hostile[i].type, .nth = hostile[i].nth,
			.path_len = (uint16_t)strlen(hostile[i].path), .mode = hostile[i].mode, .size = hostile[i].size,
			.target_len = (uint16_t)(hostile[i].target ? strlen(hostile[i].target) : 0) };
		struct changes c;
		struct error err = { 0 };

		write_raw(file, &first, "", NULL);
		write_raw(file, &head, hostile[i].path, hostile[i].target);
		write_raw(file, &end, "", NULL);
		ok(changes_read(file, 1, false, &c, &err) == -EPROTO && !c.complete, "refused: %s", hostile[i].what);
		changes_release(&c);
	}
}

/* A link between the look and the deed. */
static void test_link_in_the_way(struct changes *c)
{
	_cleanup_free_ char *d = at("real/d"), *aside = at("real/aside"), *outside = at("outside");
	struct error err = { 0 };
	size_t done;

	if (rename(d, aside) < 0 || symlink(outside, d) < 0)
		abort();
	ok(changes_commit(c, real_place, &done, &err) < 0, "a folder that became a link is not followed: %s",
		err.message);
	ok(holds("outside/canary", "safe") && !is_there("outside/new"), "and what it points to is untouched");
	if (unlink(d) < 0 || rename(aside, d) < 0)
		abort();
}

static void test_commit(void)
{
	_cleanup_free_ char *set_id = at("real/made/setuid");
	struct changes c;
	struct error err = { 0 };
	struct stat st;
	size_t done;

	if (changes_walk(scratch, 1, &c, &err) < 0 || changes_compare(&c, real_place, clock_wall_ns(), &err) < 0)
		abort();
	test_compare(&c);
	ok(changes_commit(&c, real_place, &done, &err) == 0, "the changes are applied: %s", err.message);
	ok(holds("real/changed", "new") && holds("real/made/file", "made") && holds("real/d/new", "new") &&
			!is_there("real/removed") && !is_there("real/gone") && holds("real/d/same", "same"),
		"all of them");
	ok(stat(set_id, &st) == 0 && (st.st_mode & 07777) == 0755, "no set-id bit comes along");
	ok(!is_there("real/fifo"), "and no FIFO");
	ok(is_there("real/link") && holds("outside/canary", "safe"), "a link is made and not followed");
	changes_release(&c);
}

static void test_conflict(void)
{
	struct changes c;
	struct error err = { 0 };
	size_t done;

	put("real/changed", "by somebody else");
	if (changes_walk(scratch, 1, &c, &err) < 0 || changes_compare(&c, real_place, 1, &err) < 0)
		abort();
	ok(changes_commit(&c, real_place, &done, &err) == -EBUSY && done == 0 &&
			holds("real/changed", "by somebody else"),
		"what was changed meanwhile is a conflict: %s", err.message);
	changes_release(&c);
}

int main(void)
{
	_cleanup_free_ char *place = NULL, *path = NULL;
	struct changes c;
	struct error err = { 0 };

	if (!mkdtemp(base))
		abort();
	prepare();
	place = at("real");
	path = at("scratch");
	real_place[0] = place;
	scratch = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_stream();
	test_hostile();
	if (changes_walk(scratch, 1, &c, &err) < 0 || changes_compare(&c, real_place, clock_wall_ns(), &err) < 0)
		abort();
	/* The folders' own changes would be applied first: what is left is the one below the link. */
	for (size_t i = 0; i < c.n; i++)
		if (strncmp(c.list[i].path, "d/", 2))
			c.list[i].kind = CHANGE_CREATED, c.list[i].type = CHANGE_FIFO;
	test_link_in_the_way(&c);
	changes_release(&c);
	test_commit();
	test_conflict();
	(void)close(scratch);
	(void)path_remove_tree(AT_FDCWD, base, NULL);
	return tap_done();
}
