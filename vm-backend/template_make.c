/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a template. The machine has no monitor: this process boots it, waits for its guest's first word, has it
 * prepare a workload of the plan as far as that goes without arguments and environment, and saves it then. No program
 * of the image has run.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/agent_plan.h"
#include "vm-backend/template_make.h"
#include "vm-backend/vm_config.h"
#include "vm-backend/vm_log.h"

#define BOOT_NS UINT64_C(120000000000) /* as the monitor's */
#define HOLD_NS UINT64_C(120000000000) /* for the guest to come to rest (guest/guest_rest.h) and hold still */

struct making {
	struct vm_machine machine;
	struct agent_host agent;
	bool agent_made;     /* else it owns nothing, and its descriptors are not yet -1 */
	struct vm_log log;
	int agent_fd, control[2];
	int cable;           /* the other end of a card's, where nobody listens: the card stays down; -1: no card */
	int state_fd;
	pid_t pid;
	int pidfd;
	uint64_t spawned_ns;
};

static int open_files(struct making *m, const char *work, char **ret_ram, struct error *err)
{
	_cleanup_free_ char *ram = xasprintf("%s/" TEMPLATE_RAM, work), *state = xasprintf("%s/" TEMPLATE_STATE, work);
	_cleanup_close_ int fd = open(ram, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)m->machine.config.memory_bytes) < 0)
		return error_sys(err, "%s", ram);
	m->state_fd = open(state, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (m->state_fd < 0)
		return error_sys(err, "%s", state);
	*ret_ram = steal_ptr(ram);
	return 0;
}

static int spawn(struct making *m, const struct vm_engine *engine, struct error *err)
{
	struct vm_config *config = &m->machine.config;
	const int none[3] = { -1, -1, -1 };
	int agent[2], log[2], cable[2] = { -1, -1 }, r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0 ||
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->control) < 0 ||
			pipe2(log, O_CLOEXEC) < 0 || (config->has_network &&
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, cable) < 0))
		return error_sys(err, "cannot make sockets"); /* the process is about to end */
	vm_log_init(&m->log, log[0], -1);
	m->agent_fd = agent[0];
	config->agent_fd = agent[1];
	config->log_fd = log[1];
	config->control = m->control;
	m->cable = cable[0];
	config->network_fd = cable[1];
	m->spawned_ns = clock_now_ns();
	r = engine->spawn(config, &m->pid, &m->pidfd, err);
	(void)close(agent[1]); /* the machine has its own, like the others */
	(void)close(log[1]);
	(void)close(m->control[1]);
	close_cleanup(&cable[1]);
	if (r == 0)
		r = agent_host_init(&m->agent, agent[0], none, false, -1, err);
	m->agent_made = r == 0;
	return r;
}

static bool is_ready(const struct agent_host *agent)
{
	return agent->ready;
}

static bool is_prepared(const struct agent_host *agent)
{
	return agent->workload.isolated;
}

/* Until the guest has got there. */
static int await_guest(struct making *m, bool (*done)(const struct agent_host *agent), struct error *err)
{
	enum { LOG = AGENT_HOST_WATCHES, MACHINE, COUNT };
	struct pollfd fds[COUNT];
	uint64_t end = m->spawned_ns + BOOT_NS;
	char tail[400] = "";
	int r = 0;

	while (r == 0 && !done(&m->agent) && !m->agent.lost && !m->agent.workload.over && clock_now_ns() < end) {
		agent_host_watch(&m->agent, fds);
		fds[LOG] = (struct pollfd){ m->log.fd, POLLIN, 0 };
		fds[MACHINE] = (struct pollfd){ m->pidfd, POLLIN, 0 };
		if (poll(fds, COUNT, 1000) < 0)
			continue; /* EINTR */
		if (fds[LOG].revents)
			vm_log_read(&m->log);
		r = agent_host_step(&m->agent, fds, err);
		if (fds[MACHINE].revents)
			break;
	}
	if (r < 0 || done(&m->agent))
		return r;
	if (m->agent.workload.failed)
		return error_set(err, m->agent.workload.error.code, "%s", m->agent.workload.error.message);
	if (m->log.fd >= 0)
		vm_log_read(&m->log);
	vm_log_tail(&m->log, tail, sizeof tail);
	return error_set(err, EIO, "the guest did not come up%s%s", *tail ? "; it said: " : "", tail);
}

static void end(struct making *m)
{
	if (m->pid > 0) {
		(void)kill(m->pid, SIGKILL); /* our child and not yet reaped */
		(void)waitpid(m->pid, NULL, 0);
		close_cleanup(&m->pidfd);
	}
	if (m->agent_made)
		agent_host_release(&m->agent);
	close_cleanup(&m->agent_fd);
	close_cleanup(&m->control[0]);
	close_cleanup(&m->state_fd);
	close_cleanup(&m->cable);
	vm_log_release(&m->log);
	vm_machine_release(&m->machine);
}

/* Both files as they will be found; the manifest is last, since it holds what RAM's file was when it was done. */
static int seal(struct making *m, const struct plan *plan, struct state_writer *w, const char *ram, const char *final,
		struct template *t, struct error *err)
{
	size_t shape_len;
	_cleanup_free_ char *shape = agent_plan_text(plan, true, &shape_len);
	_cleanup_free_ char *text = NULL, *identity = template_file_identity(ram, true);
	_cleanup_close_ int fd = open(ram, O_RDONLY | O_CLOEXEC);
	struct json_writer *json = json_writer_new(true);
	struct stat st;
	size_t len;
	int r = 0;

	if (!identity || fd < 0 || fstat(fd, &st) < 0 || fsync(fd) < 0)
		r = error_sys(err, "%s", ram);
	/* Known under its final name; moving its folder does not change it. */
	t->ram = identity ? xasprintf("%s/" TEMPLATE_RAM "%s", final, identity + strlen(ram)) : NULL;
	t->ram_bytes = (uint64_t)st.st_blocks * 512;
	t->state_bytes = w->file.n_sections ? w->file.sections[0].bytes : 0;
	record_write(json, NULL, &template_type, t, true);
	text = json_writer_finish(json, &len);
	if (r == 0)
		r = state_writer_add(w, STATE_MANIFEST, text, len, err);
	if (r == 0)
		r = state_writer_add(w, STATE_PLAN, shape, shape_len, err);
	if (r == 0)
		r = state_writer_finish(w, err);
	if (r == 0 && fsync(m->state_fd) < 0)
		r = error_sys(err, "cannot write the state");
	return r;
}

static int make(struct making *m, const struct plan *plan, const struct vm_engine *engine, const char *work,
		struct template *t, struct error *err)
{
	_cleanup_free_ char *ram = NULL, *final = xasprintf("%s/%s", plan->vm.templates, t->name);
	struct state_writer w;
	int r = open_files(m, work, &ram, err);

	if (r < 0)
		return r;
	m->machine.config.ram_path = ram;
	r = spawn(m, engine, err);
	if (r == 0)
		r = await_guest(m, is_ready, err);
	if (r == 0)
		r = agent_host_start(&m->agent, plan, AGENT_PREPARE, err);
	if (r == 0)
		r = await_guest(m, is_prepared, err);
	if (r == 0) /* nothing is under way then */
		r = agent_host_hold(&m->agent, HOLD_NS, err);
	if (r < 0)
		return r;
	t->boot_us = (clock_now_ns() - m->spawned_ns) / 1000;
	t->created_ns = clock_wall_ns();
	state_writer_init(&w, m->state_fd);
	r = state_writer_begin(&w, STATE_ENGINE, err);
	if (r == 0)
		r = engine->save(&m->machine.config, m->state_fd, err);
	if (r == 0)
		r = state_writer_end(&w, err);
	(void)kill(m->pid, SIGKILL); /* before RAM's file is looked at for the last time */
	(void)waitpid(m->pid, NULL, 0);
	m->pid = 0;
	close_cleanup(&m->pidfd);
	if (r == 0)
		r = seal(m, plan, &w, ram, final, t, err);
	if (r < 0)
		return r;
	if (path_mkdirs(plan->vm.templates, 0700, err) < 0)
		return -err->code;
	return rename(work, final) < 0 && errno != EEXIST && errno != ENOTEMPTY ? error_sys(err, "%s", final) : 0;
}

/* What is there under the name and whole needs not be made again; what is not, or for other plans, is in the way. */
static int find_old(const struct plan *plan, const struct vm_config *config, const struct vm_engine *engine,
		const char *name, struct template *ret, struct error *err)
{
	_cleanup_free_ char *folder = xasprintf("%s/%s", plan->vm.templates, name);
	struct template_use use;

	if (template_find(plan->vm.templates, config, engine, &use, NULL) == 0) {
		if (!template_prepared_for(&use, plan)) {
			template_use_release(&use);
			return template_remove(plan->vm.templates, name, err);
		}
		*ret = use.template;
		use.template = (struct template){ 0 };
		template_use_release(&use);
		return 1;
	}
	return access(folder, F_OK) == 0 ? template_remove(plan->vm.templates, name, err) : 0;
}

int template_make(const struct plan *plan, const struct vm_engine *engine, const char *work, struct template *ret,
		struct error *err)
{
	struct making m = { .log = { .fd = -1 }, .agent_fd = -1, .control = { -1, -1 }, .cable = -1, .state_fd = -1,
		.pidfd = -1 };
	int r;

	*ret = (struct template){ .format = TEMPLATE_FORMAT, .image = xstrdup(plan->root.image),
		.image_digest = xstrdup(plan->root.digest), .kernel_name = xstrdup(plan->vm.kernel) };
	vm_machine_describe(plan, false, &m.machine);
	r = template_key_of(&m.machine.config, engine, false, &ret->key, err);
	if (r == 0) {
		ret->name = template_name_of(&ret->key);
		struct template old = { 0 };

		r = find_old(plan, &m.machine.config, engine, ret->name, &old, err);
		if (r > 0) {
			record_release(&template_type, ret);
			*ret = old;
			vm_machine_release(&m.machine);
			return 0;
		}
	}
	if (r == 0)
		r = make(&m, plan, engine, work, ret, err);
	end(&m);
	if (r < 0)
		record_release(&template_type, ret);
	return r < 0 ? r : 1;
}
