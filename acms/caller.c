#include "acms/caller.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "common/clock.h"
#include "common/text.h"

struct caller *caller_named(struct caller_list *all, const char *name, unsigned most_lines)
{
	struct caller *p;
	TAILQ_FOREACH(p, all, in_all) {
		if (strcmp(p->name, name) == 0)
			return p;
	}
	p = calloc(1, sizeof *p + strlen(name) + 1);
	if (!p)
		return NULL;
	p->account = conn_account_new();
	if (!p->account) {
		free(p);
		return NULL;
	}
	p->most_lines = most_lines;
	memcpy(p->name, name, strlen(name) + 1);
	TAILQ_INSERT_TAIL(all, p, in_all);
	return p;
}

void caller_name(const struct principal *who, struct str own, char *out, size_t size)
{
	switch (who->kind) {
	case PRINCIPAL_ACMC:
		text_format(out, size, "ACMC %s", LOG_STR(who->acmc->name));
		break;
	case PRINCIPAL_SYSTEM:
		text_format(out, size, "system %s", LOG_STR(who->partner->mc_system_id));
		break;
	case PRINCIPAL_SELF:
		text_format(out, size, "self %s", LOG_STR(own));
		break;
	}
}

static void say_left_out(const struct caller *p, enum caller_lines about, uint64_t n)
{
	static const char *const what[CALLER_LINES] = { "connections", "requests" };
	if (n > 0)
		log_warning("%s: %llu more lines about its %s were left out", p->name, (unsigned long long)n, what[about]);
}

void caller_log(struct caller *p, enum caller_lines about, enum log_level level, const char *format, ...)
{
	char line[2048];
	uint64_t left_out = 0;
	va_list args;
	if (!log_is_on(level))
		return;
	bool allowed = log_limit_allows(&p->lines[about], p->most_lines, clock_mono_ms(), &left_out);
	say_left_out(p, about, left_out);
	if (!allowed)
		return;
	va_start(args, format);
	text_vformat(line, sizeof line, format, args);
	va_end(args);
	log_write(level, "%s", line);
}

void callers_tick(struct caller_list *all)
{
	uint64_t now = clock_mono_ms();
	struct caller *p;
	TAILQ_FOREACH(p, all, in_all) {
		for (int about = 0; about < CALLER_LINES; about++)
			say_left_out(p, (enum caller_lines)about, log_limit_missed(&p->lines[about], now));
	}
}

void callers_free(struct caller_list *all)
{
	struct caller *p;
	while ((p = TAILQ_FIRST(all))) {
		TAILQ_REMOVE(all, p, in_all);
		conn_account_free(p->account);
		free(p);
	}
}
