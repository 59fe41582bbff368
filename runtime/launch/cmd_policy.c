/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve policy list|show|check`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policies/policy.h"
#include "policies/presets.h"
#include "runtime/launch/commands.h"

static const char usage[] =
	"Usage: bivalve policy list          the policies built in\n"
	"       bivalve policy show NAME     the document of one of them\n"
	"       bivalve policy check FILE    is this document valid? Says where it is not\n";

static int list(void)
{
	for (const char *const *name = policy_presets(); *name; name++) {
		struct policy p = { 0 };
		struct error err;

		if (policy_load(*name, &p, &err) == 0)
			printf("%-12s %s\n", *name, p.description ? p.description : "");
		policy_release(&p);
	}
	return 0;
}

int cmd_policy(int argc, char **argv, struct error *err)
{
	const char *verb = argc > 1 ? argv[1] : "", *text;
	struct policy p = { 0 };
	int r;

	if (!strcmp(verb, "--help") || !strcmp(verb, "-h")) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(verb, "list") && argc == 2)
		return list();
	if (!strcmp(verb, "show") && argc == 3) {
		text = preset_text(argv[2]);
		if (!text)
			return error_set(err, ENOENT,
				"no policy named %s is built in: see `bivalve policy list`",
				argv[2]);
		fputs(text, stdout);
		return 0;
	}
	if (strcmp(verb, "check") || argc != 3)
		return error_set(err, EINVAL, "policy: expected list, show NAME or check FILE");
	r = policy_load(argv[2], &p, err);
	policy_release(&p);
	if (r == 0)
		printf("%s: valid\n", argv[2]);
	return r;
}
