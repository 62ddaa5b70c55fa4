#include "common/when.h"

#include <stdio.h>

enum { SECOND = 1000, DAY_SECONDS = 86400, DAYS_TO_1970 = 719468, YEAR_MAX = 9999, DURATION_DAYS_MAX = 36525 };

/* --- the calendar: years begin in March, so that the leap day is the last --- */

static int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int64_t era = year / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

static void date_of_days(int64_t days, int *year, int *month, int *day)
{
	days += DAYS_TO_1970;
	int64_t era = days / 146097, of_era = days % 146097;
	int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t from_march = (5 * of_year + 2) / 153;
	*day = (int)(of_year - (153 * from_march + 2) / 5 + 1);
	*month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
	*year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return days[month - 1] + (month == 2 && leap);
}

/* --- reading --- */

struct scan {
	const char *at, *end;
	bool good;
};

static bool at_end(const struct scan *s)
{
	return s->at == s->end;
}

static bool take(struct scan *s, const char *any)
{
	if (at_end(s) || !*s->at || !strchr(any, *s->at))
		return false;
	s->at++;
	return true;
}

static void need(struct scan *s, const char *any)
{
	s->good &= take(s, any);
}

/* Exactly so many digits. */
static unsigned digits(struct scan *s, int n, unsigned min, unsigned max)
{
	unsigned value = 0;
	for (int i = 0; i < n; i++, s->at++) {
		if (at_end(s) || *s->at < '0' || *s->at > '9') {
			s->good = false;
			return min;
		}
		value = value * 10 + (unsigned)(*s->at - '0');
	}
	s->good &= value >= min && value <= max;
	return value;
}

static int64_t scan_date(struct scan *s)
{
	unsigned year = digits(s, 4, 1970, YEAR_MAX);
	need(s, "-");
	unsigned month = digits(s, 2, 1, 12);
	need(s, "-");
	if (!s->good)
		return 0;
	return days_of_date(year, month, digits(s, 2, 1, days_in_month(year, month)));
}

static int64_t scan_time_ms(struct scan *s)
{
	int64_t seconds = digits(s, 2, 0, 23) * 3600;
	need(s, ":");
	seconds += digits(s, 2, 0, 59) * 60;
	need(s, ":");
	seconds += digits(s, 2, 0, 60); /* a leap second */
	int64_t ms = 0, unit = 100;
	if (take(s, ".")) {
		do {
			ms += digits(s, 1, 0, 9) * unit;
			unit /= 10;
		} while (s->good && !at_end(s) && *s->at >= '0' && *s->at <= '9');
	}
	return seconds * SECOND + ms;
}

static int64_t scan_offset_ms(struct scan *s)
{
	if (take(s, "zZ"))
		return 0;
	bool minus = !at_end(s) && *s->at == '-';
	need(s, "+-");
	int64_t minutes = digits(s, 2, 0, 23) * 60;
	need(s, ":");
	minutes += digits(s, 2, 0, 59);
	return (minus ? -minutes : minutes) * 60 * SECOND;
}

bool when_parse_duration(struct str text, uint64_t *out_ms)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', DAY_SECONDS }, { 'w', 7 * DAY_SECONDS } };
	const uint64_t max = (uint64_t)DURATION_DAYS_MAX * DAY_SECONDS;
	uint64_t n = 0, seconds = 1;
	size_t i = 0;
	for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9' && n <= max; i++)
		n = n * 10 + (uint64_t)(text.ptr[i] - '0');
	bool known = i == text.len;
	for (size_t j = 0; j < sizeof units / sizeof *units && i + 1 == text.len; j++) {
		if (text.ptr[i] == units[j].unit) {
			known = true;
			seconds = units[j].seconds;
		}
	}
	if (!known || n == 0 || n > max / seconds)
		return false;
	*out_ms = n * seconds * SECOND;
	return true;
}

static bool parse_relative(struct str text, uint64_t now_ms, uint64_t *out_ms)
{
	uint64_t ms;
	if (!when_parse_duration((struct str){ text.ptr + 1, text.len - 1 }, &ms))
		return false;
	if (text.ptr[0] == '-' && ms > now_ms)
		return false;
	*out_ms = text.ptr[0] == '-' ? now_ms - ms : now_ms + ms;
	return true;
}

bool when_parse(struct str text, uint64_t now_ms, uint64_t *out_ms)
{
	struct scan s = { text.ptr, text.ptr + text.len, true };
	if (text.len && strchr("+-", text.ptr[0]))
		return parse_relative(text, now_ms, out_ms);
	int64_t ms = scan_date(&s) * DAY_SECONDS * SECOND;
	if (s.good && !at_end(&s)) {
		need(&s, "tT ");
		ms += scan_time_ms(&s);
		ms -= scan_offset_ms(&s);
	}
	if (!s.good || !at_end(&s) || ms < 0)
		return false;
	*out_ms = (uint64_t)ms;
	return true;
}

/* --- writing --- */

static char *format(uint64_t ms, bool with_ms, char text[WHEN_TEXT_SIZE])
{
	const int64_t last = days_of_date(YEAR_MAX + 1, 1, 1);
	int64_t days = (int64_t)(ms / SECOND / DAY_SECONDS);
	unsigned rest = (unsigned)(ms / SECOND % DAY_SECONDS);
	int year, month, day;
	if (days >= last) {
		snprintf(text, WHEN_TEXT_SIZE, "after %d", YEAR_MAX);
		return text;
	}
	date_of_days(days, &year, &month, &day);
	int n = snprintf(text, WHEN_TEXT_SIZE, "%04d-%02d-%02dT%02u:%02u:%02u", year % 10000, month % 100, day % 100,
			 rest / 3600, rest / 60 % 60, rest % 60);
	if (with_ms && ms % SECOND)
		snprintf(text + n, (size_t)(WHEN_TEXT_SIZE - n), ".%03uZ", (unsigned)(ms % SECOND));
	else
		snprintf(text + n, (size_t)(WHEN_TEXT_SIZE - n), "Z");
	return text;
}

char *when_format(uint64_t ms, char text[WHEN_TEXT_SIZE])
{
	return format(ms, true, text);
}

char *when_format_seconds(uint64_t ms, char text[WHEN_TEXT_SIZE])
{
	return format(ms, false, text);
}
