#include "common/crypto.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* Fetched once: EVP_sha256() has OpenSSL 3 look for its implementation each time. NULL: there was none. */
static EVP_MD *sha256;
static pthread_key_t own_context; /* each thread's, so that a digest of few bytes allocates nothing */
static bool has_own_contexts;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_context(void *context)
{
	EVP_MD_CTX_free(context);
}

static void prepare(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	has_own_contexts = pthread_key_create(&own_context, free_context) == 0;
}

/* NULL: out of memory. */
static EVP_MD_CTX *context_of_thread(void)
{
	pthread_once(&once, prepare);
	EVP_MD_CTX *context = has_own_contexts ? pthread_getspecific(own_context) : NULL;
	if (context || !has_own_contexts)
		return context;
	context = EVP_MD_CTX_new();
	if (context && pthread_setspecific(own_context, context) == 0)
		return context;
	EVP_MD_CTX_free(context);
	return NULL;
}

enum status crypto_sha256(struct str data, uint8_t digest[32])
{
	EVP_MD_CTX *context = context_of_thread();
	bool good = context && sha256 && EVP_DigestInit_ex(context, sha256, NULL) == 1 &&
		    EVP_DigestUpdate(context, data.ptr, data.len) == 1 &&
		    EVP_DigestFinal_ex(context, digest, NULL) == 1;
	return good ? OK : ERR_SYSTEM;
}

struct crypto_sum {
	EVP_MD_CTX *context;
	bool bad;
};

static bool sum_start(struct crypto_sum *sum)
{
	pthread_once(&once, prepare);
	sum->bad = !sha256 || EVP_DigestInit_ex(sum->context, sha256, NULL) != 1;
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

enum status crypto_sha256_parts(const struct str *parts, size_t n, uint8_t digest[32])
{
	EVP_MD_CTX *context = context_of_thread();
	bool good = context && sha256 && EVP_DigestInit_ex(context, sha256, NULL) == 1;
	for (size_t i = 0; good && i < n; i++)
		good = EVP_DigestUpdate(context, parts[i].ptr, parts[i].len) == 1;
	return good && EVP_DigestFinal_ex(context, digest, NULL) == 1 ? OK : ERR_SYSTEM;
}

enum status crypto_random(uint8_t *out, size_t n)
{
	return RAND_bytes(out, (int)n) == 1 ? OK : ERR_SYSTEM;
}
