// SPDX-License-Identifier: GPL-2.0-only

//! Memory is mapped through a VMA of one of the two kinds. What these call needs a promise.

use kernel::{bindings, ffi::c_int};
use mapkit::memory::backing::Backing;

pub fn dma(memory: &dyn Backing, vma: *mut bindings::vm_area_struct) -> Option<c_int> {
    memory.dma_mmap(vma) //~ E0133
}

pub fn vmalloc(memory: &dyn Backing, vma: *mut bindings::vm_area_struct) -> Option<c_int> {
    memory.remap_vmalloc_range(vma, 0) //~ E0133
}
