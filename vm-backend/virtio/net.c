/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net: frames between the guest's two queues and a stream socket, where each has its length before it.
 *
 * Theory of operation. One thread serves both directions. To the guest: the socket is read into a buffer of ours, and
 * each whole frame goes into as many of the guest's buffers as it takes (VIRTIO_NET_F_MRG_RXBUF), or, with too few to
 * be
 * had, waits with those; then the socket is no longer read, and the other side waits too. From the guest: a frame goes
 * to
 * the socket straight from its pages; what the socket does not take at once is copied, so that the guest has its buffer
 * back and a frame is never cut. No checksum or segment is left to the device: large frames (MTU 65520) do their work.
 *
 * Both sides are hostile. A guest's frame of a wrong size is dropped as a switch would; a length from the socket that
 * no
 * frame has ends the connection, since where the next one begins is lost.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "runtime/base/alloc.h"
#include "vm-backend/virtio/net.h"

enum {
	QUEUE_IN, QUEUE_OUT, QUEUES,
	FRAME_MIN = 14,                 /* an Ethernet header */
	HEADER_BYTES = sizeof(struct virtio_net_hdr_v1),
	TURN_FRAMES = 64,               /* in one direction, before the other has its turn */
};

static struct virtio_net *net_of(struct virtio_device *device)
{
	return (struct virtio_net *)((char *)device - offsetof(struct virtio_net, device));
}

/* Gives back all buffers of the frame under way, unused. */
static void undo_spread(struct virtio_net *net)
{
	while (net->spread.n > 0) {
		virtq_unpop(&net->device.queues[QUEUE_IN]);
		net->spread.n--;
	}
	net->spread.done = 0;
}

static void unplug(struct virtio_net *net)
{
	net->unplugged = true;
	net->in_start = net->in_end = net->out_start = net->out_end = 0;
	undo_spread(net);
}

/* ---- to the guest ---- */

/* Reads what there is room for. False: nothing came. */
static bool fill(struct virtio_net *net)
{
	ssize_t n;

	if (net->in_start > 0) {
		memmove(net->in, net->in + net->in_start, net->in_end - net->in_start);
		net->in_end -= net->in_start;
		net->in_start = 0;
	}
	do
		n = recv(net->fd, net->in + net->in_end, NET_READ_BYTES - net->in_end, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		unplug(net);
	if (n <= 0)
		return false;
	net->in_end += (size_t)n;
	return true;
}

/* The first frame that is there as a whole: its bytes and how many; NULL: there is none. */
static const uint8_t *first_frame(struct virtio_net *net, size_t *ret_len)
{
	const uint8_t *at = net->in + net->in_start;
	size_t there = net->in_end - net->in_start, len;

	if (there < NET_LENGTH_BYTES)
		return NULL;
	len = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
	if (len < FRAME_MIN || len > NET_FRAME_MAX) {
		unplug(net);
		return NULL;
	}
	if (there - NET_LENGTH_BYTES < len)
		return NULL;
	*ret_len = len;
	return at + NET_LENGTH_BYTES;
}

/*
 * Copies the frame, from where it was left on, into buffers. Returns 1: done; 0: it needs more buffers than there are,
 * and
 * keeps those that it has; -EFBIG: it needs more than it may have; -EPROTO: the ring is broken.
 */
static int spread_frame(struct virtio_net *net, const uint8_t *frame, size_t len)
{
	struct virtio_device *device = &net->device;
	struct net_spread *s = &net->spread;
	unsigned max = virtio_has_feature(device, VIRTIO_NET_F_MRG_RXBUF) ? NET_MAX_BUFFERS : 1;

	while (s->done < len) {
		struct virtq_chain *chain = s->n ? &s->more : &s->first;
		size_t skip = s->n ? 0 : HEADER_BYTES, copied;
		int r;

		if (s->n == max)
			return -EFBIG;
		r = virtq_pop(&device->queues[QUEUE_IN], device->memory, chain);
		if (r <= 0)
			return r;
		copied = iov_write(chain->iov + chain->n_out, chain->n_in, skip, frame + s->done, len - s->done);
		if (copied == 0)
			return -EPROTO; /* no room for anything: a driver that means nothing by it */
		s->heads[s->n] = chain->head;
		s->bytes[s->n++] = (uint32_t)(skip + copied);
		s->done += copied;
	}
	return 1;
}

/* As spread_frame(); a frame that the guest cannot take in any case is dropped: also 1. */
static int deliver(struct virtio_net *net, const uint8_t *frame, size_t len)
{
	struct net_spread *s = &net->spread;
	struct virtio_net_hdr_v1 header = { 0 };
	int r = spread_frame(net, frame, len);

	if (r == -EFBIG) {
		undo_spread(net);
		return 1;
	}
	if (r <= 0)
		return r;
	header.num_buffers = (uint16_t)s->n;
	(void)iov_write(s->first.iov + s->first.n_out, s->first.n_in, 0, &header, sizeof header);
	for (unsigned i = 0; i < s->n; i++)
		virtq_push(&net->device.queues[QUEUE_IN], s->heads[i], s->bytes[i]);
	s->n = 0;
	s->done = 0;
	return 1;
}

/*
 * Frames to the guest, at most a turn's. Returns 1 if there may be more, 0 if not, -ENOBUFS without buffers, -EPROTO.
 */
static int receive_turn(struct virtio_net *net)
{
	for (unsigned frames = 0; frames < TURN_FRAMES;) {
		size_t len;
		const uint8_t *frame = first_frame(net, &len);
		int r;

		if (!frame) {
			if (net->unplugged || !fill(net))
				return 0;
			continue;
		}
		r = deliver(net, frame, len);
		if (r <= 0)
			return r < 0 ? r : -ENOBUFS;
		net->in_start += NET_LENGTH_BYTES + len;
		frames++;
	}
	return 1;
}

static void pump_in(struct virtio_net *net)
{
	struct virtio_device *device = &net->device;
	struct virtq *q = &device->queues[QUEUE_IN];
	int r;

	if (net->unplugged || !virtio_queue_live(device, QUEUE_IN))
		return;
	do {
		virtq_pause_notify(q);
		r = receive_turn(net);
		virtio_device_signal(device, QUEUE_IN);
	} while (r == -ENOBUFS && virtq_resume_notify(q));
	if (r == -EPROTO)
		virtio_device_break(device);
	else if (r > 0)
		io_source_kick(&device->kicks[QUEUE_IN]);
}

/* ---- from the guest ---- */

/* Sends the rest of the frame under way. Returns whether it is gone. */
static bool flush(struct virtio_net *net)
{
	while (net->out_start < net->out_end) {
		const struct iovec iov = { net->out + net->out_start, net->out_end - net->out_start };
		ssize_t n = writev(net->fd, &iov, 1);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && errno != EINTR)
			unplug(net);
		if (n > 0)
			net->out_start += (size_t)n;
	}
	net->out_start = net->out_end = 0;
	return true;
}

/* Sends one frame, or keeps what is left of it. False: nothing of it was taken. */
static bool send_frame(struct virtio_net *net, const struct virtq_chain *chain)
{
	struct iovec iov[VIRTQ_MAX_SIZE + 1];
	uint64_t len = chain->out_bytes < HEADER_BYTES ? 0 : chain->out_bytes - HEADER_BYTES;
	const uint8_t length[NET_LENGTH_BYTES] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
		(uint8_t)len };
	unsigned n_iov;
	ssize_t n;

	if (net->unplugged || len < FRAME_MIN || len > NET_FRAME_MAX)
		return true; /* dropped */
	iov[0] = (struct iovec){ (void *)(uintptr_t)length, sizeof length };
	n_iov = 1 + iov_slice(iov + 1, chain->iov, chain->n_out, HEADER_BYTES, len);
	do
		n = writev(net->fd, iov, (int)n_iov);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		unplug(net);
	else if ((uint64_t)n < sizeof length + len) {
		net->out_start = 0;
		net->out_end = sizeof length + (size_t)len - (size_t)n;
		for (size_t at = 0, skip = (size_t)n, i = 0; i < n_iov; i++) {
			size_t part = iov[i].iov_len > skip ? iov[i].iov_len - skip : 0;

			memcpy(net->out + at, (uint8_t *)iov[i].iov_base + iov[i].iov_len - part, part);
			at += part;
			skip -= iov[i].iov_len - part;
		}
	}
	return true;
}

static void pump_out(struct virtio_net *net)
{
	struct virtio_device *device = &net->device;
	struct virtq *q = &device->queues[QUEUE_OUT];
	unsigned frames = 0;
	int r = 0;

	if (!virtio_queue_live(device, QUEUE_OUT))
		return;
	do {
		virtq_pause_notify(q);
		while (flush(net) && (r = virtq_pop(q, device->memory, &device->chain)) > 0) {
			if (!send_frame(net, &device->chain)) {
				virtq_unpop(q);
				return; /* the socket will tell */
			}
			virtq_push(q, device->chain.head, 0);
			virtio_device_signal(device, QUEUE_OUT);
			if (++frames == TURN_FRAMES) {
				io_source_kick(&device->kicks[QUEUE_OUT]);
				return;
			}
		}
		if (net->out_start < net->out_end)
			return; /* likewise */
		if (r < 0) {
			virtio_device_break(device);
			return;
		}
	} while (virtq_resume_notify(q));
}

/* ---- both ---- */

static void serve(struct virtio_device *device, unsigned queue)
{
	if (queue == QUEUE_IN)
		pump_in(net_of(device));
	else
		pump_out(net_of(device));
}

static void socket_ready(struct io_source *source, uint32_t events)
{
	struct virtio_net *net = source->owner;

	pthread_mutex_lock(&net->device.lock);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		pump_in(net);
	if (events & EPOLLOUT)
		pump_out(net);
	pthread_mutex_unlock(&net->device.lock);
}

/* What is half sent goes on: a frame that is cut would end the connection. */
static void reset(struct virtio_device *device)
{
	net_of(device)->spread.n = 0; /* the queue forgets them too */
	net_of(device)->spread.done = 0;
}

/* A card that is down, as a template's is, has nothing under way. What the guest has offered lies in the queues. */
static int save(struct virtio_device *device, uint8_t own[VIRTIO_OWN_STATE], struct error *err)
{
	const struct virtio_net *net = net_of(device);

	if (net->in_start < net->in_end || net->out_start < net->out_end || net->spread.n)
		return error_set(err, EBUSY, "virtio-net: frames are under way");
	memset(own, 0, VIRTIO_OWN_STATE);
	return 0;
}

static int restore(struct virtio_device *device, const uint8_t own[VIRTIO_OWN_STATE])
{
	static const uint8_t nothing[VIRTIO_OWN_STATE];

	return memcmp(own, nothing, sizeof nothing) ? -EINVAL : 0;
}

static const struct virtio_ops net_ops = { .name = "virtio-net", .id = VIRTIO_ID_NET, .serve = serve, .reset = reset,
	.save = save, .restore = restore };

void virtio_net_init(struct virtio_net *net, const struct vm_memory *memory, int fd, const uint8_t mac[NET_MAC_BYTES])
{
	*net = (struct virtio_net){ .fd = fd, .in = xcalloc(1, NET_READ_BYTES),
		.out = xcalloc(1, NET_LENGTH_BYTES + NET_FRAME_MAX), .config.mtu = NET_MTU };
	memcpy(net->config.mac, mac, NET_MAC_BYTES);
	net->device = (struct virtio_device){
		.ops = &net_ops,
		.n_queues = QUEUES,
		.queue_max = VIRTQ_MAX_SIZE,
		.fast_queues = 1 << QUEUE_IN | 1 << QUEUE_OUT,
		.config = &net->config,
		.config_bytes = sizeof net->config,
		.config_own_bytes = NET_MAC_BYTES, /* the agent gives the card of a copy its own */
		.features = UINT64_C(1) << VIRTIO_NET_F_MAC | UINT64_C(1) << VIRTIO_NET_F_MTU |
				UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF,
	};
	virtio_device_init(&net->device, memory);
}

int virtio_net_attach(struct virtio_net *net, struct io_loop *loop, struct error *err)
{
	int r = virtio_device_attach(&net->device, loop, err);

	if (r < 0)
		return r;
	net->socket = (struct io_source){ .fd = net->fd, .ready = socket_ready, .owner = net };
	return io_loop_add(loop, &net->socket, EPOLLIN | EPOLLOUT, err);
}

void virtio_net_release(struct virtio_net *net)
{
	free(net->in);
	free(net->out);
	net->in = net->out = NULL;
}
