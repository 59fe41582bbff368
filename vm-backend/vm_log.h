/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_LOG_H
#define BIVALVE_VM_LOG_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The end of what the guest's kernel and the machine's process said: the last VM_LOG_BYTES of it, whatever comes.
 */
enum { VM_LOG_BYTES = 64 * 1024 };

struct vm_log {
	int fd;          /* read end of the log's pipe, owned, non-blocking; -1: ended */
	int copy_fd;     /* everything is copied there as well; -1: not */
	size_t len;      /* of text, at most twice VM_LOG_BYTES */
	char *text;
};

void vm_log_init(struct vm_log *log, int fd, int copy_fd);
void vm_log_release(struct vm_log *log);
/* Reads what is there; fd is -1 after the end. */
void vm_log_read(struct vm_log *log);
/* Writes kernel.log in the folder, unless nothing was said. Best effort: 0 or -errno. */
int vm_log_save(const struct vm_log *log, int dir_fd);
/*
 * What was said last, as one printable line in at most size bytes, lines joined by " | ": those in which a kernel says
 * what broke and where, if there are such, else the last six. Empty if nothing was said.
 */
void vm_log_tail(const struct vm_log *log, char *ret, size_t size);

#endif
