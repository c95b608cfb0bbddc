// SPDX-License-Identifier: GPL-2.0-only

//! `page-cache`: refcounted folios of a page cache, put in when they are touched, as many as a page table has room for.

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
    vma.into_cachemap(region.clone())?.map_cache_on_fault()
}
