#include <stdlib.h>
#include <string.h>
#include "acms/outbox_internal.h"
#include "common/clock.h"

/*
 * Process indications: who waits for a request hears how it stands with a target. A partner may say so as often as it likes:
 * only changes are told, of those only the latest in each second, and to those who read what they are sent. The others hear
 * the latest when they have read the rest.
 */

enum { TELL_EVERY_MS = 1000 };

static void send_told(const struct delivery *d, struct peer *p)
{
	const struct told *t = &d->told;
	struct message m = { .kind = MESSAGE_PROCESS_INDICATION,
			     .indication = { d->asked->id, d->target, t->state, t->until_ms,
					     t->detail ? str_of(t->detail) : STR_NONE } };
	peer_send(p, &m);
}

static void tell_watchers(struct delivery *d)
{
	struct watch *w;
	d->told.late = false;
	d->told.mono_ms = clock_mono_ms();
	LIST_FOREACH(w, &d->asked->watchers, in_asked) {
		if (peer_version(w->peer) < 2)
			continue;
		if (peer_would_miss(w->peer))
			w->missed = true;
		else
			send_told(d, w->peer);
	}
}

/* False: as before. Without memory the detail is left out. */
static bool note(struct told *t, enum process_state state, uint64_t until_ms, struct str detail)
{
	struct str before = t->detail ? str_of(t->detail) : STR_NONE;
	if (t->any && t->state == state && t->until_ms == until_ms && str_eq(before, detail))
		return false;
	free(t->detail);
	t->detail = detail.len > 0 ? strndup(detail.ptr, detail.len) : NULL;
	t->any = true;
	t->state = state;
	t->until_ms = until_ms;
	return true;
}

void outbox_tell(struct delivery *d, enum process_state state, uint64_t until_ms, struct str detail)
{
	bool first = !d->told.any;
	if (!note(&d->told, state, until_ms, detail))
		return;
	if (first || clock_mono_ms() - d->told.mono_ms >= TELL_EVERY_MS)
		tell_watchers(d);
	else
		d->told.late = d->asked->told_late = true;
}

void outbox_tell_late(struct asked *a)
{
	struct delivery *d;
	if (!a->told_late)
		return;
	a->told_late = false;
	TAILQ_FOREACH(d, &a->deliveries, in_asked) {
		if (d->told.late)
			tell_watchers(d);
	}
}

void outbox_tell_missed(struct watch *w)
{
	const struct delivery *d;
	if (peer_version(w->peer) < 2)
		return;
	w->missed = peer_would_miss(w->peer);
	TAILQ_FOREACH(d, &w->asked->deliveries, in_asked) {
		if (!w->missed && d->told.any)
			send_told(d, w->peer);
		w->missed |= peer_would_miss(w->peer);
	}
}

void outbox_drained(struct peer *p)
{
	struct watch *w;
	LIST_FOREACH(w, &peer_watches(p)->list, in_peer) {
		if (peer_would_miss(p))
			return;
		if (w->missed)
			outbox_tell_missed(w);
	}
}
