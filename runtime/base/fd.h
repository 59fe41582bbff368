/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_FD_H
#define BIVALVE_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/error.h"

/* Reads until len bytes or end of file; retries EINTR. Returns the bytes read, or -errno. */
ssize_t fd_read_full(int fd, void *buf, size_t len);
/* Writes all len bytes; retries EINTR and waits on EAGAIN. Returns 0 or -errno. */
int fd_write_full(int fd, const void *buf, size_t len);
/* The same at an offset of a file, whose position stays. Returns 0 or -errno. */
int fd_pwrite_full(int fd, const void *buf, size_t len, off_t offset);

/* Sends data with n_fds (at most 16) descriptors over a unix socket (SCM_RIGHTS). Returns 0 or -errno. */
int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n_fds);
/*
 * Receives at most len bytes and at most n_fds descriptors, CLOEXEC; slots that got none are -1.
 * Returns the bytes received (0: end of file), or -errno.
 */
ssize_t fd_recv(int sock, void *data, size_t len, int *ret_fds, size_t n_fds);

int fd_set_nonblock(int fd, bool on);  /* 0 or -errno */
int fd_set_cloexec(int fd, bool on);   /* 0 or -errno */

/* pidfd_open(2) and pidfd_send_signal(2), Linux 5.3 and 5.1. Return the fd / 0, or -errno. */
int pidfd_open_pid(pid_t pid);
int pidfd_kill(int pidfd, int signo);

/* The start time of a process in clock ticks since boot (/proc/PID/stat field 22): with the pid, a name that is
 * never used twice. Returns 0 or -errno (-ESRCH: no such process). */
int pid_start_time(pid_t pid, uint64_t *ret_ticks);

#endif
