/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's linux.seccomp (runtime-spec config-linux.md, "Seccomp"). */
#include "runtime/oci/spec_reader.h"

int spec_seccomp(const struct spec *s, const struct json *j, const struct spec_row *row, void *plan)
{
	return spec_unsupported(s, j, row, plan);
}
