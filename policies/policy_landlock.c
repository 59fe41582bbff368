/* SPDX-License-Identifier: Apache-2.0 */
/* The "landlock" key of a policy document: false, or lists of paths and ports. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policies/schema.h"
#include "runtime/base/alloc.h"

enum { MAX_PORT = 65535, MAX_PORTS = 256 };

void policy_release_landlock(struct plan_landlock *l)
{
	strv_free(l->read);
	strv_free(l->write);
	strv_free(l->execute);
	strv_free(l->list);
	strv_free(l->connect_tcp);
	strv_free(l->bind_tcp);
	*l = (struct plan_landlock){ 0 };
}

/* out: char **. */
static int read_ports(const struct document *d, const struct json *j, void *out, struct error *err)
{
	char ***list = out;
	int r = j->type == JSON_NULL ? 0 : schema_expect(d, j, JSON_ARRAY, err);

	if (r < 0)
		return r;
	strv_free(*list);
	*list = NULL;
	if (j->type == JSON_NULL)
		return 0;
	if (j->n_items > MAX_PORTS)
		return schema_refuse(d, j, err, "%zu ports: at most %d", j->n_items, MAX_PORTS);
	*list = xcalloc(1, sizeof **list); /* none is not the same as nothing said */
	json_foreach(item, j) {
		if (item->type != JSON_INT || item->integer < 0 || item->integer > MAX_PORT)
			return schema_refuse(d, item, err, "not a port: 0 to %d", MAX_PORT);
		strv_push(list, xasprintf("%lld", (long long)item->integer));
	}
	return 0;
}

static void write_ports(struct json_writer *w, const char *key, const void *in)
{
	char *const *ports = *(char **const *)in;

	if (!ports)
		return;
	json_begin_array(w, key);
	strv_foreach(port, ports)
		json_put_uint(w, NULL, strtoull(port, NULL, 10));
	json_end(w);
}

static const struct key landlock_keys[] = {
	{ "best_effort", KEY_BOOL, AT(struct plan_landlock, best_effort) },
	{ "read", KEY_LIST, AT(struct plan_landlock, read), .check = policy_check_path },
	{ "write", KEY_LIST, AT(struct plan_landlock, write), .check = policy_check_path },
	{ "execute", KEY_LIST, AT(struct plan_landlock, execute), .check = policy_check_path },
	{ "list", KEY_LIST, AT(struct plan_landlock, list), .check = policy_check_path },
	{ "connect_tcp", KEY_CUSTOM, AT(struct plan_landlock, connect_tcp), .read = read_ports,
		.write = write_ports },
	{ "bind_tcp", KEY_CUSTOM, AT(struct plan_landlock, bind_tcp), .read = read_ports,
		.write = write_ports },
	{ .name = NULL },
};

/* out: struct plan_landlock. */
int policy_read_landlock(const struct document *d, const struct json *j, void *out, struct error *err)
{
	if (j->type == JSON_NULL || (j->type == JSON_BOOL && !j->boolean)) {
		policy_release_landlock(out);
		return 0;
	}
	if (j->type != JSON_OBJECT)
		return schema_refuse(d, j, err, "%s: expected false or an object", json_type_name(j->type));
	return schema_read(d, j, landlock_keys, out, err);
}

void policy_write_landlock(struct json_writer *w, const char *key, const void *in)
{
	const struct plan_landlock *l = in;

	if (!l->read && !l->write && !l->execute && !l->list && !l->connect_tcp && !l->bind_tcp) {
		json_put_bool(w, key, false);
		return;
	}
	json_begin_object(w, key);
	schema_write(w, landlock_keys, l);
	json_end(w);
}
