// SPDX-License-Identifier: GPL-2.0-only

//! `vmalloc-remap`: vmalloc memory for user space, all at once.

use crate::region::Region;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::vma::NewVma;

pub(super) fn map(region: &Arc<Region>, vma: NewVma<'_>) -> Result {
    vma.into_mixedmap(region.clone())?.remap_vmalloc_range()
}
