// needs: common/frame.c
#include "common/frame.h"
#include "unit.h"

static void headers(void **state)
{
	(void)state;
	static const struct {
		uint8_t head[4];
		size_t have;
		enum frame_state expected;
		uint32_t length;
	} cases[] = {
		{ { 0 }, 0, FRAME_INCOMPLETE, 99 },	   { { 0, 0, 1 }, 3, FRAME_INCOMPLETE, 99 },
		{ { 0, 0, 0, 0 }, 4, FRAME_EMPTY, 0 },	   { { 0, 0, 0, 1 }, 4, FRAME_INCOMPLETE, 1 },
		{ { 0, 0, 0, 1 }, 5, FRAME_COMPLETE, 1 },  { { 0, 0, 0x10, 0 }, 4099, FRAME_INCOMPLETE, 4096 },
		{ { 0, 0, 0x10, 0 }, 4100, FRAME_COMPLETE, 4096 }, { { 0, 0, 0x10, 1 }, 4, FRAME_OVER, 4097 },
		{ { 0xff, 0xff, 0xff, 0xff }, 4, FRAME_OVER, 0xffffffff },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint32_t length = 99;
		assert_int_equal(frame_look(cases[i].head, cases[i].have, 4096, &length), cases[i].expected);
		assert_int_equal(length, cases[i].length);
	}
	uint8_t head[FRAME_HEADER_SIZE];
	frame_header(head, 0x01020304);
	assert_memory_equal(head, "\1\2\3\4", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(headers) };
	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
