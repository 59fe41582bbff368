/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bivalve features`: what this build does, in the shape of the runtime specification (features.md), and what the two
 * shells find on this host, in members of their own ("container", "vm").
 *
 * The specification's part is about the program, not about the host. Its lists say what is enforced or mounted as
 * asked; what is refused by name is not in them. Called as bivalve-vm it is about the VM shell.
 */
#include <errno.h>
#include <string.h>

#include "policies/enforce/caps.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_globals.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/version.h"

static const char *const mount_options[] = { "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync",
	"exec", "idmap", "noatime", "nodev", "nodiratime", "noexec", "norelatime", "nostrictatime", "nosuid",
	"nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime", "relatime", "rexec", "ridmap", "rnoatime",
	"rnodev", "rnodiratime", "rnoexec", "rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime", "rro", "rrw",
	"rslave", "rstrictatime", "rsuid", "rsymfollow", "rw", "slave", "strictatime", "suid", "symfollow", "sync",
	"tmpcopyup", NULL };
static const char *const namespaces[] = { "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts", NULL };
static const char *const actions[] = { "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
	"SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP", NULL };
static const char *const operators[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
	"SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL };
static const char *const architectures[] = { "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", NULL };
static const char *const filter_flags[] = { "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL };
/* What in a bundle decides about more than the workload: an engine that takes bundles from strangers looks at these. */
static const char *const unsafe_annotations[] = { "org.bivalve.", NULL };

/* What of the lists below a VM refuses. */
static const char *const not_in_vm[] = { "createContainer", "idmap", "ridmap", "SCMP_ACT_NOTIFY" };

static bool is_listed(const char *word)
{
	for (size_t i = 0; oci_globals()->vm && i < ARRAY_LEN(not_in_vm); i++)
		if (!strcmp(word, not_in_vm[i]))
			return false;
	return true;
}

static void put_strings(struct json_writer *w, const char *key, const char *const *strings)
{
	json_begin_array(w, key);
	for (; *strings; strings++)
		if (is_listed(*strings))
			json_put_string(w, NULL, *strings);
	json_end(w);
}

static void put_enabled(struct json_writer *w, const char *key, bool enabled)
{
	json_begin_object(w, key);
	json_put_bool(w, "enabled", enabled);
	json_end(w);
}

static void put_seccomp(struct json_writer *w)
{
	json_begin_object(w, "seccomp");
	json_put_bool(w, "enabled", true);
	put_strings(w, "actions", actions);
	put_strings(w, "operators", operators);
	put_strings(w, "archs", architectures);
	put_strings(w, "knownFlags", filter_flags);
	put_strings(w, "supportedFlags", filter_flags);
	json_end(w);
}

static void put_linux(struct json_writer *w)
{
	json_begin_object(w, "linux");
	put_strings(w, "namespaces", namespaces);
	json_begin_array(w, "capabilities");
	for (unsigned i = 0; i < 64; i++)
		if (caps_name(i))
			json_put_string(w, NULL, caps_name(i));
	json_end(w);
	json_begin_object(w, "cgroup");
	json_put_bool(w, "v1", true);
	json_put_bool(w, "v2", true);
	json_put_bool(w, "systemd", false); /* slice:prefix:name is taken, but systemd is not asked for a unit */
	json_put_bool(w, "systemdUser", false);
	json_put_bool(w, "rdma", true);
	json_end(w);
	put_seccomp(w);
	put_enabled(w, "apparmor", !oci_globals()->vm);
	put_enabled(w, "selinux", !oci_globals()->vm);
	put_enabled(w, "intelRdt", false);
	json_begin_object(w, "mountExtensions");
	put_enabled(w, "idmap", is_listed("idmap"));
	json_end(w);
	json_end(w);
}

static void put_specification(struct json_writer *w)
{
	json_put_string(w, "ociVersionMin", "1.0.0");
	json_put_string(w, "ociVersionMax", INSTANCE_OCI_VERSION);
	json_begin_array(w, "hooks");
	for (enum plan_hook_stage stage = 0; stage < HOOK_STAGES; stage++)
		if (is_listed(plan_hook_stage_name(stage)))
			json_put_string(w, NULL, plan_hook_stage_name(stage));
	json_end(w);
	put_strings(w, "mountOptions", mount_options);
	put_linux(w);
	json_begin_object(w, "annotations");
	json_put_string(w, "org.bivalve.version", BIVALVE_VERSION);
	json_put_string(w, "org.opencontainers.runc.checkpoint.enabled", "false");
	json_end(w);
	put_strings(w, "potentiallyUnsafeConfigAnnotations", unsafe_annotations);
}

int cmd_features(int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { 0 } };
	static const char *const shells[] = { "container", "vm" };
	_cleanup_free_ char *text = NULL;
	struct json_writer *w;
	int at, r = verb_parse(rows, argc, argv, "features", 0, 0, &at, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (at < argc)
		return error_set(err, EINVAL, "features takes no arguments");
	w = json_writer_new(false);
	json_begin_object(w, NULL);
	put_specification(w);
	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		json_begin_object(w, shells[i]);
		backend_find(shells[i])->probe(w);
		json_end(w);
	}
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
	return 0;
}
