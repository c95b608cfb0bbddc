// SPDX-License-Identifier: GPL-2.0-only

//! A VMA of refcounted pages: `VM_MIXEDMAP`.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h), [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use crate::{
    base::task::between_pieces,
    map::{
        batch::Batch,
        filler::{
            Eager,
            WithPages, //
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
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

impl<'a> NewVma<'a> {
    /// Makes it a VMA of refcounted pages, to be filled from `mappable`.
    ///
    /// `EINVAL` if these pages have no reference count of their own, as memory has none that is not cached as
    /// usual, or it reaches beyond the memory.
    #[inline(always)]
    pub fn into_mixedmap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<MixedMapVma<'a, T>> {
        if !mappable.refcounted() {
            return Err(EINVAL);
        }
        self.vma.set_mixedmap();
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(MixedMapVma(Filling::new(self, mappable)?))
    }
}

/// A VMA of refcounted pages.
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
/// /// All pages at once, for a program that must not have page faults.
/// fn mmap<'a, T: MappingEvents>(vma: NewVma<'a>, buffer: &Arc<Mappable<T>>) -> Result<Mapped<'a>> {
///     vma.into_mixedmap(buffer.clone())?.vm_insert_pages()
/// }
///
/// /// A page when it is touched, and those around it.
/// fn mmap_lazily<'a, T: MappingEvents>(
///     vma: NewVma<'a>,
///     buffer: &Arc<Mappable<T>>,
/// ) -> Result<Mapped<'a>> {
///     vma.into_mixedmap(buffer.clone())?.insert_pages_on_fault()
/// }
/// ```
pub struct MixedMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<'a, T: MappingEvents> MixedMapVma<'a, T> {
    /// Maps all of it now, with a call of `vm_insert_pages()` for a batch of pages.
    ///
    /// `ENOMEM` if a page table could not be allocated, `EINTR` if the caller is killed meanwhile.
    pub fn vm_insert_pages(self) -> Result<Mapped<'a>> {
        let Self(mut filling) = self;
        let mut batch = Batch::new();
        let mut pages = filling.pages.clone();
        while !pages.is_empty() {
            between_pieces()?;
            batch.fill(filling.mappable.memory(), pages.clone());
            if batch.is_empty() {
                return Err(EINVAL);
            }
            filling.insert(&mut batch)?;
            pages.start = pages.start.saturating_add(batch.len());
        }
        Ok(filling.finish::<Eager>())
    }

    /// The most bytes that [`remap_vmalloc_range`](Self::remap_vmalloc_range) maps: 1 GiB. The kernel exports no
    /// function that maps a part of a VMA so, and in its loop over the pages the caller cannot be killed.
    pub const MOST_VMALLOC_BYTES: u64 = 1 << 30;

    /// Maps all of it now, with a call of `remap_vmalloc_range()`.
    ///
    /// `EINVAL` if the memory is not vmalloc memory for user space, `E2BIG` if the VMA has more than
    /// [`MOST_VMALLOC_BYTES`](Self::MOST_VMALLOC_BYTES).
    pub fn remap_vmalloc_range(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        if filling.pages.len() as u64 > Self::MOST_VMALLOC_BYTES / PAGE_SIZE as u64 {
            return Err(E2BIG);
        }
        let (vma, first) = (filling.vma(), filling.pages.start);
        // SAFETY: The VMA is undergoing initialization, and `filling.pages` are pages of the backing,
        // as many as the VMA has.
        let mapped = unsafe { filling.mappable.memory().remap_vmalloc_range(vma, first) };
        to_result(mapped.ok_or(EINVAL)?)?;
        Ok(filling.finish::<Eager>())
    }

    /// Maps nothing now, and a page when it is touched, with those around it:
    /// [`fault_around`](MappingEvents::fault_around) says how many. [`faulted`](MappingEvents::faulted) is called after
    /// each page fault, and can count it.
    ///
    /// A touch is a `SIGBUS` if the memory was [taken back](crate::revoke). If there is no memory for a page table, the
    /// kernel does what it does then for any page fault.
    pub fn insert_pages_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        Ok(filling.finish::<WithPages>())
    }
}
