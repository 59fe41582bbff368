/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a seccomp profile to a BPF program, by libseccomp.
 *
 * Theory of operation. The profile is a list of rules; libseccomp wants, for each system call, either one action
 * without conditions or several chains of conditions. Given both, or chains of different actions that overlap, it
 * takes one by an order of its own and says nothing (2.5: higher arguments first, "no condition" beats everything).
 * So the list is brought into a form in which order cannot matter before libseccomp sees it:
 *
 *   rules -> those whose capability is granted -> one entry per system call and rule, grouped by call
 *         -> of each group: what stands before the last unconditional entry is dropped
 *         -> two entries of different actions must exclude each other, or the profile is refused
 *         -> entries equal to the default action are left out -> seccomp_rule_add
 *         -> the program is run against the entries (seccomp_verify.c)
 *
 * Only the native ABI is in the filter, and those others that the profile names: else i386's int 0x80 and x32's numbers
 * end the process. They are separate doors to the same kernel, and a filter that forgets one of them is none.
 *
 * The program takes 1 to 2 ms to make and well under 0.1 ms to read back, so it is cached (seccomp_cache.c) under a
 * canonical text of all that decides it.
 *
 * What this does not do: look behind pointers. Arguments are compared as 64-bit registers, of which the kernel may
 * use only 32 bits: deny with masked_eq under the mask 0xffffffff, never with eq.
 */
#include <seccomp.h> /* before our header: the names are neighbours */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policies/enforce/seccomp.h"
#include "policies/enforce/seccomp_cache.h"
#include "policies/enforce/seccomp_verify.h"
#include "policies/enforce/syscall_names.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"

enum {
	TEXT_VERSION = 2,     /* raise it when the same text would compile to another program */
	MAX_ENTRIES = 1 << 16,
	MAX_NAME = 64,
	ARGUMENTS = 6,
};

static const enum scmp_compare compares[] = {
	[SECCOMP_NE] = SCMP_CMP_NE, [SECCOMP_LT] = SCMP_CMP_LT, [SECCOMP_LE] = SCMP_CMP_LE, [SECCOMP_EQ] = SCMP_CMP_EQ,
	[SECCOMP_GE] = SCMP_CMP_GE, [SECCOMP_GT] = SCMP_CMP_GT, [SECCOMP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
};

/* error of rules and defaults alike; SECCOMP_DEFAULT is resolved by rule_action(). */
static uint32_t action_of(int action, uint64_t error, bool zero)
{
	uint32_t data = (uint32_t)(error || zero ? error : EPERM);

	switch ((enum seccomp_action)action) {
	case SECCOMP_ALLOW:
		return SCMP_ACT_ALLOW;
	case SECCOMP_LOG:
		return SCMP_ACT_LOG;
	case SECCOMP_ERRNO:
		return SCMP_ACT_ERRNO(data);
	case SECCOMP_TRACE:
		return SCMP_ACT_TRACE(data);
	case SECCOMP_TRAP:
		return SCMP_ACT_TRAP;
	case SECCOMP_NOTIFY:
		return SCMP_ACT_NOTIFY;
	case SECCOMP_KILL_THREAD:
		return SCMP_ACT_KILL_THREAD;
	case SECCOMP_KILL:
	case SECCOMP_DEFAULT:
		break;
	}
	return SCMP_ACT_KILL_PROCESS;
}

static uint32_t default_action(const struct seccomp_profile *profile)
{
	return action_of(profile->default_action, profile->default_error, profile->default_error_zero);
}

static uint32_t rule_action(const struct seccomp_profile *profile, const struct seccomp_rule *rule)
{
	if (rule->action == SECCOMP_DEFAULT)
		return default_action(profile);
	return action_of(rule->action, rule->error, rule->error_zero);
}

static bool applies(const struct seccomp_rule *rule, uint64_t capabilities)
{
	bool granted = rule->capability <= 64 && rule->capability > 0 && capabilities >> (rule->capability - 1) & 1;

	return rule->capability == 0 || granted != rule->without_capability;
}

static bool names_call(const struct seccomp_rule *rule, const char *name)
{
	strv_foreach(other, rule->syscalls)
		if (!strcmp(other, name))
			return true;
	return false;
}

static bool satisfied(const struct seccomp_rule *rule, const uint64_t args[ARGUMENTS])
{
	for (size_t i = 0; i < rule->n_arguments; i++)
		if (!seccomp_satisfies(&rule->arguments[i], args[rule->arguments[i].index % ARGUMENTS]))
			return false;
	return true;
}

struct seccomp_decision seccomp_decide(const struct seccomp_profile *profile, uint64_t capabilities, const char *name,
		const uint64_t args[6])
{
	struct seccomp_decision d = { .action = profile->default_action, .error = profile->default_error };

	for (size_t i = 0; i < profile->n_rules; i++) {
		const struct seccomp_rule *rule = &profile->rules[i];

		/* Those with conditions exclude each other, so the order between them cannot matter. */
		if (applies(rule, capabilities) && names_call(rule, name) && satisfied(rule, args))
			d.rule = rule;
	}
	if (d.rule && d.rule->action != SECCOMP_DEFAULT) {
		d.action = d.rule->action;
		d.error = d.rule->error;
	}
	if (d.action == SECCOMP_ERRNO && !d.error)
		d.error = EPERM;
	return d;
}

/* A name that could be a system call's. Others are skipped, so that none can forge a line of the rules text. */
static bool plain(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len <= MAX_NAME && name[len] == '\0';
}

bool seccomp_syscall_known(const char *name)
{
	return plain(name) && syscall_number(name) != SYSCALL_UNKNOWN;
}

/* The numbers come from documents: what libseccomp cannot express is refused before anything is built. */
static int check_rule(const struct seccomp_rule *rule, struct error *err)
{
	const char *first = rule->syscalls && rule->syscalls[0] ? rule->syscalls[0] : "";

	if (rule->error > (rule->action == SECCOMP_TRACE ? UINT16_MAX : 4095))
		return error_set(err, EINVAL, "seccomp: %s: errno %llu: at most 4095", first,
				(unsigned long long)rule->error);
	for (size_t i = 0; i < rule->n_arguments; i++) {
		const struct seccomp_argument *arg = &rule->arguments[i];

		if (arg->index >= ARGUMENTS)
			return error_set(err, EINVAL, "seccomp: %s: argument %llu: a system call has 0 to 5", first,
					(unsigned long long)arg->index);
		if (arg->compare < 0 || (size_t)arg->compare >= ARRAY_LEN(compares))
			return error_set(err, EINVAL, "seccomp: %s: unknown comparison %d", first, arg->compare);
		if (arg->compare == SECCOMP_MASKED_EQ && (arg->value_two & ~arg->value) != 0)
			return error_set(err, EINVAL,
				"seccomp: %s: argument %llu: the value has bits outside its mask: "
				"no call would ever match",
				first, (unsigned long long)arg->index);
	}
	return 0;
}

/* ---- the canonical text: the key of the cache ---- */

static void write_rule(struct strbuf *text, const struct seccomp_rule *rule, uint32_t action)
{
	strbuf_printf(text, "\n%x", action);
	for (size_t i = 0; i < rule->n_arguments; i++)
		strbuf_printf(text, " [%llu %d %llx %llx]", (unsigned long long)rule->arguments[i].index,
				rule->arguments[i].compare, (unsigned long long)rule->arguments[i].value,
				(unsigned long long)rule->arguments[i].value_two);
	strv_foreach(name, rule->syscalls) {
		if (!plain(name))
			continue;
		strbuf_add(text, " ", 1);
		strbuf_puts(text, name);
	}
}

static void write_text(struct strbuf *text, const struct seccomp_profile *profile, uint64_t capabilities)
{
	const struct scmp_version *v = seccomp_version();

	strbuf_printf(text, "filter %d, libseccomp %u.%u.%u, architecture %x\n%x", TEXT_VERSION, v->major, v->minor,
			v->micro, seccomp_arch_native(), default_action(profile));
	strv_foreach(name, profile->architectures)
		if (plain(name))
			strbuf_printf(text, " %s", name);
	for (size_t i = 0; i < profile->n_rules; i++)
		if (applies(&profile->rules[i], capabilities))
			write_rule(text, &profile->rules[i], rule_action(profile, &profile->rules[i]));
	strbuf_puts(text, "\n");
}

/* ---- architectures ---- */

/* The ABIs that a kernel of the first may run beside its own. A program for others would never be asked. */
static const struct {
	uint32_t native, other;
} families[] = {
	{ SCMP_ARCH_X86_64, SCMP_ARCH_X86 }, { SCMP_ARCH_X86_64, SCMP_ARCH_X32 },
	{ SCMP_ARCH_AARCH64, SCMP_ARCH_ARM }, { SCMP_ARCH_S390X, SCMP_ARCH_S390 },
	{ SCMP_ARCH_PPC64, SCMP_ARCH_PPC }, { SCMP_ARCH_PARISC64, SCMP_ARCH_PARISC },
	{ SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS }, { SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS64N32 },
	{ SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL }, { SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL64N32 },
};
enum { MAX_OTHERS = 4 };

/* Those of the profile that run beside the native one, each once. Returns their number. */
static size_t other_architectures(const struct seccomp_profile *profile, uint32_t ret[MAX_OTHERS])
{
	uint32_t native = seccomp_arch_native();
	size_t n = 0;

	strv_foreach(name, profile->architectures) {
		uint32_t arch = seccomp_arch_resolve_name(name);
		bool wanted = false;

		for (size_t i = 0; i < ARRAY_LEN(families); i++)
			wanted = wanted || (families[i].native == native && families[i].other == arch);
		for (size_t i = 0; i < n; i++)
			wanted = wanted && ret[i] != arch;
		if (wanted && n < MAX_OTHERS)
			ret[n++] = arch;
	}
	return n;
}

/* ---- entries: one for each system call and rule ---- */

struct entries {
	struct seccomp_entry *items;
	size_t n;
};

static bool index_repeats(const struct seccomp_rule *rule)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rule->n_arguments; i++) {
		if (seen & 1U << rule->arguments[i].index)
			return true;
		seen |= 1U << rule->arguments[i].index;
	}
	return false;
}

static void add_entry(struct entries *e, struct seccomp_entry entry)
{
	if ((e->n & (e->n - 1)) == 0) /* full at each power of two */
		e->items = xreallocarray(e->items, e->n ? e->n * 2 : 1, sizeof *e->items);
	entry.order = e->n;
	e->items[e->n++] = entry;
}

/* foreign: there are other architectures, so calls that only they have count too. */
static int add_rule(struct entries *e, const struct seccomp_rule *rule, uint32_t action, bool foreign,
		struct error *err)
{
	bool alternatives = index_repeats(rule);
	struct seccomp_entry entry = { .action = action };

	strv_foreach(name, rule->syscalls) {
		size_t parts = alternatives ? rule->n_arguments : 1;

		entry.name = name;
		entry.nr = plain(name) ? syscall_number(name) : SYSCALL_UNKNOWN;
		if (entry.nr == SYSCALL_UNKNOWN || (entry.nr < 0 && !foreign)) /* of other architectures only */
			continue;
		if (foreign && syscall_is_newer(entry.nr)) /* libseccomp would have to name it to find it there */
			continue;
		if (e->n + parts > MAX_ENTRIES)
			return error_set(err, E2BIG, "seccomp: more than %d rules", MAX_ENTRIES);
		for (size_t i = 0; i < parts; i++) {
			entry.args = rule->arguments ? rule->arguments + i : NULL;
			entry.n_args = alternatives ? 1 : rule->n_arguments;
			add_entry(e, entry);
		}
	}
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct seccomp_entry *x = a, *y = b;

	if (x->nr != y->nr)
		return x->nr < y->nr ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* ---- one system call ---- */

struct pass {
	uint32_t default_action;
	uint32_t others[MAX_OTHERS];
	size_t n_others;
	bool notifies;
	scmp_filter_ctx filter; /* while it is built */
	struct bytes program;   /* once it is */
};

static int add_to_filter(scmp_filter_ctx filter, const struct seccomp_entry *e, struct error *err)
{
	struct scmp_arg_cmp args[ARGUMENTS];
	int r;

	for (size_t i = 0; i < e->n_args; i++)
		args[i] = (struct scmp_arg_cmp){
			.arg = (unsigned)e->args[i].index, .op = compares[e->args[i].compare],
			.datum_a = e->args[i].value, .datum_b = e->args[i].value_two,
		};
	r = seccomp_rule_add_array(filter, e->action, e->nr, (unsigned)e->n_args, args);
	if (r < 0 && r != -EEXIST) /* the same condition and action twice */
		return error_set(err, -r, "seccomp: libseccomp refuses the rule for %s: %s", e->name, strerror(-r));
	return 0;
}

/*
 * group: the n entries of one system call, in the order of the document. Leaves the *ret_n entries at *ret_first that
 * count, of which those of different actions exclude each other.
 */
static int settle_group(struct seccomp_entry *group, size_t n, uint32_t default_action, size_t *ret_first,
		struct error *err)
{
	size_t first = 0;

	for (size_t i = 0; i < n; i++)
		if (group[i].n_args == 0)
			first = i;
	if (n > first + 1 && group[first].n_args == 0 && group[first].action == default_action)
		first++; /* it only takes back what stood before */
	for (size_t i = first; i < n; i++)
		for (size_t j = first; j < i; j++)
			if (group[i].action != group[j].action && !seccomp_disjoint(&group[i], &group[j]))
				return error_set(err, EINVAL,
					"seccomp: %s: two rules of different actions can apply to "
					"one call: give them conditions that exclude each other",
					group[i].name);
	*ret_first = first;
	return 0;
}

/* Calls fn for the settled entries of each system call. */
static int for_each_group(struct entries *e, struct pass *pass, int (*fn)(struct pass *, struct seccomp_entry *, size_t,
		struct error *), struct error *err)
{
	int r = 0;

	for (size_t at = 0, n, first = 0; at < e->n && r == 0; at += n) {
		for (n = 1; at + n < e->n && e->items[at + n].nr == e->items[at].nr;)
			n++;
		r = settle_group(e->items + at, n, pass->default_action, &first, err);
		if (r == 0)
			r = fn(pass, e->items + at + first, n - first, err);
	}
	return r;
}

static int add_group(struct pass *pass, struct seccomp_entry *group, size_t n, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		if (group[i].action != pass->default_action)
			r = add_to_filter(pass->filter, &group[i], err);
	return r;
}

static bool has_conditions(const struct seccomp_entry *group, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (group[i].n_args)
			return true;
	return false;
}

/* libseccomp has 32-bit arguments there, so wider conditions mean another thing. */
static bool is_narrow(const struct seccomp_entry *group, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < group[i].n_args; k++)
			if ((group[i].args[k].value | group[i].args[k].value_two) > UINT32_MAX)
				return false;
	return true;
}

/* On another ABI the same name may share its number with others, unless it has conditions. */
static int verify_foreign(struct pass *pass, uint32_t arch, struct seccomp_entry *group, size_t n, struct error *err)
{
	int native = group[0].nr, nr = seccomp_syscall_resolve_name_arch(arch, group[0].name), r;

	if (nr < 0 || !has_conditions(group, n) || !is_narrow(group, n))
		return 0;
	group[0].nr = nr;
	r = seccomp_verify(&pass->program, arch == SCMP_ARCH_X32 ? SCMP_ARCH_X86_64 : arch, true, group, n,
			pass->default_action, err);
	group[0].nr = native;
	return r;
}

static int verify_group(struct pass *pass, struct seccomp_entry *group, size_t n, struct error *err)
{
	int r = group[0].nr < 0 ? 0 : seccomp_verify(&pass->program, seccomp_arch_native(), false, group, n,
			pass->default_action, err);

	for (size_t i = 0; i < pass->n_others && r == 0; i++)
		r = verify_foreign(pass, pass->others[i], group, n, err);
	return r;
}

/* ---- the whole ---- */

static int export(scmp_filter_ctx filter, struct bytes *ret, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
	_cleanup_free_ uint8_t *data = NULL;
	struct stat st;
	int r;

	if (fd < 0)
		return error_sys(err, "seccomp: memfd_create");
	r = seccomp_export_bpf(filter, fd);
	if (r < 0)
		return error_set(err, -r, "seccomp: libseccomp makes no program of the rules: %s", strerror(-r));
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return error_sys(err, "seccomp: the program cannot be read back");
	if (st.st_size <= 0 || st.st_size > (off_t)(BPF_MAXINSNS * sizeof(struct sock_filter)))
		return error_set(err, E2BIG, "seccomp: the rules make a program of %lld bytes: the kernel takes %zu",
				(long long)st.st_size, BPF_MAXINSNS * sizeof(struct sock_filter));
	data = xcalloc(1, (size_t)st.st_size);
	if (fd_read_full(fd, data, (size_t)st.st_size) != st.st_size)
		return error_set(err, EIO, "seccomp: the program cannot be read back");
	ret->data = steal_ptr(data);
	ret->len = (size_t)st.st_size;
	return 0;
}

static void release_filter(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

static int build(struct entries *entries, struct pass *pass, struct error *err)
{
	_cleanup_(release_filter) scmp_filter_ctx filter = NULL;
	int r;

	/* Do not probe this kernel: the program may be for a guest's. Level 3: log and kill; 5: notify. */
	(void)seccomp_api_set(pass->notifies ? 5 : 3); /* fails only in libseccomp before 2.4, refused below too */
	filter = seccomp_init(pass->default_action);
	if (!filter)
		return error_set(err, ENOMEM, "seccomp: libseccomp does not start");
	for (size_t i = 0; i < pass->n_others; i++)
		if (seccomp_arch_add(filter, pass->others[i]) < 0)
			return error_set(err, EOPNOTSUPP, "seccomp: libseccomp does not take another architecture");
	/* A binary tree (2) is longer than a list but loads in half the time: the kernel runs the program once for each
	 * system call number when it is installed. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, entries->n > 0 ? 2 : 1) < 0 ||
			seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0)
		return error_set(err, EOPNOTSUPP, "seccomp: libseccomp is older than 2.5");
	pass->filter = filter;
	r = for_each_group(entries, pass, add_group, err);
	return r < 0 ? r : export(filter, &pass->program, err);
}

static int compile(const struct seccomp_profile *profile, uint64_t capabilities, struct bytes *ret, struct error *err)
{
	struct pass pass = { .default_action = default_action(profile) };
	struct entries entries = { 0 };
	int r = 0;

	pass.n_others = other_architectures(profile, pass.others);
	pass.notifies = profile->default_action == SECCOMP_NOTIFY;
	for (size_t i = 0; i < profile->n_rules; i++)
		pass.notifies = pass.notifies || profile->rules[i].action == SECCOMP_NOTIFY;
	for (size_t i = 0; i < profile->n_rules && r == 0; i++)
		if (applies(&profile->rules[i], capabilities))
			r = add_rule(&entries, &profile->rules[i], rule_action(profile, &profile->rules[i]),
					pass.n_others > 0, err);
	if (r == 0) {
		if (entries.n > 0)
			qsort(entries.items, entries.n, sizeof *entries.items, compare_entries);
		r = build(&entries, &pass, err);
	}
	if (r == 0)
		r = for_each_group(&entries, &pass, verify_group, err);
	free(entries.items);
	if (r < 0)
		free(pass.program.data);
	else
		*ret = pass.program;
	return r;
}

static int check_profile(const struct seccomp_profile *profile, struct error *err)
{
	int r = 0;

	if (profile->default_error > 4095)
		return error_set(err, EINVAL, "seccomp: default errno %llu: at most 4095",
				(unsigned long long)profile->default_error);
	for (size_t i = 0; i < profile->n_rules && r == 0; i++)
		r = check_rule(&profile->rules[i], err);
	return r;
}

static int compile_as(const struct seccomp_profile *profile, uint64_t capabilities, const char *cache_dir,
		const struct strbuf *key, struct bytes *ret_program, struct error *err)
{
	struct bytes program = { 0 };
	int r = compile(profile, capabilities, &program, err);

	if (r < 0)
		return r;
	if (cache_dir)
		seccomp_cache_put(cache_dir, key, &program);
	*ret_program = program;
	return 0;
}

int seccomp_compile(const struct seccomp_profile *profile, uint64_t capabilities, const char *cache_dir,
		struct bytes *ret_program, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	int r = check_profile(profile, err);

	if (r < 0)
		return r;
	if (cache_dir) {
		write_text(&text, profile, capabilities);
		if (seccomp_cache_get(cache_dir, &text, ret_program))
			return 0;
	}
	return compile_as(profile, capabilities, cache_dir, &text, ret_program, err);
}

/* Of another first line than write_text()'s: the two kinds of key never meet. */
static void write_document_key(struct strbuf *key, const char *text, size_t len)
{
	const struct scmp_version *v = seccomp_version();

	strbuf_printf(key, "document %d, libseccomp %u.%u.%u, architecture %x\n", TEXT_VERSION, v->major, v->minor,
			v->micro, seccomp_arch_native());
	strbuf_add(key, text, len);
}

bool seccomp_cached(const char *cache_dir, const char *text, size_t len, struct bytes *ret_program)
{
	_cleanup_strbuf_ struct strbuf key = { 0 };

	write_document_key(&key, text, len);
	return seccomp_cache_get(cache_dir, &key, ret_program);
}

int seccomp_compile_text(const struct seccomp_profile *profile, const char *cache_dir, const char *text, size_t len,
		struct bytes *ret_program, struct error *err)
{
	_cleanup_strbuf_ struct strbuf key = { 0 };
	int r = check_profile(profile, err);

	if (r < 0)
		return r;
	write_document_key(&key, text, len);
	return compile_as(profile, 0, cache_dir, &key, ret_program, err);
}

int seccomp_install_flags(const struct bytes *program, uint64_t flags)
{
	struct sock_fprog prog = {
		.len = (unsigned short)(program->len / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(void *)program->data,
	};
	long r;

	if (program->len == 0)
		return 0;
	if (program->len % sizeof(struct sock_filter) != 0 || program->len > BPF_MAXINSNS * sizeof(struct sock_filter))
		return -EINVAL;
	if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
		flags &= ~(uint64_t)SECCOMP_FILTER_FLAG_TSYNC;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)flags, &prog);
	if (r > 0 && !(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)) /* TSYNC: a thread stays out */
		return -ESRCH;
	return r < 0 ? -errno : (int)r;
}

int seccomp_install(const struct bytes *program)
{
	return seccomp_install_flags(program, 0);
}
