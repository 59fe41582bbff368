/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_X86_LAYOUT_H
#define BIVALVE_X86_LAYOUT_H

/*
 * Where things lie in the guest at its start. All but the tables is free for the kernel's use once it has read it.
 *
 *      0x000500   GDT
 *      0x006000   PVH start_info, module list, memory map
 *      0x007000   boot_params (the "zero page")
 *      0x009000   page tables: identity map of the first GiB
 *      0x020000   command line
 *      0x09fc00   end of base memory
 *      0x0e0000   ACPI tables
 *      0x0f0000   MP table
 *      0x100000   kernel; the initramfs ends where low memory ends
 *      0xd0000000 virtio windows
 *      0xfec00000 I/O APIC      0xfee00000 local APIC
 *      0xfffbc000 KVM's own pages (Intel): identity map, then TSS
 */
enum {
	GDT_GPA = 0x500,
	PVH_INFO_GPA = 0x6000,
	BOOT_PARAMS_GPA = 0x7000,
	PAGE_TABLES_GPA = 0x9000,
	COMMAND_LINE_GPA = 0x20000,
	COMMAND_LINE_MAX = 2048,        /* COMMAND_LINE_SIZE of x86 */
	BASE_MEMORY_END = 0x9fc00,
	ACPI_GPA = 0xe0000,
	ACPI_MAX_BYTES = 0x10000,
	MP_TABLE_GPA = 0xf0000,
	HIGH_MEMORY_GPA = 0x100000,
};
#define IOAPIC_GPA       UINT32_C(0xfec00000)
#define LOCAL_APIC_GPA   UINT32_C(0xfee00000)
#define KVM_IDENTITY_GPA UINT64_C(0xfffbc000)
#define KVM_TSS_GPA      UINT64_C(0xfffbd000)

enum {
	SERIAL_PORT = 0x3f8,
	SERIAL_GSI = 4,
	CMOS_PORT = 0x70,
	I8042_PORT = 0x60,              /* data at 0x60, command and status at 0x64 */
	I8042_RESET = 0xfe,             /* to 0x64 */
	SLEEP_PORT = 0x600,             /* ACPI sleep control, status after it */
	SLEEP_S5 = 5,                   /* our SLP_TYP for "off" */
};

#endif
