/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts beneath the container's root: the base that every container has, and the plan's own.
 *
 * The image is hostile: its symbolic links may point anywhere, and somebody who shares a volume may change them while
 * we mount. /proc, /dev and /sys, and procfs and sysfs wherever they go, are opened with links forbidden (else procfs
 * could be put where the workload chooses, and later writes to it would go astray); all other places are resolved as if
 * the root were "/". Each place is looked up once, to a descriptor; what is mounted goes onto that descriptor. Sources
 * come from the plan, that is from the user, and are resolved on the host. What may be mounted where is said before, in
 * mounts_check.c.
 *
 * System calls are counted here: a container has some fifteen mounts. File systems are mounted by mount(2) on "." or,
 * in the tmpfs of /dev that nobody else can reach yet, by name, which takes a third of the calls of fsopen.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "container-backend/cgroupfs.h"
#include "container-backend/copytree.h"
#include "container-backend/devnodes.h"
#include "container-backend/mount_kinds.h"
#include "container-backend/mount_options.h"
#include "container-backend/mountfd.h"
#include "container-backend/mounts.h"
#include "container-backend/overlay.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

#define WORDS(...) (char *[]){ __VA_ARGS__, NULL }
#define W(x) ((char *)(x))

/* What every container has, unless the plan mounts something else at the same place. In order. */
static const struct base {
	struct plan_mount mount;
	uint64_t needs; /* PLAN_NS bits without which it would show the host's; it is then left out */
} bases[] = {
	{ { .destination = W("/proc"), .type = W("proc"), .options = WORDS(W("nosuid"), W("nodev"), W("noexec")) }, 0 },
	{ { .destination = W("/dev"), .type = W("tmpfs"),
		.options = WORDS(W("nosuid"), W("strictatime"), W("mode=0755"), W("size=1m")) }, 0 },
	{ { .destination = W("/dev/pts"), .type = W("devpts"),
		.options = WORDS(W("nosuid"), W("noexec"), W("newinstance"), W("ptmxmode=0666"), W("mode=0620")) }, 0 },
	{ { .destination = W("/dev/shm"), .type = W("tmpfs"),
		.options = WORDS(W("nosuid"), W("nodev"), W("noexec"), W("mode=1777"), W("size=64m")) }, 0 },
	{ { .destination = W("/dev/mqueue"), .type = W("mqueue"),
		.options = WORDS(W("nosuid"), W("nodev"), W("noexec")) }, PLAN_NS(IPC) },
	{ { .destination = W("/sys"), .type = W("sysfs"),
		.options = WORDS(W("ro"), W("nosuid"), W("nodev"), W("noexec")) }, 0 },
};

/* One mount, from the plan or the base. */
struct mount_step {
	const struct plan_mount *mount;
	size_t index;             /* in plan.mounts; SIZE_MAX: of the base */
	char *path;               /* where, clean */
	struct mount_options options;
	bool bind, given;
	bool overlay;             /* of a folder of the host */
	size_t nth;               /* which of those */
	bool late_read_only;      /* made read-only by mounts_finish */
	int source;               /* a detached copy; -1: not a bind mount */
	char *link;               /* copy-symlink: what the source, a symbolic link, says */
};

/* A walk over the steps. */
struct making {
	struct mounts *m;
	int root;
	int dev;                  /* the tmpfs of /dev that we mounted; -1: none */
	int cwd;                  /* the descriptor that is the working folder; -1: not known */
	const char *groups;
	bool have_groups;
};

/* ---- the steps ---- */

static const struct plan_mount *find_at(const struct plan *plan, const char *path, size_t *ret_index)
{
	for (size_t i = 0; i < plan->n_mounts; i++) {
		_cleanup_free_ char *clean = place_clean(plan->mounts[i].destination);

		if (!strcmp(clean, path)) {
			*ret_index = i;
			return &plan->mounts[i];
		}
	}
	return NULL;
}

static bool is_base(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		if (!strcmp(path, bases[i].mount.destination))
			return true;
	return false;
}

static int add_step(struct mounts *m, const struct plan_mount *mount, size_t index, struct error *err)
{
	struct mount_step *s = &m->steps[m->n];

	*s = (struct mount_step){ .mount = mount, .index = index, .source = -1 };
	if (mount_options_parse(mount->options, mount_default_flags(m->plan, mount), &s->options, err) < 0)
		return error_prefix(err, "mounts[%zu].options", index);
	s->path = place_clean(mount->destination);
	s->bind = mount_is_bind(mount, &s->options);
	s->given = index != SIZE_MAX && mounts_is_given(m->plan, index, m->by_root);
	s->overlay = plan_is_overlay(m->plan, mount);
	for (size_t i = 0; s->overlay && i < index; i++)
		s->nth += plan_is_overlay(m->plan, &m->plan->mounts[i]);
	m->n++;
	return 0;
}

static int list_steps(struct mounts *m, struct error *err)
{
	const struct plan *plan = m->plan;
	int r = 0;

	m->steps = xcalloc(plan->n_mounts + ARRAY_LEN(bases), sizeof *m->steps);
	for (size_t i = 0; r == 0 && !plan->mounts_exact && i < ARRAY_LEN(bases); i++) {
		size_t index = SIZE_MAX;
		const struct plan_mount *own = find_at(plan, bases[i].mount.destination, &index);

		if (own || !(bases[i].needs & ~plan->namespaces))
			r = add_step(m, own ? own : &bases[i].mount, index, err);
	}
	for (size_t i = 0; r == 0 && i < plan->n_mounts; i++) {
		_cleanup_free_ char *path = place_clean(plan->mounts[i].destination);

		if (plan->mounts_exact || !is_base(path))
			r = add_step(m, &plan->mounts[i], i, err);
	}
	return r;
}

/* ---- sources ---- */

/* MS_PRIVATE, MS_SLAVE or MS_SHARED: what the host's mounts are to be to this namespace's, as runc understands the
 * root's propagation. A mount that asks for being a slave needs the host's to be its masters. */
static unsigned long host_propagation(const struct mounts *m)
{
	unsigned long root = m->plan->root.propagation ? mount_propagation(m->plan->root.propagation) : 0;

	if (root & (MS_SLAVE | MS_SHARED))
		return root & (MS_SLAVE | MS_SHARED);
	for (size_t i = 0; !root && i < m->n; i++)
		for (size_t j = 0; m->steps[i].bind && j < m->steps[i].options.n_propagation; j++)
			if (m->steps[i].options.propagation[j] & (MS_SLAVE | MS_SHARED))
				return MS_SLAVE;
	return MS_PRIVATE;
}

static int set_host_propagation(unsigned long flag, struct error *err)
{
	return mount(NULL, "/", NULL, MS_REC | flag, NULL) < 0 ? error_sys(err, "cannot make the mounts private") : 0;
}

static int open_source(const struct mounts *m, struct mount_step *s, struct error *err)
{
	const struct mount_options *o = &s->options;
	bool recursive = o->recursive || (!o->bind && !m->plan->mounts_exact && !s->overlay);
	int fd;

	if (o->copy_symlink) {
		char target[PATH_MAX];
		ssize_t n = readlink(s->mount->source, target, sizeof target - 1);

		if (n >= 0) {
			s->link = xstrndup(target, (size_t)n);
			return 0;
		}
	}
	fd = mountfd_clone_at(AT_FDCWD, s->mount->source, recursive, o->source_nofollow);
	/* In a user namespace mounts below may be locked to the copied one and have to come along. */
	if (fd == -EINVAL && !recursive && plan_has_userns(m->plan))
		fd = mountfd_clone_at(AT_FDCWD, s->mount->source, true, o->source_nofollow);
	if (fd < 0)
		return error_set(err, -fd, "mounts[%zu].source: %s: %s", s->index, s->mount->source, strerror(-fd));
	s->source = fd;
	return 0;
}

int mounts_open(struct mounts *ret, const struct plan *plan, bool by_root, struct error *err)
{
	unsigned long host;
	int r;

	*ret = (struct mounts){ .plan = plan, .by_root = by_root };
	r = list_steps(ret, err);
	if (r < 0)
		return r;
	host = host_propagation(ret);
	if (host != MS_SHARED)
		r = set_host_propagation(host, err);
	for (size_t i = 0; r == 0 && i < ret->n; i++)
		if ((ret->steps[i].bind || ret->steps[i].overlay) && !ret->steps[i].given)
			r = open_source(ret, &ret->steps[i], err);
	if (r == 0 && host == MS_SHARED) /* the copies are the host's peers by now; nothing else may be */
		r = set_host_propagation(MS_PRIVATE, err);
	return r;
}

int mounts_adopt(struct mounts *m, size_t nth, int fd, struct error *err)
{
	size_t index = 0;

	for (; index < m->plan->n_mounts; index++)
		if (mounts_is_given(m->plan, index, m->by_root) && nth-- == 0)
			break;
	for (size_t i = 0; i < m->n; i++)
		if (m->steps[i].index == index && m->steps[i].source < 0) {
			m->steps[i].source = fd;
			return 0;
		}
	(void)close(fd);
	return error_set(err, EPROTO, "more sources of mounts than asked for");
}

/* ---- placing ---- */

/* What mount_setattr has to do to a mount: in the case of a tree, once for its top and once for all of it. */
static int set_attributes(int fd, const struct mount_options *o, bool all_recursive)
{
	int r = mountfd_set(fd, o->set, o->clear, all_recursive);

	if (r == 0)
		r = mountfd_set(fd, o->rec_set, o->rec_clear, true);
	return r;
}

static int set_propagation(int fd, const struct mount_options *o)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < o->n_propagation; i++)
		r = mountfd_propagate(fd, o->propagation[i]);
	return r;
}

/* Whether the words are already true of a mount that nobody shares. */
static bool is_private_anyway(const struct mounts *m, const struct mount_options *o)
{
	for (size_t i = 0; i < o->n_propagation; i++)
		if (!(o->propagation[i] & MS_PRIVATE))
			return false;
	return o->n_propagation == 0 || host_propagation(m) == MS_PRIVATE;
}

static int open_place(const struct making *k, const struct mount_step *s, bool file, struct error *err)
{
	bool kernels = mount_is_type(s->mount, "proc") || mount_is_type(s->mount, "sysfs");
	struct place want = { .file = file, .nofollow = s->options.target_nofollow,
		.strict = (!s->bind && kernels) || place_within(s->path, "/proc") || is_base(s->path) };
	int fd;

	if (want.strict && strncmp(s->path, "/proc/", 6) == 0 && s->bind) { /* nothing can be made there */
		fd = path_open_beneath(k->root, s->path + 1, O_PATH, 0);
		return fd >= 0 ? fd : error_set(err, -fd, "destination: %s: %s", s->path, strerror(-fd));
	}
	fd = place_open(k->root, s->path, want, err);
	return fd >= 0 ? fd : error_prefix(err, "destination");
}

static int refuse_false_proc(int source, struct error *err)
{
	struct statfs fs;

	if (fstatfs(source, &fs) < 0)
		return error_sys(err, "source");
	return fs.f_type == PROC_SUPER_MAGIC ? 0 :
		error_set(err, EPERM, "destination: /proc: only a procfs may be there");
}

/* crun's copy-symlink: the link itself, not what it points to. */
static int place_link(const struct making *k, const struct mount_step *s, struct error *err)
{
	_cleanup_free_ char *folder = xstrdup(s->path);
	char *slash = strrchr(folder, '/'), now[PATH_MAX];
	_cleanup_close_ int parent = -1;
	ssize_t n;

	*slash = '\0';
	parent = mounts_make_dir(k->root, folder[0] ? folder : "/", err);
	if (parent < 0)
		return error_prefix(err, "destination");
	if (symlinkat(s->link, parent, slash + 1) == 0)
		return 0;
	n = readlinkat(parent, slash + 1, now, sizeof now);
	return n >= 0 && (size_t)n == strlen(s->link) && !memcmp(now, s->link, (size_t)n) ? 0 :
		error_set(err, EEXIST, "destination: %s: exists and is not the same symbolic link", s->path);
}

static int place_bind(struct making *k, struct mount_step *s, struct error *err)
{
	_cleanup_close_ int target = -1;
	struct stat st;
	int r;

	if (s->link)
		return place_link(k, s, err);
	if (s->source < 0)
		return error_set(err, EPROTO, "source: the parent's copy is missing");
	if (fstat(s->source, &st) < 0)
		return error_sys(err, "source");
	if (!strcmp(s->path, "/proc") && refuse_false_proc(s->source, err) < 0)
		return -err->code;
	r = set_attributes(s->source, &s->options, !k->m->plan->mounts_exact);
	if (r == 0 && k->m->plan->no_cgroup && S_ISDIR(st.st_mode)) /* a single node is what somebody wants in there */
		r = mountfd_set(s->source, MOUNT_ATTR_NODEV, 0, true);
	if (r == 0 && !is_private_anyway(k->m, &s->options))
		r = set_propagation(s->source, &s->options);
	if (r < 0)
		return error_set(err, -r, "options: cannot be had for %s: %s", s->mount->source, strerror(-r));
	target = open_place(k, s, !S_ISDIR(st.st_mode), err);
	if (target < 0)
		return target;
	r = mountfd_move(s->source, target);
	if (r < 0)
		return error_set(err, -r, "cannot bind to %s: %s", s->path, strerror(-r));
	close_cleanup(&s->source);
	s->source = -1;
	return 0;
}

/* sysfs belongs to a network namespace: a user namespace that has none of its own is shown the host's, read-only. */
static int bind_host_sys(int target)
{
	_cleanup_close_ int fd = mountfd_clone(AT_FDCWD, "/sys", true);
	int r = fd < 0 ? fd : mountfd_set(fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			MOUNT_ATTR_NOEXEC, 0, true);

	return r < 0 ? r : mountfd_move(fd, target);
}

/* The options of the file system itself, with what this plan adds to them. */
static char *full_data(const struct making *k, const struct mount_step *s)
{
	const struct plan *plan = k->m->plan;
	const char *data = s->options.data, *comma = data[0] ? "," : "";

	if (s->index == SIZE_MAX && mount_is_type(s->mount, "devpts") && devnodes_have_tty_group(plan))
		return xasprintf("%s%sgid=5", data, comma);
	if (plan->root.tmpfs_bytes && mount_is_type(s->mount, "tmpfs") && !s->options.remount &&
			!strstr(data, "size=") && !strstr(data, "nr_blocks="))
		return xasprintf("%s%ssize=%ju", data, comma, (uintmax_t)plan->root.tmpfs_bytes);
	if (plan->mount_label && !mount_is_type(s->mount, "proc") && !mount_is_type(s->mount, "sysfs"))
		return xasprintf("%s%scontext=\"%s\"", data, comma, plan->mount_label);
	return NULL;
}

static int go_to(struct making *k, int fd)
{
	if (k->cwd == fd)
		return 0;
	k->cwd = fchdir(fd) == 0 ? fd : -1;
	return k->cwd < 0 ? -errno : 0;
}

static int mount_here(struct making *k, const struct mount_step *s, int folder, const char *name)
{
	_cleanup_free_ char *more = full_data(k, s);
	const struct mount_options *o = &s->options;
	unsigned long flags = o->flags & ~(s->late_read_only ? (unsigned long)MS_RDONLY : 0);
	const char *source = s->mount->source && *s->mount->source ? s->mount->source : s->mount->type;
	int r = go_to(k, folder);

	if (r < 0)
		return r;
	if (k->m->plan->no_cgroup && !mount_is_type(s->mount, "tmpfs") && !mount_is_type(s->mount, "devpts"))
		flags |= MS_NODEV; /* tmpfs: empty but for the nodes that are wanted */
	if (o->remount)
		flags |= MS_REMOUNT | (o->bind ? MS_BIND : 0);
	return mount(source, name, s->mount->type, flags, more ? more : o->data) < 0 ? -errno : 0;
}

/* A name right in our own tmpfs at /dev: nobody else can put a link there. */
static const char *name_in_dev(const struct making *k, const struct mount_step *s)
{
	const char *name = k->dev >= 0 && !strncmp(s->path, "/dev/", 5) ? s->path + 5 : NULL;

	return name && !strchr(name, '/') && !s->options.remount && !mount_is_cgroup(s->mount) ? name : NULL;
}

static int mount_in_dev(struct making *k, const struct mount_step *s, const char *name, struct error *err)
{
	int r;

	if (mkdirat(k->dev, name, 0755) < 0 && errno != EEXIST)
		return error_sys(err, "destination: cannot make %s", s->path);
	r = mount_here(k, s, k->dev, name);
	return r < 0 ? error_set(err, -r, "cannot mount %s on %s: %s", s->mount->type, s->path, strerror(-r)) : 0;
}

static int mount_groups(struct making *k, const struct mount_step *s, int target, struct error *err)
{
	const struct plan *plan = k->m->plan;

	if (!k->have_groups) {
		int r = k->m->groups ? k->m->groups(k->m->groups_arg, &k->groups, err)
			: error_set(err, EOPNOTSUPP, "type: cgroup: no control group");

		if (r < 0)
			return r;
		k->have_groups = true;
	}
	k->cwd = -1;
	return cgroupfs_mount(target, k->groups, s->options.flags | (k->m->foreign_groups ? MS_RDONLY : 0),
			plan->namespaces & PLAN_NS(CGROUP) || plan_join_path(plan, PLAN_NS_CGROUP), err);
}

/* What mount(2) cannot do: propagation and recursive words, once it is mounted. And what the image has there. */
static int finish_filesystem(struct making *k, const struct mount_step *s, int below, struct error *err)
{
	const struct mount_options *o = &s->options;
	bool attributes = o->rec_set | o->rec_clear, shared = !is_private_anyway(k->m, o);
	_cleanup_close_ int fd = -1;
	int r;

	if (!attributes && !shared && !o->copy_up)
		return 0;
	fd = open_place(k, s, false, err);
	if (fd < 0)
		return fd;
	if (o->copy_up && copytree(below, fd, err) < 0)
		return error_prefix(err, "options: tmpcopyup");
	r = attributes ? mountfd_set(fd, o->rec_set, o->rec_clear, true) : 0;
	if (r == 0 && shared)
		r = set_propagation(fd, o);
	return r < 0 ? error_set(err, -r, "options: cannot be had for %s: %s", s->path, strerror(-r)) : 0;
}

static int place_overlay(struct making *k, struct mount_step *s, struct error *err)
{
	_cleanup_close_ int target = s->source < 0 ? -1 : open_place(k, s, false, err);
	int r;

	if (s->source < 0)
		return error_set(err, EPROTO, "source: the parent's copy is missing");
	if (target < 0)
		return target;
	k->cwd = -1;
	r = overlay_place(k->m->scratch, s->nth, s->source, target, plan_has_userns(k->m->plan), err);
	close_cleanup(&s->source);
	s->source = -1;
	return r < 0 ? error_prefix(err, "%s", s->mount->source) : 0;
}

static int place_filesystem(struct making *k, struct mount_step *s, struct error *err)
{
	const char *name = name_in_dev(k, s);
	_cleanup_close_ int target = -1;
	int r;

	s->late_read_only = s->options.flags & MS_RDONLY && !s->options.remount &&
		(mount_is_type(s->mount, "tmpfs") || !strcmp(s->path, "/dev"));
	if (name && !s->options.copy_up) {
		r = mount_in_dev(k, s, name, err);
		return r < 0 ? r : finish_filesystem(k, s, -1, err);
	}
	target = open_place(k, s, false, err);
	if (target < 0)
		return target;
	if (mount_is_cgroup(s->mount))
		return mount_groups(k, s, target, err);
	r = mount_here(k, s, target, ".");
	k->cwd = -1; /* its descriptor is about to be closed */
	if (r == -EPERM && mount_is_type(s->mount, "sysfs"))
		r = bind_host_sys(target);
	if (r < 0)
		return error_set(err, -r, "cannot mount %s on %s: %s", s->mount->type, s->path, strerror(-r));
	return finish_filesystem(k, s, target, err);
}

/* Nodes go into a /dev of our own, at once: later mounts may lie on them. Those made in a bind would be the host's. */
static int fill_dev(struct making *k, const struct mount_step *s, struct error *err)
{
	if (strcmp(s->path, "/dev") || s->options.remount)
		return 0;
	close_cleanup(&k->dev);
	k->dev = -1;
	if (s->bind || !mount_is_type(s->mount, "tmpfs"))
		return 0;
	k->dev = path_open_beneath(k->root, "dev", O_PATH | O_DIRECTORY, 0);
	if (k->dev < 0)
		return error_set(err, -k->dev, "/dev: %s", strerror(-k->dev));
	return devnodes_make_usual(k->m->plan, k->root, k->dev, err);
}

static int make_all(struct making *k, struct error *err)
{
	bool nodes = true; /* wanted outside of our /dev too */
	int r = 0;

	for (size_t i = 0; r == 0 && i < k->m->n; i++) {
		struct mount_step *s = &k->m->steps[i];

		r = s->bind ? place_bind(k, s, err) : s->overlay ? place_overlay(k, s, err)
			: place_filesystem(k, s, err);
		if (r < 0 && s->index != SIZE_MAX)
			return error_prefix(err, "mounts[%zu]", s->index);
		if (r == 0)
			r = fill_dev(k, s, err);
		if (s->bind && !strcmp(s->path, "/dev"))
			nodes = false;
	}
	return r == 0 && nodes ? devnodes_make_others(k->m->plan, k->root, k->dev >= 0, err) : r;
}

int mounts_make(struct mounts *m, int root_fd, struct error *err)
{
	struct making k = { .m = m, .root = root_fd, .dev = -1, .cwd = -1 };
	int r = make_all(&k, err);

	close_cleanup(&k.dev);
	return r;
}

int mounts_finish(const struct mounts *m, int root_fd, struct error *err)
{
	struct making k = { .m = (struct mounts *)(uintptr_t)m, .root = root_fd };

	for (size_t i = 0; i < m->n; i++) {
		const struct mount_step *s = &m->steps[i];
		_cleanup_close_ int fd = -1;
		int r;

		if (!s->late_read_only)
			continue;
		fd = open_place(&k, s, false, err);
		r = fd < 0 ? fd : mountfd_set(fd, MOUNT_ATTR_RDONLY, 0, false);
		if (fd < 0)
			return error_prefix(err, "mounts[%zu]", s->index);
		if (r < 0)
			return error_set(err, -r, "mounts[%zu].options: ro: %s", s->index, strerror(-r));
	}
	return 0;
}
