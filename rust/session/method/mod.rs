// SPDX-License-Identifier: GPL-2.0-only

//! How a region gets into a VMA: a file per mapping method.

use crate::{
    region::Region,
    stats::{
        Counter,
        RegionCounter,
        Timed, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    map::vma::{
        Mapped,
        NewVma, //
    },
    memory::mappable::MappingEvents as _, //
};
use mapwright_uapi::Method;

mod dma;
#[cfg(CONFIG_DMA_SHARED_BUFFER)]
mod export;
mod fault;
mod fault_pfn;
mod huge;
mod huge_folio;
mod insert;
mod page_cache;
mod remap;
mod vmalloc_remap;

/// Makes `vma` a mapping of the region, from the VMA's offset on. The caller keeps it from being
/// destroyed meanwhile.
///
/// `EINVAL` if it does not reach that far, and for a private mapping of page frame numbers. `ENODEV` if the right to use
/// it was taken back.
pub(crate) fn map<'a>(region: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
    let nr_pages = vma.nr_pages();
    let start = region.device.stats.latency.start();
    let mapped = region.while_there(|| fill(region, vma)).ok_or(ENODEV)??;
    region.device.stats.latency.stop(Timed::Mmap, start);
    region.counters.inc(RegionCounter::Mmaps);
    region.device.stats.inc(Counter::Mmaps);
    region.device.stats.add(Counter::PagesMapped, nr_pages);
    Ok(mapped)
}

/// Whether the kernel counts the pages that are mapped, so that they can be pinned.
pub(crate) fn counts_pages(method: Method) -> bool {
    match method {
        Method::Insert
        | Method::Fault
        | Method::HugeFolio
        | Method::VmallocRemap
        | Method::PageCache => true,
        Method::Remap | Method::FaultPfn | Method::Huge | Method::Dma => false,
    }
}

fn fill<'a>(region: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
    match region.method {
        Method::Remap => remap::map(region, vma),
        Method::Insert => insert::map(region, vma),
        Method::Fault => fault::map(region, vma),
        Method::FaultPfn => fault_pfn::map(region, vma),
        Method::Huge => huge::map(region, vma),
        Method::HugeFolio => huge_folio::map(region, vma),
        Method::VmallocRemap => vmalloc_remap::map(region, vma),
        Method::Dma => dma::map(region, vma),
        Method::PageCache => page_cache::map(region, vma),
    }
}
