/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bivalve doctor`: what this host can do, and what is missing for what. Each row of the table is one thing looked
 * at; a new one needs a function here and, where something can be installed, its package in the advice.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/store.h"
#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/options.h"
#include "runtime/base/path.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/prepare.h"
#include "vm-backend/engine.h"
#include "vm-backend/kernel/kernel.h"

enum verdict { GOOD, PARTLY, MISSING };

struct finding {
	enum verdict verdict;
	char text[400];   /* what was found */
	char advice[300]; /* what to do; empty: nothing */
};

static void found(struct finding *f, enum verdict verdict, const char *advice, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void found(struct finding *f, enum verdict verdict, const char *advice, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
	(void)snprintf(f->advice, sizeof f->advice, "%s", advice ? advice : "");
}

static void look_at_kernel(struct finding *f)
{
	struct utsname u;

	(void)uname(&u); /* cannot fail */
	found(f, GOOD, NULL, "%s %s %s", u.sysname, u.release, u.machine);
}

static void look_at_user(struct finding *f)
{
	if (geteuid() == 0)
		found(f, GOOD, NULL, "root");
	else
		found(f, PARTLY, "memory, cpu and pids limits need root or a delegated cgroup", "uid %d, not root",
				(int)geteuid());
}

static void look_at_namespaces(struct finding *f)
{
	static const char *const names[] = { "pid", "mnt", "uts", "ipc", "net", "cgroup", "user" };
	char missing[100] = "";

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[64];

		(void)snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
		if (access(path, F_OK) < 0)
			(void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing), " %s", names[i]);
	}
	if (missing[0])
		found(f, MISSING, "a kernel with all namespaces", "without:%s", missing);
	else
		found(f, GOOD, NULL, "pid mount uts ipc net cgroup user");
}

/* Tried for real in a child: sysctls, security modules and outer sandboxes all have a say. */
static void look_at_isolation(struct finding *f)
{
	struct error err = { 0 };
	int r = namespaces_try(&err);

	if (r < 0)
		found(f, MISSING,
			"run as root, not inside an unprivileged container; or allow unprivileged "
			"user namespaces",
			"new namespaces are refused: %s", err.message);
	else
		found(f, GOOD, NULL, "new namespaces and mounts are allowed");
}

static void look_at_cgroups(struct finding *f)
{
	struct cgroup_host host;

	cgroup_probe(&host);
	if (host.memory && host.cpu && host.pids)
		found(f, GOOD, NULL, "%s: memory, cpu, pids", cgroup_layout_name(host.layout));
	else
		found(f, PARTLY, "limits need root and mounted controllers; launches without limits work",
				"%s:%s%s%s%s", cgroup_layout_name(host.layout), host.memory ? " memory" : "",
				host.cpu ? " cpu" : "", host.pids ? " pids" : "",
				host.memory || host.cpu || host.pids ? "" : " no controller can be used");
}

static void look_at_seccomp(struct finding *f)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		found(f, GOOD, NULL, "filters are available");
	else
		found(f, MISSING, "a kernel with CONFIG_SECCOMP_FILTER", "no filters: %s", strerror(errno));
}

static void look_at_overlay(struct finding *f)
{
	_cleanup_free_ char *text = NULL;

	if (file_read_at(AT_FDCWD, "/proc/filesystems", 1 << 20, &text, NULL, NULL) == 0 &&
			strstr(text, "\toverlay\n"))
		found(f, GOOD, NULL, "available");
	else
		found(f, MISSING, "modprobe overlay", "overlay is not in /proc/filesystems");
}

static void look_at_landlock(struct finding *f)
{
	long abi = syscall(444 /* landlock_create_ruleset */, NULL, 0, 1 /* version */);

	if (abi > 0)
		found(f, GOOD, NULL, "ABI %ld", abi);
	else
		found(f, PARTLY, "not needed today", "not available");
}

static void look_at_engine(struct finding *f, const struct vm_engine *engine, const char *advice)
{
	char reason[300];
	int usable = engine->probe(reason, sizeof reason);

	found(f, usable == 1 ? GOOD : usable == VM_ENGINE_SLOW ? PARTLY : MISSING, usable == 1 ? NULL : advice, "%s",
			reason);
}

static void look_at_kvm(struct finding *f)
{
	look_at_engine(f, &engine_kvm, "engine qemu runs the microVM instead, by emulation");
}

static void look_at_qemu(struct finding *f)
{
	look_at_engine(f, &engine_qemu, "apt-get install qemu-system-x86");
}

static char *in_path(const char *program)
{
	const char *at = getenv("PATH");

	for (at = at ? at : ""; *at; at += *at == ':') {
		size_t len = strcspn(at, ":");
		char *path = xasprintf("%.*s/%s", (int)len, at, program);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
		at += len;
	}
	return NULL;
}

static void look_at_program(struct finding *f, const char *program, enum verdict without, const char *advice)
{
	_cleanup_free_ char *path = in_path(program);

	if (path)
		found(f, GOOD, NULL, "%s", path);
	else
		found(f, without, advice, "%s is not in PATH", program);
}

static void look_at_erofs(struct finding *f)
{
	look_at_program(f, "mkfs.erofs", MISSING, "apt-get install erofs-utils");
}

static void look_at_mke2fs(struct finding *f)
{
	look_at_program(f, "mke2fs", PARTLY, "apt-get install e2fsprogs: without it there is no --disk");
}

static void look_at_passt(struct finding *f)
{
	look_at_program(f, "passt", PARTLY, "apt-get install passt: without it there is no --net user");
}

static void look_at_guest_kernel(struct finding *f)
{
	_cleanup_free_ char *store = store_dir();
	struct kernel kernel = { 0 };
	struct error err = { 0 };

	if (kernel_load(store, NULL, &kernel, &err) < 0)
		found(f, MISSING, "scripts/fetch-kernel DIR, then bivalve kernel import DIR", "%s", err.message);
	else
		found(f, GOOD, NULL, "%s (%s)", kernel.name, kernel.version ? kernel.version : "version unknown");
	kernel_release(&kernel);
}

static void look_at_store(struct finding *f)
{
	_cleanup_free_ char *store = store_dir();

	if (access(store, W_OK) == 0 || (errno == ENOENT && path_mkdirs(store, 0755, NULL) == 0))
		found(f, GOOD, NULL, "%s", store);
	else
		found(f, MISSING, "set BIVALVE_STORE to a folder of yours", "%s: %s", store, strerror(errno));
}

static const struct check {
	const char *name, *need; /* need: what does not work without it */
	void (*look)(struct finding *f);
} checks[] = {
	{ "kernel", "everything", look_at_kernel },
	{ "user", "limits", look_at_user },
	{ "namespaces", "container", look_at_namespaces },
	{ "isolation", "container", look_at_isolation },
	{ "cgroups", "limits", look_at_cgroups },
	{ "seccomp", "container", look_at_seccomp },
	{ "overlayfs", "container", look_at_overlay },
	{ "landlock", "nothing yet", look_at_landlock },
	{ "kvm", "vm, engine kvm", look_at_kvm },
	{ "qemu", "vm, engine qemu", look_at_qemu },
	{ "guest kernel", "vm", look_at_guest_kernel },
	{ "mkfs.erofs", "vm", look_at_erofs },
	{ "mke2fs", "disks for the writes", look_at_mke2fs },
	{ "passt", "user-mode network", look_at_passt },
	{ "store", "images", look_at_store },
};
enum { CHECKS = ARRAY_LEN(checks) };

static bool good(const struct finding *f, const char *name)
{
	for (size_t i = 0; i < CHECKS; i++)
		if (!strcmp(checks[i].name, name))
			return f[i].verdict == GOOD;
	return false;
}

static bool container_works(const struct finding *f)
{
	return good(f, "namespaces") && good(f, "isolation") && good(f, "overlayfs") && good(f, "seccomp");
}

static bool vm_works(const struct finding *f)
{
	return (good(f, "kvm") || good(f, "qemu")) && good(f, "guest kernel") && good(f, "mkfs.erofs");
}

static void print_people(const struct finding *f)
{
	static const char *const words[] = { "ok", "partly", "missing" };

	for (size_t i = 0; i < CHECKS; i++) {
		printf("%-13s %-8s %s\n", checks[i].name, words[f[i].verdict], f[i].text);
		if (f[i].advice[0])
			printf("%-13s %-8s   for %s: %s\n", "", "", checks[i].need, f[i].advice);
	}
	printf("\ncontainer: %s\n", container_works(f) ? "works here" : "cannot work here, see above");
	printf("microVM:   %s\n", !vm_works(f) ? "cannot work here, see above"
			: good(f, "kvm") ? "works here, by engine kvm" : "works here, by engine qemu");
}

static void print_json(const struct finding *f)
{
	static const char *const words[] = { "ok", "partly", "missing" };
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_object(w, NULL);
	json_begin_object(w, "checks");
	for (size_t i = 0; i < CHECKS; i++) {
		json_begin_object(w, checks[i].name);
		json_put_string(w, "verdict", words[f[i].verdict]);
		json_put_string(w, "found", f[i].text);
		json_put_string(w, "needed_for", checks[i].need);
		if (f[i].advice[0])
			json_put_string(w, "advice", f[i].advice);
		json_end(w);
	}
	json_end(w);
	json_put_bool(w, "container", container_works(f));
	json_put_bool(w, "vm", vm_works(f));
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
}

int cmd_doctor(int argc, char **argv, struct error *err)
{
	struct finding findings[CHECKS] = { 0 };
	bool json = false, help;
	const struct option_row rows[] = { { 0, "json", OPTION_FLAG, &json, NULL, "print JSON", NULL }, { 0 } };
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r < 0)
		return r;
	if (help) {
		printf("Usage: bivalve doctor [OPTIONS]\n\nExit status: 0 when at least one shell "
		       "works here, else 1.\n\n"
		       "Options:\n");
		options_print(rows, stdout);
		return 0;
	}
	for (size_t i = 0; i < CHECKS; i++)
		checks[i].look(&findings[i]);
	(json ? print_json : print_people)(findings);
	return container_works(findings) || vm_works(findings) ? 0 : 1;
}
