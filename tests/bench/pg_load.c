/*
 * Load for PostgreSQL: one transaction a user (its row, and one for each MC service ID), each connection with one in
 * flight, over mutual TLS, one thread.
 *
 * pg_load "CONNECTION STRING" CONNECTIONS SECONDS FIRST
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include "tests/bench/measure.h"
#include "tests/bench/users.h"

static const char statement[] =
	"WITH u AS (INSERT INTO users (home, mc_id, revision, created, changed, request) "
	"VALUES ($1, $2, 1, now(), now(), $6::uuid)) "
	"INSERT INTO service_ids (mc_service_id, service, home, mc_id) VALUES ($3, 1, $1, $2), ($4, 2, $1, $2), ($5, 3, $1, $2)";

struct connection {
	PGconn *pg;
	bool busy;
	uint64_t sent_ns;
};

static uint64_t next_user, start_ns, last_ns;
static double seconds;
static size_t done, failed;
static struct latencies latencies;

static void die(PGconn *pg)
{
	fprintf(stderr, "pg_load: %s\n", PQerrorMessage(pg));
	exit(1);
}

static void open_connection(struct connection *c, const char *where)
{
	c->pg = PQconnectdb(where);
	if (PQstatus(c->pg) != CONNECTION_OK)
		die(c->pg);
	PGresult *r = PQprepare(c->pg, "add", statement, 6, NULL);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		die(c->pg);
	PQclear(r);
}

static bool time_over(void)
{
	return (double)(now_ns() - start_ns) >= seconds * 1e9;
}

static void add(struct connection *c)
{
	struct bench_user u;
	char request[40];
	snprintf(request, sizeof request, "00000000-0000-7000-8000-%012llx", (unsigned long long)next_user);
	bench_user(&u, next_user++, 1);
	const char *values[] = { BENCH_HOME, u.mc_id, u.service_ids[0], u.service_ids[1], u.service_ids[2], request };
	c->sent_ns = now_ns();
	if (!PQsendQueryPrepared(c->pg, "add", 6, values, NULL, NULL, 0))
		die(c->pg);
	c->busy = true;
}

static void receive(struct connection *c)
{
	PGresult *r;
	if (!PQconsumeInput(c->pg))
		die(c->pg);
	if (PQisBusy(c->pg))
		return;
	while ((r = PQgetResult(c->pg))) {
		bool good = PQresultStatus(r) == PGRES_COMMAND_OK;
		if (!good && failed == 0)
			fprintf(stderr, "pg_load: %s\n", PQresultErrorMessage(r));
		done += good;
		failed += !good;
		PQclear(r);
	}
	c->busy = false;
	last_ns = now_ns();
	latency_add(&latencies, last_ns - c->sent_ns);
	if (!time_over())
		add(c);
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	size_t n = (size_t)atoi(argv[2]), waiting = n;
	seconds = atof(argv[3]);
	next_user = strtoull(argv[4], NULL, 10);
	struct connection *connections = calloc(n, sizeof *connections);
	struct pollfd *fds = calloc(n, sizeof *fds);
	if (!connections || !fds)
		return 1;
	for (size_t i = 0; i < n; i++) {
		open_connection(&connections[i], argv[1]);
		fds[i] = (struct pollfd){ .fd = PQsocket(connections[i].pg), .events = POLLIN };
	}
	start_ns = now_ns();
	for (size_t i = 0; i < n; i++)
		add(&connections[i]);
	while (waiting > 0) {
		poll(fds, n, 1000);
		waiting = 0;
		for (size_t i = 0; i < n; i++) {
			if (connections[i].busy && fds[i].revents)
				receive(&connections[i]);
			waiting += connections[i].busy;
		}
	}
	report(done, failed, last_ns - start_ns, &latencies, "");
	for (size_t i = 0; i < n; i++)
		PQfinish(connections[i].pg);
	return failed > 0;
}
