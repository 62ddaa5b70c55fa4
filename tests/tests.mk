# Test runs. The suite is one; the variants build it anew with other compilers' checks.

PYTEST := /usr/bin/python3 -m pytest -q
# Most of the time they wait: for commits, deadlines, processes.
WORKERS ?= 4

## make test          everything below but the slow variants, installing what it needs
test: deps-test
	@$(BUILT) tests-built
	@$(MAKE) --no-print-directory all check-includes test-unit test-fuzz-corpus test-golden test-blackbox test-docs

## make test-unit, test-blackbox, test-fuzz-corpus, test-docs
test-golden: all
	@tests/golden/cli/run $(BUILD)

BLACKBOX ?= tests/blackbox
test-blackbox: all $(BUILD)/tests/make_receipt
	@BUILD=$(BUILD) $(PYTEST) -n $(WORKERS) --dist loadfile $(BLACKBOX)

# README's first command is an example that must work; its configurations are checked, too.
test-docs: all
	@deploy/demo $(BUILD) >$(BUILD)/demo.log 2>&1 || { cat $(BUILD)/demo.log; exit 1; }
	@tests/check-readme $(BUILD)

.PHONY: tests-built suite
tests-built: all $(TESTS_BUILT)
suite: test-unit test-fuzz-corpus test-blackbox

ASAN := CC=clang CFLAGS="-O1 -g" BUILD=build/asan SANITIZE=address,undefined
TSAN := CC=clang CFLAGS="-O1 -g" BUILD=build/tsan SANITIZE=thread

blackbox = $(patsubst %,tests/blackbox/test_%.py,$(1))
# Shell scripts, and hundreds of configurations that config.c's unit test and fuzz target have, too.
NOT_IN_ASAN := $(call blackbox,pki deploy config)
# What keeps the loop, the committer and the reader busy at the same time.
IN_TSAN := $(call blackbox,setup readers parties storm bulk life partner_life durable damage process)

## make test-asan     the suite under ASan and UBSan
test-asan: deps-test
	@$(BUILT) $(ASAN) tests-built
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
		$(MAKE) --no-print-directory $(ASAN) suite \
		BLACKBOX="$(filter-out $(NOT_IN_ASAN),$(wildcard tests/blackbox/test_*.py))"

## make test-tsan     unit tests, and what touches several threads at a time, under TSan
test-tsan: deps-test
	@$(BUILT) $(TSAN) tests-built
	@TSAN_OPTIONS=allocator_may_return_null=1 $(MAKE) --no-print-directory $(TSAN) suite BLACKBOX="$(IN_TSAN)"

## make test-crash    KILLS (300) of two systems under load, at every fail point and at random; SEED=N repeats a run
KILLS ?= 300
test-crash: deps-test
	@$(BUILT) BUILD=$(BUILD)/failpoints FAILPOINTS=1 all
	@BUILD=$(BUILD)/failpoints tests/crash/run.py --kills $(KILLS) $(if $(SEED),--seed $(SEED))

## make test-crash-mutants  shows that the crash test notices when a durable step is taken out
test-crash-mutants: deps-test
	@tests/crash/show-it-fails

## make test-faults   networks, clocks and disks that fail, between network namespaces; needs root
test-faults: deps-test all
	@BUILD=$(BUILD) $(PYTEST) tests/faults

## make test-hostile  hostile peers do all that they can at once while honest ones work; HOSTILE_SECONDS (300; 40 is a short form)
HOSTILE_SECONDS ?= 300
HOSTILE_USERS ?= 100000
.PHONY: test-hostile
test-hostile: deps-test all $(BUILD)/tests/key_updates
	@BUILD=$(BUILD) $(PYTEST) tests/hostile
	@BUILD=$(BUILD) tests/hostile/soak.py --seconds $(HOSTILE_SECONDS) --users $(HOSTILE_USERS)

$(BUILD)/tests/key_updates: $(call obj,tests/hostile/key_updates.c)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto

## make test-valgrind unit tests, and the demo's programs, under valgrind
VALGRIND := valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
# Thousands of signatures, and of hostile records and messages, take it minutes; test-asan has them.
UNIT_VALGRIND = $(filter-out test_receipt_sign test_message_hostile test_record_hostile,$(UNIT))
test-valgrind: deps-test all $(addprefix $(BUILD)/tests/,$(UNIT_VALGRIND))
	@UNIT_WRAPPER="$(VALGRIND)" tests/unit/run $(BUILD) $(UNIT_VALGRIND)
	@ACX_VALGRIND="$(VALGRIND)" BUILD=$(BUILD) $(PYTEST) tests/blackbox/test_setup.py

## make test-model    the exchange between home and partner, with crashes and losses, checked by spin (2 min)
.PHONY: test-model
test-model: deps-test
	@tests/model/run

## make fuzz          FUZZ_SECONDS (30) of each fuzz target, with libFuzzer
FUZZ_SECONDS ?= 30
fuzz: deps-test $(BUILD)/gen/proto/acx.pb-c.h
	@mkdir -p $(BUILD)/fuzz
	@set -e; for t in $(FUZZ); do \
		needs=$$(sed -n 's,^// needs: ,,p' tests/fuzz/$$t.c | sed 's,proto/acx.pb-c.c,$(BUILD)/gen/&,'); \
		clang -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -I$(BUILD)/gen \
			-o $(BUILD)/fuzz/$$t tests/fuzz/$$t.c $$needs $(LIBS); \
		mkdir -p $(BUILD)/fuzz/corpus-$$t; \
		echo "$$t: $(FUZZ_SECONDS) s"; \
		$(BUILD)/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -artifact_prefix=$(BUILD)/fuzz/ \
			$(BUILD)/fuzz/corpus-$$t tests/fuzz/corpus/$${t#fuzz_} 2>&1 | tail -n 3; \
		[ -z "$$(ls $(BUILD)/fuzz/crash-* $(BUILD)/fuzz/leak-* $(BUILD)/fuzz/timeout-* 2>/dev/null)" ]; \
	done

## make lint          shell scripts and man pages; and everything under clang, too
lint: deps-test check-includes
	shellcheck -S warning deploy/acx-pki deploy/demo deploy/install-packages deploy/compose-setup tests/compose/run tests/check-includes \
		tests/unit/run tests/golden/cli/run tests/model/run .ci/run
	mandoc -Tlint -Wwarning deploy/acx-pki.1 acms/acms.8 acms/acms.yaml.5 acmc/acmc.1
	@$(BUILT) BUILD=build/clang CC=clang all

-include tests/bench/bench.mk
