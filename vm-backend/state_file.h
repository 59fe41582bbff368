/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_STATE_FILE_H
#define BIVALVE_VM_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/*
 * The file that a saved machine is kept in, version 1. Little-endian.
 *
 *      0      struct state_header
 *      64     struct state_section [n_sections]
 *      4096   the first section's bytes; each begins at a multiple of 4096, in the order of the table
 *
 * Each part has a CRC-32C. What is read was written by somebody else as far as the reader knows: every number is
 * checked against the file's length before it is used, unknown kinds and versions are refused, and unused bytes must
 * be zero.
 */
enum { STATE_FILE_VERSION = 1, STATE_MAX_SECTIONS = 5, STATE_ALIGN = 4096 };

enum state_kind {
	STATE_MANIFEST = 1,      /* JSON: what the machine is, see template.h and snapshot.h */
	STATE_ENGINE,            /* the engine's own */
	STATE_RAM,               /* the whole of RAM, where it is not in the engine's */
	STATE_PLAN,              /* JSON: the workload's plan */
	STATE_DISK,              /* the disk for its writes (saved_disk.h) */
	STATE_KIND_COUNT,
};

struct state_header {
	char magic[8];           /* "BIVSTATE" */
	uint32_t version, n_sections;
	uint64_t file_bytes;
	uint32_t table_crc, header_crc; /* of the table; of this header with header_crc 0 */
	uint8_t zero[32];
};

struct state_section {
	uint32_t kind, crc;
	uint64_t offset, bytes;
	uint64_t zero;
};

struct state_file {
	int fd;                  /* owned; -1: none */
	uint32_t n_sections;
	struct state_section sections[STATE_MAX_SECTIONS];
};

/* Opens and checks header and table. -EINVAL "PATH: …": what is wrong with it. */
int state_file_open(struct state_file *f, const char *path, struct error *err);
/* The same of an open file; takes fd in any case. name: for messages. */
int state_file_open_fd(struct state_file *f, int fd, const char *name, struct error *err);
void state_file_close(struct state_file *f);

/* The section of a kind; NULL: none. */
const struct state_section *state_file_find(const struct state_file *f, enum state_kind kind);
/* Reads a whole section of at most max bytes, with a NUL after it, and checks it. The text is the caller's. */
int state_file_read(const struct state_file *f, enum state_kind kind, size_t max, char **ret, size_t *ret_len,
		struct error *err);
/* Reads through a section, whatever its length, and checks it. */
int state_file_check(const struct state_file *f, enum state_kind kind, struct error *err);

/* Writing: an empty file that can be read and written; borrowed. */
struct state_writer {
	int fd;
	struct state_file file;
	uint64_t end;            /* of what is written */
	bool unread[STATE_MAX_SECTIONS]; /* whose checksum is still to be made */
};
void state_writer_init(struct state_writer *w, int fd);
/* Adds a section with these bytes. */
int state_writer_add(struct state_writer *w, enum state_kind kind, const void *data, size_t len, struct error *err);
/* For somebody else to write a section to fd: sets its position to where it begins, … */
int state_writer_begin(struct state_writer *w, enum state_kind kind, struct error *err);
/* … and takes what was written up to the file's end. Its checksum is left to the finish: nobody must wait for it. */
int state_writer_end(struct state_writer *w, struct error *err);
/* Checksums, header and table; the file is whole then. */
int state_writer_finish(struct state_writer *w, struct error *err);

#endif
