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
    use Method::{Dma, Fault, FaultPfn, Huge, HugeFolio, Insert, PageCache, Remap, VmallocRemap};

    match (backing, method) {
        // The sound pairs.
        (Kmalloc, Remap | FaultPfn | Huge)
        | (Pages | Folio, Remap | Insert | Fault | FaultPfn | Huge)
        | (Vmalloc, Insert | Fault | FaultPfn | VmallocRemap)
        | (Folio, HugeFolio | PageCache)
        | (Coherent, Dma) => None,

        // The unsound ones, and why.
        (Kmalloc, Insert | Fault) => {
            Some("kmalloc memory is slab pages, which the kernel refuses to insert as user pages")
        }
        (Vmalloc, Remap) => {
            Some("remap_pfn_range() maps contiguous frames and vmalloc memory is scattered")
        }
        (Vmalloc, Huge) => {
            Some("vmalloc memory is single pages, with no block to map by one entry")
        }
        (Kmalloc | Pages | Folio | Coherent, VmallocRemap) => {
            Some("remap_vmalloc_range() maps vmalloc memory only")
        }
        (Kmalloc | Pages | Folio | Vmalloc, Dma) => {
            Some("dma_mmap_attrs() maps coherent DMA memory only")
        }
        (Kmalloc | Pages | Vmalloc, HugeFolio) => {
            Some("only a folio has one reference count for all of its pages, which one entry for all of them takes")
        }
        (Kmalloc | Pages | Vmalloc, PageCache) => {
            Some("a page cache is made of folios")
        }
        (Coherent, Remap | Insert | Fault | FaultPfn | Huge | HugeFolio | PageCache) => Some(
            "only dma_mmap_attrs() knows where coherent memory is and which memory type it needs",
        ),
    }
}

/// What the kernel is for. A program may be for another: a 32-bit one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// A module can change the memory type of the direct map: `set_memory_wc()` and `set_memory_uc()` are
    /// exported.
    X86,
    /// Memory may have another type than the direct map has for it, if nobody uses that.
    Arm64,
    /// Neither: 32-bit ARM.
    Other,
}

impl Architecture {
    /// That of this code.
    pub const HERE: Self = if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        Self::X86
    } else if cfg!(target_arch = "aarch64") {
        Self::Arm64
    } else {
        Self::Other
    };
}

/// Why `backing` cannot have the memory type `caching` on a kernel's architecture when it is mapped with
/// `method`, in a sentence, or `None` if it can.
pub const fn reason_against_caching(
    architecture: Architecture,
    backing: Backing,
    method: Method,
    caching: Caching,
) -> Option<&'static str> {
    use Architecture::{Arm64, Other, X86};

    match (backing, method, caching) {
        (_, _, Caching::WriteBack) => None,
        (Backing::Pages | Backing::Folio, _, _) => match (architecture, method) {
            (
                X86 | Arm64,
                Method::Insert | Method::Fault | Method::HugeFolio | Method::PageCache,
            ) => Some(
                "a page with a reference count can be taken out of the mapping, with vmsplice() or O_DIRECT, and \
                 then the kernel uses or maps it as ordinary memory: map it by its frame number",
            ),
            (X86 | Arm64, _) => None,
            (Other, _) => Some(
                "memory must have one type wherever it is mapped, and this architecture lets no module \
                 change the direct map's: coherent memory is the way there",
            ),
        },
        (Backing::Kmalloc, _, _) => {
            Some("slab pages belong to the slab allocator, which needs them write-back")
        }
        (Backing::Vmalloc, _, _) => Some(
            "vmalloc memory is mapped twice in the kernel, and only one mapping could be changed",
        ),
        (Backing::Coherent, _, _) => Some("the DMA API chooses the memory type of coherent memory"),
    }
}

/// Whether anything can be had with the memory type `caching` on this architecture.
const fn is_possible(caching: Caching) -> bool {
    let mut i = 0;
    while i < Backing::ALL.len() * Method::ALL.len() {
        let backing = Backing::ALL[i / Method::ALL.len()];
        let method = Method::ALL[i % Method::ALL.len()];
        if reason_against(backing, method).is_none()
            && reason_against_caching(Architecture::HERE, backing, method, caching).is_none()
        {
            return true;
        }
        i += 1;
    }
    false
}

/// Mask of the memory types that can be had on this architecture, see [`Caching::bit`].
pub const fn cachings() -> u32 {
    let mut mask = 0;
    let mut i = 0;
    while i < Caching::ALL.len() {
        if is_possible(Caching::ALL[i]) {
            mask |= Caching::ALL[i].bit();
        }
        i += 1;
    }
    mask
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
