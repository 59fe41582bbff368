/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's memory holds at its first instruction: tables, boot structures, kernel and initramfs; and CPUID. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "vm-backend/arch/x86_64/cpuid.h"
#include "vm-backend/arch/x86_64/kernel_image.h"
#include "vm-backend/arch/x86_64/layout.h"
#include "vm-backend/arch/x86_64/tables.h"
#include "vm-backend/boot.h"

static struct machine machine;
static struct vm_config config;

static uint8_t sum(const void *p, size_t n)
{
	uint8_t s = 0;

	for (size_t i = 0; i < n; i++)
		s += ((const uint8_t *)p)[i];
	return s;
}

static void *at(gpa_t gpa)
{
	return vm_memory_at(&machine.memory, gpa, 1);
}

static const uint8_t *table(gpa_t gpa, const char *signature, uint32_t *ret_len)
{
	const uint8_t *t = at(gpa);

	memcpy(ret_len, t + 4, 4);
	ok(!memcmp(t, signature, 4) && *ret_len >= 36 && *ret_len < 0x10000 && sum(t, *ret_len) == 0, "%s is whole",
			signature);
	return t;
}

/* iasl is the judge of our AML. */
static void disassemble(const uint8_t *dsdt, uint32_t len, const struct hardware *hardware)
{
	char dir[] = "/tmp/bivalve-test-XXXXXX", command[256], want[64];
	char *text = NULL;
	size_t size = 0;
	FILE *f;

	if (access("/usr/bin/iasl", X_OK) < 0) {
		skip("no iasl to read the DSDT (package acpica-tools)");
		return;
	}
	if (!mkdtemp(dir))
		exit(1);
	(void)snprintf(command, sizeof command, "%s/dsdt.aml", dir);
	f = fopen(command, "w");
	fwrite(dsdt, 1, len, f);
	fclose(f);
	(void)snprintf(command, sizeof command, "cd %s && iasl -d dsdt.aml >log 2>&1 && iasl -tc dsdt.dsl >>log 2>&1",
			dir);
	ok(system(command) == 0, "iasl reads the DSDT, and compiles what it read");
	(void)snprintf(command, sizeof command, "%s/dsdt.dsl", dir);
	f = fopen(command, "r");
	if (!f || getdelim(&text, &size, '\0', f) < 0)
		text = strdup("");
	if (f)
		fclose(f);
	ok(strstr(text, "Device (VR00)") && strstr(text, "Device (VR01)") && strstr(text, "\"LNRO0005\""),
			"two devices");
	(void)snprintf(want, sizeof want, "0x%08X,         // Address Base", (unsigned)hardware->windows[1].base);
	ok(strstr(text, want) != NULL, "the second at its address");
	(void)snprintf(want, sizeof want, "0x%08X,\n", hardware->windows[1].gsi);
	ok(strstr(text, want) && strstr(text, "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive"),
			"with its edge-triggered interrupt");
	ok(strstr(text, "Device (COM1)") && strstr(text, "IO (Decode16") && strstr(text, "Name (_S5"), "COM1 and S5");
	free(text);
	(void)snprintf(command, sizeof command, "rm -r %s", dir);
	(void)!system(command);
}

static void test_tables(void)
{
	struct hardware hardware = { .vcpus = 3, .n_windows = 2, .serial = true };
	uint64_t xsdt, tables[2], dsdt;
	const uint8_t *t;
	uint32_t len;
	gpa_t rsdp;

	for (unsigned i = 0; i < 2; i++) {
		hardware.windows[i].base = ARCH_DEVICE_BASE + i * 0x1000;
		hardware.windows[i].bytes = 0x1000;
		hardware.windows[i].gsi = arch_device_gsi(i) + 10;
	}
	ok(acpi_write(&machine.memory, &hardware, &rsdp) == 0 && rsdp % 16 == 0, "ACPI tables are written");
	ok(!memcmp(at(rsdp), "RSD PTR ", 8) && sum(at(rsdp), 20) == 0 && sum(at(rsdp), 36) == 0, "the RSDP is whole");
	memcpy(&xsdt, (uint8_t *)at(rsdp) + 24, 8);
	t = table(xsdt, "XSDT", &len);
	memcpy(tables, t + 36, sizeof tables);
	t = table(tables[0], "FACP", &len);
	memcpy(&dsdt, t + 140, 8);
	ok(len == 276 && t[8] == 6, "the FADT is of revision 6");
	t = table(tables[1], "APIC", &len);
	ok(len == 44 + 3 * 8 + 12 + 10 + 6, "the MADT has three processors");
	t = table(dsdt, "DSDT", &len);
	disassemble(t, len, &hardware);

	ok(mptable_write(&machine.memory, &hardware) == 0, "the MP table is written");
	t = at(MP_TABLE_GPA);
	ok(!memcmp(t, "_MP_", 4) && sum(t, 16) == 0, "its pointer is whole");
	len = t[16 + 4] | (uint32_t)t[16 + 5] << 8;
	ok(!memcmp(t + 16, "PCMP", 4) && sum(t + 16, len) == 0 && len == 44 + 3 * 20 + 8 + 8 + 5 * 8,
			"it is, too, with the lines of timer, serial port and the one device of ISA");
	hardware.vcpus = VM_MAX_VCPUS;
	ok(mptable_write(&machine.memory, &hardware) == 0 && acpi_write(&machine.memory, &hardware, &rsdp) == 0,
			"tables of the largest machine fit");
}

static int file_with(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		exit(1);
	return fd;
}

static void test_kernels(void)
{
	struct {
		Elf64_Ehdr elf;
		Elf64_Phdr load, note;
		uint32_t words[11];
	} vmlinux = {
		.elf = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64 }, .e_machine = EM_X86_64, .e_entry = 0x1000000,
			.e_phoff = sizeof(Elf64_Ehdr), .e_phnum = 2, .e_phentsize = sizeof(Elf64_Phdr) },
		.load = { .p_type = PT_LOAD, .p_paddr = 0x1000000, .p_filesz = 64, .p_memsz = 4096 },
		.note = { .p_type = PT_NOTE, .p_filesz = 20 },
		.words = { 4, 4, 18, 0x006e6558, 0x1000040, 6, 0, 0x101, 0x756e694c, 'x' },
	};
	const struct boot_params *params = at(BOOT_PARAMS_GPA);
	int initramfs = file_with("initramfs", 9), fd;
	struct error err;
	uint32_t *info;

	vmlinux.note.p_offset = offsetof(typeof(vmlinux), words);
	fd = file_with(&vmlinux, sizeof vmlinux);
	ok(arch_load(&machine, fd, "K", initramfs, "one two", &err) == 0 && machine.entry.protected_mode &&
			machine.entry.rip == 0x1000040, "a vmlinux with a PVH note is entered there");
	info = at(PVH_INFO_GPA);
	ok(machine.entry.rbx == PVH_INFO_GPA && info[0] == 0x336ec578 && info[3] == 1, "with a start_info");
	ok(!strcmp(at(COMMAND_LINE_GPA), "one two"), "and its command line");
	ok(!memcmp(at(0x1000000), &vmlinux, 64), "its segment is in place");
	ok(!arch_kernel_pvh(fd), "notes that are not aligned are not for QEMU");
	close(fd);
	vmlinux.note.p_align = 4;
	fd = file_with(&vmlinux, sizeof vmlinux);
	ok(arch_kernel_pvh(fd) && !arch_kernel_pvh(initramfs), "aligned they are, and what is no ELF file is not");
	close(fd);
	vmlinux.note.p_filesz = 40;
	fd = file_with(&vmlinux, sizeof vmlinux);
	ok(arch_load(&machine, fd, "K", initramfs, "", &err) == 0 && !machine.entry.protected_mode &&
			machine.entry.rip == 0x1000000 && arch_kernel_pvh(fd),
			"Linux is entered in 64-bit mode all the same");
	close(fd);
	vmlinux.words[2] = 17;
	fd = file_with(&vmlinux, sizeof vmlinux);
	ok(!arch_kernel_pvh(fd), "without the entry it is no kernel for QEMU");
	ok(arch_load(&machine, fd, "K", initramfs, "", &err) == 0 && !machine.entry.protected_mode &&
			machine.entry.rip == 0x1000000 && machine.entry.rsi == BOOT_PARAMS_GPA,
			"without one at its entry");
	ok(params->hdr.ramdisk_size == 9 && !memcmp(at(params->hdr.ramdisk_image), "initramfs", 9),
			"with its initramfs");
	ok(params->acpi_rsdp_addr == ACPI_GPA && params->e820_entries == 3 && params->e820_table[2].addr == 0x100000 &&
			params->e820_table[2].size == machine.memory.bytes - 0x100000, "and its memory map");
	close(fd);
	vmlinux.load.p_paddr = 0x10000000;
	fd = file_with(&vmlinux, sizeof vmlinux);
	ok(arch_load(&machine, fd, "K", -1, "", &err) == -ENOSPC && strstr(err.message, "does not fit"), "too high: %s",
			err.message);
	close(fd);
	vmlinux.elf.e_machine = EM_AARCH64;
	fd = file_with(&vmlinux, sizeof vmlinux);
	ok(arch_load(&machine, fd, "K", -1, "", &err) == -EINVAL && strstr(err.message, "x86-64"), "foreign: %s",
			err.message);
	close(fd);
	fd = file_with("#!/bin/sh\n", 10);
	ok(arch_load(&machine, fd, "K", -1, "", &err) == -EINVAL &&
			!strcmp(err.message, "not a kernel: K: neither bzImage nor ELF vmlinux"), "no kernel: %s",
			err.message);
	close(fd);
	close(initramfs);
}

static void test_bzimage(void)
{
	static uint8_t file[4096];
	struct setup_header header = { .setup_sects = 1, .boot_flag = 0xaa55, .header = 0x53726448, .version = 0x20f,
		.xloadflags = XLF_KERNEL_64, .relocatable_kernel = 1, .pref_address = 0x1000000, .init_size = 0x400000,
		.initrd_addr_max = 0x7fffffff };
	struct error err;
	int fd;

	memset(file + 1024, 'k', sizeof file - 1024);
	memcpy(file + 0x1f1, &header, sizeof header);
	fd = file_with(file, sizeof file);
	ok(arch_load(&machine, fd, "K", -1, "", &err) == 0 && machine.entry.rip == 0x1000200 &&
			!machine.entry.protected_mode,
			"a bzImage is entered in 64-bit mode");
	ok(*(char *)at(0x1000000) == 'k', "where it prefers to lie");
	close(fd);
	header.pref_address = 0x10000000;
	memcpy(file + 0x1f1, &header, sizeof header);
	fd = file_with(file, sizeof file);
	ok(arch_load(&machine, fd, "K", -1, "", &err) == 0 && machine.entry.rip == 0x100200,
			"or lower, if there is no such place");
	close(fd);
	header.xloadflags = 0;
	memcpy(file + 0x1f1, &header, sizeof header);
	fd = file_with(file, sizeof file);
	ok(arch_load(&machine, fd, "K", -1, "", &err) == -EINVAL, "refused: %s", err.message);
	close(fd);
}

static void test_command_line(void)
{
	_cleanup_strbuf_ struct strbuf with = { 0 }, without = { 0 };

	machine.devices.n_windows = 1;
	machine.devices.windows[0] = (struct device_window){ NULL, ARCH_DEVICE_BASE, 5 };
	config.command_line = "quiet acpi=off";
	boot_command_line(&machine, true, &with);
	boot_command_line(&machine, false, &without);
	ok(strstr(with.text, " virtio_mmio.device=4K@0xd0000000:5 ") != NULL, "devices are listed");
	ok(strstr(without.text, "virtio_mmio") == NULL, "or not");
	ok(!strcmp(with.text + with.len - 15, " quiet acpi=off"), "the caller has the last word");
	ok(boot_has_word("a acpi=off b", "acpi=off") && boot_has_word("acpi=off", "acpi=off") &&
			!boot_has_word("xacpi=off acpi=offx", "acpi=off") && !boot_has_word("", "acpi=off"),
			"words are words");
	machine.devices.n_windows = 0;
}

static void test_cpuid(void)
{
	static struct cpuid_table table;
	const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 1, .ebx = 0x12345678, .ecx = 8 | 1 << 5 | 1 << 9 },
		{ .function = 4, .eax = 0x3fffc163 },
		{ .function = 0xb, .ebx = 4711 },
		{ .function = 0x1f, .ebx = 4711 },
		{ .function = 0xa, .eax = 4711 },
		{ .function = 0x80000001, .ecx = 1 << 2 | 1 << 6 },
		{ .function = 0x8000000a, .eax = 1, .ebx = 8 },
	};
	const struct kvm_cpuid_entry2 *e = table.entries;
	bool level1 = false;

	memcpy(table.entries, entries, sizeof entries);
	table.head.nent = sizeof entries / sizeof *entries;
	cpuid_for_vcpu(&table, 2, 3);
	ok(e[0].ebx >> 24 == 2 && (e[0].ebx >> 16 & 0xff) == 4 && e[0].ecx >> 31 && e[0].ecx >> 24 & 1 &&
			!(e[0].ecx & 8),
			"leaf 1 has the APIC id, the hypervisor, the deadline timer and no MWAIT");
	ok((e[1].eax >> 14 & 0xfff) == 3 && e[1].eax >> 26 == 3, "the last cache is shared by all");
	ok(e[2].function == 0xa && e[2].eax == 0, "there are no performance counters");
	ok(e[0].ecx >> 9 & 1 && !(e[0].ecx & 1 << 5) && e[3].ecx == 1 << 6 && e[4].eax == 0 && e[4].ebx == 0,
			"nor virtualization, Intel's or AMD's");
	for (unsigned i = 5; i < table.head.nent; i++) {
		level1 |= e[i].function == 0xb && e[i].index == 1 && e[i].eax == 2 && e[i].ebx == 3 && e[i].edx == 2;
		ok(e[i].function == 0xb && e[i].edx == 2, "topology knows the processor");
	}
	ok(level1, "three cores in two bits");
}

static void test_memory(void)
{
	struct vm_memory big;

	ok(vm_memory_map(&big, (UINT64_C(4) << 30), NULL) == 0 && big.n_regions == 2, "4 GiB lie around the hole");
	ok(!vm_memory_at(&big, ARCH_HOLE_START, 1) && vm_memory_at(&big, ARCH_HOLE_START - 1, 1) &&
			!vm_memory_at(&big, ARCH_HOLE_START - 1, 2), "which is none");
	ok((uint8_t *)vm_memory_at(&big, ARCH_HOLE_END, 1) ==
			(uint8_t *)vm_memory_at(&big, ARCH_HOLE_START - 1, 1) + 1 &&
			vm_memory_at(&big, ARCH_HOLE_END, UINT64_C(1) << 30) &&
			!vm_memory_at(&big, ARCH_HOLE_END, (UINT64_C(1) << 30) + 1), "the rest is above");
	ok(((uintptr_t)big.map & (VM_HUGE_PAGE - 1)) == 0, "aligned to huge pages");
	vm_memory_release(&big);
	ok(vm_memory_map(&big, VM_MEMORY_MAX, NULL) == 0 && VM_MEMORY_MAX > UINT64_C(64) << 30 &&
			vm_memory_at(&big, ARCH_HOLE_END, VM_MEMORY_MAX - ARCH_HOLE_START),
			"more than this host has: nothing is taken before it is touched");
	vm_memory_release(&big);
	ok(vm_memory_map(&big, VM_MEMORY_MIN - VM_HUGE_PAGE, NULL) == -EINVAL &&
			vm_memory_map(&big, VM_MEMORY_MIN + 1, NULL) == -EINVAL &&
			vm_memory_map(&big, VM_MEMORY_MAX + VM_HUGE_PAGE, NULL) == -EINVAL,
			"odd sizes are refused");
}

int main(void)
{
	config = (struct vm_config){ .kernel_path = "K", .initramfs_path = "I", .vcpus = 1, .log_fd = -1,
		.network_fd = -1 };
	machine.config = &config;
	if (vm_memory_map(&machine.memory, 64 << 20, NULL) < 0)
		return 1;
	test_tables();
	test_kernels();
	test_bzimage();
	test_command_line();
	test_cpuid();
	test_memory();
	return tap_done();
}
