// SPDX-License-Identifier: GPL-2.0-only

//! Lists of pieces of memory, as the DMA API takes them: `struct sg_table`.

use crate::{
    base::{
        errno::to_result,
        gfp::{
            self,
            GFP_FOR_CALLER, //
        }, //
    },
    dma::segment::Segment,
    ffi,
    memory::backing::{
        Backing,
        StructPage, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

/// Tells the `struct page` of page `page` of a backing, and of as many after it as there are slots, all of which are
/// initialized then.
#[inline]
pub(super) fn fill(
    memory: &dyn Backing,
    page: usize,
    slots: &mut [MaybeUninit<StructPage>],
) -> Result {
    let nr_filled = memory.struct_pages(page, slots);
    match slots.get_mut(nr_filled..) {
        None | Some([]) => Ok(()),
        Some(rest) => fill_by_frames(memory, page.wrapping_add(nr_filled), rest),
    }
}

/// The same where pages have no reference count of their own.
fn fill_by_frames(
    memory: &dyn Backing,
    mut page: usize,
    slots: &mut [MaybeUninit<StructPage>],
) -> Result {
    for slot in slots {
        let pfn = memory.run_at(page).ok_or(EINVAL)?.pfn;
        // SAFETY: By the promise of `Backing` it is ordinary memory, which has a `struct page`.
        slot.write(unsafe { ffi::mapkit_pfn_to_page(pfn) });
        page = page.wrapping_add(1);
    }
    Ok(())
}

/// So many pages are told on the stack.
const FEW: usize = 16;

/// A list of the pieces of a range of memory.
///
/// # Invariants
///
/// `table` was made by `sg_alloc_table_from_pages_segment()`, and is owned.
#[repr(transparent)]
pub(crate) struct ScatterList {
    table: bindings::sg_table,
}

impl ScatterList {
    /// A list of the bytes `range` of `memory`, which must be inside it: neighbours in one entry, of up
    /// to `max_bytes`.
    #[inline]
    pub(crate) fn new(memory: &dyn Backing, range: Range<usize>, max_bytes: usize) -> Result<Self> {
        let nr_pages = range
            .end
            .div_ceil(PAGE_SIZE)
            .saturating_sub(range.start / PAGE_SIZE);
        let mut few = [MaybeUninit::uninit(); FEW];
        if let Some(slots) = few.get_mut(..nr_pages) {
            return Self::through(slots, memory, range, max_bytes);
        }
        let mut many = KVVec::with_capacity(nr_pages, GFP_FOR_CALLER)?;
        let slots = many.spare_capacity_mut();
        let slots = slots.get_mut(..nr_pages).ok_or(ENOMEM)?;
        Self::through(slots, memory, range, max_bytes)
    }

    /// The same, with a slot for each page.
    #[inline]
    fn through(
        slots: &mut [MaybeUninit<StructPage>],
        memory: &dyn Backing,
        range: Range<usize>,
        max_bytes: usize,
    ) -> Result<Self> {
        fill(memory, range.start / PAGE_SIZE, slots)?;
        let mut table = bindings::sg_table {
            sgl: core::ptr::null_mut(),
            nents: 0,
            orig_nents: 0,
        };
        // SAFETY: `fill` has initialized the slots, in whose pages the bytes are. The function may sleep,
        // as may its callers.
        to_result(unsafe {
            bindings::sg_alloc_table_from_pages_segment(
                &mut table,
                slots.as_mut_ptr().cast::<StructPage>(),
                c_uint::try_from(slots.len())?,
                (range.start % PAGE_SIZE) as c_uint,
                range.len(),
                c_uint::try_from(max_bytes).unwrap_or(c_uint::MAX),
                gfp::FOR_CALLER,
            )
        })?;
        // INVARIANT: It was just made.
        Ok(Self { table })
    }

    /// Maps it for `device`.
    ///
    /// # Safety
    ///
    /// It must not be mapped yet, and be unmapped before it is dropped, while the device may still be
    /// used for DMA, as it may now.
    #[inline]
    pub(crate) unsafe fn map(
        &mut self,
        device: *mut bindings::device,
        direction: bindings::dma_data_direction,
    ) -> Result {
        // SAFETY: By the requirement of this function, and the table is valid.
        to_result(unsafe { bindings::dma_map_sgtable(device, &mut self.table, direction, 0) })
    }

    /// Unmaps it.
    ///
    /// # Safety
    ///
    /// It must be mapped for this device and direction.
    #[inline]
    pub(crate) unsafe fn unmap(
        &mut self,
        device: *mut bindings::device,
        direction: bindings::dma_data_direction,
    ) {
        let entries = self.table.orig_nents as c_int;
        // SAFETY: By the requirement of this function.
        unsafe { bindings::dma_unmap_sg_attrs(device, self.table.sgl, entries, direction, 0) };
    }

    /// The table, for C functions that take it mapped and do not keep it.
    pub(crate) fn as_raw(&self) -> *mut bindings::sg_table {
        core::ptr::from_ref(&self.table).cast_mut()
    }

    /// Entries, before the DMA API merged any.
    pub(crate) fn entries(&self) -> usize {
        self.table.orig_nents as usize
    }

    /// What the device sees. It must be mapped.
    pub(crate) fn segments(&self) -> Segments<'_> {
        // SAFETY: The table is valid as long as it is borrowed.
        unsafe { Segments::new(&self.table) }
    }
}

impl Drop for ScatterList {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the table is owned.
        unsafe { bindings::sg_free_table(&mut self.table) };
    }
}

/// The segments of a mapped list.
///
/// # Invariants
///
/// `next` is the first of `left` entries of a table that lives for `'a`.
pub(crate) struct Segments<'a> {
    next: *mut bindings::scatterlist,
    left: c_uint,
    _table: PhantomData<&'a ()>,
}

impl Segments<'_> {
    /// # Safety
    ///
    /// `table` must be valid for as long as the result is used.
    pub(crate) unsafe fn new(table: *const bindings::sg_table) -> Self {
        // SAFETY: By the requirement of this function.
        let (next, left) = unsafe { ((*table).sgl, (*table).nents) };
        Self {
            next,
            left,
            _table: PhantomData,
        }
    }

    /// What is at byte `offset`, and from there on.
    pub(crate) fn at(self, offset: usize) -> Option<Segment> {
        let mut before = 0usize;
        for segment in self {
            let within = offset.checked_sub(before)?;
            if within < segment.bytes {
                return segment.after(within);
            }
            before = before.checked_add(segment.bytes)?;
        }
        None
    }
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: By the type invariant this is an entry. After the last one `next` is null or an entry
        // that is not looked at.
        unsafe {
            let segment = Segment::new(
                bindings::sg_dma_address(self.next),
                bindings::sg_dma_len(self.next) as usize,
            );
            self.next = bindings::sg_next(self.next);
            segment
        }
    }
}
