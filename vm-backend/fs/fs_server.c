/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE server's gate: what a guest sends is judged here before libfuse sees it.
 *
 * Theory of operation. libfuse's low-level interface takes its requests from the host's kernel and therefore believes
 * them: it looks for names without knowing where the request ends and takes sizes as they come. Ours come from a
 * guest. So each request is copied out of the guest's memory once, and the copy is held against one table: the opcode
 * is one we serve, the fixed part is all there, each name ends inside the request, is one plain component and not "."
 * or "..", data has the length that it says, and nothing follows. What does not fit is answered EINVAL, what is not
 * served ENOSYS; libfuse only ever gets what its parser takes for granted.
 *
 *      guest RAM --copy--> request --check_request--> libfuse --> fs_*.c --answer()--> guest RAM
 *
 * The data of reads and writes is not copied: it moves between the file and the guest's pages (preadv, pwritev). The
 * guest may change it meanwhile; it then has what it wrote. No decision is made on it.
 *
 * There is one request at a time, answered before the next: nothing can be interrupted, and FUSE_INTERRUPT is ignored.
 *
 * Not defended against: a guest that keeps the thread busy; it is its own files that wait.
 */
#include <errno.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/fs/fs_private.h"
#include "vm-backend/fs/fs_server.h"

enum { HEADER = sizeof(struct fuse_in_header), ANSWER_HEADER = sizeof(struct fuse_out_header), MINOR_MIN = 31 };
enum names { NO_NAME, ENTRY, TWO_ENTRIES, TEXT, ENTRY_AND_TEXT };
enum tail { NOTHING, FILE_DATA, VALUE, FORGETS, ANYTHING };

/* The requests that are served, in the order of their numbers. A row more needs an operation in one of fs_*.c. */
static const struct rule {
	bool known;
	bool silent;            /* has no answer */
	uint16_t fixed;         /* bytes between header and names */
	uint8_t names, tail;
} rules[] = {
	[FUSE_LOOKUP] = { true, .names = ENTRY },
	[FUSE_FORGET] = { true, true, sizeof(struct fuse_forget_in) },
	[FUSE_GETATTR] = { true, false, sizeof(struct fuse_getattr_in) },
	[FUSE_SETATTR] = { true, false, sizeof(struct fuse_setattr_in) },
	[FUSE_READLINK] = { true },
	[FUSE_SYMLINK] = { true, .names = ENTRY_AND_TEXT },
	[FUSE_MKNOD] = { true, false, sizeof(struct fuse_mknod_in), ENTRY },
	[FUSE_MKDIR] = { true, false, sizeof(struct fuse_mkdir_in), ENTRY },
	[FUSE_UNLINK] = { true, .names = ENTRY },
	[FUSE_RMDIR] = { true, .names = ENTRY },
	[FUSE_RENAME] = { true, false, sizeof(struct fuse_rename_in), TWO_ENTRIES },
	[FUSE_LINK] = { true, false, sizeof(struct fuse_link_in), ENTRY },
	[FUSE_OPEN] = { true, false, sizeof(struct fuse_open_in) },
	[FUSE_READ] = { true, false, sizeof(struct fuse_read_in) },
	[FUSE_WRITE] = { true, false, sizeof(struct fuse_write_in), NO_NAME, FILE_DATA },
	[FUSE_STATFS] = { true },
	[FUSE_RELEASE] = { true, false, sizeof(struct fuse_release_in) },
	[FUSE_FSYNC] = { true, false, sizeof(struct fuse_fsync_in) },
	[FUSE_SETXATTR] = { true, false, FUSE_COMPAT_SETXATTR_IN_SIZE, TEXT, VALUE },
	[FUSE_GETXATTR] = { true, false, sizeof(struct fuse_getxattr_in), TEXT },
	[FUSE_LISTXATTR] = { true, false, sizeof(struct fuse_getxattr_in) },
	[FUSE_REMOVEXATTR] = { true, .names = TEXT },
	[FUSE_FLUSH] = { true, false, sizeof(struct fuse_flush_in) },
	[FUSE_INIT] = { true, false, offsetof(struct fuse_init_in, flags2), NO_NAME, ANYTHING },
	[FUSE_OPENDIR] = { true, false, sizeof(struct fuse_open_in) },
	[FUSE_READDIR] = { true, false, sizeof(struct fuse_read_in) },
	[FUSE_RELEASEDIR] = { true, false, sizeof(struct fuse_release_in) },
	[FUSE_FSYNCDIR] = { true, false, sizeof(struct fuse_fsync_in) },
	[FUSE_CREATE] = { true, false, sizeof(struct fuse_create_in), ENTRY },
	[FUSE_INTERRUPT] = { true, true, sizeof(struct fuse_interrupt_in) },
	[FUSE_DESTROY] = { true },
	[FUSE_BATCH_FORGET] = { true, true, sizeof(struct fuse_batch_forget_in), NO_NAME, FORGETS },
	[FUSE_FALLOCATE] = { true, false, sizeof(struct fuse_fallocate_in) },
	[FUSE_READDIRPLUS] = { true, false, sizeof(struct fuse_read_in) },
	[FUSE_RENAME2] = { true, false, sizeof(struct fuse_rename2_in), TWO_ENTRIES },
	[FUSE_LSEEK] = { true, false, sizeof(struct fuse_lseek_in) },
	[FUSE_COPY_FILE_RANGE] = { true, false, sizeof(struct fuse_copy_file_range_in) },
};

static const struct rule *rule_of(uint32_t opcode)
{
	return opcode < ARRAY_LEN(rules) && rules[opcode].known ? &rules[opcode] : NULL;
}

/* One component of a path. */
static bool is_entry(const char *name, size_t len)
{
	return len > 0 && len <= FS_NAME_MAX && !memchr(name, '/', len) && strcmp(name, ".") && strcmp(name, "..");
}

/* The length of the name at *at with its NUL, and past it; 0 if it is none. */
static size_t take_name(const uint8_t *request, size_t len, size_t *at, bool entry)
{
	const char *name = (const char *)request + *at;
	const char *end = *at < len ? memchr(name, '\0', len - *at) : NULL;
	size_t n = end ? (size_t)(end - name) : 0;

	if (n == 0 || n >= PATH_MAX || (entry && !is_entry(name, n)))
		return 0;
	*at += n + 1;
	return n + 1;
}

static bool check_names(const uint8_t *request, size_t len, size_t *at, enum names names)
{
	static const struct {
		unsigned entries, texts;
	} parts[] = { [ENTRY] = { 1, 0 }, [TWO_ENTRIES] = { 2, 0 }, [TEXT] = { 0, 1 }, [ENTRY_AND_TEXT] = { 1, 1 } };

	for (unsigned i = 0; i < parts[names].entries; i++)
		if (!take_name(request, len, at, true))
			return false;
	for (unsigned i = 0; i < parts[names].texts; i++)
		if (!take_name(request, len, at, false))
			return false;
	return true;
}

/* What follows the names, rest bytes, is as long as the fixed part says. */
static bool check_tail(const uint8_t *fixed, uint64_t rest, enum tail tail)
{
	uint32_t size;

	switch (tail) {
	case FILE_DATA:
		size = ((const struct fuse_write_in *)fixed)->size;
		return size == rest && size <= FS_WRITE_MAX;
	case VALUE:
		size = ((const struct fuse_setxattr_in *)fixed)->size;
		return size == rest;
	case FORGETS:
		size = ((const struct fuse_batch_forget_in *)fixed)->count;
		return size == rest / sizeof(struct fuse_forget_one) && rest % sizeof(struct fuse_forget_one) == 0;
	case ANYTHING:
		return true;
	case NOTHING:
		break;
	}
	return rest == 0;
}

/* have: what was copied of the request; whole: what the guest sent. They differ for the data of a write only. */
static bool check_request(const uint8_t *request, size_t have, uint64_t whole, const struct rule *rule)
{
	size_t at = HEADER + rule->fixed;

	if (have < at || !check_names(request, have, &at, rule->names))
		return false;
	return check_tail(request + HEADER, whole - at, rule->tail);
}

/* libfuse calls this with its answer, once for each request that has one. */
static ssize_t answer(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fs_server *server = userdata;
	struct fuse_out_header header;
	uint64_t at = 0, total = 0;

	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	memcpy(&header, iov[0].iov_base, sizeof header);
	if (total > server->in_bytes) { /* the guest left no room for what it asked */
		header.error = -EIO;
		header.len = total = sizeof header;
		iov[0].iov_base = &header;
		count = 1;
	}
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_base != FS_IN_PLACE)
			(void)iov_write(server->in, server->n_in, at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	server->answered = (int64_t)total;
	return (ssize_t)total;
}

static ssize_t no_read(int fd, void *buf, size_t len, void *userdata)
{
	errno = ENOTSUP; /* requests are given to libfuse, it never asks */
	return -1;
}

static void answer_error(struct fs_server *server, uint64_t unique, int code)
{
	struct fuse_out_header header = { .len = sizeof header, .error = -code, .unique = unique };
	struct iovec iov = { &header, sizeof header };

	(void)answer(-1, &iov, 1, server); /* cannot fail */
}

static int check_init(const struct fuse_init_in *init)
{
	return init->major == FUSE_KERNEL_VERSION && init->minor >= MINOR_MIN ? 0 : EPROTO; /* Linux 5.4 */
}

static void serve(struct fs_server *server, const struct fuse_in_header *header, size_t have)
{
	struct fuse_buf buf = { .mem = server->request };

	if (header->opcode == FUSE_INTERRUPT)
		return;
	if (header->opcode == FUSE_DESTROY) { /* unmounted; it may be mounted again */
		fs_server_reset(server);
		answer_error(server, header->unique, 0);
		return;
	}
	if (header->opcode == FUSE_INIT) {
		memset(server->request + have, 0, sizeof(struct fuse_in_header) + sizeof(struct fuse_init_in));
		if (check_init((const struct fuse_init_in *)(server->request + HEADER))) {
			answer_error(server, header->unique, EPROTO);
			return;
		}
	}
	buf.size = have;
	fuse_session_process_buf(server->session, &buf);
}

int64_t fs_server_request(struct fs_server *server, const struct iovec *out, unsigned n_out, uint64_t out_bytes,
		const struct iovec *in, unsigned n_in, uint64_t in_bytes)
{
	enum { ROOM = FS_REQUEST_MAX - HEADER - sizeof(struct fuse_init_in) }; /* for what serve() adds */
	struct fuse_in_header header;
	const struct rule *rule;
	size_t have = HEADER, want;

	server->out = out, server->n_out = n_out, server->out_bytes = out_bytes;
	server->in = in, server->n_in = n_in, server->in_bytes = in_bytes;
	server->answered = -1;
	if (iov_read(out, n_out, 0, server->request, HEADER) != HEADER)
		return -EPROTO;
	memcpy(&header, server->request, sizeof header);
	rule = rule_of(header.opcode);
	if (in_bytes < ANSWER_HEADER && !(rule && rule->silent))
		return -EPROTO; /* no room for any answer */
	want = rule && rule->tail == FILE_DATA ? (size_t)HEADER + rule->fixed : (size_t)ROOM;
	have += iov_read(out, n_out, HEADER, server->request + HEADER, want - HEADER);
	if (!rule)
		answer_error(server, header.unique, ENOSYS);
	else if (header.len != out_bytes || (have < out_bytes && rule->tail != FILE_DATA) ||
			!check_request(server->request, have, out_bytes, rule))
		server->answered = rule->silent ? 0 : -1;
	else
		serve(server, &header, have);
	if (rule && rule->silent)
		return 0;
	if (server->answered < 0)
		answer_error(server, header.unique, EINVAL);
	return server->answered;
}

/*
 * libfuse's table of requests names this one, of its character devices, which would bring in all the rest of the
 * library, down to dlopen(). Ours is there first.
 */
void cuse_lowlevel_init(fuse_req_t req, fuse_ino_t ino, const void *arg);
void cuse_lowlevel_init(fuse_req_t req, fuse_ino_t ino, const void *arg)
{
	fuse_reply_err(req, ENOSYS);
}

int fs_become(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	(void)setfsgid(ctx->gid); /* these return what was before; asked again they tell what is */
	(void)setfsuid(ctx->uid);
	if ((gid_t)setfsgid((gid_t)-1) == ctx->gid && (uid_t)setfsuid((uid_t)-1) == ctx->uid)
		return 0;
	fs_become_self(fs_of(req));
	return EPERM; /* without root the host lets us be ourselves only */
}

void fs_become_self(const struct fs_server *server)
{
	(void)setfsuid(server->uid); /* cannot fail, nor can the next */
	(void)setfsgid(server->gid);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->max_write = FS_WRITE_MAX;
	conn->max_readahead = FS_WRITE_MAX;
	/* The guest clears set-uid bits itself: only it knows whether the writer may keep them. */
	conn->want &= ~(unsigned)FUSE_CAP_HANDLE_KILLPRIV;
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	fs_node_forget(fs_of(req), ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_node_forget(fs_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static int new_session(struct fs_server *server)
{
	static const struct fuse_custom_io io = { .writev = answer, .read = no_read };
	struct fuse_lowlevel_ops ops = { .init = op_init, .forget = op_forget, .forget_multi = op_forget_multi };
	char name[] = "bivalve", *argv[] = { name, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	fs_tree_ops(&ops);
	fs_file_ops(&ops);
	fs_attr_ops(&ops);
	server->session = fuse_session_new(&args, &ops, sizeof ops, server);
	fuse_opt_free_args(&args);
	/* libfuse wants a number, and closes it at the end: none that is open. */
	return server->session && fuse_session_custom_io(server->session, &io, INT_MAX) == 0 ? 0 : -ENOMEM;
}

void fs_server_reset(struct fs_server *server)
{
	if (server->session)
		fuse_session_destroy(server->session);
	server->session = NULL;
	fs_nodes_clear(server);
	fs_nodes_init(server);
	if (new_session(server) < 0)
		abort(); /* out of memory, as xcalloc() would */
}

int fs_server_new(int root_fd, int proc_fd, struct fs_server **ret, struct error *err)
{
	struct fs_server *server = xcalloc(1, sizeof *server);

	server->root_fd = root_fd;
	server->proc_fd = proc_fd;
	server->uid = geteuid();
	server->gid = getegid();
	(void)umask(0); /* the guest's kernel has applied the workload's */
	if (fchdir(proc_fd) < 0) {
		free(server);
		return error_sys(err, "host directories: /proc/self/fd");
	}
	fs_server_reset(server);
	if (!fs_node(server, FUSE_ROOT_ID)) {
		fs_server_free(server);
		return error_set(err, EIO, "host directories: cannot look at the root");
	}
	*ret = server;
	return 0;
}

void fs_server_free(struct fs_server *server)
{
	if (!server)
		return;
	if (server->session)
		fuse_session_destroy(server->session);
	fs_nodes_clear(server);
	free(server);
}
