// SPDX-License-Identifier: GPL-2.0-only

//! `dma`: coherent memory, mapped by the DMA API, which knows the right memory type.

use crate::region::Region;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::map::vma::{
    Mapped,
    NewVma, //
};

pub(super) fn map<'a>(region: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
    vma.into_pfnmap(region.clone())?.dma_mmap()
}
