#include <errno.h>
#include <event2/dns.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "common/arena.h"
#include "common/log.h"
#include "common/net_internal.h"

struct loop_timer {
	struct event *event;
	loop_callback *fire;
	void *context;
};

struct loop_wake {
	int fd;
	struct event *event;
	loop_callback *woken;
	void *context;
};

struct loop_late {
	struct event *event;
	loop_callback *late;
	void *context;
};

struct signal_handler {
	loop_callback *caught;
	void *context;
};

enum status loop_new(struct loop **out, struct error *e)
{
	struct loop *l = calloc(1, sizeof *l);
	if (!l)
		return error_set(e, ERR_MEMORY, "out of memory");
	TAILQ_INIT(&l->all);
	TAILQ_INIT(&l->handshakes);
	TAILQ_INIT(&l->unsent);
	TAILQ_INIT(&l->graveyard);
	TAILQ_INIT(&l->listeners);
	l->base = event_base_new(); /* not with precise timers, which cost a system call a turn */
	l->record = malloc(TLS_RECORD_MAX);
	if (l->base && l->record) {
		l->reap = event_new(l->base, -1, 0, conns_reap, l);
		l->flush = event_new(l->base, -1, 0, conns_flush, l);
	}
	if (!l->reap || !l->flush) {
		loop_free(l);
		return error_set(e, ERR_SYSTEM, "the event loop cannot be made");
	}
	*out = l;
	return OK;
}

void loop_free(struct loop *l)
{
	struct conn *c;
	if (!l)
		return;
	while ((c = TAILQ_FIRST(&l->all))) {
		TAILQ_REMOVE(&l->all, c, in_all);
		conn_free(c);
	}
	while ((c = TAILQ_FIRST(&l->graveyard))) {
		TAILQ_REMOVE(&l->graveyard, c, in_all);
		conn_free(c);
	}
	for (size_t i = 0; i < l->n_signals; i++) {
		free(event_get_callback_arg(l->signals[i]));
		event_free(l->signals[i]);
	}
	if (l->dns)
		evdns_base_free(l->dns, 0);
	if (l->reap)
		event_free(l->reap);
	if (l->flush)
		event_free(l->flush);
	if (l->base)
		event_base_free(l->base);
	free(l->record);
	free(l);
}

enum status loop_run(struct loop *l)
{
	int result = 0;
	log_gather(true);
	arena_keep_spares(true);
	do {
		result = event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
		log_flush(); /* at the end of each turn, behind what it sent */
	} while (result >= 0 && !event_base_got_break(l->base));
	arena_keep_spares(false);
	log_gather(false);
	return result < 0 ? ERR_SYSTEM : OK;
}

void loop_stop(struct loop *l)
{
	event_base_loopbreak(l->base);
}

/* --- timers, wakes, the end of a turn, signals --- */

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct loop_timer *t = context;
	(void)fd, (void)what;
	t->fire(t->context);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_callback *fire, void *context)
{
	struct loop_timer *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->fire = fire;
	t->context = context;
	t->event = evtimer_new(l->base, on_timer, t);
	if (!t->event) {
		free(t);
		return NULL;
	}
	return t;
}

void loop_timer_set(struct loop_timer *t, uint64_t after_ms)
{
	struct timeval tv = in_ms(after_ms);
	event_add(t->event, &tv);
}

void loop_timer_cancel(struct loop_timer *t)
{
	event_del(t->event);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	event_free(t->event);
	free(t);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
	struct loop_wake *w = context;
	(void)fd, (void)what;
	w->woken(w->context);
}

enum status loop_wake_new(struct loop *l, loop_callback *woken, void *context,
			  struct loop_wake **out, struct error *e)
{
	struct loop_wake *w = calloc(1, sizeof *w);
	if (!w)
		return error_set(e, ERR_MEMORY, "out of memory");
	w->woken = woken;
	w->context = context;
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd >= 0)
		/* Edge-triggered: each write is an event by itself, and the counter need not be read. */
		w->event = event_new(l->base, w->fd, EV_READ | EV_PERSIST | EV_ET, on_wake, w);
	if (!w->event || event_add(w->event, NULL) != 0) {
		loop_wake_free(w);
		return error_set(e, ERR_SYSTEM, "eventfd: %s", strerror(errno));
	}
	*out = w;
	return OK;
}

void loop_wake(struct loop_wake *w)
{
	uint64_t one = 1;
	if (write(w->fd, &one, sizeof one) < 0)
		return; /* the counter is full, as it is after 2^64 - 2 wakes */
}

void loop_wake_free(struct loop_wake *w)
{
	if (!w)
		return;
	if (w->event)
		event_free(w->event);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static void on_late(evutil_socket_t fd, short what, void *context)
{
	struct loop_late *t = context;
	(void)fd, (void)what;
	t->late(t->context);
}

struct loop_late *loop_late_new(struct loop *l, loop_callback *late, void *context)
{
	struct loop_late *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->late = late;
	t->context = context;
	t->event = event_new(l->base, -1, 0, on_late, t);
	if (!t->event) {
		free(t);
		return NULL;
	}
	return t;
}

void loop_late(struct loop_late *t)
{
	event_active(t->event, 0, 0); /* it queues behind what is active already; again: no effect */
}

void loop_late_free(struct loop_late *t)
{
	if (!t)
		return;
	event_free(t->event);
	free(t);
}

static void on_signal(evutil_socket_t fd, short what, void *context)
{
	struct signal_handler *h = context;
	(void)fd, (void)what;
	h->caught(h->context);
}

enum status loop_signal(struct loop *l, int signal_number, loop_callback *caught, void *context,
			struct error *e)
{
	struct signal_handler *h = malloc(sizeof *h);
	struct event *event = NULL;
	if (h && l->n_signals < sizeof l->signals / sizeof *l->signals) {
		*h = (struct signal_handler){ caught, context };
		event = evsignal_new(l->base, signal_number, on_signal, h);
	}
	if (!event || event_add(event, NULL) != 0) {
		if (event)
			event_free(event);
		free(h);
		return error_set(e, ERR_SYSTEM, "signal %d cannot be handled", signal_number);
	}
	l->signals[l->n_signals++] = event;
	return OK;
}
