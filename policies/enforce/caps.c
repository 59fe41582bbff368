/* SPDX-License-Identifier: Apache-2.0 */
/* Capability sets of the calling process, by libcap. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include "policies/enforce/caps.h"
#include "runtime/base/alloc.h"

/* To add one: its number in linux/capability.h is its place here. Ours, so that names do not follow the build host. */
static const char *const names[] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
	"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
	"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
};

int caps_from_name(const char *name)
{
	if (!strncasecmp(name, "cap_", 4))
		name += 4;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcasecmp(name, names[i] + 4))
			return (int)i;
	return -EINVAL;
}

const char *caps_name(unsigned number)
{
	return number < ARRAY_LEN(names) ? names[number] : NULL;
}

uint64_t caps_available(void)
{
	uint64_t all = 0;

	/* The kernel's last capability ends the loop: asking for one that it does not know is an error. */
	for (unsigned i = 0; i < 64; i++) {
		int r = cap_get_bound((cap_value_t)i);

		if (r < 0)
			break;
		all |= (uint64_t)r << i;
	}
	return all;
}

uint64_t caps_missing(uint64_t wanted)
{
	uint64_t missing = 0;

	for (unsigned i = 0; i < 64; i++)
		if (wanted & UINT64_C(1) << i && cap_get_bound((cap_value_t)i) <= 0)
			missing |= UINT64_C(1) << i;
	return missing;
}

/* "CAP_X", or its number when this build is older than the kernel. */
static const char *name_of(unsigned number, char buf[16])
{
	if (number < ARRAY_LEN(names))
		return names[number];
	(void)snprintf(buf, 16, "%u", number); /* fits */
	return buf;
}

int caps_drop_bounding(const struct plan_capabilities *caps, struct error *err)
{
	char buf[16];

	for (unsigned i = 0; i < 64; i++) {
		if (caps->bounding & UINT64_C(1) << i)
			continue;
		if (cap_drop_bound((cap_value_t)i) == 0)
			continue;
		if (errno == EINVAL && i > CAP_SYSLOG) /* past the kernel's last one */
			break;
		return error_sys(err, "process.capabilities.bounding: cannot drop %s", name_of(i, buf));
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_sys(err, "process.capabilities: cannot keep capabilities across the change of user");
	return 0;
}

static int set_flags(cap_t sets, cap_flag_t flag, uint64_t bits)
{
	cap_value_t list[64];
	int n = 0;

	for (unsigned i = 0; i < 64; i++)
		if (bits & UINT64_C(1) << i)
			list[n++] = (cap_value_t)i;
	return n ? cap_set_flag(sets, flag, n, list, CAP_SET) : 0;
}

int caps_regain(struct error *err)
{
	cap_t sets = cap_get_proc();
	int r = 0;

	for (unsigned i = 0; sets && i < 64; i++) {
		cap_value_t number = (cap_value_t)i;
		cap_flag_value_t permitted;

		if (cap_get_flag(sets, number, CAP_PERMITTED, &permitted) < 0)
			break; /* past the last one that libcap has room for */
		(void)cap_set_flag(sets, CAP_EFFECTIVE, 1, &number, permitted); /* as valid as above */
	}
	if (!sets || cap_set_proc(sets) < 0)
		r = error_sys(err, "process.capabilities: cannot make them effective");
	(void)cap_free(sets); /* its own memory: cannot fail */
	return r;
}

/* Clearing tells an error apart only on kernels older than 4.3, which have no ambient set to clear. */
static int set_ambient(uint64_t bits, struct error *err)
{
	char buf[16];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && bits)
		return error_sys(err, "process.capabilities.ambient");
	for (unsigned i = 0; i < 64; i++)
		if (bits & UINT64_C(1) << i && cap_set_ambient((cap_value_t)i, CAP_SET) < 0)
			return error_sys(err, "process.capabilities.ambient: cannot raise %s", name_of(i, buf));
	return 0;
}

int caps_apply(const struct plan_capabilities *caps, struct error *err)
{
	cap_t sets = cap_init();
	int r = 0;

	/* Inheritable ones turn into permitted ones at the exec of any file that asks for them (CVE-2022-27650): none,
	 * unless the plan says so. The kernel has ambient within inheritable. */
	if (!sets || set_flags(sets, CAP_PERMITTED, caps->permitted) < 0 ||
			set_flags(sets, CAP_EFFECTIVE, caps->effective) < 0 ||
			set_flags(sets, CAP_INHERITABLE, caps->inheritable) < 0 ||
			cap_set_proc(sets) < 0)
		r = error_sys(err, "process.capabilities: cannot set them");
	(void)cap_free(sets); /* its own memory: cannot fail */
	if (r == 0)
		r = set_ambient(caps->ambient, err);
	if (r == 0 && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		r = error_sys(err, "process.capabilities");
	return r;
}
