// needs: acmc/parts.c acmc/answers.c acmc/stock.c acmc/stock_sort.c acmc/spool.c common/setup.c common/setup_fault.c common/users_file.c common/when.c common/users_csv.c common/users_json.c common/json.c
// needs: common/identity.c common/text.c common/arena.c common/cause.c common/error.c
// needs: common/message.c common/message_query.c common/message_encode.c common/frame.c proto/acx.pb-c.c
// needs: common/sort.c
/* Splitting a command into requests, collecting their answers, and the exit code. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "acmc/answers.h"
#include "common/message.h"

static const struct str targets[] = { { "fire.example", 12 }, { "rail.example", 12 } };
static const struct request_id base = { { [0] = 1, [12] = 0xFF, [13] = 0xFF, [14] = 0xFF, [15] = 0xFE } };

struct fixture {
	struct arena *arena;
	struct users users; /* what is in the stock from fill() on */
	FILE *mistakes;
	struct stock stock;
	struct parts parts;
	struct answers answers;
};

/* n users with ids MC service IDs each, all of length size. */
static void begin(struct fixture *f, size_t n, size_t ids, size_t size)
{
	char text[MC_SERVICE_ID_MAX + 1];
	*f = (struct fixture){ .arena = arena_new(0) };
	assert_non_null(f->arena);
	f->mistakes = fopen("/dev/null", "w"); /* many of these identities could not be */
	assert_non_null(f->mistakes);
	users_init(&f->users, f->arena, "F", f->mistakes);
	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < n; i++) {
		char number[24];
		size_t digits = (size_t)snprintf(number, sizeof number, "%09zu", i);
		memcpy(text, number, digits);
		struct str id = arena_str(f->arena, (struct str){ text, size });
		users_add(&f->users, 1, id);
		for (size_t j = 0; j < ids; j++)
			users_add_id(&f->users, 1, 1 + (int)(j % 3), id);
	}
	f->parts = (struct parts){ .arena = f->arena, .users = &f->stock, .targets = targets,
				   .n_targets = 2, .home_acmc_id = STR("sip:control-room@police.example") };
}

static void end(struct fixture *f)
{
	answers_free(&f->answers);
	stock_free(&f->stock);
	users_free(&f->users);
	arena_free(f->arena);
	fclose(f->mistakes);
}

/* Puts the users into the stock, anew. */
static void fill(struct fixture *f)
{
	struct users copy;
	struct arena *a = arena_new(0);
	stock_free(&f->stock);
	f->stock = (struct stock){ .n = 0 };
	users_init(&copy, a, "F", f->mistakes);
	for (size_t i = 0; i < f->users.n; i++) {
		const struct users_user *u = &f->users.items[i];
		users_add(&copy, u->line, u->mc_id);
		copy.items[0].revision = u->revision;
		copy.items[0].validity = u->validity;
		for (size_t j = u->first; j < u->first + u->n; j++)
			users_add_id(&copy, 1, (int)f->users.ids[j].id.service, f->users.ids[j].id.mc_service_id);
		stock_take(&f->stock, &copy);
	}
	assert_null(stock_failed(&f->stock));
	users_free(&copy);
	arena_free(a);
}

static bool split_by(struct fixture *f, const struct limits *server, const struct limits *own, unsigned *too_large)
{
	fill(f);
	return parts_split(&f->parts, base, server, own, too_large);
}

static void split(struct fixture *f, const struct limits *server)
{
	unsigned too_large;
	assert_true(split_by(f, server, &LIMITS_DEFAULT, &too_large));
}

/* Every user is in exactly one part, in order, and each request keeps within the limits. */
static void check_parts(const struct fixture *f, const struct limits *limits)
{
	const struct parts *p = &f->parts;
	size_t next = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct message m = { .kind = MESSAGE_SETUP_REQUEST };
		struct arena *a = arena_new(0);
		assert_true(parts_setup(p, i, a, &m.request));
		assert_in_range(p->items[i].n_users, 1, limits->max_mc_ids);
		assert_true(message_size(&m) - 4 <= p->items[i].encoded);
		assert_true(p->items[i].encoded <= limits->max_frame_bytes / 4);
		struct request_id id = request_id_part(base, (uint32_t)i);
		assert_memory_equal(&m.request.request_id, &id, sizeof id);
		assert_int_equal(m.request.n_users, p->items[i].n_users);
		assert_int_equal(m.request.n_targets, 2);
		for (size_t j = 0; j < m.request.n_users; j++) {
			assert_true(str_eq(m.request.users[j].mc_id, f->users.items[next + j].mc_id));
			assert_int_equal(m.request.users[j].n_service_ids, f->users.items[next + j].n);
		}
		next += p->items[i].n_users;
		arena_free(a);
	}
	assert_int_equal(next, f->users.n);
}

/* --- splitting --- */

static void one_request_when_it_fits(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f, 1000, 3, 30);
	split(&f, &LIMITS_DEFAULT);
	assert_int_equal(f.parts.n, 1);
	check_parts(&f, &LIMITS_DEFAULT);
	end(&f);
}

static void splits_by_number(void **state)
{
	static const struct {
		size_t users, limit, parts;
	} cases[] = { { 1, 1, 1 }, { 5, 1, 5 }, { 1001, 1000, 2 }, { 2000, 1000, 2 }, { 2001, 1000, 3 } };
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		struct limits server = LIMITS_DEFAULT;
		server.max_mc_ids = (uint32_t)cases[i].limit;
		begin(&f, cases[i].users, 1, 20);
		split(&f, &server);
		assert_int_equal(f.parts.n, cases[i].parts);
		check_parts(&f, &server);
		end(&f);
	}
}

/* Whichever end takes the smaller frames. */
static void splits_by_bytes(void **state)
{
	(void)state;
	for (size_t size = 9; size <= 255; size += 41) {
		for (size_t ids = 0; ids <= 16; ids += 4) {
			for (int own = 0; own < 2; own++) {
				struct fixture f;
				unsigned too_large;
				struct limits small = LIMITS_DEFAULT, large = LIMITS_DEFAULT;
				small.max_frame_bytes = FRAME_BYTES_MIN;
				large.max_frame_bytes = FRAME_BYTES_MAX;
				begin(&f, 300, ids, size);
				assert_true(split_by(&f, own ? &large : &small, own ? &small : &large,
						     &too_large));
				check_parts(&f, &small);
				end(&f);
			}
		}
	}
}

static void says_which_user_is_too_large(void **state)
{
	struct limits server = LIMITS_DEFAULT;
	struct fixture f;
	unsigned too_large;
	(void)state;
	begin(&f, 3, 0, 20);
	for (int i = 0; i < 17; i++)
		users_add_id(&f.users, 1, 1, STR("tel:+1"));
	f.users.items[2].line = 7;
	assert_false(split_by(&f, &server, &LIMITS_DEFAULT, &too_large));
	assert_int_equal(too_large, 7);
	server.max_mc_service_ids_per_mc_id = 17;
	assert_true(split_by(&f, &server, &LIMITS_DEFAULT, &too_large));
	end(&f);
	begin(&f, 1, SETUP_SERVICE_IDS_MAX + 1, 10); /* however many a server says that it takes */
	server.max_mc_service_ids_per_mc_id = 1000;
	assert_false(split_by(&f, &server, &LIMITS_DEFAULT, &too_large));
	end(&f);
	begin(&f, 1, 100, 255); /* 26 KB where 16 KiB are allowed */
	server.max_mc_service_ids_per_mc_id = 1000;
	server.max_frame_bytes = FRAME_BYTES_MIN;
	assert_false(split_by(&f, &server, &LIMITS_DEFAULT, &too_large));
	assert_int_equal(too_large, 1);
	end(&f);
}

/* --- what goes with which part --- */

static size_t split_at_default(struct fixture *f)
{
	split(f, &LIMITS_DEFAULT);
	return f->parts.n;
}

static struct setup request_of(struct fixture *f, size_t part)
{
	struct setup r;
	assert_true(parts_setup(&f->parts, part, f->arena, &r));
	return r;
}

/* Validity is the request's: users of each share requests, in their order. */
static void splits_by_validity(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f, 6, 1, 30);
	fill(&f);
	for (size_t i = 0; i < 6; i++) {
		f.users.items[i].line = (unsigned)i + 1;
		f.users.items[i].validity.not_after_ms = i % 2 ? 5000 : 0;
	}
	assert_int_equal(split_at_default(&f), 6);
	assert_true(stock_sort(&f.stock, false));
	unsigned too_large;
	assert_true(parts_split(&f.parts, base, &LIMITS_DEFAULT, &LIMITS_DEFAULT, &too_large));
	assert_int_equal(f.parts.n, 2);
	struct setup first = request_of(&f, 0), second = request_of(&f, 1);
	assert_true(!first.has_validity && first.n_users == 3 && first.n_service_ids == 3);
	assert_true(second.has_validity && second.validity.not_after_ms == 5000);
	assert_true(first.parts == 2 && first.part == 0 && second.part == 1);
	for (size_t i = 0; i < 3; i++) {
		assert_true(str_eq(first.users[i].mc_id, f.users.items[2 * i].mc_id));
		assert_true(str_eq(second.users[i].mc_id, f.users.items[2 * i + 1].mc_id));
		assert_int_equal(second.users[i].n_service_ids, 1);
	}
	/* an option is for all of them */
	f.parts.has_validity = true;
	f.parts.validity = (struct validity){ 1, 2 };
	assert_int_equal(split_at_default(&f), 1);
	first = request_of(&f, 0);
	assert_true(first.validity.not_before_ms == 1 && first.validity.not_after_ms == 2 && first.parts == 0);
	end(&f);
}

static void operations_carry_what_they_need(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f, 3, 2, 30);
	f.users.items[1].revision = 7;
	f.users.items[2].validity.not_after_ms = 9;
	assert_int_equal(split_at_default(&f), 2);
	assert_int_equal(request_of(&f, 0).users[1].expected_revision, 0); /* setup has none */
	f.parts.operation = OPERATION_UPDATE;
	f.parts.revision = 3;
	struct setup update = request_of(&f, 0);
	assert_true(update.operation == OPERATION_UPDATE && update.n_users == 2 && update.n_service_ids == 4);
	assert_true(update.users[0].expected_revision == 3 && update.users[1].expected_revision == 7);
	f.parts.operation = OPERATION_REMOVE;
	f.parts.revision = 0;
	struct setup first = request_of(&f, 0), second = request_of(&f, 1);
	assert_true(first.users[0].expected_revision == 0 && first.users[1].expected_revision == 7);
	assert_true(first.n_service_ids == 0 && first.users[0].n_service_ids == 0);
	assert_true(second.users[0].expected_revision == 0 && second.n_service_ids == 0 && !second.has_validity);
	end(&f);
}

/* With everything that there can be in them, requests stay in a quarter of a frame. */
static void full_requests_fit(void **state)
{
	struct limits small = LIMITS_DEFAULT;
	(void)state;
	small.max_frame_bytes = FRAME_BYTES_MIN;
	for (int operation = 0; operation < OPERATIONS; operation++) {
		struct fixture f;
		begin(&f, 500, 3, 200);
		f.parts.operation = (enum operation)operation;
		f.parts.revision = UINT64_MAX;
		f.parts.expires_ms = UINT64_MAX;
		f.parts.has_validity = true;
		f.parts.validity = (struct validity){ UINT64_MAX - 1, UINT64_MAX };
		f.parts.dry_run = f.parts.best_effort = true;
		split(&f, &small);
		for (size_t i = 0; i < f.parts.n; i++) {
			struct message m = { .kind = MESSAGE_SETUP_REQUEST, .request = request_of(&f, i) };
			assert_true(message_size(&m) - 4 <= FRAME_BYTES_MIN / 4);
		}
		end(&f);
	}
}

/* Whatever the file's order is, requests have that of stores. */
static void requests_are_in_order(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f, 3, 3, 20);
	const struct str names[] = { STR("c"), STR("a"), STR("b") };
	for (size_t i = 0; i < 3; i++) {
		f.users.items[i].mc_id = names[i];
		for (size_t j = 0; j < 3; j++) {
			f.users.ids[3 * i + j].id.service = (enum mc_service)(3 - j);
			f.users.ids[3 * i + j].id.mc_service_id = names[i];
		}
	}
	split(&f, &LIMITS_DEFAULT);
	struct setup r = request_of(&f, 0);
	for (size_t i = 0; i < 3; i++) {
		assert_true(r.users[i].mc_id.len == 1 && *r.users[i].mc_id.ptr == "abc"[i]);
		for (size_t j = 0; j < 3; j++) {
			assert_int_equal(r.users[i].service_ids[j].service, j + 1);
			assert_true(str_eq(r.users[i].service_ids[j].mc_service_id, r.users[i].mc_id));
		}
	}
	end(&f);
}

/* --- answers --- */

static void begin_answers(struct fixture *f, uint32_t users_a_part)
{
	struct limits server = LIMITS_DEFAULT;
	server.max_mc_ids = users_a_part;
	begin(f, 3, 0, 20);
	split(f, &server);
	assert_true(answers_init(&f->answers, f->arena, &f->parts, STR("police.example")));
}

static struct setup_response response(uint32_t part, const char *system, enum origin origin,
				      enum cause cause)
{
	return (struct setup_response){ .request_id = request_id_part(base, part),
					.mc_system_id = str_of(system),
					.result = cause == CAUSE_NO_CAUSE,
					.origin = origin,
					.cause = cause,
					.detail = STR("") };
}

static bool take(struct fixture *f, struct setup_response r, size_t *part, bool *complete)
{
	*part = 99;
	*complete = false;
	return answers_take(&f->answers, &r, part, complete);
}

static void each_part_and_target_is_answered_once(void **state)
{
	struct fixture f;
	size_t part;
	bool complete;
	(void)state;
	begin_answers(&f, 2);
	assert_int_equal(f.answers.missing, 4);
	assert_true(take(&f, response(1, "rail.example", ORIGIN_PARTNER_ACMS, 0), &part, &complete));
	assert_true(part == 1 && !complete);
	assert_false(take(&f, response(1, "rail.example", ORIGIN_PARTNER_ACMS, 401), &part, &complete));
	assert_false(complete);
	assert_true(answers_at(&f.answers, 1, 1)->result);
	assert_true(take(&f, response(1, "fire.example", ORIGIN_HOME_ACMS, 601), &part, &complete));
	assert_true(part == 1 && complete);
	assert_int_equal(f.answers.missing, 2);
	assert_false(answers_at(&f.answers, 0, 0)->given);
	end(&f);
}

static void what_nobody_asked_is_dropped(void **state)
{
	struct fixture f;
	size_t part;
	bool complete;
	(void)state;
	begin_answers(&f, 2);
	assert_false(take(&f, response(2, "fire.example", ORIGIN_PARTNER_ACMS, 0), &part, &complete));
	assert_false(take(&f, response(0, "port.example", ORIGIN_PARTNER_ACMS, 0), &part, &complete));
	assert_false(take(&f, response(0, "police.example", ORIGIN_HOME_ACMS, 0), &part, &complete));
	assert_false(take(&f, response(0, "port.example", ORIGIN_HOME_ACMS, 301), &part, &complete));
	assert_false(take(&f, response(0, "", ORIGIN_PARTNER_ACMS, 204), &part, &complete));
	assert_int_equal(f.answers.missing, 4);
	end(&f);
}

/* PROTOCOL.md 6: one response with the home's own MC system ID, when the targets cannot be told apart. */
static void one_answer_for_the_whole_request(void **state)
{
	struct fixture f;
	size_t part;
	bool complete;
	(void)state;
	begin_answers(&f, 2);
	assert_true(take(&f, response(0, "fire.example", ORIGIN_PARTNER_ACMS, 0), &part, &complete));
	assert_true(take(&f, response(0, "police.example", ORIGIN_HOME_ACMS, 208), &part, &complete));
	assert_true(part == 0 && complete);
	assert_true(answers_at(&f.answers, 0, 0)->result); /* what was answered stays */
	assert_int_equal(answers_at(&f.answers, 0, 1)->cause, 208);
	assert_int_equal(f.answers.missing, 2);
	end(&f);
}

static void answers_outlive_the_message(void **state)
{
	char id[] = "alice", detail[] = "why";
	struct identity_cause cause = { { id, 5 }, STR_NONE, CAUSE_OUTSIDE_NAMESPACE };
	struct setup_response r = response(0, "fire.example", ORIGIN_PARTNER_ACMS, 106);
	struct fixture f;
	size_t part;
	bool complete;
	(void)state;
	begin_answers(&f, 3);
	r.identities = &cause;
	r.n_identities = 1;
	r.detail = (struct str){ detail, 3 };
	assert_true(take(&f, r, &part, &complete));
	memset(id, '!', 5);
	memset(detail, '!', 3);
	const struct answer *a = answers_at(&f.answers, 0, 0);
	assert_true(str_eq(a->detail, STR("why")));
	assert_int_equal(a->n_identities, 1);
	struct said said;
	assert_true(answers_said(&f.answers, a, f.arena, &said));
	assert_true(said.n_identities == 1 && said.n_revisions == 0 && !said.receipt.ptr);
	assert_true(str_eq(said.identities[0].mc_id, STR("alice")));
	assert_null(said.identities[0].mc_service_id.ptr);
	assert_int_equal(said.identities[0].cause, CAUSE_OUTSIDE_NAMESPACE);
	end(&f);
}

static bool indicate(struct fixture *f, uint32_t part, const char *system, enum process_state state,
		     const char *detail, bool *news)
{
	struct process_indication m = { request_id_part(base, part), str_of(system), state, 1000, str_of(detail) };
	size_t which;
	bool taken = answers_indicate(&f->answers, &m, &which, news);
	if (taken)
		assert_int_equal(which, part);
	return taken;
}

static void indications(void **state)
{
	struct fixture f;
	size_t part;
	bool news, complete;
	(void)state;
	begin_answers(&f, 2);
	assert_true(indicate(&f, 0, "police.example", PROCESS_ACCEPTED, "", &news) && news);
	assert_true(indicate(&f, 0, "police.example", PROCESS_ACCEPTED, "", &news) && !news);
	assert_true(indicate(&f, 1, "police.example", PROCESS_ACCEPTED, "", &news) && news);
	assert_int_equal(f.answers.n_accepted, 2);
	/* the same of another part is no news, nor is the same again */
	assert_true(indicate(&f, 0, "fire.example", PROCESS_DELAYED, "refused", &news) && news);
	assert_true(indicate(&f, 1, "fire.example", PROCESS_DELAYED, "refused", &news) && !news);
	assert_true(indicate(&f, 0, "fire.example", PROCESS_DELAYED, "refused", &news) && !news);
	assert_true(indicate(&f, 0, "rail.example", PROCESS_DELAYED, "refused", &news) && news);
	assert_true(indicate(&f, 0, "fire.example", PROCESS_PENDING, "", &news) && news);
	assert_int_equal(answers_at(&f.answers, 0, 0)->delay.state, DELIVERY_APPROVAL);
	assert_int_equal(answers_at(&f.answers, 1, 0)->delay.state, DELIVERY_QUEUED);
	/* of nobody, or of what is answered */
	assert_false(indicate(&f, 2, "fire.example", PROCESS_PENDING, "", &news));
	assert_false(indicate(&f, 0, "port.example", PROCESS_PENDING, "", &news));
	assert_true(take(&f, response(0, "fire.example", ORIGIN_PARTNER_ACMS, 0), &part, &complete));
	assert_false(indicate(&f, 0, "fire.example", PROCESS_DELAYED, "", &news));
	assert_int_equal(f.answers.missing, 3);
	end(&f);
}

/* PROTOCOL.md 6, as far as an ACMC can tell. */
static void answers_that_must_not_be_believed(void **state)
{
	enum { HOME = ORIGIN_HOME_ACMS, PARTNER = ORIGIN_PARTNER_ACMS };
	static const struct {
		const char *system;
		int origin;
		bool result;
		int cause;
		bool good;
	} cases[] = {
		{ "fire.example", PARTNER, true, 0, true },
		{ "fire.example", PARTNER, true, 106, false },
		{ "fire.example", PARTNER, false, 0, false },
		{ "fire.example", PARTNER, false, 401, true },
		{ "fire.example", PARTNER, false, 202, true },
		{ "fire.example", PARTNER, false, 599, true },
		{ "fire.example", PARTNER, false, 602, false },
		{ "fire.example", PARTNER, false, -1, false },
		{ "fire.example", 0, true, 0, false },
		{ "fire.example", 3, false, 401, false },
		{ "fire.example", HOME, true, 0, false },
		{ "fire.example", HOME, false, 602, true },
		{ "fire.example", HOME, false, 699, true },
		{ "fire.example", HOME, false, 700, false },
		{ "police.example", HOME, false, 208, true },
		{ "police.example", HOME, false, 101, true },
		{ "police.example", HOME, false, 602, false },
		{ "police.example", HOME, false, 0, false },
		{ "port.example", HOME, true, 106, true }, /* concerns nobody */
	};
	struct fixture f;
	size_t part;
	bool complete;
	(void)state;
	begin_answers(&f, 3);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct setup_response r = response(0, cases[i].system, (enum origin)cases[i].origin,
						   (enum cause)cases[i].cause);
		r.result = cases[i].result;
		const char *fault = answers_fault(&f.answers, &r);
		if ((fault == NULL) != cases[i].good)
			fail_msg("case %zu: %s", i, fault ? fault : "taken");
	}
	assert_true(take(&f, response(0, "fire.example", ORIGIN_PARTNER_ACMS, 0), &part, &complete));
	struct setup_response late = response(0, "fire.example", ORIGIN_PARTNER_ACMS, 0);
	assert_null(answers_fault(&f.answers, &late)); /* nobody waits for it */
	late.request_id = request_id_part(base, 9);
	assert_null(answers_fault(&f.answers, &late));
	end(&f);
}

/* A response says revisions by the bytewise order of the MC IDs, whatever the file's was. */
static void revisions_of_each(void **state)
{
	const uint64_t each[] = { 5, 0, 7 };
	struct identity_cause b = { STR("b"), STR_NONE, CAUSE_UNKNOWN_USER }, z = { STR("z"), STR_NONE, CAUSE_UNKNOWN_USER };
	struct fixture f;
	struct said said;
	size_t part;
	bool complete;
	(void)state;
	begin(&f, 3, 0, 20);
	const struct str names[] = { STR("c"), STR("a"), STR("b") };
	for (size_t i = 0; i < 3; i++)
		f.users.items[i].mc_id = names[i];
	split(&f, &LIMITS_DEFAULT);
	f.parts.best_effort = true;
	assert_true(answers_init(&f.answers, f.arena, &f.parts, STR("police.example")));
	struct setup_response r = response(0, "fire.example", ORIGIN_PARTNER_ACMS, CAUSE_PARTLY_DONE), bad;
	r.revisions = each, r.n_revisions = 3;
	r.identities = &b, r.n_identities = 1;
	assert_null(answers_fault(&f.answers, &r));
	bad = r, bad.n_revisions = 2;
	assert_non_null(answers_fault(&f.answers, &bad));
	bad = r, bad.identities = &z;
	assert_non_null(answers_fault(&f.answers, &bad));
	bad = r, bad.n_identities = 0;
	assert_non_null(answers_fault(&f.answers, &bad));
	assert_true(take(&f, r, &part, &complete));
	assert_true(answers_said(&f.answers, answers_at(&f.answers, 0, 0), f.arena, &said));
	assert_true(said.n_revisions == 2);
	assert_true(str_eq(said.revisions[0].mc_id, STR("a")) && said.revisions[0].revision == 5);
	assert_true(str_eq(said.revisions[1].mc_id, STR("c")) && said.revisions[1].revision == 7);
	end(&f);
}

/* --- exit codes --- */

static void exit_codes(void **state)
{
	enum { HOME = ORIGIN_HOME_ACMS, PARTNER = ORIGIN_PARTNER_ACMS, NONE = 0 };
	static const struct {
		struct {
			int origin, cause;
		} answers[2];
		int code;
	} cases[] = {
		{ { { PARTNER, 0 }, { PARTNER, 0 } }, EXIT_ALL_TRUE },
		{ { { PARTNER, 0 }, { PARTNER, 401 } }, EXIT_SOME_FALSE },
		{ { { PARTNER, 105 }, { PARTNER, 105 } }, EXIT_SOME_FALSE },
		{ { { HOME, 601 }, { HOME, 602 } }, EXIT_SOME_FALSE },
		{ { { HOME, 103 }, { PARTNER, 0 } }, EXIT_SOME_FALSE },
		{ { { HOME, 301 }, { HOME, 101 } }, EXIT_SOME_FALSE },
		{ { { HOME, 101 }, { HOME, 101 } }, EXIT_REFUSED },
		{ { { HOME, 208 }, { HOME, 103 } }, EXIT_REFUSED },
		{ { { HOME, 299 }, { HOME, 199 } }, EXIT_REFUSED },
		{ { { PARTNER, 0 }, { NONE, 0 } }, EXIT_UNREACHABLE },
		{ { { HOME, 101 }, { NONE, 0 } }, EXIT_UNREACHABLE },
		{ { { NONE, 0 }, { NONE, 0 } }, EXIT_UNREACHABLE },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		size_t part;
		bool complete;
		begin_answers(&f, 3);
		for (size_t t = 0; t < 2; t++) {
			if (cases[i].answers[t].origin != NONE)
				assert_true(take(&f, response(0, targets[t].ptr,
							      (enum origin)cases[i].answers[t].origin,
							      (enum cause)cases[i].answers[t].cause),
						 &part, &complete));
		}
		if (answers_exit_code(&f.answers) != cases[i].code)
			fail_msg("case %zu: %d", i, answers_exit_code(&f.answers));
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_request_when_it_fits),
		cmocka_unit_test(splits_by_number),
		cmocka_unit_test(splits_by_bytes),
		cmocka_unit_test(says_which_user_is_too_large),
		cmocka_unit_test(splits_by_validity),
		cmocka_unit_test(operations_carry_what_they_need),
		cmocka_unit_test(full_requests_fit),
		cmocka_unit_test(requests_are_in_order),
		cmocka_unit_test(indications),
		cmocka_unit_test(each_part_and_target_is_answered_once),
		cmocka_unit_test(what_nobody_asked_is_dropped),
		cmocka_unit_test(one_answer_for_the_whole_request),
		cmocka_unit_test(answers_outlive_the_message),
		cmocka_unit_test(answers_that_must_not_be_believed),
		cmocka_unit_test(revisions_of_each),
		cmocka_unit_test(exit_codes),
	};
	return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
