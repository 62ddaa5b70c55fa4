// needs: acmc/track.c acmc/parts.c acmc/answers.c acmc/stock.c acmc/stock_sort.c acmc/spool.c common/users_file.c common/when.c common/users_csv.c common/users_json.c common/json.c common/setup.c common/setup_fault.c common/identity.c common/text.c
// needs: common/arena.c common/cause.c
// needs: common/sort.c
/* What became of a command, put together from what the home acms says of each of its requests. */
#include "tests/unit/unit.h"
#include "acmc/track.h"

static const struct request_id base = { { 1, [12] = 0xFF, [13] = 0xFF, [14] = 0xFF, [15] = 0xFF } };

struct fixture {
	struct arena *arena;
	struct track track;
	bool listed; /* without lists, as in a page about many */
};

static void begin(struct fixture *f, uint32_t part)
{
	*f = (struct fixture){ .arena = arena_new(0) };
	assert_non_null(f->arena);
	track_init(&f->track, f->arena, request_id_part(base, part), STR("police.example"));
}

static void end(struct fixture *f)
{
	track_free(&f->track);
	arena_free(f->arena);
}

static struct delivery_entry delivery(uint32_t part, const char *system, enum delivery_state state, enum cause cause)
{
	return (struct delivery_entry){
		.mc_system_id = str_of(system), .state = state, .attempts = 3, .until_ms = 1000, .detail = STR("why"),
		.has_response = state == DELIVERY_ANSWERED, .answered_ms = 500,
		.response = { .request_id = request_id_part(base, part), .mc_system_id = str_of(system),
			      .result = cause == CAUSE_NO_CAUSE, .cause = cause, .origin = cause < 600 ? ORIGIN_PARTNER_ACMS : ORIGIN_HOME_ACMS,
			      .detail = STR("") },
	};
}

/* A request of two partners, of a command of three. */
static const char *take(struct fixture *f, uint32_t part, struct delivery_entry fire, struct delivery_entry rail)
{
	struct delivery_entry deliveries[] = { fire, rail };
	static const struct user_service_id ids[] = { { 1, { "tel:+1", 6 } }, { 3, { "sip:a@b.c", 9 } } };
	struct setup_user users[] = { { STR("b"), ids, 2, 7 }, { STR("a"), ids, 0, 8 }, { STR("c"), ids, 1, 9 } };
	struct request_entry e = { .request = { .request_id = request_id_part(base, part), .operation = OPERATION_UPDATE,
						.expires_ms = 9000, .part = part, .parts = 3, .users = users, .n_users = 3,
						.n_service_ids = 3 },
				   .acmc = STR("admin"), .accepted_ms = 100, .users = 3, .deliveries = deliveries,
				   .n_deliveries = 2 };
	if (f->listed)
		e.request = setup_outline(&e.request);
	struct requests_page page = { .entries = &e, .n_entries = 1 };
	return track_take(&f->track, &page);
}

static void check_next(struct fixture *f, uint32_t part)
{
	struct requests_query q;
	struct request_id id = request_id_part(base, part);
	assert_true(track_next(&f->track, &q));
	assert_true(q.has_request_id);
	assert_memory_equal(&q.request_id, &id, sizeof id);
}

static void finds_all_parts_from_any(void **state)
{
	(void)state;
	for (uint32_t asked = 0; asked < 3; asked++) {
		struct fixture f;
		struct requests_query q;
		begin(&f, asked);
		check_next(&f, asked);
		assert_null(take(&f, asked, delivery(asked, "fire.example", DELIVERY_ANSWERED, 0),
				 delivery(asked, "rail.example", DELIVERY_APPROVAL, 0)));
		for (uint32_t part = asked == 0; part < 3; part++) {
			check_next(&f, part);
			assert_null(take(&f, part, delivery(part, "fire.example", DELIVERY_ANSWERED, 401),
					 delivery(part, "rail.example", DELIVERY_QUEUED, 0)));
		}
		assert_false(track_next(&f.track, &q));
		struct request_id first = track_base(&f.track);
		assert_memory_equal(&first, &base, sizeof base);
		assert_int_equal(f.track.parts.operation, OPERATION_UPDATE);
		assert_int_equal(parts_users(&f.track.parts), 9);
		assert_int_equal(f.track.answers.missing, 3);
		assert_int_equal(f.track.answers.n_accepted, 3);
		/* an answer stays, whatever is said later */
		assert_int_equal(answers_at(&f.track.answers, asked, 0)->cause, 0);
		assert_int_equal(answers_at(&f.track.answers, (asked + 1) % 3, 0)->cause, 401);
		assert_int_equal(answers_at(&f.track.answers, 1, 1)->delay.state, DELIVERY_QUEUED);
		end(&f);
	}
}

static void asks_again_on_another_connection(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f, 0);
	for (uint32_t part = 0; part < 3; part++)
		assert_null(take(&f, part, delivery(part, "fire.example", DELIVERY_SENT, 0),
				 delivery(part, "rail.example", DELIVERY_SENT, 0)));
	track_again(&f.track);
	for (uint32_t part = 0; part < 3; part++) {
		check_next(&f, part);
		assert_null(take(&f, part, delivery(part, "fire.example", DELIVERY_ANSWERED, 0),
				 delivery(part, "rail.example", DELIVERY_ANSWERED, 602)));
	}
	assert_int_equal(f.track.answers.missing, 0);
	end(&f);
}

static void parts_that_are_not_known(void **state)
{
	struct fixture f;
	struct requests_page unknown = { .page = { .cause = CAUSE_UNKNOWN_REQUEST } };
	struct requests_query q;
	(void)state;
	begin(&f, 0);
	assert_null(take(&f, 0, delivery(0, "fire.example", DELIVERY_ANSWERED, 0),
			 delivery(0, "rail.example", DELIVERY_ANSWERED, 0)));
	assert_null(track_take(&f.track, &unknown));
	assert_null(track_take(&f.track, &unknown));
	assert_false(track_next(&f.track, &q));
	assert_int_equal(f.track.n_unknown, 2);
	assert_int_equal(f.track.answers.missing, 4);
	end(&f);
}

static void refuses_nonsense(void **state)
{
	struct fixture f;
	struct delivery_entry good = delivery(0, "fire.example", DELIVERY_SENT, 0);
	struct delivery_entry other = delivery(1, "rail.example", DELIVERY_ANSWERED, 0); /* of another request */
	struct delivery_entry none = delivery(0, "rail.example", DELIVERY_ANSWERED, 0);
	struct delivery_entry liar = delivery(0, "rail.example", DELIVERY_ANSWERED, 401);
	struct requests_page empty = { .n_entries = 0 };
	(void)state;
	none.has_response = false;
	liar.response.result = true;
	struct delivery_entry bad[] = { other, none, liar };
	for (size_t i = 0; i < 3; i++) {
		begin(&f, 0);
		assert_non_null(take(&f, 0, good, bad[i]));
		end(&f);
	}
	begin(&f, 0);
	assert_non_null(track_take(&f.track, &empty));
	assert_non_null(take(&f, 1, good, good)); /* not what was asked for */
	end(&f);
	begin(&f, 0);
	f.listed = true;
	assert_non_null(take(&f, 0, good, good));
	end(&f);
	begin(&f, 0);
	assert_null(take(&f, 0, good, delivery(0, "rail.example", DELIVERY_SENT, 0)));
	assert_non_null(take(&f, 1, good, delivery(1, "port.example", DELIVERY_SENT, 0)));
	end(&f);
}

/* Who asks anew has the request again: what comes then is held against it, and told of its users. */
static void knows_the_users(void **state)
{
	const uint64_t each[] = { 9, 8, 10 };
	struct identity_cause stranger = { STR("z"), STR_NONE, CAUSE_UNKNOWN_USER };
	struct fixture f;
	struct said said;
	struct setup setup;
	(void)state;
	begin(&f, 0);
	for (int again = 0; again < 2; again++) {
		for (uint32_t part = 0; part < 3; part++)
			assert_null(take(&f, part, delivery(part, "fire.example", DELIVERY_SENT, 0),
					 delivery(part, "rail.example", DELIVERY_SENT, 0)));
		track_again(&f.track);
	}
	assert_int_equal(f.track.stock.n, 9); /* they are there once */
	assert_null(take(&f, 0, delivery(0, "fire.example", DELIVERY_SENT, 0), delivery(0, "rail.example", DELIVERY_SENT, 0)));
	assert_true(parts_setup(&f.track.parts, 1, f.arena, &setup));
	assert_int_equal(setup.n_users, 3);
	assert_str(setup.users[1].mc_id, "b");
	assert_int_equal(setup.users[1].expected_revision, 7);
	assert_int_equal(setup.users[1].n_service_ids, 2);
	assert_str(setup.users[1].service_ids[1].mc_service_id, "sip:a@b.c");
	struct delivery_entry d = delivery(1, "fire.example", DELIVERY_ANSWERED, 0);
	d.response.revisions = each, d.response.n_revisions = 2;
	assert_non_null(answers_fault(&f.track.answers, &d.response));
	d.response.n_revisions = 3;
	assert_null(take(&f, 1, d, delivery(1, "rail.example", DELIVERY_SENT, 0)));
	assert_true(answers_said(&f.track.answers, answers_at(&f.track.answers, 1, 0), f.arena, &said));
	assert_int_equal(said.n_revisions, 3);
	assert_str(said.revisions[2].mc_id, "c");
	assert_int_equal(said.revisions[2].revision, 10);
	d = delivery(2, "rail.example", DELIVERY_ANSWERED, CAUSE_UNKNOWN_USER);
	d.response.identities = &stranger, d.response.n_identities = 1;
	assert_non_null(answers_fault(&f.track.answers, &d.response));
	end(&f);
}

/* What is impossible takes no memory. */
static void refuses_impossible_sizes(void **state)
{
	static const uint32_t sizes[][2] = { { 3, 3 }, { 0, UINT32_MAX }, { UINT32_MAX, UINT32_MAX } };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fixture f;
		struct delivery_entry d = delivery(0, "fire.example", DELIVERY_SENT, 0);
		struct setup_user user = { .mc_id = STR("a") };
		struct request_entry e = { .request = { .request_id = base, .part = sizes[i][0], .parts = sizes[i][1],
							.users = &user, .n_users = 1 },
					   .users = 1, .deliveries = &d, .n_deliveries = 1 };
		struct requests_page page = { .entries = &e, .n_entries = 1 };
		begin(&f, 0);
		assert_non_null(track_take(&f.track, &page));
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_all_parts_from_any),
		cmocka_unit_test(asks_again_on_another_connection),
		cmocka_unit_test(parts_that_are_not_known),
		cmocka_unit_test(refuses_nonsense),
		cmocka_unit_test(knows_the_users),
		cmocka_unit_test(refuses_impossible_sizes),
	};
	return cmocka_run_group_tests_name("track", tests, NULL, NULL);
}
