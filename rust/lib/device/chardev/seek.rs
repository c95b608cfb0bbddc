// SPDX-License-Identifier: GPL-2.0-only

//! `lseek(2)` of a character device.
//!
//! Offsets beyond 2^63 are legal for its mappings (`FOP_UNSIGNED_OFFSET`), but a position is never negative: the
//! kernel's own functions would take one, and a program take it for an error.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::ffi;
use kernel::{
    bindings,
    ffi::c_int,
    prelude::*, //
};

/// Moves the position of `file`, whose end `end` tells, and returns it.
///
/// `EINVAL` for a position that is negative or cannot be, and for what does not exist; `ENXIO` where there is
/// neither data nor a hole. All up to the end is data.
///
/// # Safety
///
/// `file` must be valid.
pub(super) unsafe fn seek(
    file: *mut bindings::file,
    offset: i64,
    whence: c_int,
    end: impl FnOnce() -> Result<u64>,
) -> Result<i64> {
    let end = || Ok::<i64, Error>(i64::try_from(end()?).unwrap_or(i64::MAX));
    let position = match u32::try_from(whence).map_err(|_| EINVAL)? {
        bindings::SEEK_SET => offset,
        bindings::SEEK_CUR => {
            // SAFETY: By the requirement of this function.
            return position(unsafe { ffi::mapkit_seek_cur(file, offset) });
        }
        bindings::SEEK_END => end()?.checked_add(offset).ok_or(EINVAL)?,
        bindings::SEEK_DATA => within(offset, end()?)?,
        bindings::SEEK_HOLE => {
            let end = end()?;
            within(offset, end)?;
            end
        }
        _ => return Err(EINVAL),
    };
    if position < 0 {
        return Err(EINVAL);
    }
    // SAFETY: By the requirement of this function.
    self::position(unsafe { bindings::vfs_setpos(file, position, i64::MAX) })
}

/// `offset`, if it is before the end.
fn within(offset: i64, end: i64) -> Result<i64> {
    match (0..end).contains(&offset) {
        true => Ok(offset),
        false => Err(ENXIO),
    }
}

/// A position, or an error, as C functions return it.
fn position(position: bindings::loff_t) -> Result<i64> {
    match position < 0 {
        true => Err(Error::from_errno(position as c_int)),
        false => Ok(position),
    }
}
