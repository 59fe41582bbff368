/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved machines of the fallback engine, by QEMU's migration to and from a file descriptor.
 *
 * With RAM in a file of its own (vm_config.ram_path) the state has only devices and processors: x-ignore-shared leaves
 * out what is shared, which the file is while it is filled. Whoever goes on maps the same file privately and is told
 * the same capability. All else of the protocol is QEMU's: its program reads what it wrote, which `identity` makes
 * sure of.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/qemu_state.h"
#include "vm-backend/qmp.h"

#define SECOND_NS UINT64_C(1000000000)
#define RESTORE_NS (30 * SECOND_NS)     /* an emulated machine on a loaded host is slow */
enum { AGAIN_NS = 2000000 };
#define SAVE_NS    (120 * SECOND_NS)    /* with all of RAM */

static const char ignore_shared[] = "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":["
		"{\"capability\":\"x-ignore-shared\",\"state\":%s},{\"capability\":\"events\",\"state\":true}]}}";

static int set_capabilities(struct qmp *q, bool ram_apart, struct error *err)
{
	_cleanup_free_ char *command = xasprintf(ignore_shared, ram_apart ? "true" : "false");

	return qmp_execute(q, command, -1, err);
}

/* Says all at once: QEMU finds it when it is up. */
static int begin_restoring(struct qmp *q, bool ram_apart, struct error *err)
{
	_cleanup_free_ char *capabilities = xasprintf(ignore_shared, ram_apart ? "true" : "false");
	_cleanup_free_ char *incoming = xasprintf(
			"{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:%d\"}}",
			QEMU_STATE_FD);
	const char *const commands[] = { QMP_CAPABILITIES, capabilities, incoming };
	uint64_t ids[ARRAY_LEN(commands)];
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(commands) && r == 0; i++)
		r = qmp_send(q, commands[i], -1, &ids[i], err);
	for (size_t i = 0; i < ARRAY_LEN(commands) && r == 0; i++)
		r = qmp_answer(q, ids[i], NULL, err);
	return r;
}

int qemu_state_restore(const struct vm_config *config, struct error *err)
{
	struct qmp q;
	int r;

	qmp_init(&q, config->control[0], RESTORE_NS);
	r = begin_restoring(&q, config->restore->ram_path != NULL, err);
	if (r == 0)
		r = qmp_await_migration(&q, err);
	if (r == 0) /* it was saved standing still */
		r = qmp_execute(&q, "{\"execute\":\"cont\"}", -1, err);
	qmp_close(&q);
	return r < 0 ? error_prefix(err, "going on from the saved state") : 0;
}

int qemu_state_save(const struct vm_config *config, int state_fd, struct error *err)
{
	struct qmp q;
	int r = qmp_open(&q, config->control[0], SAVE_NS, err);

	if (r == 0)
		r = qmp_execute(&q, "{\"execute\":\"stop\"}", -1, err);
	if (r == 0)
		r = set_capabilities(&q, config->ram_path != NULL, err);
	if (r == 0) /* its default is a network's */
		r = qmp_execute(&q, "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"max-bandwidth\":"
				"68719476736}}", -1, err);
	if (r == 0)
		r = qmp_execute(&q, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"}}", state_fd, err);
	if (r == 0)
		r = qmp_execute(&q, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:state\"}}", -1, err);
	if (r == 0)
		r = qmp_await_migration(&q, err);
	qmp_close(&q);
	return r;
}

/*
 * "completed" is said a moment before QEMU has cleaned up, and until then it refuses to go on, without an event for
 * when it would not: asked again, until it does or the time is up.
 */
int qemu_state_resume(const struct vm_config *config, struct error *err)
{
	uint64_t end = clock_now_ns() + RESTORE_NS;
	struct qmp q;
	int r = qmp_open(&q, config->control[0], RESTORE_NS, err);

	while (r == 0) {
		r = qmp_execute(&q, "{\"execute\":\"cont\"}", -1, err);
		if (r != -EIO || clock_now_ns() >= end)
			break;
		(void)nanosleep(&(struct timespec){ .tv_nsec = AGAIN_NS }, NULL);
		r = 0;
	}
	qmp_close(&q);
	return r;
}

/* The program by its file: asking it for its version would take longer than all the rest of a start. */
char *qemu_state_identity(struct error *err)
{
	_cleanup_free_ char *program = qemu_find_program(), *cpu = NULL;
	struct stat st;

	if (!program || stat(program, &st) < 0) {
		(void)error_set(err, ENOENT, "no qemu-system-x86_64 in PATH"); /* what is returned says it too */
		return NULL;
	}
	cpu = arch_cpu_identity();
	return xasprintf("%s %llu.%09ld %llu, %s, %s", program, (unsigned long long)st.st_mtim.tv_sec,
			st.st_mtim.tv_nsec, (unsigned long long)st.st_size, qemu_accelerated() ? "kvm" : "tcg", cpu);
}
