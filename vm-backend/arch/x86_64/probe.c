/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can /dev/kvm run an ordinary kernel? Some cannot: software KVMs that emulate guest kernel mode lack instructions that
 * every kernel uses, and are a hundred times too slow. Asking for capabilities does not tell; running a few dozen
 * instructions in 64-bit kernel mode does. The guest is one vCPU with 2 MiB, without interrupt controllers:
 *
 *      0x0500 GDT   0x1000 code   0x2000 IDT   0x3000 scratch, 64-byte aligned   0x8000 top of the stack
 *      0x9000 page tables: one 2 MiB page
 *
 * It reports each stage it has survived to a port.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/arch/x86_64/cpuid.h"
#include "vm-backend/engine.h"

enum {
	RAM_BYTES = 2 << 20,
	GDT = 0x500,
	CODE = 0x1000,
	IDT = 0x2000,
	STACK = 0x8000,
	PAGE_TABLES = 0x9000,
	PORT = 0xf1,
	TICK_MS = 20,
	ECX_XSAVE = 1 << 26,
	CR0_BOOT = 0x80050033,
	CR4_BOOT = 0x620,               /* PAE OSFXSR OSXMMEXCPT */
	CR4_OSXSAVE = 1 << 18,
	LOOPS = 100000,
};
#define LIMIT_NS        UINT64_C(300000000)
#define MIN_PER_SECOND  UINT64_C(20000000)

static const char *const stages[] = { "int3", "iretq", "cmpxchg16b", "xsave", "swapgs and wrmsr", "loop" };

/* RDI: whether there is XSAVE. Position-independent; runs at CODE. */
extern const char probe_guest[], probe_guest_int3[], probe_guest_end[];
__asm__(".pushsection .rodata.probe_guest, \"a\"\n"
	"probe_guest:\n"
	"	int3\n"
	"	mov	$0, %al\n"
	"	out	%al, $0xf1\n"
	"	pushq	$0x18\n"                /* a frame as for a return to user mode */
	"	pushq	$0x7f00\n"
	"	pushq	$2\n"
	"	pushq	$0x10\n"
	"	lea	1f(%rip), %rax\n"
	"	pushq	%rax\n"
	"	iretq\n"
	"1:	mov	$1, %al\n"
	"	out	%al, $0xf1\n"
	"	mov	$0x3000, %esi\n"
	"	xor	%eax, %eax\n"
	"	xor	%edx, %edx\n"
	"	mov	$1, %ebx\n"
	"	mov	$2, %ecx\n"
	"	lock cmpxchg16b (%rsi)\n"
	"	jnz	3f\n"
	"	mov	$2, %al\n"
	"	out	%al, $0xf1\n"
	"	test	%edi, %edi\n"
	"	jz	2f\n"
	"	mov	$0x3040, %esi\n"
	"	xor	%ecx, %ecx\n"
	"	xor	%edx, %edx\n"
	"	mov	$3, %eax\n"             /* x87 and SSE */
	"	xsetbv\n"
	"	xsave	(%rsi)\n"
	"	xrstor	(%rsi)\n"
	"2:	mov	$3, %al\n"
	"	out	%al, $0xf1\n"
	"	mov	$0x4000, %esi\n"
	"	fxsave	(%rsi)\n"
	"	fxrstor	(%rsi)\n"
	"	swapgs\n"
	"	mov	$0xc0000082, %ecx\n"    /* LSTAR */
	"	xor	%edx, %edx\n"
	"	mov	$0x1000, %eax\n"
	"	wrmsr\n"
	"	mov	$4, %al\n"
	"	out	%al, $0xf1\n"
	"	mov	$100000, %ecx\n"
	"4:	dec	%ecx\n"
	"	jnz	4b\n"
	"	mov	$5, %al\n"
	"	out	%al, $0xf1\n"
	"3:	hlt\n"
	"	jmp	3b\n"
	"probe_guest_int3:\n"
	"	iretq\n"
	"probe_guest_end:\n"
	".popsection\n");

struct probe {
	int kvm, vm, vcpu;
	uint8_t *ram;
	struct kvm_run *run;
	size_t run_bytes;
	timer_t timer;
	bool has_timer;
	sigset_t old_mask;
};

static void write_ram(uint8_t *ram)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	const uint64_t tables[] = { (PAGE_TABLES + 0x1000) | 3, (PAGE_TABLES + 0x2000) | 3, 0x83 };
	uint32_t handler = CODE + (uint32_t)(probe_guest_int3 - probe_guest);
	const uint16_t gate[8] = { (uint16_t)handler, 0x10, 0x8e00, 0, 0, 0, 0, 0 };

	memcpy(ram + GDT, gdt, sizeof gdt);
	memcpy(ram + CODE, probe_guest, (size_t)(probe_guest_end - probe_guest));
	memcpy(ram + IDT + 3 * sizeof gate, gate, sizeof gate);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		memcpy(ram + PAGE_TABLES + i * 0x1000, &tables[i], sizeof tables[i]);
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	bool code = type & 8;

	return (struct kvm_segment){ .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .s = 1,
		.g = 1, .db = !code, .l = code };
}

/* Step names are what the reason says. NULL: all went well. */
static const char *set_registers(struct probe *p)
{
	_cleanup_free_ struct cpuid_table *table = NULL;
	struct kvm_regs regs = { .rflags = 2, .rip = CODE, .rsp = STACK };
	struct kvm_sregs sregs;

	if (cpuid_supported(p->kvm, &table, NULL) < 0 || ioctl(p->vcpu, KVM_SET_CPUID2, &table->head) < 0)
		return "CPUID";
	for (uint32_t i = 0; i < table->head.nent; i++)
		if (table->entries[i].function == 1)
			regs.rdi = !!(table->entries[i].ecx & ECX_XSAVE);
	if (ioctl(p->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return "registers";
	sregs.cs = flat(0x10, 0xb);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x18, 3);
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 4 * 8 - 1;
	sregs.idt.base = IDT;
	sregs.idt.limit = 4 * 16 - 1;
	sregs.cr0 = CR0_BOOT;
	sregs.cr3 = PAGE_TABLES;
	sregs.cr4 = CR4_BOOT | (regs.rdi ? CR4_OSXSAVE : 0);
	sregs.efer = 0x500;
	if (ioctl(p->vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(p->vcpu, KVM_SET_REGS, &regs) < 0)
		return "registers";
	return NULL;
}

/*
 * A timer that ends KVM_RUN. Its signal is blocked but for the time inside KVM_RUN, which then returns EINTR with the
 * signal still pending: no handler, and nothing of the caller's is changed for good.
 */
static const char *start_timer(struct probe *p)
{
	const int signo = SIGRTMAX - 1;
	struct {
		struct kvm_signal_mask head;
		uint64_t mask;
	} inside = { .head.len = sizeof inside.mask };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signo };
	const struct itimerspec tick = { { 0, TICK_MS * 1000000 }, { 0, TICK_MS * 1000000 } };
	sigset_t mask;

	event._sigev_un._tid = (int)syscall(SYS_gettid);
	sigemptyset(&mask);
	sigaddset(&mask, signo);
	if (pthread_sigmask(SIG_BLOCK, &mask, &p->old_mask) < 0)
		return "signals";
	memcpy(&inside.mask, &p->old_mask, sizeof inside.mask);
	inside.mask &= ~(UINT64_C(1) << (signo - 1));
	if (timer_create(CLOCK_MONOTONIC, &event, &p->timer) < 0)
		return "timer";
	p->has_timer = true;
	if (timer_settime(p->timer, 0, &tick, NULL) < 0 || ioctl(p->vcpu, KVM_SET_SIGNAL_MASK, &inside.head) < 0)
		return "timer";
	return NULL;
}

static void consume_tick(void)
{
	const struct timespec now = { 0 };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMAX - 1);
	(void)sigtimedwait(&mask, NULL, &now); /* there may be none */
}

static void stop_timer(struct probe *p)
{
	if (!p->has_timer)
		return;
	(void)timer_delete(p->timer); /* it exists */
	consume_tick();
	(void)pthread_sigmask(SIG_SETMASK, &p->old_mask, NULL); /* a mask we were given */
}

static const char *make_vm(struct probe *p)
{
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_BYTES };
	int bytes = ioctl(p->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (ioctl(p->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION || bytes < (int)sizeof(struct kvm_run))
		return "its version";
	p->run_bytes = (size_t)bytes;
	p->vm = ioctl(p->kvm, KVM_CREATE_VM, 0);
	if (p->vm < 0)
		return "creating a VM";
	p->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->ram == MAP_FAILED)
		return "memory";
	write_ram(p->ram);
	slot.userspace_addr = (uintptr_t)p->ram;
	if (ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return "memory";
	p->vcpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
	if (p->vcpu < 0)
		return "creating a vCPU";
	p->run = mmap(NULL, p->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
	if (p->run == MAP_FAILED)
		return "creating a vCPU";
	return set_registers(p);
}

/* Our own time, the guest's among it: what others take from us does not make the processor slow. */
static uint64_t used_ns(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0 ? clock_now_ns() :
			(uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Runs the guest to its last stage. Returns the number of stages passed; *ret_loop_ns: what the last one took. */
static size_t run_stages(struct probe *p, uint64_t *ret_loop_ns)
{
	uint64_t deadline = clock_now_ns() + LIMIT_NS, since = 0;
	size_t passed = 0;

	while (passed < ARRAY_LEN(stages) && clock_now_ns() < deadline) {
		const uint8_t *data;

		if (ioctl(p->vcpu, KVM_RUN, 0) < 0) {
			if (errno != EINTR && errno != EAGAIN)
				break;
			consume_tick();
			continue;
		}
		data = (const uint8_t *)p->run + p->run->io.data_offset;
		if (p->run->exit_reason != KVM_EXIT_IO || p->run->io.port != PORT || *data != passed)
			break;
		passed++;
		if (passed == ARRAY_LEN(stages) - 1)
			since = used_ns();
	}
	*ret_loop_ns = used_ns() - since;
	return passed;
}

static int judge(size_t passed, uint64_t loop_ns, uint64_t total_ns, char *reason, size_t size)
{
	uint64_t per_second = 2 * LOOPS * UINT64_C(1000000000) / (loop_ns ? loop_ns : 1);

	if (passed < ARRAY_LEN(stages))
		(void)snprintf(reason, size, "/dev/kvm cannot run an ordinary kernel: it failed at %s", stages[passed]);
	else if (per_second < MIN_PER_SECOND) {
		(void)snprintf(reason, size, "/dev/kvm is too slow: %llu million instructions per second",
				(unsigned long long)(per_second / 1000000));
		return VM_ENGINE_SLOW;
	} else {
		(void)snprintf(reason, size, "/dev/kvm ran the probe in %llu.%llu ms",
				(unsigned long long)(total_ns / 1000000), (unsigned long long)(total_ns / 100000 % 10));
		return 1;
	}
	return 0;
}

int arch_probe(int kvm_fd, char *reason, size_t size)
{
	struct probe p = { .kvm = kvm_fd, .vm = -1, .vcpu = -1, .ram = MAP_FAILED, .run = MAP_FAILED };
	uint64_t start = clock_now_ns(), loop_ns = 0;
	const char *step = make_vm(&p);
	int r = 0;

	if (!step)
		step = start_timer(&p);
	if (step) {
		(void)snprintf(reason, size, "/dev/kvm is not usable: %s: %s", step, strerror(errno));
	} else {
		size_t passed = run_stages(&p, &loop_ns);

		r = judge(passed, loop_ns, clock_now_ns() - start, reason, size);
	}
	stop_timer(&p);
	if (p.run != MAP_FAILED)
		(void)munmap(p.run, p.run_bytes); /* our own mappings: cannot fail */
	close_cleanup(&p.vcpu);
	close_cleanup(&p.vm);
	if (p.ram != MAP_FAILED)
		(void)munmap(p.ram, RAM_BYTES);
	return r;
}
