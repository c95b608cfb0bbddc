// SPDX-License-Identifier: GPL-2.0-only

//! The page that a device's registers begin with, which programs may map until the device goes.
//!
//! A driver that is unbound must not leave its registers in some program: without its clock, an
//! access would stop the machine. So the page is mapped by a fault handler, which looks whether the
//! device is still there, and it is taken out of all VMAs [when the driver is unbound](crate::revoke::unbind).
//!
//! The lock of a page is taken with that of an address space held, and before that of a
//! [`Space`].
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::{
    base::gfp::GFP_FOR_CALLER,
    ffi,
    map::vma::{
        Mapped,
        NewVma, //
    },
    memory::caching::Caching,
    revoke::{
        space::Space,
        unbind::{
            at_unbind,
            Revoke, //
        }, //
    }, //
};
#[cfg(CONFIG_PCI)]
use kernel::pci;
use kernel::{
    bindings,
    device::{
        Core,
        Device, //
    },
    io::{
        resource::ResourceSize,
        PhysAddr, //
    },
    mm::virt::flags,
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
/// [`NewVma::into_register_page`] until the device loses its driver.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, platform, prelude::*, sync::Arc};
/// use mapkit::{
///     base::capability,
///     map::{
///         register_page::RegisterPage,
///         vma::{Mapped, NewVma},
///     },
/// };
///
/// /// In `probe`: the page is taken out of programs when the driver is unbound, whatever the driver does.
/// fn page(device: &platform::Device<Core<'_>>) -> Result<Arc<RegisterPage>> {
///     RegisterPage::of_resource(device, 0)
/// }
///
/// /// In `mmap`: to read only.
/// fn mmap<'a>(vma: NewVma<'a>, page: &Arc<RegisterPage>) -> Result<Mapped<'a>> {
///     if !capability::is_sys_rawio() {
///         return Err(EPERM);
///     }
///     vma.deny_exec()?;
///     vma.into_register_page(page.clone(), false)
/// }
/// ```
#[pin_data]
pub struct RegisterPage {
    #[pin]
    state: Mutex<State>,
}

/// # Invariants
///
/// Each space in which there are VMAs of the page is in `spaces` once, with how many these are.
struct State {
    /// Frame number, while the device is there.
    pfn: Option<usize>,
    spaces: KVec<(Arc<Space>, usize)>,
}

impl RegisterPage {
    /// The first page of a PCI function's base address register `bar`, which its driver must have requested.
    ///
    /// `EINVAL` if there is no such one, if it does not fill a page of this machine, which then would show
    /// what is not the function's, or if it is no memory that was assigned and requested.
    #[cfg(CONFIG_PCI)]
    pub fn of_bar(device: &pci::Device<Core<'_>>, bar: u32) -> Result<Arc<Self>> {
        let start = device.resource_start(bar)?;
        let size = device.resource_len(bar)?;
        let raw = core::ptr::from_ref(device).cast_mut().cast();
        // SAFETY: A `pci::Device` is a transparent wrapper of a valid `struct pci_dev`, which has this register,
        // as it has a start.
        match unsafe { ffi::mapkit_pci_is_requested(raw, bar) } {
            true => Self::new(device.as_ref(), start, size),
            false => Err(EINVAL),
        }
    }

    /// The first page of the memory resource number `index` of a platform device.
    ///
    /// `ENXIO` if there is no such one, `EINVAL` if it does not fill a page of this machine, which then would
    /// show what is not the device's.
    pub fn of_resource(device: &platform::Device<Core<'_>>, index: u32) -> Result<Arc<Self>> {
        let resource = device.resource_by_index(index).ok_or(ENXIO)?;
        Self::new(device.as_ref(), resource.start(), resource.size())
    }

    /// Not for drivers, which could name any address.
    fn new(device: &Device<Core<'_>>, start: PhysAddr, size: ResourceSize) -> Result<Arc<Self>> {
        let page = PAGE_SIZE as PhysAddr;
        if size < PAGE_SIZE as ResourceSize || start & page.wrapping_sub(1) != 0 {
            return Err(EINVAL);
        }
        let pfn = Some((start >> PAGE_SHIFT) as usize);
        let this = Arc::pin_init(
            pin_init!(Self {
                // INVARIANT: There is no VMA.
                state <- new_mutex!(State { pfn, spaces: KVec::new() }),
            }),
            GFP_KERNEL,
        )?;
        at_unbind(device, this.clone())?;
        Ok(this)
    }

    /// A VMA begins in `space`. `ENODEV` if the device is gone. Otherwise [`vma_changed`](Self::vma_changed) must be
    /// called when the VMA ends, before it lets go of its file.
    pub(crate) fn vma_begins(&self, space: &Arc<Space>) -> Result {
        let mut state = self.state.lock();
        if state.pfn.is_none() {
            return Err(ENODEV);
        }
        let known = state
            .spaces
            .iter_mut()
            .find(|(known, _)| Arc::ptr_eq(known, space));
        match known {
            Some((_, vmas)) => *vmas = vmas.wrapping_add(1),
            None => state.spaces.push((space.clone(), 1), GFP_FOR_CALLER)?,
        }
        Ok(())
    }

    /// A copy of a VMA of `file` came to be (`true`), or such a VMA ends.
    ///
    /// # Safety
    ///
    /// `file` must be valid.
    unsafe fn vma_changed(&self, file: *const bindings::file, opened: bool) {
        let mut state = self.state.lock();
        // SAFETY: By the requirement of this function.
        let is_of = |space: &Space| unsafe { space.is_of(file) };
        // By the type invariant it is there.
        let Some(at) = state.spaces.iter().position(|(space, _)| is_of(space)) else {
            return;
        };
        if let Some((_, vmas)) = state.spaces.get_mut(at) {
            *vmas = match opened {
                true => vmas.wrapping_add(1),
                false => vmas.wrapping_sub(1),
            };
            if *vmas == 0 {
                // It was just found. The file still holds its space.
                let _ = state.spaces.remove(at);
            }
        }
    }
}

/// Takes the page out of all programs.
impl Revoke for RegisterPage {
    fn revoke(&self) {
        let mut state = self.state.lock();
        state.pfn = None;
        for (space, _) in &state.spaces {
            // The page is the first of its file.
            space.zap(0, 1);
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
    // SAFETY: The VMA holds its file.
    unsafe { page.vma_changed((*vma).vm_file, true) };
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
    // SAFETY: The VMA holds its file.
    unsafe { page.vma_changed((*vma).vm_file, false) };
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

impl<'a> NewVma<'a> {
    /// Makes it a VMA of the page of registers `page`, mapped uncached when it is touched and for as
    /// long as its device is there; after that, touching it is `SIGBUS`.
    ///
    /// `EINVAL` if it is copy-on-write, longer than the page or at another offset than 0; `EACCES` if
    /// it is writable and `writable` is not; `ENODEV` if the device is gone; `EXDEV` if its file has no
    /// [`Space`].
    pub fn into_register_page(self, page: Arc<RegisterPage>, writable: bool) -> Result<Mapped<'a>> {
        if self.is_copy_on_write() || self.nr_pages() != 1 || self.pgoff() != 0 {
            return Err(EINVAL);
        }
        if !writable {
            self.vma.try_clear_maywrite().map_err(|_| EACCES)?;
        }
        let vma = self.vma.as_ptr();
        page.vma_begins(self.space.ok_or(EXDEV)?)?;
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        self.set_caching(Caching::Uncached);
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*vma).__bindgen_anon_2.vm_flags |= flags::PFNMAP | flags::IO };
        let private = Arc::into_raw(page).cast_mut().cast();
        // SAFETY: The operations are those for a pointer of `Arc::into_raw()` of this type, which nobody else
        // has, of a VMA that was counted. What they map is taken out before the page goes.
        Ok(unsafe { Mapped::new(self, private, OPERATIONS) })
    }
}
