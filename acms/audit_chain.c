#include "acms/audit_chain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/crypto.h"
#include "common/text.h"

char *audit_digest_text(const uint8_t digest[DIGEST_SIZE], char text[2 * DIGEST_SIZE + 1])
{
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

/* --- taking entries --- */

static bool make_room(struct audit_chain *c)
{
	if (c->n < c->room)
		return true;
	size_t room = c->room ? 2 * c->room : 256;
	struct audit_link *larger = reallocarray(c->links, room, sizeof *larger);
	if (!larger)
		return false;
	c->links = larger;
	c->room = room;
	return true;
}

bool audit_chain_add(struct audit_chain *c, struct arena *scratch, uint64_t number, struct str value)
{
	struct audit_record r;
	struct error e;
	if (!make_room(c))
		return false;
	struct audit_link *l = &c->links[c->n];
	*l = (struct audit_link){ .number = number };
	if (crypto_sha256(value, l->digest) != OK)
		return false;
	if (record_decode_audit(scratch, value, &r, &e) == OK)
		memcpy(l->previous, r.previous, DIGEST_SIZE);
	else if (!(l->unreadable = strdup(e.text)))
		return false;
	c->n++;
	return true;
}

void audit_chain_free(struct audit_chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		free((char *)c->links[i].unreadable);
	free(c->links);
	*c = (struct audit_chain){ .numbered = c->numbered };
}

/* --- checking --- */

enum { MOST_FAULTS = 100 };

struct check {
	const struct audit_chain *chain;
	audit_chain_fault *fault;
	void *context;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct check *c, const char *format, ...)
{
	char text[512];
	va_list args;
	if (++c->n > MOST_FAULTS)
		return;
	va_start(args, format);
	text_vformat(text, sizeof text, format, args);
	va_end(args);
	c->fault(c->context, c->n < MOST_FAULTS ? text : "and more, which are not told");
}

typedef unsigned long long number;

static const uint8_t nothing[DIGEST_SIZE]; /* what entry 1 has for the one before */

static bool same(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, DIGEST_SIZE) == 0;
}

/* The entry that has this digest; NULL: there is none. */
static const struct audit_link *find(const struct audit_chain *c, const uint8_t *digest)
{
	for (size_t i = 0; i < c->n; i++) {
		if (same(c->links[i].digest, digest))
			return &c->links[i];
	}
	return NULL;
}

static number last_number(const struct audit_chain *c)
{
	return c->n ? c->links[c->n - 1].number : c->start.number;
}

/* Of the last entry, or of what the log begins behind. */
static const uint8_t *last_digest(const struct audit_chain *c)
{
	return c->n ? c->links[c->n - 1].digest : c->start.digest;
}

static void say_numbers(struct check *c, number from, number to, const char *what, const char *more)
{
	if (from == to)
		say(c, "entry %llu is %s%s", from, what, more);
	else
		say(c, "entries %llu to %llu are %s%s", from, to, what, more);
}

/* Whether entry i is what it was when it was written, by what was written behind it. */
enum seal { SEAL_GOOD, SEAL_BROKEN, SEAL_NONE };

static enum seal last_seal(const struct audit_chain *c)
{
	const struct audit_link *last = &c->links[c->n - 1];
	if (c->has_head != AUDIT_HEAD_FOUND || (c->numbered && c->head.number != last->number))
		return SEAL_NONE;
	if (same(last->digest, c->head.digest))
		return SEAL_GOOD;
	return c->head.number > last->number ? SEAL_NONE : SEAL_BROKEN;
}

/* That of entry i, by entry i + 1, whose own seal is `next`. */
static enum seal seal_of(const struct audit_chain *c, size_t i, enum seal next)
{
	const struct audit_link *l = &c->links[i], *behind = &c->links[i + 1];
	if (behind->number != l->number + 1 || behind->unreadable)
		return SEAL_NONE;
	if (same(behind->previous, l->digest))
		return SEAL_GOOD;
	return next == SEAL_BROKEN ? SEAL_NONE : SEAL_BROKEN; /* who was altered says nothing */
}

/* The digest that entry i has of the one before is not that one's. */
static void check_link(struct check *c, size_t i)
{
	const struct audit_chain *chain = c->chain;
	const struct audit_link *l = &chain->links[i];
	if (l->unreadable || (i > 0 && chain->links[i - 1].number + 1 != l->number))
		return;
	const uint8_t *before = i > 0 ? chain->links[i - 1].digest : chain->start.digest;
	if (same(l->previous, before))
		return;
	const struct audit_link *other = find(chain, l->previous);
	if (other)
		say(c, "entry %llu follows entry %llu in the chain, not entry %llu: entries were reordered, added "
		    "or removed", (number)l->number, (number)other->number, (number)l->number - 1);
	else if (same(l->previous, nothing))
		say(c, "entry %llu says that it is the first: entries were reordered, added or removed",
		    (number)l->number);
	else if (i == 0 && l->number == chain->start.number + 1 && l->number > 1)
		say(c, "entry %llu does not follow entry %llu, which the log begins behind: entries were removed, or one of "
		    "them was altered", (number)l->number, (number)chain->start.number);
	else if (i == 0 && l->number == 1)
		say(c, "entry 1 says that there was one before it: entries were removed, or it was altered");
}

/* Numbers that are not there. A file has none of its own. */
static void check_numbers(struct check *c)
{
	number expected = c->chain->start.number + 1;
	if (c->chain->n > 0 && c->chain->links[0].number < expected)
		say(c, "entry %llu is there, though the log begins behind entry %llu: it was added, or that was altered",
		    (number)c->chain->links[0].number, expected - 1);
	for (size_t i = 0; i < c->chain->n && c->n < MOST_FAULTS; i++) {
		number at = c->chain->links[i].number;
		if (at > expected)
			say_numbers(c, expected, at - 1, "missing", "");
		expected = at + 1;
	}
}

static void check_head(struct check *c)
{
	const struct audit_chain *chain = c->chain;
	number last = last_number(chain), head = chain->head.number;
	if (chain->has_head == AUDIT_HEAD_MISSING)
		say(c, "the head is missing, behind entry %llu: the tail may have been cut off", last);
	if (chain->has_head != AUDIT_HEAD_FOUND)
		return;
	bool inside = last > 0 && same(last_digest(chain), chain->head.digest);
	if (chain->n == 0 && head == last && last > 0 && !inside)
		say(c, "the log is empty, and its head is not what it begins behind: one of them was altered");
	if (head < last)
		say_numbers(c, head + 1, last, "behind the head", ": added, or the head was altered");
	else if (chain->numbered && head > last)
		say_numbers(c, last + 1, head, "missing", ": the tail was cut off");
	else if (head > last)
		say(c, "%llu of %llu entries are missing%s", head - last, head, inside ? "" : ", at the end it seems");
}

/* A file with too few entries: a digest that nobody has is a removed entry's, or an altered one's. */
static bool some_are_missing(const struct audit_chain *c)
{
	return !c->numbered && c->has_head == AUDIT_HEAD_FOUND && c->head.number > last_number(c);
}

static void say_broken(struct check *c, size_t i)
{
	const struct audit_chain *chain = c->chain;
	const struct audit_link *l = &chain->links[i];
	char is[2 * DIGEST_SIZE + 1], was[2 * DIGEST_SIZE + 1];
	bool last = i + 1 == chain->n;
	const uint8_t *expected = last ? chain->head.digest : chain->links[i + 1].previous;
	if (!last && (find(chain, expected) || same(expected, nothing)))
		return; /* said of the next one */
	audit_digest_text(l->digest, is);
	audit_digest_text(expected, was);
	if (some_are_missing(chain))
		say(c, "behind entry %llu entries were removed, or it was altered: its SHA-256 is %.16s..., what came "
		    "next says %.16s...", (number)l->number, is, was);
	else
		say(c, "entry %llu was altered: its SHA-256 is %.16s..., %s says %.16s...", (number)l->number, is,
		    last ? "the head" : "the next entry", was);
}

size_t audit_chain_check(const struct audit_chain *chain, audit_chain_fault *fault, void *context)
{
	struct check c = { chain, fault, context, 0 };
	if (chain->numbered)
		check_numbers(&c);
	enum seal *seals = calloc(chain->n + 1, sizeof *seals);
	if (!seals) {
		say(&c, "out of memory");
		return c.n;
	}
	for (size_t i = chain->n; i-- > 0;)
		seals[i] = i + 1 == chain->n ? last_seal(chain) : seal_of(chain, i, seals[i + 1]);
	for (size_t i = 0; i < chain->n && c.n < MOST_FAULTS; i++) {
		check_link(&c, i);
		if (chain->links[i].unreadable)
			say(&c, "entry %llu was altered: %s", (number)chain->links[i].number,
			    chain->links[i].unreadable);
		else if (seals[i] == SEAL_BROKEN)
			say_broken(&c, i);
	}
	check_head(&c);
	free(seals);
	return c.n;
}

/* NULL: it has no such entry. */
static const uint8_t *digest_of_number(const struct audit_chain *c, number n)
{
	if (n == c->start.number)
		return c->start.digest;
	for (size_t i = 0; i < c->n; i++) {
		if (c->links[i].number == n)
			return c->links[i].digest;
	}
	return NULL;
}

size_t audit_chain_check_next(const struct audit_chain *chain, const struct audit_chain *next, audit_chain_fault *fault,
			      void *context)
{
	struct check c = { chain, fault, context, 0 };
	number last = last_number(chain), begins = next->start.number;
	const uint8_t *digest = digest_of_number(next, last);
	if (begins > last)
		say_numbers(&c, last + 1, begins, "missing", ", between this log and the one before");
	else if (!digest || !same(digest, last_digest(chain)))
		say(&c, "this log does not go on from the one before, which ends with entry %llu", last);
	return c.n;
}
