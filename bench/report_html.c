/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"
void report_html(const struct bench_result *r, struct strbuf *to)
{
	strbuf_puts(to, "");
}
