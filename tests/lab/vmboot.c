/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmboot: boots a kernel by one engine and shows what comes out. For the lab, and for looking at a machine by hand.
 *
 *   vmboot [-e ENGINE] [-m MIB] [-c CPUS] [-d DISK]… [-D READ_ONLY_DISK]… [-a WORDS] [-f] [-n] [-s MIB]
 *          [-t SECONDS] KERNEL [INITRAMFS]
 *   vmboot -p           only probe
 *
 *   -n  no log, hence no serial console         -s  echo MIB through the agent's channel and compare
 *   -f  flood the agent's channel, and drop what comes out of it
 *   -v  a folder of the host to share, read-only
 *   -N  a network card, whose other end sends frames of every length and drops what comes
 *
 * Prints the milestones, what the guest says on the agent's channel, and at the end times and the VMM's memory.
 * Exit status: that of the machine, 2 if it could not start, 124 if it took too long.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/model/backend.h"
#include "vm-backend/engine.h"

struct stream {
	uint64_t total, sent, received, frames, network_bytes;
	bool broken;
	bool flood;
	int network;                    /* the other end of the card's cable; -1: there is no card */
	unsigned long long most_kib;    /* of the VMM's own memory */
};

enum { LOOK_MS = 500 }; /* at the VMM's memory */

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 2654435761U >> 13);
}

static unsigned long long own_rss(pid_t pid, uint64_t ram, bool print)
{
	char path[64], line[256];
	unsigned long long total = 0, kib, start = 0, end = 0, guest = 0;
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%d/smaps", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			continue;
		if (sscanf(line, "Rss: %llu", &kib) == 1) {
			total += kib;
			if (end - start >= ram)
				guest += kib;
		}
	}
	if (f)
		fclose(f);
	if (print)
		printf("[vmboot: VMM resident %llu KiB, of that %llu KiB guest RAM: %llu KiB of its own]\n", total,
				guest, total - guest);
	return total - guest;
}

static void print_rss(pid_t pid, uint64_t ram)
{
	(void)own_rss(pid, ram, true); /* printing it was all */
}

/* As much as fits of what is no frame of any protocol; what comes is dropped. */
static void flood(int fd, struct stream *s)
{
	uint8_t buf[65536];
	ssize_t n;

	for (size_t i = 0; i < sizeof buf; i++)
		buf[i] = pattern(s->sent + i);
	for (int i = 0; i < 4 && (n = send(fd, buf, sizeof buf, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0; i++)
		s->sent += (uint64_t)n;
	while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
		s->received += (uint64_t)n;
}

/* Frames of every length, and with luck one that is none: the card is then unplugged. */
static void flood_network(struct stream *s)
{
	uint8_t frame[4 + 2048] = { 0 };
	ssize_t n;

	for (int i = 0; i < 16; i++) {
		unsigned len = 14 + (unsigned)(s->frames * 37 % 2000);

		frame[2] = (uint8_t)(len >> 8);
		frame[3] = (uint8_t)len;
		if (send(s->network, frame, 4 + len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)(4 + len))
			break; /* full, or cut in the midst of a frame */
		s->frames++;
	}
	while ((n = recv(s->network, frame, sizeof frame, MSG_DONTWAIT)) > 0)
		s->network_bytes += (uint64_t)n;
}

static void echo(int fd, struct stream *s)
{
	uint8_t buf[65536];
	ssize_t n;

	while (s->sent < s->total) {
		for (size_t i = 0; i < sizeof buf; i++)
			buf[i] = pattern(s->sent + i);
		n = send(fd, buf, s->total - s->sent < sizeof buf ? s->total - s->sent : sizeof buf,
				MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			break;
		s->sent += (uint64_t)n;
	}
	while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i < n; i++)
			s->broken |= buf[i] != pattern(s->received++);
}

static void show(int fd, const char *what)
{
	struct backend_event event;
	char buf[4096];
	ssize_t n;

	if (what) {
		while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
			printf("[%s: ", what);
			fwrite(buf, 1, (size_t)n, stdout);
			printf("]\n");
		}
		return;
	}
	while (recv(fd, &event, sizeof event, MSG_DONTWAIT) == sizeof event)
		printf("[event %u at %.3f ms: %s]\n", event.kind, (double)event.at_ns / 1e6, event.text);
}

static int watch(pid_t pid, int pidfd, int agent, int events, struct stream *stream, const struct vm_config *config,
		double seconds, uint64_t start)
{
	uint64_t deadline = start + (uint64_t)(seconds * 1e9), look = start;
	bool told = false;
	int status;

	for (;;) {
		struct pollfd fds[] = { { agent, POLLIN, 0 }, { events, POLLIN, 0 }, { pidfd, POLLIN, 0 } };

		if (stream->flood || (stream->total && stream->sent < stream->total))
			fds[0].events |= POLLOUT;
		(void)poll(fds, 3, 100);
		show(events, NULL);
		if (clock_now_ns() >= look) {
			unsigned long long kib = own_rss(pid, config->memory_bytes, false);

			stream->most_kib = kib > stream->most_kib ? kib : stream->most_kib;
			look = clock_now_ns() + LOOK_MS * UINT64_C(1000000);
		}
		if (stream->network >= 0)
			flood_network(stream);
		if (stream->flood)
			flood(agent, stream);
		else if (stream->total)
			echo(agent, stream);
		else
			show(agent, "agent");
		if (!told && clock_now_ns() - start > 1500000000) {
			told = true;
			print_rss(pid, config->memory_bytes);
		}
		if (stream->total && stream->received >= stream->total) {
			printf("[vmboot: %llu MiB there and back in %.2f s, %s]\n",
					(unsigned long long)stream->total >> 20,
					(double)(clock_now_ns() - start) / 1e9, stream->broken ? "BROKEN" : "intact");
			print_rss(pid, config->memory_bytes);
			return stream->broken ? 1 : 0;
		}
		if (fds[2].revents)
			break;
		if (clock_now_ns() > deadline) {
			printf("[vmboot: timed out]\n");
			print_rss(pid, config->memory_bytes);
			return 124;
		}
	}
	if (waitpid(pid, &status, 0) < 0)
		return 2;
	printf("[vmboot: at most %llu KiB of its own; agent's channel: %llu bytes in, %llu out]\n", stream->most_kib,
			(unsigned long long)stream->sent, (unsigned long long)stream->received);
	if (stream->network >= 0)
		printf("[vmboot: network: %llu frames in, %llu bytes out]\n", (unsigned long long)stream->frames,
				(unsigned long long)stream->network_bytes);
	printf("[vmboot: ended with status %#x after %.1f ms]\n", (unsigned)status,
			(double)(clock_now_ns() - start) / 1e6);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	struct vm_config config = { .name = "vmboot", .memory_bytes = 128 << 20, .vcpus = 1, .log_fd = 1,
		.network_fd = -1,
		.work_dir = "/tmp" };
	const struct vm_engine *engine = &engine_kvm;
	struct stream stream = { .network = -1 };
	struct vm_share share = { .read_only = true };
	bool network = false;
	int cable[2] = { -1, -1 };
	struct rusage usage;
	struct error err = { 0 };
	char reason[256];
	double seconds = 60;
	int option, agent[2], events[2], pidfd, status;
	uint64_t start;
	pid_t pid;

	setvbuf(stdout, NULL, _IONBF, 0);
	while ((option = getopt(argc, argv, "e:m:c:d:D:a:fns:t:pNv:")) != -1) {
		switch (option) {
		case 'e':
			engine = strcmp(optarg, "qemu") ? &engine_kvm : &engine_qemu;
			break;
		case 'm':
			config.memory_bytes = strtoull(optarg, NULL, 10) << 20;
			break;
		case 'c':
			config.vcpus = (unsigned)atoi(optarg);
			break;
		case 'd':
		case 'D':
			if (config.n_disks == VM_MAX_DISKS)
				return 2;
			config.disks[config.n_disks++] = (struct vm_disk){ .path = optarg, .read_only = option == 'D',
				.copy_fd = -1 };
			break;
		case 'a':
			config.command_line = optarg;
			break;
		case 'f':
			stream.flood = true;
			break;
		case 'n':
			config.log_fd = -1;
			break;
		case 's':
			stream.total = strtoull(optarg, NULL, 10) << 20;
			break;
		case 't':
			seconds = atof(optarg);
			break;
		case 'v':
			share.path = optarg;
			config.shares = &share;
			config.n_shares = 1;
			break;
		case 'N':
			network = true;
			break;
		case 'p':
			start = clock_now_ns();
			status = engine->probe(reason, sizeof reason);
			printf("%s: %d: %s (%.2f ms)\n", engine->name, status, reason,
					(double)(clock_now_ns() - start) / 1e6);
			return status <= 0;
		default:
			return 2;
		}
	}
	if (optind == argc)
		return 2;
	config.kernel_path = argv[optind];
	config.initramfs_path = argv[optind + 1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0 ||
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0)
		return 2;
	config.agent_fd = agent[1];
	config.event_fd = events[1];
	if (network && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, cable) < 0)
		return 2;
	config.network_fd = cable[1];
	config.has_network = network;
	config.mac[0] = 2;
	stream.network = cable[0];
	start = clock_now_ns();
	printf("[vmboot: start at %.3f ms]\n", (double)start / 1e6);
	if (engine->spawn(&config, &pid, &pidfd, &err) < 0) {
		printf("vmboot: %s (%d)\n", err.message, err.code);
		return 2;
	}
	printf("[vmboot: spawned after %.2f ms]\n", (double)(clock_now_ns() - start) / 1e6);
	close(agent[1]);
	close(events[1]);
	close_cleanup(&cable[1]);
	status = watch(pid, pidfd, agent[0], events[0], &stream, &config, seconds, start);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("[vmboot: VMM used %.1f ms user, %.1f ms system]\n",
			(double)usage.ru_utime.tv_sec * 1e3 + (double)usage.ru_utime.tv_usec / 1e3,
			(double)usage.ru_stime.tv_sec * 1e3 + (double)usage.ru_stime.tv_usec / 1e3);
	return status;
}
