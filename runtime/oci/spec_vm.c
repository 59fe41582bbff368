/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which shell, and the machine of the VM shell: from the request and from annotations. Never from a file inside the
 * root: that is the workload's own.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policies/units.h"
#include "runtime/base/alloc.h"
#include "runtime/oci/spec_reader.h"

#define MIB (UINT64_C(1) << 20)
#define PREFIX "org.bivalve."

enum { MAX_VCPUS = 64, CPU_PERIOD_US = 100000 };

/* Guest RAM beside a memory limit: the kernel, its page tables and the initramfs want their share. */
static const uint64_t guest_default_bytes = 256 * MIB, guest_overhead_bytes = 128 * MIB, guest_max_bytes = MIB << 20;

static int read_memory(struct plan_vm *vm, const char *text)
{
	return size_parse(text, &vm->memory_bytes) < 0 || vm->memory_bytes < 32 * MIB ||
			vm->memory_bytes > guest_max_bytes ? -EINVAL : 0;
}

static int read_vcpus(struct plan_vm *vm, const char *text)
{
	if (!isdigit((unsigned char)text[0]) || text[strspn(text, "0123456789")] || strlen(text) > 3)
		return -EINVAL;
	vm->vcpus = strtoul(text, NULL, 10);
	return vm->vcpus < 1 || vm->vcpus > MAX_VCPUS ? -EINVAL : 0;
}

static int read_engine(struct plan_vm *vm, const char *text)
{
	static const char *const names[] = { [ENGINE_AUTO] = "auto", [ENGINE_KVM] = "kvm", [ENGINE_QEMU] = "qemu" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i], text)) {
			vm->engine = (int)i;
			return 0;
		}
	return -EINVAL;
}

/* A name in the kernel store: no path. */
static int read_kernel(struct plan_vm *vm, const char *text)
{
	if (!*text || text[0] == '.' || strchr(text, '/') || strlen(text) > 255)
		return -EINVAL;
	free(vm->kernel);
	vm->kernel = xstrdup(text);
	return 0;
}

static const struct {
	const char *key, *expected;
	int (*read)(struct plan_vm *vm, const char *text);
} annotations[] = {
	{ PREFIX "vm.memory", "a size such as 512m, 32m to 1t", read_memory },
	{ PREFIX "vm.vcpus", "a number, 1 to 64", read_vcpus },
	{ PREFIX "vm.engine", "auto, kvm or qemu", read_engine },
	{ PREFIX "vm.kernel", "the name of a kernel in the store", read_kernel },
};

static const struct plan_pair *annotation(const struct plan *plan, const char *key)
{
	for (size_t i = 0; i < plan->n_annotations; i++)
		if (!strcmp(plan->annotations[i].key, key))
			return &plan->annotations[i];
	return NULL;
}

static int read_annotations(const struct spec *s, const struct json *root)
{
	const struct json *j = json_get(root, "annotations");

	for (size_t i = 0; i < ARRAY_LEN(annotations); i++) {
		const struct plan_pair *pair = annotation(s->plan, annotations[i].key);

		if (pair && annotations[i].read(&s->plan->vm, pair->value) < 0)
			return spec_refuse_member(s, j, pair->key, "expected %s: %s", annotations[i].expected,
					pair->value);
	}
	return 0;
}

static void fill_machine(struct plan *plan)
{
	uint64_t limit = plan->resources.memory_bytes, quota = plan->resources.cpu_quota_us;
	uint64_t period = plan->resources.cpu_period_us ? plan->resources.cpu_period_us : CPU_PERIOD_US, vcpus;

	if (limit >= guest_max_bytes) /* as good as none, also UINT64_MAX */
		limit = 0;
	if (!plan->vm.memory_bytes)
		plan->vm.memory_bytes = limit ? limit + guest_overhead_bytes : guest_default_bytes;
	plan->vm.memory_bytes = (plan->vm.memory_bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
	vcpus = quota ? quota / period + (quota % period != 0) : 1;
	if (!plan->vm.vcpus)
		plan->vm.vcpus = vcpus < MAX_VCPUS ? vcpus : MAX_VCPUS;
}

/* Called before the rest of the document is looked over: what is allowed depends on the shell. */
int spec_vm_finish(const struct spec *s, const struct json *root)
{
	const struct plan_pair *pair = annotation(s->plan, PREFIX "backend");
	const char *backend = s->request->backend ? s->request->backend : pair ? pair->value : "container";
	int r;

	if (strcmp(backend, "container") && strcmp(backend, "vm")) {
		if (!s->request->backend)
			return spec_refuse_member(s, json_get(root, "annotations"), pair->key,
					"expected container or vm: %s", backend);
		return error_set(s->err, EINVAL, "backend %s: expected container or vm", backend);
	}
	s->plan->backend = xstrdup(backend);
	if (strcmp(backend, "vm"))
		return 0;
	r = read_annotations(s, root);
	if (r == 0)
		fill_machine(s->plan);
	return r;
}
