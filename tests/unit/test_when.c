// needs: common/when.c
/* Times and durations as administrators write them, and as they are shown. */
#include "tests/unit/unit.h"
#include <time.h>
#include "common/when.h"

static const uint64_t now = 1800000000000; /* 2027-01-15T08:00:00Z */

static void reads_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {
		{ "1970-01-01", 0 },
		{ "1970-01-01T00:00:00.001Z", 1 },
		{ "2027-01-15T08:00:00Z", now },
		{ "2027-01-15t08:00:00z", now },
		{ "2027-01-15 08:00:00Z", now },
		{ "2027-01-15T09:00:00+01:00", now },
		{ "2027-01-14T23:30:00-08:30", now },
		{ "2027-01-15T08:00:00.25Z", now + 250 },
		{ "2027-01-15T08:00:00.123456789Z", now + 123 },
		{ "2024-02-29", 1709164800000 },
		{ "2000-02-29T23:59:60Z", 951868800000 },
		{ "9999-12-31T23:59:59Z", 253402300799000 },
		{ "+8h", now + 8 * 3600000ull },
		{ "+30d", now + 30 * 86400000ull },
		{ "-90", now - 90000 },
		{ "-2w", now - 14 * 86400000ull },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t ms = 1;
		if (!when_parse(str_of(cases[i].text), now, &ms) || ms != cases[i].ms)
			fail_msg("%s: %llu", cases[i].text, (unsigned long long)ms);
	}
}

static void refuses_what_is_no_time(void **state)
{
	static const char *const bad[] = {
		"", "+", "-", "now", "8h", "2027", "2027-1-15", "2027-13-01", "2027-00-01", "2027-02-29", "1900-02-29",
		"2027-01-15T", "2027-01-15T08:00", "2027-01-15T08:00:00", "2027-01-15T24:00:00Z",
		"2027-01-15T08:60:00Z", "2027-01-15T08:00:61Z", "2027-01-15T08:00:00.Z", "2027-01-15T08:00:00+1:00",
		"2027-01-15T08:00:00+24:00", "2027-01-15T08:00:00Zx", "1969-12-31", "1970-01-01T00:00:00+01:00",
		"10000-01-01", "+8y", "+h", "+ 8h", "+0h", "+99999999999999999999d", "-100000d", "+8h ",
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint64_t ms = 42;
		if (when_parse(str_of(bad[i]), now, &ms))
			fail_msg("%s is taken as %llu", bad[i], (unsigned long long)ms);
		assert_int_equal(ms, 42);
	}
}

static void reads_durations(void **state)
{
	uint64_t ms;
	(void)state;
	assert_true(when_parse_duration(STR("90"), &ms) && ms == 90000);
	assert_true(when_parse_duration(STR("90s"), &ms) && ms == 90000);
	assert_true(when_parse_duration(STR("5m"), &ms) && ms == 300000);
	assert_true(when_parse_duration(STR("36525d"), &ms));
	assert_false(when_parse_duration(STR("36526d"), &ms));
	assert_false(when_parse_duration(STR("0"), &ms));
	assert_false(when_parse_duration(STR("-5"), &ms));
	assert_false(when_parse_duration(STR("5M"), &ms));
	assert_false(when_parse_duration(STR(""), &ms));
}

/* Against the C library, over 8,000 years, and back again. */
static void formats_as_the_c_library_does(void **state)
{
	char text[WHEN_TEXT_SIZE], expected[WHEN_TEXT_SIZE];
	(void)state;
	for (uint64_t s = 0; s < 253402300800; s += 86399ull * 97 + 13) {
		time_t t = (time_t)s;
		struct tm tm;
		uint64_t back;
		gmtime_r(&t, &tm);
		strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &tm);
		assert_string_equal(when_format(s * 1000, text), expected);
		assert_true(when_parse(str_of(text), 0, &back));
		assert_true(back == s * 1000);
	}
	assert_string_equal(when_format(now + 7, text), "2027-01-15T08:00:00.007Z");
	assert_string_equal(when_format_seconds(now + 7, text), "2027-01-15T08:00:00Z");
	assert_string_equal(when_format(UINT64_MAX, text), "after 9999");
	assert_string_equal(when_format(253402300800000, text), "after 9999");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_times),
		cmocka_unit_test(refuses_what_is_no_time),
		cmocka_unit_test(reads_durations),
		cmocka_unit_test(formats_as_the_c_library_does),
	};
	return cmocka_run_group_tests_name("when", tests, NULL, NULL);
}
