/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console with the agent's channel.
 *
 *      queue 0, 1   port 0 in, out       hvc0; out goes to the log, nothing ever comes in
 *      queue 2, 3   control in, out      which ports there are, who has opened what
 *      queue 4, 5   port 1 in, out       the agent's stream
 *
 * Theory of operation
 *
 * Bytes flow straight between the socket and the guest's buffers, and each side stops the other. The guest posts no
 * receive buffers: we do not read the socket, its peer's writes block. The socket is full: the guest's request stays
 * unanswered (`sending`, with `sent_bytes` of it gone), so its driver runs out of room and its writer blocks. Sources
 * are edge-triggered, so whoever ends a wait (a kick of the queue, bytes or room in the socket) calls the same pump
 * again.
 *
 * To the guest nothing is sent before it has opened the port: Linux throws such bytes away. Control messages to the
 * guest are a set of bits for each port, not a list, so the guest can make us forget nothing and store nothing.
 *
 * The socket is never put into non-blocking mode, for that belongs to the open file and not to us; every call on it
 * says MSG_DONTWAIT.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "runtime/base/alloc.h"
#include "vm-backend/virtio/console.h"

enum queue { LOG_IN, LOG_OUT, CONTROL_IN, CONTROL_OUT, AGENT_IN, AGENT_OUT, N_QUEUES };

/* What the guest is still to be told about a port, in the order in which it is told. */
enum control { TELL_ADD = 1, TELL_CONSOLE = 2, TELL_NAME = 4, TELL_OPEN = 8, TELL_CLOSED = 16, TELL_ALL = 31 };

enum {
	QUEUE_SIZE = 32,                /* Linux posts a page for each of an input queue, told one by one, at boot */
	MAX_BATCH = 16,                 /* receive buffers filled by one recvmsg; Linux posts a page each */
	TURN_BYTES = 4 << 20,           /* then other sources get their turn */
	REQUEST_COST = TURN_BYTES / 1024, /* an empty request counts too, or a guest that offers ever more has no end */
	MAX_CONTROL_BYTES = sizeof(struct virtio_console_control) + sizeof VIRTIO_CONSOLE_AGENT_PORT,
};

static struct virtio_console *console_of(struct virtio_device *device)
{
	return (struct virtio_console *)((char *)device - offsetof(struct virtio_console, device));
}

/* The message for the first thing that port's guest side is to be told. Returns its length. */
static size_t control_message(struct virtio_console *c, unsigned port, unsigned *ret_bit, uint8_t *message)
{
	static const struct {
		unsigned bit;
		uint16_t event, value;
	} messages[] = {
		{ TELL_ADD, VIRTIO_CONSOLE_PORT_ADD, 1 },
		{ TELL_CONSOLE, VIRTIO_CONSOLE_CONSOLE_PORT, 1 },
		{ TELL_NAME, VIRTIO_CONSOLE_PORT_NAME, 1 },
		{ TELL_OPEN, VIRTIO_CONSOLE_PORT_OPEN, 1 },
		{ TELL_CLOSED, VIRTIO_CONSOLE_PORT_OPEN, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		struct virtio_console_control control = { port, messages[i].event, messages[i].value };
		size_t len = sizeof control;

		if (!(c->pending[port] & messages[i].bit))
			continue;
		memcpy(message, &control, sizeof control);
		if (messages[i].bit == TELL_NAME) {
			memcpy(message + len, VIRTIO_CONSOLE_AGENT_PORT, sizeof VIRTIO_CONSOLE_AGENT_PORT - 1);
			len += sizeof VIRTIO_CONSOLE_AGENT_PORT - 1;
		}
		*ret_bit = messages[i].bit;
		return len;
	}
	return 0;
}

/* Tells the guest what it is to be told, as far as it has posted buffers. */
static void pump_control(struct virtio_console *c)
{
	struct virtio_device *device = &c->device;
	struct virtq_chain *chain = &device->chain;
	uint8_t message[MAX_CONTROL_BYTES];

	if (!virtio_queue_live(device, CONTROL_IN))
		return;
	for (unsigned port = 0; port < CONSOLE_PORTS; port++) {
		unsigned bit;
		size_t len;

		while ((len = control_message(c, port, &bit, message)) > 0) {
			int r;

			do
				r = virtq_pop(&device->queues[CONTROL_IN], device->memory, chain);
			while (r == 0 && virtq_resume_notify(&device->queues[CONTROL_IN]));
			if (r < 0 || (r > 0 && chain->in_bytes < len))
				virtio_device_break(device);
			if (r <= 0 || chain->in_bytes < len)
				return;
			c->pending[port] &= ~bit;
			(void)iov_write(chain->iov + chain->n_out, chain->n_in, 0, message, len); /* it fits */
			virtq_push(&device->queues[CONTROL_IN], chain->head, (uint32_t)len);
			virtio_device_signal(device, CONTROL_IN);
		}
	}
}

/* The buffers that the next bytes from the agent's socket go to, gathered from several requests. */
struct batch {
	unsigned n;
	struct {
		uint16_t head;
		uint64_t bytes;
	} requests[MAX_BATCH];
	unsigned n_iov;
	struct iovec iov[VIRTQ_MAX_SIZE];
	uint64_t bytes;
};

static int batch_gather(struct virtio_console *c, struct batch *batch)
{
	struct virtio_device *device = &c->device;
	struct virtq *q = &device->queues[AGENT_IN];
	struct virtq_chain *chain = &device->chain;

	batch->n = batch->n_iov = 0;
	batch->bytes = 0;
	while (batch->n < c->batch) {
		int r = virtq_pop(q, device->memory, chain);

		if (r < 0 || (r > 0 && chain->in_bytes == 0))
			return -EPROTO;
		if (r == 0)
			break;
		if (batch->n_iov + chain->n_in > VIRTQ_MAX_SIZE) {
			virtq_unpop(q);
			break;
		}
		memcpy(batch->iov + batch->n_iov, chain->iov + chain->n_out, chain->n_in * sizeof *chain->iov);
		batch->n_iov += chain->n_in;
		batch->requests[batch->n].head = chain->head;
		batch->requests[batch->n++].bytes = chain->in_bytes;
		batch->bytes += chain->in_bytes;
	}
	return (int)batch->n;
}

/* Answers the requests that got bytes, puts the others back. */
static void batch_settle(struct virtq *q, const struct batch *batch, uint64_t received)
{
	for (unsigned i = 0; i < batch->n; i++) {
		uint64_t bytes = batch->requests[i].bytes < received ? batch->requests[i].bytes : received;

		if (bytes > 0)
			virtq_push(q, batch->requests[i].head, (uint32_t)bytes);
		else
			virtq_unpop(q);
		received -= bytes;
	}
}

static void agent_gone(struct virtio_console *c)
{
	if (c->agent_closed)
		return;
	c->agent_closed = true;
	c->pending[CONSOLE_PORT_AGENT] = (c->pending[CONSOLE_PORT_AGENT] & ~(unsigned)TELL_OPEN) | TELL_CLOSED;
	pump_control(c);
}

/* One step from the socket to the guest. Returns the bytes moved; 0: wait for a kick or for the socket. */
static uint64_t receive_step(struct virtio_console *c, struct batch *batch)
{
	struct virtq *q = &c->device.queues[AGENT_IN];
	struct msghdr message = { .msg_iov = batch->iov };
	ssize_t n;
	int r = batch_gather(c, batch);

	if (r < 0) {
		virtio_device_break(&c->device);
		return 0;
	}
	if (r == 0)
		return 0;
	message.msg_iovlen = batch->n_iov;
	do
		n = recvmsg(c->agent_fd, &message, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	batch_settle(q, batch, n > 0 ? (uint64_t)n : 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		agent_gone(c);
	if (n <= 0)
		return 0;
	/* A full batch means that more is waiting: fill more buffers with the next call. */
	c->batch = (uint64_t)n < batch->bytes ? 1 : c->batch * 4 < MAX_BATCH ? c->batch * 4 : MAX_BATCH;
	return (uint64_t)n;
}

/* From the socket to the guest, until either has no more. */
static void pump_in(struct virtio_console *c)
{
	struct virtio_device *device = &c->device;
	struct virtq *q = &device->queues[AGENT_IN];
	struct batch batch;
	uint64_t moved, total = 0;

	if (!c->guest_open || c->agent_closed || !virtio_queue_live(device, AGENT_IN))
		return;
	do {
		virtq_pause_notify(q);
		while ((moved = receive_step(c, &batch)) > 0) {
			total += moved;
			virtio_device_signal(device, AGENT_IN);
			if (total >= TURN_BYTES) {
				io_source_kick(&device->kicks[AGENT_IN]);
				return;
			}
		}
		/* Wait for a kick only if it was buffers that ran out: else the socket will tell. */
	} while (virtq_resume_notify(q) && batch.n == 0 && virtio_queue_live(device, AGENT_IN) && !c->agent_closed);
}

/* Sends what is left of the message under way. Returns whether it is done. */
static bool send_rest(struct virtio_console *c)
{
	while (c->sent_bytes < c->sending.out_bytes && !c->agent_closed) {
		struct iovec iov[VIRTQ_MAX_SIZE];
		struct msghdr message = { .msg_iov = iov };
		ssize_t n;

		message.msg_iovlen = iov_slice(iov, c->sending.iov, c->sending.n_out, c->sent_bytes, UINT64_MAX);
		n = sendmsg(c->agent_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			c->sent_bytes += (uint64_t)n;
		else if (n < 0 && errno == EAGAIN)
			return false;
		else if (n < 0 && errno != EINTR)
			agent_gone(c);
	}
	return true;
}

/* From the guest to the socket, until the guest has no more or the socket no room. Without a socket it vanishes. */
static void pump_out(struct virtio_console *c)
{
	struct virtio_device *device = &c->device;
	struct virtq *q = &device->queues[AGENT_OUT];
	uint64_t total = 0;

	if (!virtio_queue_live(device, AGENT_OUT))
		return;
	do {
		int r = 1;

		virtq_pause_notify(q);
		while (c->is_sending || (r = virtq_pop(q, device->memory, &c->sending)) > 0) {
			if (!c->is_sending)
				c->sent_bytes = 0;
			c->is_sending = !send_rest(c);
			if (c->is_sending)
				return;
			virtq_push(q, c->sending.head, 0);
			virtio_device_signal(device, AGENT_OUT);
			total += c->sending.out_bytes + REQUEST_COST;
			if (total >= TURN_BYTES) {
				io_source_kick(&device->kicks[AGENT_OUT]);
				return;
			}
		}
		if (r < 0) {
			virtio_device_break(device);
			return;
		}
	} while (virtq_resume_notify(q));
}

/* One control message of the guest. Linux sends them one to a request. */
static int64_t handle_control(struct virtio_device *device, struct virtq_chain *chain)
{
	struct virtio_console *c = console_of(device);
	struct virtio_console_control control;

	if (iov_read(chain->iov, chain->n_out, 0, &control, sizeof control) != sizeof control)
		return 0; /* too short to mean anything */
	if (control.event == VIRTIO_CONSOLE_DEVICE_READY) {
		if (control.value == 1) {
			c->pending[CONSOLE_PORT_AGENT] |= TELL_ADD;
			if (c->log_fd >= 0)
				c->pending[CONSOLE_PORT_LOG] |= TELL_ADD;
		}
	} else if (control.event == VIRTIO_CONSOLE_PORT_READY && control.value == 1) {
		if (control.id == CONSOLE_PORT_LOG && c->log_fd >= 0)
			c->pending[CONSOLE_PORT_LOG] |= TELL_CONSOLE | TELL_OPEN;
		else if (control.id == CONSOLE_PORT_AGENT)
			c->pending[CONSOLE_PORT_AGENT] |= TELL_NAME | (c->agent_closed ? TELL_CLOSED : TELL_OPEN);
	} else if (control.event == VIRTIO_CONSOLE_PORT_OPEN && control.id == CONSOLE_PORT_AGENT) {
		c->guest_open = control.value == 1;
	}
	return 0;
}

/* hvc0: what the log does not take is lost; the guest's kernel spins while it waits, so it must not wait for long. */
static int64_t handle_log(struct virtio_device *device, struct virtq_chain *chain)
{
	struct virtio_console *c = console_of(device);

	if (c->log_fd >= 0 && chain->n_out > 0 && writev(c->log_fd, chain->iov, (int)chain->n_out) < 0)
		return 0;
	return 0;
}

static void console_serve(struct virtio_device *device, unsigned queue)
{
	struct virtio_console *c = console_of(device);

	switch (queue) {
	case LOG_OUT:
		virtio_serve_all(device, queue, handle_log);
		break;
	case CONTROL_OUT:
		virtio_serve_all(device, queue, handle_control);
		pump_control(c);
		pump_in(c);
		break;
	case CONTROL_IN:
		pump_control(c);
		break;
	case AGENT_IN:
		pump_in(c);
		break;
	case AGENT_OUT:
		pump_out(c);
		break;
	}
}

static void agent_ready(struct io_source *source, uint32_t events)
{
	struct virtio_console *c = source->owner;

	pthread_mutex_lock(&c->device.lock);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		pump_in(c);
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		pump_out(c);
	pthread_mutex_unlock(&c->device.lock);
}

static void console_reset(struct virtio_device *device)
{
	struct virtio_console *c = console_of(device);

	memset(c->pending, 0, sizeof c->pending);
	c->guest_open = false;
	c->is_sending = false; /* the rest of that message is lost: its memory is the guest's again */
	c->batch = 1;
}

struct own_state {
	uint32_t guest_open;
	uint32_t pending[CONSOLE_PORTS];
};

/* Whoever goes on has a socket and a log of its own; a message that is half in the old socket can go nowhere else. */
static int console_save(struct virtio_device *device, uint8_t own[VIRTIO_OWN_STATE], struct error *err)
{
	const struct virtio_console *c = console_of(device);
	struct own_state state = { c->guest_open, { c->pending[0], c->pending[1] } };

	_Static_assert(sizeof state <= VIRTIO_OWN_STATE, "room for it");
	if (c->is_sending)
		return error_set(err, EBUSY, "virtio-console: a message of the guest is under way");
	memcpy(own, &state, sizeof state);
	return 0;
}

static int console_restore(struct virtio_device *device, const uint8_t own[VIRTIO_OWN_STATE])
{
	struct virtio_console *c = console_of(device);
	struct own_state state;

	memcpy(&state, own, sizeof state);
	if (state.guest_open > 1 || (state.pending[0] | state.pending[1]) & ~(uint32_t)TELL_ALL)
		return -EINVAL;
	c->guest_open = state.guest_open;
	c->pending[0] = state.pending[0];
	c->pending[1] = state.pending[1];
	return 0;
}

static const struct virtio_ops console_ops = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.serve = console_serve,
	.reset = console_reset,
	.save = console_save,
	.restore = console_restore,
};

void virtio_console_init(struct virtio_console *console, const struct vm_memory *memory, int agent_fd, int log_fd)
{
	console->config = (struct virtio_console_config){ .max_nr_ports = CONSOLE_PORTS };
	console->agent_fd = agent_fd;
	console->log_fd = log_fd;
	console->agent_closed = agent_fd < 0;
	console->batch = 1;
	console->device = (struct virtio_device){
		.ops = &console_ops,
		.n_queues = N_QUEUES,
		.queue_max = QUEUE_SIZE,
		.fast_queues = 1 << AGENT_IN | 1 << AGENT_OUT,
		.config = &console->config,
		.config_bytes = sizeof console->config,
		.features = 1 << VIRTIO_CONSOLE_F_MULTIPORT,
	};
	virtio_device_init(&console->device, memory);
}

int virtio_console_attach(struct virtio_console *console, struct io_loop *loop, struct error *err)
{
	int r = virtio_device_attach(&console->device, loop, err);

	if (r < 0 || console->agent_fd < 0)
		return r;
	console->agent = (struct io_source){ .fd = console->agent_fd, .ready = agent_ready, .owner = console };
	return io_loop_add(loop, &console->agent, EPOLLIN | EPOLLOUT, err);
}

bool virtio_console_drain(struct virtio_console *console)
{
	bool done;

	pthread_mutex_lock(&console->device.lock);
	if (virtio_queue_live(&console->device, LOG_OUT))
		virtio_serve_all(&console->device, LOG_OUT, handle_log);
	pump_out(console);
	done = !console->is_sending;
	pthread_mutex_unlock(&console->device.lock);
	return done;
}
