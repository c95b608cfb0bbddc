// SPDX-License-Identifier: GPL-2.0-only

//! Page faults that are answered by one entry of the upper level, which maps 1 GiB with pages of 4 KiB.
//!
//! # What the kernel does with such an entry
//!
//! `vmf_insert_pfn_pud()` inserts an entry of frame numbers in a VMA with `VM_PFNMAP`, which the kernel asks for at the first
//! touch of such a range (`create_huge_pud()`). Read in `mm/` of Linux 7.3.4:
//!
//! - All of an entry is taken out (`zap_huge_pud()`), copied by `fork(2)` (`copy_huge_pud()`) and given another protection
//!   (`change_huge_pud()`) as it is. It has no reference to a page, so that nothing else is to be done.
//! - A part of it cannot be: `__split_huge_pud()` takes it out, and the next touch is a fault.
//! - A VMA that is split in the middle of an entry is not prepared for: `vma_adjust_trans_huge()` looks for entries of the middle
//!   level only, and its `mm_find_pmd()` takes what the entry maps, which is the memory of the program, for a page table.
//!   hugetlb refuses such a split (`vm_operations_struct.may_split`). Here the entry is taken out before, with the VMA locked, so
//!   that no fault puts it in again: [`may_split`].
//! - `mremap(2)` cannot move it: `get_old_pud()` takes the entry for a bad one (`pud_none_or_clear_bad()`), logs that, and clears it
//!   without a flush of the TLB, so that it could be used after the memory is freed. Here all entries are taken out before: the
//!   kernel locks the VMA (`vma_start_write()`), makes the copy of it and calls its `open` operation, [`copied`], and only then
//!   looks at page tables. `fork(2)` calls it, too, but for a VMA of another address space.
//! - The kernel does not ask whether the CPU has such entries. Here, [`Fault::insert_pud`] does.
//!
//! C header: [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)
//!
//! Documentation: [`Documentation/mm/process_addrs.rst`](srctree/Documentation/mm/process_addrs.rst)

use crate::{
    base::levels::{
        PUD_BYTES,
        PUD_PAGES, //
    },
    ffi,
    map::{
        fault::{
            Fault,
            FaultResult,
            ERROR,
            FALLBACK, //
        },
        vma::addresses, //
    },
    memory::{
        backing::Backing,
        mappable::{
            Mappable,
            MappingEvents, //
        }, //
    }, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_ulong, //
    },
    mm::virt::VmaRef,
    page::PAGE_SIZE,
    sync::ArcBorrow, //
};

/// Whether the CPU has such entries.
pub(crate) fn has_entries() -> bool {
    // SAFETY: Only reads.
    unsafe { ffi::mapkit_cpu_has_pud_entries() }
}

/// Whether such an entry may map some of the memory: its first block is that large. Of memory in blocks, no other is larger.
fn is_for(memory: &dyn Backing) -> bool {
    memory
        .run_at(0)
        .is_some_and(|run| run.nr_pages >= PUD_PAGES)
        && has_entries()
}

impl<T: MappingEvents> Fault<'_, T> {
    /// Inserts the gigabyte that was touched, if the memory and the VMA have all of it.
    pub(super) fn insert_pud(&self) -> FaultResult {
        self.while_there(|| self.insert_pud_now())
    }

    fn insert_pud_now(&self) -> FaultResult {
        let of = self.mappable.memory();
        let Some(pfn) = self.huge_pfn(PUD_PAGES).filter(|_| is_for(of)) else {
            return FALLBACK;
        };
        // SAFETY: The VMA is locked for reading, has `VM_PFNMAP` and is not copy-on-write, and `huge_pfn` made sure that
        // all of the gigabyte is inside it, and that the frames are an aligned block of the backing. They may be shown to
        // programs and stay allocated while the VMA holds its reference. The CPU has such entries, and the VMA has the
        // operations that take the entry out before the VMA is split inside it, or moved.
        let result = unsafe { bindings::vmf_insert_pfn_pud(self.vmf, pfn, self.is_write()) };
        let is_mapped = result & (ERROR | FALLBACK) == 0;
        self.done(result, if is_mapped { PUD_PAGES } else { 0 })
    }
}

/// Takes out the entry around `addr`, at which the VMA will be split, if there may be one.
///
/// # Safety
///
/// `vma` must be a VMA of [`Filler`](crate::map::filler::Filler) for a `Mappable<T>`, of an address space that is locked for writing.
pub(super) unsafe extern "C" fn may_split<T: MappingEvents>(
    vma: *mut bindings::vm_area_struct,
    addr: c_ulong,
) -> c_int {
    // SAFETY: By the requirement of this function.
    let (all, mappable) = unsafe { (addresses(vma), mappable::<T>(vma)) };
    let from = addr & !(PUD_BYTES - 1);
    let has_it = from >= all.start && all.end.saturating_sub(from) >= PUD_BYTES;
    if from != addr && has_it && is_for(mappable.memory()) {
        // SAFETY: By the requirement of this function. No fault comes until the address space is unlocked, after the split.
        let vma = unsafe {
            ffi::mapkit_vma_start_write(vma);
            VmaRef::from_raw(vma)
        };
        vma.zap_vma_range(from, PUD_BYTES);
    }
    0
}

/// Takes out the entries that the VMA has which this is a copy of, if that is of the same address space: it will be moved here,
/// or was split.
///
/// # Safety
///
/// `vma` must be a VMA of [`Filler`](crate::map::filler::Filler) for a `Mappable<T>`, in its `open` operation.
pub(super) unsafe fn copied<T: MappingEvents>(vma: *mut bindings::vm_area_struct) {
    // SAFETY: By the requirement of this function.
    let (is_own, mappable) = unsafe { (ffi::mapkit_is_own_vma(vma), mappable::<T>(vma)) };
    if !is_own || !is_for(mappable.memory()) {
        return;
    }
    let pages = mappable.file_pages();
    // SAFETY: By the requirement of this function the VMA is valid, and so is the space of its file. The function takes its
    // lock, and those of page tables, none of which is held in an `open` operation.
    unsafe {
        let space = (*(*vma).vm_file).f_mapping;
        bindings::unmap_mapping_pages(space, pages.start, pages.len(), true);
    }
}

/// The memory of a VMA.
///
/// # Safety
///
/// `vma` must be a VMA with the private data of a `Mappable<T>`, valid for `'a`.
unsafe fn mappable<'a, T: MappingEvents>(
    vma: *mut bindings::vm_area_struct,
) -> ArcBorrow<'a, Mappable<T>> {
    // SAFETY: By the requirement of this function this is a pointer of `Arc::into_raw()`, kept alive by the reference of
    // the VMA.
    unsafe { ArcBorrow::from_raw((*vma).vm_private_data.cast()) }
}

/// A file's `get_unmapped_area`: an address for a mapping of a gigabyte or more that an entry of the upper level fits, where its
/// place in the file is a multiple of a gigabyte. Else, as `thp_get_unmapped_area()`, one that one of the middle level fits.
///
/// # Safety
///
/// The kernel calls this for `mmap(2)` of an open file.
pub(crate) unsafe extern "C" fn get_unmapped_area(
    file: *mut bindings::file,
    addr: c_ulong,
    len: c_ulong,
    pgoff: c_ulong,
    flags: c_ulong,
) -> c_ulong {
    // SAFETY: By the requirement of this function; any of these numbers is fine.
    let find = |len| unsafe { bindings::thp_get_unmapped_area(file, addr, len, pgoff, flags) };
    // Who wishes for an address gets that.
    let is_free = addr == 0 && flags & ffi::MAP_FIXED == 0;
    let padded = len
        .checked_add(PUD_BYTES)
        .filter(|_| is_free && len >= PUD_BYTES && has_entries());
    if let Some(padded) = padded {
        let start = find(padded);
        // Else the kernel has told an error, perhaps for the padding.
        if start % PAGE_SIZE == 0 {
            let of_file = pgoff.wrapping_mul(PAGE_SIZE);
            return start.wrapping_add(of_file.wrapping_sub(start) & (PUD_BYTES - 1));
        }
    }
    find(len)
}
