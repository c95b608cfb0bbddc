// SPDX-License-Identifier: GPL-2.0-only

//! The `dma_buf_ops` of an exported buffer, in C's words.

use super::{
    Exportable,
    Exported, //
};
use crate::{
    dma::reach::Reach,
    ffi,
    map::vma::{
        Mapped,
        NewVma, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::c_int,
    mm::virt::flags,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// Whether this module has made `buffer` with [`export()`](super::export()): then no device is attached that does not
/// reach it, nor is it mapped for one.
pub(crate) fn is_exported(buffer: &bindings::dma_buf) -> bool {
    // SAFETY: A buffer has operations as long as it exists.
    let theirs = unsafe { (*buffer.ops).detach };
    theirs.is_some_and(|theirs| core::ptr::fn_addr_eq(theirs, detach as DetachFn))
}

/// `detach` of a `dma_buf_ops`.
type DetachFn = unsafe extern "C" fn(*mut bindings::dma_buf, *mut bindings::dma_buf_attachment);

/// There is nothing to do when a device is detached. All buffers of this module have this very function, and no
/// others: it is never inlined, so that there is one of it.
#[inline(never)]
extern "C" fn detach(_: *mut bindings::dma_buf, _: *mut bindings::dma_buf_attachment) {}

/// The `dma_buf_ops` of an exported `Mappable<T>`.
pub(super) struct Operations<T>(PhantomData<T>);

impl<T: Exportable> Operations<T> {
    /// Of a buffer that can be written.
    pub(super) const WRITABLE: &'static bindings::dma_buf_ops = &bindings::dma_buf_ops {
        vmap: Some(Self::vmap),
        vunmap: Some(Self::vunmap),
        ..Self::COMMON
    };

    /// Of a buffer that can only be read. It has no `vmap`, as the kernel warns of one that fails.
    pub(super) const READ_ONLY: &'static bindings::dma_buf_ops = &Self::COMMON;

    const COMMON: bindings::dma_buf_ops = bindings::dma_buf_ops {
        attach: Some(Self::attach),
        detach: Some(detach),
        map_dma_buf: Some(Self::map),
        unmap_dma_buf: Some(Self::unmap),
        release: Some(Self::release),
        begin_cpu_access: Some(Self::begin_cpu_access),
        end_cpu_access: Some(Self::end_cpu_access),
        mmap: Some(Self::mmap),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `buffer` must be a buffer that [`export()`](super::export()) made of a `T`, which is not released during `'a`.
    unsafe fn exported<'a>(buffer: *mut bindings::dma_buf) -> ArcBorrow<'a, Exported<T>> {
        // SAFETY: By the requirement of this function this is a pointer of `Arc::into_raw()`.
        unsafe { ArcBorrow::from_raw((*buffer).priv_.cast::<Exported<T>>()) }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a device that is being attached to a buffer of `T`.
    unsafe extern "C" fn attach(
        buffer: *mut bindings::dma_buf,
        attachment: *mut bindings::dma_buf_attachment,
    ) -> c_int {
        // SAFETY: By the requirement of this function. Who attaches a device may use it for DMA.
        let (exported, reach) = unsafe { (Self::exported(buffer), Reach::of((*attachment).dev)) };
        match reach.check_list(exported.memory.memory(), &exported.bytes()) {
            Ok(()) => 0,
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a device that is attached to a buffer of `T`.
    unsafe extern "C" fn map(
        attachment: *mut bindings::dma_buf_attachment,
        direction: bindings::dma_data_direction,
    ) -> *mut bindings::sg_table {
        // SAFETY: By the requirement of this function; the core has the table unmapped before it detaches the device.
        let mapped = unsafe {
            let exported = Self::exported((*attachment).dmabuf);
            exported.map((*attachment).dev, direction)
        };
        match mapped {
            Ok(table) => table.as_ptr().cast(),
            Err(err) => err.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core once for what `map` returned.
    unsafe extern "C" fn unmap(
        attachment: *mut bindings::dma_buf_attachment,
        table: *mut bindings::sg_table,
        _direction: bindings::dma_data_direction,
    ) {
        // SAFETY: By the requirement of this function.
        let exported = unsafe { Self::exported((*attachment).dmabuf) };
        if let Some(table) = NonNull::new(table) {
            // SAFETY: By the requirement of this function, `map` returned it, and nobody else has it any more.
            unsafe { exported.unmap(table.cast()) };
        }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core once, for the last reference to a buffer of `T`.
    unsafe extern "C" fn release(buffer: *mut bindings::dma_buf) {
        // SAFETY: `make_file` gave it this reference.
        let exported = unsafe { Arc::from_raw((*buffer).priv_.cast::<Exported<T>>()) };
        // Who is revoking it has the lock, and then finds no buffer.
        *exported.buffer.lock() = core::ptr::null_mut();
        let registered = exported.registered.lock().take();
        // With the lock released.
        drop(registered);
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a buffer of `T`.
    unsafe extern "C" fn begin_cpu_access(
        buffer: *mut bindings::dma_buf,
        _: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By the requirement of this function.
        unsafe { Self::exported(buffer) }.sync(ffi::mapkit_dma_sync_sgtable_for_cpu);
        0
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a buffer of `T`.
    unsafe extern "C" fn end_cpu_access(
        buffer: *mut bindings::dma_buf,
        _: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By the requirement of this function.
        unsafe { Self::exported(buffer) }.sync(ffi::mapkit_dma_sync_sgtable_for_device);
        0
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core, with the lock of the buffer held, for a buffer of `T` that is not mapped into the
    /// kernel's address space.
    unsafe extern "C" fn vmap(
        buffer: *mut bindings::dma_buf,
        map: *mut bindings::iosys_map,
    ) -> c_int {
        // SAFETY: By the requirement of this function.
        match unsafe { Self::exported(buffer) }.kernel_map() {
            Ok(addr) => {
                // SAFETY: By the requirement of this function it may be written to.
                unsafe { ffi::mapkit_iosys_map_set_vaddr(map, addr.as_ptr().cast()) };
                0
            }
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core, with the lock of the buffer held, when nobody uses what `vmap` told any more.
    unsafe extern "C" fn vunmap(buffer: *mut bindings::dma_buf, _: *mut bindings::iosys_map) {
        // SAFETY: By the requirement of this function.
        unsafe { Self::exported(buffer).kernel_unmap() };
    }

    /// A driver that has imported the buffer may map it for a program (`dma_buf_mmap()`), whose VMA then has that
    /// driver's operations and private data, and the flags of that driver's file. The operations are replaced, as such
    /// drivers expect it.
    ///
    /// # Safety
    ///
    /// Called by the DMA-buf core with a new VMA that is inside a buffer of `T`.
    unsafe extern "C" fn mmap(
        buffer: *mut bindings::dma_buf,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: By the requirement of this function.
        let exported = unsafe { Self::exported(buffer) };
        // SAFETY: By the requirement of this function; the VMA is being set up.
        let (private, flags) =
            unsafe { ((*vma).vm_private_data, (*vma).__bindgen_anon_2.vm_flags) };
        // Somebody has made it of a kind already, and may have put something in.
        if flags & (flags::PFNMAP | flags::MIXEDMAP) != 0 {
            return EINVAL.to_errno();
        }
        // SAFETY: By the requirement of this function; the VMA is being set up.
        let mapped = unsafe {
            // The memory knows its place in the file that it was exported from.
            let memory = &exported.memory;
            let first = memory.base_pgoff().saturating_add(exported.pages.start);
            (*vma).vm_pgoff = first.saturating_add((*vma).vm_pgoff);
            // The memory knows its type, too.
            (*vma).vm_page_prot = bindings::vm_get_page_prot(flags);
            exported.mmap(NewVma::from_raw(vma, None))
        };
        match mapped {
            Ok(mapped) => {
                mapped.commit();
                0
            }
            Err(err) => {
                // SAFETY: As above.
                unsafe { (*vma).vm_private_data = private };
                err.to_errno()
            }
        }
    }
}

impl<T: Exportable> Exported<T> {
    /// Maps it into a program.
    fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        vma.deny_exec()?;
        if !self.writable {
            vma.deny_write()?;
        }
        self.memory.device().check()?;
        T::mmap(&self.memory.clone(), vma)
    }
}
