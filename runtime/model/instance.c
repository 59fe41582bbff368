/* SPDX-License-Identifier: Apache-2.0 */
/* Instances on disk: state.json in a folder of the instance's name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/model/instance.h"

enum { MAX_STATE_BYTES = 1 << 20, MAX_ID = 64 };

static const char *const status_names[] = { "creating", "created", "running", "stopped", NULL };

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
	{ ROW(engine, FIELD_STRING) },
	{ ROW(engine_reason, FIELD_STRING) },
	{ ROW(image, FIELD_STRING) },
	{ ROW(command, FIELD_STRINGS) },
	{ ROW(created_ns, FIELD_UINT) },
	{ 0 },
};
const struct record_type instance_type = { "instance", sizeof(struct instance), instance_fields };

static const struct instance_live no_handles = { -1, -1, -1, -1 };

void instance_init(struct instance *in)
{
	*in = (struct instance){ .live = no_handles };
}

void instance_release(struct instance *in)
{
	close_cleanup(&in->live.pidfd);
	close_cleanup(&in->live.event_fd);
	close_cleanup(&in->live.start_fd);
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

	if (r < 0)
		return r;
	instance_init(ret);
	path = xasprintf("%s/%s/state.json", run_dir, id);
	r = json_parse_file(AT_FDCWD, path, MAX_STATE_BYTES, &j, err);
	if (r < 0)
		return r == -ENOENT ? error_set(err, ENOENT, "no instance named %s in %s", id, run_dir) : r;
	r = record_read(j, &instance_type, ret, err);
	ret->live = no_handles;
	return r < 0 ? error_prefix(err, "%s", path) : 0;
}

int instance_id_check(const char *id, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strlen(id);

	if (len == 0 || len > MAX_ID || id[strspn(id, allowed)] || id[0] == '.' || id[0] == '-')
		return error_set(err, EINVAL, "instance name \"%.80s\": expected 1 to %d of A-Z a-z 0-9 _ . -, "
				"not starting with . or -", id, MAX_ID);
	return 0;
}
