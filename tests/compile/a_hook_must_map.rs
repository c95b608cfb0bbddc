// SPDX-License-Identifier: GPL-2.0-only

//! An `mmap` hook succeeds only with the proof that the VMA is filled and keeps its memory.

#![deny(unused_must_use)]

use kernel::{prelude::*, sync::Arc};
use mapkit::{
    map::vma::{Mapped, NewVma},
    memory::mappable::{Mappable, MappingEvents},
};

pub fn nothing<'a>(_: NewVma<'a>) -> Result<Mapped<'a>> {
    Ok(()) //~ E0308
}

pub fn half<'a>(vma: NewVma<'a>, buffer: Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
    Ok(vma.into_pfnmap(buffer)?) //~ E0308
}
