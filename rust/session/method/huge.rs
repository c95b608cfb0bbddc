// SPDX-License-Identifier: GPL-2.0-only

//! `huge`: a block of the middle level of page tables at once when touched (2 MiB with pages of 4 KiB),
//! where the memory has an aligned one and the VMA room for it; page frame numbers elsewhere.

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
    vma.into_pfnmap(region.clone())?
        .insert_huge_pages_on_fault()
}
