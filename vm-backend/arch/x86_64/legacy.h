/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_X86_LEGACY_H
#define BIVALVE_X86_LEGACY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm-backend/irq.h"

struct machine;

/* The port devices of a PC, as far as a Linux guest looks for them. Each access takes lock. */
struct legacy {
	pthread_mutex_t lock;
	struct machine *machine;
	struct {
		struct irq_line irq;
		int log_fd;             /* -1: there is no serial port */
		uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
		bool thri;              /* "transmitter empty" is to be told */
		unsigned len;           /* of what was not written yet */
		char line[256];
	} serial;
	uint8_t cmos_index;
};

/* Puts them on the machine's port bus. log_fd >= 0: with a serial port that writes there. */
int legacy_init(struct machine *machine, struct error *err);

#endif
