#include "acms/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include "acms/damage.h"
#include "acms/partner.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

enum { EXPIRY_CHECK_MS = 12 * 3600 * 1000, TICK_MS = 200, TICKS_A_SECOND = 5, PARTING_MS = 1000 };

/* --- stopping --- */

void server_check_stopped(struct server *s)
{
	if (s->stopping && TAILQ_EMPTY(&s->peers) && TAILQ_EMPTY(&s->links) && s->requests == 0)
		loop_stop(s->loop);
}

/* First whoever waits is told, with a moment to take it; then what is left ends. */
static void on_stop_timeout(void *context)
{
	struct server *s = context;
	if (!s->parting) {
		log_warning("not everything was finished in time; ending now");
		s->parting = true;
		outbox_stop(s);
		peers_kill(s, true);
		loop_timer_set(s->stop_timer, PARTING_MS);
	} else {
		peers_kill(s, false);
	}
	partner_links_kill(s);
}

void server_stop(struct server *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	sd_notify(0, "STOPPING=1");
	for (size_t i = 0; i < s->n_listeners; i++)
		listener_free(s->listeners[i]);
	s->n_listeners = 0;
	loop_timer_set(s->stop_timer, s->live->config->shutdown_timeout_s * 1000ull);
	peers_close(s, CAUSE_GOING_AWAY);
	partner_links_stop(s);
	server_check_stopped(s);
}

static void on_terminate(void *context)
{
	log_info("stopping");
	server_stop(context);
}

/* --- configuration --- */

static struct listener_settings listener_settings(struct server *s, const struct live *live)
{
	const struct config *c = live->config;
	return (struct listener_settings){
		.tls = live->server_tls,
		.max_connections = c->max_connections,
		.conn = { .handshake_timeout_ms = c->handshake_timeout_s * 1000u,
			  .frame_timeout_ms = c->frame_timeout_s * 1000u,
			  .drain_timeout_ms = c->shutdown_timeout_s * 1000u,
			  .pause_at_bytes = config_pause_at(c),
			  .max_queued_bytes = c->max_queued_bytes },
		.handlers = &peer_handlers,
		.accepted = peer_accepted,
		.context = s,
	};
}

static struct listener *listener_at(struct server *s, const struct listen_address *address)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listen_address *had = &s->live->config->listen[i];
		if (str_eq(had->address, address->address) && had->port == address->port)
			return s->listeners[i];
	}
	return NULL;
}

/* The listeners for a configuration: those that are there already, and new ones. NULL: none were made. */
static struct listener **make_listeners(struct server *s, const struct live *live, struct error *e)
{
	const struct config *c = live->config;
	struct listener_settings settings = listener_settings(s, live);
	struct listener **all = calloc(c->n_listen + 1, sizeof(struct listener *));
	size_t i = 0;
	if (!all) {
		error_set(e, ERR_MEMORY, "out of memory");
		return NULL;
	}
	for (; i < c->n_listen; i++) {
		all[i] = listener_at(s, &c->listen[i]);
		if (!all[i] && listener_new(s->loop, c->listen[i].address.ptr,
					    (uint16_t)c->listen[i].port,
					    &settings, &all[i], e) != OK)
			goto undo;
	}
	return all;
undo:
	while (i-- > 0) {
		if (!listener_at(s, &c->listen[i]))
			listener_free(all[i]);
	}
	free(all);
	return NULL;
}

static bool still_listens(const struct config *c, const struct listen_address *had)
{
	for (size_t i = 0; i < c->n_listen; i++) {
		if (str_eq(had->address, c->listen[i].address) && had->port == c->listen[i].port)
			return true;
	}
	return false;
}

/* Puts a complete new configuration in the place of the one before. Nothing here can fail halfway. */
static void swap_live(struct server *s, struct live *live, struct listener **listeners)
{
	struct live *before = s->live;
	struct listener_settings settings = listener_settings(s, live);
	for (size_t i = 0; i < s->n_listeners; i++) {
		if (!still_listens(live->config, &before->config->listen[i]))
			listener_free(s->listeners[i]);
	}
	free(s->listeners);
	s->listeners = listeners;
	s->n_listeners = live->config->n_listen;
	for (size_t i = 0; i < s->n_listeners; i++) {
		listener_set_tls(listeners[i], live->server_tls);
		listener_set_limits(listeners[i], settings.max_connections, &settings.conn);
	}
	s->live = live;
	peers_reload(s, live);
	if (!partner_links_configure(s))
		log_error("out of memory: not every partner system is connected; send SIGHUP again");
	live_free(before);
}

static bool needs_restart(const struct config *before, const struct config *now)
{
	if (!str_eq(before->mc_system_id, now->mc_system_id))
		log_error("mc_system_id: changed; this needs a restart, with another store");
	else if (!str_eq(before->store_directory, now->store_directory))
		log_error("store.directory: changed; this needs a restart");
	else
		return false;
	return true;
}

static void set_log_level(const struct config *c)
{
	enum log_level level = LOG_LEVEL_INFO;
	log_level_parse(c->log_level, &level);
	log_set_level(level);
}

/* Mistakes go to the log, a line each. */
static struct live *load_logged(const char *file)
{
	char *text = NULL;
	size_t size = 0;
	FILE *mistakes = open_memstream(&text, &size);
	struct live *live = mistakes ? live_load(file, mistakes) : NULL;
	if (mistakes)
		fclose(mistakes);
	for (char *line = text, *rest = NULL; (line = strtok_r(line, "\n", &rest)); line = NULL)
		log_error("%s", line);
	free(text);
	return live;
}

static void notify_ready(const struct server *s)
{
	sd_notifyf(0, "READY=1\nSTATUS=Serving %.*s, %zu partner systems",
		   STR_ARG(s->live->config->mc_system_id), s->live->config->n_partners);
}

static void on_reload(void *context)
{
	struct server *s = context;
	struct error e;
	struct listener **listeners = NULL;
	if (s->stopping)
		return;
	sd_notify(0, "RELOADING=1");
	struct live *live = load_logged(s->live->config->file.ptr);
	if (live && !needs_restart(s->live->config, live->config)) {
		listeners = make_listeners(s, live, &e);
		if (!listeners)
			log_error("%s", e.text);
	}
	if (listeners) {
		swap_live(s, live, listeners);
		set_log_level(live->config);
		live_warn_expiry(live, (int64_t)(clock_wall_ms() / 1000));
		log_info("configuration reloaded");
	} else {
		live_free(live);
		log_error("the configuration was not reloaded; the one before stays in force");
	}
	notify_ready(s);
}

static void on_expiry_timer(void *context)
{
	struct server *s = context;
	live_warn_expiry(s->live, (int64_t)(clock_wall_ms() / 1000));
	loop_timer_set(s->expiry_timer, EXPIRY_CHECK_MS);
}

/* What comes with time: attempts, deadlines. */
static void on_tick(void *context)
{
	struct server *s = context;
	partner_links_tick(s);
	peers_tick(s);
	if (s->ticks++ % TICKS_A_SECOND == 0) {
		outbox_tick(s);
		parties_tick(s);
		memory_tick(&s->memory_of_libc);
	}
	loop_timer_set(s->tick, TICK_MS);
}

/*
 * systemd restarts us when these stay away. That the loop runs is enough for them: a commit that waits for the disk is not quicker
 * after a restart, which would cost everybody their connections.
 */
static void on_watchdog(void *context)
{
	struct server *s = context;
	sd_notify(0, "WATCHDOG=1");
	loop_timer_set(s->watchdog, s->watchdog_ms);
}

/* Well within the time that is given: a busy turn of the loop must not look like one that hangs. */
static void start_watchdog(struct server *s)
{
	uint64_t usec = 0;
	if (sd_watchdog_enabled(0, &usec) <= 0)
		return;
	s->watchdog_ms = usec / 1000 / 3;
	on_watchdog(s);
}

/* --- starting --- */

/* False: there was nothing. */
static bool take_committed(struct server *s)
{
	bool any = committer_finish(s->committer);
	notary_sign(&s->notary, s->live->identity);
	return any;
}

/* What shows what was committed comes after that is told. */
static bool has_told(void *context, uint64_t snapshot)
{
	struct server *s = context;
	return committer_has_told(s->committer, snapshot);
}

static void on_read(void *context)
{
	struct server *s = context;
	reader_finish(s->reader);
}

static void wake_loop(void *context)
{
	loop_wake(context);
}

static void gather(void *context)
{
	loop_late(context);
}

static void on_gathered(void *context)
{
	struct server *s = context;
	committer_flush(s->committer);
}

static void on_committed(void *context)
{
	struct server *s = context;
	struct error why;
	take_committed(s);
	reader_finish(s->reader);
	if (!s->failed && committer_failed(s->committer, &why)) {
		log_error("%s; stopping, so that a restart can open the store anew", why.text);
		s->failed = true;
		server_stop(s);
	}
}

static enum status start_store(struct server *s, struct error *e)
{
	const struct config *c = s->live->config;
	enum status status = store_open(c->store_directory.ptr, c->mc_system_id,
					c->store_map_bytes, STORE_SERVE, &s->store, e);
	if (status == OK) {
		store_bound(s->store, c->store_max_bytes);
		store_on_damage(s->store, damage_log, NULL);
	}
	if (status == OK && store_upgraded(s->store))
		log_info("store %s: upgraded from an older version", LOG_STR(c->store_directory));
	if (status == OK)
		status = outbox_load(s, e);
	if (status == OK)
		status = loop_wake_new(s->loop, on_committed, s, &s->committed, e);
	if (status == OK)
		status = loop_wake_new(s->loop, on_read, s, &s->was_read, e);
	if (status == OK && !(s->gathered = loop_late_new(s->loop, on_gathered, s)))
		status = error_set(e, ERR_MEMORY, "out of memory");
	if (status != OK)
		return status;
	struct committer_host host = { clock_wall_ms, wake_loop, s->committed, gather, s->gathered };
	struct reader_host reading = { clock_wall_ms, wake_loop, s->was_read, has_told, s };
	status = committer_start(s->store, &host, &s->committer, e);
	return status == OK ? reader_start(s->store, &reading, &s->reader, e) : status;
}

static enum status start(struct server *s, struct error *e)
{
	enum status status = loop_new(&s->loop, e);
	if (status != OK)
		return status;
	s->strangers = party_of_strangers(s);
	s->expiry_timer = loop_timer_new(s->loop, on_expiry_timer, s);
	s->stop_timer = loop_timer_new(s->loop, on_stop_timeout, s);
	s->tick = loop_timer_new(s->loop, on_tick, s);
	s->watchdog = loop_timer_new(s->loop, on_watchdog, s);
	if (!s->strangers || !s->expiry_timer || !s->stop_timer || !s->tick || !s->watchdog)
		return error_set(e, ERR_MEMORY, "out of memory");
	status = start_store(s, e);
	if (status == OK && !(s->sweeper = sweeper_new(s)))
		status = error_set(e, ERR_MEMORY, "out of memory");
	if (status == OK)
		status = loop_signal(s->loop, SIGHUP, on_reload, s, e);
	if (status == OK)
		status = loop_signal(s->loop, SIGTERM, on_terminate, s, e);
	if (status == OK)
		status = loop_signal(s->loop, SIGINT, on_terminate, s, e);
	if (status != OK)
		return status;
	s->listeners = make_listeners(s, s->live, e);
	if (!s->listeners)
		return e->status;
	s->n_listeners = s->live->config->n_listen;
	if (!partner_links_configure(s))
		return error_set(e, ERR_MEMORY, "out of memory");
	return OK;
}

static void log_started(const struct server *s)
{
	const struct config *c = s->live->config;
	log_info("acms " ACX_VERSION " of %s, store %s, %zu ACMC%s, %zu partner system%s",
		 LOG_STR(c->mc_system_id), LOG_STR(c->store_directory), c->n_acmcs, text_s(c->n_acmcs),
		 c->n_partners, text_s(c->n_partners));
	for (size_t i = 0; i < c->n_listen; i++)
		log_info("listening on %s port %u", LOG_STR(c->listen[i].address),
			 listener_port(s->listeners[i]));
}

/* What was submitted is committed even now; only the answers have nowhere to go. */
static void finish(struct server *s)
{
	if (s->reader)
		reader_stop(s->reader);
	if (s->committer) {
		refusals_write(s, true);
		committer_stop(s->committer);
		while (take_committed(s) || (s->reader && reader_finish(s->reader))) {
			/* what is done may submit more: it is refused */
		}
	}
	outbox_free(s);
	approval_free(s);
	sweeper_free(s->sweeper);
	reader_free(s->reader);
	committer_free(s->committer);
	refusals_free(&s->refusals);
	loop_wake_free(s->was_read);
	loop_wake_free(s->committed);
	loop_late_free(s->gathered);
	store_close(s->store);
	for (size_t i = 0; i < s->n_listeners; i++)
		listener_free(s->listeners[i]);
	free(s->listeners);
	loop_timer_free(s->expiry_timer);
	loop_timer_free(s->stop_timer);
	loop_timer_free(s->tick);
	loop_timer_free(s->watchdog);
	loop_free(s->loop);
	parties_free(s);
	live_free(s->live);
}

int server_run(struct live *live)
{
	struct server s = { .live = live };
	struct error e;
	TAILQ_INIT(&s.peers);
	TAILQ_INIT(&s.parties);
	TAILQ_INIT(&s.links);
	LIST_INIT(&s.accepting);
	TAILQ_INIT(&s.asked);
	set_log_level(live->config);
	memory_begin();
	if (start(&s, &e) != OK) {
		log_error("%s", e.text);
		s.failed = true;
	} else {
		log_started(&s);
		on_expiry_timer(&s);
		on_tick(&s);
		notify_ready(&s);
		start_watchdog(&s);
		s.failed |= loop_run(s.loop) != OK;
		log_info("stopped");
	}
	finish(&s);
	return s.failed ? 1 : 0;
}
