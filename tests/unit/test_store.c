// needs: acms/store.c acms/store_open.c acms/store_file.c acms/store_txn.c acms/store_requests.c acms/store_audit.c acms/store_lists.c acms/record.c acms/record_request.c acms/record_audit.c common/cbor.c common/identity.c common/text.c common/arena.c common/error.c common/crypto.c
#include <fcntl.h>
#include "common/crypto.h"
#include "store_raw.h"

/* The store by itself: what it opens, what it refuses, its transactions, its lists. */

static const char *path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	return path;
}

static void refused(enum store_mode mode, enum status status, const char *said)
{
	struct store *s;
	struct error e = { OK, "" };
	assert_int_equal(store_open(directory, OWN, 1 << 20, mode, &s, &e), status);
	assert_int_equal(e.status, status);
	assert_non_null(strstr(e.text, directory)); /* where */
	if (!strstr(e.text, said))
		fail_msg("%s", e.text);
}

/* --- opening --- */

static void directories(void **state)
{
	(void)state;
	char saved[sizeof directory];
	assert_int_equal(chmod(directory, 0755), 0);
	refused(STORE_SERVE, ERR_STORE, "chmod o-rwx");
	assert_int_equal(chmod(directory, 0700), 0);
	strcpy(saved, directory);
	strcat(directory, "/no");
	refused(STORE_SERVE, ERR_NOT_FOUND, "install -d -m 0700");
	close(open(directory, O_CREAT | O_WRONLY, 0600));
	refused(STORE_SERVE, ERR_STORE, "is not a directory");
	strcpy(directory, saved);
}

static void a_reader_makes_no_store(void **state)
{
	(void)state;
	refused(STORE_READ, ERR_NOT_FOUND, "there is no IdM store");
	assert_int_not_equal(access(path_of("data.mdb"), F_OK), 0);
}

static void made_for_its_owner_only(void **state)
{
	(void)state;
	static const char *const files[] = { "data.mdb", "lock.mdb", "acms.lock" };
	mode_t before = umask(0);
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	umask(before);
	for (size_t i = 0; i < 3; i++) {
		struct stat st;
		assert_int_equal(stat(path_of(files[i]), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	assert_str(store_mc_system_id(s), "fire.example");
	assert_false(store_broken(s));
	store_close(s);
	store_close(NULL);
	s = open_as(STORE_READ, 0); /* it is one now */
	assert_str(store_mc_system_id(s), "fire.example");
	store_close(s);
}

static void somebody_elses(void **state)
{
	(void)state;
	struct store *s;
	struct error e;
	store_close(open_as(STORE_SERVE, 1 << 20));
	assert_int_equal(store_open(directory, STR("rail.example"), 0, STORE_WRITE, &s, &e), ERR_STORE);
	assert_non_null(strstr(e.text, "fire.example"));
	assert_non_null(strstr(e.text, "rail.example"));
	assert_int_equal(store_open(directory, STR_NONE, 0, STORE_READ, &s, &e), OK); /* whosever it is */
	assert_str(store_mc_system_id(s), "fire.example");
	store_close(s);
}

static void a_foreign_environment_is_left_alone(void **state)
{
	(void)state;
	put_raw(NULL, "something", 9, STR("else"));
	refused(STORE_SERVE, ERR_NOT_FOUND, "there is no IdM store");
	refused(STORE_READ, ERR_NOT_FOUND, "there is no IdM store");
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_stat stat;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, directory, MDB_RDONLY, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_stat(txn, dbi, &stat), 0);
	assert_int_equal(stat.ms_entries, 1);
	mdb_txn_abort(txn);
	mdb_env_close(env);
}

static void newer_and_damaged_ones(void **state)
{
	(void)state;
	store_close(open_as(STORE_SERVE, 1 << 20));
	put_raw("meta", "schema", 6, STR("\x03"));
	refused(STORE_SERVE, ERR_STORE_VERSION, "schema version 3");
	refused(STORE_READ, ERR_STORE_VERSION, "newer acms");
	put_raw("meta", "schema", 6, STR("\x18\x01")); /* not the shortest form */
	refused(STORE_READ, ERR_STORE, "store ");
	put_raw("meta", "schema", 6, STR("\x01"));
	put_raw("meta", "mc_system_id", 12, STR("\xff"));
	refused(STORE_WRITE, ERR_STORE, "store ");
	int fd = open(path_of("data.mdb"), O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "no LMDB file at all", 19), 19);
	assert_int_equal(close(fd), 0);
	refused(STORE_SERVE, ERR_STORE, "cannot be opened");
}

/* A newer version may have renamed every other database. */
static void newer_with_other_databases(void **state)
{
	(void)state;
	put_raw("meta", "schema", 6, STR("\x03"));
	refused(STORE_SERVE, ERR_STORE_VERSION, "schema version 3");
	refused(STORE_READ, ERR_STORE_VERSION, "schema version 3");
}

/* --- records --- */

static void what_is_put_is_found(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct request_id id = { "request" };
	struct identity_cause cause = { STR("b"), STR_NONE, CAUSE_OUTSIDE_NAMESPACE };
	struct request_record request = { .answered_ms = 9, .cause = CAUSE_OUTSIDE_NAMESPACE,
					  .identities = &cause, .n_identities = 1 };
	struct user_record user = { .revision = 0 };
	struct owner_record owner;
	struct system_record system = { .users_held = 4, .token_issuer = STR("https://idms.police.example") };
	struct store_txn *t = writing(s);
	put_user(t, a, HOME, "b", 3);
	store_put_request(t, a, HOME, id, &request);
	store_put_system(t, a, HOME, &system);
	assert_true(store_get_user(t, a, STORE_USERS, HOME, STR("b"), &user)); /* before the commit, too */
	assert_int_equal(store_commit(t, NULL), OK);
	store_close(s);
	s = open_as(STORE_READ, 0);
	t = reading(s);
	assert_true(store_get_user(t, a, STORE_USERS, HOME, STR("b"), &user));
	assert_true(store_get_owner(t, a, STR("sip:b"), &owner));
	assert_true(store_get_request(t, a, HOME, id, &request));
	assert_true(store_get_system(t, a, HOME, &system));
	assert_false(store_get_user(t, a, STORE_USERS, STR("rail.example"), STR("b"), &user));
	assert_false(store_get_owner(t, a, STR("sip:c"), &owner));
	assert_false(store_get_request(t, a, OWN, id, &request));
	assert_false(store_get_system(t, a, OWN, &system));
	assert_int_equal(store_status(t), OK);
	store_abort(t);
	store_close(s); /* what was found does not live in the map */
	assert_int_equal(user.revision, 3);
	assert_int_equal(user.changed_ms, 6);
	assert_str(user.service_ids[0].mc_service_id, "sip:b");
	assert_str(owner.home, "police.example");
	assert_str(owner.mc_id, "b");
	assert_int_equal(request.identities[0].cause, CAUSE_OUTSIDE_NAMESPACE);
	assert_str(system.token_issuer, "https://idms.police.example");
	arena_free(a);
}

static void only_who_is_not_there_is_added(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct user_record first = { .revision = 1, .validity = { 0, 77 } }, second = { .revision = 2, .validity = { 0, 88 } };
	struct user_record found;
	struct store_txn *t = writing(s);
	assert_true(store_add_user(t, a, STORE_USERS, HOME, STR("a"), &first));
	assert_false(store_add_user(t, a, STORE_USERS, HOME, STR("a"), &second));
	assert_true(store_add_user(t, a, STORE_BELIEVED, HOME, STR("a"), &second)); /* another list */
	assert_int_equal(store_status(t), OK);
	assert_true(store_get_user(t, a, STORE_USERS, HOME, STR("a"), &found));
	assert_int_equal(found.revision, 1);
	store_put_user(t, a, STORE_USERS, HOME, STR("a"), &found, &second);
	store_delete_user(t, STORE_USERS, HOME, STR("a"), &second);
	assert_true(store_add_user(t, a, STORE_USERS, HOME, STR("a"), &first));
	assert_int_equal(store_commit(t, NULL), OK);
	assert_int_equal(revision_of(s, HOME, "a"), 1);
	arena_free(a);
	store_close(s);
}

static void owners_go(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct owner_record owner;
	struct store_txn *t = writing(s);
	put_user(t, a, HOME, "b", 1);
	store_delete_owner(t, STR("sip:b"));
	store_delete_owner(t, STR("sip:b")); /* gone already: fine */
	assert_false(store_get_owner(t, a, STR("sip:b"), &owner));
	assert_int_equal(store_commit(t, NULL), OK);
	t = reading(s);
	assert_false(store_get_owner(t, a, STR("sip:b"), &owner));
	store_abort(t);
	store_abort(NULL);
	arena_free(a);
	store_close(s);
}

static void an_abort_leaves_nothing(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct store_txn *t = writing(s);
	put_user(t, a, HOME, "b", 1);
	store_abort(t);
	assert_int_equal(revision_of(s, HOME, "b"), 0);
	arena_free(a);
	store_close(s);
}

/* A record that cannot be read fails the transaction, and nothing that it does counts. */
static void errors_stick(void **state)
{
	(void)state;
	store_close(open_as(STORE_SERVE, 1 << 20));
	put_raw("users", "police.example\0bad", 18, STR("\xa0"));
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct user_record user;
	struct owner_record owner;
	struct error e;
	struct store_txn *t = writing(s);
	put_user(t, a, HOME, "before", 1);
	assert_false(store_get_user(t, a, STORE_USERS, HOME, STR("bad"), &user));
	assert_int_equal(store_status(t), ERR_STORE);
	assert_false(store_get_user(t, a, STORE_USERS, HOME, STR("before"), &user));
	assert_false(store_get_owner(t, a, STR("sip:before"), &owner));
	put_user(t, a, HOME, "behind", 1);
	store_delete_owner(t, STR("sip:before"));
	store_append_audit(t, a, &(struct audit_record){ .action = AUDIT_SETUP });
	assert_int_equal(store_commit(t, &e), ERR_STORE);
	assert_non_null(strstr(e.text, "users: the record \"police.example\\x00bad\" cannot be read: user record"));
	assert_int_equal(revision_of(s, HOME, "before"), 0);
	assert_int_equal(revision_of(s, HOME, "behind"), 0);
	assert_false(store_broken(s)); /* other transactions are fine */
	t = writing(s);
	put_user(t, a, HOME, "behind", 2);
	assert_int_equal(store_commit(t, NULL), OK);
	assert_int_equal(revision_of(s, HOME, "behind"), 2);
	arena_free(a);
	store_close(s);
}

static void no_key_overflows(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	static char longest[MC_ID_MAX + 2];
	memset(longest, 'x', MC_ID_MAX);
	struct store_txn *t = writing(s);
	store_put_user(t, a, STORE_USERS, (struct str){ longest, MC_SYSTEM_ID_MAX }, str_of(longest), NULL, &(struct user_record){ .revision = 7 });
	assert_int_equal(store_commit(t, NULL), OK); /* LMDB takes keys of 511 bytes */
	assert_int_equal(revision_of(s, (struct str){ longest, MC_SYSTEM_ID_MAX }, longest), 7);
	longest[MC_ID_MAX] = 'x';
	t = writing(s);
	store_put_user(t, a, STORE_USERS, HOME, str_of(longest), NULL, &(struct user_record){ .revision = 7 });
	assert_int_equal(store_status(t), ERR_INPUT);
	store_abort(t);
	arena_free(a);
	store_close(s);
}

static bool none_there(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	(void)home, (void)r;
	assert_true(str_eq(mc_id, STR("z")));
	++*(int *)context;
	return true;
}

static bool no_request(void *context, struct str home, struct request_id id, const struct pending_record *r)
{
	(void)context, (void)home, (void)id, (void)r;
	fail_msg("nothing waits");
	return true;
}

/* Whoever asks for what cannot be there finds nothing; the transaction, which may be others' too, goes on. */
static void what_cannot_be_there_is_not_found(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct store_txn *t = writing(s);
	put_user(t, a, HOME, "b", 1);
	put_user(t, a, HOME, "z", 1);
	static const size_t lengths[] = { 0, MC_SYSTEM_ID_MAX + 1, MC_ID_MAX + 1, 300, 511, 512, 5000, 100000 };
	static char bytes[100000];
	memset(bytes, 'x', sizeof bytes);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		struct str key = { bytes, lengths[i] };
		struct request_id id = { { 0 } };
		int found = 0;
		assert_false(store_get_user(t, a, STORE_USERS, HOME, key, &(struct user_record){ 0 }));
		assert_false(store_get_user(t, a, STORE_BELIEVED, key, STR("b"), &(struct user_record){ 0 }));
		assert_false(store_get_owner(t, a, key, &(struct owner_record){ .home = STR_NONE }));
		assert_false(store_get_system(t, a, key, &(struct system_record){ 0 }));
		assert_false(store_get_request(t, a, key, id, &(struct request_record){ .answered_ms = 0 }));
		assert_false(store_get_pending(t, a, key, id, &(struct pending_record){ 0 }));
		assert_false(store_get_outbox(t, a, key, id, &(struct outbox_record){ 0 }));
		assert_false(store_get_answer(t, a, id, key, &(struct answer_record){ 0 }));
		assert_true(store_range_users(t, STORE_USERS, HOME, key.len ? key : STR("c"), STR_NONE, none_there, &found));
		assert_int_equal(found, 1); /* as bytes are compared, however long */
		assert_true(store_range_users(t, STORE_USERS, HOME, STR("c"), key, none_there, &found));
		assert_int_equal(found, 1);
		assert_true(store_range_users(t, STORE_USERS, key, STR("a"), STR_NONE, none_there, &found));
		assert_true(store_list_users(t, STORE_USERS, STR_NONE, &(struct user_key){ .home = HOME, .mc_id = key.len ? key : STR("c") },
					     none_there, &found));
		assert_int_equal(found, 2);
		assert_true(store_list_pending(t, HOME, &key, &id, no_request, NULL));
		assert_true(store_list_pending(t, key, NULL, NULL, no_request, NULL));
	}
	assert_int_equal(store_commit(t, NULL), OK);
	assert_int_equal(revision_of(s, HOME, "b"), 1);
	arena_free(a);
	store_close(s);
}

static void a_spent_arena_is_an_error(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0), *spent = arena_new(1);
	struct user_record user;
	struct store_txn *t = writing(s);
	put_user(t, a, HOME, "b", 1);
	assert_int_equal(store_commit(t, NULL), OK);
	t = reading(s);
	assert_false(store_get_user(t, spent, STORE_USERS, HOME, STR("b"), &user));
	assert_int_equal(store_commit(t, NULL), ERR_MEMORY); /* not: there is no such user */
	t = writing(s);
	store_put_system(t, spent, HOME, &(struct system_record){ .users_held = 1 });
	assert_int_not_equal(store_commit(t, NULL), OK);
	arena_free(spent);
	arena_free(a);
	store_close(s);
}

/* --- lists --- */

struct listing {
	char text[512];
	size_t stop_after;
};

static bool list_user(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct listing *l = context;
	size_t n = strlen(l->text);
	assert_int_equal(r->n_service_ids, 1);
	snprintf(l->text + n, sizeof l->text - n, "%.*s/%.*s ", STR_ARG(home), STR_ARG(mc_id));
	return l->stop_after == 0 || --l->stop_after > 0;
}

/* As many pages as it takes, each in a transaction of its own, going on behind the last user of the one before. */
struct pages {
	struct listing *listing;
	struct user_key last;
	char home[64], mc_id[64];
	size_t left;
	bool stopped;
};

static bool list_page(void *context, struct str home, struct str mc_id, const struct user_record *r)
{
	struct pages *p = context;
	if (p->left-- == 0) {
		p->stopped = true;
		return false;
	}
	memcpy(p->home, home.ptr, home.len);
	memcpy(p->mc_id, mc_id.ptr, mc_id.len);
	p->last = (struct user_key){ .home = { p->home, home.len }, .mc_id = { p->mc_id, mc_id.len } };
	return list_user(p->listing, home, mc_id, r);
}

static void listed(struct store *s, struct str home, size_t page, const char *expected)
{
	struct listing l = { "", 0 };
	struct pages p = { .listing = &l, .last = { .home = STR_NONE } };
	for (bool more = true; more;) {
		struct store_txn *t = reading(s);
		p.left = page;
		p.stopped = false;
		more = !store_list_users(t, STORE_USERS, home, &p.last, list_page, &p);
		assert_int_equal(store_status(t), OK);
		assert_int_equal(more, p.stopped);
		store_abort(t);
	}
	assert_string_equal(l.text, expected);
}

/* Homes that begin alike do not mix; pages neither skip nor repeat. */
static void users_by_home_and_page(void **state)
{
	(void)state;
	static const char all[] = "a.example/1 a.example/2 a.example-b.example/1 a.example.c.example/0 z.example/1 ";
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	listed(s, STR_NONE, 3, "");
	struct store_txn *t = writing(s);
	put_user(t, a, STR("a.example"), "2", 1);
	put_user(t, a, STR("a.example.c.example"), "0", 1);
	put_user(t, a, STR("a.example-b.example"), "1", 1);
	put_user(t, a, STR("z.example"), "1", 1);
	put_user(t, a, STR("a.example"), "1", 1);
	assert_int_equal(store_commit(t, NULL), OK);
	for (size_t page = 1; page < 8; page++) {
		listed(s, STR_NONE, page, all);
		listed(s, STR("a.example"), page, "a.example/1 a.example/2 ");
		listed(s, STR("a.exampl"), page, "");
		listed(s, STR("zz.example"), page, "");
	}
	struct user_key after = { .home = STR("a.example"), .mc_id = STR("1x") }; /* need not be there */
	struct listing l = { "", 1 };
	t = reading(s);
	assert_false(store_list_users(t, STORE_USERS, STR_NONE, &after, list_user, &l)); /* stopped by list_user */
	assert_string_equal(l.text, "a.example/2 ");
	store_abort(t);
	arena_free(a);
	store_close(s);
}

static bool list_system(void *context, struct str id, const struct system_record *r)
{
	struct listing *l = context;
	size_t n = strlen(l->text);
	snprintf(l->text + n, sizeof l->text - n, "%.*s=%d ", STR_ARG(id), (int)r->users_held);
	return l->stop_after == 0 || --l->stop_after > 0;
}

static void systems_in_order(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct listing all = { "", 0 }, one = { "", 1 };
	struct store_txn *t = writing(s);
	store_put_system(t, a, STR("b.example"), &(struct system_record){ .users_held = 2 });
	store_put_system(t, a, STR("a.example"), &(struct system_record){ .users_held = 1 });
	assert_true(store_list_systems(t, list_system, &all));
	assert_false(store_list_systems(t, list_system, &one));
	assert_int_equal(store_commit(t, NULL), OK);
	assert_string_equal(all.text, "a.example=1 b.example=2 ");
	assert_string_equal(one.text, "a.example=1 ");
	arena_free(a);
	store_close(s);
}

struct chain {
	uint8_t digest[DIGEST_SIZE];
	uint64_t number;
	struct arena *arena;
};

static bool check_link(void *context, uint64_t number, struct str value)
{
	struct chain *c = context;
	struct audit_record r;
	assert_int_equal(number, ++c->number);
	assert_int_equal(record_decode_audit(c->arena, value, &r, NULL), OK);
	assert_int_equal(r.at_ms, number * 10);
	assert_memory_equal(r.previous, c->digest, DIGEST_SIZE);
	assert_int_equal(crypto_sha256(value, c->digest), OK);
	return true;
}

static bool stop_at(void *context, uint64_t number, struct str value)
{
	struct chain *c = context;
	(void)value;
	c->number = number;
	return false;
}

static void the_audit_log_is_a_chain(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct arena *a = arena_new(0);
	struct str mc_id = STR("a");
	for (uint64_t i = 1; i <= 5; i++) {
		struct store_txn *t = writing(s);
		struct audit_record r = { .at_ms = i * 10, .action = AUDIT_SETUP, .home = HOME, .certificate = STR("DNS:a"),
					  .mc_ids = &mc_id, .n_mc_ids = 1 };
		store_append_audit(t, a, &r);
		r.at_ms = ++i * 10; /* two in one transaction */
		store_append_audit(t, a, &r);
		assert_int_equal(store_commit(t, NULL), OK);
	}
	struct chain c = { .arena = a };
	struct audit_head head;
	struct store_txn *t = reading(s);
	assert_true(store_list_audit(t, 1, check_link, &c));
	assert_int_equal(c.number, 6);
	assert_true(store_get_audit_head(t, &head));
	assert_int_equal(head.number, 6);
	assert_memory_equal(head.digest, c.digest, DIGEST_SIZE);
	c.number = 5;
	assert_false(store_list_audit(t, 6, stop_at, &c));
	assert_true(store_list_audit(t, 7, check_link, &c)); /* none */
	assert_int_equal(c.number, 6);
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

enum { MANY_IDS = 3000 };

static struct str many_id(char *buffer, unsigned i)
{
	return (struct str){ buffer, (size_t)sprintf(buffer, "sip:%05u.%.*s@police.example", i, (int)(i * 7 % 40),
						     "a-name-that-makes-pages-hold-unequal-numbers") };
}

/* What the store says of an ID is what was put last: version 0 is none. */
static void check_owner(struct store_txn *t, struct arena *a, unsigned i, unsigned version)
{
	char id[128], name[32];
	struct owner_record owner;
	bool found = store_get_owner(t, a, many_id(id, i), &owner);
	assert_int_equal(found, version > 0);
	if (!found)
		return;
	sprintf(name, "user%u", version);
	assert_str(owner.mc_id, name);
}

static void change_owner(struct store_txn *t, struct arena *a, unsigned i, unsigned version)
{
	char id[128], name[32];
	sprintf(name, "user%u", version);
	struct owner_record owner = { HOME, str_of(name) };
	if (version > 0)
		store_put_owner(t, a, many_id(id, i), &owner);
	else
		store_delete_owner(t, many_id(id, i));
}

/* A transaction stays on the page where it was: whatever order gets, puts and deletes come in, it must be the right one. */
static void any_order_of_gets_puts_and_deletes(void **state)
{
	(void)state;
	static unsigned now[MANY_IDS], before[MANY_IDS];
	struct store *s = open_as(STORE_SERVE, 1 << 26);
	struct arena *a = arena_new(0);
	srand(1);
	memset(now, 0, sizeof now);
	for (unsigned round = 0; round < 40; round++) {
		struct store_txn *t = writing(s);
		unsigned i = 0, growing = round % 3;
		memcpy(before, now, sizeof now);
		for (unsigned n = 0; n < 3000; n++) {
			i = rand() % 8 ? (i + 1 + (unsigned)rand() % 3) % MANY_IDS : (unsigned)rand() % MANY_IDS;
			check_owner(t, a, i, now[i]);
			if (rand() % 3 == 0)
				continue;
			now[i] = rand() % 4 < (growing ? 3 : 1) ? 1 + (unsigned)rand() % 100000 : 0;
			change_owner(t, a, i, now[i]);
			check_owner(t, a, i, now[i]);
		}
		arena_reset(a);
		if (round % 4 == 3) {
			store_abort(t);
			memcpy(now, before, sizeof now);
		} else {
			assert_int_equal(store_commit(t, NULL), OK);
		}
		t = reading(s);
		for (i = 0; i < MANY_IDS; i++)
			check_owner(t, a, i, now[i]);
		for (i = MANY_IDS; i-- > 0;)
			check_owner(t, a, i, now[i]);
		store_abort(t);
	}
	arena_free(a);
	store_close(s);
}

/* Where nothing was found nothing is searched again: until something is put there, and only in that database. */
static void what_is_put_into_a_gap_is_found(void **state)
{
	(void)state;
	struct store *s = open_as(STORE_SERVE, 1 << 20);
	struct store_txn *t = writing(s);
	struct arena *a = arena_new(0);
	struct owner_record owner = { HOME, STR("b") };
	struct user_record user;
	struct system_record system;
	store_put_owner(t, a, STR("sip:b"), &owner);
	store_put_owner(t, a, STR("sip:f"), &owner);
	static const char *const asked[] = { "sip:c", "sip:d", "sip:c", "sip:a", "sip:b", "sip:e", "sip:f", "sip:z", "sip:zz", "sip:b" };
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		bool there = strcmp(asked[i], "sip:b") == 0 || strcmp(asked[i], "sip:f") == 0;
		assert_int_equal(store_get_owner(t, a, str_of(asked[i]), &owner), there);
	}
	assert_false(store_get_owner(t, a, STR("sip:c"), &owner));
	assert_false(store_get_user(t, a, STORE_USERS, HOME, STR("d"), &user)); /* another gap, without an end */
	put_user(t, a, HOME, "e", 1); /* and sip:e */
	assert_true(store_get_user(t, a, STORE_USERS, HOME, STR("e"), &user));
	assert_false(store_get_owner(t, a, STR("sip:c"), &owner));
	assert_true(store_get_owner(t, a, STR("sip:e"), &owner));
	assert_false(store_get_owner(t, a, STR("sip:a"), &owner));
	assert_false(store_get_system(t, a, STR("sip:b"), &system)); /* where an owner would be */
	assert_true(store_get_owner(t, a, STR("sip:b"), &owner));
	assert_false(store_get_user(t, a, STORE_BELIEVED, HOME, STR("d"), &user));
	assert_true(store_add_user(t, a, STORE_BELIEVED, HOME, STR("c"), &(struct user_record){ .revision = 1 }));
	assert_true(store_get_user(t, a, STORE_BELIEVED, HOME, STR("c"), &user));
	assert_false(store_get_owner(t, a, STR("sip:g"), &owner));
	store_delete_owner(t, STR("sip:f"));
	assert_false(store_get_owner(t, a, STR("sip:f"), &owner));
	assert_int_equal(store_commit(t, NULL), OK);
	arena_free(a);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(directories),
		STORE_TEST(a_reader_makes_no_store),
		STORE_TEST(made_for_its_owner_only),
		STORE_TEST(somebody_elses),
		STORE_TEST(a_foreign_environment_is_left_alone),
		STORE_TEST(newer_and_damaged_ones),
		STORE_TEST(newer_with_other_databases),
		STORE_TEST(what_is_put_is_found),
		STORE_TEST(only_who_is_not_there_is_added),
		STORE_TEST(owners_go),
		STORE_TEST(an_abort_leaves_nothing),
		STORE_TEST(errors_stick),
		STORE_TEST(no_key_overflows),
		STORE_TEST(what_cannot_be_there_is_not_found),
		STORE_TEST(a_spent_arena_is_an_error),
		STORE_TEST(users_by_home_and_page),
		STORE_TEST(systems_in_order),
		STORE_TEST(the_audit_log_is_a_chain),
		STORE_TEST(any_order_of_gets_puts_and_deletes),
		STORE_TEST(what_is_put_into_a_gap_is_found),
	};
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
