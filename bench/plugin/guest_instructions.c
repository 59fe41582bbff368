/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin for QEMU's emulator (TCG) that counts what the guest executes, for bench/guest-instructions.
 *
 *   -plugin guest_instructions.so,counts=PATH
 *
 * PATH is mapped, so that whoever maps it too may read the counts at any moment while the guest runs: a header, then a
 * hash table of translation blocks by address. A block's instructions are counted when it is entered: one that is left
 * early by an interrupt or a fault counts whole. Each turn of a "rep" instruction is an execution, as QEMU does it; the
 * blocks that only repeat are counted apart.
 *
 * Debian's QEMU can load plugins but ships no header for them: what is used of interface version 1 is declared here.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
struct qemu_info;

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
		void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op, void *at,
		uint64_t add);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

#define EXPORT __attribute__((visibility("default")))
EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv);
int qemu_plugin_version = 1;

enum { SLOTS = 1 << 18 };

static struct counts {
	uint64_t total;         /* instructions; without those of repeats */
	uint64_t repeats;       /* turns of rep instructions that are a block of their own */
	uint64_t lost;          /* blocks that found no slot */
	uint64_t slots;
	struct {
		uint64_t address, executed;
	} blocks[SLOTS];
} *counts;

static uint64_t *slot_of(uint64_t address)
{
	uint64_t at = address * UINT64_C(0x9e3779b97f4a7c15) >> 46;

	for (unsigned tries = 0; tries < 1000; tries++, at = (at + 1) % SLOTS) {
		if (!counts->blocks[at].address)
			counts->blocks[at].address = address;
		if (counts->blocks[at].address == address)
			return &counts->blocks[at].executed;
	}
	counts->lost++;
	return NULL;
}

/* A block of one instruction with a rep prefix: QEMU comes back to it at every turn. */
static bool is_repeat(const struct qemu_plugin_tb *tb)
{
	const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, 0);
	const uint8_t *bytes = qemu_plugin_insn_data(insn);
	size_t n = qemu_plugin_insn_size(insn);
	size_t rex = n > 2 && (bytes[1] & 0xf0) == 0x40;

	if (qemu_plugin_tb_n_insns(tb) != 1 || n < 2 || (bytes[0] != 0xf3 && bytes[0] != 0xf2))
		return false;
	return n == 2 + rex && bytes[1 + rex] >= 0xa4 && bytes[1 + rex] <= 0xaf; /* movs cmps stos lods scas */
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t n = qemu_plugin_tb_n_insns(tb), *slot = slot_of(qemu_plugin_tb_vaddr(tb));
	bool repeat = is_repeat(tb);

	(void)id; /* the interface's, of no use here */
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
			repeat ? &counts->repeats : &counts->total, n);
	if (slot && !repeat)
		qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, slot, n);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	int fd;

	(void)info; /* any guest will do */
	if (argc != 1 || strncmp(argv[0], "counts=", 7)) {
		(void)fprintf(stderr, "guest_instructions: expected counts=PATH\n");
		return -1;
	}
	fd = open(argv[0] + 7, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof *counts) < 0) {
		perror("guest_instructions");
		return -1;
	}
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd); /* the mapping stays */
	if (counts == MAP_FAILED) {
		perror("guest_instructions");
		return -1;
	}
	counts->slots = SLOTS;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
