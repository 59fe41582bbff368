/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_NET_H
#define BIVALVE_VIRTIO_NET_H

#include <linux/virtio_net.h>

#include "vm-backend/virtio/device.h"

/* A network card whose cable is a stream socket: passt's. */
enum {
	NET_MAC_BYTES = 6,
	NET_MTU = 65520,                /* of passt: what fits an Ethernet frame of 64 KiB */
	NET_FRAME_MAX = 65535 + 14,     /* bytes, with its Ethernet header */
	NET_LENGTH_BYTES = 4,           /* before each frame on the socket, big-endian */
	NET_READ_BYTES = 256 << 10,     /* of frames that came and did not yet go to the guest */
	NET_MAX_BUFFERS = VIRTQ_MAX_SIZE, /* of the guest's, that one frame may be spread over */
};

/* The guest's buffers that the frame under way has gone into so far. */
struct net_spread {
	uint16_t heads[NET_MAX_BUFFERS];
	uint32_t bytes[NET_MAX_BUFFERS];
	unsigned n;
	size_t done;                    /* bytes of the frame */
	struct virtq_chain first, more; /* the first, where the header goes when their number is known; the last */
};

struct virtio_net {
	struct virtio_device device;
	struct virtio_net_config config;
	struct io_source socket;
	int fd;                         /* borrowed */
	bool unplugged;                 /* the socket has ended: what the guest sends vanishes */
	uint8_t *in;                    /* [in_start, in_end): what came from the socket */
	size_t in_start, in_end;
	uint8_t *out;                   /* [out_start, out_end): the rest of a frame that the socket took in part */
	size_t out_start, out_end;
	struct net_spread spread;
};

/*
 * fd: a connected stream socket, not blocking; it stays the caller's and must outlive the device. mac: as the guest
 * sees it.
 */
void virtio_net_init(struct virtio_net *net, const struct vm_memory *memory, int fd, const uint8_t mac[NET_MAC_BYTES]);
int virtio_net_attach(struct virtio_net *net, struct io_loop *loop, struct error *err);
/* Frees the buffers. */
void virtio_net_release(struct virtio_net *net);

#endif
