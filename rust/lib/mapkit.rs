// SPDX-License-Identifier: GPL-2.0-only

//! Safe wrappers for mapping memory, of what the `kernel` crate lacks.
//!
//! To learn how a driver is written with them, begin with the [`guide`]: [your first driver](guide::first_driver),
//! [a driver for a device](guide::device_driver), [what the function that you know from C is here](guide::from_c),
//! [what each type promises](guide::promises), and [the order of locks](guide::locks).
//!
//! The chapters, in reading order:
//!
//! - [`memory`]: a [`Backing`](memory::backing::Backing) owns page frames that programs may see: of the page
//!   allocator, of `kmalloc()`, of `vmalloc()`, with the memory type that the driver chooses.
//! - [`map`]: the VMA of an `mmap(2)` call, as types that only allow what is sound for it, filled at once or by page
//!   faults; and a page of a device's registers.
//! - [`device`]: a character device whose open files and mappings keep its module loaded; registers, interrupts,
//!   GPIO lines, LEDs and power.
//! - [`dma`]: memory that a device reads and writes: allocated for it, mapped for it for a while, or shared
//!   between drivers.
//! - [`revoke`]: what programs hold of a device is taken back when the device loses its driver, whatever they do.
//! - [`observe`]: counters that cost next to nothing, histograms, tables in debugfs, trace events.
//! - [`inspect`]: the page tables of a process or of the kernel, read while they are in use, and what the kernel
//!   says of a page frame.
//! - [`source`]: the kernel's allocators as things of one kind, and loops that exercise them.
//! - [`sync`]: locks, completions, deadlines, work queues and eventfds.
//! - [`base`]: small things that the other chapters stand on.
//!
//! It is an rlib linked into each module that uses it, so it has no statics of its own. All `unsafe`
//! of those modules is here.

// The kernel's build says so itself, but not to the compiler of the examples.
#![cfg_attr(doctest, no_std)]

/// What begins the lines that this crate logs.
const __LOG_PREFIX: &[u8] = b"mapkit\0";

pub mod base;
pub mod device;
pub mod dma;
mod ffi;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod inspect;
pub mod map;
pub mod memory;
pub mod observe;
pub mod revoke;
mod series;
pub mod source;
pub mod sync;
