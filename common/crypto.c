#include "common/crypto.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

enum status crypto_sha256(struct str data, uint8_t digest[32])
{
	return EVP_Digest(data.ptr, data.len, digest, NULL, EVP_sha256(), NULL) == 1 ? OK :
										       ERR_SYSTEM;
}

enum status crypto_random(uint8_t *out, size_t n)
{
	return RAND_bytes(out, (int)n) == 1 ? OK : ERR_SYSTEM;
}
