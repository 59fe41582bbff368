/* SPDX-License-Identifier: Apache-2.0 */
/* The store of templates: keys, finding, listing, removing. Making one is template_make.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"
#include "vm-backend/agent_plan.h"
#include "vm-backend/agent_protocol.h"
#include "vm-backend/template.h"

enum { MAX_MANIFEST = 64 * 1024, NAME_LEN = 16 };

#define ROW(type, member, field_kind) .key = #member, .kind = field_kind, .offset = offsetof(struct type, member)

/* A new row: templates that were made before no longer fit, so TEMPLATE_FORMAT need not change. */
static const struct field key_fields[] = {
	{ ROW(template_key, engine, FIELD_STRING), .required = true },
	{ ROW(template_key, identity, FIELD_STRING), .required = true },
	{ ROW(template_key, kernel, FIELD_STRING), .required = true },
	{ ROW(template_key, initramfs, FIELD_STRING), .required = true },
	{ ROW(template_key, disk, FIELD_STRING) },
	{ ROW(template_key, command_line, FIELD_STRING), .required = true },
	{ ROW(template_key, devices, FIELD_STRING), .required = true },
	{ ROW(template_key, memory_bytes, FIELD_UINT), .required = true },
	{ ROW(template_key, vcpus, FIELD_UINT), .required = true },
	{ ROW(template_key, agent_version, FIELD_UINT), .required = true },
	{ 0 },
};
static const struct record_type key_type = { "template key", sizeof(struct template_key), key_fields };

static const struct field template_fields[] = {
	{ ROW(template, format, FIELD_UINT), .required = true },
	{ ROW(template, name, FIELD_STRING), .required = true },
	{ ROW(template, image, FIELD_STRING) },
	{ ROW(template, image_digest, FIELD_STRING) },
	{ ROW(template, kernel_name, FIELD_STRING) },
	{ ROW(template, created_ns, FIELD_UINT) },
	{ ROW(template, boot_us, FIELD_UINT) },
	{ ROW(template, ram, FIELD_STRING), .required = true },
	{ ROW(template, ram_bytes, FIELD_UINT) },
	{ ROW(template, state_bytes, FIELD_UINT) },
	{ ROW(template, key, FIELD_RECORD), .record = &key_type, .required = true },
	{ 0 },
};
const struct record_type template_type = { "template", sizeof(struct template), template_fields };

char *template_file_identity(const char *path, bool changed)
{
	_cleanup_free_ char *change = NULL;
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return NULL;
	if (changed)
		change = xasprintf(" %lld.%09ld", (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	return xasprintf("%s %llu:%llu %llu %lld.%09ld%s", path, (unsigned long long)st.st_dev,
			(unsigned long long)st.st_ino, (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec,
			st.st_mtim.tv_nsec, change ? change : "");
}

static char *plain_identity(const char *path)
{
	return template_file_identity(path, false);
}

static char *content_identity(const char *path)
{
	enum { CHUNK = 256 * 1024 };
	_cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	_cleanup_free_ uint8_t *chunk = xcalloc(1, CHUNK);
	uint64_t bytes = 0;
	uint32_t crc = 0;
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, chunk, CHUNK)) > 0) {
		crc = crc32c(crc, chunk, (size_t)n);
		bytes += (uint64_t)n;
	}
	return n < 0 ? NULL : xasprintf("%llu bytes %08x", (unsigned long long)bytes, crc);
}

/* A row for each thing a machine may have that a template cannot. A new device: here, and in `devices` if it can. */
static int check_shape(const struct vm_config *config, const struct vm_engine *engine, bool with_disk,
		struct error *err)
{
	if (config->n_shares)
		return error_set(err, EOPNOTSUPP, "host directories (virtio-fs) are tied to who serves them");
	for (size_t i = 0; i < config->n_disks; i++)
		if (!config->disks[i].read_only && !(with_disk && config->disks[i].copied))
			return error_set(err, EOPNOTSUPP, "disk %s can be written", config->disks[i].path);
	if (!engine->save || !engine->identity)
		return error_set(err, EOPNOTSUPP, "engine %s cannot save machines", engine->name);
	return 0;
}

/* What all machines of an image share; NULL: it has none. */
static const char *image_disk(const struct vm_config *config)
{
	return config->n_disks && !config->disks[0].copied ? config->disks[0].path : NULL;
}

int template_key_of(const struct vm_config *config, const struct vm_engine *engine, bool by_content,
		struct template_key *ret, struct error *err)
{
	char *(*identify)(const char *) = by_content ? content_identity : plain_identity;
	const char *image = image_disk(config);
	int r = check_shape(config, engine, by_content, err);

	*ret = (struct template_key){ 0 };
	if (r < 0)
		return r;
	*ret = (struct template_key){
		.engine = xstrdup(engine->name),
		.identity = engine->identity(err),
		.kernel = identify(config->kernel_path),
		.initramfs = identify(config->initramfs_path),
		.disk = image ? identify(image) : NULL,
		.command_line = xstrdup(config->command_line),
		.devices = xasprintf("console block:%zu rng balloon%s", config->n_disks,
				config->has_network ? " network" : ""),
		.memory_bytes = config->memory_bytes,
		.vcpus = config->vcpus,
		.agent_version = AGENT_VERSION,
	};
	if (!ret->identity)
		r = -err->code;
	else if (!ret->kernel || !ret->initramfs || (image && !ret->disk))
		r = error_set(err, ENOENT, "kernel, initramfs or disk is not there");
	if (r < 0)
		template_key_release(ret);
	return r;
}

void template_key_release(struct template_key *key)
{
	record_release(&key_type, key);
}

static char *key_text(const struct template_key *key)
{
	struct json_writer *w = json_writer_new(true);

	record_write(w, NULL, &key_type, key, true);
	return json_writer_finish(w, NULL);
}

/* FNV-1a, 64 bits: it spreads names, and the keys themselves are compared. */
char *template_name_of(const struct template_key *key)
{
	_cleanup_free_ char *text = key_text(key);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	return xasprintf("%016llx", (unsigned long long)hash);
}

static bool name_valid(const char *name)
{
	return strlen(name) == NAME_LEN && strspn(name, "0123456789abcdef") == NAME_LEN;
}

/* Whoever may write here could put code into every machine of ours. */
static int check_owner(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return error_sys(err, "%s", path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & 022)
		return error_set(err, EACCES, "%s: others than its owner may write it, or that is neither you nor root",
				path);
	return 0;
}

static int read_manifest(struct state_file *file, const char *folder, struct template *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/" TEMPLATE_STATE, folder), *text = NULL;
	_cleanup_json_ struct json *j = NULL;
	size_t len;
	int r = check_owner(folder, err);

	if (r == 0)
		r = check_owner(path, err);
	if (r == 0)
		r = state_file_open(file, path, err);
	if (r < 0)
		return r;
	r = state_file_read(file, STATE_MANIFEST, MAX_MANIFEST, &text, &len, err);
	if (r == 0)
		r = json_parse(text, len, "its manifest", &j, err);
	if (r == 0)
		r = record_read(j, &template_type, ret, err);
	if (r == 0 && ret->format != TEMPLATE_FORMAT)
		r = error_set(err, EINVAL, "its format is %llu, and this bivalve reads format %d",
				(unsigned long long)ret->format, TEMPLATE_FORMAT);
	if (r < 0)
		state_file_close(file);
	return r < 0 ? error_prefix(err, "%s", path) : 0;
}

static int open_use(const char *folder, const struct template_key *key, struct template_use *ret, struct error *err)
{
	_cleanup_free_ char *wanted = key_text(key), *has = NULL, *ram = NULL;
	const struct state_section *engine;
	size_t shape_len;
	int r = read_manifest(&ret->file, folder, &ret->template, err);

	if (r < 0)
		return r;
	has = key_text(&ret->template.key);
	if (strcmp(has, wanted))
		return error_set(err, ENOENT, "%s: it is another machine's", folder);
	ret->ram_path = xasprintf("%s/" TEMPLATE_RAM, folder);
	r = check_owner(ret->ram_path, err);
	if (r < 0)
		return r;
	ram = template_file_identity(ret->ram_path, true);
	if (!ram || strcmp(ram, ret->template.ram))
		return error_set(err, ESTALE, "%s: changed since it was made", ret->ram_path);
	r = state_file_check(&ret->file, STATE_ENGINE, err);
	engine = state_file_find(&ret->file, STATE_ENGINE);
	if (r < 0 || lseek(ret->file.fd, (off_t)engine->offset, SEEK_SET) < 0)
		return r < 0 ? error_prefix(err, "%s", folder) : error_sys(err, "%s", folder);
	r = state_file_read(&ret->file, STATE_PLAN, AGENT_MAX_PLAN, &ret->shape, &shape_len, err);
	if (r < 0)
		return error_prefix(err, "%s", folder);
	ret->restore = (struct vm_restore){ .state_fd = ret->file.fd, .state_bytes = engine->bytes,
		.ram_path = ret->ram_path };
	return 0;
}

size_t template_key_differences(const struct template_key *a, const struct template_key *b, struct strbuf *ret)
{
	size_t n = 0;

	for (const struct field *f = key_fields; f->key; f++) {
		const void *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
		const char *s = *(char *const *)x, *t = *(char *const *)y;

		if (f->kind == FIELD_UINT ? *(const uint64_t *)x == *(const uint64_t *)y
				: s == t || (s && t && !strcmp(s, t)))
			continue;
		strbuf_printf(ret, "%s%s", n++ ? ", " : "", f->key);
	}
	return n;
}

/* Why none fits: what the nearest lacks. */
static int tell_nearest(const char *templates, const struct template_key *key, struct error *err)
{
	struct template *all = NULL;
	_cleanup_strbuf_ struct strbuf nearest = { 0 };
	size_t n = 0, best = SIZE_MAX;
	const char *name = NULL;

	if (template_list(templates, &all, &n, NULL) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		_cleanup_strbuf_ struct strbuf in = { 0 };
		size_t d = template_key_differences(key, &all[i].key, &in);

		if (d >= best)
			continue;
		best = d;
		name = all[i].name;
		nearest.len = 0;
		strbuf_add(&nearest, in.text, in.len);
	}
	(void)error_set(err, ENOENT, name ? "none fits this machine: %s differs in %s" : "there are no templates", name,
			nearest.text); /* the code is what is returned */
	template_list_free(all, n);
	return -ENOENT;
}

int template_find(const char *templates, const struct vm_config *config, const struct vm_engine *engine,
		struct template_use *ret, struct error *err)
{
	_cleanup_free_ char *name = NULL, *folder = NULL;
	struct template_key key;
	int r;

	*ret = (struct template_use){ .file = { .fd = -1 } };
	if (!templates || access(templates, F_OK) < 0) /* the usual case costs one system call */
		return error_set(err, ENOENT, "there are no templates");
	r = template_key_of(config, engine, false, &key, err);
	if (r < 0)
		return r;
	name = template_name_of(&key);
	folder = xasprintf("%s/%s", templates, name);
	r = access(folder, F_OK) < 0 ? tell_nearest(templates, &key, err) : check_owner(templates, err);
	if (r == 0)
		r = open_use(folder, &key, ret, err);
	template_key_release(&key);
	if (r < 0)
		template_use_release(ret);
	return r;
}

void template_use_release(struct template_use *use)
{
	record_release(&template_type, &use->template);
	state_file_close(&use->file);
	free(use->ram_path);
	free(use->shape);
	*use = (struct template_use){ .file = { .fd = -1 } };
}

bool template_prepared_for(const struct template_use *use, const struct plan *plan)
{
	size_t len;
	_cleanup_free_ char *text = use->shape ? agent_plan_text(plan, true, &len) : NULL;

	return text && !strcmp(text, use->shape);
}

static void add(struct template **list, size_t *n, const struct template *t)
{
	size_t at = *n;

	*list = xreallocarray(*list, *n + 1, sizeof **list);
	for (; at > 0 && strcmp((*list)[at - 1].name, t->name) > 0; at--)
		(*list)[at] = (*list)[at - 1];
	(*list)[at] = *t;
	++*n;
}

int template_list(const char *templates, struct template **ret, size_t *ret_n, struct error *err)
{
	DIR *dir = opendir(templates);
	struct dirent *e;

	*ret = NULL;
	*ret_n = 0;
	if (!dir)
		return errno == ENOENT ? 0 : error_sys(err, "%s", templates);
	while ((e = readdir(dir))) {
		struct template t = { 0 };

		if (name_valid(e->d_name) && template_load(templates, e->d_name, &t, err) == 0)
			add(ret, ret_n, &t);
	}
	(void)closedir(dir); /* only read */
	return 0;
}

void template_list_free(struct template *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		record_release(&template_type, &list[i]);
	free(list);
}

static int check_there(const char *templates, const char *name, struct error *err)
{
	_cleanup_free_ char *folder = xasprintf("%s/%s", templates, name);

	if (!name_valid(name) || access(folder, F_OK) < 0)
		return error_set(err, ENOENT, "template %s: there is none of that name: see bivalve template list",
				name);
	return 0;
}

int template_load(const char *templates, const char *name, struct template *ret, struct error *err)
{
	_cleanup_free_ char *folder = xasprintf("%s/%s", templates, name);
	struct state_file file = { .fd = -1 };
	int r = check_there(templates, name, err);

	if (r == 0)
		r = read_manifest(&file, folder, ret, err);
	if (r == 0 && strcmp(ret->name, name)) {
		r = error_set(err, EINVAL, "%s: it says that its name is another", folder);
		record_release(&template_type, ret);
	}
	state_file_close(&file);
	return r;
}

/* Machines that run from it keep what they have open. */
int template_remove(const char *templates, const char *name, struct error *err)
{
	_cleanup_close_ int dir = open(templates, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = check_there(templates, name, err);

	if (r < 0)
		return r;
	return dir < 0 ? error_sys(err, "%s", templates) : path_remove_tree(dir, name, err);
}
