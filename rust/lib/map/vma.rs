// SPDX-License-Identifier: GPL-2.0-only

//! The VMA of an `mmap(2)` call: before it is of a kind, and when it is ready.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h), [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)
//!
//! Documentation: [`Documentation/mm/process_addrs.rst`](srctree/Documentation/mm/process_addrs.rst)

use crate::{
    ffi,
    memory::{
        caching::Caching,
        mappable::{
            Mappable,
            MappingEvents, //
        }, //
    },
    revoke::{
        revocable::Revocable,
        space::Space, //
    }, //
};
use core::ops::Range;
use kernel::{
    bindings,
    ffi::c_void,
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// A VMA that `mmap(2)` is setting up, of no kind yet.
///
/// # Invariants
///
/// For the duration of `'a`, the VMA is undergoing initialization in an `f_ops->mmap()` hook, and
/// this is the only wrapper that changes it. Nobody calls operations of it or needs its private data, and nothing
/// is mapped in it. It is found in `space`, if there is one, unless it becomes a VMA of another file
/// ([`CacheMapVma`](crate::map::cachemap::CacheMapVma)).
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::{
///     map::vma::{Mapped, NewVma},
///     memory::mappable::Mappable,
/// };
///
/// /// Shared mappings only. The kernel lets nobody store to one of a file that was not opened for writing.
/// fn mmap<'a>(vma: NewVma<'a>, buffer: &Arc<Mappable<()>>) -> Result<Mapped<'a>> {
///     vma.deny_exec()?;
///     if vma.is_copy_on_write() {
///         return Err(EINVAL);
///     }
///     vma.into_pfnmap(buffer.clone())?.remap_pfn_range()
/// }
/// ```
pub struct NewVma<'a> {
    pub(super) vma: &'a VmaNew,
    pub(super) space: Option<&'a Arc<Space>>,
}

impl<'a> NewVma<'a> {
    /// Wraps the argument of an `f_ops->mmap()` hook, for a file that has adopted `space`, or none.
    ///
    /// # Safety
    ///
    /// `vma` must be the argument of an `f_ops->mmap()` hook that does not return before the end of
    /// `'a` and that uses it in no other way, and `space` that of its file. It must not be of a kind yet
    /// (`VM_PFNMAP`, `VM_MIXEDMAP`); operations that it has are replaced, and private data, too, whatever comes of it.
    pub(crate) unsafe fn from_raw(
        vma: *mut bindings::vm_area_struct,
        space: Option<&'a Arc<Space>>,
    ) -> Self {
        // INVARIANT: By the requirement of this function; a fresh VMA is empty.
        Self {
            // SAFETY: By the requirement of this function it is undergoing initialization.
            vma: unsafe { VmaNew::from_raw(vma) },
            space,
        }
    }

    /// Pages that it covers.
    #[inline]
    pub fn nr_pages(&self) -> usize {
        self.vma.end().wrapping_sub(self.vma.start()) / PAGE_SIZE
    }

    /// Offset that the program asked for, in pages.
    #[inline]
    pub fn pgoff(&self) -> usize {
        // SAFETY: By the type invariant the VMA is valid, and nobody else changes it.
        unsafe { (*self.vma.as_ptr()).vm_pgoff }
    }

    /// Whether the program asked for `PROT_WRITE`.
    pub fn is_writable(&self) -> bool {
        self.vma.writable()
    }

    /// Whether a store would make a private copy of a page: `MAP_PRIVATE` with a chance to write.
    ///
    /// The condition of `is_cow_mapping()` in `include/linux/mm.h`.
    #[inline]
    pub fn is_copy_on_write(&self) -> bool {
        self.vma.flags() & (flags::SHARED | flags::MAYWRITE) == flags::MAYWRITE
    }

    /// Sets the memory type of the pages that will be mapped.
    #[inline]
    pub(super) fn set_caching(&self, caching: Caching) {
        let vma = self.vma.as_ptr();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe {
            let prot = (*vma).vm_page_prot;
            (*vma).vm_page_prot = match caching {
                Caching::WriteBack => return,
                Caching::WriteCombine => ffi::mapkit_pgprot_writecombine(prot),
                Caching::Uncached => ffi::mapkit_pgprot_noncached(prot),
            };
        }
    }

    /// Takes out all that is mapped.
    ///
    /// The threads of this process see page-table entries at once, even before the VMA is in place.
    /// They must be gone before the memory can be.
    fn zap(&self) {
        let Range { start, end } = self.addresses();
        self.vma.zap_vma_range(start, end.wrapping_sub(start));
    }

    /// The addresses that it covers.
    pub(super) fn addresses(&self) -> Range<usize> {
        self.vma.start()..self.vma.end()
    }

    /// Makes sure that stores to it reach nobody else, now and later: that it is not writable, unless it is private.
    ///
    /// `EACCES` if the program asked for `PROT_WRITE`, as it gets for a file that it opened for reading; a later
    /// `mprotect(2)` that does gets that, too.
    #[inline]
    pub fn deny_write(&self) -> Result {
        match self.vma.flags() & flags::SHARED != 0 {
            true => self.vma.try_clear_maywrite().map_err(|_| EACCES),
            false => Ok(()),
        }
    }

    /// Has what is mapped of `memory` taken out when `right` is taken back.
    ///
    /// `ENODEV` if it was taken back, `EXDEV` if its file has no [`Space`], or another than others that map the memory.
    pub fn revoked_with<T: MappingEvents>(
        &self,
        right: &Revocable<()>,
        memory: &Mappable<T>,
    ) -> Result {
        match memory.memory().page_cache() {
            // It will be found there.
            Some(cache) => right.map_in(cache.space(), 0..memory.nr_pages()),
            None => right.map_in(self.space.ok_or(EXDEV)?, memory.file_pages()),
        }
    }

    /// Makes sure that it is not and never becomes executable.
    ///
    /// `EPERM` if the program asked for `PROT_EXEC`; a later `mprotect(2)` that does gets `EACCES`.
    #[inline]
    pub fn deny_exec(&self) -> Result {
        self.vma.try_clear_mayexec().map_err(|_| EPERM)
    }
}

/// A VMA from which all that is mapped is taken out if it is dropped.
pub(super) struct ZapOnDrop<'a>(pub(super) NewVma<'a>);

impl Drop for ZapOnDrop<'_> {
    fn drop(&mut self) {
        self.0.zap();
    }
}

impl<'a> ZapOnDrop<'a> {
    /// The VMA, with what is mapped in it.
    pub(super) fn into_inner(self) -> NewVma<'a> {
        let NewVma { vma, space } = self.0;
        let vma = NewVma { vma, space };
        core::mem::forget(self);
        vma
    }
}

/// A VMA that is as it should be when `mmap(2)` returns. If it is dropped instead of returned from the
/// hook, nothing stays mapped.
///
/// # Invariants
///
/// `operations` are those for VMAs with the private data `private`, which is a reference that keeps
/// alive what is mapped in the VMA. Neither has been given to it yet.
///
/// For an example, see [`NewVma`].
#[must_use = "it has to be returned from the mmap hook"]
pub struct Mapped<'a> {
    vma: NewVma<'a>,
    private: *mut c_void,
    operations: &'static bindings::vm_operations_struct,
}

impl<'a> Mapped<'a> {
    /// # Safety
    ///
    /// `operations` must be those for VMAs with the private data `private`, which must be a reference that keeps
    /// alive what is mapped in `vma`, and which nobody else has.
    pub(super) unsafe fn new(
        vma: NewVma<'a>,
        private: *mut c_void,
        operations: &'static bindings::vm_operations_struct,
    ) -> Self {
        // INVARIANT: By the requirement of this function.
        Self {
            vma,
            private,
            operations,
        }
    }

    /// Gives the VMA its operations and its reference to the memory.
    pub(crate) fn commit(self) {
        self.set_private_data();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it. By the type
        // invariant the operations fit the private data.
        unsafe { (*self.vma.vma.as_ptr()).vm_ops = self.operations };
        // What is mapped stays, and the reference is the VMA's now.
        core::mem::forget(self);
    }

    fn set_private_data(&self) {
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*self.vma.vma.as_ptr()).vm_private_data = self.private };
    }
}

impl Drop for Mapped<'_> {
    fn drop(&mut self) {
        self.vma.zap();
        self.set_private_data();
        if let Some(close) = self.operations.close {
            // SAFETY: By the type invariant the private data is what the operation expects. The VMA has
            // not been given the operation, so that nobody else calls it.
            unsafe { close(self.vma.vma.as_ptr()) };
        }
    }
}

/// The addresses that a VMA covers.
///
/// # Safety
///
/// `vma` must be valid and locked for reading.
pub(super) unsafe fn addresses(vma: *const bindings::vm_area_struct) -> Range<usize> {
    // SAFETY: By the requirement of this function.
    let bounds = unsafe { (*vma).__bindgen_anon_1.__bindgen_anon_1 };
    bounds.vm_start..bounds.vm_end
}
