// SPDX-License-Identifier: GPL-2.0-only

//! Copies between memory and a program's buffer, for `read(2)` and `write(2)`, and between memory and the kernel's.

use crate::{
    base::task::{
        between_pieces,
        check_not_killed,
        PIECE_PAGES, //
    },
    ffi,
    memory::{
        backing::Backing,
        mappable::{
            Mappable,
            MappingEvents, //
        }, //
    },
    revoke::revocable::Revocable, //
};
use core::{
    cmp::min,
    ops::Range, //
};
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

    /// Copies up to `bytes` bytes from `offset` bytes on to the kernel's memory at `to`, up to the end of this, and
    /// returns how many. Programs may change the memory meanwhile.
    ///
    /// `EFAULT` if there is nothing there.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writing `bytes` bytes, which nobody else uses.
    pub(crate) unsafe fn copy_to(&self, offset: usize, to: *mut u8, bytes: usize) -> Result<usize> {
        let mut to = to;
        let want = min(bytes, self.len().saturating_sub(offset));
        self.copy(offset, want, |addr, len| {
            // SAFETY: `addr` is valid for reading `len` bytes by the promise of `Backing`, and so is `to` for writing
            // by the requirement of this function: all calls together copy `want` bytes. This is a C copy of memory
            // that others may change; no reference to it is made.
            unsafe { ffi::mapkit_memcpy(to.cast::<c_void>(), addr.cast::<c_void>(), len) };
            to = to.wrapping_add(len);
            len
        })
    }

    /// Copies up to `bytes` bytes from the kernel's memory at `from` to `offset` bytes and on, up to the end of this,
    /// and returns how many. Programs may use the memory meanwhile.
    ///
    /// `EFAULT` if there is nothing there.
    ///
    /// # Safety
    ///
    /// `from` must be valid for reading `bytes` bytes, which nobody changes.
    pub(crate) unsafe fn copy_from(
        &self,
        offset: usize,
        from: *const u8,
        bytes: usize,
    ) -> Result<usize> {
        let mut from = from;
        let want = min(bytes, self.len().saturating_sub(offset));
        self.copy(offset, want, |addr, len| {
            // SAFETY: `addr` is valid for writing `len` bytes by the promise of `Backing`, and so is `from` for
            // reading by the requirement of this function: all calls together copy `want` bytes. This is a C copy to
            // memory that others may use; no reference to it is made.
            unsafe { ffi::mapkit_memcpy(addr.cast::<c_void>(), from.cast::<c_void>(), len) };
            from = from.wrapping_add(len);
            len
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
            let left = match cfg!(planted_copy_window) {
                true => range.len,
                false => range.len.saturating_sub(skip),
            };
            let len = min(left, want.wrapping_sub(done));
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

/// Bytes that are on the stack.
const FEW: usize = 512;

/// Copies the bytes `range` of `from` to the same place of `to`. Others may use both meanwhile.
///
/// `EINVAL` if either has no such bytes, `ENODEV` if either was taken back, `EINTR` if the caller is killed
/// meanwhile.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::memory::{copy::copy_range, mappable::Mappable, pages::Pages};
///
/// /// Twice as much memory, with the same contents.
/// fn grown(old: &Mappable<()>) -> Result<Arc<Mappable<()>>> {
///     let nr_pages = old.nr_pages().checked_mul(2).ok_or(ENOMEM)?;
///     let pages = KBox::new(Pages::new(nr_pages)?, GFP_KERNEL)?;
///     let new = Arc::new(Mappable::new(pages, 0, ()), GFP_KERNEL)?;
///     copy_range(old, &new, 0..old.memory().len())?;
///     Ok(new)
/// }
/// ```
pub fn copy_range<A: MappingEvents, B: MappingEvents>(
    from: &Mappable<A>,
    to: &Mappable<B>,
    range: Range<usize>,
) -> Result {
    let mut few = [0u8; FEW];
    let mut at = range.start;
    while at < range.end {
        let want = min(FEW, range.end.wrapping_sub(at));
        // By way of the stack: what can be taken back has a lock, and both of them have locks of the same kind.
        // SAFETY: The array is this function's, and `want` is no more than it has.
        let read = unsafe { from.hold()?.copy_to(at, few.as_mut_ptr(), want) };
        // SAFETY: As above.
        let written = unsafe { to.hold()?.copy_from(at, few.as_ptr(), want) };
        if read != Ok(want) || written != Ok(want) {
            check_not_killed()?;
            return Err(EINVAL);
        }
        at = at.wrapping_add(want);
    }
    Ok(())
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
