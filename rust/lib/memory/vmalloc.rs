// SPDX-License-Identifier: GPL-2.0-only

//! Memory of the vmalloc area, as a [`Backing`].
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

use crate::{
    base::task::{
        between_pieces,
        let_others_run,
        PIECE_PAGES, //
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
        blocks::GFP_FOR_PROGRAMS,
        extent::Extent, //
    }, //
};
use core::{
    mem::MaybeUninit,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

/// Zeroed single pages, contiguous only in the kernel's virtual addresses. They are charged to the
/// caller's memory cgroup.
///
/// # Invariants
///
/// `extent` was mapped with `mapkit_vmap_user()`, is not empty, and is owned.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::memory::{backing::Backing, vmalloc::Vmalloc};
///
/// /// How many of the frames follow the one before.
/// fn neighbours() -> Result<usize> {
///     let memory = Vmalloc::new(256)?;
///     let memory: &dyn Backing = &memory;
///     Ok(256 - memory.runs(0, 256).count())
/// }
/// ```
pub struct Vmalloc {
    extent: Extent,
}

// SAFETY: vmalloc memory is not tied to a thread.
unsafe impl Send for Vmalloc {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl Sync for Vmalloc {}

impl Vmalloc {
    /// Allocates `nr_pages` pages, in an area that `remap_vmalloc_range()` takes.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough memory, `EINTR` if the caller is killed
    /// meanwhile; the OOM killer is never asked for help.
    ///
    /// `vmalloc_user()` would do it, but calls the OOM killer, charges nobody, warns of sizes that cannot be,
    /// and cannot be killed. So the pages are allocated here, and put into such an area.
    pub fn new(nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        let addr = SinglePages::new(nr_pages)?.into_area();
        // INVARIANT: The pages were just mapped there.
        Ok(Self {
            extent: Extent::new(addr, nr_pages)?,
        })
    }
}

/// Single pages on their way into the vmalloc area.
///
/// # Invariants
///
/// `array` was allocated with `__vmalloc()` and is owned. Its first `nr_pages` places hold pages of the page
/// allocator, which are owned.
struct SinglePages {
    array: NonNull<StructPage>,
    nr_pages: usize,
}

impl SinglePages {
    fn new(nr_pages: usize) -> Result<Self> {
        let bytes = nr_pages
            .checked_mul(size_of::<StructPage>())
            .ok_or(ENOMEM)?;
        // SAFETY: Any size and these flags are fine; the function may sleep, as may its callers.
        let array = unsafe { ffi::__vmalloc_noprof(bytes, GFP_FOR_PROGRAMS) };
        // INVARIANT: It was just allocated, and no page is in it.
        let mut pages = Self {
            array: NonNull::new(array.cast()).ok_or(ENOMEM)?,
            nr_pages: 0,
        };
        while pages.nr_pages < nr_pages {
            if pages.nr_pages % PIECE_PAGES == 0 {
                between_pieces()?;
            }
            // SAFETY: This order and these flags are fine; the function may sleep, as may its callers.
            let page =
                unsafe { bindings::alloc_pages(GFP_FOR_PROGRAMS | bindings::__GFP_HIGHMEM, 0) };
            if page.is_null() {
                return Err(ENOMEM);
            }
            // SAFETY: The array has `nr_pages` places, of which this is one.
            unsafe {
                pages
                    .array
                    .as_ptr()
                    .wrapping_add(pages.nr_pages)
                    .write(page)
            };
            // INVARIANT: The page is there, and is owned.
            pages.nr_pages = pages.nr_pages.wrapping_add(1);
        }
        Ok(pages)
    }

    /// The page at a place.
    ///
    /// # Safety
    ///
    /// The place must be less than `nr_pages`.
    unsafe fn page(&self, place: usize) -> StructPage {
        // SAFETY: By the requirement of this function and the type invariant, the place has a page.
        unsafe { self.array.as_ptr().wrapping_add(place).read() }
    }

    /// How many pages from a place on follow each other, of [`PIECE_PAGES`] at most. There is a page at the place.
    fn neighbours(&self, first: usize) -> usize {
        let number = |place: usize| {
            // SAFETY: It is called with places of pages only, and by the type invariant these are valid.
            unsafe { ffi::mapkit_page_to_pfn(self.page(place)) }
        };
        let most = self.nr_pages.saturating_sub(first).min(PIECE_PAGES);
        let start = number(first);
        let follows = |at: &usize| number(first.wrapping_add(*at)) == start.wrapping_add(*at);
        (1..most).take_while(follows).count().wrapping_add(1)
    }

    /// The address of an area of `remap_vmalloc_range()` that has them and owns them; null if it cannot be.
    fn into_area(self) -> *mut c_void {
        let Ok(nr_pages) = c_uint::try_from(self.nr_pages) else {
            return ptr::null_mut();
        };
        // SAFETY: By the type invariant the array has so many pages, is memory of vmalloc, and all of it is
        // owned.
        let addr = unsafe { ffi::mapkit_vmap_user(self.array.as_ptr(), nr_pages) };
        if !addr.is_null() {
            // All is the area's now.
            core::mem::forget(self);
        }
        addr
    }
}

impl Drop for SinglePages {
    fn drop(&mut self) {
        let mut first = 0usize;
        while first < self.nr_pages {
            let neighbours = self.neighbours(first);
            // SAFETY: By the type invariant these are single pages, which are owned and used no more.
            unsafe { ffi::mapkit_free_contig_range(self.page(first), neighbours) };
            let_others_run();
            first = first.saturating_add(neighbours);
        }
        // SAFETY: By the type invariant the array is owned and came from `__vmalloc()`.
        unsafe { ffi::vfree(self.array.as_ptr().cast()) };
    }
}

// SAFETY: The pages are owned and zeroed, live until `drop`, and `extent` stays inside them.
// `SinglePages` fills the area with order-0 pages of the page allocator, each with its own reference count, which
// `vfree()` drops one of.
unsafe impl Backing for Vmalloc {
    fn nr_pages(&self) -> usize {
        self.extent.nr_pages()
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        let (addr, _) = self.extent.locate(page)?;
        // SAFETY: `addr` is inside such an area, where every page is mapped.
        let pfn = unsafe { bindings::vmalloc_to_pfn(addr.as_ptr().cast::<c_void>()) };
        Some(Run { pfn, nr_pages: 1 })
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        self.extent.range_at(page)
    }

    fn refcounted(&self) -> bool {
        true
    }

    fn struct_pages(&self, first: usize, slots: &mut [MaybeUninit<StructPage>]) -> usize {
        let Some((addr, left)) = self.extent.locate(first) else {
            return 0;
        };
        let mut addr = addr.as_ptr();
        let mut nr_filled = 0usize;
        for slot in slots.iter_mut().take(left) {
            // SAFETY: `addr` is inside such an area, where every page is mapped.
            slot.write(unsafe { bindings::vmalloc_to_page(addr.cast::<c_void>()) });
            addr = addr.wrapping_add(PAGE_SIZE);
            nr_filled = nr_filled.wrapping_add(1);
        }
        nr_filled
    }

    fn address_class(&self) -> AddressClass {
        AddressClass::Vmalloc
    }

    unsafe fn remap_vmalloc_range(
        &self,
        vma: *mut bindings::vm_area_struct,
        first: usize,
    ) -> Option<c_int> {
        // SAFETY: By the requirement of this function, and the type invariant.
        Some(unsafe { ffi::remap_vmalloc_range(vma, self.extent.as_ptr(), first) })
    }
}

impl Drop for Vmalloc {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the memory is owned, and frees its pages like that; `self` is going
        // away, so it is used no more. This may sleep, as may all who drop a backing.
        unsafe { ffi::vfree(self.extent.as_ptr()) };
    }
}
