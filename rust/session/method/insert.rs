// SPDX-License-Identifier: GPL-2.0-only

//! `insert`: pages with a reference count, each put in at `mmap(2)`. The kernel counts them in Rss,
//! finds them for `O_DIRECT` and pins, and copies them for a private mapping that is written.

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
    vma.into_mixedmap(region.clone())?.vm_insert_pages()
}
