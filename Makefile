# SPDX-License-Identifier: GPL-2.0-only
#
# The front door: `make help` lists it.
#
# There are two ways to use it. On any Debian-like machine, `make demo` and `make test` make
# everything they need in a cache and run a VM. On a machine that itself runs a
# kernel with Rust support, `make` builds the modules for that kernel and `sudo make load` inserts
# them.

.DEFAULT_GOAL := modules

REPO := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))

## The kernel to build for: its release, the directory that its headers are in.
KERNELRELEASE ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KERNELRELEASE)/build

## Where `make install` puts what is not a module.
PREFIX ?= /usr/local
DESTDIR ?=

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' $(REPO)/userspace/Cargo.toml)

## Everything that is built.
BUILD := $(REPO)/build
MODULES := $(BUILD)/$(KERNELRELEASE)

## make -n runs nothing: make would run a line that names $(MAKE) or begins with + even then, so no recipe does.
SUBMAKE := $(MAKE)
RECURSE := $(if $(findstring n,$(firstword -$(MAKEFLAGS))),,+)
KBUILD := $(SUBMAKE) -C $(KDIR) M=$(REPO) MO=$(MODULES)

## What the programs are built for: this machine, or another target of rustc.
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TARGET ?= $(HOST)
ARM := armv7-unknown-linux-gnueabihf
ARM64 := aarch64-unknown-linux-gnu
ifeq ($(TARGET),$(HOST))
BIN := $(BUILD)/bin
PROGRAMS := mapwright mapwright-harness mapwright-gpio-device
ifeq ($(origin CC),default)
CC := $(firstword $(shell command -v cc gcc-14 gcc))
endif
else
BIN := $(BUILD)/bin-$(TARGET)
PROGRAMS := mapwright
CC_$(ARM) := arm-linux-gnueabihf-gcc-14
CC_$(ARM64) := aarch64-linux-gnu-gcc-14
CC := $(CC_$(TARGET))
export CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER := $(CC)
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER := $(CC)
endif
EXAMPLES := $(basename $(notdir $(wildcard $(REPO)/userspace/examples/*.c)))
# Programs are static, so that they run in any guest.
CARGO := cd $(REPO)/userspace && CARGO_TARGET_DIR=$(BUILD)/cargo RUSTFLAGS='-C target-feature=+crt-static' cargo
CARGO_FLAGS := --release --locked --target $(TARGET)

# help-for WORD: the targets whose comment begins with it.
help-for = @sed -n 's/^\([a-z0-9-]*\):.*\#\# $(1): */\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: help
help: ## anywhere: List what can be made
	@echo 'On any Debian-like machine, with nothing installed by hand:'
	$(call help-for,root)
	@echo
	@echo 'On a machine that runs a kernel with Rust support:'
	$(call help-for,here)
	@echo
	@echo 'Anywhere:'
	$(call help-for,anywhere)
	@echo
	@echo 'Variables: KERNEL=7.2 series, FLAVOUR=rt|cloud|16k flavour of the VM'"'"'s kernel; VM=tiny how it boots;'
	@echo '           TEST=name only tests whose name contains it; JOBS=1 how many VMs run tests at a time;'
	@echo '           BOOT="kasan lockdep" only these boots of make test-debug; SIZE=4K,4M sizes for make bench;'
	@echo '           CLAIM=B4 only this claim for make prove; ONLY="7.3 rt" only these kernels for make check-kernels,'
	@echo '           BOOT=1 boots them, too; RECORD=1 writes a whole run into docs/kernels.md;'
	@echo '           PARAMS="name=value" for make load;'
	@echo '           KDIR=, KERNELRELEASE= kernel to build for; PREFIX=, DESTDIR= for make install'

# ---- On any Debian-like machine -----------------------------------------------------------------

IN_ROOT := $(REPO)/scripts/in-root --
HARNESS := $(IN_ROOT) $(BIN)/mapwright-harness
# What make test runs: on an arm64 machine the suite in VMs of that architecture.
NATIVE_TEST := $(if $(filter aarch64,$(shell uname -m)),test-arm64,test)

.PHONY: demo
demo: ## root: Boot a VM with the modules, take the guided tour, see an LED blink
	@READY=modules-ready $(REPO)/scripts/vm run --gpio $(BUILD)/gpio -- mapwright tour
	@$(IN_ROOT) $(BIN)/mapwright gpio scope $(BUILD)/gpio/waveform.vcd --svg $(BUILD)/gpio/waveform.svg

.PHONY: test
test: harness-ready ## root: Run all tests: host unit tests, then the KTAP suite on both boot ways
	@release=$$($(REPO)/scripts/setup --release) && \
		MAPWRIGHT_RELEASE=$$release $(REPO)/scripts/record $$release suite $(HARNESS) $(NATIVE_TEST) $(TEST)

.PHONY: test-debug
test-debug: harness-ready ## root: Run the suite on a kernel with KASAN, lockdep, kmemleak, fault injection
	@kernel=$$($(REPO)/scripts/debug-kernel) && \
		release=$$(cat $$kernel/build/include/config/kernel.release) && \
		$(IN_ROOT) make -j$$(nproc) --no-print-directory -C $(REPO) KDIR=$$kernel/build KERNELRELEASE=$$release modules && \
		$(HARNESS) test-debug --kernel-dir $$kernel $(BOOT:%=--only=%) $(TEST)

# A VM for each of JOBS, each with a seed of its own and with one CPU, so that the seed says what is done.
TIME ?= 10m
SEED ?= 1
FUZZ := $(BUILD)/fuzz

.PHONY: fuzz
fuzz: harness-ready ## root: Try random calls on the debug kernel, led by what code they run: TIME=60m SEED=1 JOBS=2
	@kernel=$$($(REPO)/scripts/debug-kernel) && \
		release=$$(cat $$kernel/build/include/config/kernel.release) && \
		$(IN_ROOT) make -j$$(nproc) --no-print-directory -C $(REPO) KDIR=$$kernel/build KERNELRELEASE=$$release \
			MODULES=$(FUZZ)/modules$(PLANTED:%=-%) KCOV=1 PLANTED=$(PLANTED) modules && \
		$(IN_ROOT) make --no-print-directory -C $(REPO) fuzzer && \
		$(REPO)/scripts/fuzz $$kernel $(FUZZ)/modules$(PLANTED:%=-%) $(FUZZ) $(TIME) $(SEED) $(or $(JOBS),1)

.PHONY: fuzz-planted
fuzz-planted: harness-ready ## root: See how fast make fuzz finds each mistake that can be built in
	@TIME=$(if $(filter command line,$(origin TIME)),$(TIME),20m) $(REPO)/scripts/planted

.PHONY: prove
prove: harness-ready ## root: Judge what textbooks say by the kernel, in all VMs that it takes
	@if kernel=$$($(REPO)/scripts/debug-kernel --check); then \
		release=$$(cat $$kernel/build/include/config/kernel.release) && \
		$(IN_ROOT) make --no-print-directory -C $(REPO) KDIR=$$kernel/build KERNELRELEASE=$$release modules && \
		$(IN_ROOT) make --no-print-directory -C $(REPO) KDIR=$$kernel/build KERNELRELEASE=$$release \
			MODULES=$(BUILD)/faulty FAULTY=1 modules; \
	fi && if arm=$$(FLAVOUR= $(REPO)/scripts/setup --arch armhf --check); then $(SUBMAKE) --no-print-directory FLAVOUR= harness-ready-arm; fi && \
		if arm64=$$(FLAVOUR= $(REPO)/scripts/setup --arch arm64 --check); then $(SUBMAKE) --no-print-directory FLAVOUR= harness-ready-arm64; fi && \
		MAPWRIGHT_RELEASE=$$($(REPO)/scripts/setup --release) $(HARNESS) prove \
			$${kernel:+--debug-kernel $$kernel} $${arm:+--arm-kernel $$arm} $${arm64:+--arm64-kernel $$arm64} $(CLAIM)

.PHONY: test-arm
test-arm: harness-ready-arm ## root: Run the suite on 32-bit ARM VMs, with a Cortex-A7 and a Cortex-A8
	@release=$$($(REPO)/scripts/setup --arch armhf --release) && \
		MAPWRIGHT_RELEASE=$$release $(REPO)/scripts/record $$release suite $(HARNESS) test-arm $(TEST)

.PHONY: test-arm64
test-arm64: harness-ready-compat ## root: Run the suite on 64-bit ARM VMs, and 32-bit programs there
	@release=$$($(REPO)/scripts/setup --arch arm64 --release) && \
		MAPWRIGHT_RELEASE=$$release $(REPO)/scripts/record $$release suite $(HARNESS) test-arm64 $(TEST)

.PHONY: smoke
smoke: modules-ready ## root: Run the basics of the suite in one small VM, for KERNEL and FLAVOUR
	@release=$$($(REPO)/scripts/setup --release) && \
		MAPWRIGHT_RELEASE=$$release $(REPO)/scripts/record $$release booted $(HARNESS) smoke

.PHONY: smoke-arm64
smoke-arm64: modules-ready-arm64 ## root: The same on 64-bit ARM
	@release=$$($(REPO)/scripts/setup --arch arm64 --release) && \
		MAPWRIGHT_RELEASE=$$release $(REPO)/scripts/record $$release booted $(HARNESS) smoke --machine arm64

.PHONY: shell
shell: ## root: A shell in a VM with the modules
	@$(REPO)/scripts/vm shell

# The modules of the benchmark have a directory of their own: with the C reference, and below it
# mapwright.ko without counters. The VM counts instructions.
BENCH := $(BUILD)/bench
BENCH_CPU := --cpus 1 --qemu '-icount shift=0,sleep=off' --timeout 7200
BENCH_VM := $(BENCH_CPU) --memory 2G

.PHONY: bench
bench: bench-map bench-gigabyte bench-peers bench-alloc bench-gpio bench-dma bench-init bench-clear ## root: Count instructions: of mapping, allocating, a GPIO line, DMA (bench-map, bench-peers, …)

.PHONY: bench-map
bench-map: bench-modules
	@$(REPO)/scripts/vm run $(BENCH_VM) --modules $(BENCH)/modules --results $(BENCH) -- \
		mapwright bench map --json-to /results/map.json --svg /results/map.svg $(if $(SIZE),--size $(SIZE))
	@echo 'Written: $(BENCH)/map.json and $(BENCH)/map.svg'

# In the small boot, which leaves a gigabyte in one run; below 4 GiB, where the machine has one memory.
.PHONY: bench-gigabyte
bench-gigabyte: bench-modules
	@$(REPO)/scripts/vm run --boot tiny $(BENCH_CPU) --memory 2800M --append init_on_alloc=0 \
		--modules $(BENCH)/modules --results $(BENCH) -- \
		mapwright bench map 'pages + huge, contiguous' --size 1G --json-to /results/gigabyte.json
	@echo 'Written: $(BENCH)/gigabyte.json'

# The peers need a disk and what else the usual boot has.
.PHONY: bench-peers
bench-peers: bench-modules
	@$(REPO)/scripts/vm run $(BENCH_VM) --modules $(BENCH)/modules --results $(BENCH) -- \
		mapwright bench peers --json-to /results/peers.json --svg /results/peers.svg $(if $(SIZE),--size $(SIZE))
	@echo 'Written: $(BENCH)/peers.json and $(BENCH)/peers.svg'

# In the time of this machine, and so not in a VM.
.PHONY: bench-clear
bench-clear: harness-ready
	@mkdir -p $(BENCH)
	@$(IN_ROOT) $(BIN)/mapwright bench clear --json-to $(BENCH)/clear.json $(if $(SIZE),--size $(SIZE))
	@echo 'Written: $(BENCH)/clear.json'

# When the kernel clears memory: as it is allocated, as Debian's kernels do, as it is freed, or only where it is asked to.
# In little memory, as all of it is freed when a kernel boots.
INIT = --boot tiny --cpus 1 --memory 256M --qemu '-icount shift=0,sleep=off' --modules $(BENCH)/modules --results $(BENCH) --append
INIT_MAP = mapwright bench map 'pages + remap' --size 4M --json-to /results

.PHONY: bench-init
bench-init: bench-modules
	@$(REPO)/scripts/vm run $(INIT) 'init_on_alloc=1 init_on_free=0' -- $(INIT_MAP)/init-alloc.json
	@$(REPO)/scripts/vm run $(INIT) 'init_on_alloc=0 init_on_free=1' -- $(INIT_MAP)/init-free.json
	@$(REPO)/scripts/vm run $(INIT) 'init_on_alloc=0 init_on_free=0' -- $(INIT_MAP)/init-asked.json
	@echo 'Written: $(BENCH)/init-alloc.json, init-free.json and init-asked.json'

# Debian's kernels clear what they allocate, byte by byte as the emulator counts, which would hide the
# allocators. The small boot has the fewest other users of these.
.PHONY: bench-alloc
bench-alloc: bench-modules
	@$(REPO)/scripts/vm run --boot tiny $(BENCH_VM) --append init_on_alloc=0 --modules $(BENCH)/modules --results $(BENCH) -- \
		mapwright bench alloc --json-to /results/alloc.json
	@echo 'Written: $(BENCH)/alloc.json'

.PHONY: bench-gpio
bench-gpio: harness-ready
	@$(REPO)/scripts/vm run --boot tiny $(BENCH_VM) --gpio $(BENCH)/gpio --results $(BENCH) -- \
		mapwright bench gpio --json-to /results/gpio.json
	@echo 'Written: $(BENCH)/gpio.json'

# How long interrupts and the most urgent thread wait for the modules: FLAVOUR=rt tells most. One VM has
# the GPIO bank, the other the DMA device.
LATENCY = sh -c "$$(cat $(REPO)/tests/latency)" latency

.PHONY: bench-latency
bench-latency: harness-ready
	@$(REPO)/scripts/vm run --boot tiny $(BENCH_VM) --append mapwright.clock=jumps --gpio $(BENCH)/gpio -- \
		$(LATENCY) coherence. faults. memory_types. stats. walk. inspect. alloc_life. gpio.
	@$(REPO)/scripts/vm run --boot tiny $(BENCH_CPU) --append mapwright.clock=jumps --memory 256M --qemu '-device edu' -- \
		$(LATENCY) dma.caches dma.exported dma.random

# How long others wait while programs do the worst that the devices let them do, on the kernel with all checkers:
# SECONDS of the VM's time, an instruction a nanosecond.
SECONDS ?= 10

# A processor that takes 8 ns for an instruction, and what docs/real-time.md tells an administrator to set.
STALLS_VM := --cpus 1 --memory 2G --qemu '-icount shift=3,sleep=off' --timeout 12000
STALLS_APPEND := mapwright.clock=jumps kasan_multi_shot kmemleak=off sysctl.kernel.hung_task_timeout_secs=0 \
	sysctl.vm.compaction_proactiveness=0 sysctl.vm.percpu_pagelist_high_fraction=1000 sysctl.vm.compact_unevictable_allowed=0

.PHONY: bench-stalls
bench-stalls: harness-ready
	@kernel=$$($(REPO)/scripts/debug-kernel) && \
		release=$$(cat $$kernel/build/include/config/kernel.release) && \
		$(IN_ROOT) make -j$$(nproc) --no-print-directory -C $(REPO) KDIR=$$kernel/build KERNELRELEASE=$$release modules && \
		$(HARNESS) vm run --kernel-dir $$kernel --modules $(BUILD)/$$release --boot tiny $(STALLS_VM) \
			--append '$(STALLS_APPEND)' -- \
			mapwright bench stalls --seconds $(SECONDS)

# Without an IOMMU and behind one, where the device reaches all memory.
BENCH_DMA := --boot tiny --cpus 1 --timeout 3600 --modules $(BENCH)/modules --results $(BENCH)

.PHONY: bench-dma
bench-dma: bench-modules
	@$(REPO)/scripts/vm run $(BENCH_DMA) --memory 256M --append init_on_alloc=0 \
		--qemu '-device edu -icount shift=0,sleep=off' -- mapwright bench dma --json-to /results/dma.json
	@$(REPO)/scripts/vm run $(BENCH_DMA) --memory 1G --append 'init_on_alloc=0 intel_iommu=on iommu.strict=1' \
		--qemu '-M q35,kernel-irqchip=split -device intel-iommu,intremap=off -device edu -icount shift=0,sleep=off' -- \
		mapwright bench dma --json-to /results/dma-iommu.json
	@echo 'Written: $(BENCH)/dma.json and $(BENCH)/dma-iommu.json'

# The pages of the book that have the figures, from what is new in $(BENCH).
.PHONY: bench-pages
bench-pages: setup ## root: Take what the benchmarks have written into docs/, and write their pages
	@$(IN_ROOT) $(REPO)/scripts/benchmarks/write --take

.PHONY: bench-modules
bench-modules: harness-ready
	@release=$$($(REPO)/scripts/setup --release) && \
		make="$(IN_ROOT) make --no-print-directory -C $(REPO) KERNELRELEASE=$$release modules" && \
		$$make MODULES=$(BENCH)/modules REFERENCE=1 && \
		$$make MODULES=$(BENCH)/modules/uncounted COUNTERS=0

.PHONY: check
check: setup ## root: Formatting, lints, warnings, shell scripts, house rules
	@$(IN_ROOT) $(REPO)/scripts/check "$$($(REPO)/scripts/setup --release)"

.PHONY: doc
doc: setup ## root: The pages of mapkit, and whether their examples compile
	@mkdir -p $(BUILD)/doc
	@release=$$($(REPO)/scripts/setup --release) && \
		$(IN_ROOT) make -j$$(nproc) --no-print-directory -C $(REPO) KERNELRELEASE=$$release modules && \
		{ $(IN_ROOT) $(REPO)/tests/compile/docs $(BUILD)/$$release $(BUILD)/doc >$(BUILD)/doc/log 2>&1 || \
			{ cat $(BUILD)/doc/log; exit 1; }; }
	@echo 'Written: $(BUILD)/doc/mapkit/index.html'

.PHONY: book
book: setup ## root: The book of docs/, for the browser
	@$(REPO)/scripts/book

.PHONY: check-book
check-book: setup ## root: Look at each page of the book in Chromium: links, images, what does not fit
	@$(REPO)/scripts/book --check

.PHONY: rust-analyzer
rust-analyzer: harness-ready ## root: Tell rust-analyzer of all crates: rust-project.json
	@$(REPO)/scripts/rust-analyzer/write

# make-driver FOLDER: builds the driver that scripts/new-driver wrote there.
make-driver = $(IN_ROOT) make --no-print-directory -C $(1) KDIR=/lib/modules/$$($(REPO)/scripts/setup --release)/build

.PHONY: test-driver
test-driver: harness-ready ## root: Write drivers with scripts/new-driver, build them, and run their tests in guests
	@rm -rf $(BUILD)/driver $(BUILD)/driver-pci
	@$(REPO)/scripts/new-driver net_buffer $(BUILD)/driver
	@$(call make-driver,$(BUILD)/driver)
	@$(REPO)/scripts/vm run --boot tiny --modules $(BUILD)/driver -- $(BUILD)/driver/test
	@$(REPO)/scripts/new-driver --pci net_registers $(BUILD)/driver-pci
	@$(call make-driver,$(BUILD)/driver-pci)
	@$(REPO)/scripts/vm run --boot tiny --qemu '-device edu' --modules $(BUILD)/driver-pci -- $(BUILD)/driver-pci/test

.PHONY: check-real
check-real: setup ## root: Follow docs/install.md in a fresh Debian and a guest that boots it
	@$(REPO)/tests/real-machine

.PHONY: check-kernels
check-kernels: ## root: Build the modules for all of Debian's kernels; write docs/kernels.md
	@$(REPO)/scripts/check-kernels $(if $(BOOT),--boot) $(ONLY)

.PHONY: deb
deb: setup ## root: Debian packages of everything, in build/deb; FOR="amd64 arm64 armhf" for these architectures
	@$(REPO)/scripts/deb $(FOR)

.PHONY: check-packages
check-packages: deb ## root: Install, boot, upgrade and purge the packages in a fresh Debian
	@$(REPO)/tests/packages

.PHONY: setup
setup: ## root: Make the toolchain root and fetch the kernel (the others do it, too)
	@$(REPO)/scripts/setup

# Modules and programs; and, for the suite, the modules that it needs beside them.
.PHONY: modules-ready
modules-ready:
	@$(REPO)/scripts/setup --programs
	@release=$$($(REPO)/scripts/setup --release) && \
		$(IN_ROOT) make -j$$(nproc) --no-print-directory -C $(REPO) KERNELRELEASE=$$release modules programs

.PHONY: harness-ready
harness-ready: modules-ready
	@release=$$($(REPO)/scripts/setup --release) && \
		$(IN_ROOT) make --no-print-directory -C $(REPO) KERNELRELEASE=$$release \
			MODULES=$(BUILD)/$$release/level LEVEL=1 modules

.PHONY: beaglebone
beaglebone: harness-ready-arm ## root: What a BeagleBone Black with Debian's kernel needs: docs/beaglebone.md
	@$(IN_ROOT) $(REPO)/scripts/beaglebone $$($(REPO)/scripts/setup --arch armhf --release) \
		$(BUILD)/bin-$(ARM) $(BUILD)/beaglebone

.PHONY: harness-ready-arm
harness-ready-arm:
	@$(REPO)/scripts/setup --arch armhf
	@release=$$($(REPO)/scripts/setup --arch armhf --release) && \
		make="$(IN_ROOT) make --no-print-directory -C $(REPO)" && \
		$$make KERNELRELEASE=$$release modules && \
		$$make KERNELRELEASE=$$release MODULES=$(BUILD)/$$release/level LEVEL=1 modules && \
		$(IN_ROOT) $(REPO)/scripts/check-32bit $(BUILD)/$$release /lib/modules/$$release/build && $$make TARGET=$(ARM) programs && $$make programs gpio-board

.PHONY: modules-ready-arm64
modules-ready-arm64:
	@$(REPO)/scripts/setup --arch arm64
	@release=$$($(REPO)/scripts/setup --arch arm64 --release) && \
		make="$(IN_ROOT) make --no-print-directory -C $(REPO)" && \
		$$make KERNELRELEASE=$$release modules && $$make TARGET=$(ARM64) programs && $$make programs

.PHONY: harness-ready-arm64
harness-ready-arm64: modules-ready-arm64
	@release=$$($(REPO)/scripts/setup --arch arm64 --release) && \
		$(IN_ROOT) make --no-print-directory -C $(REPO) KERNELRELEASE=$$release \
			MODULES=$(BUILD)/$$release/level LEVEL=1 modules

# For a kernel that runs 32-bit programs, too. They take the compiler of 32-bit ARM, which setup installs on amd64.
.PHONY: harness-ready-compat
harness-ready-compat: harness-ready-arm64
	@release=$$($(REPO)/scripts/setup --arch arm64 --release) && \
		if [ "$$(uname -m)" = x86_64 ] && $(IN_ROOT) grep -qx CONFIG_COMPAT=y /lib/modules/$$release/build/.config; then \
			KERNEL= FLAVOUR= $(REPO)/scripts/setup --arch armhf && \
				$(IN_ROOT) make --no-print-directory -C $(REPO) TARGET=$(ARM) programs; fi

# ---- On a machine that runs a kernel with Rust support --------------------------------------------

.PHONY: modules
modules: ## here: Build the modules for the running kernel (the default)
	@$(REPO)/scripts/check-kernel $(KDIR)
	@mkdir -p $(MODULES)
	@$(RECURSE)flock $(MODULES)/.lock $(REPO)/scripts/build-modules $(KDIR) $(MODULES)/build.log \
		$(KBUILD) --no-print-directory $(KBUILD_FLAGS) modules

.PHONY: programs
programs: ## here: Build the command mapwright and the test harness
	@mkdir -p $(BIN)
	@$(CARGO) build $(CARGO_FLAGS) $(PROGRAMS:%=--bin %)
	@for example in $(EXAMPLES); do \
		$(CC) -static -O2 -Wall -Wextra -Werror -I$(REPO)/rust/uapi -o $(BIN)/example-$$example $(REPO)/userspace/examples/$$example.c || exit; done
	@for program in $(PROGRAMS); do \
		ln -sf $(BUILD)/cargo/$(TARGET)/release/$$program $(BIN)/$$program; done

.PHONY: fuzzer
fuzzer:
	@mkdir -p $(BIN)
	@$(CARGO) build $(CARGO_FLAGS) --bin mapwright-fuzz
	@ln -sf $(BUILD)/cargo/$(TARGET)/release/mapwright-fuzz $(BIN)/mapwright-fuzz

# What the ARM VM has a modelled board by: a plugin of QEMU, which is not static.
.PHONY: gpio-board
gpio-board:
	@mkdir -p $(BIN)
	@cd $(REPO)/userspace && CARGO_TARGET_DIR=$(BUILD)/cargo cargo build --release --locked -p gpio-board
	@ln -sf $(BUILD)/cargo/release/libmapwright_gpio_board.so $(BIN)/

.PHONY: header
header: ## here: Write the C headers and the pages of the interface again, after a change of rust/uapi
	@cd $(REPO)/userspace && CARGO_TARGET_DIR=$(BUILD)/cargo cargo run --quiet --locked -p mapwright-header

.PHONY: load
load: ## here: Insert the modules (as root, after make)
	@$(REPO)/scripts/modules load $(MODULES) $(PARAMS)

.PHONY: unload
unload: ## here: Remove the modules (as root)
	@$(REPO)/scripts/modules unload $(MODULES)

.PHONY: install
install: installable install-modules install-programs install-headers ## here: Install modules, command, manual, headers, udev rule (as root, after make and make programs)
	install -D -m 644 $(REPO)/scripts/70-mapwright.rules $(DESTDIR)$(PREFIX)/lib/udev/rules.d/70-mapwright.rules

.PHONY: installable
installable:
	@$(REPO)/scripts/modules list $(MODULES) >/dev/null
	@test -e $(BIN)/mapwright || { echo "There is no program yet: run make programs first." >&2; exit 1; }

.PHONY: install-modules
install-modules: installable
	$(KBUILD) --no-print-directory CONFIG_MODULE_SIG_ALL= INSTALL_MOD_PATH=$(DESTDIR) modules_install

# The manual is written by the program of this machine.
.PHONY: install-programs
install-programs:
	install -D $(BIN)/mapwright $(DESTDIR)$(PREFIX)/bin/mapwright
	$(BUILD)/bin/mapwright manual $(DESTDIR)$(PREFIX)/share

.PHONY: install-headers
install-headers:
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include/mapwright $(REPO)/rust/uapi/*.h
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/mapwright/examples $(REPO)/userspace/examples/*
	mkdir -p $(DESTDIR)$(PREFIX)/share/pkgconfig
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' $(REPO)/scripts/mapwright.pc.in >$(DESTDIR)$(PREFIX)/share/pkgconfig/mapwright.pc

.PHONY: uninstall
uninstall: ## here: Undo make install (as root)
	rm -f $(DESTDIR)$(PREFIX)/bin/mapwright $(DESTDIR)$(PREFIX)/lib/udev/rules.d/70-mapwright.rules
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man1/mapwright.1 man/man1/mapwright-*.1 pkgconfig/mapwright.pc \
		bash-completion/completions/mapwright zsh/site-functions/_mapwright fish/vendor_completions.d/mapwright.fish)
	rm -rf $(DESTDIR)$(PREFIX)/include/mapwright $(DESTDIR)$(PREFIX)/share/mapwright
	rm -f $(addprefix $(DESTDIR)/lib/modules/$(KERNELRELEASE)/updates/,mapwright.ko* mapwright_*.ko*)
	-test -n '$(DESTDIR)' || depmod $(KERNELRELEASE)

# ---- Anywhere -------------------------------------------------------------------------------------

.PHONY: clean
clean: ## anywhere: Remove what was built here (the cache stays: scripts/setup says where it is)
	rm -rf $(BUILD)
