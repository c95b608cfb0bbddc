// SPDX-License-Identifier: GPL-2.0-only

//! How memory is allocated for a call of a program.
//!
//! C header: [`include/linux/gfp_types.h`](srctree/include/linux/gfp_types.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

use crate::ffi;
use core::mem::transmute;
use kernel::{
    alloc::Flags,
    bindings, //
};

/// `GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL`: charged to the memory cgroup of the caller, who may
/// sleep. Without memory, or at the limit of the cgroup, it fails: the OOM killer is never asked for help,
/// however small it is, and nothing is logged. The `kernel` crate has no such flags.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::base::gfp::GFP_FOR_CALLER;
///
/// /// A list as long as a program has asked for.
/// fn list(len: usize) -> Result<KVVec<u64>> {
///     Ok(KVVec::with_capacity(len, GFP_FOR_CALLER)?)
/// }
/// ```
pub const GFP_FOR_CALLER: Flags = flags(FOR_CALLER);

/// The same for C.
pub(crate) const FOR_CALLER: bindings::gfp_t =
    bindings::GFP_KERNEL_ACCOUNT | bindings::__GFP_NOWARN | ffi::__GFP_RETRY_MAYFAIL;

/// The same for a first attempt, after which there is another way: it gives up sooner (`__GFP_NORETRY`).
pub(crate) const GFP_FOR_ATTEMPT: Flags = flags(FOR_ATTEMPT);

/// The same for C.
pub(crate) const FOR_ATTEMPT: bindings::gfp_t =
    bindings::GFP_KERNEL_ACCOUNT | bindings::__GFP_NOWARN | ffi::__GFP_NORETRY;

/// C's flags as those of the `kernel` crate.
const fn flags(gfp: bindings::gfp_t) -> Flags {
    // SAFETY: `Flags` has one field, which is such a number, and is of the same size: the compiler refuses this
    // otherwise. Any number is one.
    unsafe { transmute::<bindings::gfp_t, Flags>(gfp) }
}
