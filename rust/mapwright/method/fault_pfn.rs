// SPDX-License-Identifier: GPL-2.0-only

//! `fault-pfn`: page frame numbers, put in when they are touched, with those around them.

use crate::region::Region;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::vma::NewVma;

pub(super) fn map(region: &Arc<Region>, vma: NewVma<'_>) -> Result {
    vma.into_pfnmap(region.clone())?.insert_pfns_on_fault()
}
