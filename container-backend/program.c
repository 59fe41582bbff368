/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the program to run, and telling why it cannot be run: 127 when it is not there, 126 when it is no program. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "container-backend/program.h"
#include "runtime/base/alloc.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

enum { INTERPRETER_MAX = 256, MAX_SCRIPTS = 5 }; /* the kernel's own limits */

static const char *path_of(char *const *env)
{
	strv_foreach(s, env)
		if (!strncmp(s, "PATH=", 5))
			return s + 5;
	return default_path;
}

/* As open(2), but /proc's magic links are -ELOOP. */
static int open_plain(const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	return fd < 0 ? -errno : (int)fd;
}

/* The interpreter that a script's first line names. False: not a script. */
static bool read_interpreter(int fd, char buf[INTERPRETER_MAX])
{
	char line[INTERPRETER_MAX], *at;
	ssize_t n = pread(fd, line, sizeof line - 1, 0);

	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	at = line + 2 + strspn(line + 2, " \t");
	at[strcspn(at, " \t")] = '\0';
	(void)snprintf(buf, INTERPRETER_MAX, "%s", at); /* fits */
	return true;
}

/* 0, or why this file cannot be run (-ENOENT, -EACCES, -EISDIR, -ELOOP, …). */
static int check_program(const char *path, unsigned depth)
{
	_cleanup_close_ int fd = open_plain(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	char interpreter[INTERPRETER_MAX];
	struct stat st;

	if (fd == -EACCES || fd == -ENXIO || fd == -ENODEV) /* may be run without being readable */
		fd = open_plain(path, O_PATH);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -EACCES;
	/* Whatever else is wrong with an interpreter, execve(2) tells. */
	return read_interpreter(fd, interpreter) && (depth >= MAX_SCRIPTS ||
			check_program(interpreter, depth + 1) == -ELOOP) ? -ELOOP : 0;
}

int program_exec_error(const char *path, int code, struct error *err)
{
	/* Engines look for "permission denied" and "no such file or directory" and end with 126 and 127 then. */
	static const struct {
		int code, status;
		const char *text;
	} known[] = {
		{ ENOENT, EXIT_NO_PROGRAM, "no such file or directory" },
		{ ENOTDIR, EXIT_NO_PROGRAM, "no such file or directory" },
		{ EACCES, EXIT_NO_EXEC, "permission denied" },
		{ EISDIR, EXIT_NO_EXEC, "is a directory: permission denied" },
		{ ENOEXEC, EXIT_NO_EXEC, "exec format error" },
		{ ELOOP, EXIT_NO_EXEC, "a link that programs cannot be run through: permission denied" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].code == code) {
			(void)error_set(err, code, "exec: \"%s\": %s", path, known[i].text);
			return known[i].status;
		}
	(void)error_set(err, code, "exec: \"%s\": %s", path, strerror(code));
	return EXIT_NO_EXEC;
}

/* "folder/name"; an empty folder is the working one. False: too long. By hand: see backend_event_milestone(). */
static bool join(const char *folder, size_t len, const char *name, char *buf, size_t size)
{
	size_t name_bytes = strlen(name) + 1;

	if (len == 0) {
		folder = ".";
		len = 1;
	}
	if (len >= size || name_bytes >= size - len)
		return false;
	memcpy(buf, folder, len);
	buf[len] = '/';
	memcpy(buf + len + 1, name, name_bytes);
	return true;
}

static int find_in_path(const char *name, const char *path, char *buf, size_t size, struct error *err)
{
	int denied = 0, r;

	for (const char *at = path, *end; at; at = *end ? end + 1 : NULL) {
		end = strchrnul(at, ':');
		if (!join(at, (size_t)(end - at), name, buf, size))
			continue;
		r = check_program(buf, 0);
		if (r == 0)
			return 0;
		if (r == -EACCES || r == -ELOOP)
			denied = -r; /* told if nothing better comes, as execvp does */
	}
	if (denied)
		return program_exec_error(name, denied, err);
	r = check_program(name, 0); /* the working folder is none of $PATH's, as everywhere; but it is what was meant */
	(void)error_set(err, ENOENT, "exec: \"%s\": executable file not found in $PATH%s%s", name,
			r == 0 ? ": for the one in the working folder say ./" : "", r == 0 ? name : "");
	return EXIT_NO_PROGRAM;
}

int program_find(const char *name, char *const *env, char *buf, size_t size, struct error *err)
{
	int r;

	if (!strchr(name, '/'))
		return *name ? find_in_path(name, path_of(env), buf, size, err) : program_exec_error(name, ENOENT, err);
	if (strlen(name) >= size)
		return program_exec_error(name, ENAMETOOLONG, err);
	memcpy(buf, name, strlen(name) + 1);
	r = check_program(buf, 0);
	return r < 0 ? program_exec_error(name, -r, err) : 0;
}
