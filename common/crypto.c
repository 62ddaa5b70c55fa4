#include "common/crypto.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum status crypto_sha256(struct str data, uint8_t digest[32])
{
	return EVP_Digest(data.ptr, data.len, digest, NULL, EVP_sha256(), NULL) == 1 ? OK :
										       ERR_SYSTEM;
}

static const EVP_MD *fetched;

static void fetch(void)
{
	fetched = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

/* Looking an algorithm up takes OpenSSL longer than hashing a hundred bytes: done once. NULL: it failed. */
static const EVP_MD *sha256(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, fetch);
	return fetched;
}

enum status crypto_sha256_parts(const struct str *parts, size_t n, uint8_t digest[32])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool good = c && sha256() && EVP_DigestInit_ex(c, sha256(), NULL) == 1;
	for (size_t i = 0; good && i < n; i++)
		good = EVP_DigestUpdate(c, parts[i].ptr, parts[i].len) == 1;
	good = good && EVP_DigestFinal_ex(c, digest, NULL) == 1;
	EVP_MD_CTX_free(c);
	return good ? OK : ERR_SYSTEM;
}

struct crypto_sum {
	EVP_MD_CTX *context;
	bool bad;
};

static bool sum_start(struct crypto_sum *sum)
{
	sum->bad = EVP_DigestInit_ex(sum->context, EVP_sha256(), NULL) != 1;
	return !sum->bad;
}

struct crypto_sum *crypto_sum_new(void)
{
	struct crypto_sum *sum = calloc(1, sizeof *sum);
	if (sum && (sum->context = EVP_MD_CTX_new()) && sum_start(sum))
		return sum;
	crypto_sum_free(sum);
	return NULL;
}

struct crypto_sum *crypto_sum_copy(const struct crypto_sum *sum)
{
	struct crypto_sum *copy = sum ? crypto_sum_new() : NULL;
	if (copy)
		copy->bad = sum->bad || EVP_MD_CTX_copy_ex(copy->context, sum->context) != 1;
	return copy;
}

void crypto_sum_add(struct crypto_sum *sum, const void *data, size_t n)
{
	sum->bad |= EVP_DigestUpdate(sum->context, data, n) != 1;
}

enum status crypto_sum_end(struct crypto_sum *sum, uint8_t digest[32])
{
	bool good = !sum->bad && EVP_DigestFinal_ex(sum->context, digest, NULL) == 1;
	return sum_start(sum) && good ? OK : ERR_SYSTEM;
}

void crypto_sum_free(struct crypto_sum *sum)
{
	if (!sum)
		return;
	EVP_MD_CTX_free(sum->context);
	free(sum);
}

enum status crypto_random(uint8_t *out, size_t n)
{
	return RAND_bytes(out, (int)n) == 1 ? OK : ERR_SYSTEM;
}
