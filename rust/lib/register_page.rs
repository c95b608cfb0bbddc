// SPDX-License-Identifier: GPL-2.0-only

//! The page that a device's registers begin with, which programs may map until the device goes.
//!
//! A driver that is unbound must not leave its registers in some program: without its clock, an
//! access would stop the machine. So the page is mapped by a fault handler, which looks whether the
//! device is still there, and [`RegisterPage::revoke`] takes it out of all VMAs.
//!
//! The lock of a page is taken with that of an address space held, and before those that
//! `unmap_mapping_range()` takes.

use core::ptr;
#[cfg(CONFIG_PCI)]
use kernel::pci;
use kernel::{
    bindings,
    device::Core,
    io::{
        resource::ResourceSize,
        PhysAddr, //
    },
    new_mutex,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    platform,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        Mutex, //
    }, //
};

/// The registers of a device, to be mapped with
/// [`NewVma::into_register_page`](crate::vma::NewVma::into_register_page).
#[pin_data]
pub struct RegisterPage {
    #[pin]
    state: Mutex<State>,
}

/// # Invariants
///
/// `vmas` VMAs of the page exist. If that is none, `inode` is null, and else it is that of their files, which
/// they keep open.
struct State {
    /// Frame number, while the device is there.
    pfn: Option<usize>,
    /// The device node that all VMAs of the page are of.
    inode: *mut bindings::inode,
    vmas: usize,
}

// SAFETY: An inode may be used by any thread.
unsafe impl Send for State {}

impl RegisterPage {
    /// The first page of a PCI function's base address register `bar`. Its driver must have claimed that.
    ///
    /// `EINVAL` if there is no such one, or if it does not fill a page of this machine, which then would show
    /// what is not the function's.
    #[cfg(CONFIG_PCI)]
    pub fn of_bar(device: &pci::Device<Core<'_>>, bar: u32) -> Result<impl PinInit<Self>> {
        let start = device.resource_start(bar)?;
        Self::new(start, device.resource_len(bar)?)
    }

    /// The first page of the memory resource number `index` of a platform device.
    ///
    /// `ENXIO` if there is no such one, `EINVAL` if it does not fill a page of this machine, which then would
    /// show what is not the device's.
    pub fn of_resource(
        device: &platform::Device<Core<'_>>,
        index: u32,
    ) -> Result<impl PinInit<Self>> {
        let resource = device.resource_by_index(index).ok_or(ENXIO)?;
        Self::new(resource.start(), resource.size())
    }

    /// Not for drivers, which could name any address.
    fn new(start: PhysAddr, size: ResourceSize) -> Result<impl PinInit<Self>> {
        let page = PAGE_SIZE as PhysAddr;
        if size < PAGE_SIZE as ResourceSize || start & page.wrapping_sub(1) != 0 {
            return Err(EINVAL);
        }
        let pfn = Some((start >> PAGE_SHIFT) as usize);
        Ok(pin_init!(Self {
            state <- new_mutex!(State {
                pfn,
                // INVARIANT: There is no VMA.
                inode: ptr::null_mut(),
                vmas: 0,
            }),
        }))
    }

    /// A VMA begins that is of the device node `inode`. All its VMAs have to be found when the device goes,
    /// and they are found by their node.
    ///
    /// `EXDEV` if there are VMAs of another node, `ENODEV` if the device is gone. Otherwise
    /// [`vma_closed`](Self::vma_closed) must be called when the VMA ends, before it lets go of its file.
    pub(crate) fn vma_begins(&self, inode: *mut bindings::inode) -> Result {
        let mut state = self.state.lock();
        if state.pfn.is_none() {
            return Err(ENODEV);
        }
        if state.vmas > 0 && state.inode != inode {
            return Err(EXDEV);
        }
        // INVARIANT: This is the first VMA, or of the same node.
        state.inode = inode;
        state.vmas = state.vmas.wrapping_add(1);
        Ok(())
    }

    /// A copy of a VMA came to be, of the same node.
    fn vma_opened(&self) {
        let mut state = self.state.lock();
        // INVARIANT: One more of the same node.
        state.vmas = state.vmas.wrapping_add(1);
    }

    /// A VMA ends.
    fn vma_closed(&self) {
        let mut state = self.state.lock();
        // INVARIANT: It was counted when it began.
        state.vmas = state.vmas.wrapping_sub(1);
        if state.vmas == 0 {
            // INVARIANT: There is none any more.
            state.inode = ptr::null_mut();
        }
    }

    /// Takes the page out of all programs, for good.
    pub fn revoke(&self) {
        let mut state = self.state.lock();
        state.pfn = None;
        if !state.inode.is_null() {
            // SAFETY: By the type invariant there are VMAs of this inode, which is valid as long as they are;
            // they cannot end while the lock is held. All of it is meant, whatever was copied privately too.
            unsafe { bindings::unmap_mapping_range((*state.inode).i_mapping, 0, 0, 1) };
        }
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
    page.vma_opened();
    // The reference of the new VMA, dropped in `close`.
    let _ = Arc::into_raw(Arc::from(page));
}

/// A VMA ends.
///
/// # Safety
///
/// The private data of `vma` must be a pointer of `Arc::<RegisterPage>::into_raw()`, whose reference is not
/// used again, and the VMA must have been counted.
unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
    // SAFETY: By the requirement of this function.
    let page = unsafe { Arc::<RegisterPage>::from_raw((*vma).vm_private_data.cast()) };
    page.vma_closed();
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
