/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve spec`: a config.json to begin with. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/oci/spec.h"

int cmd_spec(int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	_cleanup_close_ int fd = -1;
	const char *bundle = ".", *file = NULL;
	bool rootless = false;
	const struct option_row rows[] = {
		{ 'b', "bundle", OPTION_STRING, &bundle, "DIR", "where config.json is written (the current folder)",
			NULL },
		{ 'f', "file", OPTION_STRING, &file, "FILE", "written in place of the bundle's config.json", NULL },
		{ 0, "rootless", OPTION_FLAG, &rootless, NULL, "for a user without privilege", NULL },
		{ 0 },
	};
	int at, r = verb_parse(rows, argc, argv, "spec [OPTIONS]", 0, 0, &at, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (at < argc)
		return error_set(err, EINVAL, "spec: unexpected word %s", argv[at]);
	path = file ? xstrdup(file) : xasprintf("%s/config.json", bundle);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return error_set(err, EEXIST, "%s exists already: remove it first", path);
	if (fd < 0)
		return error_sys(err, "cannot write %s", path);
	text = oci_spec_default(rootless);
	r = fd_write_full(fd, text, strlen(text));
	if (r < 0) {
		(void)unlink(path); /* the write's error is the one to tell */
		return error_set(err, -r, "cannot write %s: %s", path, strerror(-r));
	}
	return 0;
}
