// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! The one table of which backing can be mapped with which method.
//!
//! `CREATE` obeys it, `INFO` reports it, the command line and the tests read it.

use crate::{
    Backing,
    Caching,
    Method, //
};

/// Why `backing` cannot be mapped with `method`, in a sentence, or `None` if it can.
pub const fn reason_against(backing: Backing, method: Method) -> Option<&'static str> {
    use Backing::{Coherent, Folio, Kmalloc, Pages, Vmalloc};
    use Method::{Dma, Fault, FaultPfn, Huge, Insert, Remap, VmallocRemap};

    match (backing, method) {
        // The sound pairs.
        (Kmalloc, Remap | FaultPfn | Huge)
        | (Pages | Folio, Remap | Insert | Fault | FaultPfn | Huge)
        | (Vmalloc, Insert | Fault | FaultPfn | VmallocRemap)
        | (Coherent, Dma) => None,

        // The unsound ones, and why.
        (Kmalloc, Insert | Fault) => {
            Some("kmalloc memory is slab pages, which the kernel refuses to insert as user pages")
        }
        (Vmalloc, Remap) => {
            Some("remap_pfn_range() maps contiguous frames and vmalloc memory is scattered")
        }
        (Vmalloc, Huge) => Some("vmalloc memory is single pages, with nothing of 2 MiB to map"),
        (Kmalloc | Pages | Folio | Coherent, VmallocRemap) => {
            Some("remap_vmalloc_range() maps vmalloc memory only")
        }
        (Kmalloc | Pages | Folio | Vmalloc, Dma) => {
            Some("dma_mmap_attrs() maps coherent DMA memory only")
        }
        (Coherent, Remap | Insert | Fault | FaultPfn | Huge) => Some(
            "only dma_mmap_attrs() knows where coherent memory is and which memory type it needs",
        ),
    }
}

/// Why `backing` cannot have the memory type `caching`, in a sentence, or `None` if it can (where the
/// architecture has a way to change memory types).
pub const fn reason_against_caching(backing: Backing, caching: Caching) -> Option<&'static str> {
    match (backing, caching) {
        (_, Caching::WriteBack) => None,
        (Backing::Pages | Backing::Folio, Caching::WriteCombine | Caching::Uncached) => None,
        (Backing::Kmalloc, _) => {
            Some("slab pages belong to the slab allocator, which needs them write-back")
        }
        (Backing::Vmalloc, _) => Some(
            "vmalloc memory is mapped twice in the kernel, and only one mapping could be changed",
        ),
        (Backing::Coherent, _) => Some("the DMA API chooses the memory type of coherent memory"),
    }
}

/// Mask of the methods that `backing` can be mapped with, see [`Method::bit`].
pub const fn methods_of(backing: Backing) -> u32 {
    let mut mask = 0;
    let mut i = 0;
    while i < Method::ALL.len() {
        if reason_against(backing, Method::ALL[i]).is_none() {
            mask |= Method::ALL[i].bit();
        }
        i += 1;
    }
    mask
}
