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
JOBS ?= $(shell nproc)
override CFLAGS += -std=gnu17 $(WARNINGS) $(HARDENING) -ffunction-sections -fdata-sections -MMD -MP
LDFLAGS += -Wl,--gc-sections -Wl,-z,relro,-z,now
ifdef SANITIZE
override CFLAGS += -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
STATIC :=
else
# Static: a dynamic loader with these libraries would cost several times what a container costs.
STATIC := -static
STATIC_SRCS := runtime/base/static_nss.c
endif

# Directories of the library, lowest layer first. A new .c file in one of them is found by itself.
LIB_DIRS := runtime/base runtime/model changes images policies policies/enforce container-backend vm-backend \
	vm-backend/arch/x86_64 vm-backend/virtio vm-backend/fs vm-backend/kernel vm-backend/guest runtime/oci runtime/launch bench
# The main() of each program, kept out of the library.
MAINS := runtime/launch/main.c images/image_main.c vm-backend/guest/guest_main.c
LIB_SRCS := $(filter-out $(MAINS) runtime/base/static_nss.c,$(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c)))
PRESETS := $(wildcard policies/presets/*.json)
UNIT_SRCS := $(wildcard tests/unit/test_*.c)

LIB := $(O)/libbivalve.a
PROGRAMS := $(O)/bivalve $(O)/bivalve-image $(O)/bivalve-guest $(O)/bivalve-bench
UNITS := $(UNIT_SRCS:tests/unit/%.c=$(O)/tests/%)
objs = $(patsubst %.c,$(O)/obj/%.o,$(1))

CORE_LIBS := -lfuse3 -lseccomp -lcap -lcgroup $(if $(STATIC),-lyajl_s,-lyajl) -lm -lpthread
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

$(O)/bivalve: $(call objs,runtime/launch/main.c $(STATIC_SRCS)) $(LIB)
	$(call say,LINK,$@)$(CC) $(STATIC) $(LDFLAGS) -o $@.tmp $^ $(CORE_LIBS)
# Copied, for the page cache: as a linker leaves a file it is cached in single pages, and each start pays 7 % more CPU time.
	$(Q)cp $@.tmp $@.new && mv $@.new $@ && rm $@.tmp
$(O)/bivalve-guest: $(call objs,vm-backend/guest/guest_main.c $(STATIC_SRCS)) $(LIB)
	$(call say,LINK,$@)$(CC) $(STATIC) $(LDFLAGS) -s -o $@ $^ $(CORE_LIBS)
# Opens untrusted archives, so it is a program of its own: none of its libraries is in the launcher.
$(O)/bivalve-image: $(call objs,images/image_main.c) $(LIB)
	$(call say,LINK,$@)$(CC) -pie $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(IMAGE_LIBS)
# The workloads that `bivalve bench` measures: the same file on the host, in the container and in the guest.
$(O)/bivalve-bench: $(call objs,$(wildcard bench/helper/*.c) runtime/base/sha256.c)
	$(call say,LINK,$@)$(CC) $(STATIC) $(LDFLAGS) -s -o $@ $^ -lm -lpthread
$(O)/bivalve-vm: $(O)/bivalve
	$(Q)ln -sf bivalve $@

$(O)/tests/%: $(O)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(IMAGE_LIBS)

# What the tests of the VM shell boot by hand: a runner, and a kernel that attacks its machine (x86-64, freestanding).
$(O)/tests/vmboot: $(call objs,tests/lab/vmboot.c $(STATIC_SRCS)) $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(STATIC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS)
$(O)/tests/hostile_guest: $(wildcard tests/containment/hostile/*.[ch])
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) -std=gnu17 -Wall -Wextra -O2 -ffreestanding -fno-stack-protector -fcf-protection=none \
		-fno-pie -no-pie -mgeneral-regs-only -mno-red-zone -fno-tree-loop-distribute-patterns -nostdlib -static \
		-Wl,-Ttext-segment=0x3000000,--build-id=none,-z,noexecstack,-z,max-page-size=4096 -I. -o $@ $(filter %.c,$^)
# What kills a program at any of its steps (tests/integration/crash.bats).
$(O)/tests/kill_at: tests/integration/lib/kill_at.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<
# A clock to be asked inside a guest (tests/integration/template.bats).
$(O)/tests/clock_echo: tests/integration/lib/clock_echo.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) -static -O2 -Wall -Wextra -o $@ $<
# What an untrusted program tries (tests/containment/run): small and static, whatever else is built.
PROBE_SRCS := $(wildcard tests/containment/probes/*.c)
$(O)/tests/probes: $(PROBE_SRCS:%.c=$(O)/obj/%.o)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(if $(SANITIZE),,-static) $(LDFLAGS) -s -o $@ $^
VM_HELPERS := $(O)/tests/probes $(O)/tests/kill_at $(O)/tests/clock_echo $(O)/tests/vmboot $(O)/tests/hostile_guest

units: $(UNITS) $(VM_HELPERS)

# Fuzz targets: one function each (LLVMFuzzerTestOneInput). `make check` runs them for seconds on random and mutated
# inputs by tests/fuzz/driver.c, under the sanitizers; `make fuzz` runs libFuzzer for FUZZ_SECONDS each.
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
FUZZERS := $(FUZZ_SRCS:tests/fuzz/%.c=$(O)/fuzz/%)
FUZZ_SECONDS ?= 600

$(O)/fuzz/%: $(O)/obj/tests/fuzz/%.o $(O)/obj/tests/fuzz/driver.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(IMAGE_LIBS)

fuzzers: $(FUZZERS)

fuzz: packages-fuzz
	$(Q)scripts/fuzz $(FUZZ_SECONDS)

# ---- the two commands of the README, and what they are made of ----

demo: packages-run
	$(Q)$(MAKE) -s -j$(JOBS) all
	$(Q)O=$(O) scripts/demo

check: packages-test
	$(Q)$(MAKE) -s -j$(JOBS) all units
	$(Q)$(MAKE) -s -j$(JOBS) O=$(O)/sanitized SANITIZE=1 units fuzzers
	$(Q)$(MAKE) -s check-layers check-headers
	$(Q)BUILD=$(O) tests/run

packages-run:
	$(Q)scripts/install-packages build run
packages-test:
	$(Q)scripts/install-packages build run test
packages-bench:
	$(Q)scripts/install-packages build run test bench
packages-kernel:
	$(Q)scripts/install-packages build run kernel
packages-fuzz:
	$(Q)scripts/install-packages build fuzz

check-layers:
	$(Q)scripts/check-layers

check-headers:
	$(Q)for h in $$(git ls-files '*.h' | grep -v '^tests/'); do \
		echo "#include \"$$h\"" | $(CC) $(CPPFLAGS) -std=gnu17 -Wall -Wextra -Werror -fsyntax-only -x c - || exit 1; done

check-format:
	$(Q)scripts/check-format

bench: packages-bench all
	$(Q)bench/start-container
bench-vm: packages-bench all
	$(Q)bench/start-vm
# A full run of `bivalve bench`, its page and its samples in $(O)/bench, and whether hyperfine sees the same.
bench-all: packages-bench all
	$(Q)mkdir -p $(O)/bench && BUILD=$(O) tests/prepare-store
	$(Q)bench/agree
	$(Q)BIVALVE_STORE=$(abspath $(O))/test-store $(O)/bivalve bench all --json $(O)/bench/all.json --csv $(O)/bench/all.csv \
		--html $(O)/bench/all.html --md $(O)/bench/all.md || true
	$(Q)$(MAKE) bench-page
# Opens that page in headless Chromium: no script error, no request, every plot drawn; a picture of it, light and dark.
bench-page:
	$(Q)tests/integration/lib/page_check.py $(O)/bench/all.html $(O)/bench/all.light.png
	$(Q)tests/integration/lib/page_check.py $(O)/bench/all.html $(O)/bench/all.dark.png dark
# The same, short: what a quiet machine does within three minutes.
bench-quick: packages-bench all
	$(Q)mkdir -p $(O)/bench && BUILD=$(O) tests/prepare-store
	$(Q)BIVALVE_STORE=$(abspath $(O))/test-store $(O)/bivalve bench startup memory cpu syscall --quick \
		--json $(O)/bench/quick.json --html $(O)/bench/quick.html --md $(O)/bench/quick.md
containment-matrix: packages-test all units
	$(Q)BUILD=$(O) tests/prepare-store
	$(Q)BUILD=$(O) tests/containment/run record
	$(Q)BUILD=$(O) tests/containment/run document
soak: packages-test all
	$(Q)BUILD=$(O) tests/soak
soak-snapshot: packages-test all
	$(Q)BUILD=$(O) tests/soak-snapshot
soak-crash: packages-test all units
	$(Q)BUILD=$(O) tests/soak-crash

# The guest kernel that is made for microVMs. Built once for each version of its source and its configuration.
guest-kernel: packages-kernel
	$(Q)$(MAKE) -s all
	$(Q)BIVALVE_KERNEL_CACHE=$(abspath $(O))/guest-kernel $(O)/bivalve kernel build
check-guest-kernel: packages-test guest-kernel
	$(Q)$(MAKE) -s all units
	$(Q)BUILD=$(O) TEST_KERNEL=tuned tests/run vm lab-vm
bench-guest-instructions: packages-bench all
	$(Q)bench/guest-instructions

PREFIX ?= /usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	ln -sf bivalve $(DESTDIR)$(PREFIX)/bin/bivalve-vm
	install -d $(DESTDIR)$(PREFIX)/share/bivalve/guest-kernel/patches
	install -m 755 scripts/build-guest-kernel $(DESTDIR)$(PREFIX)/share/bivalve
	install -m 644 vm-backend/kernel/config $(DESTDIR)$(PREFIX)/share/bivalve/guest-kernel
	install -m 644 $(wildcard vm-backend/kernel/patches/*.patch) $(DESTDIR)$(PREFIX)/share/bivalve/guest-kernel/patches

help:
	@echo "make demo      install what it needs, build, and run one workload in both shells"
	@echo "make check     install what the tests need and run them all"
	@echo "make           build $(PROGRAMS)"
	@echo "make bench     start-up of a container beside crun, runc, bwrap and the kernel's floor (root)"
	@echo "make bench-vm  start-up of a microVM beside QEMU's, where /dev/kvm works (tests/lab/lab make bench-vm)"
	@echo "make bench-quick, bench-all   \`bivalve bench\`: four suites in minutes; all of them with a page in $(O)/bench"
	@echo "make bench-page   opens the page of bench-all in headless Chromium: no error, no request, every plot drawn"
	@echo "make guest-kernel   build Linux for microVMs from Debian's source (10 to 30 minutes, once) and use it from then on"
	@echo "make check-guest-kernel   the tests of the VM shell with it"
	@echo "make bench-guest-instructions   what a guest executes to the agent's first word"
	@echo "make soak      200 launches in each shell and 20 killed ones, then look for what is left"
	@echo "make containment-matrix   what untrusted programs try, in both shells, into docs/containment.md (root)"
	@echo "make soak-snapshot   1000 times save and restore of one microVM that checks its own memory"
	@echo "make soak-crash   SIGKILL at every system call of create, start and delete, in both shells"
	@echo "make fuzz      every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)"
	@echo "make install   into PREFIX=$(PREFIX), DESTDIR=$(DESTDIR)"
	@echo "make check-layers check-headers check-format   quick gates on the source"
	@echo "make clean     remove $(O)"
	@echo "Variables: O=build V=1 SANITIZE=1 WERROR=1 CC=gcc|clang JOBS=$(JOBS)"

clean:
	rm -rf $(O)

.PHONY: all units fuzzers fuzz demo check packages-run packages-test packages-bench packages-fuzz packages-kernel check-layers \
	check-headers check-format bench bench-vm bench-all bench-page bench-quick guest-kernel check-guest-kernel \
	bench-guest-instructions containment-matrix soak soak-snapshot soak-crash install help clean
.SECONDARY:
-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
