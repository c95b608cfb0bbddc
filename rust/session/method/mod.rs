// SPDX-License-Identifier: GPL-2.0-only

//! How a region gets into a VMA: a file per mapping method.

use crate::region::Region;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::map::vma::{
    Mapped,
    NewVma, //
};
use mapwright_uapi::Method;

mod dma;
mod fault;
mod fault_pfn;
mod huge;
mod insert;
mod remap;
mod vmalloc_remap;

/// Makes `vma` a mapping of the region, from the VMA's offset on.
pub(crate) fn map<'a>(region: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
    match region.method {
        Method::Remap => remap::map(region, vma),
        Method::Insert => insert::map(region, vma),
        Method::Fault => fault::map(region, vma),
        Method::FaultPfn => fault_pfn::map(region, vma),
        Method::Huge => huge::map(region, vma),
        Method::VmallocRemap => vmalloc_remap::map(region, vma),
        Method::Dma => dma::map(region, vma),
    }
}
