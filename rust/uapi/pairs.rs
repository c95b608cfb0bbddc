// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! The one table of which backing can be mapped with which method.
//!
//! `CREATE` obeys it, `INFO` reports it, the command line and the tests read it.

use crate::{
    Backing,
    Method, //
};

/// Why `backing` cannot be mapped with `method`, in a sentence, or `None` if it can.
pub const fn reason_against(backing: Backing, method: Method) -> Option<&'static str> {
    use Backing::{Coherent, Folio, Kmalloc, Pages, Vmalloc};
    use Method::{Dma, Fault, Huge, Insert, Remap, VmallocRemap};

    match (backing, method) {
        // The sound pairs.
        (Pages, Remap) | (Vmalloc, Insert) => None,

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

        // Sound, but not made yet.
        _ => Some("this version of mapwright does not implement the pair"),
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
