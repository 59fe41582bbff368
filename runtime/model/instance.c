/* SPDX-License-Identifier: Apache-2.0 */
/* Instances on disk: state.json in a folder of the instance's name. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/instance.h"

enum { MAX_STATE_BYTES = 1 << 20, MAX_PLAN_BYTES = 4 << 20, MAX_ID = 128 };

static const char *const status_names[] = { "creating", "created", "running", "stopped", "paused", NULL };

#define ROW(member, field_kind) .key = #member, .kind = field_kind, .offset = offsetof(struct instance, member)

static const struct field instance_fields[] = {
	{ ROW(id, FIELD_STRING), .required = true },
	{ ROW(backend, FIELD_STRING), .required = true },
	{ ROW(dir, FIELD_STRING), .required = true },
	{ ROW(cgroup, FIELD_STRING) },
	{ ROW(status, FIELD_ENUM), .names = status_names },
	{ ROW(pid, FIELD_UINT) },
	{ ROW(pid_start, FIELD_UINT) },
	{ ROW(supervisor, FIELD_UINT) },
	{ ROW(supervisor_start, FIELD_UINT) },
	{ ROW(vmm_pid, FIELD_UINT) },
	{ ROW(vmm_pid_start, FIELD_UINT) },
	{ ROW(network_pid, FIELD_UINT) },
	{ ROW(network_pid_start, FIELD_UINT) },
	{ ROW(engine, FIELD_STRING) },
	{ ROW(engine_reason, FIELD_STRING) },
	{ ROW(start, FIELD_STRING) },
	{ ROW(start_reason, FIELD_STRING) },
	{ ROW(image, FIELD_STRING) },
	{ ROW(command, FIELD_STRINGS) },
	{ ROW(created_ns, FIELD_UINT) },
	{ ROW(detached, FIELD_BOOL) },
	{ ROW(bundle, FIELD_STRING) },
	{ ROW(rootfs, FIELD_STRING) },
	{ ROW(owner, FIELD_UINT) },
	{ ROW(annotations, FIELD_RECORDS), .record = &plan_pair_type,
		.count_offset = offsetof(struct instance, n_annotations) },
	{ 0 },
};
const struct record_type instance_type = { "instance", sizeof(struct instance), instance_fields };

static const struct instance_live no_handles = { .pidfd = -1, .event_fd = -1, .start_fd = -1,
	.scratch_fd = -1, .console_fd = -1 };

void instance_init(struct instance *in)
{
	*in = (struct instance){ .live = no_handles };
}

void instance_release(struct instance *in)
{
	close_cleanup(&in->live.pidfd);
	close_cleanup(&in->live.event_fd);
	close_cleanup(&in->live.start_fd);
	close_cleanup(&in->live.scratch_fd);
	close_cleanup(&in->live.console_fd);
	record_release(&instance_type, in);
	in->live = no_handles;
}

int instance_save(const struct instance *in, struct error *err)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *path = xasprintf("%s/state.json", in->dir), *text = NULL;
	size_t len;

	record_write(w, NULL, &instance_type, in, false);
	text = json_writer_finish(w, &len);
	return file_write_volatile(AT_FDCWD, path, text, len, 0600, err);
}

int instance_load(const char *run_dir, const char *id, struct instance *ret, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ struct json *j = NULL;
	int r = instance_id_check(id, err);

	instance_init(ret);
	if (r < 0)
		return r;
	path = xasprintf("%s/%s/state.json", run_dir, id);
	r = json_parse_file(AT_FDCWD, path, MAX_STATE_BYTES, &j, err);
	if (r < 0)
		return r == -ENOENT ? error_set(err, ENOENT, "no instance named %s in %s", id, run_dir) : r;
	r = record_read(j, &instance_type, ret, err);
	ret->live = no_handles;
	if (r < 0)
		return error_prefix(err, "%s", path);
	if (!ret->detached && ret->status == INSTANCE_CREATING) { /* supervised: its plan is put down once it runs */
		_cleanup_free_ char *plan = xasprintf("%s/plan.json", ret->dir);

		if (access(plan, F_OK) == 0)
			ret->status = INSTANCE_RUNNING;
	}
	return 0;
}

int instance_remove_files(const struct instance *in, struct error *err)
{
	static const char *const files[] = { "plan.json", "state.json" };
	_cleanup_free_ char *path = NULL;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		free(path);
		path = xasprintf("%s/%s", in->dir, files[i]);
		(void)unlink(path); /* what cannot be unlinked is told below */
	}
	return rmdir(in->dir) == 0 || errno == ENOENT ? 0 : path_remove_tree(AT_FDCWD, in->dir, err);
}

int instance_make_fifo(const struct instance *in, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/" INSTANCE_START_FIFO, in->dir);
	int fd;

	if (mkfifo(path, 0600) < 0)
		return error_sys(err, "cannot make %s", path);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? error_sys(err, "cannot open %s", path) : fd;
}

int instance_write_fifo(const struct instance *in, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/" INSTANCE_START_FIFO, in->dir);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return errno == ENXIO ? error_set(err, ESRCH, "%s: nobody waits for its start any more", in->id)
			: error_sys(err, "cannot open %s", path);
	r = fd_write_full(fd, "", 1);
	return r < 0 ? error_set(err, -r, "cannot start %s: %s", in->id, strerror(-r)) : 0;
}

int instance_save_plan(const struct instance *in, const struct plan *plan, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/plan.json", in->dir), *text = NULL;
	struct json_writer *w = json_writer_new(true);
	size_t len;

	record_write(w, NULL, &plan_type, plan, false);
	text = json_writer_finish(w, &len);
	return file_write_volatile(AT_FDCWD, path, text, len, 0600, err);
}

int instance_load_plan(const struct instance *in, struct plan *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/plan.json", in->dir);
	_cleanup_json_ struct json *j = NULL;
	int r = json_parse_file(AT_FDCWD, path, MAX_PLAN_BYTES, &j, err);

	*ret = (struct plan){ 0 };
	if (r == 0)
		r = record_read(j, &plan_type, ret, err);
	return r < 0 ? error_prefix(err, "%s", path) : 0;
}

/* Whether the process has ended but was not reaped yet. */
static bool is_zombie(uint64_t pid)
{
	char path[64], text[512];
	_cleanup_close_ int fd = -1;
	const char *after;
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%ju/stat", (uintmax_t)pid); /* fits */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return true;
	text[n] = '\0';
	after = strrchr(text, ')');
	return after && (after[1] == ' ') && (after[2] == 'Z' || after[2] == 'X');
}

/* Whether somebody still waits for the start. A start that was killed half-way
 * may not have written down that it went. */
static bool waits_for_start(const struct instance *in)
{
	_cleanup_free_ char *path = xasprintf("%s/" INSTANCE_START_FIFO, in->dir);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 || errno != ENXIO;
}

enum instance_status instance_status_now(const struct instance *in)
{
	enum instance_status saved = (enum instance_status)in->status;
	uint64_t start;

	if (!in->pid)
		return saved == INSTANCE_CREATING ? saved : INSTANCE_STOPPED;
	if (pid_start_time((pid_t)in->pid, &start) < 0 || start != in->pid_start || is_zombie(in->pid))
		return INSTANCE_STOPPED;
	if (saved == INSTANCE_CREATED && in->detached && !waits_for_start(in))
		return INSTANCE_RUNNING;
	return saved;
}

const char *instance_status_name(enum instance_status status)
{
	return status_names[status];
}

/* By the file: name services belong to dynamic programs. */
char *instance_owner(const struct instance *in)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd *entry;
	char *name = NULL;

	while (f && !name && (entry = fgetpwent(f)))
		if (entry->pw_uid == in->owner)
			name = xstrdup(entry->pw_name);
	if (f)
		(void)fclose(f);
	return name ? name : xasprintf("#%ju", (uintmax_t)in->owner);
}

char *instance_created(const struct instance *in)
{
	time_t seconds = (time_t)(in->created_ns / 1000000000);
	char stamp[32];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm))
		return xstrdup("");
	return xasprintf("%s.%09uZ", stamp, (unsigned)(in->created_ns % 1000000000));
}

char *instance_oci_state(const struct instance *in, enum instance_status status, bool extended)
{
	struct json_writer *w = json_writer_new(false);
	char *text;

	json_begin_object(w, NULL);
	instance_put_oci_state(w, in, status, extended);
	json_end(w);
	text = json_writer_finish(w, NULL);
	return text;
}

void instance_put_oci_state(struct json_writer *w, const struct instance *in, enum instance_status status,
		bool extended)
{
	_cleanup_free_ char *owner = extended ? instance_owner(in) : NULL, *created = instance_created(in);

	json_put_string(w, "ociVersion", INSTANCE_OCI_VERSION);
	json_put_string(w, "id", in->id);
	json_put_string(w, "status", status_names[status]);
	if (status != INSTANCE_STOPPED || extended)
		json_put_uint(w, "pid", status == INSTANCE_STOPPED ? 0 : in->pid);
	json_put_string(w, "bundle", in->bundle ? in->bundle : "");
	if (extended) {
		json_put_string(w, "rootfs", in->rootfs ? in->rootfs : "");
		json_put_string(w, "created", created);
		json_put_string(w, "owner", owner);
	}
	json_begin_object(w, "annotations");
	for (size_t i = 0; i < in->n_annotations; i++)
		json_put_string(w, in->annotations[i].key, in->annotations[i].value);
	json_end(w);
}

int instance_id_check(const char *id, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
	size_t len = strlen(id);

	if (len == 0 || len > MAX_ID || id[strspn(id, allowed)] || id[0] == '.' || id[0] == '-')
		return error_set(err, EINVAL, "instance name \"%.80s\": expected 1 to %d of A-Z a-z 0-9 _ . + -, "
				"not starting with . or -", id, MAX_ID);
	return 0;
}
