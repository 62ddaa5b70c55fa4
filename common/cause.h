#ifndef ACX_CAUSE_H
#define ACX_CAUSE_H

#include "common/str.h"

/* PROTOCOL.md 7. One table in cause.c; the numbers are those of acx.proto. */
#define CAUSES(X)                                                                          \
	X(NO_CAUSE, 0, FINAL, "done")                                                      \
	X(ACMC_NOT_AUTHORISED, 101, FINAL, "the ACMC may not set up users")                \
	X(HOME_ACMC_ID_NOT_BOUND, 102, FINAL,                                              \
	  "the Home ACMC ID is not bound to the ACMC's certificate")                       \
	X(TARGET_NOT_PERMITTED, 103, FINAL, "the ACMC may not address this partner")       \
	X(IDENTITY_NOT_PERMITTED, 104, FINAL, "the ACMC may not send these identities")    \
	X(HOME_SYSTEM_NOT_AUTHORISED, 105, FINAL,                                          \
	  "the home system may not set up users at this partner")                          \
	X(OUTSIDE_NAMESPACE, 106, FINAL,                                                   \
	  "identities outside the home system's namespace at this partner")                \
	X(OPERATION_NOT_PERMITTED, 107, FINAL, "this operation is not permitted")          \
	X(REJECTED, 108, FINAL, "an administrator of the partner rejected it")             \
	X(APPROVAL_TIMEOUT, 109, FINAL, "the partner's administrators did not decide in time") \
	X(MISSING_ELEMENT, 201, FINAL, "a mandatory element is missing")                   \
	X(INVALID_MC_ID, 202, FINAL, "not a valid MC ID")                                  \
	X(INVALID_MC_SERVICE_ID, 203, FINAL, "not a valid MC service ID")                  \
	X(INVALID_HOME_ACMC_ID, 204, FINAL, "not a valid Home ACMC ID")                    \
	X(DUPLICATE_IDENTITY, 205, FINAL, "given more than once")                          \
	X(UNPAIRED_MC_SERVICE_ID, 206, FINAL, "its MC ID is not in the MC ID list")        \
	X(UNKNOWN_MC_SERVICE, 207, FINAL, "unknown MC service")                            \
	X(TOO_MANY_IDENTITIES, 208, FINAL, "more identities than the receiver takes")      \
	X(REQUEST_ID_REUSED, 209, FINAL, "the request ID was used for other content")      \
	X(UNSUPPORTED_ELEMENT, 210, FINAL, "an element that the receiver does not know")   \
	X(REQUEST_EXPIRED, 211, FINAL, "the request came after its expiry, or the clocks disagree") \
	X(INVALID_VALIDITY, 212, FINAL, "a validity window that is empty or past")         \
	X(UNKNOWN_TARGET, 301, FINAL, "no such partner system is configured")              \
	X(DUPLICATE_TARGET, 302, FINAL, "the MC system ID is named more than once")        \
	X(TARGET_IS_OWN_SYSTEM, 303, FINAL, "the target is the home system itself")        \
	X(INVALID_TARGET, 304, FINAL, "not a valid MC system ID")                          \
	X(WRONG_TARGET, 305, FINAL, "not addressed to this MC system alone")               \
	X(MC_SERVICE_ID_IN_USE, 401, FINAL, "the MC service ID belongs to another user")   \
	X(USER_QUOTA_EXCEEDED, 402, FINAL, "more users than the partner allows")           \
	X(UNKNOWN_USER, 403, FINAL, "no such user of this home system")                    \
	X(REVISION_MISMATCH, 404, FINAL, "the user was changed since; look at it again")   \
	X(PARTLY_DONE, 405, FINAL, "done for the other users")                             \
	X(UNKNOWN_REQUEST, 406, FINAL, "no such request")                                  \
	X(TOO_MANY_IN_FLIGHT, 501, TRANSIENT, "too many requests at once")                 \
	X(STORE_UNAVAILABLE, 502, TRANSIENT, "the partner's store cannot take it now")     \
	X(SHUTTING_DOWN, 503, TRANSIENT, "the server is shutting down")                    \
	X(TOO_MANY_PENDING, 504, TRANSIENT, "too many requests wait for approval")         \
	X(TOO_MANY_ANSWERS, 505, TRANSIENT, "too many answers are kept for the home system") \
	X(PARTNER_UNREACHABLE, 601, TRANSIENT, "partner not reached, nothing was sent")    \
	X(PARTNER_TIMEOUT, 602, UNKNOWN, "no answer from the partner in time")             \
	X(PARTNER_CONNECTION_LOST, 603, UNKNOWN, "connection lost before the answer")      \
	X(PARTNER_PROTOCOL_ERROR, 604, UNKNOWN, "the partner's answer was not valid")      \
	X(PARTNER_LIMIT, 605, FINAL, "more than the partner takes in one request")         \
	X(PARTNER_VERSION, 606, FINAL, "the partner's software does not know this operation") \
	X(GOING_AWAY, 700, CLOSE, "orderly end")                                           \
	X(UNSUPPORTED_VERSION, 701, CLOSE, "no protocol version in common")                \
	X(UNEXPECTED_MESSAGE, 702, CLOSE, "a message out of place")                        \
	X(FRAME_TOO_LARGE, 703, CLOSE, "the frame is too large")                           \
	X(MALFORMED_MESSAGE, 704, CLOSE, "the message is malformed")                       \
	X(MC_SYSTEM_ID_MISMATCH, 705, CLOSE, "not the MC system that was expected")        \
	X(IDLE_TIMEOUT, 706, CLOSE, "idle for too long")                                   \
	X(FRAME_TIMEOUT, 707, CLOSE, "the frame took too long to arrive")                  \
	X(TOO_MANY_CONNECTIONS, 708, CLOSE, "too many connections")                        \
	X(NO_LONGER_AUTHORISED, 709, CLOSE, "no longer authorised")

enum cause {
#define X(name, number, kind, text) CAUSE_##name = (number),
	CAUSES(X)
#undef X
};

enum cause_kind {
	CAUSE_KIND_FINAL,     /* repeating does not help until somebody changes something */
	CAUSE_KIND_TRANSIENT, /* may succeed later */
	CAUSE_KIND_UNKNOWN,   /* may or may not have been done: repeat with the same request ID */
	CAUSE_KIND_CLOSE,     /* says why a connection ends */
};

/* "MC_SERVICE_ID_IN_USE"; for a number that is not in the table "UNKNOWN_CAUSE". Static. */
const char *cause_name(enum cause cause);
/* The same for people, who need the number where there is no name: "UNKNOWN_CAUSE 499". Static, or in text. */
enum { CAUSE_LABEL_SIZE = 32 };
const char *cause_label(enum cause cause, char text[CAUSE_LABEL_SIZE]);
/* What it means, for people. Static. */
const char *cause_text(enum cause cause);
/* By class (PROTOCOL.md 7) for a number that is not in the table. */
enum cause_kind cause_kind(enum cause cause);
const char *cause_kind_name(enum cause_kind kind);

#endif
