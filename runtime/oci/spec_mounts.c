/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json's mounts (runtime-spec config.md, "Mounts"; config-linux.md for the options) as the plan's. Options stay
 * the words they are: the shells know them, and refuse the ones they do not.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/oci/spec_reader.h"

const struct spec_row spec_id_map_rows[] = {
	{ SPEC_ROW("containerID", spec_uint, plan_id_map, inside), .max = UINT32_MAX, .required = true },
	{ SPEC_ROW("hostID", spec_uint, plan_id_map, outside), .max = UINT32_MAX, .required = true },
	{ SPEC_ROW("size", spec_uint, plan_id_map, count), .max = UINT32_MAX, .required = true },
	{ 0 },
};

int spec_id_map_check(const struct spec *s, const struct json *j, void *record)
{
	const struct plan_id_map *map = record;

	if (map->count == 0)
		return spec_refuse_member(s, j, "size", "0: maps nothing");
	if (map->inside + map->count - 1 > UINT32_MAX || map->outside + map->count - 1 > UINT32_MAX)
		return spec_refuse_member(s, j, "size", "%llu: goes beyond the last id",
				(unsigned long long)map->count);
	return 0;
}

const struct spec_row spec_mount_rows[] = {
	{ SPEC_ROW("destination", spec_string, plan_mount, destination), .required = true },
	{ SPEC_ROW("type", spec_string, plan_mount, type) },
	{ SPEC_ROW("source", spec_string, plan_mount, source) },
	{ SPEC_ROW("options", spec_strings, plan_mount, options), .max = SPEC_MAX_ENTRIES },
	{ SPEC_LIST("uidMappings", plan_mount, uid_maps, spec_id_map_rows), .check = spec_id_map_check },
	{ SPEC_LIST("gidMappings", plan_mount, gid_maps, spec_id_map_rows), .check = spec_id_map_check },
	{ 0 },
};

static bool is_bind(const struct plan_mount *m)
{
	if (m->type && !strcmp(m->type, "bind"))
		return true;
	strv_foreach(option, m->options)
		if (!strcmp(option, "bind") || !strcmp(option, "rbind"))
			return true;
	return false;
}

static void replace(char **at, char *owned)
{
	free(*at);
	*at = owned;
}

int spec_mount_check(const struct spec *s, const struct json *j, void *record)
{
	struct plan_mount *m = record;

	if (m->destination[0] != '/') /* runtime-spec 1.0.2: taken as below the root */
		replace(&m->destination, xasprintf("/%s", m->destination));
	if (is_bind(m)) {
		if (!m->source)
			return spec_refuse_member(s, j, "source", "missing: a bind mount needs one");
		if (m->source[0] != '/')
			replace(&m->source, xasprintf("%s/%s", s->request->bundle, m->source));
		if (!m->type || strcmp(m->type, "bind"))
			replace(&m->type, xstrdup("bind")); /* whatever it says, the option decides */
	} else if (m->n_uid_maps || m->n_gid_maps) {
		return spec_refuse_member(s, j, m->n_uid_maps ? "uidMappings" : "gidMappings",
				"only a bind mount can have its own mapping");
	} else if (!m->type) {
		return spec_refuse_member(s, j, "type", "missing: only a bind mount needs none");
	}
	if (!m->n_uid_maps != !m->n_gid_maps)
		return spec_refuse_member(s, j, m->n_uid_maps ? "gidMappings" : "uidMappings",
				"missing: an idmapped mount needs both mappings");
	return 0;
}
