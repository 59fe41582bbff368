/* SPDX-License-Identifier: Apache-2.0 */
/* The shells. A new backend: a row here, a folder of its own, a column in the tests (tests/integration/lib). */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/launch/prepare.h"

static const struct backend *const backends[] = { &container_backend, &vm_backend };

const struct backend *backend_find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(backends); i++)
		if (!strcmp(backends[i]->name, name))
			return backends[i];
	return NULL;
}
