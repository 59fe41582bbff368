/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on what is no virtio device: ports, interrupt controllers, addresses where nothing is. */
#include "tests/containment/hostile/hostile.h"

/* Ports that would end the machine are left to the end. */
static int is_last_port(u32 port, u32 width)
{
	return (port <= I8042 && port + width > I8042) || (port <= SLEEP && port + width > SLEEP);
}

static int is_serial(u32 port)
{
	return port + 4 > SERIAL && port < SERIAL + 8;
}

void attack_ports(struct cpu *c)
{
	for (u32 i = 0; i < 24; i++) {
		static const u16 known[] = { 0x20, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xa0, 0x3f8, 0x4d0,
			0x600, 0x601, 0xcf8, 0xcfc, 0xffff };
		u32 width = 1U << below(c, 3);
		u16 port = (u16)(one_in(c, 2) ? any(c) : known[below(c, 17)] + below(c, 8));
		u64 at = inside(c, 1), n = 1 + below(c, 40);

		if (one_in(c, 3)) {
			port_in(port, width);
		} else if (one_in(c, 6)) {
			__asm__ volatile("rep insb" : "+D"(at), "+c"(n) : "d"(port) : "memory");
		} else if (!is_last_port(port, width)) {
			if (one_in(c, 4) && !is_serial(port))
				__asm__ volatile("rep outsl" : "+S"(at), "+c"(n) : "d"(port) : "memory");
			else
				port_out(port, (u32)wild(c), width);
		}
	}
}

void attack_all_ports(struct cpu *c)
{
	for (u32 port = 0; port < 65536; port++) {
		for (u32 width = 1; width <= 4; width *= 2) {
			port_in((u16)port, width);
			if (!is_last_port(port, width) && !is_serial(port))
				port_out((u16)port, (u32)any(c), width);
		}
	}
}

void attack_hole(struct cpu *c)
{
	for (u32 i = 0; i < 16; i++) {
		u64 at = one_in(c, 3) ? WINDOWS + n_devices * WINDOW + below(c, 32 * WINDOW)
				      : 0xc0000000UL + below(c, 0x3ec00000);

		if (one_in(c, 2))
			(void)read_as(at, width_of(c));
		else
			write_as(at, wild(c), width_of(c));
	}
}

/* No INIT, SMI or start-up messages unless all is allowed: they stop the one who is to tell about it. */
void attack_apics(struct cpu *c, int all)
{
	for (u32 i = 0; i < 24; i++) {
		u32 value = (u32)wild(c), mode = value >> 8 & 7;

		if (!all && mode != 0 && mode != 4)
			value &= ~0x700U;
		if (one_in(c, 2)) {
			u32 reg = below(c, 0x40) * 16;

			if (!all && reg == 0x20)
				continue;
			write_as(LAPIC + reg + (one_in(c, 8) ? below(c, 16) : 0), value, one_in(c, 8) ? 1 : 4);
			(void)read_as(LAPIC + reg, 4);
		} else {
			write_as(IOAPIC, one_in(c, 8) ? value : below(c, 0x40), 4);
			write_as(IOAPIC + 0x10, value, 4);
			if (one_in(c, 4))
				write_as(IOAPIC + below(c, 0x100), value, width_of(c));
		}
	}
}
