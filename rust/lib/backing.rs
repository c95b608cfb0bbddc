// SPDX-License-Identifier: GPL-2.0-only

//! Memory that can be mapped into processes.
//!
//! A [`Backing`] owns page frames and has a kernel address for each of them. What maps it keeps it
//! alive through a [`Mappable`], so that frames are never freed under a mapping.

use crate::{
    caching::Caching,
    errno,
    histogram::Start,
    revoke::{
        Held,
        Revocable, //
    },
    task::{
        between_pieces,
        PIECE_PAGES, //
    }, //
};
use core::{
    cmp::min,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ops::{
        Deref,
        Range, //
    },
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

/// Physically contiguous page frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first frame's number.
    pub pfn: usize,
    /// How many frames. Never zero.
    pub nr_pages: usize,
}

/// Kernel addresses that are valid for a stretch of a backing.
#[derive(Clone, Copy)]
pub struct KernelRange {
    /// The first byte.
    pub addr: NonNull<u8>,
    /// How many bytes. Never zero.
    pub len: usize,
}

/// The `struct page` of a frame.
pub type StructPage = *mut bindings::page;

/// Where the kernel's own addresses of a backing lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// The direct map of memory.
    DirectMap,
    /// The vmalloc area.
    Vmalloc,
}

/// Page frames that may be shown to user space.
///
/// # Safety
///
/// An implementation promises that, from its making until it is dropped:
///
/// - [`nr_pages`](Self::nr_pages) never changes, and for each page below it
///   [`run_at`](Self::run_at) and [`range_at`](Self::range_at) return `Some` and always the same, or `None` for
///   all pages if the memory is [`revocable`](Self::revocable);
/// - no run or range is empty, none reaches beyond the last page, and ranges are whole pages;
/// - the frames are ordinary memory that it owns, nobody else keeps kernel data in them, and no Rust
///   reference to their contents exists: programs may change them at any time;
/// - they were zeroed, or hold nothing else that a program must not see;
/// - the addresses of `range_at` are valid for reading and writing the frames of `run_at`;
/// - [`refcounted`](Self::refcounted) is always the same; if it is true, the memory is write-back, as who has a
///   reference may map it like that, and each frame has a `struct
///   page` that `vm_insert_page()` takes, a reference to which keeps the frame allocated, and dropping
///   the backing only drops its own references;
/// - [`struct_pages`](Self::struct_pages) initializes as many of the first slots as it returns with the
///   `struct page`s of those pages, and tells none unless `refcounted` is true.
pub unsafe trait Backing: Send + Sync {
    /// Size in pages. Never zero.
    fn nr_pages(&self) -> usize;

    /// The frames from page `page` on, as far as they are contiguous and cheap to tell.
    fn run_at(&self, page: usize) -> Option<Run>;

    /// The kernel addresses from the start of page `page` on, as far as they are contiguous.
    fn range_at(&self, page: usize) -> Option<KernelRange>;

    /// Whether each frame has a reference count of its own, which mappings may take.
    fn refcounted(&self) -> bool;

    /// Tells the `struct page` of each page from `first` on: of as many as there are slots, or fewer at
    /// the end. Returns how many; none if this is not [`refcounted`](Self::refcounted).
    fn struct_pages(&self, _first: usize, _slots: &mut [MaybeUninit<StructPage>]) -> usize {
        0
    }

    /// Where the addresses of [`range_at`](Self::range_at) lie.
    fn address_class(&self) -> AddressClass;

    /// The memory type of the frames, which every mapping of them must have.
    fn caching(&self) -> Caching {
        Caching::WriteBack
    }

    /// Whether the direct map has the frames with another memory type, so that only
    /// [`range_at`](Self::range_at) and mappings of this backing may be used: neither a device, which might read
    /// what a cache has of them, nor others who would use the direct map. Then it is not
    /// [`refcounted`](Self::refcounted).
    fn is_aliased(&self) -> bool {
        false
    }

    /// The address at which a device finds page `page`, if it is mapped for one.
    fn dma_addr(&self, _page: usize) -> Option<u64> {
        None
    }

    /// Whether it is memory of the DMA API, which on some machines is uncached for the kernel, too, and only
    /// [`dma_mmap`](Self::dma_mmap) maps it likewise.
    fn is_dma(&self) -> bool {
        false
    }

    /// What shows the memory, if that can be taken back.
    fn revocable(&self) -> Option<&Revocable> {
        None
    }

    /// The memory type that a program must map it with, which is otherwise `prot`, if this is DMA memory that
    /// may be mapped page by page. `EOPNOTSUPP` if not.
    fn dma_prot(&self, _prot: bindings::pgprot_t) -> Result<bindings::pgprot_t> {
        Err(errno::eopnotsupp())
    }

    /// Maps all of `vma` with `dma_mmap_attrs()`: the C error, or `None` if this is no DMA memory.
    ///
    /// # Safety
    ///
    /// `vma` must be undergoing initialization and not be copy-on-write. Its `vm_pgoff` must be a
    /// page of this backing, which must have as many pages from there on as the VMA.
    unsafe fn dma_mmap(&self, _vma: *mut bindings::vm_area_struct) -> Option<c_int> {
        None
    }

    /// Maps all of `vma` to the pages from `first` on with `remap_vmalloc_range()`: the C error, or
    /// `None` if this is not vmalloc memory for user space.
    ///
    /// # Safety
    ///
    /// `vma` must be undergoing initialization, and this backing must have as many pages from `first`
    /// on as the VMA.
    unsafe fn remap_vmalloc_range(
        &self,
        _vma: *mut bindings::vm_area_struct,
        _first: usize,
    ) -> Option<c_int> {
        None
    }
}

impl dyn Backing + '_ {
    /// Size in bytes.
    pub fn len(&self) -> usize {
        // Cannot overflow: so many bytes were allocated.
        self.nr_pages().wrapping_mul(PAGE_SIZE)
    }

    /// The physically contiguous runs of pages `first..end`, the longest possible.
    #[inline]
    pub fn runs(&self, first: usize, end: usize) -> Runs<'_> {
        Runs {
            backing: self,
            next: first,
            end: min(end, self.nr_pages()),
        }
    }

    /// How many physically contiguous runs there are, the longest possible, and the pages of the longest one.
    ///
    /// `EINTR` if the caller is killed meanwhile: there may be many.
    pub fn count_runs(&self) -> Result<(usize, usize)> {
        let (mut runs, mut longest) = (0usize, 0usize);
        // What has been seen of the last one.
        let (mut pages, mut next_pfn) = (0usize, 0usize);
        let mut first = 0usize;
        while first < self.nr_pages() {
            let end = first.saturating_add(PIECE_PAGES);
            for run in self.runs(first, end) {
                if pages == 0 || run.pfn != next_pfn {
                    runs = runs.wrapping_add(1);
                    pages = 0;
                }
                pages = pages.wrapping_add(run.nr_pages);
                next_pfn = run.pfn.wrapping_add(run.nr_pages);
                longest = longest.max(pages);
            }
            first = end;
            between_pieces()?;
        }
        Ok((runs, longest))
    }

    /// Copies from `offset` bytes on to a program's buffer, up to the end of either.
    ///
    /// Returns the bytes copied, or `EFAULT` if not a single one could be.
    pub fn copy_to_iter(&self, offset: usize, iov: &mut IovIterDest<'_>) -> Result<usize> {
        if let Some(revocable) = self.revocable() {
            return revocable.copy_to_iter(offset, iov);
        }
        let want = min(iov.len(), self.len().saturating_sub(offset));
        self.copy(offset, want, |addr, len| {
            // SAFETY: `addr` is valid for reading `len` bytes by the promise of `Backing`, and
            // `iov` is a valid iterator. This is a C copy of memory that programs may change at the
            // same time; no reference to it is made.
            unsafe { bindings::_copy_to_iter(addr.cast::<c_void>(), len, iov.as_raw()) }
        })
    }

    /// Copies from a program's buffer to `offset` bytes and on, up to the end of either.
    ///
    /// Returns the bytes copied, or `EFAULT` if not a single one could be.
    pub fn copy_from_iter(&self, offset: usize, iov: &mut IovIterSource<'_>) -> Result<usize> {
        if let Some(revocable) = self.revocable() {
            return revocable.copy_from_iter(offset, iov);
        }
        let want = min(iov.len(), self.len().saturating_sub(offset));
        self.copy(offset, want, |addr, len| {
            // SAFETY: `addr` is valid for writing `len` bytes by the promise of `Backing`, and
            // `iov` is a valid iterator. This is a C copy to memory that programs may use at the
            // same time; no reference to it is made.
            unsafe { bindings::_copy_from_iter(addr.cast::<c_void>(), len, iov.as_raw()) }
        })
    }

    /// Calls `copy_chunk` for each stretch of kernel addresses of `want` bytes from `offset` on,
    /// which must lie inside. Ends early when it copies less than asked, and when the caller is killed.
    fn copy(
        &self,
        offset: usize,
        want: usize,
        mut copy_chunk: impl FnMut(*mut u8, usize) -> usize,
    ) -> Result<usize> {
        let mut done = 0;
        while done < want {
            let at = offset.wrapping_add(done);
            let Some(range) = self.range_at(at / PAGE_SIZE) else {
                break;
            };
            let skip = at % PAGE_SIZE;
            let len = min(range.len.saturating_sub(skip), want.wrapping_sub(done));
            let len = min(len, PIECE_PAGES * PAGE_SIZE);
            let copied = copy_chunk(range.addr.as_ptr().wrapping_add(skip), len);
            done = done.wrapping_add(copied);
            if copied < len || between_pieces().is_err() {
                break;
            }
        }
        if done == 0 && want > 0 {
            return Err(EFAULT);
        }
        Ok(done)
    }
}

/// Iterator over the physically contiguous runs of a backing, made by [`runs`](trait.Backing.html#method.runs).
pub struct Runs<'a> {
    backing: &'a dyn Backing,
    next: usize,
    end: usize,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        let mut run = Run {
            pfn: 0,
            nr_pages: 0,
        };
        while self.next < self.end {
            let more = self.backing.run_at(self.next)?;
            let nr_pages = min(more.nr_pages, self.end.wrapping_sub(self.next));
            if run.nr_pages == 0 {
                run = Run {
                    pfn: more.pfn,
                    nr_pages,
                };
            } else if more.pfn == run.pfn.wrapping_add(run.nr_pages) {
                run.nr_pages = run.nr_pages.wrapping_add(nr_pages);
            } else {
                break;
            }
            self.next = self.next.wrapping_add(nr_pages);
        }
        (run.nr_pages > 0).then_some(run)
    }
}

/// Told about the mappings of a [`Mappable`].
///
/// Called with the lock of an address space held: it must not touch the memory of a program.
pub trait MappingEvents: Send + Sync + 'static {
    /// A VMA began to map it: `mmap(2)`, `fork(2)`, the split of a VMA, `mremap(2)`.
    fn vma_opened(&self, addresses: Range<usize>);

    /// Such a VMA ended.
    fn vma_closed(&self, addresses: Range<usize>);

    /// The page fault that began at `start` was answered, or refused; with it, `nr_pages` pages were mapped.
    /// None, if another thread was faster; of page frame numbers, those that are mapped already count, too,
    /// as the kernel does not tell.
    fn faulted(&self, start: Start, address: usize, write: bool, answered: bool, nr_pages: usize);

    /// The memory is about to be freed.
    fn free_begins(&self) -> Start;

    /// The memory, whose freeing began at `start`, has been freed.
    fn freed(&self, start: Start);

    /// A page fault is about to be answered.
    fn fault_begins(&self) -> Start;

    /// How many pages a page fault maps at most, if they are there: a power of two, at most
    /// [`MAX_FAULT_AROUND`](crate::fault::MAX_FAULT_AROUND).
    fn fault_around(&self) -> usize;
}

/// A backing that can be mapped, and what its owner keeps beside it.
///
/// Shared as an [`Arc`](kernel::sync::Arc): each VMA that maps it holds a reference. The backing
/// can be neither changed nor taken out.
///
/// # Examples
///
/// ```
/// use core::ops::Range;
/// use kernel::{
///     prelude::*,
///     sync::{
///         atomic::{Atomic, Relaxed},
///         Arc,
///     },
/// };
/// use mapkit::{
///     backing::{Mappable, MappingEvents},
///     histogram::Start,
///     pages::Pages,
/// };
///
/// /// How many VMAs there are.
/// struct Vmas(Atomic<i32>);
///
/// impl MappingEvents for Vmas {
///     fn vma_opened(&self, _: Range<usize>) {
///         self.0.add(1, Relaxed);
///     }
///     fn vma_closed(&self, _: Range<usize>) {
///         self.0.fetch_sub(1, Relaxed);
///     }
///     fn faulted(&self, _: Start, _: usize, _: bool, _: bool, _: usize) {}
///     fn free_begins(&self) -> Start {
///         Start::default()
///     }
///     fn freed(&self, _: Start) {}
///     fn fault_begins(&self) -> Start {
///         Start::default()
///     }
///     fn fault_around(&self) -> usize {
///         16
///     }
/// }
///
/// fn buffer() -> Result<Arc<Mappable<Vmas>>> {
///     let pages = KBox::new(Pages::new(16)?, GFP_KERNEL)?;
///     Ok(Arc::new(Mappable::new(pages, 0, Vmas(Atomic::new(0))), GFP_KERNEL)?)
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
        Runs {
            backing: self.memory(),
            next: pages.start,
            end: min(pages.end, self.nr_pages),
        }
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

    /// The memory, which stays as long as what is returned is kept: see [`Revocable::hold`]. `ENODEV` if it
    /// was taken back.
    pub fn hold(&self) -> Result<Held<'_>> {
        match self.memory().revocable() {
            Some(revocable) => revocable.hold(),
            None => Ok(Held::lasting(self.memory())),
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
