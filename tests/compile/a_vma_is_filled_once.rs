// SPDX-License-Identifier: GPL-2.0-only

//! A VMA is filled in one way, and its operations are set once.

use kernel::{prelude::*, sync::Arc};
use mapkit::{
    map::vma::{Mapped, NewVma},
    memory::mappable::{Mappable, MappingEvents},
};

pub fn twice<'a>(vma: NewVma<'a>, buffer: Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
    let vma = vma.into_pfnmap(buffer)?;
    let _eager = vma.remap_pfn_range()?;
    vma.insert_pfns_on_fault() //~ E0382
}

pub fn kept<'a>(vma: NewVma<'a>, buffer: Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
    let vma = vma.into_mixedmap(buffer)?;
    let mapped = vma.vm_insert_pages();
    drop(vma); //~ E0382
    mapped
}
