// SPDX-License-Identifier: GPL-2.0-only

//! What the machine has.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h), [`include/linux/nodemask.h`](srctree/include/linux/nodemask.h)

use crate::ffi;
use kernel::{
    bindings,
    ffi::c_int,
    page::PAGE_SIZE, //
};

/// Bytes of memory that the kernel manages and has an address for: without high memory, which 32-bit machines may
/// have beside.
///
/// # Examples
///
/// ```
/// use mapkit::base::{budget::Budget, sysinfo};
///
/// /// Half of the memory, for all files together.
/// fn limit() -> Budget {
///     Budget::new(sysinfo::low_memory_bytes() / 2)
/// }
/// ```
pub fn low_memory_bytes() -> u64 {
    let mut info: bindings::sysinfo = Default::default();
    // SAFETY: `info` is valid for writing.
    unsafe { bindings::si_meminfo(&mut info) };
    // `si_meminfo()` counts in pages.
    let pages = info.totalram.saturating_sub(info.totalhigh);
    (pages as u64).saturating_mul(PAGE_SIZE as u64)
}

/// Bytes of the area that is set aside for contiguous memory (CMA) which are free; 0 if there is none.
pub fn free_cma_bytes() -> u64 {
    // SAFETY: Only reads.
    let pages = unsafe { ffi::mapkit_free_cma_pages() };
    (pages as u64).saturating_mul(PAGE_SIZE as u64)
}

/// A node that was online when this was made.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{base::sysinfo::OnlineNode, source::{Gfp, KmallocOnNode}};
///
/// fn objects_on(node: u32) -> Result<KmallocOnNode> {
///     let node = OnlineNode::new(node).ok_or(ENODEV)?;
///     Ok(KmallocOnNode::new(64, Gfp::KERNEL, node))
/// }
/// ```
#[derive(Clone, Copy)]
pub struct OnlineNode(u32);

impl OnlineNode {
    /// The node of this number, if it is online.
    pub fn new(number: u32) -> Option<Self> {
        // SAFETY: Any number may be asked about.
        unsafe { ffi::mapkit_node_online(number) }.then_some(Self(number))
    }

    /// Its number, as C has it.
    pub(crate) fn number(self) -> c_int {
        self.0 as c_int
    }
}

/// CPUs that the machine can ever have.
pub fn possible_cpus() -> u32 {
    // SAFETY: Only reads.
    unsafe { ffi::mapkit_num_possible_cpus() }
}

/// The CPU's cycle counter, or 0 if it has none.
pub fn cycles() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { ffi::mapkit_get_cycles() }
}

/// Nanoseconds of a clock that may be read in any context.
pub fn nanoseconds() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::ktime_get_mono_fast_ns() }
}
