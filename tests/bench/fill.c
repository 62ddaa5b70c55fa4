/*
 * Fills the store of BENCH_PARTNER, or that of BENCH_HOME beside it, with users (users.h: 0 to --users - 1), through the
 * project's own records and transactions: what an acms has in its store that was asked for all of them in requests of
 * REQUEST_USERS, so long ago that it has forgotten requests and answers. The audit log has them all, and its chain is whole.
 *
 * Entries go in in key order, each behind the last, so pages are full, as after an import of sorted users: nearly every
 * scattered user that comes later has to split one.
 */
#include <argp.h>
#include <string.h>
#include "acms/store_internal.h"
#include "tests/bench/measure.h"
#include "tests/bench/users.h"

enum { REQUEST_USERS = 1000, COMMIT_USERS = 20000, COMMIT_REQUESTS = 500 };
#define MAP_BYTES ((uint64_t)64 << 30)
#define AGO_MS ((uint64_t)60 * 24 * 3600 * 1000)

static const struct str home_name = { BENCH_HOME, sizeof BENCH_HOME - 1 };
static const struct str partner_name = { BENCH_PARTNER, sizeof BENCH_PARTNER - 1 };

static struct {
	const char *directory;
	bool at_home;
	uint64_t users;
} o;

static struct store *store;
static struct store_txn *txn;
static struct arena *scratch;
static uint64_t asked_ms; /* when the first request came; the others a millisecond each later */

static void die(const char *what)
{
	fprintf(stderr, "fill: %s\n", what);
	exit(1);
}

static void check(int rc)
{
	if (rc != 0)
		die(mdb_strerror(rc));
}

static void begin(void)
{
	struct error e;
	if (store_begin_write(store, &txn, &e) != OK)
		die(e.text);
}

static void commit(void)
{
	struct error e;
	if (store_commit(txn, &e) != OK)
		die(e.text);
}

static void commit_each(uint64_t done, uint64_t most)
{
	if (done % most != 0)
		return;
	commit();
	begin();
}

static struct request_id request_of(uint64_t user)
{
	uint64_t n = user / REQUEST_USERS;
	uint8_t random[10] = { 0 };
	for (size_t i = 0; i < 8; i++)
		random[2 + i] = (uint8_t)(n >> (56 - 8 * i));
	return request_id_make(asked_ms + n, random);
}

/* --- the users --- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Their names in key order; in the lower half of each the number that bench_user() knows it by. */
static uint64_t *names_sorted(uint64_t first, uint64_t n)
{
	uint64_t *names = calloc(n + 1, sizeof *names);
	if (!names)
		die("out of memory");
	for (uint64_t i = 0; i < n; i++)
		names[i] = (uint64_t)bench_scatter((uint32_t)(first + i)) << 32 | (first + i);
	qsort(names, n, sizeof *names, compare);
	return names;
}

static void put_user(const struct bench_user *u, uint64_t user)
{
	char key[KEY_MAX];
	struct user_service_id ids[BENCH_SERVICES];
	uint64_t at = asked_ms + user / REQUEST_USERS;
	struct user_record r = { .revision = 1, .service_ids = ids, .n_service_ids = BENCH_SERVICES, .created_ms = at,
				 .changed_ms = at, .by = request_of(user) };
	for (int s = 0; s < BENCH_SERVICES; s++)
		ids[s] = (struct user_service_id){ (enum mc_service)(s + 1), str_of(u->service_ids[s]) };
	txn_put(txn, o.at_home ? DB_BELIEVED : DB_USERS,
		key_join(key, o.at_home ? partner_name : home_name, str_of(u->mc_id)), record_encode_user(scratch, &r),
		MDB_APPEND);
}

static void put_owners(const struct bench_user *u)
{
	static const int in_key_order[BENCH_SERVICES] = { 2, 0, 1 }; /* mcdata, mcptt, mcvideo */
	struct owner_record owner = { home_name, str_of(u->mc_id) };
	for (int i = 0; i < BENCH_SERVICES; i++)
		txn_put(txn, DB_SERVICE_IDS, key_of_str(str_of(u->service_ids[in_key_order[i]])),
			record_encode_owner(scratch, &owner), MDB_APPEND);
}

static void put_users(void)
{
	uint64_t *names = names_sorted(0, o.users);
	begin();
	for (uint64_t i = 0; i < o.users; i++) {
		struct bench_user u;
		uint64_t user = names[i] & UINT32_MAX;
		bench_user(&u, user, 1);
		put_user(&u, user);
		if (!o.at_home)
			put_owners(&u);
		arena_reset(scratch);
		commit_each(i + 1, COMMIT_USERS);
	}
	commit();
	free(names);
}

/* --- the audit log --- */

static void put_audit(enum audit_action action, uint64_t first, const struct str *mc_ids, uint64_t n)
{
	bool setup = action == AUDIT_SETUP;
	struct audit_record r = { .at_ms = asked_ms + first / REQUEST_USERS,
				  .action = action,
				  .home = home_name,
				  .certificate = STR("DNS:bench SHA256:none"),
				  .request = request_of(first),
				  .mc_ids = mc_ids,
				  .n_mc_ids = n,
				  .created = setup ? n : 0,
				  .acmc = setup ? STR_NONE : STR("control-room"),
				  .targets = &partner_name,
				  .n_targets = !setup };
	store_append_audit(txn, scratch, &r);
	arena_reset(scratch);
}

static void put_request(uint64_t first, uint64_t n)
{
	static struct bench_user users[REQUEST_USERS];
	static struct str mc_ids[REQUEST_USERS];
	uint64_t *names = names_sorted(first, n);
	for (uint64_t i = 0; i < n; i++) {
		bench_user(&users[i], names[i] & UINT32_MAX, 1);
		mc_ids[i] = str_of(users[i].mc_id);
	}
	free(names);
	if (o.at_home) {
		put_audit(AUDIT_ASK, first, mc_ids, n);
		put_audit(AUDIT_ANSWER, first, mc_ids, n);
	} else {
		put_audit(AUDIT_SETUP, first, mc_ids, n);
	}
}

static void put_requests(void)
{
	begin();
	for (uint64_t i = 0; i < o.users; i += REQUEST_USERS) {
		put_request(i, o.users - i < REQUEST_USERS ? o.users - i : REQUEST_USERS);
		commit_each(i / REQUEST_USERS + 1, COMMIT_REQUESTS);
	}
	if (!o.at_home)
		store_put_system(txn, scratch, home_name,
				 &(struct system_record){ .users_held = o.users, .token_issuer = STR_NONE });
	commit();
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'd': o.directory = arg; return 0;
	case 'u': o.users = strtoull(arg, NULL, 10); return 0;
	case ARGP_KEY_ARG:
		o.at_home = strcmp(arg, "home") == 0;
		return o.at_home || strcmp(arg, "partner") == 0 ? 0 : ARGP_ERR_UNKNOWN;
	case ARGP_KEY_END:
		if (!o.directory || o.users == 0 || o.users > UINT32_MAX)
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "directory", 'd', "DIRECTORY", 0, "Of the store, empty", 0 },
		{ "users", 'u', "N", 0, NULL, 0 },
		{ 0 },
	};
	struct error e;
	uint64_t start_ns = now_ns();
	argp_parse(&(struct argp){ options, parse, "home|partner", NULL, NULL, NULL, NULL }, argc, argv, 0, NULL, NULL);
	asked_ms = (uint64_t)time(NULL) * 1000 - AGO_MS;
	scratch = arena_new(0);
	if (!scratch)
		die("out of memory");
	if (store_open(o.directory, o.at_home ? home_name : partner_name, MAP_BYTES, STORE_WRITE, &store, &e) != OK)
		die(e.text);
	check(mdb_env_set_flags(store->env, MDB_NOSYNC, 1)); /* half of it is of no use to anybody */
	put_users();
	put_requests();
	check(mdb_env_sync(store->env, 1));
	store_close(store);
	arena_free(scratch);
	report(o.users, 0, now_ns() - start_ns, NULL, "");
	return 0;
}
