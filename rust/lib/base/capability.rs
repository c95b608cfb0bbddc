// SPDX-License-Identifier: GPL-2.0-only

//! What the calling task may do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)
//!
//! Documentation: [`Documentation/security/credentials.rst`](srctree/Documentation/security/credentials.rst)

use crate::{
    base::lockdown,
    ffi, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint, //
    }, //
};

/// Whether the calling task has a capability in the initial user namespace. If not, the audit log has a line.
fn is_capable(capability: c_uint) -> bool {
    // SAFETY: May be called by any task in process context; the number is a valid capability.
    unsafe { bindings::capable(capability as c_int) }
}

/// Whether the calling task has `CAP_SYS_ADMIN` in the initial user namespace.
///
/// For an example, see [`expect_kernel_may_be_seen`](crate::base::lockdown::expect_kernel_may_be_seen).
pub fn is_sys_admin() -> bool {
    is_capable(bindings::CAP_SYS_ADMIN)
}

/// Whether the calling task may see physical and bus addresses: with `CAP_SYS_ADMIN`, unless the kernel is locked
/// down. For what a call tells beside other things: the audit log has no line if not, as nothing is refused.
///
/// # Examples
///
/// ```
/// use mapkit::{base::capability, memory::backing::Run};
///
/// /// A frame's number, or 0 for those who may not know it.
/// fn tell(run: &Run) -> u64 {
///     match capability::may_see_addresses() {
///         true => run.pfn as u64,
///         false => 0,
///     }
/// }
/// ```
pub fn may_see_addresses() -> bool {
    // SAFETY: As above.
    let is_admin = unsafe { ffi::mapkit_capable_noaudit(bindings::CAP_SYS_ADMIN as c_int) };
    is_admin && lockdown::expect_kernel_may_be_seen().is_ok()
}

/// Whether the calling task has `CAP_SYS_PTRACE` in the initial user namespace, so that `ptrace(2)` could look into any
/// process. (What it asks of a single one is `ptrace_may_access()`, which is not exported.)
pub fn is_sys_ptrace() -> bool {
    is_capable(bindings::CAP_SYS_PTRACE)
}

/// Whether the calling task has `CAP_SYS_RAWIO` in the initial user namespace.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::base::{capability, lockdown};
///
/// /// `EPERM` if the caller may not have a device do things.
/// fn expect_driver() -> Result {
///     if !capability::is_sys_rawio() {
///         return Err(EPERM);
///     }
///     lockdown::expect_devices_may_be_driven()
/// }
/// ```
pub fn is_sys_rawio() -> bool {
    is_capable(bindings::CAP_SYS_RAWIO)
}
