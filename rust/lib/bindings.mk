# SPDX-License-Identifier: GPL-2.0-only
#
# Makes bindings_generated.rs of bindings.h, in the way that Linux makes its own: rust/Makefile, which packages
# of kernel headers lack. For mapkit.mk to include.

ifdef CONFIG_CC_IS_CLANG
bindgen-cflags = $(c_flags)
else
# Flags of gcc that libclang, by which bindgen reads C, does not know. One that is missing here ends the build
# with "unknown argument".
bindgen-unknown-flags := -mno-fp-ret-in-387 -mpreferred-stack-boundary=% \
	-mskip-rax-setup -mgeneral-regs-only -msign-return-address=% \
	-mindirect-branch=thunk-extern -mindirect-branch-register \
	-mfunction-return=thunk-extern -mrecord-mcount -mabi=lp64 \
	-mindirect-branch-cs-prefix -mstack-protector-guard% -mtraceback=no \
	-mno-pointers-to-nested-functions -mno-string \
	-mno-strict-align -mstrict-align -mdirect-extern-access \
	-mexplicit-relocs -mno-check-zero-division \
	-fconserve-stack -falign-jumps=% -falign-loops=% \
	-femit-struct-debug-baseonly -fno-ipa-cp-clone -fno-ipa-sra \
	-fno-partial-inlining -fplugin-arg-arm_ssp_per_task_plugin-% \
	-fno-reorder-blocks -fno-allow-store-data-races -fasan-shadow-offset=% \
	-fzero-call-used-regs=% -fno-stack-clash-protection \
	-fno-inline-functions-called-once -fsanitize=bounds-strict \
	-fstrict-flex-arrays=% -fmin-function-alignment=% \
	-fzero-init-padding-bits=% -mno-fdpic \
	-fdiagnostics-show-context -fdiagnostics-show-context=% \
	--param=% --param asan-% -fno-isolate-erroneous-paths-dereference

bindgen-target-x86   := x86_64-linux-gnu
bindgen-target-arm64 := aarch64-linux-gnu
bindgen-target-arm   := arm-linux-gnueabi

bindgen-cflags = $(filter-out $(bindgen-unknown-flags),$(c_flags)) -w --target=$(bindgen-target-$(SRCARCH))
endif

bindgen-parameters = $(shell grep -Ev '^\#|^$$' $(mapkit-dir)bindgen_parameters)

# The prefix keeps a constant apart from the macro that it is made of, until it is in Rust. The text is not
# formatted, so that rustfmt is not needed: all of it may be a single line.
quiet_cmd_bindgen = BINDGEN $@
      cmd_bindgen = \
	$(BINDGEN) $< $(bindgen-parameters) --formatter=none -o $@ -- -fno-builtin -D__BINDGEN__ -DMODULE \
		$(filter-out $(if $(CONFIG_LTO),$(CC_FLAGS_LTO)),$(bindgen-cflags)); \
	sed -i 's/pub const RUST_CONST_HELPER_/pub const /g' $@

targets += mapkit/bindings_generated.rs
$(obj)/mapkit/bindings_generated.rs: $(mapkit-dir)bindings.h $(mapkit-dir)bindgen_parameters FORCE
	$(call if_changed_dep,bindgen)

# ffi.rs includes it, by this name.
$(obj)/mapkit/mapkit.o: $(obj)/mapkit/bindings_generated.rs
$(obj)/mapkit/mapkit.o: private export MAPKIT_BINDINGS := $(abspath $(obj)/mapkit/bindings_generated.rs)
