// SPDX-License-Identifier: GPL-2.0-only

//! Where a region's memory comes from: a line per backing.

use kernel::prelude::*;
use mapkit::{
    backing::{
        AddressClass,
        Backing, //
    },
    errno,
    pages::Pages,
    vmalloc::Vmalloc, //
};
use mapwright_uapi as uapi;

/// Allocates `nr_pages` zeroed pages of `kind`.
pub(crate) fn allocate(kind: uapi::Backing, nr_pages: usize) -> Result<KBox<dyn Backing>> {
    match kind {
        uapi::Backing::Pages => Ok(KBox::new(Pages::new(nr_pages)?, GFP_KERNEL_ACCOUNT)?),
        uapi::Backing::Vmalloc => Ok(KBox::new(Vmalloc::new(nr_pages)?, GFP_KERNEL_ACCOUNT)?),
        uapi::Backing::Kmalloc | uapi::Backing::Folio | uapi::Backing::Coherent => {
            Err(errno::eopnotsupp())
        }
    }
}

/// The interface's word for where the kernel's pointer lies.
pub(crate) fn address_class(backing: &dyn Backing) -> uapi::AddressClass {
    match backing.address_class() {
        AddressClass::DirectMap => uapi::AddressClass::DirectMap,
        AddressClass::Vmalloc => uapi::AddressClass::Vmalloc,
    }
}
