// SPDX-License-Identifier: GPL-2.0-only

//! A lock that interrupt handlers may take, too.
//!
//! The `kernel` crate's `SpinLock` leaves interrupts on, so a handler that takes it waits for the very
//! thread it has interrupted; and where interrupts are threads (`PREEMPT_RT`) it sleeps, which is
//! forbidden in the callbacks of an interrupt controller.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)
//!
//! Documentation: [`Documentation/locking/locktypes.rst`](srctree/Documentation/locking/locktypes.rst)

use crate::ffi;
use core::cell::UnsafeCell;
use kernel::{
    bindings,
    ffi::c_ulong,
    prelude::*,
    types::Opaque, //
};

/// A value behind a `raw_spinlock_t`, which is taken with interrupts disabled.
///
/// All of a module's locks are one class to lockdep, so none may be taken under another.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::sync::irq_lock::IrqLock;
///
/// fn count(lock: &IrqLock<u32>) -> u32 {
///     lock.with(|count| {
///         *count = count.wrapping_add(1);
///         *count
///     })
/// }
///
/// fn make() -> Result<Pin<KBox<IrqLock<u32>>>> {
///     KBox::pin_init(IrqLock::new(0), GFP_KERNEL)
/// }
/// ```
///
/// # Invariants
///
/// `lock` is initialized, and `value` is only accessed while it is held.
#[pin_data]
pub struct IrqLock<T> {
    #[pin]
    lock: Opaque<bindings::raw_spinlock_t>,
    value: UnsafeCell<T>,
}

// SAFETY: It owns the value, and a lock may be moved to another thread while nobody holds it.
unsafe impl<T: Send> Send for IrqLock<T> {}
// SAFETY: The value is accessed by one thread at a time, that which holds the lock.
unsafe impl<T: Send> Sync for IrqLock<T> {}

impl<T> IrqLock<T> {
    /// A lock that nobody holds.
    pub fn new(value: T) -> impl PinInit<Self> {
        // INVARIANT: It is initialized here.
        pin_init!(Self {
            lock <- Opaque::ffi_init(|slot: *mut bindings::raw_spinlock_t| {
                // SAFETY: The initializer may write to the slot.
                unsafe { ffi::mapkit_raw_spin_lock_init(slot) };
            }),
            value: UnsafeCell::new(value),
        })
    }

    /// Does something with the value, with interrupts disabled on this CPU. `f` must neither sleep nor
    /// take this lock or another of its kind. May be called from any context.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let lock = self.lock.get();
        // SAFETY: By the type invariant the lock is initialized.
        let flags: c_ulong = unsafe { ffi::mapkit_raw_spin_lock_irqsave(lock) };
        // SAFETY: The lock is held, and the reference ends before it is released.
        let result = f(unsafe { &mut *self.value.get() });
        // SAFETY: It was taken above, by this thread, which gave these flags.
        unsafe { ffi::mapkit_raw_spin_unlock_irqrestore(lock, flags) };
        result
    }
}
