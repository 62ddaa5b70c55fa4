#include <stdlib.h>
#include "acms/server.h"
#include "common/clock.h"
#include "common/log.h"

/* The shared entries of requests that have none of their own, on their way into the audit log. */

struct sum_job {
	struct job job;
	struct refusal_party *party; /* for as long as the server */
	struct refusal_sum what;
	char certificate[sizeof ((struct refusal_party *)NULL)->certificate];
};

static void run(struct job *job, struct store_txn *t, struct arena *work, uint64_t now_ms)
{
	struct sum_job *j = (struct sum_job *)job;
	commit_refusal_sum(t, work, &j->what, now_ms);
}

/* What could not be written is summed up with what comes. */
static void done(struct job *job, enum status status)
{
	struct sum_job *j = (struct sum_job *)job;
	if (status != OK)
		refusal_sum_again(j->party, &j->what);
	free(j);
}

static void submit(struct server *s, struct refusal_party *p, const struct refusal_sum *sum)
{
	struct sum_job *j = malloc(sizeof *j);
	if (!j) {
		refusal_sum_again(p, sum);
		return;
	}
	*j = (struct sum_job){ .job = { .run = run, .done = done, .weight = 1 }, .party = p, .what = *sum };
	memcpy(j->certificate, p->certificate, sizeof j->certificate);
	j->what.certificate = str_of(j->certificate);
	log_warning("%s%s: %llu more requests were refused, and %llu changed nothing, within a minute: one entry in the audit "
		    "log is for all of them",
		    sum->acmc.ptr ? "ACMC " : "system ", LOG_STR(sum->acmc.ptr ? sum->acmc : sum->home),
		    (unsigned long long)sum->refused, (unsigned long long)sum->unchanged);
	committer_submit(s->committer, &j->job);
}

void refusals_write(struct server *s, bool at_once)
{
	struct refusal_sum sum;
	for (struct refusal_party *p = s->refusals.first; p; p = p->next) {
		if (refusal_due(p, clock_mono_ms(), at_once, &sum))
			submit(s, p, &sum);
	}
}

struct refusal_claim refusal_claim_now(struct server *s, struct refusal_party *p)
{
	return refusal_claim_of(p, s->live->config->audited_refusals, clock_mono_ms());
}
