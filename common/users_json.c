#include <stdlib.h>
#include "common/json.h"
#include "common/text.h"
#include "common/users_file.h"

/*
 * {"users": [{"mc_id": "...", "mc_service_ids": [{"service": "mcptt", "mc_service_id": "sip:..."}],
 *             "revision": 3, "not_before": "...", "not_after": "..."}]}
 * or the bare list. What else acmc users and acms users print is skipped, but for "home", which is kept.
 */

enum place { AT_TOP, IN_TOP_MAP, IN_USERS, IN_USER, IN_IDS, IN_ID, AT_END, PLACES };

struct reader {
	struct users *users;
	enum place place;
	bool bare; /* the list alone, without the map around it */
	char key[32];
	unsigned seen[PLACES]; /* keys of the object that is open there: a bit for each */
	bool skipping;   /* the value of a key that is wrong */
	size_t skip_depth;
	unsigned user_line;
	struct str mc_id, home; /* ptr NULL: not given yet */
	struct {
		struct str text; /* ptr NULL: not given */
		unsigned line;
	} revision, not_before, not_after;
	struct pending {
		unsigned line;
		int service;
		struct str mc_service_id;
	} *ids, id;
	size_t n_ids, room;
};

static bool wrong(struct reader *r, unsigned line, const char *what)
{
	users_mistake(r->users, line, "%s", what);
	return false;
}

static bool key_is(const struct reader *r, const char *key)
{
	return strcmp(r->key, key) == 0;
}

static bool open_map(struct reader *r, unsigned line)
{
	if (r->place == AT_TOP) {
		r->place = IN_TOP_MAP;
		r->seen[IN_TOP_MAP] = 0;
	} else if (r->place == IN_USERS) {
		r->place = IN_USER;
		r->seen[IN_USER] = 0;
		r->user_line = line;
		r->mc_id = r->home = r->revision.text = r->not_before.text = r->not_after.text = STR_NONE;
		r->n_ids = 0;
	} else if (r->place == IN_IDS) {
		r->place = IN_ID;
		r->seen[IN_ID] = 0;
		r->id = (struct pending){ line, 0, STR_NONE };
	} else {
		return wrong(r, line, "an object is out of place here");
	}
	return true;
}

static bool open_array(struct reader *r, unsigned line)
{
	r->bare |= r->place == AT_TOP;
	if (r->place == AT_TOP || (r->place == IN_TOP_MAP && key_is(r, "users")))
		r->place = IN_USERS;
	else if (r->place == IN_USER && key_is(r, "mc_service_ids"))
		r->place = IN_IDS;
	else
		return wrong(r, line, "a list is out of place here");
	return true;
}

static void end_user(struct reader *r)
{
	size_t before = r->users->n;
	users_add(r->users, r->user_line, r->mc_id);
	if (r->users->n > before)
		r->users->items[before].home = r->home;
	for (size_t i = 0; i < r->n_ids; i++)
		users_add_id(r->users, r->ids[i].line, r->ids[i].service, r->ids[i].mc_service_id);
	users_set_revision(r->users, r->revision.line, r->revision.text);
	users_set_bound(r->users, r->not_before.line, USERS_NOT_BEFORE, r->not_before.text);
	users_set_bound(r->users, r->not_after.line, USERS_NOT_AFTER, r->not_after.text);
	users_end(r->users);
	r->place = IN_USERS;
}

static bool end_id(struct reader *r, unsigned line)
{
	r->place = IN_IDS;
	if (!r->id.service || !r->id.mc_service_id.ptr) {
		users_mistake(r->users, r->id.line, "service and mc_service_id must both be given");
		return true;
	}
	if (r->n_ids == r->room) {
		size_t room = r->room ? 2 * r->room : 16;
		struct pending *larger = reallocarray(r->ids, room, sizeof *larger);
		if (!larger)
			return wrong(r, line, "out of memory");
		r->ids = larger;
		r->room = room;
	}
	r->ids[r->n_ids++] = r->id;
	return true;
}

static bool end_map(struct reader *r, unsigned line)
{
	if (r->place == IN_TOP_MAP)
		r->place = AT_END;
	else if (r->place == IN_USER)
		end_user(r);
	else
		return end_id(r, line);
	return true;
}

enum { KEYS_MAX = 7 };

/* Its place in the list; KEYS_MAX: it is not there. */
static size_t find_key(const char *const keys[KEYS_MAX], struct str key)
{
	size_t i = 0;
	while (i < KEYS_MAX && keys[i] && !str_eq(key, str_of(keys[i])))
		i++;
	return i < KEYS_MAX && keys[i] ? i : KEYS_MAX;
}

static bool take_key(struct reader *r, struct str key, unsigned line)
{
	static const char *const known[PLACES][KEYS_MAX] = {
		[IN_TOP_MAP] = { "users" },
		[IN_USER] = { "mc_id", "mc_service_ids", "revision", "not_before", "not_after", "home" },
		[IN_ID] = { "service", "mc_service_id" },
	};
	static const char *const skipped[PLACES][KEYS_MAX] = {
		[IN_TOP_MAP] = { "mc_system_id", "believed", "missing", "exit_code", "failure" },
		[IN_USER] = { "vouched", "changed", "by", "created", "request_id" },
	};
	char shown[80];
	size_t wanted = find_key(known[r->place], key), other = find_key(skipped[r->place], key);
	unsigned bit = wanted < KEYS_MAX ? 1u << wanted : other < KEYS_MAX ? 1u << (KEYS_MAX + other) : 0;
	r->skipping = wanted == KEYS_MAX;
	if (wanted < KEYS_MAX)
		strcpy(r->key, known[r->place][wanted]);
	if (!bit || r->seen[r->place] & bit) { /* of two, nobody knows which one is meant */
		users_mistake(r->users, line, "%s: %s", text_escape(key, shown, sizeof shown),
			      bit ? "this key is there twice" : "unknown key");
		r->skipping = true;
	}
	r->seen[r->place] |= bit;
	return true;
}

/* Whether this belongs to a value that is skipped. */
static bool skip(struct reader *r, enum json_kind kind)
{
	if (!r->skipping)
		return false;
	if (kind == JSON_MAP || kind == JSON_ARRAY)
		r->skip_depth++;
	else if (kind == JSON_END_MAP || kind == JSON_END_ARRAY)
		r->skip_depth--;
	r->skipping = r->skip_depth > 0;
	return true;
}

static bool take_text(struct reader *r, struct str text, unsigned line)
{
	char shown[80];
	struct str copy = arena_str(r->users->arena, text.ptr ? text : STR(""));
	if (r->place == IN_USER && key_is(r, "mc_id")) {
		r->mc_id = copy;
	} else if (r->place == IN_ID && key_is(r, "mc_service_id")) {
		r->id.mc_service_id = copy;
	} else if (r->place == IN_ID) {
		r->id.service = mc_service_from_name(text);
		if (!r->id.service)
			users_mistake(r->users, line, "%s: unknown service; known are mcptt, mcvideo, mcdata",
				      text_escape(text, shown, sizeof shown));
	} else if (r->place == IN_USER && key_is(r, "home")) {
		r->home = copy;
	} else if (r->place == IN_USER && key_is(r, "not_before")) {
		r->not_before.text = copy;
		r->not_before.line = line;
	} else if (r->place == IN_USER && key_is(r, "not_after")) {
		r->not_after.text = copy;
		r->not_after.line = line;
	} else {
		return wrong(r, line, "a text is out of place here");
	}
	return true;
}

/* A number where one may be; null where something is left out. */
static bool take_other(struct reader *r, struct str number, unsigned line)
{
	bool optional = key_is(r, "revision") || key_is(r, "not_before") || key_is(r, "not_after");
	if (r->place != IN_USER || !optional)
		return wrong(r, line, "must be a text, a list or an object");
	if (!number.len)
		return true;
	if (!key_is(r, "revision"))
		return wrong(r, line, "must be a text");
	r->revision.text = arena_str(r->users->arena, number);
	r->revision.line = line;
	return true;
}

static bool on_each(void *context, enum json_kind kind, struct str text, unsigned line)
{
	struct reader *r = context;
	if (skip(r, kind))
		return true;
	switch (kind) {
	case JSON_MAP: return open_map(r, line);
	case JSON_END_MAP: return end_map(r, line);
	case JSON_ARRAY: return open_array(r, line);
	case JSON_END_ARRAY:
		r->place = r->place == IN_IDS ? IN_USER : r->bare ? AT_END : IN_TOP_MAP;
		return true;
	case JSON_KEY: return take_key(r, text, line);
	case JSON_TEXT: return take_text(r, text, line);
	case JSON_OTHER: return take_other(r, text, line);
	}
	return false;
}

static void on_mistake(void *context, unsigned line, const char *what)
{
	struct reader *r = context;
	users_mistake(r->users, line, "no JSON: %s", what);
}

void users_read_json(struct users *u, FILE *in)
{
	struct reader r = { .users = u };
	json_read(in, on_each, on_mistake, &r);
	free(r.ids);
}
