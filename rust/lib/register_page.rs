// SPDX-License-Identifier: GPL-2.0-only

//! A page of a device's registers that programs may map, until the device goes.
//!
//! A driver that is unbound must not leave its registers in some program: without its clock, an
//! access would stop the machine. So the page is mapped by a fault handler, which looks whether the
//! device is still there, and [`RegisterPage::revoke`] takes it out of all VMAs.

use core::ptr;
use kernel::{
    bindings,
    io::PhysAddr,
    new_mutex,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        Mutex, //
    }, //
};

/// The registers of a device, to be mapped with
/// [`NewVma::into_register_page`](crate::vma::NewVma::into_register_page).
#[pin_data(PinnedDrop)]
pub struct RegisterPage {
    #[pin]
    state: Mutex<State>,
}

/// # Invariants
///
/// `inode` is null or this owns a reference to it.
struct State {
    /// Frame number, while the device is there.
    pfn: Option<usize>,
    /// The device node that all VMAs of the page are of.
    inode: *mut bindings::inode,
}

// SAFETY: An inode may be used and put by any thread.
unsafe impl Send for State {}

impl RegisterPage {
    /// The page of `size` bytes at the physical address `start`, which is a device's that the caller
    /// drives.
    ///
    /// `EINVAL` if that is not just one of this machine's pages: a larger one would show more.
    pub fn new(start: PhysAddr, size: usize) -> Result<impl PinInit<Self>> {
        if size != PAGE_SIZE || start & (PAGE_SIZE as PhysAddr).wrapping_sub(1) != 0 {
            return Err(EINVAL);
        }
        let pfn = Some((start >> PAGE_SHIFT) as usize);
        Ok(pin_init!(Self {
            state <- new_mutex!(State {
                pfn,
                // INVARIANT: Null.
                inode: ptr::null_mut(),
            }),
        }))
    }

    /// Remembers the device node that the page is mapped through. All its VMAs have to be found when
    /// the device goes, and they are found by their node.
    ///
    /// `EXDEV` if it was another node before, `ENODEV` if the device is gone.
    pub(crate) fn belongs_to(&self, inode: *mut bindings::inode) -> Result {
        let mut state = self.state.lock();
        if state.pfn.is_none() {
            return Err(ENODEV);
        }
        if state.inode.is_null() {
            // SAFETY: The caller's inode is valid: it is of an open file.
            unsafe { bindings::ihold(inode) };
            // INVARIANT: This is the reference.
            state.inode = inode;
        }
        if state.inode != inode {
            return Err(EXDEV);
        }
        Ok(())
    }

    /// Takes the page out of all programs, for good.
    pub fn revoke(&self) {
        let inode = {
            let mut state = self.state.lock();
            state.pfn = None;
            state.inode
        };
        if !inode.is_null() {
            // SAFETY: By the type invariant the inode is valid; all of it is meant, whatever was
            // copied privately too.
            unsafe { bindings::unmap_mapping_range((*inode).i_mapping, 0, 0, 1) };
        }
    }
}

#[pinned_drop]
impl PinnedDrop for RegisterPage {
    fn drop(self: Pin<&mut Self>) {
        let inode = self.state.lock().inode;
        // SAFETY: By the type invariant this owns a reference, or it is null, which is allowed.
        unsafe { bindings::iput(inode) };
    }
}

/// What a VMA of the page does. Its private data is a pointer of `Arc::<RegisterPage>::into_raw()`.
pub(crate) const OPERATIONS: &bindings::vm_operations_struct = &bindings::vm_operations_struct {
    open: Some(open),
    close: Some(close),
    fault: Some(fault),
    ..pin_init::zeroed()
};

/// # Safety
///
/// `vma` must be one that has [`OPERATIONS`], and not end during `'a`.
unsafe fn page_of<'a>(vma: *mut bindings::vm_area_struct) -> ArcBorrow<'a, RegisterPage> {
    // SAFETY: By the requirement of this function, the private data is such a pointer, and the VMA's
    // reference keeps it.
    unsafe { ArcBorrow::from_raw((*vma).vm_private_data.cast()) }
}

/// A copy of a VMA came to be.
///
/// # Safety
///
/// `vma` must be a copy of one that has [`OPERATIONS`].
unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
    // SAFETY: By the requirement of this function; the VMA that it is a copy of has a reference.
    let page = unsafe { page_of(vma) };
    // The reference of the new VMA, dropped in `close`.
    let _ = Arc::into_raw(Arc::from(page));
}

/// A VMA ends.
///
/// # Safety
///
/// The private data of `vma` must be a pointer of `Arc::<RegisterPage>::into_raw()`, whose reference is not
/// used again.
unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
    // SAFETY: By the requirement of this function.
    drop(unsafe { Arc::<RegisterPage>::from_raw((*vma).vm_private_data.cast()) });
}

/// # Safety
///
/// `vmf` must be a fault in a VMA that has [`OPERATIONS`], which is locked for reading.
unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
    // SAFETY: By the requirement of this function.
    let (vma, address) = unsafe {
        let fields = (*vmf).__bindgen_anon_1;
        (fields.vma, fields.address)
    };
    // SAFETY: By the requirement of this function.
    let page = unsafe { page_of(vma) };
    let state = page.state.lock();
    let Some(pfn) = state.pfn else {
        return bindings::vm_fault_reason_VM_FAULT_SIGBUS;
    };
    // SAFETY: The VMA is locked, has `VM_PFNMAP`, is not copy-on-write and one page long. The frame
    // is of the device's registers, and `revoke` waits for the lock before it takes them out.
    unsafe { bindings::vmf_insert_pfn(vma, address, pfn) }
}
