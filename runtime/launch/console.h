/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_CONSOLE_H
#define BIVALVE_LAUNCH_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

/* Joins a pseudo-terminal's master to our own standard input and output. */
struct console {
	uint64_t room;           /* how many bytes of output may still pass */
	bool over;               /* there were more */
	int master;              /* not owned; -1: none */
	bool raw;                /* our terminal's settings were changed */
	bool input_open;         /* standard input has not ended yet */
	struct termios saved;
	char pending[4096];      /* read from standard input, not yet taken by the master */
	size_t pending_len;
};

/* Puts our terminal, if standard input is one, into raw mode and hands its size to the master. room: how many bytes of
 * output may pass; 0: any number. */
void console_attach(struct console *c, int master, uint64_t room);
void console_resize(struct console *c);
/* Standard input → pending → master, as far as it goes without waiting. */
void console_input(struct console *c, bool readable);
/* Master → standard output, as far as there is room. False when the other side is gone. */
bool console_output(struct console *c);
/* Copies what is left and gives our terminal its settings back. Idempotent. */
void console_detach(struct console *c);

#endif
