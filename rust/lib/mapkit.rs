// SPDX-License-Identifier: GPL-2.0-only

//! Safe wrappers for mapping memory, of what the `kernel` crate lacks.
//!
//! - [`chardev`]: a character device whose open files and mappings keep its module loaded;
//! - [`backing`]: memory that can be mapped, from [`pages`], [`folios`] (both are [`blocks`]), [`slab`]
//!   or [`vmalloc`];
//! - [`vma`]: the VMA of an `mmap(2)` call as types that only allow what is sound for it;
//! - [`fault`]: page faults in VMAs that are filled when they are touched;
//! - [`page_table`]: the page tables of a process or of the kernel, read while they are in use;
//! - [`frame`], [`area`]: what the kernel says of a page frame, and where it has what;
//! - [`dma`]: memory that a device reads and writes: [`coherent`], or lent to it for a while;
//! - [`revoke`]: what programs hold of a device is taken back when it goes; [`space`]: who has a file mapped;
//! - [`register_page`]: a page of a device's registers, for as long as the device is there;
//! - [`claim`]: a line of `/proc/iomem`; [`power`]: a bus that has to stay on, and the system's sleep;
//! - [`led`]: LED class devices; [`gpio_chip`]: controllers of GPIO lines and their interrupts;
//! - [`mmio`]: a device's registers; [`irq`]: its interrupts; [`irq_lock`]: a lock that interrupt handlers take, too;
//! - [`completion`], [`deadline`]: waiting for an interrupt, with a timeout; [`workqueue`]: doing things later;
//!   [`eventfd`]: telling a program;
//! - [`dma_buf`]: memory that drivers share;
//! - [`debugfs`]: read-only text tables, safe against `rmmod`;
//! - [`source`]: the kernel's allocators as things of one kind, and loops that exercise them;
//! - [`budget`]: amounts that are used up; [`gfp`]: allocating for a call of a program;
//! - [`percpu`]: counters that cost next to nothing;
//! - [`histogram`]: how long things take;
//! - [`param`]: parameters of a module that are words;
//! - [`uaccess`]: structures that grow over the years, copied from and to programs;
//! - [`trace`]: events that trace-cmd, perf and bpftrace see;
//! - [`barrier`], [`capability`], [`lockdown`], [`errno`], [`sysinfo`], [`task`], [`text`]: small things on the way.
//!
//! It is an rlib linked into each module that uses it, so it has no statics of its own. All `unsafe`
//! of those modules is here.

// The kernel's build says so itself, but not to the compiler of the examples.
#![cfg_attr(doctest, no_std)]

/// What begins the lines that this crate logs.
const __LOG_PREFIX: &[u8] = b"mapkit\0";

pub mod area;
pub mod backing;
pub mod barrier;
mod batch;
pub mod blocks;
pub mod budget;
pub mod caching;
pub mod capability;
pub mod chardev;
pub mod claim;
pub mod coherent;
pub mod completion;
pub mod deadline;
pub mod debugfs;
mod direct_map;
pub mod dma;
#[cfg(CONFIG_DMA_SHARED_BUFFER)]
pub mod dma_buf;
pub mod errno;
#[cfg(CONFIG_EVENTFD)]
pub mod eventfd;
mod extent;
pub mod fault;
mod ffi;
pub mod folios;
pub mod frame;
pub mod gfp;
pub mod gpio_chip;
pub mod histogram;
pub mod irq;
pub mod irq_lock;
pub mod led;
pub mod lockdown;
pub mod mmio;
#[cfg(CONFIG_ARM64)]
mod noncached;
pub mod page_table;
pub mod pages;
pub mod param;
#[cfg(CONFIG_PCI)]
pub mod pci;
pub mod percpu;
pub mod power;
mod reach;
pub mod register_page;
pub mod revoke;
mod scatter;
mod series;
#[cfg(not(CONFIG_ARM64))]
mod set_memory;
pub mod slab;
pub mod source;
pub mod space;
pub mod sysinfo;
pub mod task;
pub mod text;
pub mod trace;
pub mod uaccess;
pub mod vma;
pub mod vmalloc;
pub mod workqueue;
