/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inflow of a blob. Theory of operation:
 *
 *   source -> [hash: digest] -> libarchive's filters -> [hash: diff id] -> ring of slots -> stream_next()
 *   '------------------------- worker thread -------------------------'     '---- caller's thread ----'
 *
 * The ring has SLOTS pieces of SLOT_BYTES. made and taken only grow; slot n is at n % SLOTS. The worker fills a slot
 * without the mutex and publishes it by made++; the caller uses it without the mutex and gives it back by taken++ at
 * its next call. The worker's error is published together with done.
 *
 * The blob is hostile: what it decompresses to is limited, and bytes behind the compressed data are read and hashed so
 * that the digest covers all of it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "images/digest.h"
#include "images/stream.h"
#include "runtime/base/alloc.h"

#define SLOTS      4
#define SLOT_BYTES (512 * 1024)
#define IN_BYTES   (256 * 1024)

struct stream {
	struct stream_source source;
	uint64_t max_bytes;

	/* The worker's until done. */
	struct archive *filter;
	unsigned char *in;
	struct hasher *outer, *inner; /* inner is NULL once it is known that nothing is compressed */
	bool same_hash;               /* then diff_id and digest are the same */
	struct stream_result result;
	struct error error;

	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned char *slots[SLOTS];
	size_t lens[SLOTS];
	unsigned long made, taken;
	bool holding;                 /* the caller still uses slot taken */
	bool done, cancelled;
};

ssize_t stream_read_fd(void *ctx, void *buf, size_t size, struct error *err)
{
	ssize_t n;

	do
		n = read(*(const int *)ctx, buf, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? error_sys(err, "cannot read it") : n;
}

int stream_interrupted(struct error *err)
{
	sigset_t pending;

	if (sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
						 sigismember(&pending, SIGHUP)))
		return error_set(err, EINTR, "interrupted");
	return 0;
}

static ssize_t read_source(struct stream *s)
{
	ssize_t n = s->source.read(s->source.ctx, s->in, IN_BYTES, &s->error);

	if (n > 0) {
		hasher_add(s->outer, s->in, (size_t)n);
		s->result.bytes += (size_t)n;
	}
	return n;
}

static la_ssize_t filter_read(struct archive *a, void *ctx, const void **ret)
{
	struct stream *s = ctx;
	ssize_t n = read_source(s);

	*ret = s->in;
	if (n < 0)
		archive_set_error(a, s->error.code, "%s", s->error.message);
	return n;
}

static int filter_failed(struct stream *s)
{
	if (s->error.code)
		return -s->error.code; /* the source's own error */
	return error_set(&s->error, EINVAL, "cannot be decompressed: %s", archive_error_string(s->filter));
}

static int open_filter(struct stream *s)
{
	static int (*const supported[])(struct archive *) = {
		archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_xz,
		archive_read_support_filter_zstd, archive_read_support_format_raw, archive_read_support_format_empty,
	};
	struct archive_entry *entry;
	const char *name;
	int r;

	s->filter = archive_read_new();
	if (!s->filter)
		return error_set(&s->error, ENOMEM, "libarchive: out of memory");
	for (size_t i = 0; i < ARRAY_LEN(supported); i++)
		(void)supported[i](s->filter); /* a filter libarchive was built without is one it will not recognise */
	if (archive_read_open(s->filter, s, NULL, filter_read, NULL) != ARCHIVE_OK)
		return filter_failed(s);
	r = archive_read_next_header(s->filter, &entry);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return filter_failed(s);
	name = archive_filter_name(s->filter, 0);
	s->result.compression = name && archive_filter_count(s->filter) > 1 ? name : "";
	if (!*s->result.compression && s->same_hash) {
		hasher_free(s->inner);
		s->inner = NULL;
	}
	return 1;
}

/* Waits for a free slot. False: nobody wants more. */
static bool slot_begin(struct stream *s)
{
	bool go;

	pthread_mutex_lock(&s->mutex);
	while (s->made - s->taken == SLOTS && !s->cancelled)
		pthread_cond_wait(&s->changed, &s->mutex);
	go = !s->cancelled;
	pthread_mutex_unlock(&s->mutex);
	return go;
}

static void slot_end(struct stream *s, size_t len)
{
	s->lens[s->made % SLOTS] = len;
	pthread_mutex_lock(&s->mutex);
	s->made++;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->mutex);
}

/* Fills slots until the decompressed data ends. */
static int pump(struct stream *s)
{
	const void *block = NULL;
	size_t left = 0, len;
	int r = ARCHIVE_OK;

	while (r != ARCHIVE_EOF) {
		unsigned char *slot = s->slots[s->made % SLOTS];

		if (!slot_begin(s))
			return error_set(&s->error, ECANCELED, "cancelled");
		for (len = 0; len < SLOT_BYTES;) {
			la_int64_t offset;
			size_t n;

			if (left == 0) {
				r = archive_read_data_block(s->filter, &block, &left, &offset);
				if (r == ARCHIVE_EOF)
					break;
				if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
					return filter_failed(s);
			}
			n = left < SLOT_BYTES - len ? left : SLOT_BYTES - len;
			memcpy(slot + len, block, n);
			block = (const char *)block + n;
			left -= n;
			len += n;
		}
		s->result.unpacked_bytes += len;
		if (s->result.unpacked_bytes > s->max_bytes)
			return error_set(&s->error, EFBIG, "unpacks to more than %llu bytes",
				(unsigned long long)s->max_bytes);
		if (s->inner)
			hasher_add(s->inner, slot, len);
		if (len)
			slot_end(s, len);
	}
	return 0;
}

static void work(struct stream *s)
{
	ssize_t n;
	int r = open_filter(s);

	if (r > 0)
		r = pump(s);
	if (r < 0)
		return;
	do
		n = read_source(s);
	while (n > 0);
	if (n < 0)
		return;
	s->result.digest = hasher_finish(steal_ptr(s->outer));
	s->result.diff_id = s->inner ? hasher_finish(steal_ptr(s->inner)) : xstrdup(s->result.digest);
}

static void *worker(void *arg)
{
	struct stream *s = arg;

	work(s);
	pthread_mutex_lock(&s->mutex);
	s->done = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

struct stream *stream_new(const struct stream_source *source, const char *digest_like, const char *diff_like,
		uint64_t max_bytes)
{
	struct stream *s = xcalloc(1, sizeof *s);

	s->source = *source;
	s->max_bytes = max_bytes;
	s->outer = hasher_new(digest_like);
	s->inner = hasher_new(diff_like);
	s->same_hash = strncmp(digest_like ? digest_like : "sha256", diff_like ? diff_like : "sha256", 6) == 0;
	s->result.compression = "";
	s->in = xcalloc(1, IN_BYTES);
	for (size_t i = 0; i < SLOTS; i++)
		s->slots[i] = xcalloc(1, SLOT_BYTES);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->changed, NULL);
	if (pthread_create(&s->thread, NULL, worker, s) != 0) {
		(void)fputs("bivalve: cannot start a thread\n", stderr); /* as fatal as no memory */
		_exit(125);
	}
	return s;
}

ssize_t stream_next(struct stream *s, const void **ret_data, struct error *err)
{
	unsigned long slot;
	bool ready;
	int r = stream_interrupted(err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->mutex);
	if (s->holding) {
		s->holding = false;
		s->taken++;
		pthread_cond_signal(&s->changed);
	}
	while (s->made == s->taken && !s->done)
		pthread_cond_wait(&s->changed, &s->mutex);
	ready = s->made != s->taken;
	s->holding = ready;
	slot = s->taken % SLOTS;
	pthread_mutex_unlock(&s->mutex);
	if (ready) {
		*ret_data = s->slots[slot];
		return (ssize_t)s->lens[slot];
	}
	return s->error.code ? error_set(err, s->error.code, "%s", s->error.message) : 0;
}

int stream_finish(struct stream *s, struct stream_result *ret, struct error *err)
{
	const void *data;
	ssize_t n;

	do
		n = stream_next(s, &data, err);
	while (n > 0);
	if (n < 0)
		return (int)n;
	*ret = s->result;
	s->result = (struct stream_result){ .compression = "" };
	return 0;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->cancelled = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->mutex);
	(void)pthread_join(s->thread, NULL); /* fails only for a thread that is not ours to join */
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mutex);
	archive_read_free(s->filter);
	hasher_free(s->outer);
	hasher_free(s->inner);
	stream_result_release(&s->result);
	free(s->in);
	for (size_t i = 0; i < SLOTS; i++)
		free(s->slots[i]);
	free(s);
}

void stream_result_release(struct stream_result *r)
{
	free(r->digest);
	free(r->diff_id);
	*r = (struct stream_result){ .compression = "" };
}
