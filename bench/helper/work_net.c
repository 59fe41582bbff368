/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP, this program at both ends. The server is a child that serves one connection after the other; a connection is a
 * series of requests: a letter, a count of eight bytes in the order of the machine, then
 *
 *   e   count bytes, each sent back before the next comes
 *   r   count bytes to the server, which answers with one
 *   s   count bytes from the server
 *
 * The client says the first word and nobody closes half of a connection: both ends are bivalve-bench, and this is about
 * what a network costs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/helper/helper.h"

enum { BLOCK = 65536, TIMEOUT_S = 20 };

struct request {
	char what;
	uint64_t count;
} __attribute__((packed));

static char block[BLOCK];

/* "ADDRESS:PORT". */
static int parse_address(const char *text, struct sockaddr_in *ret)
{
	char address[INET_ADDRSTRLEN + 1];
	const char *colon = strchr(text, ':');

	*ret = (struct sockaddr_in){ .sin_family = AF_INET };
	errno = EINVAL;
	if (!colon || (size_t)(colon - text) >= sizeof address)
		return -1;
	memcpy(address, text, (size_t)(colon - text));
	address[colon - text] = '\0';
	ret->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	return ret->sin_port && inet_pton(AF_INET, address, &ret->sin_addr) == 1 ? 0 : -1;
}

/* All of it in the given direction, in blocks whose content is nobody's. */
static int transfer(int fd, uint64_t count, ssize_t (*step)(int, char *, size_t))
{
	while (count) {
		ssize_t n = step(fd, block, count < BLOCK ? (size_t)count : BLOCK);

		if (n <= 0) {
			errno = n == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno;
			return -1;
		}
		count -= (uint64_t)n;
	}
	return 0;
}

static ssize_t receive_some(int fd, char *to, size_t n)
{
	return recv(fd, to, n, 0);
}

static ssize_t send_some(int fd, char *from, size_t n)
{
	return send(fd, from, n, MSG_NOSIGNAL);
}

static int serve_request(int fd, const struct request *r)
{
	int status = 0;

	switch (r->what) {
	case 'e':
		for (uint64_t i = 0; status == 0 && i < r->count; i++) {
			status = transfer(fd, 1, receive_some);
			if (status == 0)
				status = transfer(fd, 1, send_some);
		}
		return status;
	case 'r':
		status = transfer(fd, r->count, receive_some);
		return status < 0 ? status : transfer(fd, 1, send_some);
	case 's':
		return transfer(fd, r->count, send_some);
	default:
		return -1;
	}
}

static void no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* every TCP has it */
}

static void serve_forever(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		struct request r;

		if (fd < 0)
			continue;
		no_delay(fd);
		while (recv(fd, &r, sizeof r, MSG_WAITALL) == (ssize_t)sizeof r && serve_request(fd, &r) == 0)
			;
		(void)close(fd);
	}
}

/* Starts the server, which lives as long as this process does. */
static int run_serve(uint64_t ms, const char *arg, struct outcome *ret)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in at;
	pid_t parent = getpid(), pid;

	if (listener < 0)
		return outcome_fail(ret, "socket");
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* else bind() tells */
	if (parse_address(arg, &at) < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 ||
			listen(listener, 8) < 0) {
		(void)outcome_fail(ret, "listening");
		(void)close(listener);
		return -1;
	}
	pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
			serve_forever(listener);
		_exit(1);
	}
	(void)close(listener); /* the child's */
	return pid < 0 ? outcome_fail(ret, "fork") : outcome_value(ret, 1);
}

static int ask(int fd, char what, uint64_t count)
{
	const struct request r = { what, count };

	return send(fd, &r, sizeof r, MSG_NOSIGNAL) == (ssize_t)sizeof r ? 0 : -1;
}

static int latency_batch(void *state, uint64_t n)
{
	int fd = *(const int *)state;

	if (ask(fd, 'e', n) < 0)
		return -1;
	while (n--)
		if (transfer(fd, 1, send_some) < 0 || transfer(fd, 1, receive_some) < 0)
			return -1;
	return 0;
}

static int upload_batch(void *state, uint64_t n)
{
	int fd = *(const int *)state;

	if (ask(fd, 'r', n * BLOCK) < 0 || transfer(fd, n * BLOCK, send_some) < 0)
		return -1;
	return transfer(fd, 1, receive_some);
}

static int download_batch(void *state, uint64_t n)
{
	int fd = *(const int *)state;

	return ask(fd, 's', n * BLOCK) < 0 ? -1 : transfer(fd, n * BLOCK, receive_some);
}

static int open_connection(const char *to)
{
	const struct timeval limit = { .tv_sec = TIMEOUT_S };
	struct sockaddr_in at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* If one of these fails the runner has a limit of its own. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	no_delay(fd);
	if (parse_address(to, &at) == 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
		return fd;
	(void)close(fd); /* errno stays: it does not fail */
	return -1;
}

static int measured(uint64_t ms, const char *to, int (*batch)(void *, uint64_t), double *ret_ns, struct outcome *ret)
{
	int fd = open_connection(to), r;

	if (fd < 0)
		return outcome_fail(ret, "connecting");
	r = helper_measure_usual(ms, batch, &fd, ret_ns);
	if (r < 0)
		(void)outcome_fail(ret, "the connection");
	(void)close(fd);
	return r;
}

static int run_latency(uint64_t ms, const char *arg, struct outcome *ret)
{
	double ns;

	return measured(ms, arg, latency_batch, &ns, ret) < 0 ? -1 : outcome_value(ret, ns / 1e3);
}

static int run_upload(uint64_t ms, const char *arg, struct outcome *ret)
{
	double ns;

	return measured(ms, arg, upload_batch, &ns, ret) < 0 ? -1 : outcome_value(ret, BLOCK / ns * 1e9 / 1048576);
}

static int run_download(uint64_t ms, const char *arg, struct outcome *ret)
{
	double ns;

	return measured(ms, arg, download_batch, &ns, ret) < 0 ? -1 : outcome_value(ret, BLOCK / ns * 1e9 / 1048576);
}

const struct workload net_workloads[] = {
	{ "net-serve", "1: it listens at ADDRESS:PORT", run_serve },
	{ "net-latency", "us, one byte to ADDRESS:PORT and back", run_latency },
	{ "net-upload", "MiB/s to ADDRESS:PORT", run_upload },
	{ "net-download", "MiB/s from ADDRESS:PORT", run_download },
	{ NULL, NULL, NULL },
};
