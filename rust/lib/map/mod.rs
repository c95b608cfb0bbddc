// SPDX-License-Identifier: GPL-2.0-only

//! The VMA of an `mmap(2)` call, as types that only allow what is sound for it.
//!
//! A driver gets a [`NewVma`](vma::NewVma) and turns it into one of four kinds:
//!
//! - [`PfnMapVma`](pfnmap::PfnMapVma) takes page frames by number, without looking at their `struct page`
//!   (`VM_PFNMAP`). It has no page insertion, and cannot be had for a copy-on-write mapping, where
//!   the kernel would have to copy pages it must not look at.
//! - [`MixedMapVma`](mixedmap::MixedMapVma) takes pages that have a reference count (`VM_MIXEDMAP`). The kernel
//!   counts and finds these, so that `O_DIRECT`, pins and copy-on-write work.
//!
//! - [`FolioMapVma`](foliomap::FolioMapVma) takes these, too, and huge ones by one entry (neither flag).
//!
//! - [`CacheMapVma`](cachemap::CacheMapVma) takes those of a page cache, many at once (neither flag, another file).
//!
//! All are filled from a [`Mappable`](crate::memory::mappable::Mappable), which the VMA keeps alive until it
//! ends: its `open` and `close` operations count the references of forked, split and moved VMAs.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! Documentation: [`Documentation/mm/process_addrs.rst`](srctree/Documentation/mm/process_addrs.rst)
//!
//! # Examples
//!
//! An `mmap` hook that gives a buffer to programs, by its frame numbers where that can be:
//!
//! ```
//! use kernel::{prelude::*, sync::Arc};
//! use mapkit::{map::vma::{Mapped, NewVma}, memory::mappable::{Mappable, MappingEvents}};
//!
//! fn mmap<'a>(vma: NewVma<'a>, buffer: &Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
//!     vma.deny_exec()?;
//!     if vma.is_copy_on_write() {
//!         // The kernel must be able to copy a page when it is written to.
//!         vma.into_mixedmap(buffer.clone())?.insert_pages_on_fault()
//!     } else {
//!         vma.into_pfnmap(buffer.clone())?.remap_pfn_range()
//!     }
//! }
//! ```
//!
//! A VMA of frame numbers has no way to take a page:
//!
//! ```compile_fail,E0599
//! # use kernel::{prelude::*, sync::Arc};
//! # use mapkit::{map::vma::{Mapped, NewVma}, memory::mappable::{Mappable, MappingEvents}};
//! fn mmap<'a>(vma: NewVma<'a>, buffer: Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
//!     vma.into_pfnmap(buffer)?.vm_insert_pages()
//! }
//! ```

mod access;
mod batch;
pub mod cachemap;
pub mod fault;
mod filler;
mod filling;
pub mod foliomap;
#[cfg(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))]
pub(crate) mod gigabyte;
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
mod huge_fault;
pub mod mixedmap;
pub mod pfnmap;
pub mod register_page;
pub mod vma;
