/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI 6.4 tables of a hardware-reduced machine: RSDP, XSDT, FADT, MADT and a DSDT with one LNRO0005 device for each
 * virtio window (the name under which Linux' virtio_mmio driver knows it). A stock distribution kernel finds its
 * processors and devices in no other way.
 *
 * Hardware-reduced tells the kernel that there is no ACPI interrupt, no power-management timer and no legacy device, so
 * it probes for none. Off is \_S5: the sleep control register at SLEEP_PORT.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vm-backend/arch/x86_64/aml.h"
#include "vm-backend/arch/x86_64/layout.h"
#include "vm-backend/arch/x86_64/tables.h"

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct acpi_address {
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));

/* 5.2.9; what a hardware-reduced machine leaves zero is not named */
struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint8_t legacy[63];
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_address reset;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct acpi_address x_legacy[8];
	struct acpi_address sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_fadt) == 276, "FADT of revision 6");
_Static_assert(offsetof(struct acpi_fadt, boot_flags) == 109, "IAPC_BOOT_ARCH");
_Static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "SLEEP_CONTROL_REG");

struct madt_head {
	struct acpi_header header;
	uint32_t local_apic, flags;
} __attribute__((packed));
struct madt_processor {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} __attribute__((packed));
struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));
struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));
struct madt_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

enum {
	SPACE_IO = 1,
	FADT_WBINVD = 1 << 0,
	FADT_NO_POWER_BUTTON = 1 << 4,
	FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_RESET = 1 << 10,
	FADT_HW_REDUCED = 1 << 20,
	BOOT_NO_VGA = 1 << 2,
	BOOT_NO_MSI = 1 << 3,
	BOOT_NO_ASPM = 1 << 4,
	BOOT_NO_RTC = 1 << 5,
};

static struct acpi_header acpi_header(const char signature[static 4], uint8_t revision)
{
	struct acpi_header h = { .revision = revision, .oem = "BIVALV", .table = "MICROVM ", .oem_revision = 1,
		.creator = "BIVA", .creator_revision = 1 };

	memcpy(h.signature, signature, sizeof h.signature);
	return h;
}

/* Where the next table goes; each is aligned to 16. */
static gpa_t table_begin(struct aml *out)
{
	static const uint8_t zeros[16];

	aml_raw(out, zeros, -out->len % 16);
	return ACPI_GPA + out->len;
}

/* Sets length and checksum of the table that began at gpa. Returns gpa. */
static gpa_t table_end(struct aml *out, gpa_t gpa)
{
	struct acpi_header *h = (struct acpi_header *)(out->buf + (gpa - ACPI_GPA));

	if (out->overflow)
		return gpa;
	h->length = (uint32_t)(ACPI_GPA + out->len - gpa);
	table_checksum(&h->checksum, h, h->length);
	return gpa;
}

static void dsdt_device(struct aml *out, const char *name, const char *hid, uint32_t uid)
{
	aml_begin_device(out, name);
	aml_name(out, "_HID");
	aml_string(out, hid);
	aml_name(out, "_UID");
	aml_integer(out, uid);
	aml_name(out, "_CRS");
	aml_begin_resources(out);
}

static gpa_t dsdt_write(struct aml *out, const struct hardware *hardware)
{
	gpa_t gpa = table_begin(out);
	struct acpi_header header = acpi_header("DSDT", 2);

	aml_raw(out, &header, sizeof header);
	aml_begin_scope(out, "\\_SB_");
	for (size_t i = 0; i < hardware->n_windows; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "VR%02X", (unsigned)i); /* fits: fewer than 256 */
		dsdt_device(out, name, "LNRO0005", (uint32_t)i);
		aml_memory32(out, (uint32_t)hardware->windows[i].base, hardware->windows[i].bytes);
		aml_interrupt_edge(out, hardware->windows[i].gsi);
		aml_end_resources(out);
		aml_end(out);
	}
	if (hardware->serial) {
		dsdt_device(out, "COM1", "PNP0501", 0);
		aml_io(out, SERIAL_PORT, 8);
		aml_interrupt_edge(out, SERIAL_GSI);
		aml_end_resources(out);
		aml_end(out);
	}
	aml_end(out);
	aml_name(out, "_S5_");
	aml_begin_package(out, 4);
	aml_integer(out, SLEEP_S5);
	for (int i = 0; i < 3; i++)
		aml_integer(out, 0);
	aml_end(out);
	return table_end(out, gpa);
}

static gpa_t fadt_write(struct aml *out, gpa_t dsdt)
{
	gpa_t gpa = table_begin(out);
	struct acpi_fadt fadt = {
		.header = acpi_header("FACP", 6),
		.boot_flags = BOOT_NO_VGA | BOOT_NO_MSI | BOOT_NO_ASPM | BOOT_NO_RTC,
		.flags = FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_RESET | FADT_HW_REDUCED,
		.reset = { SPACE_IO, 8, 0, 1, I8042_PORT + 4 },
		.reset_value = I8042_RESET,
		.minor = 4,
		.x_dsdt = dsdt,
		.sleep_control = { SPACE_IO, 8, 0, 1, SLEEP_PORT },
		.sleep_status = { SPACE_IO, 8, 0, 1, SLEEP_PORT + 1 },
	};

	aml_raw(out, &fadt, sizeof fadt);
	return table_end(out, gpa);
}

static gpa_t madt_write(struct aml *out, const struct hardware *hardware)
{
	gpa_t gpa = table_begin(out);
	struct madt_head head = { .header = acpi_header("APIC", 5), .local_apic = LOCAL_APIC_GPA };
	struct madt_ioapic ioapic = { 1, sizeof ioapic, (uint8_t)hardware->vcpus, 0, IOAPIC_GPA, 0 };
	struct madt_override timer = { 2, sizeof timer, 0, 0, 2, 0 };
	struct madt_nmi nmi = { 4, sizeof nmi, 0xff, 0, 1 };

	aml_raw(out, &head, sizeof head);
	for (unsigned i = 0; i < hardware->vcpus; i++) {
		struct madt_processor cpu = { 0, sizeof cpu, (uint8_t)i, (uint8_t)i, 1 };

		aml_raw(out, &cpu, sizeof cpu);
	}
	aml_raw(out, &ioapic, sizeof ioapic);
	aml_raw(out, &timer, sizeof timer);
	aml_raw(out, &nmi, sizeof nmi);
	return table_end(out, gpa);
}

int acpi_write(const struct vm_memory *memory, const struct hardware *hardware, gpa_t *ret_rsdp)
{
	struct aml out = { .buf = vm_memory_at(memory, ACPI_GPA, ACPI_MAX_BYTES), .size = ACPI_MAX_BYTES };
	struct acpi_header header = acpi_header("XSDT", 1);
	struct acpi_rsdp rsdp = { .signature = "RSD PTR ", .oem = "BIVALV", .revision = 2, .length = sizeof rsdp };
	uint64_t tables[2];

	if (!out.buf)
		return -ENOSPC;
	aml_raw(&out, &rsdp, sizeof rsdp); /* filled at the end; first, so that a search finds it soon */
	tables[0] = fadt_write(&out, dsdt_write(&out, hardware));
	tables[1] = madt_write(&out, hardware);
	rsdp.xsdt = table_begin(&out);
	aml_raw(&out, &header, sizeof header);
	aml_raw(&out, tables, sizeof tables);
	(void)table_end(&out, rsdp.xsdt); /* it is the root: only the RSDP names it */
	if (out.overflow)
		return -ENOSPC;
	table_checksum(&rsdp.checksum, &rsdp, offsetof(struct acpi_rsdp, length));
	table_checksum(&rsdp.extended_checksum, &rsdp, sizeof rsdp);
	memcpy(out.buf, &rsdp, sizeof rsdp);
	*ret_rsdp = ACPI_GPA;
	return 0;
}
