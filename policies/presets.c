/* SPDX-License-Identifier: Apache-2.0 */
/* The policies built into the program: policies/presets/NAME.json. A new file there is found by the build. */
#include <stddef.h>
#include <string.h>

#include "policies/policy.h"
#include "policies/presets.h"
#include "runtime/base/alloc.h"

static const struct preset {
	const char *name, *text;
} presets[] = {
#include "policies/presets.inc"
};

const char *preset_text(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(presets); i++)
		if (!strcmp(presets[i].name, name))
			return presets[i].text;
	return NULL;
}

const char *const *policy_presets(void)
{
	static const char *names[ARRAY_LEN(presets) + 1];

	for (size_t i = 0; i < ARRAY_LEN(presets); i++)
		names[i] = presets[i].name;
	return names;
}
