// SPDX-License-Identifier: GPL-2.0-only

//! A VMA that is being set up cannot be kept for later, nor the proof of one used for another, nor can
//! another thread have it.

use kernel::{prelude::*, sync::Arc};
use mapkit::{
    map::vma::{Mapped, NewVma},
    memory::mappable::{Mappable, MappingEvents},
};

pub struct Later {
    pub vma: Option<NewVma<'static>>,
    pub mapped: Option<Mapped<'static>>,
}

pub fn keep<'a>(later: &mut Later, vma: NewVma<'a>) {
    later.vma = Some(vma); //~ lifetime may not live long enough
}

pub fn keep_proof<'a>(
    later: &mut Later,
    vma: NewVma<'a>,
    buffer: Arc<Mappable<impl MappingEvents>>,
) -> Result {
    later.mapped = Some(vma.into_pfnmap(buffer)?.remap_pfn_range()?); //~ E0521
    Ok(())
}

fn send(_: impl Send) {}

pub fn to_another_thread(vma: NewVma<'_>, mapped: Mapped<'_>) {
    send(vma); //~ E0277
    send(mapped); //~ E0277
}
