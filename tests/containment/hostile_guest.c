/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A "kernel" that does to its machine whatever a guest can do and no honest one would: garbage into every register,
 * port and virtqueue. What is tested is the machine monitor: the guest may end its own VM and nothing else.
 *
 * Command line: seed=N  rounds=N  cpus=N (2: another processor attacks the same devices, rings and all)
 *               ports=all (every port by every width)   end=reset|fault|wild
 * It ends with the line "hostile guest: N rounds, seed S, still running" on the serial port, then resets the machine,
 * faults thrice, or (wild) goes on with what may stop a processor for good.
 *
 * Theory of operation. Entered by the 64-bit protocol. Devices are told to write all over the guest's memory, so what
 * the guest itself needs (code, tables, stacks) is linked high, at 48 MiB of at least 64, and every address and length
 * is chosen so that no mixture of two of them, half overwritten by the other processor, comes near:
 *
 *      0           24 MiB                 48 MiB         56       60        64 MiB = end of RAM
 *      | addresses | lengths end here      | this program |        | more addresses |  the hole …
 *
 * All else about them is up to the seed. Nothing depends on interrupts: they stay masked.
 */
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
enum { ID_BLOCK = 2, ID_CONSOLE = 3 };
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

static struct device devices[MAX_DEVICES];
static u32 n_devices;
static u64 stop_other;

void start_c(u64 boot_params);
void other_c(void);
void trap_c(const u64 *frame);
void *memset(void *at, int value, u64 n);
void *memcpy(void *to, const void *from, u64 n);

/* Entry, the other processor's way from real mode to here, and the exceptions. */
__asm__(".globl _start\n"
	"_start: lea stack_top(%rip), %rsp\n"
	"	mov %rsi, %rdi\n"
	"	call start_c\n"
	"0:	hlt\n	jmp 0b\n"
	".globl other_start, other_begin, other_end\n"
	"other_start: lea other_stack_top(%rip), %rsp\n"
	"	call other_c\n"
	"0:	hlt\n	jmp 0b\n"
	".code16\n"
	"other_begin: cli\n"
	"	xor %ax, %ax\n	mov %ax, %ds\n"
	"	lgdtl 0x8000 + (other_gdtr - other_begin)\n"
	"	mov $0x20, %eax\n	mov %eax, %cr4\n"
	"	mov 0x8000 + (other_cr3 - other_begin), %eax\n	mov %eax, %cr3\n"
	"	mov $0xc0000080, %ecx\n	rdmsr\n	or $0x100, %eax\n	wrmsr\n"
	"	mov $0x80000011, %eax\n	mov %eax, %cr0\n"
	"	ljmpl $0x10, $other_start\n"
	".balign 8\n"
	"other_gdtr: .word 31\n	.long gdt\n"
	".balign 8\n"
	"other_cr3: .long tables\n"
	"other_end:\n"
	".code64\n"
	".macro stub vector\n"
	"	.balign 16\n"
	"	.if \\vector == 2\n"
	"	iretq\n" /* an NMI that a wild write to an APIC has sent */
	"	.else\n"
	"	push $\\vector\n"
	"	jmp trapped\n"
	"	.endif\n"
	".endm\n"
	".balign 16\n"
	"stubs:\n"
	".altmacro\n"
	".set n, 0\n"
	".rept 32\n	stub %n\n	.set n, n + 1\n	.endr\n"
	".noaltmacro\n"
	"trapped: mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call trap_c\n"
	".bss\n"
	".balign 16\n"
	".skip 16384\n"
	"stack_top: .skip 16384\n"
	"other_stack_top:\n"
	".text\n");

extern char stubs[], other_begin[], other_end[];
u64 gdt[4] __attribute__((aligned(16), used)) = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
u64 tables[6][512] __attribute__((aligned(4096), used));
static struct {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_mid;
	u32 offset_high, reserved;
} idt[32] __attribute__((aligned(16)));
struct pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

void *memset(void *at, int value, u64 n)
{
	void *to = at;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
	return at;
}

void *memcpy(void *to, const void *from, u64 n)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
	return to;
}

/* ---- instructions ---- */

static void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void port_out(u16 port, u32 value, u32 width)
{
	if (width == 1)
		__asm__ volatile("outb %b0, %1" : : "a"(value), "d"(port));
	else if (width == 2)
		__asm__ volatile("outw %w0, %1" : : "a"(value), "d"(port));
	else
		__asm__ volatile("outl %0, %1" : : "a"(value), "d"(port));
}

static void port_in(u16 port, u32 width)
{
	u32 value;

	if (width == 1)
		__asm__ volatile("inb %1, %b0" : "=a"(value) : "d"(port));
	else if (width == 2)
		__asm__ volatile("inw %1, %w0" : "=a"(value) : "d"(port));
	else
		__asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
}

static void write_as(u64 at, u64 value, u32 width)
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

static u64 read_as(u64 at, u32 width)
{
	if (width == 1)
		return *(volatile u8 *)at;
	if (width == 2)
		return *(volatile u16 *)at;
	return width == 4 ? *(volatile u32 *)at : *(volatile u64 *)at;
}

static void reg_write(const struct device *d, u32 reg, u32 value)
{
	write_as(d->base + reg, value, 4);
}

static u32 reg_read(const struct device *d, u32 reg)
{
	return (u32)read_as(d->base + reg, 4);
}

/* ---- the serial port ---- */

static void print(const char *s)
{
	for (; *s; s++)
		out8(SERIAL, (u8)*s);
}

static void print_number(u64 n)
{
	char digits[24], *at = digits + sizeof digits - 1;

	*at = '\0';
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	print(at);
}

/* The attacks have been at it too: no divisor, no interrupts, no loop-back. */
static void serial_mend(void)
{
	out8(SERIAL + 3, 3);
	out8(SERIAL + 1, 0);
	out8(SERIAL + 4, 3);
	print("\n");
}

void trap_c(const u64 *frame)
{
	serial_mend();
	print("hostile guest: exception ");
	print_number(frame[0]);
	print(", at or near ");
	print_number(frame[1]);
	print(" ");
	print_number(frame[2]);
	print("\n");
	out8(I8042, I8042_RESET);
	for (;;)
		__asm__ volatile("pause");
}

/* ---- chance ---- */

static u64 any(struct cpu *c)
{
	c->random ^= c->random >> 12;
	c->random ^= c->random << 25;
	c->random ^= c->random >> 27;
	return c->random * 0x2545f4914f6cdd1dUL;
}

static u32 below(struct cpu *c, u32 n)
{
	return (u32)((any(c) >> 32) * n >> 32);
}

static int one_in(struct cpu *c, u32 n)
{
	return below(c, n) == 0;
}

static u32 width_of(struct cpu *c)
{
	return 1U << below(c, 4);
}

/* Values that programs stumble over. */
static u64 wild(struct cpu *c)
{
	switch (below(c, 8)) {
	case 0:
		return 0;
	case 1:
		return ~0UL;
	case 2:
		return 1UL << below(c, 64);
	case 3:
		return (1UL << below(c, 64)) - 1;
	case 4:
		return below(c, 300);
	case 5:
		return 0UL - below(c, 5000);
	default:
		return any(c);
	}
}

/* Where a device may write: see the drawing on top. */
static u64 inside(struct cpu *c, u32 align)
{
	u64 at = one_in(c, 16) ? 60 * MIB + below(c, 4 * MIB) : MIB + below(c, 20 * MIB);

	return at & ~(u64)(align - 1);
}

static u64 outside(struct cpu *c)
{
	switch (below(c, 8)) {
	case 0:
		return RAM;
	case 1:
		return RAM - 1 - below(c, 64);
	case 2:
		return 0UL - 16 * (1 + below(c, 64));
	case 3:
		return 0xc0000000UL + below(c, 0x3fffffff);
	case 4:
		return WINDOWS + below(c, 8 * WINDOW);
	case 5:
		return (1UL << 32) + below(c, MIB);
	case 6:
		return LAPIC;
	default:
		return 1UL << 63 | any(c);
	}
}

static u64 address(struct cpu *c)
{
	return one_in(c, 12) ? outside(c) : inside(c, one_in(c, 4) ? 1 : 16);
}

/* Small ones mostly: the point is not to fill the log. */
static u32 length(struct cpu *c)
{
	switch (below(c, 64)) {
	case 0:
		return ~0U;
	case 1:
		return 0x80000000U;
	case 2:
		return RAM + below(c, 1 << 30);
	case 3:
		return below(c, 20 * MIB);
	case 4: case 5: case 6: case 7:
		return 0;
	case 8: case 9: case 10: case 11: case 12: case 13: case 14: case 15:
		return 1 + below(c, 64);
	case 16: case 17: case 18: case 19:
		return below(c, 65536);
	default:
		return 512 * below(c, 9);
	}
}

/* For registers: no ring may come to lie over this program. */
static u32 wild_low(struct cpu *c)
{
	u32 value = (u32)wild(c);

	return value >= 40 * MIB && value < 60 * MIB ? value + RAM : value;
}

/* ---- a driver that knows how, to get as far as the devices' own code ---- */

static struct device *some_device(struct cpu *c)
{
	return &devices[below(c, n_devices)];
}

static struct device *some_device_of(struct cpu *c, u32 id)
{
	u32 first = below(c, n_devices);

	for (u32 i = 0; i < n_devices; i++)
		if (devices[(first + i) % n_devices].id == id)
			return &devices[(first + i) % n_devices];
	return 0;
}

static u64 ring_address(struct cpu *c, u32 align)
{
	return inside(c, align);
}

static void set_address(struct device *d, u32 reg, u64 at)
{
	reg_write(d, reg, (u32)at);
	reg_write(d, reg + 4, (u32)(at >> 32));
}

static int set_up_queue(struct cpu *c, struct device *d, u32 n)
{
	struct queue *q = &d->queues[n];
	u32 max, size;

	reg_write(d, QUEUE_SEL, n);
	max = reg_read(d, NUM_MAX);
	if (max == 0)
		return 0;
	size = max >> (one_in(c, 3) ? below(c, 8) : 0);
	if (size == 0)
		size = 1;
	if (size > MAX_SIZE)
		size = MAX_SIZE;
	*q = (struct queue){ (struct desc *)ring_address(c, 4096), (u16 *)ring_address(c, 4096),
		(u16 *)ring_address(c, 4096), (u16)size, 0 };
	if ((u64)q->avail < 24 * MIB)
		memset(q->avail, 0, 4096);
	reg_write(d, NUM, size);
	set_address(d, DESC, (u64)q->desc);
	set_address(d, AVAIL, (u64)q->avail);
	set_address(d, USED, (u64)q->used);
	q->avail[1] = q->idx = 0;
	reg_write(d, READY, 1);
	return 1;
}

static void activate(struct cpu *c, struct device *d)
{
	u32 low, high;

	reg_write(d, STATUS, 0);
	reg_write(d, STATUS, ACKNOWLEDGE);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER);
	reg_write(d, FEATURES_SEL, 0);
	low = reg_read(d, FEATURES);
	reg_write(d, FEATURES_SEL, 1);
	high = reg_read(d, FEATURES);
	reg_write(d, DRIVER_FEATURES_SEL, 0);
	reg_write(d, DRIVER_FEATURES, one_in(c, 4) ? low & (u32)any(c) : low);
	reg_write(d, DRIVER_FEATURES_SEL, 1);
	reg_write(d, DRIVER_FEATURES, high);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (u32 n = 0; n < MAX_QUEUES; n++)
		if (!set_up_queue(c, d, n))
			break;
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static int is_up(const struct device *d)
{
	return (reg_read(d, STATUS) & (DRIVER_OK | NEEDS_RESET | FAILED)) == DRIVER_OK;
}

static void need_up(struct cpu *c, struct device *d)
{
	if (is_up(d) && d->queues[0].size)
		return;
	if (reg_read(d, STATUS) & NEEDS_RESET)
		c->broken++;
	activate(c, d);
}

static u32 some_queue(struct cpu *c, const struct device *d)
{
	u32 n = 0;

	while (n < MAX_QUEUES && d->queues[n].size)
		n++;
	return n ? below(c, n) : 0;
}

static void offer(struct queue *q, u16 head)
{
	q->avail[2 + (q->idx & (q->size - 1))] = head;
	__asm__ volatile("" : : : "memory");
	*(volatile u16 *)&q->avail[1] = ++q->idx;
}

/* Gives the device's thread time for an answer, and counts it. */
static void await_answer(struct cpu *c, struct device *d, const struct queue *q)
{
	u16 before = *(volatile u16 *)&q->used[1];

	for (u32 i = 0; i < 200; i++) {
		if (*(volatile u16 *)&q->used[1] == q->idx)
			break;
		if (i % 16 == 15 && reg_read(d, STATUS) & NEEDS_RESET)
			break;
		for (u32 j = 0; j < 100; j++)
			__asm__ volatile("pause");
	}
	before = (u16)(*(volatile u16 *)&q->used[1] - before);
	c->answers += before <= q->size ? before : 0; /* else something was written over it */
}

/* ---- attacks ---- */

static void attack_registers(struct cpu *c)
{
	static const u16 offsets[] = { MAGIC, DEVICE_ID, FEATURES, FEATURES_SEL, DRIVER_FEATURES, DRIVER_FEATURES_SEL,
		QUEUE_SEL, NUM_MAX, NUM, READY, NOTIFY, INTERRUPT_STATUS, INTERRUPT_ACK, STATUS, DESC, DESC + 4, AVAIL,
		AVAIL + 4, USED, USED + 4, 0xac, 0xb0, 0xb4, 0xb8, 0xbc, 0xc0, 0xfc, CONFIG };

	for (u32 i = 0; i < 24; i++) {
		u64 at = WINDOWS + below(c, n_devices + 1) * WINDOW;
		u32 width = width_of(c);

		switch (below(c, 4)) {
		case 0:
			at += below(c, WINDOW);
			break;
		case 1:
			at += WINDOW - 1 - below(c, 10); /* over the end */
			break;
		case 2:
			at += CONFIG + below(c, 80);
			break;
		default:
			at += offsets[below(c, sizeof offsets / sizeof *offsets)] + (one_in(c, 4) ? below(c, 4) : 0);
			width = one_in(c, 4) ? width : 4;
		}
		if (one_in(c, 3))
			(void)read_as(at, width);
		else
			write_as(at, width == 8 ? wild(c) : wild_low(c), width);
	}
}

/* Instructions that read and write at once, or many times. */
static void attack_instructions(struct cpu *c)
{
	u64 at = WINDOWS + below(c, n_devices) * WINDOW + below(c, one_in(c, 2) ? WINDOW : 0x100);
	u64 to = inside(c, 1), from = at, n = 1 + below(c, 12), value = wild(c), other = wild(c);

	switch (below(c, 6)) {
	case 0:
		__asm__ volatile("xchgl %k0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 1:
		__asm__ volatile("lock cmpxchgq %2, (%1)" : "+a"(value) : "r"(at), "r"(other) : "memory");
		break;
	case 2:
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 3:
		__asm__ volatile("rep movsl" : "+D"(at), "+S"(to), "+c"(n) : : "memory");
		break;
	case 4:
		to = WINDOWS + below(c, n_devices) * WINDOW + below(c, WINDOW);
		__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	default:
		__asm__ volatile("lock orl %k1, (%0)" : : "r"(at), "r"(value) : "memory", "cc");
	}
}

static void attack_queue_setup(struct cpu *c)
{
	struct device *d = some_device(c);
	u64 same = inside(c, 16);

	reg_write(d, STATUS, 0);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER);
	reg_write(d, DRIVER_FEATURES_SEL, 1);
	reg_write(d, DRIVER_FEATURES, 1);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (u32 i = 0; i < 4; i++) {
		static const u32 sizes[] = { 0, 3, 100, 127, 128, 256, 257, 512, 32768, 65535, 65536, 0x10010, 1 };

		reg_write(d, QUEUE_SEL, one_in(c, 6) ? (u32)wild(c) : below(c, 6));
		reg_write(d, NUM, sizes[below(c, sizeof sizes / sizeof *sizes)]);
		for (u32 reg = DESC; reg <= USED; reg += 16) {
			u64 at = same;

			if (!one_in(c, 3)) /* else all in one place */
				at = one_in(c, 2) ? outside(c) : inside(c, one_in(c, 2) ? 1 : 4096);
			set_address(d, reg, at);
		}
		reg_write(d, READY, one_in(c, 4) ? (u32)wild(c) : 1);
		reg_write(d, NUM, sizes[below(c, sizeof sizes / sizeof *sizes)]);
		if (one_in(c, 2))
			reg_write(d, DESC, wild_low(c));
	}
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	d->queues[0].size = 0; /* is_up does not tell where our rings are */
	for (u32 n = 0; n < 6; n++) {
		reg_write(d, QUEUE_SEL, n);
		reg_write(d, NUM, (u32)wild(c)); /* after activation */
		reg_write(d, AVAIL, (u32)inside(c, 2));
		reg_write(d, READY, 0);
		reg_write(d, NOTIFY, n);
	}
}

static void attack_status(struct cpu *c)
{
	struct device *d = some_device(c);

	for (u32 i = 0; i < 12; i++) {
		reg_write(d, STATUS, one_in(c, 4) ? (u32)wild(c) : below(c, 256));
		if (one_in(c, 4))
			reg_write(d, NOTIFY, below(c, 8));
		if (one_in(c, 4))
			reg_write(d, READY, below(c, 2));
	}
}

static void attack_doorbells(struct cpu *c)
{
	struct device *d = some_device(c);

	need_up(c, d);
	for (u32 i = 0; i < 16; i++)
		reg_write(d, NOTIFY, one_in(c, 2) ? (u32)wild(c) : below(c, MAX_QUEUES));
	write_as(d->base + NOTIFY, wild(c), 2);
	write_as(d->base + NOTIFY, wild(c), 8);
}

/* Chains that are right in form, in memory that may hold anything. */
static void fill_chains(struct cpu *c, struct desc *table, u32 n)
{
	u16 write = 0;

	for (u32 i = 0; i < n; i++) {
		u16 next = i + 1 < n && !one_in(c, 4) ? F_NEXT : 0;

		if (one_in(c, 2))
			write = F_WRITE;
		table[i] = (struct desc){ inside(c, 1), one_in(c, 2) ? 1 + below(c, 64) : 512 * below(c, 9),
			next | write, (u16)(i + 1) };
		if (!next)
			write = 0;
	}
}

/* A table of garbage, of the size of a queue or not. */
static void fill_table(struct cpu *c, struct desc *table, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u16 flags = (u16)below(c, 4);

		if (one_in(c, 12))
			flags |= F_INDIRECT;
		if (one_in(c, 40))
			flags = (u16)any(c);
		table[i] = (struct desc){ address(c), length(c), flags,
			(u16)(one_in(c, 12) ? any(c) : one_in(c, 2) ? i + 1 : below(c, n + 1)) };
		if (flags & F_INDIRECT && !one_in(c, 4)) {
			struct desc *inner = (struct desc *)inside(c, 16);
			u32 entries = below(c, 20);

			table[i].addr = (u64)inner;
			table[i].len = 16 * entries + (one_in(c, 6) ? below(c, 16) : 0);
			for (u32 j = 0; j < entries; j++)
				inner[j] = (struct desc){ address(c), length(c),
					(u16)(below(c, 4) | (one_in(c, 20) ? F_INDIRECT : 0)), (u16)(j + 1) };
		}
	}
}

static void attack_descriptors(struct cpu *c)
{
	struct device *d = some_device(c);
	struct queue *q;
	u32 n;

	need_up(c, d);
	n = some_queue(c, d);
	q = &d->queues[n];
	if (!q->size)
		return;
	(one_in(c, 2) ? fill_table : fill_chains)(c, q->desc, q->size);
	for (u32 i = below(c, 8); i > 0; i--)
		offer(q, one_in(c, 16) ? (u16)wild(c) : (u16)below(c, q->size));
	if (one_in(c, 8))
		q->avail[1] = (u16)(q->idx += below(c, 65536)); /* a jump */
	if (one_in(c, 8))
		q->avail[0] = (u16)any(c);
	reg_write(d, NOTIFY, n);
	if (!one_in(c, 3))
		await_answer(c, d, q);
	if (one_in(c, 4))
		reg_write(d, STATUS, 0); /* in the midst of it */
}

/* Loops of one, two and all; a table that leads to itself. */
static void attack_loops(struct cpu *c)
{
	struct device *d = some_device(c);
	struct queue *q;
	u32 n, kind = below(c, 4);

	need_up(c, d);
	n = some_queue(c, d);
	q = &d->queues[n];
	if (!q->size)
		return;
	for (u32 i = 0; i < q->size; i++)
		q->desc[i] = (struct desc){ inside(c, 16), kind == 3 ? 0 : 8, F_NEXT | (i ? F_WRITE : 0),
			(u16)(kind == 0 ? 0 : kind == 1 ? i ^ 1 : (i + 1) & (q->size - 1)) };
	if (kind == 2)
		q->desc[0] = (struct desc){ (u64)q->desc, q->size * 16U, F_INDIRECT, 0 };
	offer(q, 0);
	reg_write(d, NOTIFY, n);
	await_answer(c, d, q);
}

/* One request in three parts that is right but for what it asks. */
static void attack_block(struct cpu *c)
{
	struct device *d = some_device_of(c, ID_BLOCK);
	struct queue *q;
	u64 at = MIB + (u64)below(c, 20) * MIB;
	u32 *header = (u32 *)at;
	static const u32 types[] = { 0, 1, 4, 8, 11, 13 };

	if (!d)
		return;
	q = &d->queues[0];
	need_up(c, d);
	if (q->size < 4)
		activate(c, d);
	if (q->size < 4)
		return;
	for (u32 i = 1 + below(c, 6); i > 0; i--) {
		u16 write = one_in(c, 2) ? F_WRITE : 0;
		u32 data = one_in(c, 8) ? length(c) : 512 * (1 + below(c, 8));

		header[0] = one_in(c, 8) ? (u32)wild(c) : types[below(c, 6)];
		header[1] = (u32)wild(c);
		*(u64 *)&header[2] = one_in(c, 2) ? wild(c) : below(c, 4096);
		if (header[0] == 1)
			write = 0;
		if (header[0] == 11 || header[0] == 13) { /* discard, write zeroes: a range in the data */
			*(u64 *)(at + 4096) = one_in(c, 2) ? wild(c) : below(c, 4096);
			*(u64 *)(at + 4104) = one_in(c, 2) ? wild(c) : below(c, 64);
			data = one_in(c, 4) ? data : 16;
			write = 0;
		}
		q->desc[0] = (struct desc){ at, one_in(c, 16) ? below(c, 32) : 16, F_NEXT, 1 };
		q->desc[1] = (struct desc){ at + 4096, data, F_NEXT | write, 2 };
		q->desc[2] = (struct desc){ at + 64, one_in(c, 16) ? 0 : 1, one_in(c, 32) ? 0 : F_WRITE, 0 };
		offer(q, 0);
		reg_write(d, NOTIFY, 0);
		if (!one_in(c, 4))
			await_answer(c, d, q);
	}
}

static void attack_console(struct cpu *c)
{
	struct device *d = some_device_of(c, ID_CONSOLE);

	if (!d)
		return;
	need_up(c, d);
	for (u32 n = 0; n < 6; n++) { /* room for what it may say */
		struct queue *q = &d->queues[n];

		for (u16 i = 0; n % 2 == 0 && i < 4 && i < q->size; i++) {
			q->desc[i] = (struct desc){ inside(c, 16), one_in(c, 8) ? length(c) : 4096, F_WRITE, 0 };
			offer(q, i);
		}
		reg_write(d, NOTIFY, n);
	}
	for (u32 i = 0; i < 8; i++) {
		u32 n = one_in(c, 3) ? 1 + 2 * below(c, 3) : CONTROL_OUT;
		struct queue *q = &d->queues[n];
		u32 *message = (u32 *)(MIB + (u64)below(c, 20) * MIB);

		if (!q->size)
			continue;
		message[0] = one_in(c, 4) ? (u32)wild(c) : below(c, 3);
		message[1] = one_in(c, 4) ? (u32)wild(c) : below(c, 9) | below(c, 3) << 16;
		if (one_in(c, 3)) { /* the agent's port opens */
			message[0] = 1;
			message[1] = 6 | 1 << 16;
		}
		q->desc[0] = (struct desc){ (u64)message, one_in(c, 3) ? below(c, 300) : 8, 0, 0 };
		offer(q, 0);
		reg_write(d, NOTIFY, n);
		await_answer(c, d, q);
	}
}

/* Ports that would end the machine are left to the end. */
static int is_last_port(u32 port, u32 width)
{
	return (port <= I8042 && port + width > I8042) || (port <= SLEEP && port + width > SLEEP);
}

static int is_serial(u32 port)
{
	return port + 4 > SERIAL && port < SERIAL + 8;
}

static void attack_ports(struct cpu *c)
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

static void attack_all_ports(struct cpu *c)
{
	for (u32 port = 0; port < 65536; port++) {
		for (u32 width = 1; width <= 4; width *= 2) {
			port_in((u16)port, width);
			if (!is_last_port(port, width) && !is_serial(port))
				port_out((u16)port, (u32)any(c), width);
		}
	}
}

static void attack_hole(struct cpu *c)
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
static void attack_apics(struct cpu *c, int all)
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

/* The other processor: writes into the rings what the devices are just reading, and takes their state away. */
static void attack_race(struct cpu *c)
{
	struct device *d = some_device(c);
	struct queue q = d->queues[below(c, MAX_QUEUES)];

	if (!q.size || !q.desc || !q.avail || !q.used)
		return;
	for (u32 i = 0; i < 200; i++) {
		volatile struct desc *desc = &q.desc[below(c, q.size < 8 ? q.size : 8)];

		switch (below(c, 6)) {
		case 0:
			desc->addr = address(c);
			break;
		case 1:
			desc->len = length(c);
			break;
		case 2:
			desc->flags = (u16)below(c, 8);
			break;
		case 3:
			desc->next = (u16)below(c, q.size + 1U);
			break;
		case 4:
			*(volatile u16 *)&q.avail[1] = (u16)(q.avail[1] + 1);
			break;
		default:
			q.avail[2 + below(c, q.size)] = (u16)below(c, q.size);
		}
	}
	if (one_in(c, 2))
		reg_write(d, NOTIFY, below(c, MAX_QUEUES));
	if (one_in(c, 16))
		reg_write(d, STATUS, one_in(c, 2) ? 0 : (u32)wild(c));
}

static void (*const attacks[])(struct cpu *c) = {
	attack_registers, attack_instructions, attack_queue_setup, attack_status, attack_doorbells, attack_descriptors,
	attack_descriptors, attack_loops, attack_block, attack_block, attack_block, attack_console, attack_console,
	attack_ports, attack_hole,
};

/* ---- start and end ---- */

static void set_tables(void)
{
	struct pointer gdtr = { sizeof gdt - 1, (u64)gdt }, idtr = { sizeof idt - 1, (u64)idt };

	/* Four GiB in pages of 2 MiB, in a place that no device writes to. */
	tables[0][0] = (u64)tables[1] | 3;
	for (u32 i = 0; i < 4; i++)
		tables[1][i] = (u64)tables[2 + i] | 3;
	for (u64 i = 0; i < 4 * 512; i++)
		tables[2 + i / 512][i % 512] = i << 21 | 0x83;
	for (u32 i = 0; i < 32; i++) {
		u64 at = (u64)stubs + 16 * i;

		idt[i].offset_low = (u16)at;
		idt[i].offset_mid = (u16)(at >> 16);
		idt[i].offset_high = (u32)(at >> 32);
		idt[i].selector = 0x10;
		idt[i].type = 0x8e;
	}
	__asm__ volatile("lgdt %0\n\tlidt %1\n\tmov %2, %%cr3" : : "m"(gdtr), "m"(idtr), "r"(tables) : "memory");
}

static const char *find(const char *line, const char *name)
{
	for (; *line; line++) {
		u32 i = 0;

		while (name[i] && line[i] == name[i])
			i++;
		if (!name[i])
			return line + i;
	}
	return "";
}

static u64 number(const char *line, const char *name, u64 otherwise)
{
	const char *at = find(line, name);
	u64 n = 0;

	if (*at < '0' || *at > '9')
		return otherwise;
	for (; *at >= '0' && *at <= '9'; at++)
		n = 10 * n + (u64)(*at - '0');
	return n;
}

static u64 other_seed, other_alive;

void other_c(void)
{
	struct pointer idtr = { sizeof idt - 1, (u64)idt };
	struct cpu c = { .random = other_seed, .n = 1 };

	__asm__ volatile("lidt %0" : : "m"(idtr));
	__atomic_store_n(&other_alive, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&stop_other, __ATOMIC_RELAXED)) {
		attack_race(&c);
		if (one_in(&c, 8))
			(one_in(&c, 2) ? attack_registers : attack_doorbells)(&c);
	}
}

static void start_other(void)
{
	memcpy((void *)0x8000UL, other_begin, (u64)(other_end - other_begin));
	write_as(LAPIC + 0xf0, 0x1ff, 4);
	write_as(LAPIC + 0x300, 0xc4500, 4); /* INIT to all others */
	for (u32 i = 0; i < 2; i++) {
		for (u32 j = 0; j < 10000; j++)
			__asm__ volatile("pause");
		write_as(LAPIC + 0x300, 0xc4608, 4); /* start at 0x8000 */
	}
	for (u32 i = 0; i < 1000000 && !__atomic_load_n(&other_alive, __ATOMIC_SEQ_CST); i++)
		__asm__ volatile("pause");
}

static void __attribute__((noreturn)) end(struct cpu *c, char how)
{
	static const struct pointer nothing;

	while (how == 'w')
		for (u32 i = 0; i < 64; i++) {
			attack_apics(c, 1);
			attacks[below(c, sizeof attacks / sizeof *attacks)](c);
			if (i == 63)
				how = 'r';
		}
	if (how == 'r')
		out8(I8042, I8042_RESET);
	__asm__ volatile("lidt %0\n\tud2" : : "m"(nothing)); /* no handler for it, nor for that, nor for that */
	for (;;)
		__asm__ volatile("hlt");
}

void start_c(u64 boot_params)
{
	const char *line = (const char *)(u64)*(u32 *)(boot_params + CMD_LINE_PTR);
	u64 seed = number(line, "seed=", 1), rounds = number(line, "rounds=", 100), cpus = number(line, "cpus=", 1);
	int all_ports = *find(line, "ports=") == 'a';
	char how = *find(line, "end=");
	struct cpu c = { .random = seed * 0x9e3779b97f4a7c15UL | 1 };

	set_tables();
	for (; n_devices < MAX_DEVICES && read_as(WINDOWS + n_devices * WINDOW, 4) == 0x74726976; n_devices++) {
		devices[n_devices].base = WINDOWS + n_devices * WINDOW;
		devices[n_devices].id = (u32)read_as(devices[n_devices].base + DEVICE_ID, 4);
	}
	print("hostile guest: ");
	print_number(n_devices);
	print(" devices\n");
	if (n_devices == 0)
		end(&c, 'r');
	for (u32 i = 0; i < n_devices; i++)
		activate(&c, &devices[i]);
	if (cpus > 1) {
		other_seed = any(&c) | 1;
		start_other();
	}
	for (u64 i = 0; i < rounds; i++)
		attacks[below(&c, sizeof attacks / sizeof *attacks)](&c);
	if (all_ports)
		attack_all_ports(&c);
	attack_apics(&c, 0);
	serial_mend();
	print("hostile guest: ");
	print_number(c.answers);
	print(" answers, ");
	print_number(c.broken);
	print(" devices broken, ");
	print_number(1 + other_alive);
	print(" processors\nhostile guest: ");
	print_number(rounds);
	print(" rounds, seed ");
	print_number(seed);
	print(", still running\n");
	end(&c, how ? how : 'r');
}
