// SPDX-License-Identifier: GPL-2.0-only

//! Who has an open file mapped.
//!
//! The kernel finds the VMAs of a file by its `address_space`, which is that of the file's inode as a rule:
//! all who opened a device node have one in common, and what is taken out of one program is taken out of the
//! others. So each file of a [`CharDevice`](crate::device::chardev::CharDevice) has a [`Space`] of its own.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::ffi;
use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// The `address_space` of an open file.
///
/// # Invariants
///
/// `inner` is initialized, and has no VMA when this is dropped: a VMA keeps its file open, and a file holds a
/// reference to this.
#[pin_data]
pub struct Space {
    #[pin]
    inner: Opaque<bindings::address_space>,
}

// SAFETY: An `address_space` has its own locks.
unsafe impl Send for Space {}
// SAFETY: As above.
unsafe impl Sync for Space {}

impl Space {
    /// One without VMAs.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                inner <- Opaque::ffi_init(|slot: *mut bindings::address_space| {
                    // SAFETY: The initializer may write to the slot.
                    unsafe { ffi::mapkit_init_space(slot) };
                }),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Has the VMAs of `file` found here.
    ///
    /// # Safety
    ///
    /// `file` must be a file of `inode` that is being opened, and hold a reference to this until it is
    /// released.
    pub(crate) unsafe fn adopt(&self, inode: *mut bindings::inode, file: *mut bindings::file) {
        // SAFETY: By the requirement of this function, nobody else has the file yet, and nobody uses the
        // inode by way of this after the file is released, which holds the inode until then.
        unsafe {
            (*self.inner.get()).host = inode;
            (*file).f_mapping = self.inner.get();
        }
    }

    /// Whether the VMAs of `file` are found here.
    ///
    /// # Safety
    ///
    /// `file` must be valid.
    pub(crate) unsafe fn is_of(&self, file: *const bindings::file) -> bool {
        // SAFETY: By the requirement of this function.
        unsafe { (*file).f_mapping == self.inner.get() }
    }

    /// Takes what VMAs have of `nr_pages` pages from `first` on out of them, whatever was copied privately,
    /// too. A fault handler may put it in again.
    pub(crate) fn zap(&self, first: usize, nr_pages: usize) {
        // SAFETY: By the type invariant it is initialized. The function takes its lock, and those of page
        // tables.
        unsafe { bindings::unmap_mapping_pages(self.inner.get(), first, nr_pages, true) };
    }
}
