// SPDX-License-Identifier: GPL-2.0-only

//! `remap`: page frame numbers, all at once. The kernel does not count these pages: the VMA has no
//! Rss, cannot be pinned, and a private mapping is refused.

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
    vma.into_pfnmap(region.clone())?.remap_pfn_range()
}
