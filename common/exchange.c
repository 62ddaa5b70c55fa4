#include "common/exchange.h"

#include <stdlib.h>
#include "common/frame.h"

bool exchange_send_within(struct conn *c, size_t most, const struct message *m)
{
	uint8_t *frame = NULL;
	size_t length = 0;
	bool encoded = message_encode(m, &frame, &length) == OK;
	bool within = !encoded || length - FRAME_HEADER_SIZE <= most;
	if (!encoded || (within && conn_send(c, frame, length) != OK))
		conn_kill(c, encoded ? "out of memory" : "a message cannot be encoded");
	free(frame);
	return within;
}

void exchange_send(struct conn *c, const struct message *m)
{
	exchange_send_within(c, SIZE_MAX, m);
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
