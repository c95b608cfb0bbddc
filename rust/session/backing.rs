// SPDX-License-Identifier: GPL-2.0-only

//! Where a region's memory comes from: a line per backing.

use crate::recipe::Recipe;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    base::gfp::GFP_FOR_CALLER,
    dma::{
        coherent::Coherent,
        device::DmaDevice, //
    },
    memory::{
        backing::{
            AddressClass,
            Backing, //
        },
        caching::Caching,
        folios::Folios,
        pages::Pages,
        recached::Recached,
        slab::SlabObject,
        vmalloc::Vmalloc, //
    }, //
};
use mapwright_uapi as uapi;

/// Allocates the zeroed memory of a region; coherent memory for `dma`.
pub(crate) fn allocate(dma: &Arc<DmaDevice>, recipe: &Recipe) -> Result<KBox<dyn Backing>> {
    let (n, caching) = (recipe.nr_pages, recipe.caching);
    match recipe.backing {
        uapi::Backing::Kmalloc => cached(SlabObject::new(n)?, caching),
        uapi::Backing::Pages => cached(Pages::new(n)?, caching),
        uapi::Backing::Folio => cached(Folios::new(n)?, caching),
        uapi::Backing::Vmalloc => cached(Vmalloc::new(n)?, caching),
        uapi::Backing::Coherent => cached(Coherent::new(dma, n)?, caching),
    }
}

/// Gives `backing` its memory type.
fn cached(backing: impl Backing + 'static, caching: uapi::Caching) -> Result<KBox<dyn Backing>> {
    let caching = match caching {
        uapi::Caching::WriteBack => return Ok(KBox::new(backing, GFP_FOR_CALLER)?),
        uapi::Caching::WriteCombine => Caching::WriteCombine,
        uapi::Caching::Uncached => Caching::Uncached,
    };
    Ok(KBox::new(Recached::new(backing, caching)?, GFP_FOR_CALLER)?)
}

/// The interface's word for where the kernel's pointer lies.
pub(crate) fn address_class(backing: &dyn Backing) -> uapi::AddressClass {
    match backing.address_class() {
        AddressClass::DirectMap => uapi::AddressClass::DirectMap,
        AddressClass::Vmalloc => uapi::AddressClass::Vmalloc,
    }
}
