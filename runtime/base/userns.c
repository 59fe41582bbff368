/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/userns.h"

bool userns_is_nested(void)
{
	_cleanup_free_ char *map = NULL;
	unsigned inside, outside, count;

	return file_read_at(AT_FDCWD, "/proc/self/uid_map", 65536, &map, NULL, NULL) == 0 &&
			!(sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && outside == 0 &&
				count == UINT32_MAX);
}
