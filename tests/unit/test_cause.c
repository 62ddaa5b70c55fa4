// needs: common/cause.c proto/acx.pb-c.c
#include <limits.h>
#include "common/cause.h"
#include "proto/acx.pb-c.h"
#include "unit.h"

static void numbers_and_names_are_those_of_the_proto(void **state)
{
	(void)state;
	const ProtobufCEnumDescriptor *d = &acx__cause__descriptor;
	for (unsigned i = 0; i < d->n_values; i++)
		assert_string_equal(cause_name((enum cause)d->values[i].value), d->values[i].name);
#define X(name, number, kind, text) \
	assert_int_equal(protobuf_c_enum_descriptor_get_value_by_name(d, #name)->value, number);
	CAUSES(X)
#undef X
}

/* "| 101 | NAME | made by | kind | ..." */
static void kinds_are_those_of_the_protocol_page(void **state)
{
	(void)state;
	FILE *f = fopen("proto/PROTOCOL.md", "r");
	char line[1024], name[64], by[32], kind[32];
	int number, rows = 0;
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "| %d | %63[A-Z_] | %31[a-zA-Z] | %31[a-z]", &number, name, by, kind) < 3)
			continue;
		rows++;
		assert_string_equal(cause_name((enum cause)number), name);
		if (strcmp(by, "Close") == 0)
			strcpy(kind, "close");
		assert_string_equal(cause_kind_name(cause_kind((enum cause)number)), kind);
	}
	fclose(f);
	assert_int_equal(rows, acx__cause__descriptor.n_values - 1); /* all but NO_CAUSE */
}

static void unknown_causes_go_by_their_class(void **state)
{
	(void)state;
	char text[CAUSE_LABEL_SIZE];
	assert_string_equal(cause_name((enum cause)499), "UNKNOWN_CAUSE");
	assert_string_equal(cause_label((enum cause)499, text), "UNKNOWN_CAUSE 499");
	assert_string_equal(cause_label((enum cause)INT_MIN, text), "UNKNOWN_CAUSE -2147483648");
	assert_string_equal(cause_label(CAUSE_OUTSIDE_NAMESPACE, text), "OUTSIDE_NAMESPACE");
	assert_int_equal(cause_kind((enum cause)199), CAUSE_KIND_FINAL);
	assert_int_equal(cause_kind((enum cause)499), CAUSE_KIND_FINAL);
	assert_int_equal(cause_kind((enum cause)599), CAUSE_KIND_TRANSIENT);
	assert_int_equal(cause_kind((enum cause)699), CAUSE_KIND_UNKNOWN);
	assert_int_equal(cause_kind((enum cause)-5), CAUSE_KIND_FINAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_names_are_those_of_the_proto),
		cmocka_unit_test(kinds_are_those_of_the_protocol_page),
		cmocka_unit_test(unknown_causes_go_by_their_class),
	};
	return cmocka_run_group_tests_name("cause", tests, NULL, NULL);
}
