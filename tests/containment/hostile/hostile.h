/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_TESTS_HOSTILE_H
#define BIVALVE_TESTS_HOSTILE_H

/* The parts of the hostile guest; start.c says what it is. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum { SERIAL = 0x3f8, I8042 = 0x64, I8042_RESET = 0xfe, SLEEP = 0x600, MIB = 1 << 20, RAM = 64 * MIB };
enum { CMD_LINE_PTR = 0x228, WINDOW = 0x1000, MAX_DEVICES = 16, MAX_QUEUES = 8, MAX_SIZE = 256 };
#define WINDOWS 0xd0000000UL
#define IOAPIC  0xfec00000UL
#define LAPIC   0xfee00000UL

/* virtio 1.2: registers of 4.2.2, status bits of 2.1, flags of 2.7.5 */
enum {
	MAGIC = 0x00, DEVICE_ID = 0x08, FEATURES = 0x10, FEATURES_SEL = 0x14, DRIVER_FEATURES = 0x20,
	DRIVER_FEATURES_SEL = 0x24, QUEUE_SEL = 0x30, NUM_MAX = 0x34, NUM = 0x38, READY = 0x44, NOTIFY = 0x50,
	INTERRUPT_STATUS = 0x60, INTERRUPT_ACK = 0x64, STATUS = 0x70, DESC = 0x80, AVAIL = 0x90, USED = 0xa0,
	CONFIG = 0x100,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64, FAILED = 128 };
enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4 };
enum { ID_NETWORK = 1, ID_BLOCK = 2, ID_CONSOLE = 3, ID_BALLOON = 5, ID_SHARES = 26 };
enum { CONTROL_OUT = 3, CONSOLE_OUT = 1 };

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};
struct queue {
	struct desc *desc;
	u16 *avail, *used;
	u16 size, idx;
};
struct device {
	u64 base;
	u32 id;
	struct queue queues[MAX_QUEUES];
};
struct cpu {
	u64 random;
	u64 answers, broken;            /* what the attacks have led to */
	u8 n;
};

extern struct device devices[MAX_DEVICES];
extern u32 n_devices;

void *memset(void *at, int value, u64 n);
void *memcpy(void *to, const void *from, u64 n);

/* ---- instructions ---- */

static inline void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void port_out(u16 port, u32 value, u32 width)
{
	if (width == 1)
		__asm__ volatile("outb %b0, %1" : : "a"(value), "d"(port));
	else if (width == 2)
		__asm__ volatile("outw %w0, %1" : : "a"(value), "d"(port));
	else
		__asm__ volatile("outl %0, %1" : : "a"(value), "d"(port));
}

static inline void port_in(u16 port, u32 width)
{
	u32 value;

	if (width == 1)
		__asm__ volatile("inb %1, %b0" : "=a"(value) : "d"(port));
	else if (width == 2)
		__asm__ volatile("inw %1, %w0" : "=a"(value) : "d"(port));
	else
		__asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
}

static inline void write_as(u64 at, u64 value, u32 width)
{
	if (width == 1)
		*(volatile u8 *)at = (u8)value;
	else if (width == 2)
		*(volatile u16 *)at = (u16)value;
	else if (width == 4)
		*(volatile u32 *)at = (u32)value;
	else
		*(volatile u64 *)at = value;
}

static inline u64 read_as(u64 at, u32 width)
{
	if (width == 1)
		return *(volatile u8 *)at;
	if (width == 2)
		return *(volatile u16 *)at;
	return width == 4 ? *(volatile u32 *)at : *(volatile u64 *)at;
}

static inline void reg_write(const struct device *d, u32 reg, u32 value)
{
	write_as(d->base + reg, value, 4);
}

static inline u32 reg_read(const struct device *d, u32 reg)
{
	return (u32)read_as(d->base + reg, 4);
}

/* ---- serial.c: the serial port ---- */

void print(const char *s);
void print_number(u64 n);
/* The attacks have been at it too: no divisor, no interrupts, no loop-back. */
void serial_mend(void);

/* ---- chance.c: all by the seed ---- */

u64 any(struct cpu *c);
u32 below(struct cpu *c, u32 n);
int one_in(struct cpu *c, u32 n);
u32 width_of(struct cpu *c);
/* Values that programs stumble over. */
u64 wild(struct cpu *c);
/* Where a device may write: see the drawing in start.c. */
u64 inside(struct cpu *c, u32 align);
u64 address(struct cpu *c);
u64 outside(struct cpu *c);
/* Small ones mostly: the point is not to fill the log. */
u32 length(struct cpu *c);
/* For registers: no ring may come to lie over this program. */
u32 wild_low(struct cpu *c);

/* ---- driver.c: a driver that knows how, to get as far as the devices' own code ---- */

struct device *some_device(struct cpu *c);
struct device *some_device_of(struct cpu *c, u32 id); /* 0: there is none */
void set_address(struct device *d, u32 reg, u64 at);
void activate(struct cpu *c, struct device *d);
/* Activates it again if it is broken, or we do not know its queues. */
void need_up(struct cpu *c, struct device *d);
u32 some_queue(struct cpu *c, const struct device *d);
void offer(struct queue *q, u16 head);
/* Gives the device's thread time for an answer, and counts it. */
void await_answer(struct cpu *c, struct device *d, const struct queue *q);

/* ---- attacks; each is one round ---- */

/* rings.c */
void attack_registers(struct cpu *c);
void attack_instructions(struct cpu *c);
void attack_queue_setup(struct cpu *c);
void attack_status(struct cpu *c);
void attack_doorbells(struct cpu *c);
void attack_descriptors(struct cpu *c);
void attack_loops(struct cpu *c);
void attack_overlaps(struct cpu *c);
void attack_race(struct cpu *c); /* of the other processor */
/* requests.c */
void attack_block(struct cpu *c);
void attack_console(struct cpu *c);
void attack_balloon(struct cpu *c);
void attack_network(struct cpu *c);
void attack_shares(struct cpu *c);
/* platform.c */
void attack_ports(struct cpu *c);
void attack_all_ports(struct cpu *c);
void attack_hole(struct cpu *c);
void attack_apics(struct cpu *c, int all);

#endif
