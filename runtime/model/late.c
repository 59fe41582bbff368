/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments and environment of a workload that was set up before they were known. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/strbuf.h"
#include "runtime/model/late.h"

static uint32_t add_all(struct strbuf *to, char *const *strings)
{
	uint32_t n = 0;

	for (; strings && strings[n]; n++)
		strbuf_add(to, strings[n], strlen(strings[n]) + 1);
	return n;
}

char *late_write(const struct plan *plan, size_t *ret_len)
{
	struct strbuf all = { 0 };
	struct late_head head = { .audit = plan->audit, .figures = plan->figures };
	char *const mac[] = { plan->interface.mac, NULL };

	strbuf_add(&all, (const char *)&head, sizeof head);
	head.n_argv = add_all(&all, plan->process.argv);
	head.n_env = add_all(&all, plan->process.env);
	head.n_mac = add_all(&all, mac);
	if (all.len > LATE_MAX_BYTES) {
		strbuf_release(&all);
		return NULL;
	}
	head.bytes = (uint32_t)(all.len - sizeof head);
	memcpy(all.text, &head, sizeof head);
	*ret_len = all.len;
	return all.text;
}

int late_check(const void *bytes, size_t len, struct error *err)
{
	const char *strings = (const char *)bytes + sizeof(struct late_head);
	struct late_head head;
	size_t n = 0;

	if (len < sizeof head || len > LATE_MAX_BYTES)
		return error_set(err, EPROTO, "arguments: %zu bytes of them", len);
	memcpy(&head, bytes, sizeof head);
	for (size_t i = 0; i < len - sizeof head; i++)
		n += strings[i] == '\0';
	if (head.figures > 1 || head.n_mac > 1 ||
			head.bytes != len - sizeof head || head.n_argv == 0 || head.n_argv > LATE_MAX_BYTES ||
			head.n_env > LATE_MAX_BYTES || n != head.n_argv + head.n_env + head.n_mac ||
			strings[head.bytes - 1] != '\0')
		return error_set(err, EPROTO, "arguments: %u and %u strings in %u bytes", head.n_argv, head.n_env,
				head.bytes);
	return 0;
}

static char **point(char **at, uint32_t n)
{
	char **list = xcalloc((size_t)n + 1, sizeof *list);

	for (uint32_t i = 0; i < n; i++) {
		list[i] = *at;
		*at += strlen(*at) + 1;
	}
	return list;
}

struct late_head late_head(const void *bytes)
{
	struct late_head head;

	memcpy(&head, bytes, sizeof head);
	return head;
}

const char *late_mac(const char *bytes)
{
	struct late_head head = late_head(bytes);
	const char *at = bytes + sizeof head;

	for (uint32_t i = 0; i < head.n_argv + head.n_env; i++)
		at += strlen(at) + 1;
	return head.n_mac ? at : NULL;
}

void late_apply(char *bytes, struct plan *plan)
{
	struct late_head head;
	char *at = bytes + sizeof head;

	memcpy(&head, bytes, sizeof head);
	plan->audit = head.audit;
	plan->figures = head.figures;
	plan->process.argv = point(&at, head.n_argv);
	plan->process.env = point(&at, head.n_env);
}

char *late_receive(int fd, struct error *err)
{
	struct late_head head;
	_cleanup_free_ char *all = NULL;

	if (fd_read_full(fd, &head, sizeof head) != (ssize_t)sizeof head ||
			head.bytes > LATE_MAX_BYTES - sizeof head) {
		(void)error_set(err, EPROTO, "arguments: none came"); /* what is returned says it too */
		return NULL;
	}
	all = xcalloc(1, sizeof head + head.bytes);
	memcpy(all, &head, sizeof head);
	if (fd_read_full(fd, all + sizeof head, head.bytes) != (ssize_t)head.bytes)
		(void)error_set(err, EPROTO, "arguments: cut off"); /* likewise */
	else if (late_check(all, sizeof head + head.bytes, err) == 0)
		return steal_ptr(all);
	return NULL;
}
