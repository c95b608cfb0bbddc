// SPDX-License-Identifier: GPL-2.0-only

//! `huge`: 2 MiB at once when touched, where the memory has an aligned block of that size and the
//! VMA room for it; page frame numbers elsewhere.

use crate::region::Region;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::vma::{
    Mapped,
    NewVma, //
};

pub(super) fn map<'a>(region: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
    vma.into_pfnmap(region.clone())?
        .insert_huge_pages_on_fault()
}
