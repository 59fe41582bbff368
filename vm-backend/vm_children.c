/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of a VM when its machine has ended: it ends too, but a little later. */
#include "vm-backend/vm_children.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum { STEP_NS = 1000000, STEPS = 2000 };

void vm_children_adopt(void)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* without it they are init's, and end as well */
}

void vm_children_await(void)
{
	for (int i = 0; i < STEPS; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return; /* ECHILD: no more of them */
		if (pid == 0)
			(void)nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
	}
}
