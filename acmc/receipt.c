#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acmc/commands.h"
#include "acmc/load.h"
#include "acmc/put.h"
#include "acmc/save.h"
#include "acmc/show_receipt.h"
#include "common/clock.h"
#include "common/receipt_sign.h"
#include "common/text.h"

/* acmc receipt. */

enum { OPT_OUT = 256, OPT_VERIFY, OPT_ANCHORS, OPT_CRLS, OPT_NAME, OPT_PARTNER };
enum { FILES_MAX = 1000, RECEIPT_MAX = 4 * 1024 * 1024 };

struct options {
	struct common_options common;
	struct request_id id;
	bool has_id;
	const char *out;
	const char *files[FILES_MAX]; /* to be verified */
	size_t n_files;
	struct str anchors[ANCHORS_MAX], crls[ANCHORS_MAX]; /* of the partner */
	size_t n_anchors, n_crls;
	struct str name; /* STR_NONE: not given */
	struct str partner; /* STR_NONE: all of the request */
};

static void add(struct str *list, size_t *n, char *arg, const char *option, struct argp_state *state)
{
	if (*n == ANCHORS_MAX)
		argp_error(state, "%s: more than %d", option, ANCHORS_MAX);
	list[(*n)++] = str_of(arg);
}

static void check(struct options *o, struct argp_state *state)
{
	if (o->has_id == (o->n_files > 0))
		argp_error(state, o->has_id ? "an ID or --verify, not both" : "which receipt? Give a request ID, or --verify");
	if (o->out && !o->has_id)
		argp_error(state, "--out: goes with a request ID");
	/* Offline there is no other server whose anchors they could be. */
	for (size_t i = 0; o->n_files && i < o->common.n_anchors && o->n_anchors < ANCHORS_MAX; i++)
		o->anchors[o->n_anchors++] = o->common.anchors[i];
	if (o->n_crls && !o->n_anchors)
		argp_error(state, "--partner-crls: goes with --partner-anchors");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = state->child_inputs[1] = &o->common; break;
	case OPT_OUT: o->out = arg; break;
	case OPT_VERIFY:
		if (o->n_files == FILES_MAX)
			argp_error(state, "--verify: more than %d files", FILES_MAX);
		o->files[o->n_files++] = arg;
		break;
	case OPT_ANCHORS: add(o->anchors, &o->n_anchors, arg, "--partner-anchors", state); break;
	case OPT_CRLS: add(o->crls, &o->n_crls, arg, "--partner-crls", state); break;
	case OPT_PARTNER: o->partner = options_system("--partner", arg, state); break;
	case OPT_NAME:
		if (strncmp(arg, "DNS:", 4) != 0 && strncmp(arg, "URI:", 4) != 0)
			argp_error(state, "--partner-certificate: %s: must be DNS:NAME or URI:NAME", arg);
		o->name = str_of(arg);
		break;
	case ARGP_KEY_ARG:
		if (o->has_id)
			argp_error(state, "only one request ID at a time");
		o->id = options_request_id("ID", arg, state);
		o->has_id = true;
		break;
	case ARGP_KEY_END: check(o, state); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* --- verifying --- */

struct desk {
	const struct options *o;
	const struct acmc_config *config; /* whose partners count, if no anchors were given as options; else NULL */
	struct tls_trust *given;          /* by options */
	const struct acmc_partner *known; /* of the configuration, the last one looked up, */
	struct tls_trust *known_trust;    /* and its anchors */
	struct json_writer *json;
	size_t n, n_good;
	size_t n_kept; /* saved, and nobody's anchors are known to verify them with */
	bool shown;
};

/* What a receipt must be about; NULL: anything, or only (--partner) whose it must be. */
struct wanted {
	struct str partner, home;
	struct request_id id;
};

static const char *misfit(const struct desk *d, const struct receipt *r, const struct wanted *w)
{
	const struct receipt_claims *c = &r->claims;
	if (!w && d->o->partner.ptr && !str_eq(c->partner, d->o->partner))
		return "it is of another partner";
	if (w && (!str_eq(c->partner, w->partner) || !str_eq(c->home, w->home) ||
		  memcmp(&c->request_id, &w->id, sizeof w->id) != 0))
		return "it is about another request";
	return NULL;
}

/* Whose signature is good for this partner's receipts; *name STR_NONE: it was not given. ERR_NOT_FOUND: nobody knows. */
static enum status trust_for(struct desk *d, struct str partner, struct tls_trust **out, struct str *name,
			     struct error *e)
{
	char system[300];
	const struct acmc_partner *known = d->config ? acmc_config_partner(d->config, partner) : NULL;
	*out = d->given;
	*name = d->o->name;
	if (d->given)
		return OK;
	if (!known)
		return error_set(e, ERR_NOT_FOUND, "no trust anchors of %s are known: give them under partners in the "
				 "configuration, or with --partner-anchors", text_escape(partner, system, sizeof system));
	if (known != d->known) {
		tls_trust_free(d->known_trust);
		d->known_trust = NULL;
		d->known = NULL;
		enum status status = tls_trust_load(known->trust_anchors.items, known->trust_anchors.n, known->crls.items,
						    known->crls.n, &d->known_trust, e);
		if (status != OK)
			return status;
		d->known = known;
	}
	*out = d->known_trust;
	if (!name->ptr)
		*name = known->certificate;
	return OK;
}

/* What the receipt says of its partner only chooses who must have signed it. */
static enum status verify_one(struct desk *d, struct arena *a, struct str bytes, const struct wanted *wanted,
			      struct receipt_view *v, struct receipt *out, struct tls_signer *signer, struct error *e)
{
	struct tls_trust *trust;
	struct str name;
	struct receipt verified;
	enum status status = a ? receipt_read(a, bytes, out, e) : ERR_MEMORY;
	v->readable = status == OK;
	if (status == OK)
		status = trust_for(d, wanted ? wanted->partner : out->claims.partner, &trust, &name, e);
	if (status == OK)
		status = receipt_verify_offline(a, bytes, trust, name, (int64_t)(clock_wall_ms() / 1000), &verified, signer,
						e);
	if (status != OK)
		return status;
	*out = verified;
	if (!name.ptr) /* and who else has one under these anchors, nobody has said either */
		return error_set(e, ERR_INPUT, "signed by %s, which is under these anchors; whether that is who had to sign it, "
				 "nobody has said: give --partner-certificate", signer->certificate);
	return OK;
}

static void judge(struct desk *d, struct str bytes, const struct wanted *wanted, const char *name, const char *saved)
{
	struct arena *a = arena_new(0);
	struct receipt receipt = { .claims = { .n_users = 0 } };
	struct tls_signer signer = { "", "" };
	struct error e = { OK, "out of memory" };
	struct receipt_view v = { .name = name, .receipt = &receipt, .signer = signer.certificate,
				  .note = signer.note, .saved = saved };
	enum status status = verify_one(d, a, bytes, wanted, &v, &receipt, &signer, &e);
	v.fault = status != OK ? e.text : misfit(d, &receipt, wanted);
	v.good = !v.fault;
	d->n_good += v.good;
	d->n_kept += saved && status == ERR_NOT_FOUND && !misfit(d, &receipt, wanted);
	if (d->json)
		put_receipt(d->json, &v);
	else if (d->n)
		putchar('\n');
	if (!d->json)
		d->shown &= show_receipt(stdout, &v, options_colours(&d->o->common, stdout));
	d->n++;
	arena_free(a);
}

static bool begin(struct desk *d, const struct options *o, const struct acmc_config *config)
{
	struct error e;
	*d = (struct desk){ .o = o, .config = config, .shown = true };
	if (o->n_anchors && tls_trust_load((struct str *)o->anchors, o->n_anchors, (struct str *)o->crls, o->n_crls,
					   &d->given, &e) != OK) {
		fprintf(stderr, "acmc: %s\n", e.text);
		return false;
	}
	d->json = o->common.json ? json_writer_new(stdout) : NULL;
	d->shown = !o->common.json || d->json;
	if (d->json) {
		json_map(d->json);
		json_key(d->json, "receipts");
		json_array(d->json);
	}
	return true;
}

static int end(struct desk *d, int code, const char *failure)
{
	if (code == EXIT_ALL_TRUE && (d->n == 0 || d->n_good + d->n_kept < d->n))
		code = EXIT_SOME_FALSE;
	if (d->n_kept)
		fprintf(stderr, "acmc: NOTE: %zu receipt%s saved but not verified: no trust anchors of who should have signed are "
				"known\n", d->n_kept, d->n_kept == 1 ? " was" : "s were");
	if (d->json) {
		json_end_array(d->json);
		put_end(d->json, code, failure);
		json_end_map(d->json);
		d->shown &= json_writer_free(d->json);
	}
	tls_trust_free(d->given);
	tls_trust_free(d->known_trust);
	if (d->shown)
		return code;
	options_not_shown();
	return EXIT_SYSTEM;
}

/* --- from files --- */

static bool read_file(const char *path, struct arena *a, struct str *out)
{
	FILE *in = fopen(path, "rb");
	char *bytes = in ? arena_alloc(a, RECEIPT_MAX + 1) : NULL;
	size_t n = bytes ? fread(bytes, 1, RECEIPT_MAX + 1, in) : 0;
	bool good = bytes && !ferror(in);
	char shown[1200];
	if (!good || n > RECEIPT_MAX)
		fprintf(stderr, "acmc: %s: %s\n", text_escape(str_of(path), shown, sizeof shown),
			good ? "is too large for a receipt" : strerror(errno));
	if (in)
		fclose(in);
	*out = (struct str){ bytes, n };
	return good && n <= RECEIPT_MAX;
}

static int verify(const struct options *o)
{
	struct desk d;
	int code = EXIT_ALL_TRUE;
	struct acmc_config *config = o->n_anchors ? NULL : options_config_offline(&o->common);
	if ((!config && !o->n_anchors) || !begin(&d, o, config)) {
		acmc_config_free(config);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < o->n_files; i++) {
		struct arena *a = arena_new(0);
		struct str bytes;
		if (a && read_file(o->files[i], a, &bytes))
			judge(&d, bytes, NULL, o->files[i], NULL);
		else
			code = EXIT_USAGE;
		arena_free(a);
	}
	code = end(&d, code, code ? "not every file could be read" : NULL);
	acmc_config_free(config);
	return code;
}

/* --- from the home system --- */

static bool is_wanted(const struct options *o, const struct track *t, size_t part, size_t target)
{
	return answers_at(&t->answers, part, target)->has_receipt &&
	       (!o->partner.ptr || str_eq(o->partner, t->parts.targets[target]));
}

static size_t count_wanted(const struct options *o, const struct track *t)
{
	size_t n = 0;
	for (size_t part = 0; part < t->parts.n; part++) {
		for (size_t target = 0; target < t->parts.n_targets; target++)
			n += is_wanted(o, t, part, target);
	}
	return n;
}

/* One of many has the partner and the part in its file's name. False: it could not be saved. */
static bool take(struct desk *d, struct query *q, const struct track *t, size_t part, size_t target, bool single)
{
	struct str partner = t->parts.targets[target];
	struct wanted wanted = { partner, t->answers.home, t->parts.items[part].id };
	char system[300];
	const char *saved = NULL, *name;
	struct said said;
	if (!is_wanted(d->o, t, part, target))
		return true;
	if (!answers_said(&t->answers, answers_at(&t->answers, part, target), q->arena, &said))
		return false;
	text_escape(partner, system, sizeof system);
	name = arena_printf(q->arena, t->parts.n > 1 ? "%s, part %zu of %zu" : "%s", system, part + 1, t->parts.n);
	if (d->o->out && single)
		saved = d->o->out;
	else if (d->o->out && mc_system_id_valid(partner))
		saved = arena_printf(q->arena, "%s.%s.%zu", d->o->out, system, part + 1);
	bool good = !saved || save_file(saved, said.receipt);
	judge(d, said.receipt, &wanted, name ? name : "?", good ? saved : NULL);
	return good;
}

static int fetch(const struct options *o)
{
	struct query q;
	struct track t;
	struct desk d;
	bool saved = true;
	int code = EXIT_ALL_TRUE;
	if (!query_begin(&q, &o->common))
		return query_end(&q, true, code);
	track_init(&t, q.arena, o->id, home_system(q.home));
	bool loaded = load_track(&q, &t, false);
	if (!begin(&d, o, q.config)) {
		answers_free(&t.answers);
		query_end(&q, true, code);
		return EXIT_USAGE;
	}
	bool single = loaded && count_wanted(o, &t) == 1;
	for (size_t target = 0; loaded && target < t.parts.n_targets; target++) {
		for (size_t part = 0; part < t.parts.n; part++)
			saved &= take(&d, &q, &t, part, target, single);
	}
	if (loaded && d.n == 0)
		fputs("acmc: no partner has given a receipt for it, or not yet\n", stderr);
	code = loaded ? end(&d, saved ? EXIT_ALL_TRUE : EXIT_SYSTEM, saved ? NULL : "not every receipt could be saved") :
			end(&d, query_exit_code(&q), query_failure(&q));
	answers_free(&t.answers);
	return query_end(&q, true, code);
}

int receipt_command(int argc, char **argv)
{
	static const struct argp_child children[] = COMMON_CHILDREN;
	static const struct argp_option table[] = {
		{ "out", OPT_OUT, "FILE", 0, "save it; several become FILE.PARTNER.PART", 1 },
		{ "partner", OPT_PARTNER, "SYSTEM", 0, "only of this partner", 1 },
		{ "verify", OPT_VERIFY, "FILE", 0, "verify a saved receipt, offline; may be repeated", 1 },
		{ "partner-anchors", OPT_ANCHORS, "FILE", 0,
		  "CA of the partner that signed; may be repeated (default: as configured for this partner)", 2 },
		{ "partner-crls", OPT_CRLS, "FILE", 0, "its CRLs; may be repeated", 2 },
		{ "partner-certificate", OPT_NAME, "NAME", 0,
		  "name that its certificate must have, DNS:... or URI:... (default: as configured); with "
		  "--partner-anchors it must be given", 2 },
		{ 0 },
	};
	static const struct argp argp = {
		table, parse, "[ID]",
		"Shows and verifies the receipts that partners signed for a request: that they did it, and when. With --verify a "
		"saved one is verified without any connection; then --trust-anchors means the same as --partner-anchors."
		"\vExit codes: 0 all are good (or saved by --out without anybody's anchors to verify them with; a note says so), "
		"1 not all could be verified, or there is none, 2 wrong usage, 3 refused by the home system, 4 the home system was "
		"not reached, 5 system error.\n\n" OPTIONS_HELP,
		children, NULL, NULL
	};
	static struct options o; /* large */
	options_parse(&argp, argc, argv, &o);
	return o.n_files ? verify(&o) : fetch(&o);
}
