/* SPDX-License-Identifier: Apache-2.0 */
/* Saved instances: what is in their file, and whether a machine can go on from it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/strbuf.h"
#include "vm-backend/saved.h"
#include "vm-backend/saved_disk.h"
#include "vm-backend/vm_config.h"

#define HOLD_NS UINT64_C(10000000000) /* for the guest to hold still */

enum { MAX_MANIFEST = 64 * 1024 };

static char *to_text(const struct record_type *type, const void *record, size_t *ret_len)
{
	struct json_writer *w = json_writer_new(true);

	record_write(w, NULL, type, record, false);
	return json_writer_finish(w, ret_len);
}

static int write_rest(struct state_writer *w, const struct plan *plan, struct template *t, struct error *err)
{
	_cleanup_free_ char *manifest = NULL, *text = NULL;
	size_t manifest_len, len;
	int r;

	t->state_bytes = w->file.sections[0].bytes;
	manifest = to_text(&template_type, t, &manifest_len);
	text = to_text(&plan_type, plan, &len);
	r = state_writer_add(w, STATE_MANIFEST, manifest, manifest_len, err);
	if (r == 0)
		r = state_writer_add(w, STATE_PLAN, text, len, err);
	return r == 0 ? state_writer_finish(w, err) : r;
}

/* The disk for its writes, if it has one. */
static int write_disk(struct state_writer *w, const struct vm_config *config, struct error *err)
{
	const struct vm_disk *disk = vm_scratch_disk(config);
	int r = disk ? state_writer_begin(w, STATE_DISK, err) : 0;

	if (!disk || r < 0)
		return r;
	r = saved_disk_write(disk->copy_fd, w->fd, err);
	return r == 0 ? state_writer_end(w, err) : r;
}

int saved_write(int fd, const struct plan *plan, const struct vm_config *config, const struct vm_engine *engine,
		struct agent_host *agent, struct error *err)
{
	struct template t = { .format = TEMPLATE_FORMAT, .name = plan->id, .image = plan->root.image,
		.image_digest = plan->root.digest, .kernel_name = plan->vm.kernel, .created_ns = clock_wall_ns() };
	static char in_state[] = "in the state";
	struct error resumed = { 0 };
	struct state_writer w;
	int r;

	r = template_key_of(config, engine, true, &t.key, err);
	if (r < 0)
		return r;
	t.ram = in_state;
	state_writer_init(&w, fd);
	r = state_writer_begin(&w, STATE_ENGINE, err);
	if (r == 0)
		r = agent_host_hold(agent, HOLD_NS, err);
	if (r == 0)
		r = engine->save(config, fd, err);
	if (r == 0)
		r = state_writer_end(&w, err);
	if (r == 0) /* while nobody writes to it */
		r = write_disk(&w, config, err);
	if (engine->resume(config, &resumed) < 0 || agent_host_go_on(agent, &resumed) < 0)
		r = r < 0 ? r : error_set(err, resumed.code, "the machine does not go on: %s", resumed.message);
	if (r == 0)
		r = write_rest(&w, plan, &t, err);
	template_key_release(&t.key);
	return r;
}

static int read_record(const struct state_file *f, enum state_kind kind, size_t max, const struct record_type *type,
		void *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ struct json *j = NULL;
	size_t len;
	int r = state_file_read(f, kind, max, &text, &len, err);

	if (r == 0)
		r = json_parse(text, len, type->name, &j, err);
	return r == 0 ? record_read(j, type, ret, err) : r;
}

int saved_inspect(const char *path, struct template *ret, struct plan *ret_plan, struct error *err)
{
	struct state_file f;
	int r = state_file_open(&f, path, err);

	if (r < 0)
		return r;
	r = read_record(&f, STATE_MANIFEST, MAX_MANIFEST, &template_type, ret, err);
	if (r == 0) {
		r = read_record(&f, STATE_PLAN, AGENT_MAX_PLAN, &plan_type, ret_plan, err);
		if (r < 0)
			record_release(&template_type, ret);
	}
	state_file_close(&f);
	return r < 0 ? error_prefix(err, "%s", path) : 0;
}

int saved_read_plan(const char *path, struct plan *ret, struct error *err)
{
	static const char *const engines[] = { [ENGINE_AUTO] = "auto", [ENGINE_KVM] = "kvm", [ENGINE_QEMU] = "qemu" };
	struct template t = { 0 };
	int r = saved_inspect(path, &t, ret, err);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(engines); i++)
		if (!strcmp(t.key.engine, engines[i]))
			ret->vm.engine = (int)i;
	record_release(&template_type, &t);
	return r;
}

static int check_key(const struct template_key *saved, const struct vm_config *config, const struct vm_engine *engine,
		struct error *err)
{
	_cleanup_strbuf_ struct strbuf names = { 0 };
	struct template_key key;
	int r = template_key_of(config, engine, true, &key, err);

	if (r < 0)
		return r;
	if (template_key_differences(&key, saved, &names))
		r = error_set(err, ESTALE, "this machine would differ from the saved one in %s", names.text);
	template_key_release(&key);
	return r;
}

int saved_open(const char *path, const struct vm_config *config, const struct vm_engine *engine,
		struct template_use *ret, struct error *err)
{
	const struct state_section *state, *disk;
	int r;

	*ret = (struct template_use){ .file = { .fd = -1 } };
	r = state_file_open(&ret->file, path, err);
	if (r < 0)
		return r;
	r = read_record(&ret->file, STATE_MANIFEST, MAX_MANIFEST, &template_type, &ret->template, err);
	if (r == 0 && ret->template.format != TEMPLATE_FORMAT)
		r = error_set(err, EINVAL, "format %llu, and this bivalve reads format %d",
				(unsigned long long)ret->template.format, TEMPLATE_FORMAT);
	if (r == 0)
		r = check_key(&ret->template.key, config, engine, err);
	if (r == 0)
		r = state_file_check(&ret->file, STATE_ENGINE, err);
	disk = state_file_find(&ret->file, STATE_DISK);
	if (r == 0 && !disk != !vm_scratch_disk(config))
		r = error_set(err, EINVAL, "the disk for its writes is %s", disk ? "nowhere in its plan" : "missing");
	if (r == 0 && disk)
		r = state_file_check(&ret->file, STATE_DISK, err);
	state = state_file_find(&ret->file, STATE_ENGINE);
	if (r == 0 && lseek(ret->file.fd, (off_t)state->offset, SEEK_SET) < 0)
		r = error_sys(err, "cannot seek");
	if (r < 0) {
		template_use_release(ret);
		return error_prefix(err, "%s", path);
	}
	ret->restore = (struct vm_restore){ .state_fd = ret->file.fd, .state_bytes = state->bytes,
		.disk_at = disk ? disk->offset : 0, .disk_bytes = disk ? disk->bytes : 0 };
	return 0;
}
