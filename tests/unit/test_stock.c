// needs: acmc/stock.c acmc/stock_sort.c acmc/spool.c common/users_file.c common/when.c common/users_csv.c common/users_json.c common/json.c
// needs: common/identity.c common/text.c common/arena.c common/cause.c
/* The users of a command, packed: what was put comes back, in memory and from a file, and who is there twice is told. */
#include "tests/unit/unit.h"
#include "acmc/stock.h"

/* --- spool --- */

/* Pieces of all sizes, read in order, in no order, and while more is put. */
static void spool_gives_back_what_was_put(void **state)
{
	enum { PIECES = 3000, LONGEST = 4000 };
	static uint8_t bytes[LONGEST];
	static uint64_t offsets[PIECES + 1];
	struct spool s = { .tail = NULL };
	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		memset(bytes, (int)(i % 251), sizeof bytes);
		spool_put(&s, bytes, i * 7 % LONGEST);
		offsets[i + 1] = spool_size(&s);
		assert_int_equal(offsets[i + 1] - offsets[i], i * 7 % LONGEST);
		size_t other = i * 31 % (i + 1), n = (size_t)(offsets[other + 1] - offsets[other]);
		const uint8_t *at = spool_at(&s, offsets[other], n);
		assert_non_null(at);
		for (size_t j = 0; j < n; j += 97)
			assert_int_equal(at[j], other % 251);
	}
	assert_true(s.has_file && s.tail_room <= 2 * SPOOL_MEMORY);
	for (size_t i = 0; i < PIECES; i++) {
		size_t n = (size_t)(offsets[i + 1] - offsets[i]);
		const uint8_t *at = spool_at(&s, offsets[i], n);
		assert_non_null(at);
		if (n)
			assert_true(at[0] == i % 251 && at[n - 1] == i % 251);
	}
	spool_free(&s);
	assert_int_equal(spool_size(&s), 0);
}

static void spool_tells_why_it_failed(void **state)
{
	static uint8_t bytes[SPOOL_MEMORY];
	struct spool s = { .tail = NULL };
	(void)state;
	setenv("TMPDIR", "/nowhere", 1);
	spool_put(&s, bytes, sizeof bytes);
	assert_null(spool_failed(&s));
	spool_put(&s, bytes, 1);
	assert_non_null(strstr(spool_failed(&s), "No such file"));
	spool_put(&s, bytes, 1);
	assert_null(spool_at(&s, 0, 1));
	unsetenv("TMPDIR");
	spool_free(&s);
	assert_null(spool_failed(&s));
}

/* --- stock --- */

struct fixture {
	struct arena *arena;
	struct users users;
	struct stock stock;
	char *mistakes;
	size_t size;
	FILE *out;
};

static void take(void *context, struct users *u)
{
	users_check_mc_ids(u);
	users_check_service_ids(u);
	stock_take(context, u);
}

static void begin(struct fixture *f)
{
	*f = (struct fixture){ .arena = arena_new(0) };
	f->out = open_memstream(&f->mistakes, &f->size);
	users_init(&f->users, f->arena, "F", f->out);
	f->users.each = take;
	f->users.context = &f->stock;
}

static void end(struct fixture *f)
{
	stock_free(&f->stock);
	users_free(&f->users);
	arena_free(f->arena);
	fclose(f->out);
	free(f->mistakes);
}

static void load(struct fixture *f, const char *text)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r");
	users_read(&f->users, in, USERS_GUESS);
	fclose(in);
}

/* "line mc_id service=uri r7 1-2; ..." */
static void check_users(struct fixture *f, const char *expected)
{
	char *text = NULL;
	size_t size;
	struct stocked u;
	FILE *out = open_memstream(&text, &size);
	for (uint64_t offset = 0; stock_next(&f->stock, &offset, &u);) {
		const uint8_t *at = u.ids;
		size_t bytes = 0;
		fprintf(out, "%u %.*s", u.line, STR_ARG(u.mc_id));
		for (size_t i = 0; i < u.n_ids; i++) {
			struct user_service_id id;
			at = stock_id(at, &id);
			bytes += id.mc_service_id.len;
			fprintf(out, " %s=%.*s", mc_service_name(id.service), STR_ARG(id.mc_service_id));
		}
		assert_int_equal(bytes, u.ids_bytes);
		if (u.revision)
			fprintf(out, " r%d", (int)u.revision);
		if (u.validity.not_after_ms)
			fprintf(out, " -%d", (int)u.validity.not_after_ms);
		fputs("; ", out);
	}
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void keeps_users_in_canonical_form(void **state)
{
	static const char *const texts[] = {
		"mc_id,mcptt,mcdata,revision\nalice,sip:A@X.example tel:+49-1,,\nbob,,SIP:b@x.example,7\n",
		"[{\"mc_id\":\"alice\",\"mc_service_ids\":[{\"service\":\"mcptt\",\"mc_service_id\":\"sip:A@X.example\"},"
		"{\"service\":\"mcptt\",\"mc_service_id\":\"tel:+49-1\"}]},\n{\"mc_id\":\"bob\",\"mc_service_ids\":"
		"[{\"service\":\"mcdata\",\"mc_service_id\":\"SIP:b@x.example\"}],\"revision\":7}]",
	};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture f;
		begin(&f);
		load(&f, texts[i]);
		users_add_argument(&f.users, "chen", 1);
		assert_true(stock_check(&f.stock, &f.users));
		assert_int_equal(f.stock.n, 3);
		check_users(&f, i == 0 ? "2 alice mcptt=sip:A@x.example mcptt=tel:+491; 3 bob mcdata=sip:b@x.example r7; 1 chen; " :
					 "1 alice mcptt=sip:A@x.example mcptt=tel:+491; 2 bob mcdata=sip:b@x.example r7; 1 chen; ");
		end(&f);
	}
}

/* As users_check tells it of a list. */
static void tells_who_is_there_twice(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f);
	load(&f, "mc_id,mcptt,mcvideo\nalice,sip:a@x.example,sip:a@x.example\nbob,sip:b@x.example,\nalice,,\n"
		 "chen,sip:c@x.example,sip:b@X.example\ndora,tel:+1 tel:+1,\nalice,,\n,,\nb\x01,,\nemil,sip:e@x.example,\n");
	assert_false(stock_check(&f.stock, &f.users));
	fflush(f.out);
	assert_string_equal(f.mistakes,
			    "F:8: the MC ID is missing\n"
			    "F:9: b\\x01: no MC ID: 1 to 255 bytes of UTF-8 without control characters\n"
			    "F:4: alice: this MC ID is in line 2 already\n"
			    "F:7: alice: this MC ID is in line 2 already\n"
			    "F:5: sip:b@x.example: this MC service ID is in line 3 already\n"
			    "F:6: tel:+1: this MC service ID is in line 6 already\n");
	assert_int_equal(f.users.n_mistakes, 6);
	end(&f);
}

static void sorts_by_validity(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f);
	load(&f, "mc_id\na\nb\nc\n");
	assert_true(!f.stock.bounded && !f.stock.differ);
	assert_true(stock_sort(&f.stock, false));
	check_users(&f, "2 a; 3 b; 4 c; ");
	end(&f);
	begin(&f);
	load(&f, "mc_id,not_after\na,1970-01-01T00:00:02Z\nb,\nc,1970-01-01T00:00:01Z\nd,\ne,1970-01-01T00:00:02Z\n");
	assert_true(f.stock.bounded && f.stock.differ);
	assert_true(f.stock.in_order && stock_sort(&f.stock, false));
	check_users(&f, "3 b; 5 d; 4 c -1000; 2 a -2000; 6 e -2000; ");
	end(&f);
	begin(&f);
	load(&f, "mc_id,mcptt,not_after\nzoe,sip:z@x.example,\nann,,1970-01-01T00:00:02Z\nzo,tel:+1,\nbob,,\n");
	assert_false(f.stock.in_order);
	assert_true(stock_sort(&f.stock, true));
	check_users(&f, "5 bob; 4 zo mcptt=tel:+1; 2 zoe mcptt=sip:z@x.example; 3 ann -2000; ");
	end(&f);
}

/* More than is kept in memory, than is looked at in one go, and than is sorted at once. */
static void takes_very_many(void **state)
{
	enum { USERS = 60000, PRIME = 1000003 };
	struct fixture f;
	char text[300];
	struct stocked u;
	uint64_t offset = 0;
	unsigned n = 0, before = 0;
	(void)state;
	begin(&f);
	f.stock.hashes_at_once = 10000;
	f.stock.run_bytes = 100000;
	for (uint64_t i = 0; i < USERS; i++) { /* in no order, and not all of the same length */
		int length = sprintf(text, "%07u%0*u", (unsigned)(i * PRIME % USERS), (int)(i % 97) + 1, (unsigned)(i % 7));
		users_add(&f.users, (unsigned)i, (struct str){ text, (size_t)length });
		f.users.items[0].validity.not_after_ms = 5 + i % 2;
		stock_take(&f.stock, &f.users);
	}
	users_add_argument(&f.users, "000000300", 0);
	users_add_argument(&f.users, "000000300", USERS + 1);
	assert_false(stock_check(&f.stock, &f.users));
	fflush(f.out);
	assert_string_equal(f.mistakes, "F:60001: 000000300: this MC ID is in line 0 already\n");
	assert_true(f.stock.users.has_file && spool_size(&f.stock.users) > 4 * SPOOL_MEMORY);
	assert_true(stock_sort(&f.stock, true));
	for (; stock_next(&f.stock, &offset, &u); n++) {
		if (n < 2) { /* those with no validity come first, as they came */
			assert_int_equal(u.line, n ? USERS + 1 : 0);
			continue;
		}
		memcpy(text, u.mc_id.ptr, 7);
		text[7] = '\0';
		unsigned number = (unsigned)strtoul(text, NULL, 10);
		assert_int_equal(u.validity.not_after_ms, n < USERS / 2 + 2 ? 5 : 6);
		assert_true(n == 2 || n == USERS / 2 + 2 || number > before);
		before = number;
	}
	assert_int_equal(n, USERS + 2);
	assert_null(stock_failed(&f.stock));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spool_gives_back_what_was_put),
		cmocka_unit_test(spool_tells_why_it_failed),
		cmocka_unit_test(keeps_users_in_canonical_form),
		cmocka_unit_test(tells_who_is_there_twice),
		cmocka_unit_test(sorts_by_validity),
		cmocka_unit_test(takes_very_many),
	};
	return cmocka_run_group_tests_name("stock", tests, NULL, NULL);
}
