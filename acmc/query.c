#include "acmc/query.h"

#include "acmc/put.h"
#include "common/text.h"

bool query_begin(struct query *q, const struct common_options *options)
{
	*q = (struct query){ .options = options, .arena = arena_new(0) };
	q->config = q->arena ? options_config(options, NULL) : NULL;
	q->result = q->arena ? HOME_BAD_CONFIG : HOME_FAILED;
	if (!q->config)
		return false;
	q->result = home_new(q->config, &q->home);
	if (q->result == HOME_OK)
		q->result = home_connect(q->home);
	if (q->result == HOME_OK)
		q->result = home_needs_version_2(q->home, options->command);
	q->begun = q->result == HOME_OK;
	return q->begun;
}

static const struct page *page_of(const struct message *m)
{
	if (m->kind == MESSAGE_REQUESTS_PAGE)
		return &m->requests_page.page;
	if (m->kind == MESSAGE_USERS_PAGE)
		return &m->users_page.page;
	if (m->kind == MESSAGE_DIGEST_PAGE)
		return &m->digest_page.page;
	if (m->kind == MESSAGE_PENDING_PAGE)
		return &m->pending_page.page;
	return &m->decision_result.page;
}

static void note_cause(struct query *q, const struct page *page)
{
	char label[CAUSE_LABEL_SIZE], detail[600];
	struct str text = page->detail.len ? page->detail : str_of(cause_text(page->cause));
	q->cause = page->cause;
	text_format(q->failure, sizeof q->failure, "%s: %s", cause_label(page->cause, label),
		    text_escape(text, detail, sizeof detail));
}

/* Of a page that is there: what it lacks, say. Pages of one list may all say it. */
static void note_detail(struct query *q, const struct page *page)
{
	char detail[600];
	if (page->detail.len && !q->noted)
		fprintf(stderr, "acmc: %s\n", text_escape(page->detail, detail, sizeof detail));
	q->noted |= page->detail.len > 0;
}

const struct message *query_ask(struct query *q, struct message *m, enum message_kind kind)
{
	const struct message *answer = NULL;
	q->cause = CAUSE_NO_CAUSE;
	*message_token(m) = home_token(q->home);
	q->result = home_ask(q->home, m, kind, &answer);
	if (q->result != HOME_OK)
		return NULL;
	if (page_of(answer)->cause == CAUSE_NO_CAUSE) {
		note_detail(q, page_of(answer));
		return answer;
	}
	note_cause(q, page_of(answer));
	return NULL;
}

void query_nonsense(struct query *q, const char *what)
{
	q->result = home_nonsense(q->home, what);
}

const char *query_failure(const struct query *q)
{
	if (q->result != HOME_OK)
		return q->home ? home_failure(q->home) : "the configuration is wrong";
	return q->cause != CAUSE_NO_CAUSE ? q->failure : NULL;
}

int query_exit_code(const struct query *q)
{
	return q->result != HOME_OK ? exit_code_of_result(q->result) : exit_code_of_cause(q->cause);
}

/* Who reads JSON gets some, even if nothing could be asked. */
static bool put_nothing(const struct query *q)
{
	struct json_writer *w = json_writer_new(stdout);
	if (!w)
		return false;
	json_map(w);
	put_end(w, query_exit_code(q), query_failure(q));
	json_end_map(w);
	return json_writer_free(w);
}

int query_end(struct query *q, bool shown, int code)
{
	int failed = query_exit_code(q);
	if (!q->begun && q->options->json)
		shown = put_nothing(q);
	if (q->result != HOME_OK && q->home)
		home_complain(q->home, q->result, stderr);
	else if (q->result == HOME_FAILED)
		fputs("acmc: out of memory\n", stderr);
	else if (q->cause != CAUSE_NO_CAUSE)
		fprintf(stderr, "acmc: %s\n", q->failure);
	if (!shown) {
		options_not_shown();
		failed = EXIT_SYSTEM;
	}
	if (q->home)
		home_close(q->home);
	home_free(q->home);
	acmc_config_free(q->config);
	arena_free(q->arena);
	return failed ? failed : code;
}
