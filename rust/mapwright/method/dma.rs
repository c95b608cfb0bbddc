// SPDX-License-Identifier: GPL-2.0-only

//! `dma`: coherent memory, mapped by the DMA API, which knows the right memory type.

use crate::region::Region;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::vma::NewVma;

pub(super) fn map(region: &Arc<Region>, vma: NewVma<'_>) -> Result {
    vma.into_pfnmap(region.clone())?.dma_mmap()
}
