/* SPDX-License-Identifier: Apache-2.0 */
/* The engines and the choice between them. A new engine: a row here and in enum plan_engine with its name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/model/plan.h"
#include "vm-backend/engine.h"

const struct vm_engine *const vm_engines[] = { &engine_kvm, &engine_qemu, NULL };

static const struct vm_engine *const by_plan[] = {
	[ENGINE_KVM] = &engine_kvm,
	[ENGINE_QEMU] = &engine_qemu,
};

static const struct vm_engine *choose_named(const struct vm_engine *engine, char *reason, size_t size,
		struct error *err)
{
	char why[160] = "";

	if (engine->probe(why, sizeof why) <= 0) {
		/* The return value that says so is NULL. */
		(void)error_set(err, ENOTSUP, "vm.engine: %s cannot be used here: %s", engine->name, why);
		return NULL;
	}
	(void)snprintf(reason, size, "asked for; %s", why); /* a cut reason is still one */
	return engine;
}

const struct vm_engine *vm_engine_named(int wanted)
{
	return wanted > ENGINE_AUTO && (size_t)wanted < ARRAY_LEN(by_plan) ? by_plan[wanted] : NULL;
}

const struct vm_engine *vm_engine_choose(int wanted, char *reason, size_t size, struct error *err)
{
	char refused[400] = "";

	if (vm_engine_named(wanted))
		return choose_named(vm_engine_named(wanted), reason, size, err);
	for (size_t i = 0; vm_engines[i]; i++) {
		const struct vm_engine *engine = vm_engines[i];
		size_t len = strlen(refused);
		char why[160] = "";

		if (engine->probe(why, sizeof why) == 1) {
			(void)snprintf(reason, size, "%s%s%s", why, *refused ? "; not " : "", refused); /* as above */
			return engine;
		}
		(void)snprintf(refused + len, sizeof refused - len, "%s%s: %s", len ? "; " : "", engine->name, why);
	}
	(void)error_set(err, ENOTSUP, "vm.engine: no engine can be used here: %s", refused); /* NULL says it */
	return NULL;
}
