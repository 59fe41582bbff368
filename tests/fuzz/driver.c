/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without libFuzzer, for a few seconds in every `make check`: files named on the command line, the
 * target's own seeds (fuzz_seeds, optional, JSON) with each value in turn made one of every other type, then random
 * inputs and small mutations of the seeds from a fixed seed, so that a failure comes back.
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

/* An input of its very size, so that the sanitizer sees a read beyond. */
static void try_input(const char *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	memcpy(exact, data, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

/* The end of the JSON value at text: behind its last character. The seeds' strings have no escapes. */
static const char *value_end(const char *text)
{
	int depth = 0;

	if (*text != '{' && *text != '[' && *text != '"')
		return text + strcspn(text, ",]}");
	do {
		if (*text == '"')
			text = strchr(text + 1, '"');
		depth += *text == '{' || *text == '[';
		depth -= *text == '}' || *text == ']';
		text++;
	} while (depth > 0);
	return text;
}

/* Every value of the text in the place of which each of these stands once. */
static long swap_types(const char *seed)
{
	static const char *const others[] = { "null", "true", "7", "-1", "1.5", "1e99", "\"\"", "\"s\"", "[]", "{}",
		"[null]", "[1]", "[\"s\"]", "[{}]", "{\"k\":1}", "{\"k\":\"v\"}", "{\"k\":{}}", "[{\"k\":[]}]" };
	char text[MAX_INPUT];
	long runs = 0;

	for (const char *at = seed + 1; *at; at++) {
		if (*at == '"') { /* a string, or a member's name */
			at = strchr(at + 1, '"');
			continue;
		}
		if (!strchr("[{:,", *at) || strchr("]}", at[1]))
			continue;
		for (size_t i = 0; i < sizeof others / sizeof *others; i++, runs++) {
			int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at + 1 - seed), seed, others[i],
					value_end(at + 1));

			try_input(text, n < MAX_INPUT ? (size_t)n : MAX_INPUT - 1);
		}
	}
	return runs;
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
	long runs = 0, swapped = 0;

	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-' && run_file(argv[i]))
			return 1;
	for (size_t i = 0; fuzz_seeds && fuzz_seeds[i]; i++)
		swapped += swap_types(fuzz_seeds[i]);
	for (; runs < RUNS && time(NULL) < end; runs++) {
		static uint8_t data[MAX_INPUT];

		try_input((const char *)data, make_input(data));
	}
	printf("ok 1 - %ld inputs without a finding\n1..1\n", swapped + runs);
	return 0;
}
