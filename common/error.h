#ifndef ACX_ERROR_H
#define ACX_ERROR_H

/*
 * The one way of reporting failure: a function returns a status, and one that can say more takes a
 * struct error, which it fills in only when it fails. The text says what, where and what to do.
 */
enum status {
	OK = 0,
	ERR_MEMORY,       /* out of memory, or an arena's budget is spent */
	ERR_SYSTEM,       /* a system call failed */
	ERR_INPUT,        /* malformed input */
	ERR_CONFIG,       /* the configuration is wrong */
	ERR_TLS,          /* certificates, keys, handshakes */
	ERR_STORE,        /* the store failed */
	ERR_STORE_FULL,   /* no room in the map or on the disk */
	ERR_STORE_VERSION,/* written by a version that this one cannot read */
	ERR_BUSY,         /* somebody else holds it */
	ERR_NOT_FOUND,
};

struct error {
	enum status status;
	char text[512];
};

/* Fills *e (may be NULL) and returns status. What does not fit is cut. */
enum status error_set(struct error *e, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "format: " before the text that is there, and returns e->status. e may be NULL. */
enum status error_prefix(struct error *e, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
