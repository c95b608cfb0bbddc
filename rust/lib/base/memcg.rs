// SPDX-License-Identifier: GPL-2.0-only

//! Who is charged for memory: the memory cgroup of the calling task, unless it is told to charge another.
//!
//! C headers: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h), [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)
//!
//! Documentation: [`Documentation/admin-guide/cgroup-v2.rst`](srctree/Documentation/admin-guide/cgroup-v2.rst)

use crate::ffi;
use kernel::ffi::c_void;

/// The memory cgroup of a program that has something done later, by a thread of the kernel. That thread's own is the
/// root's, which has no limit.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::base::{gfp::GFP_FOR_CALLER, memcg::Payer};
/// # fn main() {}
///
/// /// In a program's system call.
/// fn order() -> Payer {
///     Payer::of_caller()
/// }
///
/// /// In a thread of the kernel.
/// fn deliver(payer: &Payer) -> Result<KBox<u64>> {
///     payer.charge(|| Ok(KBox::new(1, GFP_FOR_CALLER)?))
/// }
/// ```
///
/// # Invariants
///
/// `memcg` is one of which a reference is owned, or null in a kernel without.
pub struct Payer {
    memcg: *mut c_void,
}

// SAFETY: A memory cgroup is not tied to a thread.
unsafe impl Send for Payer {}
// SAFETY: Any number of tasks may charge it at once.
unsafe impl Sync for Payer {}

impl Payer {
    /// The memory cgroup of the calling program.
    pub fn of_caller() -> Self {
        Self {
            // INVARIANT: It gives a reference.
            // SAFETY: May be called by any task.
            memcg: unsafe { ffi::mapkit_get_memcg() },
        }
    }

    /// Calls `f`, and returns what it does. What the calling task allocates meanwhile is charged to this memory
    /// cgroup, as far as it is to be charged at all (`__GFP_ACCOUNT`).
    pub fn charge<R>(&self, f: impl FnOnce() -> R) -> R {
        // SAFETY: By the type invariant it is valid, at least until this returns, and so as long as the task
        // charges it.
        let before = unsafe { ffi::mapkit_set_active_memcg(self.memcg) };
        let result = f();
        // SAFETY: Whoever had this task charge it before keeps it until this task returns there.
        unsafe { ffi::mapkit_set_active_memcg(before) };
        result
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is owned, and it is used no more.
        unsafe { ffi::mapkit_put_memcg(self.memcg) };
    }
}
