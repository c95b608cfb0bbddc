// SPDX-License-Identifier: GPL-2.0-only

//! Memory barriers towards devices. Those of the `kernel` crate order what CPUs see of each other.
//!
//! C header: [`include/asm-generic/barrier.h`](srctree/include/asm-generic/barrier.h)

use crate::ffi;

/// `mb()`: what was stored to memory before is there for a device, too, before anything after it is done;
/// loads after it find what a device had stored.
///
/// `Documentation/memory-barriers.txt`, "Mandatory barriers": unlike `smp_mb()` it is one on a machine with
/// a single CPU, and drains write-combining buffers.
///
/// # Examples
///
/// ```
/// use kernel::{
///     io::{register, Io},
///     prelude::*,
/// };
/// use mapkit::{device::mmio::Window, sync::barrier};
///
/// register! {
///     /// Has the device look at its descriptors, which are in memory.
///     DOORBELL(u32) @ 0x00 {
///         0:0 ring => bool;
///     }
/// }
///
/// /// The descriptors are in memory that is write-combining: they must be there before the device looks.
/// fn begin(registers: &Window<4>) {
///     barrier::mb();
///     registers.with(|io| io.write_reg(DOORBELL::zeroed().with_ring(true)));
/// }
/// # fn main() {}
/// ```
#[inline]
pub fn mb() {
    // SAFETY: A barrier may be anywhere.
    unsafe { ffi::mapkit_mb() }
}
