#include <stdlib.h>
#include <string.h>
#include "acms/partner.h"
#include "common/clock.h"
#include "common/failpoint.h"

/*
 * What time does at the partner, once a second: a job that expires users and pending requests, and forgets old answers.
 * Reading through requests takes its time: those that are pending are looked through only when one is due, those that are
 * answered, at the partner and at home, from end to end, a share each second, and then not for a while.
 */

enum { SWEEP_EVERY_MS = 1000, FORGET_EVERY_MS = 60000 };

struct sweeper {
	struct job job;
	struct server *server;
	struct loop_timer *timer;
	struct commit_sweep what;
	struct commit_swept swept;
	struct request_id asked, asked_swept; /* where forgetting our ACMCs' requests goes on; zeros: at the start */
	bool forgets;             /* those, now */
	uint64_t forget_due_ms, requests_due_ms; /* when to start again with those, and with home systems' */
	uint64_t pending_due_ms;  /* when to look through them */
	uint64_t earliest_ms;     /* of those seen since the start of this look */
};

/* That nobody decided in time: nothing was done that could be certified. */
static void tell(struct server *s, const struct swept *answered)
{
	struct setup_response response;
	partner_response(s, &answered->setup, &answered->answer, &response);
	partner_push(s, &response, answered->home);
}

static void run(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct sweeper *w = (struct sweeper *)job;
	commit_sweep(t, work, &w->what, now_ms, &w->swept);
	fail_point("sweep-written");
	w->asked_swept = w->asked;
	if (w->forgets)
		w->swept.again |= home_prune(t, work, w->what.keep_ms, now_ms, &w->asked_swept);
}

static bool at_start(const struct request_id *place)
{
	static const struct request_id start;
	return memcmp(place, &start, sizeof start) == 0;
}

static void submit(struct sweeper *w)
{
	w->forgets = !at_start(&w->asked) || w->forget_due_ms <= clock_wall_ms();
	w->what.look_at_requests = w->what.requests.started || w->requests_due_ms <= clock_wall_ms();
	w->what.keep_ms = w->server->live->config->keep_answers_s * 1000ull;
	w->what.look_at_pending = w->what.pending.started || w->pending_due_ms <= clock_wall_ms();
	if (w->what.look_at_pending && !w->what.pending.started) {
		w->pending_due_ms = UINT64_MAX; /* what comes to wait from now on moves it */
		w->earliest_ms = UINT64_MAX;
	}
	w->job = (struct job){ .run = run, .done = w->job.done, .weight = 2000 };
	committer_submit(w->server->committer, &w->job);
}

/* When to read through what was answered again, after its end. */
static uint64_t next_pass_ms(const struct sweeper *w)
{
	uint64_t rest = w->what.keep_ms / 10;
	return clock_wall_ms() + (rest < FORGET_EVERY_MS ? rest : FORGET_EVERY_MS);
}

/* Goes on where it stopped; nothing moved if the store failed. */
static void note_places(struct sweeper *w)
{
	w->what.requests = w->swept.requests;
	w->asked = w->asked_swept;
	if (w->what.look_at_requests && !w->what.requests.started)
		w->requests_due_ms = next_pass_ms(w);
	if (w->forgets && at_start(&w->asked))
		w->forget_due_ms = next_pass_ms(w);
	if (!w->what.look_at_pending)
		return;
	w->what.pending = w->swept.pending;
	if (w->swept.next_pending_ms < w->earliest_ms)
		w->earliest_ms = w->swept.next_pending_ms;
	if (!w->what.pending.started)
		sweeper_expect(w, w->earliest_ms);
}

static void done(struct job *job, enum status status)
{
	struct sweeper *w = (struct sweeper *)job;
	fail_point("sweep-committed");
	if (status == OK) {
		note_places(w);
		for (size_t i = 0; i < w->swept.n_answered; i++)
			tell(w->server, &w->swept.answered[i]);
		fail_point("sweep-told");
	} else if (w->what.look_at_pending && !w->what.pending.started) {
		w->pending_due_ms = 0;
	}
	if (w->server->stopping)
		return;
	if (status == OK && w->swept.again)
		submit(w);
	else
		loop_timer_set(w->timer, SWEEP_EVERY_MS);
}

static void on_timer(void *context)
{
	struct sweeper *w = context;
	if (w->server->stopping)
		return;
	refusals_write(w->server, false);
	submit(w);
}

void sweeper_expect(struct sweeper *w, uint64_t decide_until_ms)
{
	if (decide_until_ms < w->pending_due_ms)
		w->pending_due_ms = decide_until_ms;
}

struct sweeper *sweeper_new(struct server *s)
{
	struct sweeper *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->server = s;
	w->job.done = done;
	w->timer = loop_timer_new(s->loop, on_timer, w);
	if (!w->timer) {
		free(w);
		return NULL;
	}
	loop_timer_set(w->timer, SWEEP_EVERY_MS);
	return w;
}

void sweeper_free(struct sweeper *w)
{
	if (!w)
		return;
	loop_timer_free(w->timer);
	free(w);
}
