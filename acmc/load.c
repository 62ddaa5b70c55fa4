#include "acmc/load.h"

static void give_up(struct query *q, const char *fault)
{
	if (fault)
		query_nonsense(q, fault);
}

/* What comes of followed requests while others are asked for. */
static void on_other(void *context, const struct message *m)
{
	struct track *t = context;
	size_t part;
	bool flag;
	if (!t->begun)
		return;
	if (m->kind == MESSAGE_SETUP_RESPONSE && !answers_fault(&t->answers, &m->response))
		answers_take(&t->answers, &m->response, &part, &flag);
	else if (m->kind == MESSAGE_PROCESS_INDICATION)
		answers_indicate(&t->answers, &m->indication, &part, &flag);
}

bool load_track(struct query *q, struct track *t, bool follow)
{
	struct requests_query next;
	home_listen(q->home, on_other, t);
	while (q->result == HOME_OK && track_next(t, &next)) {
		struct message m = { .kind = MESSAGE_REQUESTS_QUERY, .requests_query = next };
		struct requests_page unknown = { .page = { .cause = CAUSE_UNKNOWN_REQUEST } };
		m.requests_query.follow = follow;
		const struct message *answer = query_ask(q, &m, MESSAGE_REQUESTS_PAGE);
		if (answer) {
			give_up(q, track_take(t, &answer->requests_page));
		} else if (t->begun && q->result == HOME_OK && q->cause == CAUSE_UNKNOWN_REQUEST) {
			q->cause = CAUSE_NO_CAUSE;
			give_up(q, track_take(t, &unknown));
		} else {
			return false;
		}
		const char *why = track_failed(t);
		if (why)
			q->result = home_fail(q->home, HOME_FAILED, "temporary file: %s", why);
	}
	return q->result == HOME_OK;
}
