// SPDX-License-Identifier: GPL-2.0-only

//! What a debugger sees of a VMA of page frame numbers: `ptrace(2)` and `/proc/PID/mem`, which find no page there.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::memory::mappable::{
    Mappable,
    MappingEvents, //
};
use core::{
    cmp::min,
    ops::Range, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    mm::virt::flags,
    page::PAGE_SIZE,
    prelude::*,
    sync::ArcBorrow, //
};

/// `vm_operations_struct.access`: copies from the memory, or to it where the program itself could store, through the
/// kernel's own address of it.
///
/// # Safety
///
/// `vma` must be a VMA that `Mapped::commit` made of a `Mappable<T>`, or a copy of one, and be locked for reading;
/// `buffer` must have `len` bytes, to be written unless `write` is not 0.
pub(super) unsafe extern "C" fn access<T: MappingEvents>(
    vma: *mut bindings::vm_area_struct,
    address: c_ulong,
    buffer: *mut c_void,
    len: c_int,
    write: c_int,
) -> c_int {
    // SAFETY: By the requirement of this function, the private data is a pointer of `Arc::into_raw()`, kept alive by
    // the reference of the VMA.
    let mappable = unsafe { ArcBorrow::<'_, Mappable<T>>::from_raw((*vma).vm_private_data.cast()) };
    // SAFETY: By the requirement of this function; while the VMA is locked, these do not change.
    let (addresses, pgoff, has) = unsafe {
        let bounds = (*vma).__bindgen_anon_1.__bindgen_anon_1;
        let flags = (*vma).__bindgen_anon_2.vm_flags;
        (bounds.vm_start..bounds.vm_end, (*vma).vm_pgoff, flags)
    };
    let needs = flags::PFNMAP
        | if write != 0 {
            flags::WRITE
        } else {
            flags::MAYREAD
        };
    if has & needs != needs {
        return EFAULT.to_errno();
    }
    let Some((offset, bytes)) = place(&mappable, addresses, pgoff, address, len) else {
        return EFAULT.to_errno();
    };
    let copied = mappable.hold().and_then(|memory| match write {
        // SAFETY: By the requirement of this function, `bytes` is no more than `len`.
        0 => unsafe { memory.copy_to(offset, buffer.cast(), bytes) },
        // SAFETY: As above.
        _ => unsafe { memory.copy_from(offset, buffer.cast_const().cast(), bytes) },
    });
    match copied {
        // Fits: it is no more than `len`.
        Ok(bytes) => bytes as c_int,
        Err(err) => err.to_errno(),
    }
}

/// Where in the memory an address of a VMA is, and how many of `len` bytes from there on the VMA has.
fn place<T: MappingEvents>(
    mappable: &Mappable<T>,
    addresses: Range<usize>,
    pgoff: usize,
    address: usize,
    len: c_int,
) -> Option<(usize, usize)> {
    let within = address.checked_sub(addresses.start)?;
    let bytes = min(
        usize::try_from(len).ok()?,
        addresses.end.checked_sub(address)?,
    );
    let page = mappable.page_at(pgoff.checked_add(within / PAGE_SIZE)?)?;
    let offset = page
        .checked_mul(PAGE_SIZE)?
        .checked_add(within % PAGE_SIZE)?;
    Some((offset, bytes))
}
