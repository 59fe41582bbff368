/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a guest asks of its virtio-fs device, the VMM survives, the answer stays in the guest's memory, and nothing
 * above the shared folder is touched. An input is a list of requests, each of which says in its first bytes which
 * opcode, how the fixed part is filled and what follows it; few random inputs would get past a header by themselves.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/path.h"
#include "tests/unit/vmm_guest.h"
#include "vm-backend/virtio/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 16 << 20 };
enum { SIZE = 8, REQUESTS = 1, CANARY = 0x5a, IN_GPA = DATA_GPA + (1 << 20), OUT_MAX = 128 << 10, MAX_REQUESTS = 64 };

static struct vm_memory memory;
static struct virtio_fs fs;
static struct fs_server *server;
static char top[] = "/dev/shm/bivalve-fuzz-fs.XXXXXX";
static int top_fd = -1;

/* What a guest may say for a name. */
static const char *const names[] = { "a", "b", "dir", "link", ".", "..", "", "a/b", "../canary", "/etc/passwd",
	"user.x", "security.capability" };

static void clean(void)
{
	int fd = openat(top_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			(void)path_remove_tree(fd, e->d_name, NULL); /* what is left is the next input's */
	if (dir)
		closedir(dir);
}

static void at_end(void)
{
	clean();
	(void)unlinkat(top_fd, "canary", 0);
	(void)unlinkat(top_fd, "root", AT_REMOVEDIR);
	(void)rmdir(top);
}

static void setup(void)
{
	const struct rlimit small = { FILE_MAX, FILE_MAX };
	int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC), root;

	if (vm_memory_map(&memory, GUEST_BYTES + VM_HUGE_PAGE, NULL) < 0 || !mkdtemp(top))
		abort();
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)setrlimit(RLIMIT_FSIZE, &small); /* the files are in memory */
	memory.regions[0].bytes = GUEST_BYTES; /* what follows is not the guest's: a canary */
	top_fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	close(openat(top_fd, "canary", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	if (mkdirat(top_fd, "root", 0700) < 0)
		abort();
	root = openat(top_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs_server_new(root, proc, &server, NULL) < 0)
		abort();
	(void)atexit(at_end);
}

struct input {
	const uint8_t *at, *end;
};

static uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

/* Numbers of nodes and handles that may exist, sizes and offsets on borders, or anything. */
static uint64_t number(struct input *in)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 4, UINT64_C(1) << 32 | 1, UINT64_C(1) << 32 | 2, 5, 4096, 65536,
		UINT32_MAX, INT32_MAX, INT64_MAX, UINT64_MAX, 1 << 20, S_IFREG | 0600, S_IFDIR | 0700, S_IFIFO | 0600,
		S_IFCHR | 0600, O_RDWR | O_CREAT };
	uint8_t pick = byte(in);

	return pick < 200 ? values[pick % (sizeof values / sizeof *values)] : (uint64_t)byte(in) << (pick % 57);
}

/* One request into the guest's memory; its length. */
static uint32_t compose(struct input *in, uint8_t *out)
{
	struct fuse_in_header header = { .opcode = byte(in) % 56, .unique = 1, .nodeid = number(in), .uid = geteuid(),
		.gid = getegid() };
	uint8_t shape = byte(in), fixed = byte(in) % 13;
	uint32_t len = sizeof header;

	if (header.opcode == FUSE_INIT && shape & 1) {
		struct fuse_init_in init = { .major = 7, .minor = 38, .flags = (uint32_t)number(in) };

		memcpy(out + len, &init, sizeof init);
		len += sizeof init;
	} else {
		for (uint8_t i = 0; i < fixed; i++) {
			uint64_t value = number(in);

			memcpy(out + len, &value, sizeof value);
			len += sizeof value;
		}
	}
	for (unsigned i = 0; i < (shape >> 1 & 3); i++) {
		const char *name = names[byte(in) % (sizeof names / sizeof *names)];

		memcpy(out + len, name, strlen(name) + 1);
		len += (uint32_t)strlen(name) + 1;
	}
	if (shape & 8) {
		uint32_t bytes = shape & 16 ? byte(in) : (uint32_t)(number(in) % (OUT_MAX - 1024));

		memset(out + len, 'd', bytes);
		len += bytes;
	}
	if (shape & 32)
		len -= byte(in) % 8;
	header.len = shape & 64 && byte(in) < 64 ? (uint32_t)number(in) : len;
	memcpy(out, &header, sizeof header);
	return len;
}

static void ask(struct input *in, struct guest_queue *q, unsigned queue)
{
	uint8_t *out = vm_memory_at(&memory, DATA_GPA, OUT_MAX);
	uint32_t len = compose(in, out), room = byte(in) < 230 ? 64 << 10 : (uint32_t)number(in);
	uint32_t cut = byte(in) % (len ? len : 1);
	bool edge = byte(in) > 200; /* the answer's room ends with the guest's memory */

	if (room > GUEST_BYTES - IN_GPA)
		room = 64 << 10;
	guest_desc(q, 0, DATA_GPA, cut ? cut : len, VRING_DESC_F_NEXT, cut ? 1 : 2);
	guest_desc(q, 1, DATA_GPA + cut, len - cut, VRING_DESC_F_NEXT, 2);
	guest_desc(q, 2, edge && room ? GUEST_BYTES - room : IN_GPA, room, VRING_DESC_F_WRITE, 0);
	guest_offer(q, 0);
	guest_kick(&fs.device, queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_queue queues[VIRTIO_MAX_QUEUES];
	struct input in = { data, data + size };
	uint8_t *edge;
	struct stat st;

	if (!memory.map)
		setup();
	edge = memory.regions[0].host + GUEST_BYTES;
	*edge = CANARY;
	virtio_fs_init(&fs, &memory, "fuzz");
	fs.server = server;
	guest_start(&fs.device, &memory, queues, SIZE, 0);
	for (unsigned i = 0; in.at < in.end && i < MAX_REQUESTS; i++) {
		if (i == 0) { /* most inputs should get further than this */
			static const uint8_t begin[] = { FUSE_INIT, 1, 1, 0, 10, 0, 0, 0 };
			struct input first = { begin, begin + sizeof begin };

			ask(&first, &queues[REQUESTS], REQUESTS);
		}
		ask(&in, &queues[byte(&in) > 240 ? 0 : REQUESTS], REQUESTS);
		if (guest_broken(&fs.device))
			guest_start(&fs.device, &memory, queues, SIZE, 0);
	}
	if (*edge != CANARY || fstatat(top_fd, "canary", &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size ||
		st.st_nlink != 1 || (st.st_mode & 07777) != 0600)
		abort();
	pthread_mutex_destroy(&fs.device.lock);
	clean();
	return 0;
}
