// SPDX-License-Identifier: GPL-2.0-only

//! How a region gets into a VMA: a file per mapping method.

use crate::region::Region;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    errno,
    vma::NewVma, //
};
use mapwright_uapi::Method;

mod insert;
mod remap;

/// Maps all of `vma` to the region's pages from `first` on.
pub(crate) fn map(region: &Arc<Region>, vma: NewVma<'_>, first: usize) -> Result {
    match region.method {
        Method::Remap => remap::map(region, vma, first),
        Method::Insert => insert::map(region, vma, first),
        Method::Fault | Method::FaultPfn | Method::Huge | Method::VmallocRemap | Method::Dma => {
            Err(errno::eopnotsupp())
        }
    }
}
