// SPDX-License-Identifier: GPL-2.0-only

//! A VMA of page frame numbers has no insertion of counted pages: the kernel would count pages there
//! that it does not expect.

use kernel::{prelude::*, sync::Arc};
use mapkit::{
    map::vma::{Mapped, NewVma},
    memory::mappable::{Mappable, MappingEvents},
};

pub fn at_mmap<'a>(
    vma: NewVma<'a>,
    buffer: Arc<Mappable<impl MappingEvents>>,
) -> Result<Mapped<'a>> {
    vma.into_pfnmap(buffer)?.vm_insert_pages() //~ E0599
}

pub fn on_fault<'a>(
    vma: NewVma<'a>,
    buffer: Arc<Mappable<impl MappingEvents>>,
) -> Result<Mapped<'a>> {
    vma.into_pfnmap(buffer)?.insert_pages_on_fault() //~ E0599
}

pub fn of_vmalloc<'a>(
    vma: NewVma<'a>,
    buffer: Arc<Mappable<impl MappingEvents>>,
) -> Result<Mapped<'a>> {
    vma.into_pfnmap(buffer)?.remap_vmalloc_range() //~ E0599
}
