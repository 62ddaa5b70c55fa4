#include "common/message.h"

const char *message_kind_name(enum message_kind kind)
{
	switch (kind) {
	case MESSAGE_HELLO: return "Hello";
	case MESSAGE_SETUP_REQUEST: return "MC service user setup request";
	case MESSAGE_SETUP_RESPONSE: return "MC service user setup response";
	case MESSAGE_PING: return "Ping";
	case MESSAGE_PONG: return "Pong";
	case MESSAGE_CLOSE: return "Close";
	case MESSAGE_PROCESS_INDICATION: return "process indication";
	case MESSAGE_REQUESTS_QUERY: return "requests query";
	case MESSAGE_REQUESTS_PAGE: return "requests page";
	case MESSAGE_USERS_QUERY: return "users query";
	case MESSAGE_USERS_PAGE: return "users page";
	case MESSAGE_DIGEST_QUERY: return "digest query";
	case MESSAGE_DIGEST_PAGE: return "digest page";
	case MESSAGE_PENDING_QUERY: return "pending query";
	case MESSAGE_PENDING_PAGE: return "pending page";
	case MESSAGE_DECISION: return "decision";
	case MESSAGE_DECISION_RESULT: return "decision result";
	}
	return "?";
}

uint64_t *message_token(struct message *m)
{
	switch (m->kind) {
	case MESSAGE_REQUESTS_QUERY: return &m->requests_query.token;
	case MESSAGE_USERS_QUERY: return &m->users_query.token;
	case MESSAGE_DIGEST_QUERY: return &m->digest_query.token;
	case MESSAGE_PENDING_QUERY: return &m->pending_query.token;
	case MESSAGE_DECISION: return &m->decision.token;
	case MESSAGE_HELLO:
	case MESSAGE_SETUP_REQUEST:
	case MESSAGE_SETUP_RESPONSE:
	case MESSAGE_PING:
	case MESSAGE_PONG:
	case MESSAGE_CLOSE:
	case MESSAGE_PROCESS_INDICATION:
	case MESSAGE_REQUESTS_PAGE:
	case MESSAGE_USERS_PAGE:
	case MESSAGE_DIGEST_PAGE:
	case MESSAGE_PENDING_PAGE:
	case MESSAGE_DECISION_RESULT: break;
	}
	return NULL;
}
