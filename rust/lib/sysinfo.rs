// SPDX-License-Identifier: GPL-2.0-only

//! What the machine has.

use kernel::{
    bindings,
    page::PAGE_SIZE, //
};

/// Bytes of memory that the kernel manages.
pub fn total_ram_bytes() -> u64 {
    let mut info: bindings::sysinfo = Default::default();
    // SAFETY: `info` is valid for writing.
    unsafe { bindings::si_meminfo(&mut info) };
    // `si_meminfo()` counts in pages.
    (info.totalram as u64).saturating_mul(PAGE_SIZE as u64)
}
