// SPDX-License-Identifier: GPL-2.0-only

//! What the calling task may do.

use kernel::bindings;

/// Whether the calling task has `CAP_SYS_ADMIN` in the initial user namespace.
pub fn is_sys_admin() -> bool {
    // SAFETY: May be called by any task in process context; the number is a valid capability.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as kernel::ffi::c_int) }
}

/// Whether the calling task has `CAP_SYS_RAWIO` in the initial user namespace.
pub fn is_sys_rawio() -> bool {
    // SAFETY: As above.
    unsafe { bindings::capable(bindings::CAP_SYS_RAWIO as kernel::ffi::c_int) }
}
