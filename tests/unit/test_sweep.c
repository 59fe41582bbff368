/* SPDX-License-Identifier: Apache-2.0 */
/* Claiming the folders of instances, while others sweep up what nobody holds. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/launch/sweep.h"
#include "tests/unit/tap.h"

enum { CLAIMS = 2000 };

static char run_dir[] = "/tmp/bivalve-test-sweep.XXXXXX";
static atomic_int current; /* the name that is being claimed; CLAIMS: the end */
static int caught;

/*
 * A sweep at the worst moment: it takes each folder, once, as soon as it is there, most times before whoever makes it
 * has locked it, and lets go of it only a while after it has removed it.
 */
static void *sweep_at_once(void *unused)
{
	int run_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), at, last = -1;

	(void)unused;
	while ((at = current) < CLAIMS) {
		char id[16];
		int fd;

		if (at == last)
			continue;
		(void)snprintf(id, sizeof id, "i%d", at);
		fd = openat(run_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(run_fd, id, AT_REMOVEDIR) == 0) {
			(void)usleep(100);
			caught++;
			last = at;
		}
		if (fd >= 0)
			(void)close(fd);
	}
	(void)close(run_fd);
	return NULL;
}

static void test_claim_beside_a_sweep(void)
{
	pthread_t sweeper;
	struct error err = { 0 };
	int refused = 0;

	if (pthread_create(&sweeper, NULL, sweep_at_once, NULL) != 0)
		abort();
	for (; current < CLAIMS; current++) {
		char id[16];
		int lock = -1;

		(void)snprintf(id, sizeof id, "i%d", current);
		if (instance_claim(run_dir, id, &lock, &err) < 0)
			refused++;
		else
			(void)close(lock); /* now it is abandoned indeed */
	}
	(void)pthread_join(sweeper, NULL); /* ours */
	ok(refused == 0, "each of %d names that nobody has is given, though %d were swept meanwhile", CLAIMS, caught);
	if (refused)
		printf("# %d refused: %s\n", refused, err.message);
	(void)instance_sweep(run_dir);
	ok(rmdir(run_dir) == 0, "and nothing of them is left");
}

static void test_held(void)
{
	struct error err = { 0 };
	int lock = -1, second = -1;

	ok(instance_claim(run_dir, "a", &lock, &err) == 0, "a name is given once");
	ok(instance_is_held(run_dir, "a"), "and held then");
	(void)instance_sweep(run_dir);
	ok(instance_is_held(run_dir, "a"), "no sweep takes it");
	ok(instance_claim(run_dir, "a", &second, &err) == -EEXIST, "nor is it given again");
	(void)close(lock);
	ok(instance_claim(run_dir, "a", &second, &err) == 0, "until it is let go");
	(void)close(second);
}

int main(void)
{
	if (!mkdtemp(run_dir))
		abort();
	test_held();
	test_claim_beside_a_sweep();
	return tap_done();
}
