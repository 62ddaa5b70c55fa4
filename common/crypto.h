#ifndef ACX_CRYPTO_H
#define ACX_CRYPTO_H

#include <stddef.h>
#include <stdint.h>
#include "common/error.h"
#include "common/str.h"

/* Digests and random bytes, by OpenSSL's libcrypto. */
enum status crypto_sha256(struct str data, uint8_t digest[32]);
/* Of the parts one behind the other. */
enum status crypto_sha256_parts(const struct str *parts, size_t n, uint8_t digest[32]);
/* A SHA-256 in pieces. After a failure crypto_sum_end fails. NULL: out of memory. */
struct crypto_sum;
struct crypto_sum *crypto_sum_new(void);
void crypto_sum_add(struct crypto_sum *sum, const void *data, size_t n);
/* The digest of what was added; it starts anew then. */
enum status crypto_sum_end(struct crypto_sum *sum, uint8_t digest[32]);
void crypto_sum_free(struct crypto_sum *sum); /* NULL is fine */
enum status crypto_random(uint8_t *out, size_t n);

#endif
