#ifndef ACX_USERS_FILE_H
#define ACX_USERS_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include "common/arena.h"
#include "common/setup.h"

/*
 * Users from a CSV or JSON file, or from the command line. Everything wrong is written as a line
 * "NAME:LINE: reason", and counted; reading goes on after it.
 */

enum users_format { USERS_CSV, USERS_JSON, USERS_GUESS /* JSON if it begins with { or [ */ };

struct users_user {
	struct str mc_id;
	unsigned line;
	size_t first, n; /* its MC service IDs, in struct users */
	uint64_t revision; /* 0: not given */
	struct str home;   /* of acms users export; STR_NONE: not given */
	struct validity validity;
};

struct users {
	struct arena *arena;    /* that texts live in, if they were read */
	const char *name;       /* of the file, for mistakes */
	FILE *mistakes;
	uint64_t now_ms;        /* that relative times count from */
	size_t n_mistakes;
	struct users_user *items;
	size_t n, room;
	struct users_id {
		struct str mc_id;
		struct user_service_id id; /* canonical once checked */
		unsigned line;
	} *ids;
	size_t n_ids, room_ids;
	size_t n_read;          /* all that were added */
	/* NULL, or called after each user of a file, so that it can be taken away (users_clear, users_swap). */
	void (*each)(void *context, struct users *u);
	void *context;
};

/* mistakes: where to. arena: owned by the caller, outlives the users. */
void users_init(struct users *u, struct arena *arena, const char *name, FILE *mistakes);
void users_free(struct users *u);

void users_read(struct users *u, FILE *in, enum users_format format);
/* "MC_ID[,mcptt=URI][,mcvideo=URI][,mcdata=URI]...", which is borrowed. */
void users_add_argument(struct users *u, const char *argument, unsigned position);
/* All three below; call it once, at the end. True: there was no mistake at all. */
bool users_check(struct users *u);
/* What can be said of each user alone: of MC IDs and validities; of MC service IDs, which are put in canonical form. */
void users_check_mc_ids(struct users *u);
void users_check_service_ids(struct users *u);
/* Nobody is there twice; after the others. */
void users_check_unique(struct users *u);
/* Takes all users away, and all texts from their arena. */
void users_clear(struct users *u);
/* Exchanges the users of both, and the arenas with their texts; all else stays. */
void users_swap(struct users *a, struct users *b);

/* For the readers of the formats. Texts are borrowed: they are in the arena, or stay as long as the users. */
void users_end(struct users *u); /* of a user, or of one that could not be read */
void users_add(struct users *u, unsigned line, struct str mc_id);
void users_add_id(struct users *u, unsigned line, int service, struct str mc_service_id);
/* Of the last user: from 1. Empty texts: not given. */
void users_set_revision(struct users *u, unsigned line, struct str text);
enum users_bound { USERS_NOT_BEFORE, USERS_NOT_AFTER };
void users_set_bound(struct users *u, unsigned line, enum users_bound bound, struct str text);
void users_mistake(struct users *u, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void users_read_csv(struct users *u, FILE *in);
void users_read_json(struct users *u, FILE *in);

#endif
