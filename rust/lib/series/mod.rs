// SPDX-License-Identifier: GPL-2.0-only

//! All that differs between the kernels this is built for, a file for each difference.
//!
//! A difference is known by a name, and the kernel has it or not: `kernel_has = "NAME"` is set if the file
//! `probes/NAME.rs` compiles with the kernel's crates, which `scripts/probe-kernel` finds out before this crate
//! is built. The first line of a probe says since which series the kernel has it. Once the series before that
//! one is not supported any more, the probe goes, and with it the other half of the file here.
//!
//! Names of C are in `names.h`; else what C can tell is not here, as the wrappers in C include the kernel's own
//! headers.

mod device_table;
pub(crate) mod dma_direction;
pub(crate) mod irq_return;
pub(crate) mod mmio;
pub(crate) mod module;
pub(crate) mod page_alloc;
#[cfg(CONFIG_PCI)]
pub(crate) mod pci;
