/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded log of one machine. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "vm-backend/agent_session.h"
#include "vm-backend/vm_log.h"

enum { TAIL_LINES = 6 };

void vm_log_init(struct vm_log *log, int fd, int copy_fd)
{
	*log = (struct vm_log){ .fd = fd, .copy_fd = copy_fd };
	(void)fd_set_nonblock(fd, true); /* a pipe of ours: cannot fail */
}

void vm_log_release(struct vm_log *log)
{
	close_cleanup(&log->fd);
	free(log->text);
	*log = (struct vm_log){ .fd = -1, .copy_fd = -1 };
}

static void forget_oldest(struct vm_log *log)
{
	size_t drop = log->len > VM_LOG_BYTES ? log->len - VM_LOG_BYTES : 0;

	memmove(log->text, log->text + drop, log->len - drop);
	log->len -= drop;
}

void vm_log_read(struct vm_log *log)
{
	ssize_t n = 1;

	if (!log->text)
		log->text = xcalloc(1, 2 * VM_LOG_BYTES);
	while (n > 0) {
		if (log->len == 2 * VM_LOG_BYTES)
			forget_oldest(log);
		n = read(log->fd, log->text + log->len, 2 * VM_LOG_BYTES - log->len);
		if (n > 0 && log->copy_fd >= 0)
			(void)fd_write_full(log->copy_fd, log->text + log->len, (size_t)n); /* a debugging aid */
		if (n > 0)
			log->len += (size_t)n;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)close(log->fd); /* read only */
	log->fd = -1;
}

int vm_log_save(const struct vm_log *log, int dir_fd)
{
	size_t skip = log->len > VM_LOG_BYTES ? log->len - VM_LOG_BYTES : 0;

	return log->len ? file_write_atomic(dir_fd, "kernel.log", log->text + skip, log->len - skip, 0600, NULL) : 0;
}

/* Adds text to the line, its own lines joined by " | ", as far as there is room. */
static size_t join(char *ret, size_t n, size_t size, const char *start, const char *end)
{
	if (n && n + 4 < size)
		n = (size_t)(stpcpy(ret + n, " | ") - ret);
	for (; start < end && n + 4 < size; start++) {
		if (*start == '\n')
			n = (size_t)(stpcpy(ret + n, " | ") - ret);
		else if (*start != '\r' && *start != '\0')
			ret[n++] = *start;
	}
	ret[n] = '\0';
	return n;
}

/*
 * A kernel that found an error in itself prints some forty lines, and registers last. These say what and where; the
 * first of them counts, what follows may be its consequence.
 */
static const char *const telling[] = { "BUG: ", "Oops: ", "general protection fault", "kernel BUG at ", "RIP: ",
	"Code: ", "Out of memory: ", "Kernel panic" };

static bool is_telling(const char *line, const char *end)
{
	for (size_t i = 0; i < ARRAY_LEN(telling); i++)
		if (memmem(line, (size_t)(end - line), telling[i], strlen(telling[i])))
			return true;
	return false;
}

static bool join_telling(const struct vm_log *log, const char *end, char *ret, size_t size)
{
	size_t n = 0;

	for (const char *line = log->text, *next; line < end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		if (!next)
			next = end;
		if (is_telling(line, next))
			n = join(ret, n, size, line, next);
	}
	return n > 0;
}

/* Where the last TAIL_LINES lines before the end begin. */
static const char *find_tail(const struct vm_log *log, const char *end)
{
	const char *start;
	int lines = 0;

	for (start = end; start > log->text; start--)
		if (start[-1] == '\n' && ++lines == TAIL_LINES)
			break;
	return start;
}

void vm_log_tail(const struct vm_log *log, char *ret, size_t size)
{
	const char *end = log->text + log->len, *start;

	*ret = '\0';
	while (end > log->text && strchr("\r\n ", end[-1]))
		end--;
	if (end == log->text)
		return;
	if (!join_telling(log, end, ret, size)) {
		start = find_tail(log, end);
		if ((size_t)(end - start) > size / 2) /* the end says more; " | " may triple what is kept */
			start = end - size / 2;
		(void)join(ret, 0, size, start, end);
	}
	agent_text_clean(ret);
}
