// SPDX-License-Identifier: GPL-2.0-only

//! Memory of another type beside the direct map, as 64-bit ARM has it.
//!
//! No function for modules changes the memory type of the direct map there, so it keeps the frames as
//! ordinary memory, while programs have them with another type: as Normal memory that is not cached, or as
//! Device memory. The architecture allows that under conditions (Arm Architecture Reference Manual, section
//! "Mismatched memory attributes"), by which the kernel's DMA API gets memory for devices that are not
//! coherent (`dma_direct_alloc()`). Here they are kept like that:
//!
//! - Nobody stores to the frames through the direct map as long as they have the other type. The kernel's own
//!   accesses go through a second mapping of the vmalloc area, which is Normal memory that is not cached: on
//!   Device memory a copy that is not aligned would fault. The frames have no reference count to others, so
//!   that nobody gets them by `get_user_pages()` and uses the direct map after all; and no device is
//!   given them, which might read a cache ([`Backing::is_aliased`]).
//! - What the direct map has left in the caches, the zeros, is cleaned to memory and invalidated before the
//!   frames are used: no dirty line is left that could overwrite what is stored later.
//! - A CPU may speculatively load the frames through the direct map. What comes into a cache like that is clean,
//!   so it is never written back, and accesses that are not cached do not look at it.
//! - It may be stale when the frames go back to be ordinary memory. So it is invalidated once more, when
//!   all other mappings are gone.

use crate::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER,
        task::{
            between_pieces,
            let_others_run,
            PIECE_PAGES, //
        }, //
    },
    ffi,
    memory::{
        backing::{
            AddressClass,
            Backing,
            KernelRange,
            Run,
            StructPage, //
        },
        caching::Caching,
        extent::Extent, //
    }, //
};
use core::{
    cmp::min,
    mem::ManuallyDrop, //
};
use kernel::{
    ffi::c_uint,
    page::PAGE_SIZE,
    prelude::*, //
};

/// A backing whose memory has another memory type wherever it is used.
///
/// # Invariants
///
/// `extent` is an area of `vmap()` with all pages of `backing`, as Normal memory that is not cached, and is
/// owned. `backing` is in the direct map, where nobody accesses it, and no cache has a dirty line of it.
pub struct Recached<B: Backing> {
    backing: ManuallyDrop<B>,
    caching: Caching,
    extent: Extent,
}

// SAFETY: An area of the vmalloc area is not tied to a thread, and the backing is `Send`.
unsafe impl<B: Backing> Send for Recached<B> {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl<B: Backing> Sync for Recached<B> {}

impl<B: Backing + 'static> Recached<B> {
    /// Changes the memory type of `backing`.
    ///
    /// `EOPNOTSUPP` if it is not in the direct map, `ENOMEM` if there is no memory for its page tables, `EINTR`
    /// if the caller is killed meanwhile.
    pub fn new(backing: B, caching: Caching) -> Result<Self> {
        if backing.address_class() != AddressClass::DirectMap {
            return Err(errno::eopnotsupp());
        }
        let extent = map(&backing)?;
        // INVARIANT: The area was just mapped. The backing was moved in here, so nobody else has it, and
        // the caches are cleaned below; if that ends early, nobody gets this.
        let recached = Self {
            backing: ManuallyDrop::new(backing),
            caching,
            extent,
        };
        for run in Blocks::of(&*recached.backing) {
            between_pieces()?;
            clean(&run?);
        }
        Ok(recached)
    }
}

/// Maps all pages of a backing to the vmalloc area, as Normal memory that is not cached.
fn map(backing: &dyn Backing) -> Result<Extent> {
    let nr_pages = backing.nr_pages();
    let mut pages = KVVec::<StructPage>::with_capacity(nr_pages, GFP_FOR_CALLER)?;
    for run in backing.runs(0, nr_pages) {
        for pfn in run.pfn..run.pfn.wrapping_add(run.nr_pages) {
            // SAFETY: By the promise of `Backing` it is ordinary memory, which has a `struct page`.
            let page = unsafe { ffi::mapkit_pfn_to_page(pfn) };
            pages.push(page, GFP_FOR_CALLER)?;
        }
        between_pieces()?;
    }
    let count = c_uint::try_from(pages.len()).map_err(|_| ENOMEM)?;
    // SAFETY: The array has so many pages, which are ordinary memory that the backing owns. The function
    // may sleep, as may its callers.
    let addr = unsafe { ffi::mapkit_vmap_noncached(pages.as_mut_ptr(), count) };
    Extent::new(addr, nr_pages)
}

/// Writes to memory what the caches have of the addresses, and takes it out of them.
fn clean(range: &KernelRange) {
    // SAFETY: These are addresses of the direct map that the backing owns; their contents stay the same.
    unsafe { ffi::mapkit_dcache_clean_inval_poc(range.addr.as_ptr().cast(), range.len) };
    let_others_run();
}

/// The blocks of a backing, as the direct map has them, in pieces of [`PIECE_PAGES`].
struct Blocks<'a> {
    backing: &'a dyn Backing,
    next: usize,
}

impl<'a> Blocks<'a> {
    fn of(backing: &'a dyn Backing) -> Self {
        Self { backing, next: 0 }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<KernelRange>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.backing.nr_pages() {
            return None;
        }
        let range = self.backing.range_at(self.next).ok_or(EINVAL);
        let range = range.map(|range| KernelRange {
            len: min(range.len, PIECE_PAGES * PAGE_SIZE),
            ..range
        });
        let pages = range
            .as_ref()
            .map_or(usize::MAX, |range| range.len / PAGE_SIZE);
        self.next = self.next.saturating_add(pages);
        Some(range)
    }
}

impl<B: Backing> Drop for Recached<B> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the area is owned; `self` is going away, so it is used no more.
        unsafe { ffi::vunmap(self.extent.as_ptr()) };
        // Nobody maps the frames any more, so that all stores to them are done.
        for range in Blocks::of(&*self.backing).flatten() {
            clean(&range);
        }
        // SAFETY: It is not used any more.
        unsafe { ManuallyDrop::drop(&mut self.backing) };
    }
}

// SAFETY: The frames are those of the backing inside, which `Drop` drops last. By the type invariant the
// addresses are valid for all of them. They have no reference count to others.
unsafe impl<B: Backing> Backing for Recached<B> {
    fn nr_pages(&self) -> usize {
        self.backing.nr_pages()
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        self.backing.run_at(page)
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        self.extent.range_at(page)
    }

    fn refcounted(&self) -> bool {
        false
    }

    fn address_class(&self) -> AddressClass {
        AddressClass::Vmalloc
    }

    fn caching(&self) -> Caching {
        self.caching
    }

    fn is_aliased(&self) -> bool {
        true
    }
}
