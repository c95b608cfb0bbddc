// SPDX-License-Identifier: GPL-2.0-only

//! `vmalloc-remap`: vmalloc memory for user space, all at once.

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
    vma.into_mixedmap(region.clone())?.remap_vmalloc_range()
}
