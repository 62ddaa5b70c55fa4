/* What the unit tests of the store share: a directory for each test, and short ways to use a store in it. */
#include <sys/stat.h>
#include <unistd.h>
#include "acms/store.h"
#include "unit.h"

#define OWN STR("fire.example")
#define HOME STR("police.example")

static char directory[64];

static inline int make_directory(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/acx-unit-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static inline int remove_directory(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static inline struct store *open_as(enum store_mode mode, uint64_t map)
{
	struct store *s = NULL;
	struct error e = { OK, "" };
	if (store_open(directory, OWN, map, mode, &s, &e) != OK)
		fail_msg("%s", e.text);
	return s;
}

static inline struct store_txn *writing(struct store *s)
{
	struct store_txn *t = NULL;
	assert_int_equal(store_begin_write(s, &t, NULL), OK);
	return t;
}

static inline struct store_txn *reading(struct store *s)
{
	struct store_txn *t = NULL;
	assert_int_equal(store_begin_read(s, &t, NULL), OK);
	return t;
}

static inline void put_user(struct store_txn *t, struct arena *a, struct str home, const char *mc_id, uint64_t revision)
{
	struct user_service_id id = { MC_SERVICE_MCPTT, str_of(arena_printf(a, "sip:%s", mc_id)) };
	struct user_record r = { revision, &id, 1, 5, 6, { "by" }, { 0, 0 } };
	struct owner_record owner = { home, str_of(mc_id) };
	store_put_user(t, a, STORE_USERS, home, str_of(mc_id), NULL, &r);
	store_put_owner(t, a, id.mc_service_id, &owner);
}

/* The revision of a user, in a transaction of its own; 0: not there. */
static inline uint64_t revision_of(struct store *s, struct str home, const char *mc_id)
{
	struct arena *a = arena_new(0);
	struct store_txn *t = reading(s);
	struct user_record r = { .revision = 0 };
	bool found = store_get_user(t, a, STORE_USERS, home, str_of(mc_id), &r);
	assert_int_equal(store_status(t), OK);
	store_abort(t);
	arena_free(a);
	return found ? r.revision : 0;
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
