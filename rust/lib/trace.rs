// SPDX-License-Identifier: GPL-2.0-only

//! Trace events, defined in `trace.h`. A module that calls these links `trace.o`.

mod c {
    extern "C" {
        pub(super) fn mapkit_trace_create(
            region: u64,
            backing: u32,
            method: u32,
            caching: u32,
            bytes: u64,
        );
        pub(super) fn mapkit_trace_destroy(region: u64);
        pub(super) fn mapkit_trace_mmap(region: u64, start: usize, end: usize);
        pub(super) fn mapkit_trace_munmap(region: u64, start: usize, end: usize);
        pub(super) fn mapkit_trace_fault(region: u64, address: usize, write: bool, nr_pages: usize);
    }
}

/// A region was made. The words are numbers of the module's interface.
#[inline]
pub fn create(region: u64, backing: u32, method: u32, caching: u32, bytes: u64) {
    // SAFETY: Takes any numbers, in any context.
    unsafe { c::mapkit_trace_create(region, backing, method, caching, bytes) };
}

/// A region's memory was freed.
#[inline]
pub fn destroy(region: u64) {
    // SAFETY: Takes any numbers, in any context.
    unsafe { c::mapkit_trace_destroy(region) };
}

/// A VMA began to map a region.
#[inline]
pub fn mmap(region: u64, start: usize, end: usize) {
    // SAFETY: Takes any numbers, in any context.
    unsafe { c::mapkit_trace_mmap(region, start, end) };
}

/// Such a VMA ended.
#[inline]
pub fn munmap(region: u64, start: usize, end: usize) {
    // SAFETY: Takes any numbers, in any context.
    unsafe { c::mapkit_trace_munmap(region, start, end) };
}

/// A page fault was answered with `nr_pages` pages, or refused if that is none.
#[inline]
pub fn fault(region: u64, address: usize, write: bool, nr_pages: usize) {
    // SAFETY: Takes any numbers, in any context.
    unsafe { c::mapkit_trace_fault(region, address, write, nr_pages) };
}
