#ifndef ACMS_PARTNER_H
#define ACMS_PARTNER_H

#include "acms/commit.h"
#include "acms/server.h"

/* What partner.c, approval.c and sweep.c share about requests of home systems. Loop thread only. */

/*
 * A well-formed setup, judged by a home system's rules of now (PROTOCOL.md 5.4 d), for the committer. All but what the
 * setup points to is copied into the arena. A target that is not ours is in out->denied like all else. False: the arena
 * is spent.
 */
bool partner_judge(struct arena *a, const struct partner_rule *home, struct str own,
		   const struct setup *setup, struct commit_setup *out);

/* The response to tell a home system, but for its receipt. Borrowed. */
void partner_response(struct server *s, const struct setup *setup, const struct commit_answer *answer,
		      struct setup_response *out);

/* A response on its way to a home system. Embedded; its owner has it again once tell() is called. */
struct partner_telling {
	struct notary_item item; /* first */
	struct setup_response response;
	/* NULL: no memory, or no signature (logged): the home system has to ask again. Borrowed for the call. */
	void (*tell)(struct partner_telling *t, const struct setup_response *response);
};

/*
 * Has the response told with its receipt: at once if there is nothing to certify, otherwise once it is signed with what
 * else the committer hands back now. What is told was on disk before. What setup and answer live in must last until then;
 * t->tell is to be set before.
 */
void partner_tell(struct server *s, struct partner_telling *t, const struct setup *setup, struct str home,
		  const struct commit_answer *answer);

/* Sends the answer to a request that waited for a decision to whatever connections the home system has. */
void partner_push(struct server *s, const struct setup_response *response, struct str home);

/* --- approval.c --- */

/* Tells the ACMCs that follow: a request waits for a decision. */
void approval_tell(struct server *s, struct str home, const struct setup *setup,
		   uint64_t received_ms, uint64_t until_ms);
/* At the server's end. */
void approval_free(struct server *s);

/* --- sweep.c --- */

/* Submits a sweep of the store every second. NULL: out of memory. */
struct sweeper *sweeper_new(struct server *s);
/* A request has to be decided about by then. */
void sweeper_expect(struct sweeper *w, uint64_t decide_until_ms);
/* When the committer has stopped. NULL is fine. */
void sweeper_free(struct sweeper *w);

#endif
