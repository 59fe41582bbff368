/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containment probes: each tries one thing that an untrusted program tries, and says how far it came. All of them are
 * in one small static program (probes.c), which runs each in a process of its own; tests/containment/run starts it on
 * the host, in a container and in a VM, and sees on the host whether anything was touched.
 *
 * A probe must end by itself, and must do no harm where it is let through: one that would is PROBE_HARMFUL, or does
 * less when settings.timid.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* How far a probe came; in this order, so that further is greater. */
enum outcome {
	OUTCOME_NOT_RUN,        /* harmful here, or the thing to attack does not exist */
	OUTCOME_BLOCKED,
	OUTCOME_ALLOWED,        /* it was let through; what it reached is its own, or shared by request */
	OUTCOME_HOST,           /* it had the host's: a canary's content, the host's namespace, … */
};

struct result {
	enum outcome outcome;
	int error;              /* errno of the last refusal; 0: none, it just found nothing */
	char detail[120];
};

/* What the host has laid out: key=value lines, written by tests/containment/run. Absent ones are "" or 0. */
struct settings {
	char on[16];            /* host, container, vm */
	char token[64];         /* random: in the canaries' names and contents */
	char file[256];         /* a file of the host, outside of everything shared */
	char handle[300];       /* its file handle: TYPE:HEX */
	char address[64];       /* an IPv4 address of the host that is not its loopback */
	char mnt[64], net[64], pid_ns[64], user[64]; /* the host's namespaces, as links in /proc name them */
	char share[64], fixed[64]; /* volumes here: one to write to, one read-only */
	long pid;               /* a process of the host, which has the token in its name */
	long victim;            /* the host's pid of a program in another sandbox */
	long port;              /* where the host listens on 127.0.0.1 and on its address */
	long key;               /* a key of the host's key ring */
	long shm;               /* key of a System V segment of the host */
	long disk;              /* device number of one of the host's disks */
	long timid;             /* refrain from writing what opens */
};

enum { PROBE_HARMFUL = 1 }; /* flags: not where it may be let through */

struct probe {
	const char *name;
	struct result (*run)(const struct settings *settings);
	unsigned flags;
};

/* The tables, one a file, each ended by a row without a name. Order within a table counts: what floods comes last. */
extern const struct probe file_probes[], kernel_file_probes[], process_probes[], call_probes[], wall_probes[],
	network_probes[], flood_probes[];

struct result not_run(const char *why);
struct result blocked(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct result allowed(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct result reached_host(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a system call's return value says: an error is `blocked`, unless it is harmless_error, which only those get who
   passed every check of permission; all else is `allowed`. */
struct result verdict(long ret, int harmless_error, const char *what);

/* Reads at most size - 1 bytes of a file, ends them with a 0. Number of bytes, or -errno. */
ssize_t read_text(const char *path, char *text, size_t size);

/* A mount namespace for what the probe does to mounts, so that the next one finds them as they were; where none can be
   had, the mounts of the sandbox, never the host's. 0, or -1 and errno. */
int mounts_apart(const struct settings *settings);

/* True when a process of that number is called by the token, as the host's canary is. */
bool is_canary(const struct settings *settings, long pid);

/* The stages of other programs that a probe needs; they are `probes --NAME` (probes.c). */
int stage_privileges(void);
int stage_linger(const struct settings *settings);
