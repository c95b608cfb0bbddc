// SPDX-License-Identifier: GPL-2.0-only

//! Copies between memory and a program's buffer, for `read(2)` and `write(2)`.

use crate::{
    base::task::{
        between_pieces,
        check_not_killed,
        PIECE_PAGES, //
    },
    ffi,
    memory::backing::Backing,
    revoke::revocable::Revocable, //
};
use core::cmp::min;
use kernel::{
    bindings,
    ffi::c_void,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::PAGE_SIZE,
    prelude::*,
    types::NotThreadSafe, //
};

impl dyn Backing + '_ {
    /// Copies from `offset` bytes on to a program's buffer, up to the end of either.
    ///
    /// Returns the bytes copied, or `EFAULT` if not a single one could be.
    pub fn copy_to_iter(&self, offset: usize, iov: &mut IovIterDest<'_>) -> Result<usize> {
        if let Some(revocable) = self.revocable() {
            return revocable.copy_to_iter(offset, iov);
        }
        let want = min(iov.len(), self.len().saturating_sub(offset));
        self.copy(offset, want, |addr, len| {
            // SAFETY: `addr` is valid for reading `len` bytes by the promise of `Backing`, and
            // `iov` is a valid iterator. This is a C copy of memory that programs may change at the
            // same time; no reference to it is made.
            unsafe { bindings::_copy_to_iter(addr.cast::<c_void>(), len, iov.as_raw()) }
        })
    }

    /// Copies from a program's buffer to `offset` bytes and on, up to the end of either.
    ///
    /// Returns the bytes copied, or `EFAULT` if not a single one could be.
    pub fn copy_from_iter(&self, offset: usize, iov: &mut IovIterSource<'_>) -> Result<usize> {
        if let Some(revocable) = self.revocable() {
            return revocable.copy_from_iter(offset, iov);
        }
        let want = min(iov.len(), self.len().saturating_sub(offset));
        self.copy(offset, want, |addr, len| {
            // SAFETY: `addr` is valid for writing `len` bytes by the promise of `Backing`, and
            // `iov` is a valid iterator. This is a C copy to memory that programs may use at the
            // same time; no reference to it is made.
            unsafe { bindings::_copy_from_iter(addr.cast::<c_void>(), len, iov.as_raw()) }
        })
    }

    /// Calls `copy_chunk` for each stretch of kernel addresses of `want` bytes from `offset` on,
    /// which must lie inside. Ends early when it copies less than asked, and when the caller is killed.
    fn copy(
        &self,
        offset: usize,
        want: usize,
        mut copy_chunk: impl FnMut(*mut u8, usize) -> usize,
    ) -> Result<usize> {
        let mut done = 0;
        while done < want {
            let at = offset.wrapping_add(done);
            let Some(range) = self.range_at(at / PAGE_SIZE) else {
                break;
            };
            let skip = at % PAGE_SIZE;
            let len = min(range.len.saturating_sub(skip), want.wrapping_sub(done));
            let len = min(len, PIECE_PAGES * PAGE_SIZE);
            let copied = copy_chunk(range.addr.as_ptr().wrapping_add(skip), len);
            done = done.wrapping_add(copied);
            if copied < len || between_pieces().is_err() {
                break;
            }
        }
        if done == 0 && want > 0 {
            return Err(EFAULT);
        }
        Ok(done)
    }
}

impl Revocable<dyn Backing> {
    /// As [`copy_to_iter`](trait.Backing.html#method.copy_to_iter) of the memory. What the program copies to
    /// may be on a disk, or another program's to provide, which is not waited for while the memory is held.
    pub(crate) fn copy_to_iter(&self, offset: usize, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let copy =
            |memory: &dyn Backing, at, iov: &mut IovIterDest<'_>| memory.copy_to_iter(at, iov);
        let fault_in = |iov: &mut IovIterDest<'_>| {
            let bytes = min(iov.len(), PAGE_SIZE);
            // SAFETY: The iterator is valid.
            unsafe { bindings::fault_in_iov_iter_writeable(iov.as_raw(), bytes) < bytes }
        };
        self.copy(offset, iov, copy, fault_in)
    }

    /// As [`copy_from_iter`](trait.Backing.html#method.copy_from_iter) of the memory, and as above.
    pub(crate) fn copy_from_iter(
        &self,
        offset: usize,
        iov: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        let copy =
            |memory: &dyn Backing, at, iov: &mut IovIterSource<'_>| memory.copy_from_iter(at, iov);
        let fault_in = |iov: &mut IovIterSource<'_>| {
            let bytes = min(iov.len(), PAGE_SIZE);
            // SAFETY: The iterator is valid.
            unsafe { bindings::fault_in_iov_iter_readable(iov.as_raw(), bytes) < bytes }
        };
        self.copy(offset, iov, copy, fault_in)
    }

    /// Copies with `copy` as far as the program's memory is mapped, and has `fault_in` map more of it, as long
    /// as it can.
    fn copy<I>(
        &self,
        offset: usize,
        iov: &mut I,
        copy: impl Fn(&dyn Backing, usize, &mut I) -> Result<usize>,
        fault_in: impl Fn(&mut I) -> bool,
    ) -> Result<usize> {
        let mut done = 0usize;
        loop {
            let copied = self.hold().map(|held| {
                let _faults = NoPageFaults::new();
                copy(&*held, offset.wrapping_add(done), iov)
            });
            let failed = match copied {
                Ok(Ok(0)) => return Ok(done),
                Ok(Ok(bytes)) => {
                    done = done.wrapping_add(bytes);
                    check_not_killed()
                }
                Ok(Err(_)) if fault_in(iov) => check_not_killed(),
                Ok(Err(err)) | Err(err) => Err(err),
            };
            match failed {
                Ok(()) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(err) => return Err(err),
            }
        }
    }
}

/// Until it is dropped, this thread's page faults in the kernel fail.
struct NoPageFaults(NotThreadSafe);

impl NoPageFaults {
    fn new() -> Self {
        // SAFETY: It only counts, and `drop` undoes it in the same thread.
        unsafe { ffi::mapkit_pagefault_disable() };
        Self(NotThreadSafe)
    }
}

impl Drop for NoPageFaults {
    fn drop(&mut self) {
        // SAFETY: `new` did the opposite in this thread.
        unsafe { ffi::mapkit_pagefault_enable() };
    }
}
