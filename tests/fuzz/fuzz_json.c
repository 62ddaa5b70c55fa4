// needs: common/users_file.c common/users_csv.c common/users_json.c common/json.c common/identity.c common/text.c common/arena.c
#include <stdlib.h>
#include "common/users_file.h"

/* Whatever is read without a mistake is users with valid identities. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	FILE *in = fmemopen((void *)data, size ? size : 1, "r"), *nowhere = fopen("/dev/null", "w");
	struct users u;
	if (!a || !in || !nowhere)
		abort();
	users_init(&u, a, "fuzz", nowhere);
	users_read(&u, in, USERS_JSON);
	if (users_check(&u)) {
		for (size_t i = 0; i < u.n; i++) {
			if (!mc_id_valid(u.items[i].mc_id))
				abort();
		}
	}
	users_free(&u);
	fclose(in);
	fclose(nowhere);
	arena_free(a);
	return 0;
}
