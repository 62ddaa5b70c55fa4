#ifndef ACX_IDENTITY_H
#define ACX_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include "common/arena.h"
#include "common/str.h"

/* Identities and their canonical forms (PROTOCOL.md 5.1, 5.2; TS 23.280 8.1). Pure. */

enum {
	MC_SYSTEM_ID_MAX = 253,
	MC_ID_MAX = 255,
	MC_SERVICE_ID_MAX = 255,
	REQUEST_ID_SIZE = 16,
	REQUEST_ID_TEXT_SIZE = 37, /* as a UUID, with the NUL */
};

enum mc_service { MC_SERVICE_NONE = 0, MC_SERVICE_MCPTT = 1, MC_SERVICE_MCVIDEO = 2, MC_SERVICE_MCDATA = 3 };

struct request_id {
	uint8_t bytes[REQUEST_ID_SIZE];
};

bool mc_system_id_valid(struct str id);
bool mc_id_valid(struct str id);

/*
 * The canonical form of an MC service ID or Home ACMC ID, in *out: the input itself if it is canonical
 * already, else from the arena. False: not valid, *out is as it was, and *reason (static, may be NULL) says why;
 * or the arena is spent, and out->ptr is NULL.
 */
bool mc_service_id_canonical(struct arena *a, struct str id, struct str *out, const char **reason);
/*
 * Whether an MC service ID is a sip: or sips: URI that is canonical as it stands, with nothing escaped: so nearly all
 * come, and it takes one pass. False says nothing yet. *domain: that of the last one found plain, which is not checked
 * again, since many have the same one after the other; STR_NONE to begin with, and borrowed from the IDs then.
 */
bool mc_service_id_is_plain(struct str id, struct str *domain);
/* The host of a canonical sip: or sips: URI; STR_NONE for tel:. */
struct str mc_service_id_domain(struct str canonical);

/* "mcptt", "mcvideo", "mcdata"; NULL for no service of ours. Static. */
const char *mc_service_name(int service);
/* 0 if the name is not one. Case-insensitive. */
int mc_service_from_name(struct str name);

/* A UUID of version 7 (RFC 9562) from a time and 10 random bytes. */
struct request_id request_id_make(uint64_t unix_ms, const uint8_t random[10]);
/* The ID of part k of a command (PROTOCOL.md 5.5). */
struct request_id request_id_part(struct request_id base, uint32_t k);
void request_id_format(struct request_id id, char text[REQUEST_ID_TEXT_SIZE]);
/* Takes a UUID with its hyphens or 32 hexadecimal digits. */
bool request_id_parse(struct str text, struct request_id *out);

#endif
