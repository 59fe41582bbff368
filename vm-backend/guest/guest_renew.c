/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a copy of a machine a machine of its own.
 *
 * Theory of operation. All copies of a saved machine have the same memory: the same key of the kernel's random number
 * generator, the same clock. RNDADDENTROPY stirs the host's bytes into the pool and RNDRESEEDCRNG draws a new key from
 * it at once, which also throws away what was drawn in advance (batches, the vDSO's): the kernel's own answer to a
 * machine generation id (add_vmfork_randomness) does the same two things. Whatever random the workload sees comes
 * after that: the addresses of its processes, AT_RANDOM, getrandom(2). Its boot id too, which the kernel makes when it
 * is first read.
 *
 * CLOCK_MONOTONIC goes on from where it stood. CLOCK_REALTIME is set.
 *
 * Not renewed: what the kernel drew for itself while it booted (hash seeds, the layout of its own memory). Copies of
 * one template share these, as any template's do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/guest/guest_renew.h"

/* struct rand_pool_info with room for its bytes. */
struct entropy {
	int bits, bytes;
	uint8_t data[AGENT_ENTROPY];
};

static int add_entropy(int random_fd, const uint8_t bytes[AGENT_ENTROPY], struct error *err)
{
	_cleanup_close_ int own = random_fd < 0 ? open("/dev/urandom", O_RDWR | O_CLOEXEC) : -1;
	struct entropy entropy = { .bits = 8 * AGENT_ENTROPY, .bytes = AGENT_ENTROPY };
	int fd = random_fd < 0 ? own : random_fd, r = 0;

	if (fd < 0)
		return error_sys(err, "guest: /dev/urandom");
	memcpy(entropy.data, bytes, AGENT_ENTROPY);
	if (ioctl(fd, RNDADDENTROPY, &entropy) < 0)
		r = error_sys(err, "guest: cannot add entropy");
	explicit_bzero(&entropy, sizeof entropy);
	if (r == 0 && ioctl(fd, RNDRESEEDCRNG) < 0)
		r = error_sys(err, "guest: cannot renew the random numbers' key");
	return r;
}

static int set_clock(uint64_t wall_ns, struct error *err)
{
	struct timespec t = { (time_t)(wall_ns / 1000000000), (long)(wall_ns % 1000000000) };

	return clock_settime(CLOCK_REALTIME, &t) < 0 ? error_sys(err, "guest: cannot set the clock") : 0;
}

int guest_renew(const struct agent_frame *frame, int random_fd, bool *ret_copied, struct error *err)
{
	struct agent_renew renew;
	size_t len = frame->length - sizeof renew;
	int r;

	if (frame->length < sizeof renew || len > AGENT_MAX_HOSTNAME)
		return error_set(err, EPROTO, "guest: RENEW of %u bytes", frame->length);
	memcpy(&renew, frame->payload, sizeof renew);
	if (renew.version != AGENT_VERSION || renew.only_clock > 1)
		return error_set(err, EPROTO, "guest: RENEW of version %u, not %d", renew.version, AGENT_VERSION);
	*ret_copied = !renew.only_clock;
	r = renew.only_clock ? 0 : add_entropy(random_fd, renew.entropy, err);
	explicit_bzero(renew.entropy, sizeof renew.entropy);
	if (r == 0 && len && sethostname((const char *)frame->payload + sizeof renew, len) < 0)
		r = error_sys(err, "guest: cannot set the host name");
	return r < 0 ? r : set_clock(renew.wall_ns, err);
}
