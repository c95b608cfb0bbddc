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
        blocks::{
            Effort,
            GFP_FOR_PROGRAMS, //
        },
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
        let addr = Pieces::new(nr_pages)?.into_area();
        // INVARIANT: The pages were just mapped there.
        Ok(Self {
            extent: Extent::new(addr, nr_pages)?,
        })
    }
}

/// Pages on their way into the vmalloc area.
///
/// They are allocated in blocks, as `vmalloc()` itself does, but only in such as are free: a block costs little more than a
/// page. Blocks are freed as such, so that a caller who is killed is soon gone.
///
/// # Invariants
///
/// `array` was allocated with `__vmalloc()` and is owned, with room for all pages. The first `nr_pages` places are those of
/// blocks, the largest first, `blocks[order]` of each order: at a block's first place is its first page. The blocks are owned.
struct Pieces {
    array: NonNull<StructPage>,
    blocks: [usize; ORDERS],
    nr_pages: usize,
}

/// How many orders there are.
const ORDERS: usize = bindings::MAX_PAGE_ORDER as usize + 1;

impl Pieces {
    /// Allocates `nr_pages` pages.
    fn new(nr_pages: usize) -> Result<Self> {
        let bytes = nr_pages
            .checked_mul(size_of::<StructPage>())
            .ok_or(ENOMEM)?;
        // SAFETY: Any size and these flags are fine; the function may sleep, as may its callers.
        let array = unsafe { ffi::__vmalloc_noprof(bytes, GFP_FOR_PROGRAMS) };
        // INVARIANT: It was just allocated, and no page is in it.
        let mut pieces = Self {
            array: NonNull::new(array.cast()).ok_or(ENOMEM)?,
            blocks: [0; ORDERS],
            nr_pages: 0,
        };
        let mut order = bindings::MAX_PAGE_ORDER;
        while pieces.nr_pages < nr_pages {
            if order > 0 || pieces.nr_pages % PIECE_PAGES == 0 {
                between_pieces()?;
            }
            let left = nr_pages.wrapping_sub(pieces.nr_pages);
            while pages_of(order) > left {
                order = order.wrapping_sub(1);
            }
            match pieces.add(order) {
                Err(err) if err == ENOMEM && order > 0 => order = order.wrapping_sub(1),
                result => result?,
            }
        }
        Ok(pieces)
    }

    /// Allocates the next block, which has room and is no larger than the one before.
    fn add(&mut self, order: u32) -> Result {
        let effort = match order {
            0 => Effort::Full,
            _ => Effort::None,
        };
        let gfp = effort.gfp() | bindings::__GFP_HIGHMEM;
        let count = self.blocks.get_mut(order as usize).ok_or(EINVAL)?;
        // SAFETY: This order and these flags are fine; the function may sleep, as may its callers.
        let page = unsafe { bindings::alloc_pages(gfp, order) };
        if page.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: The block is there, and is owned.
        *count = count.wrapping_add(1);
        // SAFETY: There is room for the block.
        unsafe { self.array.as_ptr().wrapping_add(self.nr_pages).write(page) };
        self.nr_pages = self.nr_pages.wrapping_add(pages_of(order));
        Ok(())
    }

    /// Calls `f` with the place of each block, its first page, and its order.
    fn for_each(&self, mut f: impl FnMut(usize, StructPage, u32)) {
        let mut place = 0usize;
        for order in (0..=bindings::MAX_PAGE_ORDER).rev() {
            let count = self.blocks.get(order as usize).copied().unwrap_or(0);
            for _ in 0..count {
                // SAFETY: By the type invariant, this is a block's first place.
                let page = unsafe { self.array.as_ptr().wrapping_add(place).read() };
                f(place, page, order);
                place = place.wrapping_add(pages_of(order));
                if order > 0 || place % PIECE_PAGES == 0 {
                    let_others_run();
                }
            }
        }
    }

    /// Makes single pages of all blocks.
    fn split(&mut self) {
        self.for_each(|place, page, order| {
            if order == 0 {
                return;
            }
            // SAFETY: By the type invariant the block is owned, and nobody else has it. It is no folio.
            unsafe { bindings::split_page(page, order) };
            for within in 0..pages_of(order) {
                // SAFETY: By the type invariant these places are the block's.
                unsafe {
                    let slot = self.array.as_ptr().wrapping_add(place.wrapping_add(within));
                    slot.write(page.wrapping_add(within));
                }
            }
        });
        // INVARIANT: Each page is a block now.
        self.blocks = [0; ORDERS];
        if let Some(single) = self.blocks.first_mut() {
            *single = self.nr_pages;
        }
    }

    /// The address of an area of `remap_vmalloc_range()` that has them, as single pages, and owns them; null if it cannot
    /// be.
    fn into_area(mut self) -> *mut c_void {
        let Ok(nr_pages) = c_uint::try_from(self.nr_pages) else {
            return ptr::null_mut();
        };
        self.split();
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

/// Pages of a block.
fn pages_of(order: u32) -> usize {
    1usize.wrapping_shl(order)
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // SAFETY: By the type invariant these blocks are owned; they are used no more.
        self.for_each(|_, page, order| unsafe { bindings::__free_pages(page, order) });
        // SAFETY: By the type invariant the array is owned and came from `__vmalloc()`.
        unsafe { ffi::vfree(self.array.as_ptr().cast()) };
    }
}

// SAFETY: The pages are owned and zeroed, live until `drop`, and `extent` stays inside them.
// `Pieces` fills the area with single pages of the page allocator, each with its own reference count, which
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
        let mut told = 0usize;
        for slot in slots.iter_mut().take(left) {
            // SAFETY: `addr` is inside such an area, where every page is mapped.
            slot.write(unsafe { bindings::vmalloc_to_page(addr.cast::<c_void>()) });
            addr = addr.wrapping_add(PAGE_SIZE);
            told = told.wrapping_add(1);
        }
        told
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
