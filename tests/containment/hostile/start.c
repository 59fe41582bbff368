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
#include "tests/containment/hostile/hostile.h"

struct device devices[MAX_DEVICES];
u32 n_devices;
static u64 stop_other;

void start_c(u64 boot_params);
void other_c(void);
void trap_c(const u64 *frame);

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

static void (*const attacks[])(struct cpu *c) = {
	attack_registers, attack_instructions, attack_queue_setup, attack_status, attack_doorbells, attack_descriptors,
	attack_descriptors, attack_loops, attack_overlaps, attack_block, attack_block, attack_block, attack_console,
	attack_console, attack_balloon, attack_network, attack_network, attack_shares, attack_shares, attack_ports,
	attack_hole,
};

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
