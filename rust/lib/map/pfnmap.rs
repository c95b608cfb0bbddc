// SPDX-License-Identifier: GPL-2.0-only

//! A VMA of page frame numbers: `VM_PFNMAP`.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h), [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use crate::{
    base::task::between_pieces,
    map::{
        filler::{
            Eager,
            WithHeldPfns,
            WithHugePages,
            WithPfns, //
        },
        filling::Filling,
        vma::{
            Mapped,
            NewVma, //
        }, //
    },
    memory::mappable::{
        Mappable,
        MappingEvents, //
    }, //
};
use kernel::{
    bindings,
    error::to_result,
    mm::virt::flags,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

impl<'a> NewVma<'a> {
    /// Makes it a VMA of page frame numbers, to be filled from `mappable`.
    ///
    /// `EINVAL` if it is copy-on-write, or reaches beyond the memory.
    #[inline(always)]
    pub fn into_pfnmap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<PfnMapVma<'a, T>> {
        if self.is_copy_on_write() {
            return Err(EINVAL);
        }
        // `remap_pfn_range()` would set these, and `VM_PFNMAP` and `VM_IO`; a fault handler would not.
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(PfnMapVma(Filling::new(self, mappable)?))
    }
}

/// Pages that one call of `remap_pfn_range()` maps at most: 64 MiB with pages of 4 KiB, which takes some milliseconds.
const REMAP_PIECE: usize = 1 << 14;

/// A VMA of page frame numbers.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::{
///     map::vma::{Mapped, NewVma},
///     memory::mappable::{Mappable, MappingEvents},
/// };
///
/// /// What is small is mapped at once, and what is large when it is touched.
/// fn mmap<'a, T: MappingEvents>(vma: NewVma<'a>, buffer: &Arc<Mappable<T>>) -> Result<Mapped<'a>> {
///     let is_small = vma.nr_pages() <= 64;
///     let vma = vma.into_pfnmap(buffer.clone())?;
///     match is_small {
///         true => vma.remap_pfn_range(),
///         false => vma.insert_huge_pages_on_fault(),
///     }
/// }
/// ```
pub struct PfnMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<'a, T: MappingEvents> PfnMapVma<'a, T> {
    /// Maps all of it now, with a call of `remap_pfn_range()` per physically contiguous run, or more of a long
    /// one.
    ///
    /// `ENOMEM` if a page table could not be allocated, `EINVAL` for memory of the DMA API, `EINTR` if the
    /// caller is killed meanwhile.
    pub fn remap_pfn_range(self) -> Result<Mapped<'a>> {
        let Self(mut filling) = self;
        filling.expect_no_dma()?;
        let vma = filling.vma();
        let mut pages = filling.pages.clone();
        while !pages.is_empty() {
            let piece = pages.start..pages.end.min(pages.start.saturating_add(REMAP_PIECE));
            // The first run of the piece, which is not empty.
            let run = filling.mappable.runs(piece).next().ok_or(EINVAL)?;
            let bytes = run.nr_pages.wrapping_mul(PAGE_SIZE);
            // SAFETY: The VMA is undergoing initialization, so this has its lock. The frames may be
            // shown to programs by the promise of `Backing`. They stay allocated while they are
            // mapped: `filling` holds a reference and either hands it to the VMA or clears the
            // mapping. The VMA is not copy-on-write and nothing but frame numbers is inserted.
            // The runs together are as long as the VMA, so the range is inside.
            to_result(unsafe {
                bindings::remap_pfn_range(vma, filling.next, run.pfn, bytes, (*vma).vm_page_prot)
            })?;
            filling.next = filling.next.wrapping_add(bytes);
            pages.start = pages.start.saturating_add(run.nr_pages);
            if !pages.is_empty() {
                between_pieces()?;
            }
        }
        Ok(filling.finish::<Eager>())
    }

    /// Maps all of it now, with a call of `dma_mmap_attrs()`; or, if the memory can be
    /// [taken back](crate::memory::backing::Backing::revocable), a page when it is touched, and those around it, with
    /// `vmf_insert_pfn()`: only a page fault finds out whether it was. Either way with the memory type of the DMA
    /// API, and with no reference to a page.
    ///
    /// `EINVAL` if the memory is not DMA memory, or cannot be mapped so. `ENODEV` if it was taken back, `EXDEV` if
    /// the file of the VMA has no [`Space`](crate::revoke::space::Space), or another than a file that maps the memory
    /// already: see [`CharDevice::space`](crate::device::chardev::CharDevice::space).
    pub fn dma_mmap(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        match filling.mappable.memory().revocable() {
            Some(_) => Self::insert_dma_pfns_on_fault(filling),
            None => Self::dma_mmap_attrs(filling),
        }
    }

    fn dma_mmap_attrs(filling: Filling<'a, T>) -> Result<Mapped<'a>> {
        let vma = filling.vma();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it. It is not
        // copy-on-write, and `filling.pages` are pages of the backing, as many as the VMA has.
        let (mapped, now) = unsafe {
            // The DMA API takes the offset in the buffer from where others have that in the file.
            let pgoff = (*vma).vm_pgoff;
            (*vma).vm_pgoff = filling.pages.start;
            let mapped = filling.mappable.memory().dma_mmap(vma);
            (*vma).vm_pgoff = pgoff;
            (mapped, (*vma).__bindgen_anon_2.vm_flags)
        };
        to_result(mapped.ok_or(EINVAL)?)?;
        // What an IOMMU has put together is mapped as refcounted pages, which this type promises not to do.
        if now & flags::MIXEDMAP != 0 {
            return Err(EINVAL);
        }
        Ok(filling.finish::<Eager>())
    }

    fn insert_dma_pfns_on_fault(filling: Filling<'a, T>) -> Result<Mapped<'a>> {
        let mappable = &filling.mappable;
        let space = filling.vma.0.space.ok_or(EXDEV)?;
        let revocable = mappable.memory().revocable().ok_or(EINVAL)?;
        revocable.map_in(space, mappable.file_pages())?;
        let vma = filling.vma();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*vma).vm_page_prot = mappable.hold()?.dma_prot((*vma).vm_page_prot)? };
        filling.set_flags(flags::PFNMAP | flags::IO);
        Ok(filling.finish::<WithHeldPfns>())
    }

    /// Maps nothing now, and a page when it is touched, with those around it, by `vmf_insert_pfn()`. How many these are,
    /// and who hears of it, is as for [`insert_pages_on_fault`](crate::map::mixedmap::MixedMapVma::insert_pages_on_fault).
    ///
    /// `EINVAL` for memory of the DMA API, unless that can be taken back: then this is [`dma_mmap`](Self::dma_mmap).
    pub fn insert_pfns_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        if filling.mappable.memory().revocable().is_some() {
            return Self::insert_dma_pfns_on_fault(filling);
        }
        filling.expect_no_dma()?;
        filling.set_flags(flags::PFNMAP | flags::IO);
        Ok(filling.finish::<WithPfns>())
    }

    /// Maps a huge page when it is touched, with `vmf_insert_pfn_pmd()`, where the memory has an
    /// aligned block that large and the VMA room for it. Elsewhere, and on kernels without huge
    /// pages, as [`insert_pfns_on_fault`](Self::insert_pfns_on_fault).
    ///
    /// A gigabyte at once, with `vmf_insert_pfn_pud()`, where the memory begins with a run as long, there is an aligned one
    /// that the VMA has all of, and the CPU and the kernel have such entries.
    ///
    /// `EINVAL` for memory of the DMA API.
    pub fn insert_huge_pages_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        filling.expect_no_dma()?;
        filling.set_flags(flags::PFNMAP | flags::IO);
        Ok(filling.finish::<WithHugePages>())
    }
}
