/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE server behind virtio-fs, fed with requests made by hand: what an honest kernel sends is served, and what it
 * never sends is refused without harm. Needs no privilege: all files are the test's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"
#include "vm-backend/fs/fs_server.h"

static struct fs_server *server;
static char folder[] = "/tmp/bivalve-fs.XXXXXX";
static uint8_t request[1 << 17], reply[1 << 17];
static size_t length;

static void begin(uint32_t opcode, uint64_t node, const void *fixed, size_t size)
{
	struct fuse_in_header header = { .opcode = opcode, .unique = 7, .nodeid = node, .uid = geteuid(),
		.gid = getegid() };

	memset(request, 0xee, sizeof request);
	memcpy(request, &header, sizeof header);
	if (size)
		memcpy(request + sizeof header, fixed, size);
	length = sizeof header + size;
}

static void more(const void *data, size_t size)
{
	memcpy(request + length, data, size);
	length += size;
}

static void name(const char *text)
{
	more(text, strlen(text) + 1);
}

/* Sends len bytes that claim to be `claimed`, in two uneven pieces. The answer's error, or what the server returned. */
static int64_t send_as(size_t len, uint32_t claimed, size_t room)
{
	struct iovec out[2] = { { request, len < 13 ? len : 13 }, { request + 13, len < 13 ? 0 : len - 13 } };
	struct iovec in[2] = { { reply, room < 21 ? room : 21 }, { reply + 21, room < 21 ? 0 : room - 21 } };
	struct fuse_out_header header;
	int64_t r;

	memcpy(request, &claimed, sizeof claimed);
	memset(reply, 0xdd, sizeof reply);
	r = fs_server_request(server, out, 2, len, in, 2, room);
	if (r < (int64_t)sizeof header)
		return r;
	memcpy(&header, reply, sizeof header);
	if (header.len != r || header.unique != 7)
		return -1000;
	return header.error;
}

static int64_t ask(void)
{
	return send_as(length, (uint32_t)length, sizeof reply);
}

static const void *answer(void)
{
	return reply + sizeof(struct fuse_out_header);
}

static int64_t init(void)
{
	struct fuse_init_in in = { .major = FUSE_KERNEL_VERSION, .minor = 38, .max_readahead = 1 << 20,
		.flags = UINT32_MAX };

	begin(FUSE_INIT, 0, &in, sizeof in);
	return ask();
}

static int64_t lookup(uint64_t parent, const char *text, uint64_t *ret)
{
	struct fuse_entry_out entry;
	int64_t r;

	begin(FUSE_LOOKUP, parent, NULL, 0);
	name(text);
	r = ask();
	memcpy(&entry, answer(), sizeof entry);
	if (r == 0)
		*ret = entry.nodeid;
	return r;
}

static int64_t open_node(uint32_t opcode, uint64_t node, uint32_t flags, uint64_t *ret)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out;
	int64_t r;

	begin(opcode, node, &in, sizeof in);
	r = ask();
	memcpy(&out, answer(), sizeof out);
	if (r == 0)
		*ret = out.fh;
	return r;
}

static int64_t write_at(uint64_t node, uint64_t fh, uint64_t offset, const char *text)
{
	struct fuse_write_in in = { .fh = fh, .offset = offset, .size = (uint32_t)strlen(text) };

	begin(FUSE_WRITE, node, &in, sizeof in);
	more(text, in.size);
	return ask();
}

static int64_t read_at(uint64_t node, uint64_t fh, uint64_t offset, uint32_t size)
{
	struct fuse_read_in in = { .fh = fh, .offset = offset, .size = size };

	begin(FUSE_READ, node, &in, sizeof in);
	return ask();
}

static size_t answered(void)
{
	struct fuse_out_header header;

	memcpy(&header, reply, sizeof header);
	return header.len - sizeof header;
}

static void test_before_init(void)
{
	uint64_t id;

	ok(lookup(FUSE_ROOT_ID, "file", &id) == -EIO, "nothing is served before FUSE_INIT");
	begin(FUSE_INIT, 0, &(struct fuse_init_in){ .major = 6, .minor = 38 }, sizeof(struct fuse_init_in));
	ok(ask() == -EPROTO, "another protocol is refused");
	begin(FUSE_INIT, 0, &(struct fuse_init_in){ .major = 7, .minor = 3 }, 16);
	ok(ask() == -EPROTO, "an old one too");
	ok(init() == 0, "FUSE_INIT is answered");
	ok(init() == -EIO, "but once");
}

static void test_files(void)
{
	static const struct fuse_create_in create = { .flags = O_RDWR | O_CREAT | O_EXCL, .mode = S_IFREG | 0640 };
	static const struct fuse_create_in again = { .flags = O_WRONLY | O_CREAT, .mode = S_IFREG | 0600 };
	uint64_t dir = 0, file = 0, link = 0, fifo = 0, fh = 0;
	struct fuse_entry_out entry;
	struct stat st;

	begin(FUSE_MKDIR, FUSE_ROOT_ID, &(struct fuse_mkdir_in){ .mode = 0750 }, sizeof(struct fuse_mkdir_in));
	name("dir");
	ok(ask() == 0 && lookup(FUSE_ROOT_ID, "dir", &dir) == 0, "a folder is made and found");
	begin(FUSE_CREATE, dir, &create, sizeof create);
	name("file");
	ok(ask() == 0, "a file is created");
	memcpy(&entry, answer(), sizeof entry);
	file = entry.nodeid;
	ok(open_node(FUSE_OPEN, file, O_RDWR, &fh) == 0, "and opened");
	ok(write_at(file, fh, 3, "hello") == 0 && ((const struct fuse_write_out *)answer())->size == 5, "written");
	ok(read_at(file, fh, 0, 100) == 0 && answered() == 8 && !memcmp(answer(), "\0\0\0hello", 8), "and read");
	ok(read_at(file, fh + (UINT64_C(1) << 32), 0, 100) == -EBADF, "a handle of another time is none");
	ok(read_at(file, 0, 0, 100) == -EBADF && read_at(file, UINT64_MAX, 0, 9) == -EBADF, "nor is any other number");
	ok(stat("dir/file", &st) < 0, "the working folder is not the shared one");
	begin(FUSE_SYMLINK, FUSE_ROOT_ID, NULL, 0);
	name("link"), name("/etc/passwd");
	ok(ask() == 0 && lookup(FUSE_ROOT_ID, "link", &link) == 0, "a symbolic link is made");
	ok(open_node(FUSE_OPEN, link, O_RDONLY, &fh) == -ELOOP, "and never followed");
	begin(FUSE_READLINK, link, NULL, 0);
	ok(ask() == 0 && answered() == 11 && !memcmp(answer(), "/etc/passwd", 11), "but read");
	begin(FUSE_LOOKUP, link, NULL, 0);
	name("x");
	ok(ask() == -ENOTDIR, "nor looked into");
	begin(FUSE_MKNOD, FUSE_ROOT_ID, &(struct fuse_mknod_in){ .mode = S_IFIFO | 0600 },
			sizeof(struct fuse_mknod_in));
	name("fifo");
	ok(ask() == 0 && lookup(FUSE_ROOT_ID, "fifo", &fifo) == 0, "a FIFO is made");
	ok(open_node(FUSE_OPEN, fifo, O_RDONLY, &fh) == -ENXIO, "and never opened");
	begin(FUSE_CREATE, FUSE_ROOT_ID, &again, sizeof again);
	name("fifo");
	ok(ask() == -ENXIO, "not by creating it either");
	begin(FUSE_UNLINK, dir, NULL, 0);
	name("file");
	ok(ask() == 0, "an open file is removed");
	begin(FUSE_GETATTR, file, &(struct fuse_getattr_in){ 0 }, sizeof(struct fuse_getattr_in));
	ok(ask() == 0 && ((const struct fuse_attr_out *)answer())->attr.nlink == 0, "and lives on");
}

static void test_names(void)
{
	static const char *const refused[] = { "", ".", "..", "a/b", "/", "../x", "/etc" };
	char longest[300];
	uint64_t id;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		ok(lookup(FUSE_ROOT_ID, refused[i], &id) == -EINVAL, "the name \"%s\" is not looked up", refused[i]);
		begin(FUSE_RENAME2, FUSE_ROOT_ID, &(struct fuse_rename2_in){ .newdir = FUSE_ROOT_ID },
				sizeof(struct fuse_rename2_in));
		name("dir"), name(refused[i]);
		ok(ask() == -EINVAL, "nor is anything renamed to \"%s\"", refused[i]);
	}
	memset(longest, 'n', sizeof longest);
	longest[255] = '\0';
	ok(lookup(FUSE_ROOT_ID, longest, &id) == -ENOENT, "255 bytes are a name");
	longest[255] = 'n', longest[256] = '\0';
	ok(lookup(FUSE_ROOT_ID, longest, &id) == -EINVAL, "256 are not");
	begin(FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0);
	more("dir", 3);
	ok(ask() == -EINVAL, "a name without an end is refused");
	begin(FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0);
	more("dir\0more", 9);
	ok(ask() == -EINVAL, "and one with something behind it");
	begin(FUSE_RENAME, FUSE_ROOT_ID, &(struct fuse_rename_in){ FUSE_ROOT_ID }, 8);
	name("dir");
	ok(ask() == -EINVAL, "and one name where there should be two");
	ok(lookup(FUSE_ROOT_ID, "dir", &id) == 0, "after all of which honest requests are served");
}

static void test_sizes(void)
{
	struct fuse_write_in in = { .size = 100 };
	struct fuse_setxattr_in x = { .size = 60000 };
	struct fuse_batch_forget_in forgets = { .count = UINT32_MAX };

	begin(FUSE_GETATTR, FUSE_ROOT_ID, &(struct fuse_getattr_in){ 0 }, sizeof(struct fuse_getattr_in));
	ok(send_as(5, 5, 1000) == -EPROTO, "less than a header breaks the device");
	ok(send_as(length, (uint32_t)length, 8) == -EPROTO, "and so does no room for an answer");
	ok(send_as(length - 1, (uint32_t)length - 1, 1000) == -EINVAL, "a request cut short is refused");
	ok(send_as(length, (uint32_t)length + 1, 1000) == -EINVAL && send_as(length, 0, 1000) == -EINVAL,
			"and one that claims another length");
	ok(send_as(length, (uint32_t)length, 16) == -EIO, "an answer that does not fit becomes an error");
	begin(FUSE_WRITE, FUSE_ROOT_ID, &in, sizeof in);
	more("short", 5);
	ok(ask() == -EINVAL, "a write that claims more data than there is is refused");
	begin(FUSE_SETXATTR, FUSE_ROOT_ID, &x, FUSE_COMPAT_SETXATTR_IN_SIZE);
	name("user.x"), more("v", 1);
	ok(ask() == -EINVAL, "and such an attribute");
	begin(FUSE_BATCH_FORGET, 0, &forgets, sizeof forgets);
	more(&(struct fuse_forget_one){ 1, 1 }, sizeof(struct fuse_forget_one));
	ok(ask() == 0, "a list of four billion forgets is dropped");
	begin(FUSE_GETXATTR, FUSE_ROOT_ID, &(struct fuse_getxattr_in){ .size = UINT32_MAX }, 8);
	name("user.none");
	ok(ask() < 0, "a value of four gigabytes is not given");
	begin(FUSE_READDIR, FUSE_ROOT_ID, &(struct fuse_read_in){ .fh = 99, .size = UINT32_MAX }, 40);
	ok(ask() == -EBADF, "nor a list of a folder that is not open");
	begin(FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0);
	length = sizeof request;
	memset(request + sizeof(struct fuse_in_header), 'a', sizeof request - sizeof(struct fuse_in_header));
	ok(ask() == -EINVAL, "a request longer than any is refused");
}

static void test_numbers(void)
{
	static const uint64_t wrong[] = { 0, 77, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 32 | 1, 1u << 31 };
	struct fuse_forget_in many = { UINT64_MAX };
	uint64_t id = 0, again = 0;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		ok(lookup(wrong[i], "dir", &id) == -ESTALE, "there is no node %#llx", (unsigned long long)wrong[i]);
		begin(FUSE_FORGET, wrong[i], &many, sizeof many);
		ok(ask() == 0, "to forget it does nothing");
	}
	begin(FUSE_FORGET, FUSE_ROOT_ID, &many, sizeof many);
	ok(ask() == 0 && lookup(FUSE_ROOT_ID, "dir", &id) == 0, "the root is never forgotten");
	begin(FUSE_FORGET, id, &many, sizeof many);
	ok(ask() == 0 && lookup(id, "x", &again) == -ESTALE, "another file is");
	ok(lookup(FUSE_ROOT_ID, "dir", &again) == 0 && again != id, "and comes back under a new number");
}

static void test_opcodes(void)
{
	static const uint32_t unknown[] = { 0, 7, 31, 33, 34, 37, 39, 40, 41, 48, 49, 50, 4096, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		begin(unknown[i], FUSE_ROOT_ID, NULL, 0);
		more("\0\0\0\0\0\0\0\0", 8);
		ok(ask() == -ENOSYS, "opcode %u is not served", unknown[i]);
	}
	begin(FUSE_INTERRUPT, 0, &(struct fuse_interrupt_in){ 7 }, 8);
	ok(ask() == 0, "there is nothing to interrupt");
}

static void test_folders(void)
{
	uint64_t id = 0, fh = 0, offset = 0;
	unsigned seen = 0, rounds = 0;
	bool plain = true;

	for (int i = 0; i < 300; i++) {
		char text[32];

		snprintf(text, sizeof text, "%s/dir/n%d", folder, i);
		close(open(text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	ok(lookup(FUSE_ROOT_ID, "dir", &id) == 0 && open_node(FUSE_OPENDIR, id, O_RDONLY, &fh) == 0,
			"a folder is opened");
	do {
		struct fuse_read_in in = { .fh = fh, .offset = offset, .size = 4096 };
		size_t at = 0, end;

		begin(FUSE_READDIRPLUS, id, &in, sizeof in);
		plain &= ask() == 0;
		end = answered();
		if (end == 0)
			break;
		while (plain && at + sizeof(struct fuse_direntplus) <= end) {
			struct fuse_direntplus entry;

			memcpy(&entry, (const uint8_t *)answer() + at, sizeof entry);
			offset = entry.dirent.off;
			seen += entry.entry_out.nodeid != 0;
			at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + entry.dirent.namelen);
		}
	} while (plain && ++rounds < 1000);
	ok(plain && seen == 300, "all of its %u files are listed", seen);
	begin(FUSE_RELEASEDIR, id, &(struct fuse_release_in){ .fh = fh }, sizeof(struct fuse_release_in));
	ok(ask() == 0, "it is closed");
	begin(FUSE_READDIR, id, &(struct fuse_read_in){ .fh = fh, .size = 4096 }, sizeof(struct fuse_read_in));
	ok(ask() == -EBADF, "and then not open");
}

static void test_attributes(void)
{
	struct fuse_setattr_in mode = { .valid = FATTR_MODE | FATTR_MTIME, .mode = S_IFREG | 0604, .mtime = 12345 };
	uint64_t id = 0;
	struct stat st;
	char *path = xasprintf("%s/dir/n1", folder);
	struct fuse_setxattr_in x = { .size = 5 };
	uint64_t dir = 0;

	ok(lookup(FUSE_ROOT_ID, "dir", &dir) == 0 && lookup(dir, "n1", &id) == 0, "a file is found");
	begin(FUSE_SETATTR, id, &mode, sizeof mode);
	ok(ask() == 0 && stat(path, &st) == 0 && (st.st_mode & 07777) == 0604 && st.st_mtime == 12345,
			"mode and time are set");
	begin(FUSE_SETATTR, id, &(struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = 1 << 20 },
			sizeof(struct fuse_setattr_in));
	ok(ask() == 0 && stat(path, &st) == 0 && st.st_size == 1 << 20, "and the size");
	begin(FUSE_SETXATTR, id, &x, FUSE_COMPAT_SETXATTR_IN_SIZE);
	name("user.colour"), more("green", 5);
	if (ask() == -EOPNOTSUPP) {
		skip("%s has no extended attributes", folder);
		skip("%s has no extended attributes", folder);
	} else {
		ok(((struct fuse_out_header *)reply)->error == 0, "an extended attribute is set");
		begin(FUSE_GETXATTR, id, &(struct fuse_getxattr_in){ .size = 100 }, 8);
		name("user.colour");
		ok(ask() == 0 && answered() == 5 && !memcmp(answer(), "green", 5), "and read");
	}
	begin(FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
	ok(ask() == 0 && ((const struct fuse_statfs_out *)answer())->st.blocks > 0, "the file system has a size");
	free(path);
}

static void test_again(void)
{
	uint64_t id = 0;

	begin(FUSE_DESTROY, 0, NULL, 0);
	ok(ask() == 0, "the guest unmounts");
	ok(lookup(FUSE_ROOT_ID, "dir", &id) == -EIO, "and must begin anew");
	ok(init() == 0 && lookup(FUSE_ROOT_ID, "dir", &id) == 0, "which it can");
	fs_server_reset(server);
	ok(init() == 0 && lookup(FUSE_ROOT_ID, "dir", &id) == 0, "after a reset too");
}

int main(void)
{
	struct error err = { 0 };
	int root, proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (!mkdtemp(folder))
		return 1;
	root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ok(fs_server_new(root, proc, &server, &err) == 0, "a server is made");
	test_before_init();
	test_files();
	test_names();
	test_sizes();
	test_numbers();
	test_opcodes();
	test_folders();
	test_attributes();
	test_again();
	fs_server_free(server);
	close(root);
	close(proc);
	ok(path_remove_tree(AT_FDCWD, folder, &err) == 0, "cleaned up");
	return tap_done();
}
