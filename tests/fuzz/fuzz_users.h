#ifndef ACX_FUZZ_USERS_H
#define ACX_FUZZ_USERS_H

#include <stdint.h>
#include <stdlib.h>
#include "common/text.h"
#include "common/users_file.h"

/* What holds for every list of users that passed its checks. */
static void check_users(const struct users *u)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct users_user *user = &u->items[i];
		if (!mc_id_valid(user->mc_id) || user->first + user->n > u->n_ids)
			abort();
		for (size_t j = user->first; j < user->first + user->n; j++) {
			if (!str_eq(u->ids[j].mc_id, user->mc_id) || !mc_service_name((int)u->ids[j].id.service))
				abort();
		}
	}
}

/* Mistakes are counted, one a line, and safe to show. */
static void check_mistakes(const struct users *u, struct str text)
{
	size_t lines = 0;
	for (size_t i = 0; i < text.len; i++)
		lines += text.ptr[i] == '\n';
	if (lines != u->n_mistakes || !text_valid(text) || memchr(text.ptr, 0x1B, text.len))
		abort();
}

static void fuzz_users(const uint8_t *data, size_t size, enum users_format format)
{
	struct users u;
	char *text = NULL;
	size_t length = 0;
	FILE *in = size ? fmemopen((void *)data, size, "r") : fopen("/dev/null", "r");
	FILE *out = open_memstream(&text, &length);
	struct arena *arena = arena_new(0);
	if (!in || !out || !arena)
		abort();
	users_init(&u, arena, "F", out);
	users_read(&u, in, format);
	if (users_check(&u))
		check_users(&u);
	fclose(out);
	check_mistakes(&u, (struct str){ text, length });
	users_free(&u);
	arena_free(arena);
	fclose(in);
	free(text);
}

#endif
