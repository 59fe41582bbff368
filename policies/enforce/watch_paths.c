/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a notified call is about: the path or address behind its pointers.
 *
 * The caller is stopped in the call, but its threads are not, nor is whoever shares its files: what is read here may be
 * another thing a moment later. That does not matter, because nothing is decided by it; it is only written down.
 *
 * The memory is hostile: every read has a bound, texts are cut. Paths are looked up below the caller's own root
 * (RESOLVE_IN_ROOT) without following magic links, and nothing is opened but O_PATH. A path that cannot be looked up is
 * told as the caller gave it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "policies/enforce/watch.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/model/plan.h"

enum { NO = -1, PAGE = 4096, MAX_MAPS = 1 << 16 };

/* What the flags of an open ask for. */
enum open_kind { PLAIN, BY_FLAGS, BY_HOW };

/*
 * Calls with something behind a pointer. dir and path are the numbers of arguments; a second row of the same call is
 * its second path. Names that a machine lacks are left out.
 */
static const struct looked {
	int nr;
	int8_t dir, path;        /* NO: relative to the working folder */
	int8_t flags;            /* the argument with the open flags */
	int8_t address;          /* the argument with a socket address, its length follows */
	uint8_t kind;            /* enum open_kind */
	uint8_t audit;           /* the bit for which it is wanted; NO + 1 = 0: only when it is denied, or learnt */
	uint32_t access;
} looked[] = {
#define FILES   .address = NO, .audit = PLAN_AUDIT(FILES)
#define TOLD    .flags = NO, .address = NO
#ifdef SYS_open
	{ SYS_open, NO, 0, .flags = 1, .kind = BY_FLAGS, FILES },
	{ SYS_creat, NO, 0, .flags = NO, .access = WATCH_WRITE | WATCH_MAKE, FILES },
	{ SYS_mkdir, NO, 0, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_mknod, NO, 0, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_link, NO, 1, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_symlink, NO, 1, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_unlink, NO, 0, .flags = NO, .access = WATCH_REMOVE, FILES },
	{ SYS_rmdir, NO, 0, .flags = NO, .access = WATCH_REMOVE, FILES },
	{ SYS_rename, NO, 0, .flags = NO, .access = WATCH_REMOVE, FILES },
	{ SYS_rename, NO, 1, .flags = NO, .access = WATCH_MAKE | WATCH_REMOVE, FILES },
	{ SYS_chmod, NO, 0, TOLD },
	{ SYS_chown, NO, 0, TOLD },
#endif
	{ SYS_openat, 0, 1, .flags = 2, .kind = BY_FLAGS, FILES },
	{ SYS_openat2, 0, 1, .flags = 2, .kind = BY_HOW, FILES },
	{ SYS_execve, NO, 0, .flags = NO, .access = WATCH_EXECUTE, FILES },
	{ SYS_execveat, 0, 1, .flags = NO, .access = WATCH_EXECUTE, FILES },
	{ SYS_truncate, NO, 0, .flags = NO, .access = WATCH_WRITE, FILES },
	{ SYS_mkdirat, 0, 1, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_mknodat, 0, 1, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_linkat, 2, 3, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_symlinkat, 1, 2, .flags = NO, .access = WATCH_MAKE, FILES },
	{ SYS_unlinkat, 0, 1, .flags = NO, .access = WATCH_REMOVE, FILES },
#ifdef SYS_renameat
	{ SYS_renameat, 0, 1, .flags = NO, .access = WATCH_REMOVE, FILES },
	{ SYS_renameat, 2, 3, .flags = NO, .access = WATCH_MAKE | WATCH_REMOVE, FILES },
#endif
	{ SYS_renameat2, 0, 1, .flags = NO, .access = WATCH_REMOVE, FILES },
	{ SYS_renameat2, 2, 3, .flags = NO, .access = WATCH_MAKE | WATCH_REMOVE, FILES },
	{ SYS_connect, NO, NO, .flags = NO, .address = 1, .audit = PLAN_AUDIT(NETWORK) },
	{ SYS_bind, NO, NO, .flags = NO, .address = 1, .audit = PLAN_AUDIT(NETWORK) },
	{ SYS_sendto, NO, NO, .flags = NO, .address = 4, .audit = 0 },
	{ SYS_mount, NO, 1, TOLD },
	{ SYS_umount2, NO, 0, TOLD },
	{ SYS_pivot_root, NO, 0, TOLD },
	{ SYS_chroot, NO, 0, TOLD },
	{ SYS_name_to_handle_at, 0, 1, TOLD },
	{ SYS_open_tree, 0, 1, TOLD },
	{ SYS_mount_setattr, 0, 1, TOLD },
	{ SYS_fspick, 0, 1, TOLD },
	{ SYS_fchmodat, 0, 1, TOLD },
	{ SYS_fchownat, 0, 1, TOLD },
	{ SYS_setxattr, NO, 0, TOLD },
	{ SYS_removexattr, NO, 0, TOLD },
	{ SYS_swapon, NO, 0, TOLD },
	{ SYS_acct, NO, 0, TOLD },
#undef FILES
#undef TOLD
};

const int *watch_calls(uint64_t audit)
{
	static int calls[ARRAY_LEN(looked) + 1];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(looked); i++)
		if (looked[i].audit & audit && (n == 0 || calls[n - 1] != looked[i].nr))
			calls[n++] = looked[i].nr;
	calls[n] = -1;
	return calls;
}

bool watch_wanted(int nr, uint64_t audit)
{
	for (size_t i = 0; i < ARRAY_LEN(looked); i++)
		if (looked[i].nr == nr && looked[i].audit & audit)
			return true;
	return false;
}

/* At most len bytes of the caller's memory, page by page: what is mapped of it. */
static size_t peek(pid_t pid, uint64_t at, void *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		size_t in_page = PAGE - (at + have) % PAGE, want = len - have < in_page ? len - have : in_page;
		struct iovec here = { (char *)buf + have, want }, there = { (void *)(uintptr_t)(at + have), want };
		ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return have;
}

static bool peek_text(pid_t pid, uint64_t at, char *buf, size_t size)
{
	size_t have = peek(pid, at, buf, size - 1);

	buf[have] = '\0';
	return have > 0;
}

/* ---- addresses ---- */

static void write_address(const struct sockaddr_storage *from, size_t len, char *to, size_t size)
{
	const struct sockaddr_in *v4 = (const void *)from;
	const struct sockaddr_in6 *v6 = (const void *)from;
	const struct sockaddr_un *un = (const void *)from;
	char text[INET6_ADDRSTRLEN] = "";

	if (len < sizeof from->ss_family)
		return;
	if (from->ss_family == AF_INET && len >= sizeof *v4) {
		(void)inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text); /* room enough */
		(void)snprintf(to, size, "%s:%u", text, ntohs(v4->sin_port));
	} else if (from->ss_family == AF_INET6 && len >= offsetof(struct sockaddr_in6, sin6_scope_id)) {
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text); /* room enough */
		(void)snprintf(to, size, "[%s]:%u", text, ntohs(v6->sin6_port));
	} else if (from->ss_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path)) {
		int n = (int)(len - offsetof(struct sockaddr_un, sun_path));
		bool abstract = !un->sun_path[0];

		(void)snprintf(to, size, "unix:%s%.*s", abstract ? "@" : "", n - abstract, un->sun_path + abstract);
	} else {
		(void)snprintf(to, size, "family %u", from->ss_family);
	}
}

static void look_at_address(const struct seccomp_notif *call, int arg, struct watch_event *e)
{
	struct sockaddr_storage address = { 0 };
	uint64_t len = (uint32_t)call->data.args[arg + 1];

	if (call->data.args[arg] == 0 || len > sizeof address)
		return;
	len = peek((pid_t)call->pid, call->data.args[arg], &address, len);
	write_address(&address, len, e->address, sizeof e->address);
}

/* ---- paths ---- */

static void copy_cut(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

static uint32_t access_of_flags(uint64_t flags)
{
	uint32_t access = flags & O_CREAT ? WATCH_MAKE : 0;

	if ((flags & O_PATH) == O_PATH)
		return 0; /* opens nothing */
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return WATCH_MAKE;
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return access | WATCH_READ | (flags & O_TRUNC ? WATCH_WRITE : 0);
	case O_WRONLY:
		return access | WATCH_WRITE;
	default:
		return access | WATCH_READ | WATCH_WRITE;
	}
}

static uint32_t access_of(const struct seccomp_notif *call, const struct looked *l)
{
	uint64_t flags = 0;

	switch (l->kind) {
	case BY_FLAGS:
		return access_of_flags(call->data.args[l->flags]);
	case BY_HOW:
		if (peek((pid_t)call->pid, call->data.args[l->flags], &flags, sizeof flags) != sizeof flags)
			return 0;
		return access_of_flags(flags);
	default:
		return l->access;
	}
}

/* The folder that a relative path starts from, as a path of the caller's root. */
static bool find_start(const struct seccomp_notif *call, const struct looked *l, char *buf, size_t size)
{
	int fd = l->dir == NO ? AT_FDCWD : (int)call->data.args[l->dir];
	char link[64];
	ssize_t n;

	if (fd == AT_FDCWD)
		(void)snprintf(link, sizeof link, "/proc/%u/cwd", call->pid); /* fits */
	else
		(void)snprintf(link, sizeof link, "/proc/%u/fd/%d", call->pid, fd); /* fits */
	n = readlink(link, buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 && buf[0] == '/';
}

static bool own_path(int fd, char *buf, size_t size)
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd); /* fits */
	n = readlink(link, buf, size);
	if (n <= 0 || (size_t)n >= size || buf[0] != '/')
		return false;
	buf[n] = '\0';
	return true;
}

static int look_up(int root, const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root, *path == '/' && path[1] ? path + 1 : ".", &how, sizeof how);
}

/* The path without links, as the caller's root has it; of what does not exist, its folder's and its name. */
static void resolve(pid_t pid, const char *path, struct watch_event *e)
{
	_cleanup_close_ int root = -1, fd = -1;
	char text[64], folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat st;

	(void)snprintf(text, sizeof text, "/proc/%d/root", pid); /* fits */
	root = open(text, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = root < 0 ? -1 : look_up(root, path);
	if (fd >= 0 && own_path(fd, e->path, sizeof e->path)) {
		e->exists = true;
		e->is_dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
		return;
	}
	copy_cut(e->path, sizeof e->path, path); /* a path that long is only told */
	if (root < 0 || !slash || slash[1] == '\0')
		return;
	(void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path); /* no longer than path */
	close_cleanup(&fd);
	fd = look_up(root, *folder ? folder : "/");
	if (fd >= 0 && own_path(fd, folder, sizeof folder) && strlen(folder) + strlen(slash) < sizeof e->path)
		(void)snprintf(e->path, sizeof e->path, "%.*s%.*s", (int)(strcmp(folder, "/") ? strlen(folder) : 0),
				folder, (int)strlen(slash), slash); /* fits */
}

static void look_at_path(const struct seccomp_notif *call, const struct looked *l, struct watch_event *e)
{
	char given[PATH_MAX], whole[2 * PATH_MAX], start[PATH_MAX];

	if (!peek_text((pid_t)call->pid, call->data.args[l->path], given, sizeof given))
		return;
	e->access = access_of(call, l);
	if (given[0] == '/')
		(void)snprintf(whole, sizeof whole, "%s", given); /* fits */
	else if (find_start(call, l, start, sizeof start))
		(void)snprintf(whole, sizeof whole, "%s%s%s", start, *given ? "/" : "", given); /* fits */
	else
		(void)snprintf(whole, sizeof whole, "%s", given); /* fits */
	if (whole[0] == '/')
		resolve((pid_t)call->pid, whole, e);
	else
		copy_cut(e->path, sizeof e->path, whole);
	if (e->is_dir && e->access & WATCH_READ)
		e->access = (e->access & ~(uint32_t)WATCH_READ) | WATCH_LIST;
	if (e->exists) /* O_CREAT of what is there makes nothing */
		e->access &= ~(uint32_t)(l->kind != PLAIN ? WATCH_MAKE : 0);
}

/* Of a line of /proc/PID/maps the file that it maps to execute; NULL: none. */
static const char *executed_file(const char *line)
{
	const char *rights = strchr(line, ' '), *path = strchr(line, '/');

	return rights && path && rights[3] == 'x' ? path : NULL;
}

int watch_look_program(int fd, const struct seccomp_notif *call, struct watch_event ret[2])
{
	_cleanup_free_ char *maps = NULL;
	char name[64], *rest, *line;
	int n = 0;

	(void)snprintf(name, sizeof name, "/proc/%u/maps", call->pid); /* fits */
	if (file_read_at(AT_FDCWD, name, MAX_MAPS, &maps, NULL, NULL) < 0)
		return 0;
	rest = maps;
	while (n < 2 && (line = strsep(&rest, "\n"))) {
		const char *path = executed_file(line);

		if (!path || (n && !strcmp(ret[0].path, path)))
			continue;
		ret[n] = (struct watch_event){ .arch = call->data.arch, .nr = SYS_execve, .action = WATCH_ALLOWED,
			.access = WATCH_EXECUTE, .exists = true };
		copy_cut(ret[n++].path, sizeof ret[0].path, path);
	}
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) < 0)
		n = 0; /* another process may have its number by now */
	return n;
}

int watch_look(int fd, const struct seccomp_notif *call, struct watch_event ret[2])
{
	int n = 0;

	for (size_t i = 0; i < ARRAY_LEN(looked) && n < 2; i++) {
		const struct looked *l = &looked[i];

		if (l->nr != call->data.nr)
			continue;
		if (n == 1)
			ret[1] = (struct watch_event){ .arch = ret[0].arch, .nr = ret[0].nr, .action = ret[0].action,
				.error = ret[0].error, .is_main = ret[0].is_main };
		if (l->path != NO)
			look_at_path(call, l, &ret[n]);
		if (l->address != NO)
			look_at_address(call, l->address, &ret[n]);
		n++;
	}
	/* The caller may have died meanwhile and its number be another's: then nothing of this was its. */
	if (n > 0 && ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) < 0)
		for (int i = 0; i < n; i++)
			ret[i].path[0] = ret[i].address[0] = '\0';
	return n > 0 ? n : 1;
}
