/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_CONSOLE_H
#define BIVALVE_VIRTIO_CONSOLE_H

#include <linux/virtio_console.h>

#include "vm-backend/virtio/device.h"

#define VIRTIO_CONSOLE_AGENT_PORT "org.bivalve.agent"

/*
 * A multiport console (virtio 1.2, section 5.3): port 0 is hvc0 and is offered if there is a log to write to; port 1
 * is the agent's channel, a stream socket on our side.
 */
enum { CONSOLE_PORT_LOG, CONSOLE_PORT_AGENT, CONSOLE_PORTS };

struct virtio_console {
	struct virtio_device device;
	struct virtio_console_config config;
	int log_fd, agent_fd;           /* not owned; -1: none */
	struct io_source agent;         /* agent_fd in the loop */
	bool guest_open;                /* the guest has the agent's port open */
	bool agent_closed;              /* the socket's other side is gone */
	unsigned pending[CONSOLE_PORTS];/* what the guest is still to be told: bits of enum control in console.c */
	unsigned batch;                 /* receive buffers to fill with one call */
	struct virtq_chain sending;     /* the agent's message under way to the socket */
	bool is_sending;
	uint64_t sent_bytes;
};

void virtio_console_init(struct virtio_console *console, const struct vm_memory *memory, int agent_fd, int log_fd);
/* Serves queues and socket from loop. */
int virtio_console_attach(struct virtio_console *console, struct io_loop *loop, struct error *err);

/* Passes on what the guest has sent so far. Returns whether nothing is left (or nobody to send it to). */
bool virtio_console_drain(struct virtio_console *console);

#endif
