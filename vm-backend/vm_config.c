/* SPDX-License-Identifier: Apache-2.0 */
/* From the plan to the machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
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
		.disks = { { plan->root.disk, true } },
		.n_disks = plan->root.disk && !plan->root.path ? 1 : 0,
		.shares = ret->shares,
		.n_shares = n_shares,
		.has_network = plan->network == NETWORK_USER,
		.network_fd = -1,
		.agent_fd = -1,
		.log_fd = -1,
		.event_fd = -1,
	};
	if (ret->config.has_network)
		(void)parse_mac(plan->interface.mac, ret->config.mac); /* usernet_check() has seen to it */
}

void vm_machine_release(struct vm_machine *machine)
{
	free(machine->shares);
	free(machine->words);
	*machine = (struct vm_machine){ 0 };
}
