// SPDX-License-Identifier: GPL-2.0-only

//! Pages that are inserted into a VMA with one call.

use crate::{
    ffi,
    memory::backing::{
        Backing,
        StructPage, //
    }, //
};
use core::{
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE, //
};

/// Pages of a backing, ready to be inserted.
///
/// # Invariants
///
/// The first `len` of `pages` are initialized, by `Backing::struct_pages()` of a refcounted backing.
pub(crate) struct Batch {
    pages: [MaybeUninit<StructPage>; Self::SIZE],
    len: usize,
}

impl Batch {
    /// The most pages that it can have.
    pub(crate) const SIZE: usize = 128;

    /// An empty one. The room for the pages is not written to: that would cost more than the rest.
    pub(crate) fn new() -> Self {
        // INVARIANT: None has to be initialized.
        Self {
            pages: [const { MaybeUninit::uninit() }; Self::SIZE],
            len: 0,
        }
    }

    /// Takes the first of the pages `range` of `memory`, as many as there is room for, instead of what
    /// it had. It has none if `memory` is not refcounted.
    pub(crate) fn fill(&mut self, memory: &dyn Backing, range: Range<usize>) {
        // INVARIANT: By the promise of `Backing`, this initializes as many as it returns.
        self.len = match self.pages.get_mut(..range.len()) {
            Some(slots) => memory.struct_pages(range.start, slots),
            None => memory.struct_pages(range.start, &mut self.pages),
        };
    }

    /// Whether it has no page.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Pages that it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Inserts its pages from `addr` on until one fails: the C error, and how many were inserted.
    ///
    /// # Safety
    ///
    /// The VMA must be locked for reading and have `VM_MIXEDMAP`, or be undergoing initialization. It
    /// must keep the backing alive, or what is inserted must be taken out before the backing goes.
    pub(crate) unsafe fn insert(
        &mut self,
        vma: *mut bindings::vm_area_struct,
        addr: usize,
    ) -> (i32, usize) {
        let mut left = self.len;
        // SAFETY: By the requirement of this function; the kernel checks that the pages fit into the
        // VMA. By the type invariant as many as `left` are initialized. By the promise of `Backing`
        // they may be shown to programs, are allocated and have a reference count of their own, of
        // which each mapping takes one.
        let err = unsafe {
            bindings::vm_insert_pages(vma, addr, self.pages.as_mut_ptr().cast(), &mut left)
        };
        (err, self.len.wrapping_sub(left))
    }

    /// Inserts its pages from `addr` on where nothing is mapped, but for the one at `touched`. One that cannot be is left
    /// out: it has a fault of its own.
    ///
    /// # Safety
    ///
    /// The VMA must be locked for reading, have neither `VM_PFNMAP` nor `VM_MIXEDMAP`, and all these addresses. It must
    /// keep the backing alive.
    pub(crate) unsafe fn insert_around(
        &self,
        vma: *mut bindings::vm_area_struct,
        addr: usize,
        touched: usize,
    ) {
        for (place, page) in self.pages.iter().take(self.len).enumerate() {
            let at = addr.wrapping_add(place.wrapping_mul(PAGE_SIZE));
            if at == touched {
                continue;
            }
            // SAFETY: By the type invariant the page is initialized. By the promise of `Backing` it may be shown to
            // programs, is allocated and has a reference count, of which each mapping takes one. The rest by the
            // requirement of this function.
            unsafe { ffi::mapkit_insert_page(vma, at, page.assume_init_read()) };
        }
    }
}
