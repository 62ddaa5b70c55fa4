#include "common/identity.h"

#include <stdio.h>
#include "common/text.h"

/* What an ASCII character may be part of. */
enum { DIGIT = 1, LABEL = 2, UNRESERVED = 4, USER = 8 };

static const uint8_t classes[256] = {
	['0' ... '9'] = DIGIT | LABEL | UNRESERVED | USER,
	['a' ... 'z'] = LABEL | UNRESERVED | USER,
	['A' ... 'Z'] = UNRESERVED | USER,
	['-'] = LABEL | UNRESERVED | USER,
	['_'] = UNRESERVED | USER, ['.'] = UNRESERVED | USER, ['!'] = UNRESERVED | USER,
	['~'] = UNRESERVED | USER, ['*'] = UNRESERVED | USER, ['\''] = UNRESERVED | USER,
	['('] = UNRESERVED | USER, [')'] = UNRESERVED | USER,
	['&'] = USER, ['='] = USER, ['+'] = USER, ['$'] = USER, [','] = USER, [';'] = USER,
	['?'] = USER, ['/'] = USER,
};

static bool is(char c, int class)
{
	return classes[(uint8_t)c] & class;
}

/* How many bytes from the start are of the class. */
static size_t span(struct str s, int class)
{
	size_t n = 0;
	while (n < s.len && is(s.ptr[n], class))
		n++;
	return n;
}

static struct str behind(struct str s, size_t n)
{
	return (struct str){ s.ptr + n, s.len - n };
}

bool mc_system_id_valid(struct str id)
{
	if (id.len < 3 || id.len > MC_SYSTEM_ID_MAX)
		return false;
	for (size_t labels = 1;; labels++) {
		size_t n = span(id, LABEL);
		if (n < 1 || n > 63 || id.ptr[0] == '-' || id.ptr[n - 1] == '-')
			return false;
		if (n == id.len)
			return labels >= 2 && span(id, DIGIT) < n;
		if (id.ptr[n] != '.')
			return false;
		id = behind(id, n + 1);
	}
}

bool mc_id_valid(struct str id)
{
	return id.len >= 1 && id.len <= MC_ID_MAX &&
	       (text_is_plain(id) || (text_valid(id) && !text_has_control(id)));
}

/* --- MC service IDs: PROTOCOL.md 5.2 --- */

static bool fail(const char **reason, const char *text)
{
	if (reason)
		*reason = text;
	return false;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* prefix: in lower case */
static bool begins_with(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);
	if (s.len < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (lower(s.ptr[i]) != prefix[i])
			return false;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* "sip://a@b": to those who read URIs in general its user is "a", to SIP "//a". */
static bool looks_like_authority(struct str user)
{
	return user.len >= 2 && user.ptr[0] == '/' && user.ptr[1] == '/';
}

/*
 * Writes the canonical user part to out and the resolved one to plain, both as long as user at most. *n, *n_plain:
 * their lengths.
 */
static bool canonical_user(struct str user, char *out, size_t *n, char *plain, size_t *n_plain,
			   const char **reason)
{
	static const char digits[] = "0123456789ABCDEF";
	*n = *n_plain = 0;
	if (looks_like_authority(user))
		return fail(reason, "two slashes after the scheme are not allowed: sip:user@domain");
	for (size_t i = 0; i < user.len; i++) {
		char c = user.ptr[i];
		if (c != '%') {
			if (c == ':')
				return fail(reason, "a password or port is not allowed");
			if (!is(c, USER))
				return fail(reason, "a character before the @ that must be escaped");
			out[(*n)++] = plain[(*n_plain)++] = c;
			continue;
		}
		int high = i + 2 < user.len ? hex_digit(user.ptr[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(user.ptr[i + 2]) : -1;
		if (low < 0)
			return fail(reason, "% must be followed by two hexadecimal digits");
		char byte = (char)(high * 16 + low);
		plain[(*n_plain)++] = byte;
		i += 2;
		if (is(byte, UNRESERVED)) {
			out[(*n)++] = byte;
			continue;
		}
		out[(*n)++] = '%';
		out[(*n)++] = digits[high];
		out[(*n)++] = digits[low];
	}
	return true;
}

static bool canonical_host(struct str host, char *out, const char **reason)
{
	for (size_t i = 0; i < host.len; i++) {
		char c = host.ptr[i];
		if (c == ':' || c == ';' || c == '?')
			return fail(reason, "a port, parameters or headers are not allowed");
		out[i] = lower(c);
	}
	if (!mc_system_id_valid((struct str){ out, host.len }))
		return fail(reason, "what follows the @ must be a domain name");
	return true;
}

static bool canonical_sip(struct str rest, char *out, size_t *n, const char **reason)
{
	char plain[MC_SERVICE_ID_MAX];
	size_t n_plain;
	const char *at = memchr(rest.ptr, '@', rest.len);
	if (!at || at == rest.ptr)
		return fail(reason, "must have the form user@domain");
	struct str user = { rest.ptr, (size_t)(at - rest.ptr) };
	struct str host = { at + 1, rest.len - user.len - 1 };
	if (!canonical_user(user, out, n, plain, &n_plain, reason))
		return false;
	if (!mc_id_valid((struct str){ plain, n_plain }))
		return fail(reason, "what is escaped must be UTF-8 without control characters");
	out[(*n)++] = '@';
	if (!canonical_host(host, out + *n, reason))
		return false;
	*n += host.len;
	return true;
}

static bool canonical_tel(struct str rest, char *out, size_t *n, const char **reason)
{
	*n = 0;
	if (rest.len == 0 || rest.ptr[0] != '+')
		return fail(reason, "must be a global number, beginning with +");
	out[(*n)++] = '+';
	for (size_t i = 1; i < rest.len; i++) {
		char c = rest.ptr[i];
		if (c >= '0' && c <= '9')
			out[(*n)++] = c;
		else if (!c || !strchr("-.()", c))
			return fail(reason, "only digits and the separators - . ( ) may follow the +");
	}
	if (*n < 2 || *n > 16)
		return fail(reason, "must have 1 to 15 digits");
	return true;
}

/* Sixteen bytes at once, with whatever the processor has for that. */
typedef uint8_t block __attribute__((vector_size(16)));

/* Letters, digits and what stands around them in ASCII, & to /, and the underscore: of these a user mostly is. */
static bool are_usual(const char *p)
{
	block b;
	uint64_t halves[2];
	memcpy(&b, p, sizeof b);
	block usual = (block)(((b | 0x20) - 'a') <= 'z' - 'a') | (block)((b - '&') <= '9' - '&') | (block)(b == '_');
	memcpy(halves, &usual, sizeof usual);
	return (halves[0] & halves[1]) == UINT64_MAX;
}

/* The last sixteen by themselves: some of them are looked at once more. */
static bool is_user_part(struct str s)
{
	size_t i = 0;
	if (s.len >= sizeof(block) && are_usual(s.ptr + s.len - sizeof(block))) {
		while (i + sizeof(block) <= s.len && are_usual(s.ptr + i))
			i += sizeof(block);
		if (i + sizeof(block) > s.len)
			return true;
	}
	return i + span(behind(s, i), USER) == s.len;
}

bool mc_service_id_is_plain(struct str id, struct str *domain)
{
	if (id.len < 5 || id.len > MC_SERVICE_ID_MAX)
		return false;
	size_t prefix = memcmp(id.ptr, "sip:", 4) == 0 ? 4 : memcmp(id.ptr, "sips:", 5) == 0 ? 5 : 0;
	if (prefix == 0)
		return false;
	struct str rest = behind(id, prefix);
	const char *at = memchr(rest.ptr, '@', rest.len);
	size_t user = at ? (size_t)(at - rest.ptr) : 0;
	if (user == 0 || looks_like_authority(rest) || !is_user_part((struct str){ rest.ptr, user }))
		return false;
	struct str host = behind(rest, user + 1);
	if (host.len == 0 || (!str_eq(host, *domain) && !mc_system_id_valid(host)))
		return false;
	*domain = host;
	return true;
}

bool mc_service_id_canonical(struct arena *a, struct str id, struct str *out, const char **reason)
{
	static const char *const schemes[] = { "sips:", "sip:", "tel:" };
	char canonical[MC_SERVICE_ID_MAX];
	size_t n = 0, s = 0;
	if (mc_service_id_is_plain(id, &(struct str){ NULL, 0 })) {
		*out = id;
		return true;
	}
	if (id.len < 1 || id.len > MC_SERVICE_ID_MAX)
		return fail(reason, "must have 1 to 255 bytes");
	while (s < 3 && !begins_with(id, schemes[s]))
		s++;
	if (s == 3)
		return fail(reason, "must be a sip:, sips: or tel: URI");
	size_t prefix = strlen(schemes[s]);
	struct str rest = { id.ptr + prefix, id.len - prefix };
	memcpy(canonical, schemes[s], prefix);
	if (!(s == 2 ? canonical_tel : canonical_sip)(rest, canonical + prefix, &n, reason))
		return false;
	struct str result = { canonical, prefix + n };
	*out = str_eq(result, id) ? id : arena_str(a, result);
	return out->ptr || fail(reason, "out of memory");
}

struct str mc_service_id_domain(struct str canonical)
{
	const char *at = memchr(canonical.ptr, '@', canonical.len);
	if (!at)
		return STR_NONE;
	return (struct str){ at + 1, canonical.len - (size_t)(at + 1 - canonical.ptr) };
}

/* --- services --- */

static const char *const service_names[] = { NULL, "mcptt", "mcvideo", "mcdata" };
enum { SERVICES = sizeof service_names / sizeof *service_names };

const char *mc_service_name(int service)
{
	return service > 0 && service < SERVICES ? service_names[service] : NULL;
}

int mc_service_from_name(struct str name)
{
	for (int i = 1; i < SERVICES; i++) {
		if (name.len == strlen(service_names[i]) && begins_with(name, service_names[i]))
			return i;
	}
	return 0;
}

/* --- request IDs --- */

struct request_id request_id_make(uint64_t unix_ms, const uint8_t random[10])
{
	struct request_id id;
	for (int i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(unix_ms >> (40 - 8 * i));
	memcpy(id.bytes + 6, random, 10);
	id.bytes[6] = (uint8_t)(0x70 | (id.bytes[6] & 0x0F));
	id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3F));
	return id;
}

struct request_id request_id_part(struct request_id base, uint32_t k)
{
	uint32_t tail = 0;
	for (int i = 12; i < 16; i++)
		tail = tail << 8 | base.bytes[i];
	tail += k;
	for (int i = 15; i >= 12; i--, tail >>= 8)
		base.bytes[i] = (uint8_t)tail;
	return base;
}

void request_id_format(struct request_id id, char text[REQUEST_ID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;
	for (int i = 0; i < REQUEST_ID_SIZE; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[n++] = '-';
		text[n++] = digits[id.bytes[i] >> 4];
		text[n++] = digits[id.bytes[i] & 15];
	}
	text[n] = '\0';
}

bool request_id_parse(struct str text, struct request_id *out)
{
	bool hyphens = text.len == 36;
	size_t n = 0;
	if (!hyphens && text.len != 32)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23)) {
			if (text.ptr[i] != '-')
				return false;
			continue;
		}
		int digit = hex_digit(text.ptr[i]);
		if (digit < 0)
			return false;
		out->bytes[n / 2] = (uint8_t)(n % 2 ? out->bytes[n / 2] << 4 | digit : digit);
		n++;
	}
	return n == 32;
}
