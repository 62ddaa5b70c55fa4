// needs: acmc/parts.c common/users_file.c common/users_csv.c common/users_json.c common/json.c common/identity.c common/text.c common/arena.c common/message.c common/frame.c common/error.c proto/acx.pb-c.c
#include "acmc/parts.h"
#include "common/frame.h"
#include "common/message.h"
#include "unit.h"

static struct str targets[] = { { "fire.example", 12 }, { "rail.example", 12 } };
static const struct limits own = { 1048576, 1000, 16, 100, 256, 300 };

static struct parts make(struct arena *a, struct users *u, size_t n)
{
	users_init(u, a, "test", stderr);
	for (size_t i = 0; i < n; i++) {
		users_add(u, (unsigned)i, str_of(arena_printf(a, "user%zu@police.example", i)));
		for (size_t j = 0; j < i % 4; j++)
			users_add_id(u, (unsigned)i, 1, str_of(arena_printf(a, "sip:user%zu-%zu@police.example", i, j)));
	}
	return (struct parts){ .arena = a, .users = u, .targets = targets, .n_targets = 2, .home_acmc_id = STR("sip:a@b.c") };
}

static void parts_keep_the_limits_and_cover_everyone(void **state)
{
	(void)state;
	for (uint32_t frame = FRAME_BYTES_MIN; frame <= 4 * FRAME_BYTES_MIN; frame *= 2)
		for (uint32_t ids = 1; ids < 3000; ids += 499) {
			struct arena *a = arena_new(0);
			struct users u;
			struct parts p = make(a, &u, 2500);
			struct limits server = own;
			size_t bad, next = 0;
			server.max_frame_bytes = frame;
			server.max_mc_ids = ids;
			assert_true(parts_split(&p, (struct request_id){ { 0 } }, &server, &own, &bad));
			for (size_t i = 0; i < p.n; i++) {
				struct message m = { .kind = MESSAGE_SETUP_REQUEST };
				assert_true(parts_request(&p, i, a, &m.request));
				assert_int_equal(p.items[i].first_user, next);
				assert_in_range(m.request.n_mc_ids, 1, ids);
				if (i % 17 == 0)
					assert_in_range(message_size(&m) - FRAME_HEADER_SIZE, 1, frame / 4);
				next += p.items[i].n_users;
			}
			assert_int_equal(next, 2500);
			users_free(&u);
			arena_free(a);
		}
}

static void a_user_too_large_is_named(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct users u;
	struct parts p = make(a, &u, 9);
	struct limits server = own;
	size_t bad;
	server.max_mc_service_ids_per_mc_id = 2;
	assert_false(parts_split(&p, (struct request_id){ { 0 } }, &server, &own, &bad));
	assert_int_equal(bad, 3);
	users_free(&u);
	arena_free(a);
}

static struct setup_response response(const struct parts *p, size_t part, struct str system, enum origin origin, enum cause cause)
{
	return (struct setup_response){ .request_id = p->items[part].id, .mc_system_id = system, .origin = origin,
					.cause = cause, .result = cause == CAUSE_NO_CAUSE };
}

static bool give(struct answers *x, size_t part, struct str system, enum origin origin, enum cause cause)
{
	struct setup_response r = response(x->parts, part, system, origin, cause);
	size_t at;
	bool complete;
	return answers_take(x, &r, &at, &complete);
}

static void answers_and_exit_codes(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct users u;
	struct parts p = make(a, &u, 4);
	struct limits server = own;
	struct answers x;
	size_t bad;
	server.max_mc_ids = 2;
	assert_true(parts_split(&p, (struct request_id){ { 9 } }, &server, &own, &bad));
	assert_int_equal(p.n, 2);
	assert_true(answers_init(&x, a, &p));
	assert_int_equal(answers_exit_code(&x), EXIT_UNREACHABLE);
	assert_true(give(&x, 0, targets[0], ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE));
	assert_false(give(&x, 0, targets[0], ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE)); /* twice */
	assert_false(give(&x, 0, STR("x.example"), ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE));
	assert_true(give(&x, 0, targets[1], ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE));
	assert_true(give(&x, 1, targets[1], ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE));
	assert_int_equal(answers_exit_code(&x), EXIT_UNREACHABLE);
	assert_true(give(&x, 1, targets[0], ORIGIN_HOME_ACMS, CAUSE_PARTNER_UNREACHABLE));
	assert_int_equal(answers_exit_code(&x), EXIT_SOME_FALSE);
	assert_true(answers_init(&x, a, &p));
	for (size_t i = 0; i < 4; i++)
		give(&x, i / 2, targets[i % 2], ORIGIN_PARTNER_ACMS, CAUSE_NO_CAUSE);
	assert_int_equal(answers_exit_code(&x), EXIT_ALL_TRUE);
	assert_true(answers_init(&x, a, &p));
	assert_true(give(&x, 0, STR("home.example"), ORIGIN_HOME_ACMS, CAUSE_MISSING_ELEMENT)); /* for the whole request */
	give(&x, 1, targets[0], ORIGIN_HOME_ACMS, CAUSE_IDENTITY_NOT_PERMITTED);
	give(&x, 1, targets[1], ORIGIN_HOME_ACMS, CAUSE_IDENTITY_NOT_PERMITTED);
	assert_int_equal(answers_exit_code(&x), EXIT_REFUSED);
	users_free(&u);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_keep_the_limits_and_cover_everyone),
		cmocka_unit_test(a_user_too_large_is_named),
		cmocka_unit_test(answers_and_exit_codes),
	};
	return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
