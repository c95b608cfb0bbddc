// SPDX-License-Identifier: GPL-2.0-only

//! Error numbers that the `kernel` crate does not name.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use kernel::{
    bindings,
    error::{
        Error,
        Result, //
    },
    ffi::c_int, //
};

/// What a C function returned. As [`kernel::error::to_result`], but not a call.
#[inline]
pub(crate) fn to_result(status: c_int) -> Result {
    match status < 0 {
        true => Err(Error::from_errno(status)),
        false => Ok(()),
    }
}

/// `EOPNOTSUPP`: the operation exists, but not for this object.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{base::errno, memory::backing::Backing};
///
/// fn expect_refcounted(memory: &dyn Backing) -> Result {
///     match memory.refcounted() {
///         true => Ok(()),
///         false => Err(errno::eopnotsupp()),
///     }
/// }
/// ```
pub fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// `EADDRNOTAVAIL`: there is no address to be had for it.
pub fn eaddrnotavail() -> Error {
    Error::from_errno(-(bindings::EADDRNOTAVAIL as c_int))
}
