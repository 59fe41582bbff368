/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RENEW and RENEWED: the two ends of the agent channel after a machine went on from a saved state, each before the
 * other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "tests/unit/tap.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/guest/guest_renew.h"

static struct error err;

struct pair {
	struct agent_host host;
	int fd, guest;
};

static void open_pair(struct pair *p)
{
	const int none[3] = { -1, -1, -1 };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
			agent_host_init(&p->host, fds[0], none, false, -1, &err) < 0)
		abort();
	p->fd = fds[0];
	p->guest = fds[1];
}

static void close_pair(struct pair *p)
{
	agent_host_release(&p->host);
	(void)close(p->fd); /* sockets */
	(void)close(p->guest);
}

/* The next frame of the host's, with what follows its header in payload. */
static struct agent_header take(struct pair *p, void *payload, size_t size)
{
	struct agent_header h = { 0 };

	if (fd_read_full(p->guest, &h, sizeof h) != sizeof h || h.length > size ||
			fd_read_full(p->guest, payload, h.length) != (ssize_t)h.length)
		abort();
	return h;
}

static int say(struct pair *p, uint8_t kind, const void *payload, uint32_t len)
{
	struct agent_header h = { len, kind, 0, 0 };
	struct pollfd fds[AGENT_HOST_WATCHES];

	if (fd_write_full(p->guest, &h, sizeof h) < 0 || fd_write_full(p->guest, payload, len) < 0)
		abort();
	agent_host_watch(&p->host, fds);
	return poll(fds, AGENT_HOST_WATCHES, 1000) < 0 ? -errno : agent_host_step(&p->host, fds, &err);
}

static void test_host(void)
{
	struct agent_renewed renewed = { .version = AGENT_VERSION, .uptime_ns = 5 };
	struct agent_hello hello = { .version = AGENT_VERSION };
	struct {
		struct agent_renew renew;
		char name[AGENT_MAX_HOSTNAME];
	} got, second;
	struct agent_header h;
	struct pair p;

	open_pair(&p);
	ok(say(&p, AGENT_RENEWED, &renewed, sizeof renewed) == -EPROTO, "RENEWED without RENEW ends the connection");
	close_pair(&p);

	open_pair(&p);
	ok(agent_host_renew(&p.host, "a-name", &err) == 0, "RENEW is sent");
	h = take(&p, &got, sizeof got);
	ok(h.kind == AGENT_RENEW && h.length == sizeof got.renew + 6 && !memcmp(got.name, "a-name", 6) &&
			got.renew.version == AGENT_VERSION && !got.renew.only_clock, "with the host name");
	ok(clock_wall_ns() - got.renew.wall_ns < UINT64_C(60000000000), "and the time");
	p.host.renew_sent_ns -= 1000000000; /* as if the machine had needed a second to go on */
	ok(say(&p, AGENT_RENEWED, &renewed, sizeof renewed) == 0 && !p.host.ready, "late: the clock is not right yet");
	h = take(&p, &second, sizeof second);
	ok(h.kind == AGENT_RENEW && h.length == sizeof second.renew && second.renew.only_clock == 1 &&
			second.renew.wall_ns >= got.renew.wall_ns, "so it is set again, and only that");
	p.host.renew_sent_ns = clock_now_ns();
	ok(say(&p, AGENT_RENEWED, &renewed, sizeof renewed) == 0 && p.host.uptime_ns == 5, "quick this time");
	ok(p.host.ready || p.host.renewals == 3, "ready, unless this host was too slow even now");
	ok(second.renew.wall_ns > clock_wall_ns() - UINT64_C(1000000000) && p.host.clock_error_ns >= 4000000,
			"a time that was sent ahead counts as wrong by as much");
	ok(say(&p, AGENT_HELLO, &hello, sizeof hello) == -EPROTO, "HELLO is not for a machine that goes on");
	close_pair(&p);

	open_pair(&p);
	(void)agent_host_renew(&p.host, "x", &err); /* seen above */
	h = take(&p, &second, sizeof second);
	ok(memcmp(got.renew.entropy, second.renew.entropy, AGENT_ENTROPY) != 0,
			"each machine gets its own random bytes");
	renewed.version = AGENT_VERSION + 1;
	ok(say(&p, AGENT_RENEWED, &renewed, sizeof renewed) == -EPROTO, "another version");
	close_pair(&p);

	open_pair(&p);
	(void)agent_host_renew(&p.host, NULL, &err); /* seen above */
	ok(say(&p, AGENT_RENEWED, &renewed, 4) == -EPROTO, "too short");
	close_pair(&p);
}

static int renew(struct agent_renew *r, uint32_t len)
{
	struct agent_frame frame = { .kind = AGENT_RENEW, .length = len, .payload = (const uint8_t *)r };

	bool copied;

	return guest_renew(&frame, -1, &copied, &err);
}

/* The workload of a saved instance: known with the first RENEWED, and it may speak before the clock is right. */
static void test_attach(void)
{
	struct agent_renewed renewed = { .version = AGENT_VERSION, .running = 1, .input_used = 1000,
		.ended = 1 << AGENT_STDERR };
	struct agent_renew got;
	struct pair p;

	open_pair(&p);
	(void)agent_host_renew(&p.host, NULL, &err); /* seen above */
	(void)take(&p, &got, sizeof got);
	ok(say(&p, AGENT_RENEWED, &renewed, sizeof renewed) == -EPROTO && strstr(err.message, "the template has"),
			"a template has no workload");
	close_pair(&p);

	open_pair(&p);
	p.host.attach = true;
	(void)agent_host_renew(&p.host, NULL, &err); /* seen above */
	(void)take(&p, &got, sizeof got);
	p.host.renew_sent_ns -= 1000000000;
	ok(say(&p, AGENT_RENEWED, &renewed, sizeof renewed) == 0 && !p.host.ready && p.host.workload.running,
			"its workload runs, whatever its clock says");
	ok(p.host.workload.input.credit == AGENT_WINDOW - 1000 && p.host.workload.errors.ended,
			"its streams are as they were");
	ok(say(&p, AGENT_DATA, "x", 1) == -EPROTO && strstr(err.message, "stream 0"), "but not in the wrong direction");
	close_pair(&p);

	open_pair(&p);
	p.host.attach = true;
	renewed.input_used = AGENT_WINDOW + 1;
	(void)agent_host_renew(&p.host, NULL, &err); /* seen above */
	ok(say(&p, AGENT_RENEWED, &renewed, sizeof renewed) == -EPROTO, "a window that is used beyond its end");
	close_pair(&p);

	open_pair(&p);
	p.host.attach = true;
	renewed = (struct agent_renewed){ .version = AGENT_VERSION };
	(void)agent_host_renew(&p.host, NULL, &err); /* seen above */
	(void)take(&p, &got, sizeof got);
	p.host.renew_sent_ns = clock_now_ns();
	(void)say(&p, AGENT_RENEWED, &renewed, sizeof renewed); /* refused now, or once the clock is right */
	ok(!p.host.ready, "a saved instance whose workload is gone");
	close_pair(&p);
}

/* Only what is refused before anything is done: the rest would be done to this machine. */
static void test_guest(void)
{
	struct {
		struct agent_renew renew;
		char name[AGENT_MAX_HOSTNAME + 1];
	} sent = { .renew = { .version = AGENT_VERSION + 1 } };

	ok(renew(&sent.renew, sizeof sent.renew) == -EPROTO, "the guest refuses another version");
	sent.renew.version = AGENT_VERSION;
	ok(renew(&sent.renew, sizeof sent.renew - 1) == -EPROTO, "too short a frame");
	ok(renew(&sent.renew, sizeof sent) == -EPROTO, "too long a host name");
	sent.renew.only_clock = 2;
	ok(renew(&sent.renew, sizeof sent.renew) == -EPROTO, "a flag that it does not know");
}

int main(void)
{
	test_host();
	test_attach();
	test_guest();
	return tap_done();
}
