# ACX. The two commands of a newcomer are `make demo` and `make test`; `make help` lists the rest.

VERSION := 0.1.0
BUILD   ?= build
CC      ?= gcc
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
DESTDIR ?=

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wswitch-enum -Wvla -Werror
HARDEN   := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
ifdef SANITIZE
HARDEN   := -fPIE -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDSAN    := -fsanitize=$(SANITIZE)
endif

ifdef FAILPOINTS
CFLAGS += -DACX_FAILPOINTS
endif

PACKAGES := libevent libevent_pthreads openssl libprotobuf-c lmdb libcbor yaml-0.1 \
            yajl smartcols libsystemd
# Asked once, when first needed: they may have to be installed before.
PACKAGE_CFLAGS = $(eval PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES)))$(PACKAGE_CFLAGS)
PACKAGE_LIBS   = $(eval PACKAGE_LIBS := $(shell pkg-config --libs $(PACKAGES)))$(PACKAGE_LIBS)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(CFLAGS) $(WARNINGS) $(HARDEN) -pthread -I. -I$(BUILD)/gen \
             -DACX_VERSION='"$(VERSION)"' -MMD -MP $(PACKAGE_CFLAGS)
ALL_LDFLAGS = $(LDFLAGS) $(LDSAN) -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed
LIBS        = $(PACKAGE_LIBS) -lcsv -lunistring

# Builds what is named on all processors; tests run one after the other.
BUILT := $(MAKE) --no-print-directory -j$(shell nproc)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
needs = $(shell sed -n 's,^// needs: ,,p' $(1))

COMMON := $(wildcard common/*.c) proto/acx.pb-c.c
ACMS   := $(wildcard acms/*.c)
ACMC   := $(wildcard acmc/*.c)
UNIT   := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
FUZZ   := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all help demo test test-unit test-fuzz-corpus test-blackbox test-docs test-asan test-tsan \
        test-valgrind test-compose fuzz lint check-includes install clean deps deps-test deps-compose
.SECONDARY:

all: $(BUILD)/acms $(BUILD)/acmc

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

# --- programs -------------------------------------------------------------------------------------

$(BUILD)/libacx.a: $(call obj,$(COMMON))
	@rm -f $@; ar rcs $@ $^

$(BUILD)/acms: $(call obj,$(ACMS)) $(BUILD)/libacx.a
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/acmc: $(call obj,$(ACMC)) $(BUILD)/libacx.a
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/gen/proto/acx.pb-c.c $(BUILD)/gen/proto/acx.pb-c.h &: proto/acx.proto
	@mkdir -p $(BUILD)/gen
	@protoc-c --c_out=$(BUILD)/gen proto/acx.proto

$(BUILD)/obj/proto/%.o: $(BUILD)/gen/proto/%.c
	@mkdir -p $(@D)
	@echo '  CC $@'
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(patsubst %,$(BUILD)/obj/common/%.o,message message_query message_encode) $(BUILD)/obj/tests/unit/test_cause.o: $(BUILD)/gen/proto/acx.pb-c.h

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC $@'
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# --- tests ----------------------------------------------------------------------------------------
# A unit test or fuzz target names the sources that it links, and no others, in "// needs:" lines.

define unit_rule
$(BUILD)/tests/$(1): $(call obj,tests/unit/$(1).c $(call needs,tests/unit/$(1).c))
	@mkdir -p $$(@D)
	@echo '  LD $$@'
	@$(CC) $(ALL_LDFLAGS) -o $$@ $$^ $(LIBS) -lcmocka
endef
$(foreach t,$(UNIT),$(eval $(call unit_rule,$(t))))

# A tool of the black-box tests.
$(BUILD)/tests/make_receipt: $(call obj,tests/blackbox/make_receipt.c $(call needs,tests/blackbox/make_receipt.c))
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

define replay_rule
$(BUILD)/tests/$(1): $(call obj,tests/fuzz/$(1).c tests/fuzz/replay.c $(call needs,tests/fuzz/$(1).c))
	@mkdir -p $$(@D)
	@echo '  LD $$@'
	@$(CC) $(ALL_LDFLAGS) -o $$@ $$^ $(LIBS)
endef
$(foreach t,$(FUZZ),$(eval $(call replay_rule,$(t))))

TESTS_BUILT := $(addprefix $(BUILD)/tests/,$(UNIT) $(FUZZ) make_receipt)

test-unit: $(addprefix $(BUILD)/tests/,$(UNIT))
	@tests/unit/run $(BUILD) $(UNIT)

test-fuzz-corpus: $(addprefix $(BUILD)/tests/,$(FUZZ))
	@set -e; for t in $(FUZZ); do $(BUILD)/tests/$$t tests/fuzz/corpus/$${t#fuzz_}; done

check-includes:
	@tests/check-includes

clean:
	rm -rf build

-include tests/tests.mk
include deploy/deploy.mk
