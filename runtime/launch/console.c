/* SPDX-License-Identifier: Apache-2.0 */
/* A workload's pseudo-terminal joined to ours. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runtime/base/fd.h"
#include "runtime/launch/console.h"

void console_attach(struct console *c, int master, uint64_t room)
{
	*c = (struct console){ .master = master, .input_open = true, .room = room ? room : UINT64_MAX };
	(void)fd_set_nonblock(master, true); /* a blocking master only makes us slower */
	if (tcgetattr(STDIN_FILENO, &c->saved) == 0) {
		struct termios raw = c->saved;

		cfmakeraw(&raw);
		c->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
	console_resize(c);
}

void console_resize(struct console *c)
{
	struct winsize size;

	if (c->master >= 0 && (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 ||
			ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0))
		(void)ioctl(c->master, TIOCSWINSZ, &size); /* a wrong size is no reason to stop */
}

void console_input(struct console *c, bool readable)
{
	static const char end_of_transmission = 4;
	ssize_t n;

	if (readable && c->input_open && c->pending_len == 0) {
		n = read(STDIN_FILENO, c->pending, sizeof c->pending);
		if (n > 0) {
			c->pending_len = (size_t)n;
		} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
			c->input_open = false;
			c->pending[c->pending_len++] = end_of_transmission; /* what a person would type */
		}
	}
	if (c->pending_len == 0)
		return;
	n = write(c->master, c->pending, c->pending_len);
	if (n > 0) {
		c->pending_len -= (size_t)n;
		for (size_t i = 0; i < c->pending_len; i++)
			c->pending[i] = c->pending[i + (size_t)n];
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		c->pending_len = 0;
	}
}

bool console_output(struct console *c)
{
	char buffer[16384];
	ssize_t n = read(c->master, buffer, sizeof buffer);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if ((uint64_t)n > c->room) {
		n = (ssize_t)c->room;
		c->over = true;
	}
	c->room -= (uint64_t)n;
	(void)fd_write_full(STDOUT_FILENO, buffer, (size_t)n); /* our reader left: the workload may go on */
	return true;
}

void console_detach(struct console *c)
{
	struct pollfd p = { .fd = c->master, .events = POLLIN };

	while (c->master >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLIN) && console_output(c))
		;
	c->master = -1;
	if (c->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &c->saved); /* nothing better to do if it fails */
	c->raw = false;
}
