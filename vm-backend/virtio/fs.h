/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_FS_H
#define BIVALVE_VIRTIO_FS_H

#include <linux/virtio_fs.h>

#include "vm-backend/fs/fs_server.h"
#include "vm-backend/virtio/device.h"

/* Host directories (virtio 1.2, section 5.11). Until server is set, which is before the guest runs, all is refused. */
struct virtio_fs {
	struct virtio_device device;
	struct virtio_fs_config config;
	struct fs_server *server;       /* borrowed */
	bool reset;                     /* to be told to the server; with the lock */
};

/* tag: what the guest mounts, up to 36 bytes. */
void virtio_fs_init(struct virtio_fs *fs, const struct vm_memory *memory, const char *tag);

#endif
