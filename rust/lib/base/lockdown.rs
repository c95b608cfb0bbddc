// SPDX-License-Identifier: GPL-2.0-only

//! What the kernel keeps even from root, if it was told to: `/sys/kernel/security/lockdown`, or Secure Boot.
//!
//! To be asked for each access, as it may be told to at any time. The kernel logs who was refused.
//!
//! C header: [`include/linux/security.h`](srctree/include/linux/security.h)

use crate::ffi;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// `EPERM` if nobody may change the running kernel (`integrity`), as a device can of which somebody has the
/// registers: what `/dev/mem` asks.
///
/// For an example, see [`is_sys_rawio`](crate::base::capability::is_sys_rawio).
pub fn expect_devices_may_be_driven() -> Result {
    // SAFETY: May be called by any task in process context.
    to_result(unsafe { ffi::mapkit_locked_down_dev_mem() })
}

/// `EPERM` if nobody may see where the kernel has what, or what is there (`confidentiality`): what
/// `/proc/kcore` asks.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::base::{capability, lockdown};
///
/// /// `EPERM` for who may not see where the kernel has what.
/// fn expect_reader() -> Result {
///     match capability::is_sys_admin() {
///         true => lockdown::expect_kernel_may_be_seen(),
///         false => Err(EPERM),
///     }
/// }
/// ```
pub fn expect_kernel_may_be_seen() -> Result {
    // SAFETY: May be called by any task in process context.
    to_result(unsafe { ffi::mapkit_locked_down_kcore() })
}
