#include "acmc/screen.h"

#include <string.h>
#include <unistd.h>
#include "acmc/show.h"
#include "common/text.h"

void screen_init(struct screen *s, const struct common_options *o, bool quiet)
{
	bool lines = !quiet && !o->json;
	*s = (struct screen){ .lines = lines, .progress = lines && isatty(STDERR_FILENO),
			      .colours = options_colours(o, stderr) };
}

void screen_clear(const struct screen *s)
{
	if (s->progress)
		fputs("\r\033[K", stderr);
}

static void on_started(void *context, const struct answers *a)
{
	struct screen *s = context;
	char first[REQUEST_ID_TEXT_SIZE];
	s->answers = a;
	if (!s->lines)
		return;
	request_id_format(a->parts->items[0].id, first);
	screen_clear(s);
	fprintf(stderr, "request %s: %zu user%s to %zu partner%s\n", first, parts_users(a->parts),
		text_s(parts_users(a->parts)), a->parts->n_targets, text_s(a->parts->n_targets));
}

static void on_answered(void *context, const struct answers *a, size_t part, const struct setup_response *r)
{
	const struct screen *s = context;
	if (!s->lines)
		return;
	screen_clear(s);
	show_answer(stderr, a, part, r, s->colours);
}

static void on_indicated(void *context, const struct answers *a, size_t part,
			 const struct process_indication *m)
{
	const struct screen *s = context;
	if (!s->lines)
		return;
	screen_clear(s);
	show_indication(stderr, a, part, m);
}

static void on_lost(void *context, const char *why, unsigned seconds)
{
	const struct screen *s = context;
	if (!s->lines)
		return;
	screen_clear(s);
	fprintf(stderr, "%s; trying again in %u s\n", why, seconds);
}

static void on_tick(void *context)
{
	struct screen *s = context;
	if (!s->progress || !s->answers)
		return;
	fprintf(stderr, "\r%c waiting for %zu answer%s\033[K", "|/-\\"[s->ticks++ % 4], s->answers->missing,
		text_s(s->answers->missing));
	fflush(stderr);
}

struct watcher screen_watcher(struct screen *s)
{
	return (struct watcher){ on_started, on_answered, on_indicated, on_lost, s };
}

void screen_watch(struct screen *s, struct home *h)
{
	home_on_tick(h, on_tick, s);
}

static int exit_code(enum home_result result, const struct answers *a)
{
	if (result == HOME_OK)
		return answers_exit_code(a);
	if ((result == HOME_INTERRUPTED || result == HOME_TIME_OUT) && show_goes_on(a))
		return EXIT_GOES_ON;
	return exit_code_of_result(result);
}

int screen_end(struct screen *s, struct home *h, const struct common_options *o, enum home_result result,
	       const struct answers *a, struct request_id base)
{
	const char *failure = result == HOME_OK ? NULL : home_failure(h);
	int code = exit_code(result, a);
	screen_clear(s);
	bool shown = o->json ? show_json(stdout, a, base, failure, code) :
			       show_table(stdout, a, failure, options_colours(o, stdout));
	if (failure && code != EXIT_GOES_ON)
		home_complain(h, result, stderr);
	if (!o->json || code == EXIT_GOES_ON)
		show_advice(stderr, a, base);
	if (shown)
		return code;
	options_not_shown();
	return EXIT_SYSTEM;
}
