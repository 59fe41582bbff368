/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the MultiProcessor Specification 1.4: the processors and how ISA interrupts reach the I/O APIC. A kernel
 * without ACPI that finds none runs on one processor and probes for its interrupts, at twice the time.
 */
#include <errno.h>
#include <string.h>

#include "vm-backend/arch/x86_64/layout.h"
#include "vm-backend/arch/x86_64/tables.h"

struct mp_pointer {
	char signature[4];
	uint32_t table;
	uint8_t paragraphs, revision, checksum, features[5];
} __attribute__((packed));

struct mp_header {
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_bytes, entries;
	uint32_t local_apic;
	uint16_t extended_length;
	uint8_t extended_checksum, reserved;
} __attribute__((packed));

struct mp_processor {
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct mp_bus {
	uint8_t type, id;
	char name[6];
} __attribute__((packed));

struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t address;
} __attribute__((packed));

struct mp_interrupt {
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, irq, apic, pin;
} __attribute__((packed));

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL_INTERRUPT };
enum { KIND_INT, KIND_NMI, KIND_SMI, KIND_EXTINT };
enum { APIC_VERSION = 0x14, CPU_ENABLED = 1, CPU_BOOT = 2, ISA_IRQS = 16, ALL_APICS = 0xff, TIMER_PIN = 2 };

void table_checksum(uint8_t *at, const void *table, size_t bytes)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	*at = 0;
	for (size_t i = 0; i < bytes; i++)
		sum += p[i];
	*at = (uint8_t)-sum;
}

static uint8_t *put(uint8_t *at, struct mp_header *header, const void *entry, size_t bytes)
{
	memcpy(at, entry, bytes);
	header->entries++;
	header->length += (uint16_t)bytes;
	return at + bytes;
}

/* A line that stands in the table costs the guest an interrupt's set-up, with or without a device at it. */
static bool is_used(const struct hardware *hardware, unsigned irq)
{
	if (irq == 0)
		return true; /* the timer */
	for (size_t i = 0; i < hardware->n_windows; i++)
		if (hardware->windows[i].gsi == irq)
			return true;
	return hardware->serial && irq == SERIAL_GSI;
}

int mptable_write(const struct vm_memory *memory, const struct hardware *hardware)
{
	const uint8_t ioapic_id = (uint8_t)hardware->vcpus;
	size_t max = sizeof(struct mp_pointer) + sizeof(struct mp_header) +
			hardware->vcpus * sizeof(struct mp_processor) + sizeof(struct mp_bus) +
			sizeof(struct mp_ioapic) + (ISA_IRQS + 2) * sizeof(struct mp_interrupt);
	uint8_t *base = vm_memory_at(memory, MP_TABLE_GPA, max), *at;
	struct mp_pointer *pointer = (struct mp_pointer *)base;
	struct mp_header *header = (struct mp_header *)(pointer + 1);

	if (!base)
		return -ENOSPC;
	*pointer = (struct mp_pointer){ .signature = "_MP_", .table = MP_TABLE_GPA + sizeof *pointer, .paragraphs = 1,
		.revision = 4 };
	table_checksum(&pointer->checksum, pointer, sizeof *pointer);
	*header = (struct mp_header){ .signature = "PCMP", .length = sizeof *header, .revision = 4,
		.oem = "BIVALVE ", .product = "MICROVM     ", .local_apic = LOCAL_APIC_GPA };
	at = (uint8_t *)(header + 1);

	for (unsigned i = 0; i < hardware->vcpus; i++) {
		struct mp_processor cpu = { .type = MP_PROCESSOR, .apic_id = (uint8_t)i, .apic_version = APIC_VERSION,
			.flags = CPU_ENABLED | (i == 0 ? CPU_BOOT : 0), .signature = 0x600, .features = 0x201 };

		at = put(at, header, &cpu, sizeof cpu);
	}
	struct mp_bus isa = { .type = MP_BUS, .id = 0, .name = "ISA   " };
	struct mp_ioapic ioapic = { MP_IOAPIC, ioapic_id, 0x11, CPU_ENABLED, IOAPIC_GPA };

	at = put(at, header, &isa, sizeof isa);
	at = put(at, header, &ioapic, sizeof ioapic);
	for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
		struct mp_interrupt line = { MP_INTERRUPT, KIND_INT, 0, 0, (uint8_t)irq, ioapic_id,
			(uint8_t)(irq == 0 ? TIMER_PIN : irq) };

		if (is_used(hardware, irq))
			at = put(at, header, &line, sizeof line);
	}
	struct mp_interrupt extint = { MP_LOCAL_INTERRUPT, KIND_EXTINT, 0, 0, 0, 0, 0 };
	struct mp_interrupt nmi = { MP_LOCAL_INTERRUPT, KIND_NMI, 0, 0, 0, ALL_APICS, 1 };

	at = put(at, header, &extint, sizeof extint);
	(void)put(at, header, &nmi, sizeof nmi); /* the last */
	table_checksum(&header->checksum, header, header->length);
	return 0;
}
