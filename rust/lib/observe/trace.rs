// SPDX-License-Identifier: GPL-2.0-only

//! Trace events, defined in `trace.h`. A module that calls these links `trace.o`.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)
//!
//! Documentation: [`Documentation/trace/tracepoints.rst`](srctree/Documentation/trace/tracepoints.rst)

use crate::ffi;

/// Whether somebody listens to an event. C would patch a jump into the code; here it is a load and a
/// branch, where the call of a function that does nothing takes three times as long.
macro_rules! is_heard {
    ($tracepoint:ident) => {{
        #[cfg(CONFIG_TRACEPOINTS)]
        // SAFETY: The tracepoint lives as long as this module, and the kernel only changes this number
        // in one go.
        let heard = unsafe { (&raw const ffi::$tracepoint.key.key.enabled.counter).read_volatile() } != 0;
        #[cfg(not(CONFIG_TRACEPOINTS))]
        let heard = false;
        heard
    }};
}

/// A region was made. The words are numbers of the module's interface.
#[inline]
pub fn create(region: u64, backing: u32, method: u32, caching: u32, bytes: u64) {
    // SAFETY: Takes any numbers, in any context.
    unsafe { ffi::mapkit_trace_create(region, backing, method, caching, bytes) };
}

/// A region's memory was freed.
#[inline]
pub fn destroy(region: u64) {
    // SAFETY: Takes any numbers, in any context.
    unsafe { ffi::mapkit_trace_destroy(region) };
}

/// A VMA began to map a region.
#[inline]
pub fn mmap(region: u64, start: usize, end: usize) {
    if is_heard!(__tracepoint_region_mmap) {
        // SAFETY: Takes any numbers, in any context.
        unsafe { ffi::mapkit_trace_mmap(region, start, end) };
    }
}

/// Such a VMA ended.
#[inline]
pub fn munmap(region: u64, start: usize, end: usize) {
    if is_heard!(__tracepoint_region_munmap) {
        // SAFETY: Takes any numbers, in any context.
        unsafe { ffi::mapkit_trace_munmap(region, start, end) };
    }
}

/// A page fault was answered with `nr_pages` pages, or refused if that is none.
///
/// # Examples
///
/// ```
/// use mapkit::{
///     memory::mappable::{FaultEvent, MappingEvents},
///     observe::trace,
/// };
///
/// /// Memory with a number, whose page faults `trace-cmd record -e mapwright:region_fault` shows.
/// struct Numbered(u64);
///
/// impl MappingEvents for Numbered {
///     fn faulted(&self, fault: FaultEvent) {
///         trace::fault(self.0, fault.address, fault.write, fault.nr_pages);
///     }
/// }
/// ```
#[inline]
pub fn fault(region: u64, address: usize, write: bool, nr_pages: usize) {
    if is_heard!(__tracepoint_region_fault) {
        // SAFETY: Takes any numbers, in any context.
        unsafe { ffi::mapkit_trace_fault(region, address, write, nr_pages) };
    }
}
