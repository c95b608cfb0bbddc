// SPDX-License-Identifier: GPL-2.0-only

//! Memory barriers towards devices. Those of the `kernel` crate order what CPUs see of each other.

use crate::ffi;

/// `mb()`: what was stored to memory before is there for a device, too, before anything after it is done;
/// loads after it find what a device had stored.
///
/// `Documentation/memory-barriers.txt`, "Mandatory barriers": unlike `smp_mb()` it is one on a machine with
/// a single CPU, and drains write-combining buffers.
#[inline]
pub fn mb() {
    // SAFETY: A barrier may be anywhere.
    unsafe { ffi::mapkit_mb() }
}
