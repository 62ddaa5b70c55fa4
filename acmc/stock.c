#include "acmc/stock.h"

#include <stdlib.h>

/* How users lie in the spool: a head and the MC ID, then for each MC service ID a head and its text. */
struct head {
	uint64_t revision;
	struct validity validity;
	uint32_t packed; /* all of the user, heads included */
	uint32_t line, mc_id, n_ids;
};

struct id_head {
	uint32_t line, service, length;
};

void stock_free(struct stock *s)
{
	spool_free(&s->users);
	spool_free(&s->hashes);
}

const char *stock_failed(const struct stock *s)
{
	const char *why = spool_failed(&s->users);
	return why ? why : spool_failed(&s->hashes);
}

/* --- hashes --- */

static uint64_t mix(uint64_t h, uint64_t word)
{
	__uint128_t product = (__uint128_t)(h ^ word) * 0xD6E8FEB86659FD93u;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const char *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof word);
	return word;
}

/*
 * 64 bits of a text, never 0. Who chooses texts with the same hash only makes his own command slower: they are compared
 * before anybody hears of it.
 */
static uint64_t hash_of(struct str text, uint64_t seed)
{
	uint64_t h = seed ^ text.len * 0x9E3779B97F4A7C15u;
	size_t at = 0;
	for (; text.len - at >= 8; at += 8)
		h = mix(h, word_at(text.ptr + at));
	if (at < text.len) {
		char rest[8] = { 0 };
		/* The last eight bytes, if there are so many, are as good as those behind the last word, and one load. */
		h = mix(h, text.len > 8 ? word_at(text.ptr + text.len - 8) :
					  word_at(memcpy(rest, text.ptr, text.len)));
	}
	h ^= h >> 32;
	h *= 0x9E3779B97F4A7C15u;
	return h ? h : 1;
}

static uint64_t hash_of_mc_id(struct str mc_id)
{
	return hash_of(mc_id, 0x243F6A8885A308D3u);
}

static uint64_t hash_of_service_id(struct str mc_service_id)
{
	return hash_of(mc_service_id, 0x13198A2E03707344u);
}

/* A user may have one MC service ID for several services: that is no second user of it, and has 0 for its hash. */
static bool for_another_service(const struct users_id *ids, size_t i)
{
	bool another = false;
	for (size_t j = 0; j < i; j++) {
		if (str_eq(ids[j].id.mc_service_id, ids[i].id.mc_service_id)) {
			if (ids[j].id.service == ids[i].id.service)
				return false;
			another = true;
		}
	}
	return another;
}

static void put_hashes(struct stock *s, const struct users_user *u, const struct users_id *ids)
{
	uint8_t *to = spool_room(&s->hashes, (1 + u->n) * sizeof(uint64_t));
	uint64_t hash = hash_of_mc_id(u->mc_id);
	if (!to)
		return;
	memcpy(to, &hash, sizeof hash);
	for (size_t i = 0; i < u->n; i++) {
		hash = for_another_service(ids, i) ? 0 : hash_of_service_id(ids[i].id.mc_service_id);
		to += sizeof hash;
		memcpy(to, &hash, sizeof hash);
	}
}

/* --- filling --- */

static size_t packed_size(const struct users_user *u, const struct users_id *ids)
{
	size_t n = sizeof(struct head) + u->mc_id.len;
	for (size_t i = 0; i < u->n; i++)
		n += sizeof(struct id_head) + ids[i].id.mc_service_id.len;
	return n;
}

static uint8_t *write_bytes(uint8_t *to, const void *bytes, size_t n)
{
	if (n)
		memcpy(to, bytes, n);
	return to + n;
}

static uint8_t *write_id(uint8_t *to, unsigned line, const struct user_service_id *id)
{
	struct id_head head = { line, (uint32_t)id->service, (uint32_t)id->mc_service_id.len };
	to = write_bytes(to, &head, sizeof head);
	return write_bytes(to, id->mc_service_id.ptr, id->mc_service_id.len);
}

static void put_user(struct stock *s, const struct users_user *u, const struct users_id *ids)
{
	size_t packed = packed_size(u, ids);
	struct head head = { u->revision, u->validity, (uint32_t)packed, u->line, (uint32_t)u->mc_id.len, (uint32_t)u->n };
	uint8_t *to = spool_room(&s->users, packed);
	if (!to)
		return;
	to = write_bytes(to, &head, sizeof head);
	to = write_bytes(to, u->mc_id.ptr, u->mc_id.len);
	for (size_t i = 0; i < u->n; i++)
		to = write_id(to, ids[i].line, &ids[i].id);
}

static bool same_validity(struct validity a, struct validity b)
{
	return a.not_before_ms == b.not_before_ms && a.not_after_ms == b.not_after_ms;
}

static void note_validity(struct stock *s, struct validity v)
{
	if (s->n == 0)
		s->validity = v;
	s->bounded |= v.not_before_ms || v.not_after_ms;
	s->differ |= !same_validity(v, s->validity);
}

/* Of an MC ID that is too long, which is a mistake, the beginning does. */
static void note_order(struct stock *s, struct str mc_id)
{
	struct str last = { s->last, s->last_n };
	if (s->n == 0)
		s->in_order = true;
	s->in_order &= str_cmp(last, mc_id) <= 0;
	s->last_n = mc_id.len < sizeof s->last ? mc_id.len : sizeof s->last;
	memcpy(s->last, mc_id.ptr, s->last_n);
}

void stock_take(struct stock *s, struct users *users)
{
	for (size_t i = 0; i < users->n; i++) {
		const struct users_user *u = &users->items[i];
		const struct users_id *ids = u->n ? &users->ids[u->first] : NULL;
		note_validity(s, u->validity);
		note_order(s, u->mc_id);
		put_user(s, u, ids);
		put_hashes(s, u, ids);
		s->n++;
	}
	users_clear(users);
}

void stock_add(struct stock *s, const struct setup_user *u)
{
	size_t packed = sizeof(struct head) + u->mc_id.len;
	for (size_t i = 0; i < u->n_service_ids; i++)
		packed += sizeof(struct id_head) + u->service_ids[i].mc_service_id.len;
	struct head head = { .revision = u->expected_revision, .packed = (uint32_t)packed,
			     .mc_id = (uint32_t)u->mc_id.len, .n_ids = (uint32_t)u->n_service_ids };
	uint8_t *to = spool_room(&s->users, packed);
	if (!to)
		return;
	to = write_bytes(to, &head, sizeof head);
	to = write_bytes(to, u->mc_id.ptr, u->mc_id.len);
	for (size_t i = 0; i < u->n_service_ids; i++)
		to = write_id(to, 0, &u->service_ids[i]);
	s->n++;
}

uint64_t stock_bytes(const struct stock *s)
{
	return spool_size(&s->users);
}

/* --- reading --- */

const uint8_t *stock_at(struct stock *s, uint64_t offset, size_t bytes)
{
	return spool_at(&s->users, offset, bytes);
}

const uint8_t *stock_id(const uint8_t *at, struct user_service_id *out)
{
	struct id_head head;
	memcpy(&head, at, sizeof head);
	at += sizeof head;
	*out = (struct user_service_id){ (enum mc_service)head.service, { (const char *)at, head.length } };
	return at + head.length;
}

const uint8_t *stock_user(const uint8_t *at, struct stocked *out)
{
	struct head head;
	memcpy(&head, at, sizeof head);
	const uint8_t *mc_id = at + sizeof head, *ids = mc_id + head.mc_id, *end = at + head.packed;
	*out = (struct stocked){ .mc_id = { (const char *)mc_id, head.mc_id },
				 .line = head.line,
				 .revision = head.revision,
				 .validity = head.validity,
				 .n_ids = head.n_ids,
				 .ids_bytes = (size_t)(end - ids) - head.n_ids * sizeof(struct id_head),
				 .ids = ids,
				 .packed = head.packed };
	return end;
}

size_t stock_packed(const uint8_t *at, size_t n)
{
	struct head head;
	if (n < sizeof head)
		return 0;
	memcpy(&head, at, sizeof head);
	return head.packed;
}

/* The bytes of one user. */
static const uint8_t *packed_at(struct stock *s, uint64_t offset, size_t *bytes)
{
	const uint8_t *at = stock_at(s, offset, sizeof(struct head));
	if (!at)
		return NULL;
	*bytes = stock_packed(at, sizeof(struct head));
	return stock_at(s, offset, *bytes);
}

bool stock_next(struct stock *s, uint64_t *offset, struct stocked *out)
{
	size_t bytes = 0;
	if (*offset == spool_size(&s->users))
		return false;
	const uint8_t *at = packed_at(s, *offset, &bytes);
	if (!at)
		return false;
	stock_user(at, out);
	*offset += bytes;
	return true;
}

/* --- who is there twice --- */

/* So many hashes are looked at in one go; for more, the hashes are read again. */
enum { HASHES_AT_ONCE = 1 << 21, HASHES_READ = 4096, HASHES_AHEAD = 16 };

struct doubles {
	uint32_t *table; /* of the hashes of this go, without the bits that their places tell; 0: free */
	size_t mask, used;
	uint64_t *items; /* those that were there already; memory that mistakes take */
	size_t n, room;
	bool spent;
};

/*
 * Whether it was there, or one that is like it in most of its bits, which does no harm: who has a hash that was there is
 * looked at, and the next one like this is found again.
 */
static bool look_up_or_add(struct doubles *d, uint64_t hash)
{
	size_t i = hash & d->mask;
	uint32_t mark = (uint32_t)(hash >> 24);
	mark = mark ? mark : 1;
	while (d->table[i] && d->table[i] != mark)
		i = (i + 1) & d->mask;
	if (d->table[i])
		return true;
	d->table[i] = mark;
	/* Only a file that was made for it fills a table: hashes are spread. */
	d->spent |= ++d->used > d->mask - d->mask / 4;
	return false;
}

static void add_double(struct doubles *d, uint64_t hash)
{
	if (d->n == d->room) {
		size_t room = d->room ? 2 * d->room : 64;
		uint64_t *larger = reallocarray(d->items, room, sizeof *larger);
		d->spent |= !larger;
		if (!larger)
			return;
		d->items = larger;
		d->room = room;
	}
	d->items[d->n++] = hash;
}

/* The place of a hash is in no cache, so that it is fetched while others are looked at. */
static void look_at_some(struct doubles *d, const uint8_t *at, size_t n, uint64_t share, uint64_t shares)
{
	uint64_t found[HASHES_READ];
	size_t n_found = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t hash;
		memcpy(&hash, at + i * sizeof hash, sizeof hash);
		found[n_found] = hash;
		n_found += hash && (hash >> 32) * shares >> 32 == share;
	}
	for (size_t i = 0; i < n_found && !d->spent; i++) {
		if (i + HASHES_AHEAD < n_found)
			__builtin_prefetch(&d->table[found[i + HASHES_AHEAD] & d->mask], 1);
		if (look_up_or_add(d, found[i]))
			add_double(d, found[i]);
	}
}

/* Looks at those hashes whose upper half falls into this of so many shares. */
static bool look_at_share(struct stock *s, struct doubles *d, uint64_t share, uint64_t shares)
{
	uint64_t size = spool_size(&s->hashes);
	memset(d->table, 0, (d->mask + 1) * sizeof *d->table);
	d->used = 0;
	for (uint64_t offset = 0; offset < size && !d->spent;) {
		uint64_t left = (size - offset) / sizeof(uint64_t);
		size_t n = left < HASHES_READ ? (size_t)left : HASHES_READ;
		const uint8_t *at = spool_at(&s->hashes, offset, n * sizeof(uint64_t));
		if (!at)
			return false;
		look_at_some(d, at, n, share, shares);
		offset += n * sizeof(uint64_t);
	}
	return !d->spent;
}

/* Which hashes are there more than once; sorted. */
static bool find_doubles(struct stock *s, struct doubles *d)
{
	size_t most = s->hashes_at_once ? s->hashes_at_once : HASHES_AT_ONCE, slots = 64;
	uint64_t n = spool_size(&s->hashes) / sizeof(uint64_t), shares = n / most + 1;
	bool good = true;
	while (slots < 2 * (n < most ? n : most))
		slots *= 2;
	d->mask = slots - 1;
	d->table = malloc(slots * sizeof *d->table);
	if (!d->table)
		return false;
	for (uint64_t share = 0; good && share < shares; share++)
		good = look_at_share(s, d, share, shares);
	free(d->table);
	return good;
}

static int compare_hashes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static bool is_double(const struct doubles *d, uint64_t hash)
{
	return bsearch(&hash, d->items, d->n, sizeof hash, compare_hashes) != NULL;
}

/* Puts a user who may be there twice back into the list. */
static void take_back(struct users *users, const struct doubles *d, const uint8_t *packed)
{
	struct stocked u;
	struct id_head head;
	struct user_service_id id;
	stock_user(packed, &u);
	bool wanted = is_double(d, hash_of_mc_id(u.mc_id));
	const uint8_t *at = u.ids, *next;
	for (size_t i = 0; i < u.n_ids && !wanted; i++) {
		at = stock_id(at, &id);
		wanted = is_double(d, hash_of_service_id(id.mc_service_id));
	}
	if (!wanted)
		return;
	users_add(users, u.line, arena_str(users->arena, u.mc_id));
	at = u.ids;
	for (size_t i = 0; i < u.n_ids; i++, at = next) {
		memcpy(&head, at, sizeof head);
		next = stock_id(at, &id);
		users_add_id(users, head.line, (int)id.service, arena_str(users->arena, id.mc_service_id));
	}
}

/* Equal hashes are no proof: who has one is looked at as a whole. */
static bool tell_doubles(struct stock *s, const struct doubles *d, struct users *users)
{
	uint64_t size = spool_size(&s->users);
	size_t bytes = 0;
	qsort(d->items, d->n, sizeof *d->items, compare_hashes);
	for (uint64_t offset = 0; offset < size; offset += bytes) {
		const uint8_t *packed = packed_at(s, offset, &bytes);
		if (!packed)
			return false;
		take_back(users, d, packed);
	}
	users_check_unique(users);
	users_clear(users);
	return true;
}

bool stock_check(struct stock *s, struct users *users)
{
	struct doubles d = { .table = NULL };
	bool good = find_doubles(s, &d) && (d.n == 0 || tell_doubles(s, &d, users));
	free(d.items);
	if (good)
		spool_free(&s->hashes);
	if (!good && !stock_failed(s))
		users_mistake(users, 0, "out of memory");
	return good && users->n_mistakes == 0;
}
