// SPDX-License-Identifier: GPL-2.0-only

//! How a VMA is filled after `mmap(2)`: the fault handlers of its `vm_operations_struct`.

#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
use crate::{
    base::levels::PMD_PAGES,
    map::fault::FALLBACK, //
};
#[cfg(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))]
use crate::{
    base::levels::PUD_PAGES,
    map::gigabyte, //
};
use crate::{
    map::fault::{
        Fault,
        FaultResult, //
    },
    memory::mappable::MappingEvents, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint,
        c_ulong, //
    }, //
};

/// A `vm_operations_struct.fault`.
type FaultFn = unsafe extern "C" fn(*mut bindings::vm_fault) -> FaultResult;
/// A `vm_operations_struct.huge_fault`.
type HugeFaultFn = unsafe extern "C" fn(*mut bindings::vm_fault, c_uint) -> FaultResult;
/// A `vm_operations_struct.may_split`.
type MaySplitFn = unsafe extern "C" fn(*mut bindings::vm_area_struct, c_ulong) -> c_int;

/// How a VMA of a `Mappable<T>` is filled after `mmap(2)`.
///
/// The functions may be called for VMAs that `vma::Filling::finish` gave the operations of `T` and of
/// this filler, in the kind of VMA that it names.
pub(crate) trait Filler<T> {
    /// What answers a fault of a page.
    const FAULT: Option<FaultFn> = None;
    /// What answers a fault where a huge page could be.
    const HUGE_FAULT: Option<HugeFaultFn> = None;
    /// What is called before such a VMA is split at an address.
    const MAY_SPLIT: Option<MaySplitFn> = None;

    /// A copy of such a VMA came to be: nothing is mapped in it yet.
    ///
    /// # Safety
    ///
    /// `vma` must be the copy, in its `open` operation.
    unsafe fn copied(_vma: *mut bindings::vm_area_struct) {}
}

/// Not at all: everything is there.
pub(crate) struct Eager;

impl<T> Filler<T> for Eager {}

/// With refcounted pages, in a VMA with `VM_MIXEDMAP`.
pub(crate) struct WithPages;

impl<T: MappingEvents> Filler<T> for WithPages {
    const FAULT: Option<FaultFn> = Some(fault_with_pages::<T>);
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    const HUGE_FAULT: Option<HugeFaultFn> = Some(fault_with_pages_of_a_table::<T>);
}

/// With page frame numbers, in a VMA with `VM_PFNMAP` that is not copy-on-write.
pub(crate) struct WithPfns;

impl<T: MappingEvents> Filler<T> for WithPfns {
    const FAULT: Option<FaultFn> = Some(fault_with_pfns::<T>);
}

/// With page frame numbers of memory that can be taken back, in such a VMA.
pub(crate) struct WithHeldPfns;

impl<T: MappingEvents> Filler<T> for WithHeldPfns {
    const FAULT: Option<FaultFn> = Some(fault_with_held_pfns::<T>);
}

/// With huge pages where possible and page frame numbers elsewhere, in a VMA with `VM_PFNMAP` that
/// is not copy-on-write.
pub(crate) struct WithHugePages;

impl<T: MappingEvents> Filler<T> for WithHugePages {
    const FAULT: Option<FaultFn> = Some(fault_with_pfns::<T>);
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    const HUGE_FAULT: Option<HugeFaultFn> = Some(fault_with_huge_pages::<T>);
    #[cfg(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))]
    const MAY_SPLIT: Option<MaySplitFn> = Some(gigabyte::may_split::<T>);

    #[cfg(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))]
    unsafe fn copied(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the requirement of this function.
        unsafe { gigabyte::copied::<T>(vma) };
    }
}

/// With folios by one entry where possible and refcounted pages elsewhere, in a VMA with neither `VM_PFNMAP` nor
/// `VM_MIXEDMAP`.
pub(crate) struct WithFolios;

impl<T: MappingEvents> Filler<T> for WithFolios {
    const FAULT: Option<FaultFn> = Some(fault_with_page::<T>);
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    const HUGE_FAULT: Option<HugeFaultFn> = Some(fault_with_folio::<T>);
}

/// With pages of a page cache, in a VMA of `CacheMapVma`.
pub(crate) struct WithCache;

impl<T: MappingEvents> Filler<T> for WithCache {
    const FAULT: Option<FaultFn> = Some(fault_with_cache::<T>);
}

/// # Safety
///
/// See [`Filler`].
unsafe extern "C" fn fault_with_cache<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
) -> FaultResult {
    // SAFETY: By the requirement of this function.
    unsafe { Fault::<T>::from_raw(vmf) }.map_cache()
}

/// # Safety
///
/// See [`Filler`].
unsafe extern "C" fn fault_with_pages<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
) -> FaultResult {
    // SAFETY: By the requirement of this function.
    unsafe { Fault::<T>::from_raw(vmf) }.insert_pages()
}

/// Where a huge page could be, there is no page table yet. Before it asked for a page, the kernel would
/// allocate one, which the insertion does, too.
///
/// # Safety
///
/// See [`Filler`].
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
unsafe extern "C" fn fault_with_pages_of_a_table<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
    order: c_uint,
) -> FaultResult {
    if 1usize.checked_shl(order) != Some(PMD_PAGES) {
        return FALLBACK;
    }
    // SAFETY: By the requirement of this function.
    unsafe { Fault::<T>::from_raw(vmf) }.insert_pages()
}

/// # Safety
///
/// See [`Filler`].
unsafe extern "C" fn fault_with_pfns<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
) -> FaultResult {
    // SAFETY: By the requirement of this function.
    unsafe { Fault::<T>::from_raw(vmf) }.insert_pfns()
}

/// # Safety
///
/// See [`Filler`].
unsafe extern "C" fn fault_with_held_pfns<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
) -> FaultResult {
    // SAFETY: By the requirement of this function.
    unsafe { Fault::<T>::from_raw(vmf) }.insert_held_pfns()
}

/// # Safety
///
/// See [`Filler`].
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
unsafe extern "C" fn fault_with_huge_pages<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
    order: c_uint,
) -> FaultResult {
    match 1usize.checked_shl(order) {
        // SAFETY: By the requirement of this function.
        Some(PMD_PAGES) => unsafe { Fault::<T>::from_raw(vmf) }.insert_pmd(),
        #[cfg(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)]
        // SAFETY: By the requirement of this function.
        Some(PUD_PAGES) => unsafe { Fault::<T>::from_raw(vmf) }.insert_pud(),
        _ => FALLBACK,
    }
}

/// # Safety
///
/// See [`Filler`].
unsafe extern "C" fn fault_with_page<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
) -> FaultResult {
    // SAFETY: By the requirement of this function.
    unsafe { Fault::<T>::from_raw(vmf) }.give_page()
}

/// # Safety
///
/// See [`Filler`].
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
unsafe extern "C" fn fault_with_folio<T: MappingEvents>(
    vmf: *mut bindings::vm_fault,
    order: c_uint,
) -> FaultResult {
    if 1usize.checked_shl(order) != Some(PMD_PAGES) {
        return FALLBACK;
    }
    // SAFETY: By the requirement of this function.
    unsafe { Fault::<T>::from_raw(vmf) }.insert_folios()
}
