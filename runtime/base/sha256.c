/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256, for the launcher: it is static and starts in a millisecond, and libcrypto, which bivalve-image has,
 * would cost it more than what is digested here. Plain C, so that it is also a workload of the benchmarks that runs the
 * same instructions in every column. The constants are the first 32 bits of the fractional parts of
 * the square roots (state) and cube roots (rounds) of the first primes.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/sha256.h"

enum { ROUNDS = 64 };

static const uint32_t round_constants[ROUNDS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turn(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static void schedule(const uint8_t block[SHA256_BLOCK], uint32_t w[ROUNDS])
{
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
				(uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < ROUNDS; i++)
		w[i] = w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
				(turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
}

void sha256_blocks(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	uint32_t w[ROUNDS];

	for (; blocks; blocks--, data += SHA256_BLOCK) {
		uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
		uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

		schedule(data, w);
		for (int i = 0; i < ROUNDS; i++) {
			uint32_t s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
			uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[i] + w[i];
			uint32_t s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
			uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));

			h = g;
			g = f;
			f = e;
			e = d + t1;
			d = c;
			c = b;
			b = a;
			a = t1 + t2;
		}
		state[0] += a;
		state[1] += b;
		state[2] += c;
		state[3] += d;
		state[4] += e;
		state[5] += f;
		state[6] += g;
		state[7] += h;
	}
}

void sha256_hex(const void *data, size_t len, char ret[SHA256_HEX])
{
	uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
		0x5be0cd19 };
	const uint8_t *at = data;
	size_t left = len, end;
	uint8_t last[2 * SHA256_BLOCK] = { 0 };

	sha256_blocks(state, at, left / SHA256_BLOCK);
	at += left / SHA256_BLOCK * SHA256_BLOCK;
	left %= SHA256_BLOCK;
	if (left)
		memcpy(last, at, left);
	last[left] = 0x80;
	end = left + 9 > SHA256_BLOCK ? 2 * SHA256_BLOCK : SHA256_BLOCK; /* the last eight bytes: the length in bits */
	for (unsigned i = 0; i < 8; i++)
		last[end - 1 - i] = (uint8_t)((uint64_t)len * 8 >> 8 * i);
	sha256_blocks(state, last, end / SHA256_BLOCK);
	for (size_t i = 0; i < 8; i++)
		(void)snprintf(ret + 8 * i, 9, "%08x", state[i]); /* always fits */
}
