#include "common/page.h"

static bool inside(struct str mc_id, struct str from, struct str to)
{
	return str_cmp(mc_id, from) >= 0 && (!to.ptr || str_cmp(mc_id, to) < 0);
}

static const char *users_fault(const struct users_query *q, const struct users_page *p)
{
	if (q->max && p->n_users > q->max)
		return "a page of more users than were asked for";
	if (p->page.more && p->n_users == 0)
		return "an empty page, and more to come";
	struct str before = q->after;
	for (size_t i = 0; i < p->n_users; i++) {
		if (!inside(p->users[i].mc_id, q->from, q->to))
			return "a user outside of the range that was asked for";
		if (before.ptr && str_cmp(p->users[i].mc_id, before) <= 0)
			return "a page of users out of order";
		if (p->users[i].revision == 0 && !q->believed)
			return "a user without a revision";
		before = p->users[i].mc_id;
	}
	return NULL;
}

static const char *digests_fault(const struct digest_query *q, const struct digest_page *p)
{
	if (p->n_digests != q->n_ranges)
		return "digests of other ranges than were asked for";
	for (size_t i = 0; i < p->n_digests; i++) {
		const struct range_digest *d = &p->digests[i];
		struct str before = q->ranges[i].from;
		for (size_t k = 0; k < d->n_splits; k++) {
			if (!inside(d->splits[k], q->ranges[i].from, q->ranges[i].to) ||
			    str_cmp(d->splits[k], before) <= 0)
				return "splits that do not part their range";
			before = d->splits[k];
		}
		if (d->n_splits > DIGEST_SPLITS_MAX || d->n_splits > d->users)
			return "more splits than there can be";
	}
	return NULL;
}

const char *page_fault(const struct message *query, const struct message *answer)
{
	bool users = answer->kind == MESSAGE_USERS_PAGE;
	const struct page *page = users ? &answer->users_page.page : &answer->digest_page.page;
	if (query->kind != (users ? MESSAGE_USERS_QUERY : MESSAGE_DIGEST_QUERY))
		return "an answer to another query";
	if (page->cause != CAUSE_NO_CAUSE)
		return NULL;
	return users ? users_fault(&query->users_query, &answer->users_page) :
		       digests_fault(&query->digest_query, &answer->digest_page);
}
