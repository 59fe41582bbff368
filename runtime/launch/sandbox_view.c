/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view of the host that a sandboxed program gets.
 *
 * Theory of operation. The root is an empty tmpfs. Into it go, parents before children:
 *
 *   /usr, /etc, and /bin, /sbin, /lib… where those are folders: read-only; links where they are links
 *   /tmp, /var/tmp, /run and the home directory: empty, private
 *   the working directory, the program's folder and what it is a link to: overlays, so that writes stay aside
 *   --ro PATH read-only, --rw PATH as it is: the one way to write to the host
 *
 * Everything else is not there: what is not named cannot be read. A folder that holds much more than the program (the
 * home directory, /, /tmp, …) is not shown because somebody happens to stand in it; then only the program's file is.
 * Under a policy whose root may be written to, the system's folders are overlays too.
 *
 * With root, the workload's ids are not the host's: what is shown on purpose is idmapped, so that its owner owns it
 * inside. The system's folders are not: what only root may read stays closed. In a guest, whose root has its own ids,
 * that does not hold: whatever of /etc is not for everybody is masked there by name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/launch/sandbox_view.h"

enum { MAX_MASKED = 2000, MAX_DEPTH = 8 };

static const char *const system_folders[] = { "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" };
static const char *const private_folders[] = { "/tmp", "/var/tmp", "/run" };

/* Never shown for somebody's standing in them, nor what they are in. */
static const char *const crowded[] = { "/home", "/root", "/tmp", "/var/tmp", "/var/log", "/var/lib", "/var/spool",
	"/run", "/mnt", "/media", "/srv", "/opt", "/boot", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64" };
/* The kernel's: not to be shown at all. */
static const char *const kernels[] = { "/proc", "/sys", "/dev" };

/* Secrets of /etc, should their modes not keep them. Those that are not there do no harm. */
static const char *const secrets[] = { "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers",
	"/etc/sudoers.d", "/etc/ssh", "/etc/ssl/private", "/etc/wireguard", "/etc/ipsec.secrets", "/etc/krb5.keytab",
	"/etc/NetworkManager/system-connections", "/etc/docker", "/etc/kubernetes", "/etc/rancher", "/etc/machine-id" };

struct view {
	const struct launch_options *options;
	struct plan *plan;
	bool idmap;              /* what is shown on purpose needs it */
};

static bool is_within(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return !strcmp(folder, "/") || (!strncmp(path, folder, n) && (path[n] == '/' || !path[n]));
}

static bool is_among(const char *path, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_within(path, list[i]))
			return true;
	return false;
}

static const char *home_of(const struct plan *plan)
{
	strv_foreach(s, plan->process.env)
		if (!strncmp(s, "HOME=/", 6) && s[6])
			return s + 5;
	return "/root";
}

/* Whether to show it would show much that has nothing to do with the program. */
static bool is_crowded(const struct view *v, const char *path)
{
	if (is_within(home_of(v->plan), path) || is_among(path, kernels, ARRAY_LEN(kernels)))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(crowded); i++)
		if (is_within(crowded[i], path))
			return true;
	return false;
}

static struct plan_mount *add(struct view *v, const char *type, const char *path)
{
	struct plan *plan = v->plan;

	plan->mounts = xreallocarray(plan->mounts, plan->n_mounts + 1, sizeof *plan->mounts);
	plan->mounts[plan->n_mounts] = (struct plan_mount){ .type = xstrdup(type), .destination = xstrdup(path) };
	return &plan->mounts[plan->n_mounts++];
}

/* A folder or file of the host, at its own place. own: its owners are the workload's. */
static void show(struct view *v, const char *type, const char *path, const char *access, bool own)
{
	struct plan_mount *m = add(v, type, path);
	bool overlay = !strcmp(type, "overlay");

	m->source = xstrdup(path);
	if (!overlay) {
		strv_push(&m->options, xstrdup("rbind"));
		strv_push(&m->options, xstrdup(access));
		strv_push(&m->options, xstrdup("nosuid"));
		strv_push(&m->options, xstrdup("nodev"));
	}
	if (own && v->idmap)
		strv_push(&m->options, xstrdup(overlay ? "idmap" : "ridmap"));
}

static void add_link(struct view *v, const char *path)
{
	struct plan_root *root = &v->plan->root;
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target);

	if (n <= 0 || n >= (ssize_t)sizeof target)
		return; /* it has just been replaced */
	root->links = xreallocarray(root->links, root->n_links + 1, sizeof *root->links);
	root->links[root->n_links++] = (struct plan_pair){ xstrdup(path), xstrndup(target, (size_t)n) };
}

static void show_system(struct view *v)
{
	bool writable = !v->plan->root.read_only;

	for (size_t i = 0; i < ARRAY_LEN(system_folders); i++) {
		struct stat st;

		if (lstat(system_folders[i], &st) < 0)
			continue;
		if (S_ISLNK(st.st_mode))
			add_link(v, system_folders[i]);
		else
			show(v, writable ? "overlay" : "bind", system_folders[i], "ro", writable);
	}
}

static void add_private(struct view *v)
{
	const char *home = home_of(v->plan);

	for (size_t i = 0; i < ARRAY_LEN(private_folders) + 1; i++) {
		bool is_home = i == ARRAY_LEN(private_folders);
		struct plan_mount *m = add(v, "tmpfs", is_home ? home : private_folders[i]);

		strv_push(&m->options, xstrdup(is_home ? "mode=0700" : i < 2 ? "mode=1777" : "mode=0755"));
		strv_push(&m->options, xstrdup("nosuid"));
		strv_push(&m->options, xstrdup("nodev"));
	}
}

/* Whether the path is shown by what was added so far, and not hidden again by a private folder. */
static const struct plan_mount *shown_by(const struct view *v, const char *path)
{
	const struct plan_mount *best = NULL;
	size_t best_len = 0;

	for (size_t i = 0; i < v->plan->n_mounts; i++) {
		const struct plan_mount *m = &v->plan->mounts[i];
		size_t n = strlen(m->destination);

		if (is_within(path, m->destination) && n >= best_len) {
			best = m;
			best_len = n;
		}
	}
	return best && best->source ? best : NULL;
}

static bool is_written_aside(const struct plan_mount *m)
{
	return m && !strcmp(m->type, "overlay");
}

/* The working directory: a folder that is there, made private aside. */
static int show_cwd(struct view *v, struct error *err)
{
	_cleanup_free_ char *path = realpath(v->plan->process.cwd, NULL);

	if (!path)
		return error_sys(err, "the working directory %s", v->plan->process.cwd);
	free(v->plan->process.cwd);
	v->plan->process.cwd = xstrdup(path);
	if (is_crowded(v, path)) {
		if (!shown_by(v, path) && strcmp(path, "/"))
			log_line(LOG_LEVEL_WARNING,
				"%s stays hidden, it holds more than a program's folder: --ro or --rw "
				"PATH shows what is needed of it",
				path);
		return 0;
	}
	if (!is_written_aside(shown_by(v, path)))
		show(v, "overlay", path, NULL, true);
	return 0;
}

static void show_program_file(struct view *v, const char *path)
{
	_cleanup_free_ char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	if (shown_by(v, path))
		return;
	if (!*folder || is_crowded(v, folder))
		show(v, "bind", path, "ro", true);
	else
		show(v, "overlay", folder, NULL, true);
}

/* As execvp(3) would find it on the host. The caller's; NULL: nowhere. */
static char *find_program(const char *word)
{
	const char *path = getenv("PATH");

	if (strchr(word, '/'))
		return word[0] == '/' ? xstrdup(word) : NULL;
	for (const char *at = path ? path : "/usr/bin:/bin"; *at; at += *at == ':') {
		size_t n = strcspn(at, ":");
		char *full = n && at[0] == '/' ? xasprintf("%.*s/%s", (int)n, at, word) : NULL;
		struct stat st;

		if (full && access(full, X_OK) == 0 && stat(full, &st) == 0 && S_ISREG(st.st_mode))
			return full;
		free(full);
		at += n;
	}
	return NULL;
}

/*
 * The program by the name that was typed, and the file that this leads to: both are shown. The folder of the name is
 * made real, its last part is not: a program may do as its name says.
 */
static int show_program(struct view *v, struct error *err)
{
	char **word = &v->plan->process.argv[0];
	_cleanup_free_ char *found = find_program(*word), *file = NULL, *folder = NULL, *named = NULL;
	char *slash;

	if (!found && strchr(*word, '/'))
		found = xasprintf("%s/%s", v->plan->process.cwd, *word);
	file = found ? realpath(found, NULL) : NULL;
	if (!file)
		return 0; /* 127 from inside, as a shell would say */
	slash = strrchr(found, '/');
	*slash = '\0';
	folder = realpath(*found ? found : "/", NULL);
	*slash = '/';
	if (!folder)
		return error_sys(err, "%s", *word);
	named = xasprintf("%s/%s", strcmp(folder, "/") ? folder : "", slash + 1);
	if (strcmp(named, file))
		show_program_file(v, named);
	show_program_file(v, file);
	if (strchr(*word, '/') && (*word)[0] == '/') {
		free(*word);
		*word = steal_ptr(named);
	}
	return 0;
}

static int show_asked_for(struct view *v, char *const *paths, const char *access, struct error *err)
{
	strv_foreach(s, paths) {
		_cleanup_free_ char *path = realpath(s, NULL);

		if (!path)
			return error_sys(err, "--%s %s", access, s);
		if (!strcmp(path, "/") || is_among(path, kernels, ARRAY_LEN(kernels)))
			return error_set(
				err, EINVAL, "--%s %s: %s cannot be shown to a sandboxed program", access, s, path);
		show(v, "bind", path, access, true);
	}
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct plan_mount *)a)->destination, ((const struct plan_mount *)b)->destination);
}

/* Parents before children, and of two for the same path the one that was asked for last. */
static void arrange(struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_mounts; i++) {
		bool again = false;

		for (size_t j = i + 1; j < plan->n_mounts; j++)
			again |= !strcmp(plan->mounts[i].destination, plan->mounts[j].destination);
		if (again) {
			free(plan->mounts[i].type);
			free(plan->mounts[i].destination);
			free(plan->mounts[i].source);
			strv_free(plan->mounts[i].options);
		} else {
			plan->mounts[n++] = plan->mounts[i];
		}
	}
	plan->n_mounts = n;
	qsort(plan->mounts, n, sizeof *plan->mounts, by_path);
}

static void mask(struct plan *plan, const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && !S_ISLNK(st.st_mode))
		strv_push(&plan->masked_paths, xstrdup(path));
}

/* Names all below the folder that not everybody may read. */
static int mask_closed(struct plan *plan, const char *folder, unsigned depth, struct error *err)
{
	DIR *d = depth < MAX_DEPTH ? opendir(folder) : NULL;
	struct dirent *e;
	int r = 0;

	while (d && r == 0 && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", folder, e->d_name);
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || e->d_type == DT_LNK || lstat(path, &st) < 0)
			continue;
		if (!(st.st_mode & (S_ISDIR(st.st_mode) ? S_IXOTH : S_IROTH)))
			strv_push(&plan->masked_paths, steal_ptr(path));
		else if (S_ISDIR(st.st_mode))
			r = mask_closed(plan, path, depth + 1, err);
		if (strv_len(plan->masked_paths) > MAX_MASKED)
			r = error_set(err, E2BIG, "%s: more than %d files are closed to others: too many to mask",
				folder, MAX_MASKED);
	}
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

static int hide_secrets(struct view *v, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		mask(v->plan, secrets[i]);
	if (strcmp(v->plan->backend, "vm") || geteuid() != 0)
		return 0;
	return mask_closed(v->plan, "/etc", 0, err);
}

int sandbox_view_fill(const struct launch_options *o, struct plan *plan, struct error *err)
{
	struct view v = { .options = o, .plan = plan,
		.idmap = geteuid() == 0 && plan->namespaces & PLAN_NS(USER) && strcmp(plan->backend, "vm") };
	size_t volumes = plan->n_mounts;
	int r;

	show_system(&v);
	add_private(&v);
	r = show_cwd(&v, err);
	if (r == 0)
		r = show_program(&v, err);
	if (r == 0)
		r = show_asked_for(&v, o->ro_paths, "ro", err);
	if (r == 0)
		r = show_asked_for(&v, o->rw_paths, "rw", err);
	for (size_t i = 0; r == 0 && v.idmap && i < volumes; i++)
		if (!strcmp(plan->mounts[i].type, "bind"))
			strv_push(&plan->mounts[i].options, xstrdup("ridmap"));
	if (r == 0)
		r = hide_secrets(&v, err);
	if (r == 0)
		arrange(plan);
	return r;
}
