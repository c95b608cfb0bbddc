# SPDX-License-Identifier: GPL-2.0-only
#
# Builds mapkit into modules. For the Kbuild of any module out of the kernel's tree to include:
#
#	include /path/to/mapkit/mapkit.mk
#	$(eval $(call mapkit-module,hello,main.o))
#
# makes hello.ko of main.rs, which can name the crate mapkit.

mapkit-dir := $(dir $(realpath $(lastword $(MAKEFILE_LIST))))

# Whose page tables mapkit knows.
mapkit-arch := $(if $(CONFIG_X86_64),x86,$(if $(CONFIG_ARM64),arm64,$(if $(CONFIG_ARM),arm)))
$(if $(mapkit-arch),,$(error mapkit knows the page tables of x86-64, 64-bit ARM and 32-bit ARM, not those of $(SRCARCH)))

# The crate, and C inlines that it calls. All modules of a directory share them.
mapkit-objects := mapkit/mapkit.o mapkit/helpers.o mapkit/inspect.o mapkit/arch.o mapkit/attributes.o \
	mapkit/page_cache.o \
	$(if $(CONFIG_OF),mapkit/memory_region.o)

# mapkit-module NAME,ROOT.o[,OBJECTS]: NAME.ko is made of the crate ROOT.rs, which is another name than NAME, and
# of these objects.
define mapkit-module
obj-m            += $(1).o
$(1)-y           := $(2) $(3) $(mapkit-objects)
RUSTFLAGS_$(2)   := --crate-name $(1) $(mapkit-rustflags)
$(obj)/$(strip $(2)): $(obj)/mapkit/mapkit.o
endef

# What a crate that uses mapkit is compiled with.
mapkit-rustflags = -Ldependency=$(obj)/mapkit --extern mapkit=$(obj)/mapkit/libmapkit.rmeta

RUSTFLAGS_mapkit/mapkit.o := --crate-name mapkit --emit=metadata=$(obj)/mapkit/libmapkit.rmeta \
	@$(obj)/mapkit/series.cfg

# The sources are not where Kbuild looks for them.
$(obj)/mapkit/mapkit.o: $(mapkit-dir)mapkit.rs $(obj)/mapkit/series.cfg FORCE
	+$(call if_changed_rule,rustc_o_rs)

$(obj)/mapkit/helpers.o: $(mapkit-dir)helpers.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/inspect.o: $(mapkit-dir)inspect/inspect.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/arch.o: $(mapkit-dir)inspect/$(mapkit-arch).c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/attributes.o: $(mapkit-dir)device/attributes.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/page_cache.o: $(mapkit-dir)memory/page_cache/page_cache.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/memory_region.o: $(mapkit-dir)dma/memory_region.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/configfs.o: $(mapkit-dir)device/configfs.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/gpio_chip.o: $(mapkit-dir)device/gpio_chip/gpio_chip.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/led.o: $(mapkit-dir)device/led.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/suspend.o: $(mapkit-dir)device/suspend/suspend.c FORCE
	$(call if_changed_rule,cc_o_c)
$(obj)/mapkit/trace.o: $(mapkit-dir)observe/trace.c FORCE
	$(call if_changed_rule,cc_o_c)

# The kernel includes the header of the trace events by its path.
CFLAGS_mapkit/trace.o := -I$(mapkit-dir)observe

# An object that several modules share has no module name of its own.
$(obj)/mapkit/mapkit.o: private modfile := mapkit

# The directory series has what differs between kernels. Which of it this kernel has is told by probes: each is a
# file that compiles with the kernel's crates if the kernel has what it is named after.
mapkit-probes := $(wildcard $(mapkit-dir)series/probes/*.rs)
quiet_cmd_mapkit_series = PROBE   $@
      cmd_mapkit_series = $(mapkit-dir)series/probe-kernel $@ $(mapkit-probes) -- $(RUSTC) $(rust_flags) \
		--cap-lints=allow -Zallow-features= -Zcrate-attr=no_std -Zunstable-options --extern kernel \
		-L $(objtree)/rust --sysroot=/dev/null --crate-type rlib
$(obj)/mapkit/series.cfg: $(mapkit-probes) $(mapkit-dir)series/probe-kernel $(objtree)/rust/libkernel.rmeta FORCE
	$(call if_changed,mapkit_series)
targets += mapkit/series.cfg

# What mapkit has from C, in Rust.
include $(mapkit-dir)bindings.mk
