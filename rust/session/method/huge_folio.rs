// SPDX-License-Identifier: GPL-2.0-only

//! `huge-folio`: refcounted folios, put in by one entry of the middle level of page tables when they are touched (2 MiB with
//! pages of 4 KiB), where the memory has such a one and the VMA room for it; refcounted pages elsewhere.

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
    vma.into_foliomap(region.clone())?.insert_folios_on_fault()
}
