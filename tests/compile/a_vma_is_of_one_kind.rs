// SPDX-License-Identifier: GPL-2.0-only

//! A VMA becomes one of the two kinds, once.

use kernel::{prelude::*, sync::Arc};
use mapkit::{
    map::vma::{Mapped, NewVma},
    memory::mappable::{Mappable, MappingEvents},
};

pub fn both<'a>(vma: NewVma<'a>, buffer: Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
    let numbers = vma.into_pfnmap(buffer.clone())?;
    let _pages = vma.into_mixedmap(buffer)?; //~ E0382
    numbers.remap_pfn_range()
}
