# SPDX-License-Identifier: Apache-2.0
# bivalve: one non-recursive Makefile. `make help` lists the targets.
#
#   O=DIR        where everything is built (build)
#   V=1          show the commands
#   SANITIZE=1   address and undefined-behaviour sanitizers (use an O of its own)
#   WERROR=1     warnings are errors
#   CC=clang     also works

O ?= build
CC ?= gcc
PKG_CONFIG ?= pkg-config
Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)	$(2:$(O)/%=%)";)

CPPFLAGS += -I. -I$(O) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2 -Wno-format-nonliteral \
	-Wno-unused-parameter $(if $(WERROR),-Werror)
HARDENING := -fstack-protector-strong -fno-plt $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu17 $(WARNINGS) $(HARDENING) -ffunction-sections -fdata-sections -MMD -MP
LDFLAGS += -Wl,--gc-sections -Wl,-z,relro,-z,now
ifdef SANITIZE
override CFLAGS += -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
STATIC :=
else
# Static: a dynamic loader with these libraries would cost several times what a container costs.
STATIC := -static
endif

# Directories of the library, lowest layer first. A new .c file in one of them is found by itself.
LIB_DIRS := runtime/base runtime/model images policies policies/enforce container-backend vm-backend \
	vm-backend/arch/x86_64 vm-backend/virtio vm-backend/kernel vm-backend/guest runtime/launch bench
# The main() of each program, kept out of the library.
MAINS := runtime/launch/main.c images/image_main.c vm-backend/guest/guest_main.c
LIB_SRCS := $(filter-out $(MAINS),$(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c)))
PRESETS := $(wildcard policies/presets/*.json)
UNIT_SRCS := $(wildcard tests/unit/test_*.c)

LIB := $(O)/libbivalve.a
PROGRAMS := $(O)/bivalve $(O)/bivalve-image $(O)/bivalve-guest
UNITS := $(UNIT_SRCS:tests/unit/%.c=$(O)/tests/%)
objs = $(patsubst %.c,$(O)/obj/%.o,$(1))

CORE_LIBS := -lseccomp -lcap -lcgroup $(if $(STATIC),-lyajl_s,-lyajl) -lm -lpthread
IMAGE_LIBS := -larchive -lcrypto $(CORE_LIBS)

all: $(PROGRAMS) $(O)/bivalve-vm

$(O)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# The presets are part of the program: a launcher without its data folder still has a policy.
$(O)/policies/presets.inc: $(PRESETS) scripts/embed-presets
	@mkdir -p $(@D)
	$(call say,GEN,$@)scripts/embed-presets $(PRESETS) > $@.tmp && mv $@.tmp $@
$(call objs,policies/policy.c policies/presets.c): $(O)/policies/presets.inc

$(LIB): $(call objs,$(LIB_SRCS))
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $^

$(O)/bivalve: $(call objs,runtime/launch/main.c) $(LIB)
	$(call say,LINK,$@)$(CC) $(STATIC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS)
$(O)/bivalve-guest: $(call objs,vm-backend/guest/guest_main.c) $(LIB)
	$(call say,LINK,$@)$(CC) $(STATIC) $(LDFLAGS) -s -o $@ $^ $(CORE_LIBS)
# Opens untrusted archives, so it is a program of its own: none of its libraries is in the launcher.
$(O)/bivalve-image: $(call objs,images/image_main.c) $(LIB)
	$(call say,LINK,$@)$(CC) -pie $(LDFLAGS) -o $@ $^ $(IMAGE_LIBS)
$(O)/bivalve-vm: $(O)/bivalve
	$(Q)ln -sf bivalve $@

$(O)/tests/%: $(O)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(IMAGE_LIBS)

units: $(UNITS)

clean:
	rm -rf $(O)

.PHONY: all units clean
.SECONDARY:
-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
