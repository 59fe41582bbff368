/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laying out the guest's memory for the kernel's entry, see layout.h: kernel, initramfs, command line, the memory map
 * and the tables, then boot_params (64-bit boot protocol) or start_info (PVH, xen/include/public/arch-x86/hvm/
 * start_info.h), whichever the kernel is entered with.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vm-backend/arch/x86_64/kernel_image.h"
#include "vm-backend/arch/x86_64/layout.h"
#include "vm-backend/arch/x86_64/tables.h"
#include "vm-backend/machine.h"

struct pvh_start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};
struct pvh_module {
	uint64_t address, bytes, command_line, reserved;
};
struct pvh_memory {
	uint64_t address, bytes;
	uint32_t type, reserved;
};
struct pvh_block {
	struct pvh_start_info info;
	struct pvh_module initramfs;
	struct pvh_memory map[4];
};

enum { PVH_MAGIC = 0x336ec578, MAP_RAM = 1, MAP_RESERVED = 2, MAP_MAX = 4, PAGE = 4096, LOADER_UNKNOWN = 0xff };

/* What is the same in both protocols. */
struct layout {
	gpa_t initramfs, rsdp;
	uint64_t initramfs_bytes;
	struct boot_e820_entry map[MAP_MAX];
	unsigned n_map;
};

static int load_initramfs(const struct machine *machine, int fd, const struct kernel_image *image,
		struct layout *layout, struct error *err)
{
	const char *path = machine->config->initramfs_path;
	uint64_t end = machine->memory.regions[0].bytes;
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return error_sys(err, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return error_set(err, EINVAL, "%s: not an initramfs: not a regular file, or empty", path);
	if (image->initramfs_max && end > image->initramfs_max)
		end = image->initramfs_max + 1;
	if ((uint64_t)st.st_size >= end || (end - (uint64_t)st.st_size) / PAGE * PAGE < image->end)
		return error_set(err, ENOSPC, "%s: %llu MiB do not fit beside the kernel in %llu MiB of memory", path,
				(unsigned long long)st.st_size >> 20,
				(unsigned long long)machine->memory.bytes >> 20);
	layout->initramfs = (end - (uint64_t)st.st_size) / PAGE * PAGE;
	layout->initramfs_bytes = (uint64_t)st.st_size;
	return image_read(fd, path, 0, layout->initramfs_bytes, &machine->memory, layout->initramfs, err);
}

static void fill_map(const struct vm_memory *memory, struct layout *layout)
{
	const struct vm_memory_region *low = &memory->regions[0], *high = &memory->regions[1];
	const struct boot_e820_entry map[MAP_MAX] = {
		{ 0, BASE_MEMORY_END, MAP_RAM },
		{ BASE_MEMORY_END, HIGH_MEMORY_GPA - BASE_MEMORY_END, MAP_RESERVED },
		{ HIGH_MEMORY_GPA, low->bytes - HIGH_MEMORY_GPA, MAP_RAM },
		{ high->base, high->bytes, MAP_RAM },
	};

	memcpy(layout->map, map, sizeof map);
	layout->n_map = memory->n_regions == 2 ? MAP_MAX : MAP_MAX - 1;
}

static void fill_boot_params(struct boot_params *params, const struct kernel_image *image, const struct layout *layout)
{
	*params = (struct boot_params){ .hdr = image->header };
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.vid_mode = 0xffff; /* normal */
	params->hdr.cmd_line_ptr = COMMAND_LINE_GPA;
	params->hdr.cmdline_size = COMMAND_LINE_MAX - 1;
	params->hdr.ramdisk_image = (uint32_t)layout->initramfs;
	params->hdr.ramdisk_size = (uint32_t)layout->initramfs_bytes;
	params->acpi_rsdp_addr = layout->rsdp;
	memcpy(params->e820_table, layout->map, layout->n_map * sizeof *layout->map);
	params->e820_entries = (uint8_t)layout->n_map;
}

static void fill_pvh(struct pvh_block *pvh, const struct layout *layout)
{
	*pvh = (struct pvh_block){
		.info = {
			.magic = PVH_MAGIC,
			.version = 1,
			.n_modules = layout->initramfs_bytes ? 1 : 0,
			.modules = PVH_INFO_GPA + offsetof(struct pvh_block, initramfs),
			.command_line = COMMAND_LINE_GPA,
			.rsdp = layout->rsdp,
			.memory_map = PVH_INFO_GPA + offsetof(struct pvh_block, map),
			.memory_map_entries = layout->n_map,
		},
		.initramfs = { .address = layout->initramfs, .bytes = layout->initramfs_bytes },
	};
	for (unsigned i = 0; i < layout->n_map; i++)
		pvh->map[i] = (struct pvh_memory){ layout->map[i].addr, layout->map[i].size, layout->map[i].type, 0 };
}

static int write_tables(const struct machine *machine, gpa_t *ret_rsdp, struct error *err)
{
	struct hardware hardware = {
		.vcpus = machine->config->vcpus,
		.n_windows = machine->devices.n_windows,
		.serial = machine->config->log_fd >= 0,
	};

	for (size_t i = 0; i < hardware.n_windows; i++) {
		hardware.windows[i].base = machine->devices.windows[i].base;
		hardware.windows[i].bytes = VIRTIO_WINDOW_BYTES;
		hardware.windows[i].gsi = machine->devices.windows[i].gsi;
	}
	if (acpi_write(&machine->memory, &hardware, ret_rsdp) < 0 || mptable_write(&machine->memory, &hardware) < 0)
		return error_set(err, ENOSPC, "the firmware tables do not fit");
	return 0;
}

static int load_kernel(const struct machine *machine, int fd, const char *path, struct kernel_image *image,
		struct error *err)
{
	int r = bzimage_load(fd, path, &machine->memory, image, err);

	if (r == 0)
		r = elf_load(fd, path, &machine->memory, image, err);
	if (r == 0)
		return error_set(err, EINVAL, "not a kernel: %s: neither bzImage nor ELF vmlinux", path);
	return r < 0 ? r : 0;
}

int arch_load(struct machine *machine, int kernel_fd, const char *kernel_path, int initramfs_fd,
		const char *command_line, struct error *err)
{
	struct kernel_image image;
	struct layout layout = { 0 };
	size_t len = strlen(command_line) + 1;
	int r = load_kernel(machine, kernel_fd, kernel_path, &image, err);

	if (r < 0)
		return r;
	if (len > COMMAND_LINE_MAX)
		return error_set(err, E2BIG, "kernel command line: %zu bytes, the kernel takes %d", len - 1,
				COMMAND_LINE_MAX - 1);
	r = load_initramfs(machine, initramfs_fd, &image, &layout, err);
	if (r < 0)
		return r;
	r = write_tables(machine, &layout.rsdp, err);
	if (r < 0)
		return r;
	/* Everything below lies in the first MiB, which every machine has. */
	memcpy(vm_memory_at(&machine->memory, COMMAND_LINE_GPA, COMMAND_LINE_MAX), command_line, len);
	fill_map(&machine->memory, &layout);
	machine->entry = (struct arch_entry){ .rip = image.entry, .protected_mode = image.pvh };
	if (image.pvh) {
		fill_pvh(vm_memory_at(&machine->memory, PVH_INFO_GPA, sizeof(struct pvh_block)), &layout);
		machine->entry.rbx = PVH_INFO_GPA;
	} else {
		fill_boot_params(vm_memory_at(&machine->memory, BOOT_PARAMS_GPA, sizeof(struct boot_params)), &image,
				&layout);
		machine->entry.rsi = BOOT_PARAMS_GPA;
	}
	return 0;
}
