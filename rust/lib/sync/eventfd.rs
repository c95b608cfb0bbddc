// SPDX-License-Identifier: GPL-2.0-only

//! Telling a program that something happened, through a file descriptor that it made.
//!
//! C header: [`include/linux/eventfd.h`](srctree/include/linux/eventfd.h)

use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::c_int,
    prelude::*, //
};

/// An `eventfd(2)` of a program.
///
/// # Invariants
///
/// A reference to `context` is owned.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::sync::eventfd::EventFd;
///
/// /// Tells the calling program, which gave its file descriptor `fd`.
/// fn tell(fd: i32) -> Result {
///     EventFd::new(fd)?.signal();
///     Ok(())
/// }
/// ```
pub struct EventFd {
    context: NonNull<bindings::eventfd_ctx>,
}

// SAFETY: An eventfd context is not tied to a thread.
unsafe impl Send for EventFd {}
// SAFETY: Signalling takes the context's lock.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// The calling program's file descriptor `fd`.
    ///
    /// `EBADF` if there is none, `EINVAL` if it is no eventfd.
    pub fn new(fd: c_int) -> Result<Self> {
        // SAFETY: Any number may be asked for.
        let context = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        // INVARIANT: That gave a reference.
        Ok(Self {
            context: NonNull::new(context).ok_or(EBADF)?,
        })
    }

    /// Adds one to it.
    pub fn signal(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::eventfd_signal_mask(self.context.as_ptr(), 0) };
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::eventfd_ctx_put(self.context.as_ptr()) };
    }
}
