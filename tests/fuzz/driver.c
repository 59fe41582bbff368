/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without libFuzzer, for a few seconds in every `make check`: files named on the command line, or
 * random inputs and small mutations of the target's own seeds (fuzz_seeds(), optional) from a fixed seed, so that a
 * failure comes back.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_INPUT = 8192, RUNS = 20000, SECONDS = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* NULL-terminated texts to start from. */
extern const char *const fuzz_seeds[] __attribute__((weak));

static uint64_t state = 0x9e3779b97f4a7c15;

static uint32_t draw(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

static size_t make_input(uint8_t *data)
{
	size_t n_seeds = 0, size;

	while (fuzz_seeds && fuzz_seeds[n_seeds])
		n_seeds++;
	if (n_seeds && draw(4)) {
		const char *seed = fuzz_seeds[draw((uint32_t)n_seeds)];

		size = strlen(seed) < MAX_INPUT ? strlen(seed) : MAX_INPUT;
		memcpy(data, seed, size);
		for (uint32_t i = draw(8); i && size; i--)
			data[draw((uint32_t)size)] = (uint8_t)draw(256);
		if (draw(4) == 0 && size)
			size = draw((uint32_t)size);
		return size;
	}
	size = draw(draw(2) ? 64 : MAX_INPUT);
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)draw(256);
	return size;
}

static int run_file(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f) {
		perror(path);
		return 1;
	}
	size = fread(data, 1, sizeof data, f);
	fclose(f);
	return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + SECONDS;
	long runs = 0;

	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-' && run_file(argv[i]))
			return 1;
	for (; runs < RUNS && time(NULL) < end; runs++) {
		uint8_t *data = malloc(MAX_INPUT), *exact;
		size_t size = make_input(data);

		exact = malloc(size ? size : 1); /* its very size, so that the sanitizer sees a read beyond */
		memcpy(exact, data, size);
		(void)LLVMFuzzerTestOneInput(exact, size);
		free(exact);
		free(data);
	}
	printf("ok 1 - %ld inputs without a finding\n1..1\n", runs);
	return 0;
}
