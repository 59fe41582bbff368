/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 in the guest. It must never exit: the kernel would panic. Whatever goes wrong is told to the host, on the
 * agent channel or at least on the console, and the machine is turned off.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "vm-backend/guest/guest_agent.h"
#include "vm-backend/guest/guest_boot.h"

static int boot(int *ret_port, struct error *err)
{
	int r = guest_mount_all(err);

	if (r == 0) {
		guest_load_modules();
		r = guest_setup_cgroups(err);
	}
	if (r == 0) {
		guest_loopback_up();
		r = *ret_port = guest_open_port(err);
	}
	return r < 0 ? r : guest_mount_image(err);
}

int main(void)
{
	struct error err = { 0 };
	int port = -1;
	int r;

	(void)umask(0022);
	r = boot(&port, &err);
	if (r < 0 && port >= 0)
		guest_agent_refuse(port, &err);
	if (r == 0)
		r = guest_agent_serve(port, &err);
	if (r < 0)
		(void)fprintf(stderr, "bivalve-guest: %s\n", err.message);
	guest_power_off();
}
