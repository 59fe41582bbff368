/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json of the OCI runtime specification as a plan.
 *
 * Theory of operation. The text becomes a tree (json.c: strict), the tree is read by tables of the specification's
 * members (spec_reader.c; a table for each part); then follows what no member says alone: the shell, the namespaces
 * that other members need, the control group's path. A member without a row is ignored, as the specification wants it;
 * one that asks for something we do not have has a row that refuses it.
 *
 * To add a member: a row in its part's table, the plan's field, tests/unit/test_oci_spec.c.
 *
 * Trust: the bundle and its config.json are the caller's and say what the caller may do. The root is not: nothing is
 * read from inside it, and it is only held as a folder. Sizes are bound all the same: an engine may pass on what it
 * got.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/oci/spec_reader.h"

enum { MAX_LINK = 4096 };

/* ---- the document ---- */

/* 1.x of any x: a later minor only adds members, and a member we do not know is ignored or refused on its own. */
static int read_version(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	const char *rest;

	if (j->type != JSON_STRING)
		return spec_wrong(s, j, "a string");
	rest = j->string + 2;
	if (strncmp(j->string, "1.", 2) || strspn(rest, "0123456789") == 0 ||
			!strchr(".-+", rest[strspn(rest, "0123456789")]))
		return spec_refuse(s, j, "expected a version 1.x of the specification: %s", j->string);
	return 0;
}

static const struct spec_row root_rows[] = {
	{ SPEC_ROW("path", spec_string, plan_root, path), .required = true },
	{ SPEC_ROW("readonly", spec_bool, plan_root, read_only) },
	{ 0 },
};

static int check_root(const struct spec *s, const struct json *j, void *record)
{
	struct plan_root *root = record;
	char *relative = root->path;

	if (relative[0] != '/') {
		root->path = xasprintf("%s/%s", s->request->bundle, relative);
		free(relative);
	}
	return 0;
}

static int read_linux(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return spec_members(s, j, spec_linux_rows, out);
}

/* "vm" of the specification: a hypervisor and its arguments. A container in its place would be a weaker wall. */
static int refuse_vm(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return j->type == JSON_OBJECT && j->n_items == 0 ? 0 :
			spec_refuse(s, j, "not supported: use the annotations "
				"org.bivalve.backend and org.bivalve.vm.*");
}

static const struct spec_row document_rows[] = {
	{ .key = "ociVersion", .read = read_version, .required = true },
	{ SPEC_ROW("root", spec_record, plan, root), .rows = root_rows, .check = check_root, .required = true },
	{ SPEC_ROW("process", spec_record, plan, process), .rows = spec_process_rows, .required = true },
	{ SPEC_ROW("hostname", spec_string, plan, hostname) },
	{ SPEC_ROW("domainname", spec_string, plan, domainname) },
	{ SPEC_LIST("mounts", plan, mounts, spec_mount_rows), .check = spec_mount_check },
	{ SPEC_ROW("hooks", spec_hooks, plan, hooks) },
	{ SPEC_PAIRS("annotations", plan, annotations) },
	{ .key = "linux", .read = read_linux },
	{ .key = "vm", .read = refuse_vm },
	{ 0 },
};

static void fill_from_request(const struct oci_spec_request *request, struct plan *plan)
{
	plan->id = xstrdup(request->id);
	plan->bundle = xstrdup(request->bundle);
	plan->mounts_exact = true;
	plan->no_cgroup = request->no_cgroup;
	plan->no_pivot = request->no_pivot;
	plan->process.keyring = !request->no_new_keyring;
	plan->process.preserve_fds = request->preserve_fds;
	if (!plan->process.user)
		plan->process.user = xstrdup("0:0");
}

/* runc's rule: what the document does not allow of devices is refused, also where it says nothing of them. */
static void deny_devices(struct plan *plan)
{
	struct plan_resources *res = &plan->resources;

	if (res->n_devices)
		return;
	res->devices = xcalloc(1, sizeof *res->devices);
	res->devices[0] = (struct plan_device_rule){ .type = xstrdup("a"), .access = xstrdup("rwm"), .major = -1,
		.minor = -1 };
	res->n_devices = 1;
}

static int read_document(const struct spec *s, const struct json *root)
{
	int r = spec_members(s, root, document_rows, s->plan);

	if (r == 0)
		r = spec_vm_finish(s, root);
	if (r == 0)
		r = spec_linux_finish(s, root);
	if (r == 0)
		r = spec_cgroup_finish(s, root);
	if (r < 0)
		return r;
	fill_from_request(s->request, s->plan);
	if (!s->request->rootless && !s->request->no_cgroup)
		deny_devices(s->plan);
	return 0;
}

static int plan_text(const struct oci_spec_request *request, const char *file, const char *text, size_t len,
		struct plan *ret, struct error *err)
{
	struct plan plan = { 0 };
	struct spec s = { .request = request, .file = file, .text = text, .plan = &plan, .err = err };
	_cleanup_json_ struct json *root = NULL;
	int r = json_parse(text, len, file, &root, err);

	if (r < 0)
		return r;
	r = read_document(&s, root);
	if (r < 0) {
		record_release(&plan_type, &plan);
		return r;
	}
	*ret = plan;
	return 0;
}

int oci_spec_plan_text(const struct oci_spec_request *request, const char *text, size_t len, struct plan *ret,
		struct error *err)
{
	return plan_text(request, request->config ? request->config : "config.json", text, len, ret, err);
}

/* ---- files ---- */

/* A regular file; "-" is standard input. A FIFO in its place would keep us waiting. */
static int read_file(const char *path, bool may_be_stdin, char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	bool is_stdin = may_be_stdin && !strcmp(path, "-");
	struct stat st;
	ssize_t len;

	fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
			: open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, "%s", path);
	if (!is_stdin && !S_ISREG(st.st_mode) && !(may_be_stdin && S_ISFIFO(st.st_mode)))
		return error_set(err, EINVAL, "%s: not a regular file", path);
	if (!S_ISREG(st.st_mode))
		(void)fd_set_nonblock(fd, false); /* a pipe: wait for its writer */
	if (st.st_size > SPEC_MAX_FILE)
		return error_set(err, EFBIG, "%s: %lld bytes: at most %d", path, (long long)st.st_size, SPEC_MAX_FILE);
	len = S_ISREG(st.st_mode) ? st.st_size : SPEC_MAX_FILE;
	text = xcalloc(1, (size_t)len + 1);
	len = fd_read_full(fd, text, (size_t)len);
	if (len < 0) {
		errno = (int)-len;
		return error_sys(err, "%s", path);
	}
	*ret_text = steal_ptr(text);
	*ret_len = (size_t)len;
	return 0;
}

/* The root must be there, and is named as the kernel names it: without links that could be turned later. */
static int settle_root(const char *file, struct plan *plan, struct error *err)
{
	_cleanup_close_ int fd = open(plan->root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char link[32], path[MAX_LINK];
	ssize_t len;

	if (fd < 0)
		return error_sys(err, "%s: root.path: %s", file, plan->root.path);
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof path);
	if (len <= 0 || len >= (ssize_t)sizeof path || path[0] != '/')
		return error_set(err, ENAMETOOLONG, "%s: root.path: %s: not a path that can be named", file,
				plan->root.path);
	free(plan->root.path);
	plan->root.path = xstrndup(path, (size_t)len);
	return 0;
}

int oci_spec_plan(const struct oci_spec_request *request, struct plan *ret, struct error *err)
{
	_cleanup_free_ char *file = request->config ? xstrdup(request->config) : xasprintf("%s/config.json",
			request->bundle);
	_cleanup_free_ char *text = NULL;
	struct plan plan = { 0 };
	size_t len;
	int r = read_file(file, request->config, &text, &len, err);

	if (r == 0)
		r = plan_text(request, file, text, len, &plan, err);
	if (r == 0)
		r = settle_root(file, &plan, err);
	if (r < 0) {
		record_release(&plan_type, &plan);
		return r;
	}
	*ret = plan;
	return 0;
}

/* ---- parts ---- */

static int read_part(const char *path, const char *text, size_t len, const struct spec_row *rows,
		const struct record_type *type, void *out, struct error *err)
{
	struct spec s = { .file = !strcmp(path, "-") ? "standard input" : path, .text = text, .type = type,
		.err = err };
	_cleanup_json_ struct json *root = NULL;
	int r = json_parse(text, len, s.file, &root, err);

	return r < 0 ? r : spec_members(&s, root, rows, out);
}

int oci_spec_process_text(const char *name, const char *text, size_t len, struct plan_process *ret, struct error *err)
{
	struct plan_process process = { 0 };
	int r = read_part(name, text, len, spec_process_rows, &plan_process_type, &process, err);

	if (r < 0) {
		record_release(&plan_process_type, &process);
		return r;
	}
	if (!process.user)
		process.user = xstrdup("0:0");
	*ret = process;
	return 0;
}

int oci_spec_process(const char *path, struct plan_process *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = read_file(path, true, &text, &len, err);

	return r < 0 ? r : oci_spec_process_text(path, text, len, ret, err);
}

int oci_spec_resources_text(const char *name, const char *text, size_t len, struct plan_resources *res,
		struct error *err)
{
	return read_part(name, text, len, spec_resources_rows, &plan_resources_type, res, err);
}

int oci_spec_resources(const char *path, struct plan_resources *res, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = read_file(path, true, &text, &len, err);

	return r < 0 ? r : oci_spec_resources_text(path, text, len, res, err);
}
