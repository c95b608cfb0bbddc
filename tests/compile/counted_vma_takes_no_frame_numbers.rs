// SPDX-License-Identifier: GPL-2.0-only

//! A VMA of counted pages, which may be copy-on-write, takes no page frame numbers: the kernel would have
//! to copy a page that it must not look at.

use kernel::{prelude::*, sync::Arc};
use mapkit::{
    map::vma::{Mapped, NewVma},
    memory::mappable::{Mappable, MappingEvents},
};

pub fn at_mmap<'a>(
    vma: NewVma<'a>,
    buffer: Arc<Mappable<impl MappingEvents>>,
) -> Result<Mapped<'a>> {
    vma.into_mixedmap(buffer)?.remap_pfn_range() //~ E0599
}

pub fn on_fault<'a>(
    vma: NewVma<'a>,
    buffer: Arc<Mappable<impl MappingEvents>>,
) -> Result<Mapped<'a>> {
    vma.into_mixedmap(buffer)?.insert_pfns_on_fault() //~ E0599
}

pub fn huge<'a>(vma: NewVma<'a>, buffer: Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
    vma.into_mixedmap(buffer)?.insert_huge_pages_on_fault() //~ E0599
}
