// SPDX-License-Identifier: GPL-2.0-only

//! Memory that can be mapped into processes.
//!
//! A [`Backing`] owns page frames and has a kernel address for each of them. What maps it keeps it
//! alive through a [`Mappable`](crate::memory::mappable::Mappable), so that frames are never freed under a mapping.

use crate::{
    base::{
        errno,
        task::{
            between_pieces,
            PIECE_PAGES, //
        }, //
    },
    memory::{
        caching::Caching,
        direction::{
            Direction,
            Owner, //
        },
        page_cache::inode::InodeCache, //
    },
    revoke::revocable::Revocable, //
};
use core::{
    cmp::min,
    mem::MaybeUninit,
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::c_int,
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
///   the backing only drops its own references; a folio of several pages begins with a page of the backing whose number
///   is a multiple of how many, and is part of nothing else;
/// - [`struct_pages`](Self::struct_pages) initializes as many of the first slots as it returns with the
///   `struct page`s of those pages, and [`struct_page`](Self::struct_page) returns that of its page; both tell none unless
///   `refcounted` is true;
/// - [`page_cache`](Self::page_cache) is always the same, and lives as long.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::memory::{backing::Backing, pages::Pages, slab::SlabObject, vmalloc::Vmalloc};
///
/// /// Memory of the kind that a program has asked for.
/// fn allocate(kind: u32, nr_pages: usize) -> Result<KBox<dyn Backing>> {
///     Ok(match kind {
///         0 => KBox::new(Pages::new(nr_pages)?, GFP_KERNEL)?,
///         1 => KBox::new(Vmalloc::new(nr_pages)?, GFP_KERNEL)?,
///         2 => KBox::new(SlabObject::new(nr_pages)?, GFP_KERNEL)?,
///         _ => return Err(EINVAL),
///     })
/// }
/// ```
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

    /// Tells the `struct page` of page `page`, if there is such a page and this is [`refcounted`](Self::refcounted).
    fn struct_page(&self, page: usize) -> Option<StructPage> {
        let mut slot = [MaybeUninit::uninit()];
        match self.struct_pages(page, &mut slot) {
            // SAFETY: By the promise of `Backing` it has initialized as many as it returned.
            1 => slot.first().map(|page| unsafe { page.assume_init_read() }),
            _ => None,
        }
    }

    /// The page cache that has each of its pages, at that page's number, if there is one.
    fn page_cache(&self) -> Option<&InodeCache> {
        None
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

    /// Gives bytes of the memory to the CPU, or to the device that it is mapped for, which moves them in
    /// `direction`. Nothing if both see the same; bytes that there are not are left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::ops::Range;
    /// use mapkit::memory::{
    ///     backing::Backing,
    ///     direction::{Direction, Owner},
    /// };
    ///
    /// /// Shows programs what the device has stored, after which it stores the next.
    /// fn next(memory: &dyn Backing, frame: Range<usize>, show: impl FnOnce()) {
    ///     memory.sync(frame.clone(), Direction::FromDevice, Owner::Cpu);
    ///     show();
    ///     memory.sync(frame, Direction::FromDevice, Owner::Device);
    /// }
    /// ```
    fn sync(&self, _bytes: Range<usize>, _direction: Direction, _owner: Owner) {}

    /// What shows the memory, if that can be taken back.
    fn revocable(&self) -> Option<&Revocable<dyn Backing>> {
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
        Runs::new(self, first..min(end, self.nr_pages()))
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
}

/// Iterator over the physically contiguous runs of a backing, made by [`runs`](trait.Backing.html#method.runs).
pub struct Runs<'a> {
    backing: &'a dyn Backing,
    next: usize,
    end: usize,
}

impl<'a> Runs<'a> {
    /// Those of `pages`, which must be pages of the backing.
    #[inline]
    pub(super) fn new(backing: &'a dyn Backing, pages: Range<usize>) -> Self {
        Self {
            backing,
            next: pages.start,
            end: pages.end,
        }
    }
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
