/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS disks, by mkfs.erofs. One layer is packed as it lies in the store; several are merged by the kernel, as an
 * overlay mount without an upper layer, which only the child that becomes mkfs.erofs sees.
 *
 * The layers are mounted by short names, links in the work folder: mount options end at one page, which 60 paths of
 * 64 digits would fill.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/disk.h"
#include "images/import.h"
#include "images/work.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"

#define DISK_NAME  "disk.erofs"
#define DISK_BLOCK 4096

/* mkfs.erofs takes the superblock's time from here, and clamps files to it: the last second of the year 9999. */
#define SUPERBLOCK_TIME "SOURCE_DATE_EPOCH=253402300799"

struct disk_job {
	const struct image *image;
	const char *dir;     /* the work folder */
	char *options;       /* of the overlay; NULL: one layer, packed as it is */
	char *layer;         /* that layer */
	char uuid[37];
	bool root;
};

/* Links 0, 1, … to the layers, lowest first, and the overlay's options that name them, uppermost first. */
static int prepare_overlay(const char *store, const struct work *w, struct disk_job *job, struct error *err)
{
	_cleanup_strbuf_ struct strbuf options = { 0 };
	size_t n = strv_len(job->image->layers);

	if (mkdirat(w->dir_fd, "merged", 0700) < 0 || mkdirat(w->dir_fd, "empty", 0700) < 0)
		return error_sys(err, "cannot make a folder in the store %s", store);
	strbuf_puts(&options, job->root ? "lowerdir=" : "userxattr,lowerdir=");
	for (size_t i = n; i-- > 0;) {
		_cleanup_free_ char *path = image_layer_path(store, job->image->layers[i]), *name = xasprintf("%zu", i);

		if (symlinkat(path, w->dir_fd, name) < 0)
			return error_sys(err, "cannot make a link in the store %s", store);
		strbuf_printf(&options, "%s:", name);
	}
	strbuf_puts(&options, "empty"); /* an overlay without an upper layer needs two; what this adds is nothing */
	job->options = steal_ptr(options.text);
	options.len = options.size = 0;
	return 0;
}

/* Whether one layer must go through an overlay all the same: whiteouts in it would be packed as devices. */
static int needs_overlay(const char *store, const struct image *image, struct error *err)
{
	struct layer_info info;
	int n = 0;

	strv_foreach(id, image->layers) {
		int r = layer_info_load(store, id, &info, err);

		if (r == -ENOENT)
			return error_set(err, ENOENT, "image %s: layer %s is not in the store %s: import it again",
				image->name, id, store);
		if (r < 0)
			return r;
		n++;
	}
	return n > 1 || info.whiteouts > 0;
}

/* A UUID from the image's digest: the same image gives the same disk. Version 8 (RFC 9562: the maker's own). */
static void make_uuid(const char *digest, char ret[static 37])
{
	const char *h = digest_hex(digest);

	(void)snprintf(ret, 37, "%.8s-%.4s-8%.3s-8%.3s-%.12s", h, h + 8, h + 13, h + 17, h + 20); /* always 36 digits */
}

static _Noreturn void child_fail(const char *step)
{
	(void)fprintf(stderr, "%s: %s\n", step, strerror(errno));
	_exit(125);
}

/* A user namespace in which we are root and nobody else exists. False: the host forbids it. */
static bool enter_user_namespace(uid_t uid, gid_t gid)
{
	_cleanup_free_ char *uids = xasprintf("0 %u 1", uid), *gids = xasprintf("0 %u 1", gid);

	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	       file_write_once(AT_FDCWD, "/proc/self/uid_map", uids) == 0 &&
	       file_write_once(AT_FDCWD, "/proc/self/setgroups", "deny") == 0 &&
	       file_write_once(AT_FDCWD, "/proc/self/gid_map", gids) == 0;
}

/* The child: becomes mkfs.erofs in the work folder. */
static _Noreturn void run_mkfs(const struct disk_job *job)
{
	const char *argv[12] = { "mkfs.erofs", "--quiet", "-U", job->uuid };
	char *env[] = { (char *)SUPERBLOCK_TIME, NULL, NULL };
	const char *path = getenv("PATH");
	bool mapped = false;
	size_t n = 4;
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* without it a killed import would only leave a busy child behind */
	(void)sigemptyset(&none);               /* cannot fail, nor can the next */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(job->dir) < 0)
		child_fail("work folder");
	if (!job->root)
		mapped = enter_user_namespace(geteuid(), getegid());
	if (job->options) {
		if (!job->root && !mapped)
			child_fail("user namespace");
		if (job->root && unshare(CLONE_NEWNS) < 0)
			child_fail("mount namespace");
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			child_fail("private mounts");
		if (mount("overlay", "merged", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			job->options) < 0)
			child_fail("overlay mount of the layers");
	}
	if (!job->root && !mapped)
		argv[n++] = "--all-root";
	argv[n++] = DISK_NAME;
	argv[n++] = job->options ? "merged" : job->layer;
	env[1] = xasprintf("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
	if (!path)
		(void)putenv(env[1]); /* only where execvpe looks */
	execvpe(argv[0], (char *const *)argv, env);
	if (errno == ENOENT)
		(void)fprintf(stderr, "mkfs.erofs is not installed (package erofs-utils)\n");
	else
		child_fail("mkfs.erofs");
	_exit(125);
}

/* The last line that the child said. */
static void last_line(int fd, char *buf, size_t size)
{
	off_t end = lseek(fd, 0, SEEK_END), start = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
	ssize_t n = pread(fd, buf, size - 1, start);
	char *line;

	buf[n > 0 ? n : 0] = '\0';
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' '))
		buf[--n] = '\0';
	line = strrchr(buf, '\n');
	if (line)
		memmove(buf, line + 1, strlen(line + 1) + 1);
	if (!*buf)
		(void)snprintf(buf, size, "no reason given");
}

static int run(const struct disk_job *job, struct error *err)
{
	_cleanup_close_ int said = memfd_create("mkfs.erofs", MFD_CLOEXEC);
	char line[512];
	pid_t pid;
	int status;

	if (said < 0)
		return error_sys(err, "memfd_create");
	(void)fflush(NULL); /* or the child would say it again */
	pid = fork();
	if (pid < 0)
		return error_sys(err, "fork");
	if (pid == 0) {
		if (dup2(said, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0)
			_exit(125);
		run_mkfs(job);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return error_sys(err, "waitpid");
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_line(said, line, sizeof line);
	if (WIFSIGNALED(status))
		return error_set(err, EIO, "mkfs.erofs: killed by signal %d", WTERMSIG(status));
	if (strstr(line, "No space left") || strstr(line, "Error 28"))
		return error_set(err, ENOSPC, "mkfs.erofs: %s", line);
	return error_set(err, EIO, "cannot make a disk of %s: %s", job->image->name, line);
}

/* Whole blocks, as a block device needs it. */
static int finish(const struct work *w, struct error *err)
{
	_cleanup_close_ int fd = openat(w->dir_fd, DISK_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	off_t size;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, "mkfs.erofs left no disk");
	size = (st.st_size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
	if ((size != st.st_size && ftruncate(fd, size) < 0) || fchmod(fd, 0444) < 0)
		return error_sys(err, "cannot complete the disk");
	return 0;
}

static int make(const char *store, const struct work *w, struct disk_job *job, struct error *err)
{
	_cleanup_free_ char *to = xasprintf("disks/%s.erofs", digest_hex(job->image->digest));
	int r = needs_overlay(store, job->image, err);

	if (r > 0)
		r = prepare_overlay(store, w, job, err);
	else if (r == 0)
		job->layer = image_layer_path(store, job->image->layers[0]);
	if (r == 0)
		r = run(job, err);
	if (r == 0)
		r = finish(w, err);
	return r < 0 ? r : work_publish(w, DISK_NAME, to, err);
}

int image_disk_make(const char *store, const struct image *image, char **ret_path, struct error *err)
{
	_cleanup_free_ char *path = image_disk_path(store, image->digest);
	struct disk_job job = { .image = image, .root = geteuid() == 0 };
	struct work w = WORK_EMPTY;
	int r = 0;

	if (access(path, F_OK) < 0) {
		r = work_begin(store, &w, err);
		if (r == 0 && access(path, F_OK) < 0) {
			job.dir = w.dir;
			make_uuid(image->digest, job.uuid);
			r = make(store, &w, &job, err);
		}
		free(job.options);
		free(job.layer);
		work_release(&w);
		if (r < 0)
			return work_explain(store, err);
		r = 1;
	}
	*ret_path = steal_ptr(path);
	return r;
}
