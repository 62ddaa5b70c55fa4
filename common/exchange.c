#include "common/exchange.h"

#include <stdlib.h>

void exchange_send(struct conn *c, const struct message *m)
{
	uint8_t *frame = NULL;
	size_t length;
	if (message_encode(m, &frame, &length) != OK || conn_send(c, frame, length) != OK)
		conn_kill(c, "out of memory");
	free(frame);
}

void exchange_send_hello(struct conn *c, struct str mc_system_id, const struct limits *limits,
			 const char *software)
{
	exchange_send(c, &(struct message){ .kind = MESSAGE_HELLO,
					    .hello = { .version_min = PROTOCOL_VERSION_MIN,
						       .version_max = PROTOCOL_VERSION_MAX,
						       .mc_system_id = mc_system_id,
						       .limits = *limits,
						       .software = str_of(software) } });
}

void exchange_send_close(struct conn *c, enum cause cause, const char *detail)
{
	exchange_send(c, &(struct message){ .kind = MESSAGE_CLOSE,
					    .close = { cause, str_of(detail) } });
}
