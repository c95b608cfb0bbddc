// SPDX-License-Identifier: GPL-2.0-only

//! Who has an open file mapped.
//!
//! The kernel finds the VMAs of a file by its `address_space`, which is that of the file's inode as a rule:
//! all who opened a device node have one in common, and what is taken out of one program is taken out of the
//! others. So each file of a [`CharDevice`](crate::device::chardev::CharDevice) has a [`Space`] of its own, unless the
//! device has [one for all](crate::device::chardev::CharDevice::space).
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::{
    base::gfp::GFP_FOR_CALLER,
    ffi, //
};
use core::ptr;
use kernel::{
    bindings,
    error::from_err_ptr,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// The `address_space` of an open file, or of files that have one in common.
///
/// # Invariants
///
/// `inner` is initialized. `inode` is null or an inode of which this owns a reference; the space is then that of the
/// inode, and `inner` otherwise. It has no VMA when this is dropped: a VMA keeps its file open, and a file holds a
/// reference to this; or a VMA holds a reference to this, and its file one to the inode.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::revoke::space::Space;
///
/// /// What all files of a device share, so that what they have mapped can be taken back at once.
/// struct Shared {
///     space: Arc<Space>,
/// }
///
/// fn shared() -> Result<Arc<Shared>> {
///     let space = Space::of_many()?;
///     Ok(Arc::new(Shared { space }, GFP_KERNEL)?)
/// }
/// ```
#[pin_data(PinnedDrop)]
pub struct Space {
    #[pin]
    inner: Opaque<bindings::address_space>,
    inode: *mut bindings::inode,
}

// SAFETY: An `address_space` has its own locks.
unsafe impl Send for Space {}
// SAFETY: As above.
unsafe impl Sync for Space {}

impl Space {
    /// One without VMAs, of a file.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Self::with_inode(ptr::null_mut())
    }

    /// One without VMAs, which files may have in common, whatever node they were opened by. The kernel asks a file's
    /// space for its inode: it has one of its own, as those of the nodes may go before the last file does.
    ///
    /// `ENOMEM` or `ENFILE` if the kernel has no inode.
    pub fn of_many() -> Result<Arc<Self>> {
        // The kernel charges the inode, and a file for a moment, without a word of failing: at its limit, the memory cgroup would
        // have somebody killed. So this asks for as much before, and fails if there is none. Other threads may take it meanwhile.
        drop(KVec::<u8>::with_capacity(PAGE_SIZE, GFP_FOR_CALLER)?);
        // SAFETY: The function takes no arguments and may sleep.
        let inode = from_err_ptr(unsafe { ffi::mapkit_anon_inode() })?;
        Self::with_inode(inode).inspect_err(|_| {
            // SAFETY: It is owned, and nobody took it.
            unsafe { bindings::iput(inode) };
        })
    }

    fn with_inode(inode: *mut bindings::inode) -> Result<Arc<Self>> {
        // INVARIANT: The reference, if there is one, is the caller's, who hands it over if this succeeds.
        Arc::pin_init(
            pin_init!(Self {
                inner <- Opaque::ffi_init(|slot: *mut bindings::address_space| {
                    // SAFETY: The initializer may write to the slot.
                    unsafe { ffi::mapkit_init_space(slot) };
                }),
                inode,
            }),
            GFP_FOR_CALLER,
        )
    }

    /// Its own inode; null if it has none, which one [`of_many`](Self::of_many) has.
    pub(crate) fn inode(&self) -> *mut bindings::inode {
        self.inode
    }

    fn as_raw(&self) -> *mut bindings::address_space {
        match self.inode.is_null() {
            true => self.inner.get(),
            // SAFETY: By the type invariant. An inode's space stays the same.
            false => unsafe { (*self.inode).i_mapping },
        }
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
            if self.inode.is_null() {
                (*self.inner.get()).host = inode;
            }
            (*file).f_mapping = self.as_raw();
        }
    }

    /// Whether the VMAs of `file` are found here.
    ///
    /// # Safety
    ///
    /// `file` must be valid.
    pub(crate) unsafe fn is_of(&self, file: *const bindings::file) -> bool {
        // SAFETY: By the requirement of this function.
        unsafe { (*file).f_mapping == self.as_raw() }
    }

    /// Takes what VMAs have of `nr_pages` pages from `first` on out of them, whatever was copied privately,
    /// too. A fault handler may put it in again.
    pub(crate) fn zap(&self, first: usize, nr_pages: usize) {
        // SAFETY: By the type invariant it is initialized. The function takes its lock, and those of page
        // tables.
        unsafe { bindings::unmap_mapping_pages(self.as_raw(), first, nr_pages, true) };
    }
}

#[pinned_drop]
impl PinnedDrop for Space {
    fn drop(self: Pin<&mut Self>) {
        if !self.inode.is_null() {
            // SAFETY: By the type invariant the reference is owned.
            unsafe { bindings::iput(self.inode) };
        }
    }
}
