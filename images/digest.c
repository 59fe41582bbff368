/* SPDX-License-Identifier: Apache-2.0 */
/* Digests by OpenSSL's libcrypto. Its failures are failures to allocate: they end the process, as in alloc.h. */
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "images/digest.h"
#include "runtime/base/alloc.h"

struct hasher {
	EVP_MD_CTX *ctx;
	const char *algorithm;
};

static void must(int ok)
{
	if (ok)
		return;
	(void)fputs("bivalve: libcrypto cannot compute digests\n", stderr); /* nothing else can be told */
	_exit(125);
}

struct hasher *hasher_new(const char *like)
{
	bool sha512 = like && strncmp(like, "sha512:", 7) == 0;
	struct hasher *h = xcalloc(1, sizeof *h);

	h->algorithm = sha512 ? "sha512" : "sha256";
	h->ctx = EVP_MD_CTX_new();
	must(h->ctx && EVP_DigestInit_ex(h->ctx, sha512 ? EVP_sha512() : EVP_sha256(), NULL));
	return h;
}

void hasher_add(struct hasher *h, const void *data, size_t len)
{
	must(EVP_DigestUpdate(h->ctx, data, len));
}

char *hasher_finish(struct hasher *h)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned len = 0;
	char *text;

	must(EVP_DigestFinal_ex(h->ctx, sum, &len));
	for (unsigned i = 0; i < len; i++)
		(void)snprintf(hex + (size_t)2 * i, 3, "%02x", sum[i]); /* always fits */
	text = xasprintf("%s:%s", h->algorithm, hex);
	hasher_free(h);
	return text;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

char *digest_of(const void *data, size_t len, const char *like)
{
	struct hasher *h = hasher_new(like);

	hasher_add(h, data, len);
	return hasher_finish(h);
}
