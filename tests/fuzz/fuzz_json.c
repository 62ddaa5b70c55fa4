// needs: common/users_file.c common/when.c common/users_csv.c common/users_json.c common/json.c
// needs: common/identity.c common/text.c common/arena.c
/* A JSON file of users, or one whose format is guessed: whatever it holds, it is read or explained. */
#include "tests/fuzz/fuzz_users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_users(data, size, USERS_JSON);
	fuzz_users(data, size, USERS_GUESS);
	return 0;
}
