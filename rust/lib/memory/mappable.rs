// SPDX-License-Identifier: GPL-2.0-only

//! Memory that is mapped, with what its owner keeps beside it, and its statistics.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::{
    memory::{
        backing::{
            Backing,
            Runs, //
        },
        caching::Caching, //
    },
    observe::histogram::Start,
    revoke::revocable::Held, //
};
use core::{
    cmp::min,
    mem::ManuallyDrop,
    ops::{
        Deref,
        Range, //
    }, //
};
use kernel::prelude::*;

/// A page fault that was answered, or refused.
///
/// For an example, see [`Mappable`].
pub struct FaultEvent {
    /// When it began: what [`fault_begins`](MappingEvents::fault_begins) returned.
    pub start: Start,
    /// The address that was touched.
    pub address: usize,
    /// Whether by a store.
    pub write: bool,
    /// Whether it was answered.
    pub answered: bool,
    /// How many pages were mapped with it. None, if another thread was faster; of page frame numbers, those that
    /// are mapped already count, too, as the kernel does not tell.
    pub nr_pages: usize,
}

/// Is called for mappings and page faults of a [`Mappable`], for statistics. Each method has a default that does
/// nothing, and `()` has only these.
///
/// The methods are called with the lock of an address space held: they must not touch the memory of a program.
///
/// For an example, see [`Mappable`].
pub trait MappingEvents: Send + Sync + 'static {
    /// A VMA began to map it: `mmap(2)`, `fork(2)`, the split of a VMA, `mremap(2)`.
    fn vma_opened(&self, _addresses: Range<usize>) {}

    /// Such a VMA ended.
    fn vma_closed(&self, _addresses: Range<usize>) {}

    /// A page fault is about to be answered.
    #[inline]
    fn fault_begins(&self) -> Start {
        Start::default()
    }

    /// A page fault was answered, or refused. It is not called for what the kernel does by itself, such as the copy that a
    /// store to a private mapping makes of a page that is mapped.
    #[inline]
    fn faulted(&self, _fault: FaultEvent) {}

    /// Calls `f`, which puts pages into a VMA, unless they may not be used any more. Who says so waits for `f`, and
    /// then takes out of VMAs what it put in. `None` if they may not: then the page fault is a `SIGBUS`.
    #[inline]
    fn while_there<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        Some(f())
    }

    /// How many pages a page fault maps at most, if they are there: a power of two, at most
    /// [`MAX_FAULT_AROUND`](crate::map::fault::MAX_FAULT_AROUND). 16 by default, as the kernel's own
    /// `fault_around_bytes` with pages of 4 KiB.
    #[inline]
    fn fault_around(&self) -> usize {
        16
    }

    /// The memory is about to be freed.
    fn free_begins(&self) -> Start {
        Start::default()
    }

    /// The memory, whose freeing began at `start`, has been freed.
    fn freed(&self, _start: Start) {}
}

impl MappingEvents for () {}

/// A backing that can be mapped, and what its owner keeps beside it.
///
/// Shared as an [`Arc`](kernel::sync::Arc): each VMA that maps it holds a reference. The backing
/// can be neither changed nor taken out.
///
/// # Examples
///
/// ```
/// use kernel::{
///     prelude::*,
///     sync::{
///         atomic::{Atomic, Relaxed},
///         Arc,
///     },
/// };
/// use mapkit::memory::{
///     mappable::{FaultEvent, Mappable, MappingEvents},
///     pages::Pages,
/// };
///
/// /// How many page faults there were.
/// struct Faults(Atomic<i32>);
///
/// impl MappingEvents for Faults {
///     fn faulted(&self, _: FaultEvent) {
///         self.0.add(1, Relaxed);
///     }
/// }
///
/// fn buffer() -> Result<Arc<Mappable<Faults>>> {
///     let pages = KBox::new(Pages::new(16)?, GFP_KERNEL)?;
///     Ok(Arc::new(Mappable::new(pages, 0, Faults(Atomic::new(0))), GFP_KERNEL)?)
/// }
/// ```
pub struct Mappable<T: MappingEvents> {
    /// Dropped once, when this is.
    backing: ManuallyDrop<KBox<dyn Backing>>,
    // As the backing says, which never changes: each mapping and each fault asks.
    nr_pages: usize,
    caching: Caching,
    refcounted: bool,
    is_dma: bool,
    base_pgoff: usize,
    owner: T,
}

impl<T: MappingEvents> Mappable<T> {
    /// Puts the two together. `base_pgoff` is the offset in its file, in pages, at which the memory
    /// begins.
    pub fn new(backing: KBox<dyn Backing>, base_pgoff: usize, owner: T) -> Self {
        Self {
            nr_pages: backing.nr_pages(),
            caching: backing.caching(),
            refcounted: backing.refcounted(),
            is_dma: backing.is_dma(),
            backing: ManuallyDrop::new(backing),
            base_pgoff,
            owner,
        }
    }

    /// The page of the backing that is at offset `pgoff` of the file, in pages, if there is one.
    pub fn page_at(&self, pgoff: usize) -> Option<usize> {
        let page = pgoff.checked_sub(self.base_pgoff)?;
        (page < self.nr_pages).then_some(page)
    }

    /// Size of the memory in pages.
    pub fn nr_pages(&self) -> usize {
        self.nr_pages
    }

    /// Its memory type.
    pub(crate) fn caching(&self) -> Caching {
        self.caching
    }

    /// Whether each page has a reference count of its own.
    pub(crate) fn refcounted(&self) -> bool {
        self.refcounted
    }

    /// Whether it is memory of the DMA API.
    pub(crate) fn is_dma(&self) -> bool {
        self.is_dma
    }

    /// The physically contiguous runs of `pages`, the longest possible.
    #[inline]
    pub(crate) fn runs(&self, pages: Range<usize>) -> Runs<'_> {
        Runs::new(self.memory(), pages.start..min(pages.end, self.nr_pages))
    }

    /// Where the memory is in its file, in pages.
    pub fn file_pages(&self) -> Range<usize> {
        self.base_pgoff..self.base_pgoff.saturating_add(self.nr_pages)
    }

    /// The offset in its file, in pages, at which the memory begins.
    pub(crate) fn base_pgoff(&self) -> usize {
        self.base_pgoff
    }

    /// The memory. What is [`revocable`](Backing::revocable) shows none here, only when it is
    /// [held](Self::hold).
    pub fn memory(&self) -> &dyn Backing {
        &**self.backing
    }

    /// The memory, which stays as long as what is returned is kept: see [`Revocable::hold`](crate::revoke::revocable::Revocable::hold). `ENODEV` if it
    /// was taken back.
    pub fn hold(&self) -> Result<Held<'_, dyn Backing>> {
        match self.memory().revocable() {
            Some(revocable) => revocable.hold(),
            None => Ok(Held::lasting(&**self.backing)),
        }
    }
}

impl<T: MappingEvents> Drop for Mappable<T> {
    fn drop(&mut self) {
        let start = self.owner.free_begins();
        // SAFETY: This is the only place that drops it, and it is not used any more.
        unsafe { ManuallyDrop::drop(&mut self.backing) };
        self.owner.freed(start);
    }
}

impl<T: MappingEvents> Deref for Mappable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.owner
    }
}
