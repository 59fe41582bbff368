/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beside a target under libFuzzer: puts the target's own seeds (fuzz_seeds, see driver.c) into the corpus before it is
 * read; the last word of the command line names it. Without them the fuzzer would have to find the grammar by chance.
 */
#include <stdio.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
extern const char *const fuzz_seeds[] __attribute__((weak));

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	for (int i = 0; fuzz_seeds && fuzz_seeds[i]; i++) {
		char path[4096];
		FILE *f;

		(void)snprintf(path, sizeof path, "%s/seed-%d", (*argv)[*argc - 1], i); /* too long: not opened */
		f = fopen(path, "wb");
		if (!f || fwrite(fuzz_seeds[i], 1, strlen(fuzz_seeds[i]), f) != strlen(fuzz_seeds[i]))
			perror(path);
		if (f)
			(void)fclose(f);
	}
	return 0;
}
