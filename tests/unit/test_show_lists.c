// needs: acmc/show_requests.c acmc/show_users.c acmc/show_reconcile.c acmc/show_receipt.c acmc/put.c acmc/repair.c
// needs: acmc/track.c acmc/parts.c acmc/answers.c acmc/stock.c acmc/stock_sort.c acmc/spool.c acmc/reconcile.c
// needs: common/receipt.c common/content.c common/cbor.c common/error.c common/setup.c common/setup_fault.c common/users_file.c common/when.c common/users_csv.c common/users_json.c
// needs: common/json.c common/table.c common/identity.c common/text.c common/arena.c common/cause.c common/page.c
// needs: common/sort.c
/* Lists of requests and users as the administrator sees them, compared with tests/golden/cli/list-*; UPDATE=1 writes them. */
#include "tests/unit/unit.h"
#include <locale.h>
#include "acmc/repair.h"
#include "acmc/show_receipt.h"
#include "acmc/show_reconcile.h"
#include "acmc/show_requests.h"
#include "acmc/show_users.h"

static const struct request_id id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 7 } };
static const uint64_t noon = 1800014400000;

/* --- comparing --- */

struct paper {
	FILE *out;
	char *text;
	size_t n;
};

static void begin(struct paper *p)
{
	p->out = open_memstream(&p->text, &p->n);
	assert_non_null(p->out);
}

static void end(struct paper *p, const char *name)
{
	char path[256], expected[16384];
	fclose(p->out);
	snprintf(path, sizeof path, "tests/golden/cli/list-%s", name);
	if (getenv("UPDATE")) {
		FILE *out = fopen(path, "w");
		assert_non_null(out);
		fwrite(p->text, 1, p->n, out);
		fclose(out);
	}
	FILE *in = fopen(path, "r");
	if (!in)
		fail_msg("%s is missing (run in the top folder)", path);
	size_t n = fread(expected, 1, sizeof expected, in);
	fclose(in);
	if (n != p->n || memcmp(expected, p->text, n) != 0)
		fail_msg("%s differs; UPDATE=1 writes it; it is now:\n%s", path, p->text);
	assert_null(strchr(p->text, '\033')); /* nobody's text reaches a terminal as it is */
	free(p->text);
}

/* --- requests --- */

static void lists_requests(void **state)
{
	struct delivery_entry deliveries[] = {
		{ .mc_system_id = STR("fire.example"), .state = DELIVERY_ANSWERED, .has_response = true, .answered_ms = noon,
		  .response = { .result = true, .origin = ORIGIN_PARTNER_ACMS, .detail = STR("") } },
		{ .mc_system_id = STR("rail.example"), .state = DELIVERY_ANSWERED, .has_response = true, .answered_ms = noon,
		  .response = { .cause = CAUSE_REJECTED, .origin = ORIGIN_PARTNER_ACMS, .detail = STR("\x1B[31mno") } },
		{ .mc_system_id = STR("port.example"), .state = DELIVERY_QUEUED, .attempts = 12, .until_ms = noon + 60000,
		  .detail = STR("connection refused") },
		{ .mc_system_id = STR("army.example"), .state = DELIVERY_APPROVAL, .until_ms = noon + 86400000,
		  .detail = STR("") },
		{ .mc_system_id = STR("navy.example"), .state = DELIVERY_SENT, .detail = STR("") },
	};
	struct request_entry e = { .request_id = id, .operation = OPERATION_REMOVE, .acmc = STR("control-room"),
				   .accepted_ms = noon, .deadline_ms = noon + 172800000, .part = 1, .parts = 3, .users = 1000,
				   .deliveries = deliveries, .n_deliveries = 5 };
	struct paper p;
	(void)state;
	begin(&p);
	struct table *t = requests_table();
	assert_true(t && requests_table_add(t, &e) && table_print(t, p.out, false));
	table_free(t);
	end(&p, "requests.table");
	begin(&p);
	struct json_writer *w = json_writer_new(p.out);
	put_request(w, &e);
	assert_true(json_writer_free(w));
	end(&p, "requests.json");
}

static void shows_what_waits(void **state)
{
	struct str mc_ids[] = { STR("alice@fire.example"), STR("b\x1B[31m") };
	struct service_id_entry ids[] = { { mc_ids[0], MC_SERVICE_MCPTT, STR("sip:alice@fire.example") },
					  { mc_ids[0], MC_SERVICE_MCDATA, STR("tel:+1") } };
	struct user_revision revisions[] = { { mc_ids[0], 3 } };
	struct pending_entry e = { .mc_system_id = STR("fire.example"), .received_ms = noon, .until_ms = noon + 3600000,
				   .users = 2,
				   .request = { .request_id = id, .operation = OPERATION_UPDATE, .mc_ids = mc_ids, .n_mc_ids = 2,
						.service_ids = ids, .n_service_ids = 2, .revisions = revisions, .n_revisions = 1,
						.has_validity = true, .validity = { noon, noon + 1 }, .best_effort = true,
						.home_acmc_id = STR("sip:duty@fire.example") } };
	struct paper p;
	(void)state;
	begin(&p);
	struct table *t = pending_table();
	assert_true(t && pending_table_add(t, &e) && table_print(t, p.out, false));
	table_free(t);
	show_pending_line(p.out, &e);
	assert_true(show_pending(p.out, &e, false));
	end(&p, "pending.text");
	begin(&p);
	struct json_writer *w = json_writer_new(p.out);
	put_pending(w, &e);
	assert_true(json_writer_free(w));
	end(&p, "pending.json");
}

/* --- users --- */

static struct user_service_id two_ids[] = { { MC_SERVICE_MCPTT, STR("sip:a@police.example") },
					    { MC_SERVICE_MCPTT, STR("tel:+1") } };
static struct user_service_id one_id[] = { { MC_SERVICE_MCDATA, STR("sip:\"b@police.example") } };
static const struct user_entry some_users[] = {
	{ .mc_id = STR("a, \"b\"@police.example"), .service_ids = two_ids, .n_service_ids = 2, .revision = 3, .vouched = true,
	  .changed_ms = 1800014400000, .validity = { 1800014400000, 1800014400001 } },
	{ .mc_id = STR("b\xC3\xB6rn"), .service_ids = one_id, .n_service_ids = 1, .revision = 18446744073709551615u },
	{ .mc_id = STR("chen"), .vouched = true },
};
enum { SOME = sizeof some_users / sizeof *some_users };

static void write_users(FILE *out, bool csv)
{
	struct json_writer *w = csv ? NULL : json_writer_new(out);
	if (csv)
		users_csv_header(out);
	else
		json_array(w);
	for (size_t i = 0; i < SOME; i++) {
		if (csv)
			users_csv_row(out, &some_users[i]);
		else
			put_user(w, &some_users[i]);
	}
	if (!csv) {
		json_end_array(w);
		assert_true(json_writer_free(w));
	}
}

static void lists_users(void **state)
{
	struct paper p;
	(void)state;
	begin(&p);
	assert_true(users_table_print(p.out, some_users, 2, true, false));
	assert_true(users_table_print(p.out, some_users + 2, 1, false, false));
	end(&p, "users.table");
	begin(&p);
	write_users(p.out, true);
	end(&p, "users.csv");
}

/* What acmc users prints, acmc update takes: nothing is lost, whatever is in it. */
static void what_is_listed_can_be_read(void **state)
{
	(void)state;
	for (int csv = 0; csv < 2; csv++) {
		struct users u;
		struct arena *a = arena_new(0);
		char *text = NULL;
		size_t n = 0;
		FILE *out = open_memstream(&text, &n);
		write_users(out, csv);
		fclose(out);
		FILE *in = fmemopen(text, n, "r");
		users_init(&u, a, "F", stderr);
		users_read(&u, in, USERS_GUESS);
		fclose(in);
		assert_int_equal(u.n_mistakes, 0);
		assert_int_equal(u.n, SOME);
		for (size_t i = 0; i < SOME; i++) {
			const struct users_user *x = &u.items[i];
			const struct user_entry *y = &some_users[i];
			assert_true(str_eq(x->mc_id, y->mc_id));
			assert_true(x->revision == y->revision);
			assert_memory_equal(&x->validity, &y->validity, sizeof x->validity);
			assert_int_equal(x->n, y->n_service_ids);
			for (size_t j = 0; j < x->n; j++) {
				assert_int_equal(u.ids[x->first + j].entry.service, y->service_ids[j].service);
				assert_true(str_eq(u.ids[x->first + j].entry.mc_service_id, y->service_ids[j].mc_service_id));
			}
		}
		users_free(&u);
		arena_free(a);
		free(text);
	}
}

/* --- differences --- */

static struct user_service_id good_id[] = { { MC_SERVICE_MCPTT, STR("sip:x@police.example") } };
static const struct user_entry at_home = { .mc_id = STR("x"), .service_ids = good_id, .n_service_ids = 1, .revision = 2,
					   .validity = { 0, 1800014400000 } };
static const struct user_entry at_partner = { .mc_id = STR("x"), .revision = 7 };
static struct difference differences[] = {
	{ MISSING_AT_PARTNER, STR("x"), &at_home, NULL },
	{ UNKNOWN_TO_HOME, STR("x"), NULL, &at_partner },
	{ DIFFERENT, STR("x"), &at_home, &at_partner },
};
static const struct reconcile compared = { .partner = STR("fire.example"), .found = differences, .n_found = 3,
					   .total = { 100, 101 }, .n_queries = 12, .n_listed = 68 };

static void shows_differences(void **state)
{
	struct paper p;
	(void)state;
	begin(&p);
	assert_true(show_reconcile(p.out, &compared, 4711, false));
	end(&p, "reconcile.table");
	begin(&p);
	struct json_writer *w = json_writer_new(p.out);
	json_map(w);
	put_reconcile(w, &compared, 4711);
	json_end_map(w);
	assert_true(json_writer_free(w));
	end(&p, "reconcile.json");
}

/* Home's belief is the truth, guarded by the partner's revision. */
static void repairs(void **state)
{
	static const struct {
		enum operation operation;
		uint64_t revision, not_after_ms;
		size_t n_ids;
	} cases[] = {
		{ OPERATION_REMOVE, 7, 0, 0 },
		{ OPERATION_UPDATE, 7, 1800014400000, 1 },
		{ OPERATION_SETUP, 0, 1800014400000, 1 },
	};
	(void)state;
	for (size_t i = 0; i < OPERATIONS; i++) {
		struct stock stock = { .n = 0 };
		struct stocked u;
		uint64_t offset = 0;
		assert_int_equal(repair_order[i], cases[i].operation);
		assert_true(repair_users(&compared, repair_order[i], &stock, stderr));
		assert_int_equal(stock.n, 1);
		assert_true(stock_next(&stock, &offset, &u));
		assert_true(u.revision == cases[i].revision);
		assert_true(u.validity.not_after_ms == cases[i].not_after_ms);
		assert_int_equal(u.n_ids, cases[i].n_ids);
		stock_free(&stock);
	}
}

/* --- receipts --- */

static void shows_receipts(void **state)
{
	struct setup_user users[] = {
		{ .mc_id = STR("alice\x1B"), .service_ids = two_ids, .n_service_ids = 2 },
		{ .mc_id = STR("anna") }, /* was not done */
		{ .mc_id = STR("bob") },
	};
	static const uint64_t revisions[] = { 2, RECEIPT_NOT_DONE, 0 };
	struct receipt r = { .claims = { .partner = STR("fire.example"), .home = STR("police.example"), .request_id = id,
					 .operation = OPERATION_UPDATE, .done_ms = noon, .revisions = revisions,
					 .n_users = 3, .decided_by = STR("duty") },
			     .setup = { .users = users, .n_users = 3, .validity = { noon, noon + 1 } } };
	struct receipt_view good = { "fire.example", true, true, &r, "DNS:acms.fire.example", "the certificate has expired since",
				     NULL, "fire.receipt" };
	struct receipt_view bad = { "some.file", true, false, &r, "", "", "the signature is wrong", NULL };
	struct receipt_view none = { "other.file", false, false, &r, "", "", "no CBOR", NULL };
	struct paper p;
	(void)state;
	begin(&p);
	assert_true(show_receipt(p.out, &good, false) && show_receipt(p.out, &bad, false) &&
		    show_receipt(p.out, &none, false));
	end(&p, "receipt.text");
	begin(&p);
	struct json_writer *w = json_writer_new(p.out);
	json_array(w);
	put_receipt(w, &good);
	put_receipt(w, &none);
	json_end_array(w);
	assert_true(json_writer_free(w));
	end(&p, "receipt.json");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_requests),
		cmocka_unit_test(shows_what_waits),
		cmocka_unit_test(lists_users),
		cmocka_unit_test(what_is_listed_can_be_read),
		cmocka_unit_test(shows_differences),
		cmocka_unit_test(repairs),
		cmocka_unit_test(shows_receipts),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests_name("lists", tests, NULL, NULL);
}
