/*
 * Load for slapd: libldap's asynchronous operations over mutual TLS, one thread, any number of connections with any
 * number of operations in flight on each.
 *
 * ldap_load add     adds users
 * ldap_load search  looks users up, by MC ID and by MC service ID in turn
 * ldap_load count   counts the users that are there
 */
#include <argp.h>
#include <ldap.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include "tests/bench/measure.h"
#include "tests/bench/users.h"

enum mode { MODE_ADD, MODE_SEARCH, MODE_COUNT };
enum { WINDOW_MAX = 1024 };

static struct {
	enum mode mode;
	const char *certificate, *key, *anchors, *base, *bind, *password;
	unsigned port, connections, window;
	double seconds;
	uint64_t first, most, users;
	int scattered;
} o = { .base = "ou=" BENCH_HOME ",dc=bench", .bind = "cn=admin,dc=bench", .password = "bench", .connections = 1,
	.window = 1, .seconds = 1, .most = UINT64_MAX, .users = 1, .scattered = 1 };

struct connection {
	LDAP *ldap;
	unsigned in_flight;
	uint64_t sent_ns[WINDOW_MAX]; /* by message ID */
};

static uint64_t next_user, sent, start_ns, last_ns, random_state = 88172645463325252u;
static size_t done, failed;
static struct latencies latencies;

static void die(const char *what, int rc)
{
	fprintf(stderr, "ldap_load: %s: %s\n", what, ldap_err2string(rc));
	exit(1);
}

static void set(LDAP *l, int option, const void *value)
{
	int rc = ldap_set_option(l, option, value);
	if (rc != LDAP_OPT_SUCCESS)
		die("an option", rc);
}

static void open_connection(struct connection *c)
{
	char url[64];
	int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
	struct berval password = { strlen(o.password), (char *)o.password };
	snprintf(url, sizeof url, "ldaps://127.0.0.1:%u", o.port);
	int rc = ldap_initialize(&c->ldap, url);
	if (rc != LDAP_SUCCESS)
		die(url, rc);
	set(c->ldap, LDAP_OPT_PROTOCOL_VERSION, &version);
	set(c->ldap, LDAP_OPT_X_TLS_CERTFILE, o.certificate);
	set(c->ldap, LDAP_OPT_X_TLS_KEYFILE, o.key);
	set(c->ldap, LDAP_OPT_X_TLS_CACERTFILE, o.anchors);
	set(c->ldap, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
	set(c->ldap, LDAP_OPT_X_TLS_NEWCTX, &client);
	rc = ldap_sasl_bind_s(c->ldap, o.bind, LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
	if (rc != LDAP_SUCCESS)
		die("bind", rc);
}

static bool time_over(void)
{
	return (double)(now_ns() - start_ns) >= o.seconds * 1e9;
}

static int add(LDAP *l, int *id)
{
	struct bench_user u;
	char dn[256];
	char *classes[] = { "mcUser", NULL }, *mc_id[] = { u.mc_id, NULL }, *revision[] = { "1", NULL };
	char *ids[] = { u.service_ids[0], u.service_ids[1], u.service_ids[2], NULL };
	LDAPMod mods[] = { { LDAP_MOD_ADD, "objectClass", { classes } }, { LDAP_MOD_ADD, "mcId", { mc_id } },
			   { LDAP_MOD_ADD, "mcServiceId", { ids } }, { LDAP_MOD_ADD, "mcRevision", { revision } } };
	LDAPMod *list[] = { &mods[0], &mods[1], &mods[2], &mods[3], NULL };
	bench_user(&u, next_user++, o.scattered);
	snprintf(dn, sizeof dn, "mcId=%s,%s", u.mc_id, o.base);
	return ldap_add_ext(l, dn, list, NULL, NULL, id);
}

static int search(LDAP *l, int *id)
{
	struct bench_user u;
	char filter[160];
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	bench_user(&u, o.first + random_state % o.users, o.scattered);
	snprintf(filter, sizeof filter, sent % 2 ? "(mcId=%s)" : "(mcServiceId=%s)",
		 sent % 2 ? u.mc_id : u.service_ids[sent % BENCH_SERVICES]);
	return ldap_search_ext(l, o.base, LDAP_SCOPE_SUBTREE, filter, NULL, 0, NULL, NULL, NULL, 1, id);
}

static void send_more(struct connection *c)
{
	while (c->in_flight < o.window && sent < o.most && !time_over()) {
		int id, rc = o.mode == MODE_ADD ? add(c->ldap, &id) : search(c->ldap, &id);
		if (rc != LDAP_SUCCESS)
			die("send", rc);
		sent++;
		c->sent_ns[id % WINDOW_MAX] = now_ns();
		c->in_flight++;
	}
}

/* One answer; false: there is none yet. */
static bool receive(struct connection *c)
{
	struct timeval now = { 0, 0 };
	LDAPMessage *m;
	int code, kind = ldap_result(c->ldap, LDAP_RES_ANY, LDAP_MSG_ALL, &now, &m);
	if (kind == 0)
		return false;
	if (kind < 0)
		die("receive", LDAP_SERVER_DOWN);
	int id = ldap_msgid(m), entries = ldap_count_entries(c->ldap, m);
	if (ldap_parse_result(c->ldap, m, &code, NULL, NULL, NULL, NULL, 1) != LDAP_SUCCESS)
		die("receive", LDAP_DECODING_ERROR);
	last_ns = now_ns();
	if (code != LDAP_SUCCESS && failed == 0)
		fprintf(stderr, "ldap_load: %s\n", ldap_err2string(code));
	if (code == LDAP_SUCCESS && (o.mode == MODE_ADD || entries == 1))
		done++;
	else
		failed++;
	latency_add(&latencies, last_ns - c->sent_ns[id % WINDOW_MAX]);
	c->in_flight--;
	return true;
}

static void run(struct connection *connections)
{
	struct pollfd *fds = calloc(o.connections, sizeof *fds);
	if (!fds)
		exit(1);
	for (unsigned i = 0; i < o.connections; i++) {
		int fd;
		ldap_get_option(connections[i].ldap, LDAP_OPT_DESC, &fd);
		fds[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	start_ns = now_ns();
	for (unsigned i = 0; i < o.connections; i++)
		send_more(&connections[i]);
	for (size_t waiting = 1; waiting > 0;) {
		poll(fds, o.connections, 1000);
		waiting = 0;
		for (unsigned i = 0; i < o.connections; i++) {
			while (fds[i].revents && connections[i].in_flight && receive(&connections[i])) {
			}
			send_more(&connections[i]);
			waiting += connections[i].in_flight;
		}
	}
	free(fds);
	report(done, failed, last_ns - start_ns, &latencies, "");
}

static void count(struct connection *c)
{
	char *nothing[] = { LDAP_NO_ATTRS, NULL };
	LDAPMessage *m;
	int id, kind, rc = ldap_search_ext(c->ldap, o.base, LDAP_SCOPE_ONELEVEL, "(objectClass=mcUser)", nothing, 1, NULL,
				     NULL, NULL, 0, &id);
	if (rc != LDAP_SUCCESS)
		die("search", rc);
	start_ns = now_ns();
	while ((kind = ldap_result(c->ldap, id, LDAP_MSG_ONE, NULL, &m)) == LDAP_RES_SEARCH_ENTRY) {
		done++;
		ldap_msgfree(m);
	}
	report(done, kind != LDAP_RES_SEARCH_RESULT, now_ns() - start_ns, NULL, "");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'p': o.port = (unsigned)atoi(arg); return 0;
	case 'c': o.certificate = arg; return 0;
	case 'k': o.key = arg; return 0;
	case 'a': o.anchors = arg; return 0;
	case 'w': o.window = (unsigned)atoi(arg); return 0;
	case 'C': o.connections = (unsigned)atoi(arg); return 0;
	case 's': o.seconds = atof(arg); return 0;
	case 'f': o.first = strtoull(arg, NULL, 10); return 0;
	case 'm': o.most = strtoull(arg, NULL, 10); return 0;
	case 'u': o.users = strtoull(arg, NULL, 10); return 0;
	case 'S': o.scattered = 0; return 0;
	case ARGP_KEY_ARG:
		o.mode = strcmp(arg, "add") == 0 ? MODE_ADD : strcmp(arg, "search") == 0 ? MODE_SEARCH : MODE_COUNT;
		return 0;
	case ARGP_KEY_END:
		if (!o.port || !o.certificate || !o.key || !o.anchors || o.window > WINDOW_MAX)
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "port", 'p', "PORT", 0, "Of the slapd at 127.0.0.1", 0 },
		{ "certificate", 'c', "FILE", 0, NULL, 0 },
		{ "key", 'k', "FILE", 0, NULL, 0 },
		{ "anchors", 'a', "FILE", 0, NULL, 0 },
		{ "connections", 'C', "N", 0, NULL, 0 },
		{ "window", 'w', "N", 0, "Operations in flight on each", 0 },
		{ "seconds", 's', "S", 0, NULL, 0 },
		{ "first", 'f', "I", 0, "Number of the first user", 0 },
		{ "most", 'm', "N", 0, "Operations", 0 },
		{ "users", 'u', "N", 0, "With search: from the first on", 0 },
		{ "sorted", 'S', NULL, 0, "Users in key order", 0 },
		{ 0 },
	};
	argp_parse(&(struct argp){ options, parse, "add|search|count", NULL, NULL, NULL, NULL }, argc, argv, 0, NULL, NULL);
	struct connection *connections = calloc(o.connections, sizeof *connections);
	if (!connections)
		return 1;
	next_user = o.first;
	for (unsigned i = 0; i < o.connections; i++)
		open_connection(&connections[i]);
	if (o.mode == MODE_COUNT)
		count(&connections[0]);
	else
		run(connections);
	for (unsigned i = 0; i < o.connections; i++)
		ldap_unbind_ext(connections[i].ldap, NULL, NULL);
	return failed > 0;
}
