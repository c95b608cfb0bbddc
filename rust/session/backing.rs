// SPDX-License-Identifier: GPL-2.0-only

//! Where a region's memory comes from: a line per backing.

use crate::recipe::Recipe;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    base::{
        gfp::GFP_FOR_CALLER,
        levels::PMD_PAGES, //
    },
    dma::{
        coherent::Coherent,
        device::DmaDevice,
        noncontiguous::Noncontiguous, //
    },
    memory::{
        backing::{
            AddressClass,
            Backing, //
        },
        blocks::MAX_BLOCK_PAGES,
        caching::Caching,
        folios::Folios,
        page_cache::PageCache,
        pages::Pages,
        recached::Recached,
        slab::SlabObject,
        vmalloc::Vmalloc, //
    }, //
};
use mapwright_uapi as uapi;

/// Pages of the largest folio that one entry of a page table maps.
const HUGE_PAGES: usize = if PMD_PAGES < MAX_BLOCK_PAGES {
    PMD_PAGES
} else {
    MAX_BLOCK_PAGES
};

/// Allocates the zeroed memory of a region; coherent memory for `dma`. `ENOMEM` if it should be one run and is not.
pub(crate) fn allocate(dma: &Arc<DmaDevice>, recipe: &Recipe) -> Result<KBox<dyn Backing>> {
    let (n, caching) = (recipe.nr_pages, recipe.caching);
    let memory = match recipe.backing {
        uapi::Backing::Kmalloc => cached(SlabObject::new(n)?, caching),
        uapi::Backing::Pages if recipe.for_device => cached(Noncontiguous::new(dma, n)?, caching),
        uapi::Backing::Pages if recipe.contiguous => cached(Pages::contiguous(n)?, caching),
        uapi::Backing::Pages => cached(Pages::new(n)?, caching),
        uapi::Backing::Folio if recipe.method == uapi::Method::PageCache => {
            let memory = match recipe.contiguous {
                true => PageCache::contiguous(n)?,
                false => PageCache::new(n)?,
            };
            cached(memory, caching)
        }
        uapi::Backing::Folio if recipe.contiguous => cached(Folios::contiguous(n)?, caching),
        uapi::Backing::Folio if recipe.method == uapi::Method::HugeFolio => {
            cached(Folios::up_to(HUGE_PAGES, n)?, caching)
        }
        uapi::Backing::Folio => cached(Folios::new(n)?, caching),
        uapi::Backing::Vmalloc => cached(Vmalloc::new(n)?, caching),
        uapi::Backing::Coherent => cached(Coherent::new(dma, n)?, caching),
    }?;
    if recipe.contiguous && runs(&*memory)? != 1 {
        return Err(ENOMEM);
    }
    Ok(memory)
}

/// How many physically contiguous runs it is made of.
fn runs(memory: &dyn Backing) -> Result<usize> {
    let (runs, _) = match memory.revocable() {
        Some(revocable) => revocable.hold()?.count_runs()?,
        None => memory.count_runs()?,
    };
    Ok(runs)
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
