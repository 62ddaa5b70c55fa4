#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "acms/commands.h"
#include "acms/commit.h"
#include "acms/inspect.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/text.h"
#include "common/users_file.h"

/*
 * acms users import: local users of this MC system, set up as if it were its own partner. A user with a revision in the
 * file who is there is updated, so must have that revision; all others are set up.
 */

enum { IMPORT_USERS = 1000 };

/* Some users of the file, all with the same validity: what one request can say. */
struct batch {
	const struct users *users;
	const struct users_user *const *items;
	size_t n;
};

struct import {
	struct store *store;
	struct str own; /* the MC system, which is their home */
	uint64_t now_ms;
};

static bool add_user(struct setup_request *r, const struct users *u, const struct users_user *user)
{
	bool update = r->operation == OPERATION_UPDATE;
	r->mc_ids[r->n_mc_ids++] = user->mc_id;
	for (size_t i = 0; i < user->n; i++)
		r->service_ids[r->n_service_ids++] = u->ids[user->first + i].entry;
	if (update)
		r->revisions[r->n_revisions++] = (struct user_revision){ user->mc_id, user->revision };
	return true;
}

static bool make_request(struct arena *a, const struct batch *b, struct str own, enum operation operation,
			 struct setup_request *r)
{
	size_t n_ids = 0;
	uint8_t random[10];
	for (size_t i = 0; i < b->n; i++)
		n_ids += b->items[i]->n;
	*r = (struct setup_request){ .n_mc_system_ids = 1, .operation = (int)operation };
	r->mc_system_ids = arena_alloc(a, sizeof *r->mc_system_ids);
	r->mc_ids = arena_array(a, b->n, sizeof *r->mc_ids);
	r->service_ids = arena_array(a, n_ids, sizeof *r->service_ids);
	r->revisions = arena_array(a, b->n, sizeof *r->revisions);
	if (!r->mc_system_ids || !r->mc_ids || !r->service_ids || !r->revisions ||
	    crypto_random(random, sizeof random) != OK)
		return false;
	r->request_id = request_id_make(clock_wall_ms(), random);
	r->mc_system_ids[0] = own;
	r->validity = b->items[0]->validity;
	r->has_validity = r->validity.not_before_ms || r->validity.not_after_ms;
	return true;
}

static bool is_there(struct store_txn *t, struct arena *a, struct str own, struct str mc_id)
{
	struct user_record record;
	return store_get_user(t, a, STORE_USERS, own, mc_id, &record);
}

/* Those of the batch that this operation is for, in the transaction; false: it failed. */
static bool run(struct import *im, struct store_txn *t, struct arena *a, const struct batch *b,
		enum operation operation, struct verdict *verdict)
{
	struct limits limits = { .max_mc_ids = IMPORT_USERS, .max_mc_service_ids_per_mc_id = UINT32_MAX,
				 .max_mc_system_ids = 1 };
	struct commit_setup what = { .home = im->own, .certificate = STR("local import"), .most_users = UINT64_MAX,
				     .action = AUDIT_IMPORT };
	struct setup_request r;
	struct commit_answer answer;
	if (!make_request(a, b, im->own, operation, &r))
		return false;
	for (size_t i = 0; i < b->n; i++) {
		bool update = b->items[i]->revision && is_there(t, a, im->own, b->items[i]->mc_id);
		if (update == (operation == OPERATION_UPDATE))
			add_user(&r, b->users, b->items[i]);
	}
	if (r.n_mc_ids == 0)
		return true;
	*verdict = setup_check(a, &r, &limits, &what.setup);
	if (verdict->cause == CAUSE_NO_CAUSE) {
		commit_setup(t, a, &what, im->now_ms, &answer);
		*verdict = answer.verdict;
	}
	return verdict->cause == CAUSE_NO_CAUSE;
}

static void report_verdict(const struct verdict *v)
{
	char id[300];
	fprintf(stderr, "acms: %s: %s\n", cause_name(v->cause), cause_text(v->cause));
	for (size_t i = 0; i < v->n_identities; i++)
		fprintf(stderr, "acms: %s\n",
			text_escape(v->identities[i].mc_service_id.ptr ?
					    v->identities[i].mc_service_id : v->identities[i].mc_id,
				    id, sizeof id));
}

/* The batch in one transaction, all or nothing. ERR_INPUT: refused, and it was said why. */
static enum status import_once(struct import *im, const struct batch *b, struct error *e)
{
	struct store_txn *t = NULL;
	struct verdict verdict = { .cause = CAUSE_NO_CAUSE };
	struct arena *a = arena_new(0);
	enum status status = a ? store_begin_write(im->store, &t, e) : error_set(e, ERR_MEMORY, "out of memory");
	if (status == OK) {
		im->now_ms = clock_wall_ms();
		bool good = run(im, t, a, b, OPERATION_UPDATE, &verdict) &&
			    run(im, t, a, b, OPERATION_SETUP, &verdict);
		if (good || store_status(t) != OK) {
			status = store_commit(t, e);
		} else if (verdict.cause != CAUSE_NO_CAUSE) {
			report_verdict(&verdict);
			status = error_set(e, ERR_INPUT, "refused");
			store_abort(t);
		} else {
			status = error_set(e, ERR_MEMORY, "out of memory");
			store_abort(t);
		}
	}
	arena_free(a);
	return status;
}

static bool import_batch(struct import *im, const struct batch *b)
{
	struct error e;
	enum status status = store_is_full(im->store, &e) ? e.status : import_once(im, b, &e);
	while (status == ERR_STORE_FULL && !store_is_full(im->store, NULL) && store_grow(im->store, &e) == OK)
		status = import_once(im, b, &e);
	if (status != OK && status != ERR_INPUT)
		fprintf(stderr, "acms: %s\n", e.text);
	return status == OK;
}

static int by_validity(const void *a, const void *b)
{
	const struct users_user *x = *(struct users_user *const *)a, *y = *(struct users_user *const *)b;
	const struct validity *v = &x->validity, *w = &y->validity;
	int d = (v->not_before_ms > w->not_before_ms) - (v->not_before_ms < w->not_before_ms);
	d = d ? d : (v->not_after_ms > w->not_after_ms) - (v->not_after_ms < w->not_after_ms);
	return d ? d : str_cmp(x->mc_id, y->mc_id);
}

static bool same_validity(const struct users_user *x, const struct users_user *y)
{
	return x->validity.not_before_ms == y->validity.not_before_ms &&
	       x->validity.not_after_ms == y->validity.not_after_ms;
}

static bool import_all(struct store *s, const struct users *u)
{
	struct import im = { .store = s, .own = store_mc_system_id(s) };
	const struct users_user **items = calloc(u->n + 1, sizeof *items);
	size_t done = 0;
	bool good = items != NULL;
	for (size_t i = 0; items && i < u->n; i++)
		items[i] = &u->items[i];
	if (items)
		qsort(items, u->n, sizeof *items, by_validity);
	while (good && done < u->n) {
		struct batch b = { u, items + done, 1 };
		while (done + b.n < u->n && b.n < IMPORT_USERS && same_validity(b.items[0], b.items[b.n]))
			b.n++;
		good = import_batch(&im, &b);
		done += good ? b.n : 0;
	}
	free(items);
	if (good)
		printf("%zu local user%s imported\n", u->n, text_s(u->n));
	else
		fprintf(stderr, "acms: %zu of %zu users imported\n", done, u->n);
	return good;
}

/* An export has the users of others, too, who are not this system's to import. */
static void check_homes(struct users *u, struct str own)
{
	char shown[300];
	for (size_t i = 0; i < u->n; i++) {
		if (u->items[i].home.ptr && !str_eq(u->items[i].home, own))
			users_mistake(u, u->items[i].line, "%s: is of another home MC system",
				      text_escape(u->items[i].mc_id, shown, sizeof shown));
	}
}

static bool read_file(struct users *u, const char *name)
{
	FILE *in = fopen(name, "rb");
	if (!in) {
		fprintf(stderr, "acms: %s: %s\n", name, strerror(errno));
		return false;
	}
	u->now_ms = clock_wall_ms();
	users_read(u, in, USERS_GUESS);
	fclose(in);
	return true;
}

int users_import(const struct inspect *i)
{
	struct users users;
	struct store *s = NULL;
	if (i->n_arguments != 2) {
		fprintf(stderr, "acms users import: give a file\n");
		return EXIT_USAGE;
	}
	struct arena *a = arena_new(0);
	users_init(&users, a, i->arguments[1], stderr);
	bool good = a && read_file(&users, i->arguments[1]) && (s = inspect_open(i, STORE_WRITE));
	if (good) {
		check_homes(&users, store_mc_system_id(s));
		good = users_check(&users) && import_all(s, &users);
	}
	store_close(s);
	users_free(&users);
	arena_free(a);
	return good ? EXIT_GOOD : EXIT_BAD;
}
