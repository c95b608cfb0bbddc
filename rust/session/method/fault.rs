// SPDX-License-Identifier: GPL-2.0-only

//! `fault`: refcounted pages, put in when they are touched, with those around them.

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
    vma.into_mixedmap(region.clone())?.insert_pages_on_fault()
}
