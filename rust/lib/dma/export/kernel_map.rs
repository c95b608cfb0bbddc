// SPDX-License-Identifier: GPL-2.0-only

//! An exported buffer, in the kernel's address space for the drivers that import it.
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use super::{
    Exportable,
    Exported, //
};
use crate::{
    base::gfp::GFP_FOR_CALLER,
    dma::scatter,
    ffi,
    memory::{
        backing::Backing,
        caching::Caching, //
    }, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    ffi::{
        c_uint,
        c_void, //
    },
    prelude::*, //
};

impl<T: Exportable> Exported<T> {
    /// An address of all of it, until [`kernel_unmap`](Self::kernel_unmap). It has one where the memory is in one
    /// piece; otherwise it gets one.
    ///
    /// `ENOMEM` if there is no room, or no memory for page tables.
    pub(super) fn kernel_map(&self) -> Result<NonNull<u8>> {
        let memory = self.memory.memory();
        let whole = memory.range_at(self.pages.start).ok_or(EINVAL)?;
        if whole.len >= self.bytes().len() {
            return Ok(whole.addr);
        }
        let map = KernelMap::new(memory, self.pages.clone())?;
        let addr = map.addr.cast();
        *self.kernel_map.lock() = Some(map);
        Ok(addr)
    }

    /// Nobody uses the address any more.
    ///
    /// # Safety
    ///
    /// It must be so.
    pub(super) unsafe fn kernel_unmap(&self) {
        let map = self.kernel_map.lock().take();
        // With the lock released.
        drop(map);
    }
}

/// Pages in the vmalloc area.
///
/// # Invariants
///
/// `addr` was given by `vmap()`, and is owned.
pub(super) struct KernelMap {
    addr: NonNull<c_void>,
}

// SAFETY: An area of the vmalloc area is not tied to a thread.
unsafe impl Send for KernelMap {}

impl KernelMap {
    /// The pages `pages` of `memory`, with the memory type that they have. It must not outlive them.
    fn new(memory: &dyn Backing, pages: Range<usize>) -> Result<Self> {
        let count = c_uint::try_from(pages.len()).map_err(|_| ENOMEM)?;
        let mut array = KVVec::with_capacity(pages.len(), GFP_FOR_CALLER)?;
        let slots = array.spare_capacity_mut();
        let slots = slots.get_mut(..pages.len()).ok_or(ENOMEM)?;
        scatter::fill(memory, pages.start, slots)?;
        // SAFETY: Any memory type may be made of another.
        let prot = unsafe {
            let prot = ffi::mapkit_page_kernel();
            match memory.caching() {
                Caching::WriteBack => prot,
                Caching::WriteCombine => ffi::mapkit_pgprot_writecombine(prot),
                Caching::Uncached => ffi::mapkit_pgprot_noncached(prot),
            }
        };
        // SAFETY: `fill` has initialized so many slots, with pages that outlive the area. The function may sleep, as
        // may its callers.
        let addr = unsafe { ffi::mapkit_vmap(slots.as_mut_ptr().cast(), count, prot) };
        // INVARIANT: It was just made.
        Ok(Self {
            addr: NonNull::new(addr).ok_or(ENOMEM)?,
        })
    }
}

impl Drop for KernelMap {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is owned; `self` is going away, so it is used no more.
        unsafe { ffi::vunmap(self.addr.as_ptr()) };
    }
}
