#ifndef ACX_CRYPTO_H
#define ACX_CRYPTO_H

#include <stddef.h>
#include <stdint.h>
#include "common/error.h"
#include "common/str.h"

/* Digests and random bytes, by OpenSSL's libcrypto. */
enum status crypto_sha256(struct str data, uint8_t digest[32]);
enum status crypto_random(uint8_t *out, size_t n);

#endif
