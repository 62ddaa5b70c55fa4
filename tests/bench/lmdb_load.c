/*
 * Raw LMDB doing what the two acms's stores do (model.h), in DIRECTORY/partner and DIRECTORY/home, by two threads at the
 * same time, with a full sync for each commit.
 *
 * lmdb_load bulk    --most users in all, in commits of --batch users
 * lmdb_load setups  requests of one user, --batch of them a commit (at home twice: accepted, answered), for some time
 * lmdb_load get     look-ups in DIRECTORY/partner
 * lmdb_load idm     look-ups in an acms's store at DIRECTORY, by the project's own reader (acms/store.h)
 */
#include <argp.h>
#include <pthread.h>
#include <string.h>
#include "acms/store.h"
#include "tests/bench/measure.h"
#include "tests/bench/model.h"

enum mode { MODE_BULK, MODE_SETUPS, MODE_GET, MODE_IDM };

static struct {
	enum mode mode;
	const char *directory;
	uint64_t batch, first, most, users, per_request;
	double seconds;
	int scattered, partner_only;
} o = { .batch = 1, .most = UINT64_MAX, .users = 1, .per_request = 1000, .seconds = 1, .scattered = 1 };

static uint64_t start_ns;

static bool time_over(void)
{
	return (double)(now_ns() - start_ns) >= o.seconds * 1e9;
}

struct side {
	struct model model;
	bool home;
	uint64_t done, last_ns;
};

static void *write_side(void *context)
{
	struct side *s = context;
	uint64_t per_request = o.mode == MODE_SETUPS ? 1 : o.per_request;
	while (s->done < o.most && (o.mode == MODE_BULK || !time_over())) {
		uint64_t n = o.most - s->done < o.batch ? o.most - s->done : o.batch;
		MDB_txn *t = model_begin(&s->model);
		if (s->home) {
			model_accept(&s->model, t, o.first + s->done, n, per_request);
			model_commit(t);
			t = model_begin(&s->model);
			model_answer(&s->model, t, o.first + s->done, n, per_request);
		} else {
			model_partner(&s->model, t, o.first + s->done, n, per_request);
		}
		model_commit(t);
		s->done += n;
		s->last_ns = now_ns();
	}
	return NULL;
}

static void write_both(void)
{
	struct side sides[2] = { { .home = false }, { .home = true } };
	pthread_t thread;
	char path[4096];
	for (int i = 0; i < 2 - o.partner_only; i++) {
		snprintf(path, sizeof path, "%s/%s", o.directory, i ? "home" : "partner");
		sides[i].model.scattered = o.scattered;
		model_open(&sides[i].model, path, 0);
	}
	start_ns = now_ns();
	if (!o.partner_only && pthread_create(&thread, NULL, write_side, &sides[1]) != 0)
		abort();
	write_side(&sides[0]);
	struct side *slower = &sides[0];
	if (!o.partner_only) {
		pthread_join(thread, NULL);
		slower = sides[1].done < sides[0].done || sides[1].last_ns > sides[0].last_ns ? &sides[1] : &sides[0];
		model_close(&sides[1].model);
	}
	model_close(&sides[0].model);
	report(slower->done, 0, slower->last_ns - start_ns, NULL, "");
}

static uint64_t random_user(void)
{
	static uint64_t x = 88172645463325252u;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return o.first + x % o.users;
}

static void get_raw(void)
{
	struct model m = { .scattered = o.scattered };
	MDB_txn *t;
	char path[4096];
	size_t done = 0, failed = 0;
	snprintf(path, sizeof path, "%s/partner", o.directory);
	model_open(&m, path, MDB_RDONLY);
	if (mdb_txn_begin(m.env, NULL, MDB_RDONLY, &t) != 0)
		abort();
	start_ns = now_ns();
	for (; done % 64 || !time_over(); done++) {
		mdb_txn_reset(t);
		if (mdb_txn_renew(t) != 0)
			abort();
		failed += !model_get(&m, t, random_user(), done % 2);
	}
	report(done, failed, now_ns() - start_ns, NULL, "");
	mdb_txn_abort(t);
	model_close(&m);
}

static bool look_up(struct store *s, struct arena *a, uint64_t user, bool by_service)
{
	struct bench_user u;
	struct owner_record owner = { STR(BENCH_HOME), { u.mc_id, 0 } };
	struct user_record record;
	struct store_txn *t;
	struct error e;
	bench_user(&u, user, o.scattered);
	owner.mc_id.len = strlen(u.mc_id);
	if (store_begin_read(s, &t, &e) != OK)
		return false;
	bool found = !by_service || store_get_owner(t, a, str_of(u.service_ids[user % BENCH_SERVICES]), &owner);
	found = found && store_get_user(t, a, STORE_USERS, owner.home, owner.mc_id, &record) &&
		record.n_service_ids == BENCH_SERVICES;
	store_abort(t);
	arena_reset(a);
	return found;
}

static void get_idm(void)
{
	struct store *s;
	struct error e;
	struct arena *a = arena_new(0);
	size_t done = 0, failed = 0;
	if (!a || store_open(o.directory, STR_NONE, 0, STORE_READ, &s, &e) != OK) {
		fprintf(stderr, "lmdb_load: %s\n", e.text);
		exit(1);
	}
	start_ns = now_ns();
	for (; done % 64 || !time_over(); done++)
		failed += !look_up(s, a, random_user(), done % 2);
	report(done, failed, now_ns() - start_ns, NULL, "");
	store_close(s);
	arena_free(a);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'd': o.directory = arg; return 0;
	case 'b': o.batch = strtoull(arg, NULL, 10); return 0;
	case 's': o.seconds = atof(arg); return 0;
	case 'f': o.first = strtoull(arg, NULL, 10); return 0;
	case 'm': o.most = strtoull(arg, NULL, 10); return 0;
	case 'u': o.users = strtoull(arg, NULL, 10); return 0;
	case 'r': o.per_request = strtoull(arg, NULL, 10); return 0;
	case 'S': o.scattered = 0; return 0;
	case 'P': o.partner_only = 1; return 0;
	case 'z': return model_take_sizes(arg) ? 0 : ARGP_ERR_UNKNOWN;
	case ARGP_KEY_ARG:
		o.mode = strcmp(arg, "bulk") == 0   ? MODE_BULK :
			 strcmp(arg, "setups") == 0 ? MODE_SETUPS :
			 strcmp(arg, "get") == 0    ? MODE_GET : MODE_IDM;
		return 0;
	case ARGP_KEY_END:
		if (!o.directory || o.batch == 0 || (o.mode == MODE_BULK && o.most == UINT64_MAX))
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "directory", 'd', "DIRECTORY", 0, NULL, 0 },
		{ "batch", 'b', "N", 0, "Users, or requests, a commit", 0 },
		{ "seconds", 's', "S", 0, NULL, 0 },
		{ "first", 'f', "I", 0, "Number of the first user", 0 },
		{ "most", 'm', "N", 0, "Users", 0 },
		{ "users", 'u', "N", 0, "With get and idm: from the first on", 0 },
		{ "per-request", 'r', "N", 0, "With bulk: users in a request", 0 },
		{ "sorted", 'S', NULL, 0, "Users in key order", 0 },
		{ "partner-only", 'P', NULL, 0, NULL, 0 },
		{ "sizes", 'z', "NAME=BASE:EACH,...", 0, "Of values", 0 },
		{ 0 },
	};
	argp_parse(&(struct argp){ options, parse, "bulk|setups|get|idm", NULL, NULL, NULL, NULL }, argc, argv, 0, NULL, NULL);
	switch (o.mode) {
	case MODE_BULK:
	case MODE_SETUPS:
		write_both();
		break;
	case MODE_GET:
		get_raw();
		break;
	case MODE_IDM:
		get_idm();
		break;
	}
	return 0;
}
