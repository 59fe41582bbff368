/* SPDX-License-Identifier: Apache-2.0 */
/* From the plan to the machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/copy.h"
#include "vm-backend/shares.h"
#include "vm-backend/vm_config.h"

/*
 * A reset instead of a halt ends the machine. The tracing file system, which nothing in the guest mounts, has thousands
 * of files: making them is a tenth of a boot. The other word is one more self-test of a cipher.
 */
#define WORDS "panic=-1 reboot=t initcall_blacklist=tracer_init_tracefs,crypto_kdf108_init"

enum { MEMORY_STEP = 2 << 20 };

bool vm_log_wanted(void)
{
	const char *value = getenv("BIVALVE_VM_LOG");

	return value && !strcmp(value, "1");
}

static bool parse_mac(const char *text, uint8_t ret[6])
{
	return text && sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx",
			ret, ret + 1, ret + 2, ret + 3, ret + 4, ret + 5) == 6;
}

static bool has_image_disk(const struct plan *plan)
{
	return plan->root.disk && !plan->root.path;
}

const char *vm_scratch_device(const struct plan *plan)
{
	return has_image_disk(plan) ? "/dev/vdb" : "/dev/vda";
}

static void add_disk(struct vm_config *config, const struct plan_resources *res, struct vm_disk disk)
{
	disk.rates[VM_READ_BYTES] = res->disk_read_bytes;
	disk.rates[VM_WRITE_BYTES] = res->disk_write_bytes;
	disk.rates[VM_READ_OPS] = res->disk_read_ops;
	disk.rates[VM_WRITE_OPS] = res->disk_write_ops;
	config->disks[config->n_disks++] = disk;
}

void vm_machine_describe(const struct plan *plan, bool verbose, struct vm_machine *ret)
{
	size_t n_shares;

	*ret = (struct vm_machine){ 0 };
	n_shares = shares_of_plan(plan, &ret->shares);
	/* What the kernel does not know it hands to init. Not behind "--": QEMU adds the kernel's at the end. */
	ret->words = xasprintf(WORDS "%s%s%s", verbose ? "" : " quiet", n_shares ? " " SHARES_WORD : "",
		plan->root.disk && !plan->root.path ? "" : " " NO_IMAGE_WORD);
	ret->config = (struct vm_config){
		.name = plan->id,
		.kernel_path = plan->vm.kernel_path,
		.vmlinux_path = plan->vm.vmlinux_path,
		.initramfs_path = plan->vm.initramfs_path,
		.command_line = ret->words,
		.memory_bytes = (plan->vm.memory_bytes + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP,
		.vcpus = plan->vm.vcpus ? (unsigned)plan->vm.vcpus : 1,
		.shares = ret->shares,
		.n_shares = n_shares,
		.has_network = plan->network == NETWORK_USER,
		.network_fd = -1,
		.agent_fd = -1,
		.log_fd = -1,
		.event_fd = -1,
	};
	if (has_image_disk(plan)) /* in this order: vm_scratch_device() */
		add_disk(&ret->config, &plan->resources,
				(struct vm_disk){ .path = plan->root.disk, .read_only = true, .copy_fd = -1 });
	if (plan->root.scratch)
		add_disk(&ret->config, &plan->resources,
				(struct vm_disk){ .path = plan->root.scratch, .copied = true, .copy_fd = -1 });
	if (ret->config.has_network)
		(void)parse_mac(plan->interface.mac, ret->config.mac); /* usernet_check() has seen to it */
}

const struct vm_disk *vm_scratch_disk(const struct vm_config *config)
{
	for (size_t i = 0; i < config->n_disks; i++)
		if (config->disks[i].copied)
			return &config->disks[i];
	return NULL;
}

int vm_machine_copy_disks(struct vm_machine *machine, struct error *err)
{
	struct vm_config *config = &machine->config;

	for (size_t i = 0; i < config->n_disks; i++)
		if (config->disks[i].copied && config->disks[i].copy_fd < 0) {
			config->disks[i].copy_fd = file_copy_unnamed(config->disks[i].path, err);
			if (config->disks[i].copy_fd < 0)
				return config->disks[i].copy_fd;
		}
	return 0;
}

void vm_machine_release(struct vm_machine *machine)
{
	for (size_t i = 0; i < machine->config.n_disks; i++)
		if (machine->config.disks[i].copied)
			close_cleanup(&machine->config.disks[i].copy_fd);
	free(machine->shares);
	free(machine->words);
	*machine = (struct vm_machine){ 0 };
}
