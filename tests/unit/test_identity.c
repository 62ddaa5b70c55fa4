// needs: common/identity.c common/text.c common/arena.c
#include "common/identity.h"
#include "unit.h"

static void mc_system_ids(void **state)
{
	(void)state;
	static const char *const good[] = { "a.b", "police.example", "x-1.y-2.example", "1.police.example", "xn--a.example" };
	static const char *const bad[] = { "", "a", "a.", ".a", "a..b", "A.b", "a_b.c", "-a.b", "a-.b", "a.b.", "192.0.2.1",
					   "a b.c", "\xC3\xA4.example" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(mc_system_id_valid(str_of(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(mc_system_id_valid(str_of(bad[i])));
	char label[65];
	memset(label, 'a', sizeof label);
	char text[300];
	snprintf(text, sizeof text, "%.63s.%.63s.%.63s.%.61s", label, label, label, label);
	assert_true(mc_system_id_valid(str_of(text))); /* 253 bytes */
	snprintf(text, sizeof text, "%.63s.%.63s.%.63s.%.62s", label, label, label, label);
	assert_false(mc_system_id_valid(str_of(text)));
	snprintf(text, sizeof text, "%.64s.b", label);
	assert_false(mc_system_id_valid(str_of(text)));
}

static void mc_ids(void **state)
{
	(void)state;
	char text[257];
	memset(text, 'a', sizeof text);
	assert_true(mc_id_valid(STR("iit3A")));
	assert_true(mc_id_valid(STR("tel:+1000")));
	assert_true(mc_id_valid((struct str){ text, 255 }));
	assert_false(mc_id_valid((struct str){ text, 256 }));
	assert_false(mc_id_valid(STR("")));
	assert_false(mc_id_valid(STR("a\0b")));
	assert_false(mc_id_valid(STR("a\tb")));
}

static void canonical_forms(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "sip:alice@police.example", "sip:alice@police.example" },
		{ "SIP:Alice@Police.EXAMPLE", "sip:Alice@police.example" },
		{ "sips:a@b.c", "sips:a@b.c" },
		{ "sip:%61lice%2d@b.c", "sip:alice-@b.c" },
		{ "sip:a%2fb%c3%a4@b.c", "sip:a%2Fb%C3%A4@b.c" },
		{ "sip:a&=+$,;?/@b.c", "sip:a&=+$,;?/@b.c" },
		{ "sip:a%40b@b.c", "sip:a%40b@b.c" },
		{ "sip:/a@b.c", "sip:/a@b.c" },
		{ "sip:a//b@b.c", "sip:a//b@b.c" },
		{ "sip:%2f/a@b.c", "sip:%2F/a@b.c" },
		{ "tel:+49-30(555).12", "tel:+493055512" },
		{ "TEL:+1", "tel:+1" },
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct str out, again;
		assert_true(mc_service_id_canonical(a, str_of(cases[i][0]), &out, NULL));
		assert_str(out, cases[i][1]);
		assert_true(mc_service_id_canonical(a, out, &again, NULL));
		assert_ptr_equal(again.ptr, out.ptr); /* canonical already: not copied */
	}
	arena_free(a);
}

static void what_is_no_mc_service_id(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "sip:", "alice", "http://a.b", "mailto:a@b.c", "sip:@b.c", "sip:a@", "sip:a@b", "sip:a@b.c.", "sip:a:p@b.c",
		"sip:a@b.c:5060", "sip:a@b.c;x", "sip:a@b.c?x", "sip:a@[::1]", "sip:a@192.0.2.1", "sip:a%@b.c", "sip:a%4@b.c",
		"sip:a%4", "sip:a%0a@b.c", "sip:a%00@b.c", "sip:a%ff@b.c", "sip:a b@b.c", "sip:a\"@b.c", "sip:a@b@b.c", "tel:",
		"tel:1", "tel:+", "tel:+a", "tel:+1;x=1", "tel:+1234567890123456", "tel:+-", "sip:a%e2%80%ae@b.c",
		"sip://a@b.c", "SIPS://a@b.c", "sip:///@b.c" };
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct str out;
		const char *reason = NULL;
		assert_false(mc_service_id_canonical(a, str_of(bad[i]), &out, &reason));
		assert_non_null(reason);
	}
	arena_free(a);
}

/* A random URI behind its scheme: mostly what is canonical, with a character here and there that is not. */
static struct str random_uri(char *buffer, size_t scheme)
{
	static const char likely[] = "abcxyz019.-@", any[] = "aZ0-_.!~*'()&=+$,;?/:@%41%e2%c3%a4 \"#\x7f\xc3\xa4\x01";
	size_t n = scheme + (size_t)rand() % 24;
	bool odd = rand() % 2;
	for (size_t i = scheme; i < n; i++)
		buffer[i] = odd && rand() % 6 == 0 ? any[(size_t)rand() % (sizeof any - 1)] :
						     likely[(size_t)rand() % (sizeof likely - 1)];
	return (struct str){ buffer, n };
}

/* What is canonical as it stands is found at once. With its scheme in capitals it is gone through: the same. */
static void what_is_canonical_already_is_judged_like_any(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	size_t good = 0, unchanged = 0;
	srand(1);
	for (int i = 0; i < 300000; i++) {
		char lower[40] = "sips:", upper[40] = "SIPS:";
		size_t scheme = rand() % 2 ? 5 : 4;
		if (scheme == 4)
			lower[3] = upper[3] = ':';
		struct str fast = random_uri(lower, scheme), slow = { upper, fast.len }, out[2];
		memcpy(upper + scheme, lower + scheme, fast.len - scheme);
		bool valid = mc_service_id_canonical(a, fast, &out[0], NULL);
		assert_int_equal(mc_service_id_canonical(a, slow, &out[1], NULL), valid);
		if (!valid)
			continue;
		assert_true(str_eq(out[0], out[1]));
		assert_int_equal(out[0].ptr == fast.ptr, str_eq(out[0], fast));
		good++;
		unchanged += out[0].ptr == fast.ptr;
		arena_reset(a);
	}
	assert_true(good > 5000 && unchanged > 5000 && unchanged < good);
	arena_free(a);
}

/* Wherever a character is in a user part, long or short, it is judged as by itself. */
static void every_character_everywhere(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	for (size_t length = 1; length < 40; length++) {
		for (size_t i = 0; i < length * 255; i++) {
			char uri[64] = "sip:", one[] = "SIP:x@b.c";
			struct str out, fast = { uri, 4 + length + 4 };
			one[4] = (char)(i % 255 + 1);
			memset(uri + 4, 'a', length);
			memcpy(uri + 4 + length, "@b.c", 4);
			uri[4 + i / 255] = one[4];
			if (one[4] != '%')
				assert_int_equal(mc_service_id_canonical(a, fast, &out, NULL),
						 mc_service_id_canonical(a, str_of(one), &out, NULL));
		}
		arena_reset(a);
	}
	arena_free(a);
}

static void domains_and_services(void **state)
{
	(void)state;
	assert_str(mc_service_id_domain(STR("sip:a@b.c")), "b.c");
	assert_null(mc_service_id_domain(STR("tel:+1")).ptr);
	for (int i = -3; i < 10; i++) {
		const char *name = mc_service_name(i);
		assert_int_equal(name != NULL, i >= 1 && i <= 3);
		if (name)
			assert_int_equal(mc_service_from_name(str_of(name)), i);
	}
	assert_int_equal(mc_service_from_name(STR("MCVideo")), MC_SERVICE_MCVIDEO);
	assert_int_equal(mc_service_from_name(STR("mcpttx")), 0);
	assert_int_equal(mc_service_from_name(STR("")), 0);
}

static void request_ids(void **state)
{
	(void)state;
	static const uint8_t random[10] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe };
	char text[REQUEST_ID_TEXT_SIZE];
	struct request_id id = request_id_make(0x0123456789abull, random), back;
	request_id_format(id, text);
	assert_string_equal(text, "01234567-89ab-7fff-bfff-fffffffffffe");
	assert_true(request_id_parse(str_of(text), &back));
	assert_memory_equal(&id, &back, sizeof id);
	assert_true(request_id_parse(STR("0123456789AB7FFFbffffffffffffffe"), &back));
	assert_memory_equal(&id, &back, sizeof id);
	request_id_format(request_id_part(id, 3), text); /* modulo 2^32, no carry beyond */
	assert_string_equal(text, "01234567-89ab-7fff-bfff-ffff00000001");
	assert_false(request_id_parse(STR("01234567-89ab-7fff-bfff-ffffffffffe"), &back));
	assert_false(request_id_parse(STR("01234567x89ab-7fff-bfff-fffffffffffe"), &back));
	assert_false(request_id_parse(STR("g1234567-89ab-7fff-bfff-fffffffffffe"), &back));
}

static void plain_ones_and_their_domain(void **state)
{
	(void)state;
	struct str domain = STR_NONE;
	assert_false(mc_service_id_is_plain(STR("sip:a@"), &domain));
	assert_true(mc_service_id_is_plain(STR("sip:a@b.c"), &domain));
	assert_str(domain, "b.c");
	assert_true(mc_service_id_is_plain(STR("sips:another.user_1@b.c"), &domain));
	static const char *const not_plain[] = { "", "sip:", "sip:@b.c", "sip:a@", "sip:a@b.", "sip:a@b.C", "sip:a@b.c.",
						 "sip:%61@b.c", "sip:a b@b.c", "tel:+1", "SIP:a@b.c", "sip://a@b.c", "sip:ab\x80@b.c" };
	for (size_t i = 0; i < sizeof not_plain / sizeof *not_plain; i++) {
		assert_false(mc_service_id_is_plain(str_of(not_plain[i]), &domain));
		assert_str(domain, "b.c"); /* still the last good one */
	}
	assert_true(mc_service_id_is_plain(STR("sip:a@b.cd"), &domain));
	assert_str(domain, "b.cd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mc_system_ids),
		cmocka_unit_test(mc_ids),
		cmocka_unit_test(canonical_forms),
		cmocka_unit_test(what_is_no_mc_service_id),
		cmocka_unit_test(what_is_canonical_already_is_judged_like_any),
		cmocka_unit_test(every_character_everywhere),
		cmocka_unit_test(plain_ones_and_their_domain),
		cmocka_unit_test(domains_and_services),
		cmocka_unit_test(request_ids),
	};
	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
