# The benchmark, and instruction counts of the hot paths. tests/bench/README.md says what is compared.

BENCH_TOOLS := $(addprefix $(BUILD)/bench/,acx_load ldap_load pg_load lmdb_load floor fill)
bench_obj = $(call obj,$(addprefix tests/bench/,$(1)))

$(BUILD)/bench/acx_load: $(call bench_obj,acx_load.c) $(BUILD)/libacx.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bench/ldap_load: $(call bench_obj,ldap_load.c)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lldap -llber

$(BUILD)/obj/tests/bench/pg_load.o: CFLAGS += -I/usr/include/postgresql
$(BUILD)/bench/pg_load: $(call bench_obj,pg_load.c)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpq

$(BUILD)/bench/lmdb_load: $(call bench_obj,lmdb_load.c model.c) $(call obj,$(wildcard acms/store*.c acms/record*.c)) $(BUILD)/libacx.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bench/fill: $(call bench_obj,fill.c) $(call obj,$(wildcard acms/store*.c acms/record*.c)) $(BUILD)/libacx.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bench/floor: $(call bench_obj,floor.c model.c)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto -llmdb

.PHONY: bench bench-readme deps-bench test-instructions

deps-bench:
	@deploy/install-packages build test bench

## make bench         how fast, beside slapd, PostgreSQL and raw LMDB: under 10 minutes; BENCH_SCALE=full: longer
BENCH_SCALE ?= short
bench: deps-bench
	@$(MAKE) --no-print-directory -s all $(BENCH_TOOLS)
	@BUILD=$(BUILD) /usr/bin/python3 tests/bench/run.py --scale $(BENCH_SCALE)

## make bench-readme  puts the figures of the last `make bench` into README.md and deploy/capacity.md
bench-readme:
	@tests/bench/pages.py $(BUILD)/bench/results.json README.md deploy/capacity.md

## make test-instructions  what the hot paths cost, counted by callgrind
$(BUILD)/tests/hot_paths: $(call obj,tests/instructions/hot_paths.c $(call needs,tests/instructions/hot_paths.c)) $(BUILD)/libacx.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

test-instructions: deps-test $(BUILD)/tests/hot_paths
	@tests/instructions/check $(BUILD)
