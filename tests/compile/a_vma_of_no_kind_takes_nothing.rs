// SPDX-License-Identifier: GPL-2.0-only

//! Only a VMA of one of the two kinds is filled: what is copy-on-write was refused by then, or is
//! allowed.

use kernel::prelude::*;
use mapkit::map::vma::{Mapped, NewVma};

pub fn pages<'a>(vma: NewVma<'a>) -> Result<Mapped<'a>> {
    vma.vm_insert_pages() //~ E0599
}

pub fn frame_numbers<'a>(vma: NewVma<'a>) -> Result<Mapped<'a>> {
    vma.remap_pfn_range() //~ E0599
}
