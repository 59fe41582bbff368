/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 in the guest. It must never exit: the kernel would panic. Whatever goes wrong is told to the host, on the
 * agent channel or at least on the console, and the machine is turned off.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm-backend/guest/guest_agent.h"
#include "vm-backend/guest/guest_boot.h"
#include "vm-backend/shares.h"

/* The kernel hands us the words of its command line that it does not know. */
enum { OPEN_FILES = 1 << 20 }; /* fs.nr_open, as it is unless somebody changes it */

static bool has_word(char *const *words, const char *word)
{
	for (; *words; words++)
		if (!strcmp(*words, word))
			return true;
	return false;
}

/*
 * The kernel begins with 4096 open files at most. Who is in a user namespace of its own cannot raise that again, so
 * that it would bind where a policy allows more.
 */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return; /* it can be neither read nor missed */
	files.rlim_max = OPEN_FILES;
	(void)setrlimit(RLIMIT_NOFILE, &files); /* then the workload's own limit says why it cannot be had */
}

static int boot(char *const *words, int *ret_port, struct error *err)
{
	int r = guest_mount_all(err);

	if (r == 0) {
		guest_load_modules(GUEST_MODULES);
		r = guest_setup_cgroups(err);
	}
	if (r == 0) {
		guest_loopback_up();
		r = *ret_port = guest_open_port(err);
	}
	if (r >= 0 && has_word(words, SHARES_WORD))
		r = guest_mount_shares(err);
	return r < 0 || has_word(words, NO_IMAGE_WORD) ? r : guest_mount_image(err);
}

/* A kernel without a console leaves us without the first three descriptors, which must not become others. */
static void open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/kmsg", O_RDWR | O_NOCTTY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd); /* one too many, as nearly always */
}

int main(int argc, char **argv)
{
	struct error err = { 0 };
	int port = -1;
	int r;

	open_standard_streams();
	(void)umask(0022);
	raise_limits();
	r = boot(argv, &port, &err);
	if (r < 0 && port >= 0)
		guest_agent_refuse(port, &err);
	if (r == 0)
		r = guest_agent_serve(port, &err);
	if (r < 0)
		guest_tell("%s", err.message);
	guest_power_off();
}
