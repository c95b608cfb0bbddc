// SPDX-License-Identifier: GPL-2.0-only

//! A driver's part in the system's sleep: what its device does not keep is saved and restored.
//!
//! Who uses it links `suspend.o` into the module.

use crate::ffi;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    error::from_err_ptr,
    ffi::c_void,
    prelude::*,
    sync::Arc, //
};

/// What is done around the sleep of a device: suspend to idle, suspend to RAM, hibernation.
///
/// Both are called while the interrupt handlers of devices are not called and programs do not run. Timers
/// may. Both may sleep.
pub trait Suspend: Send + Sync + 'static {
    /// Before the bus suspends the device (`suspend_noirq`, `freeze_noirq`, `poweroff_noirq`). What is suspended
    /// in the meantime are devices that depend on this one.
    fn suspend(&self);

    /// After the bus has resumed the device (`resume_noirq`, `thaw_noirq`, `restore_noirq`), before the devices
    /// are that depend on it.
    fn resume(&self);
}

/// Has a [`Suspend`] called when the system sleeps, until dropped. On a kernel that cannot sleep
/// (`CONFIG_PM_SLEEP`), it never is.
///
/// It is part of what its driver has of the device. A PCI function whose driver has one is treated as other
/// drivers' are: it stays a bus master until it sleeps, and sleeps in a state of low power, if it has one.
///
/// # Examples
///
/// ```
/// use kernel::{device::{Bound, Device}, prelude::*, sync::{atomic::{Atomic, Relaxed}, Arc}};
/// use mapkit::device::suspend::{Suspend, Suspender};
///
/// struct Nights(Atomic<u32>);
///
/// impl Suspend for Nights {
///     // Reads what will be lost.
///     fn suspend(&self) {}
///
///     // Writes it again.
///     fn resume(&self) {
///         self.0.fetch_add(1, Relaxed);
///     }
/// }
///
/// fn count(device: &Device<Bound>) -> Result<Suspender<Nights>> {
///     Suspender::new(device, Arc::new(Nights(Atomic::new(0)), GFP_KERNEL)?)
/// }
/// ```
///
/// # Invariants
///
/// `raw` is what `mapkit_suspender_register` returned for what `suspended` points to.
pub struct Suspender<T: Suspend> {
    raw: *mut ffi::mapkit_suspender,
    // What `raw` points to; dropped after `drop` has unregistered it.
    _suspended: Arc<T>,
}

// SAFETY: It may be unregistered by any thread.
unsafe impl<T: Suspend> Send for Suspender<T> {}
// SAFETY: It has no methods that take `&self`.
unsafe impl<T: Suspend> Sync for Suspender<T> {}

impl<T: Suspend> Suspender<T> {
    /// To be called by the `probe` of the driver that `device` is bound to: later, it may be too late for the
    /// next sleep.
    ///
    /// `EINVAL` if the driver is another module's, `EBUSY` if it has operations of its own.
    pub fn new(device: &Device<Bound>, suspended: Arc<T>) -> Result<Self> {
        let raw = core::ptr::from_ref(device)
            .cast_mut()
            .cast::<bindings::device>();
        let data = Arc::as_ptr(&suspended).cast_mut().cast::<c_void>();
        // SAFETY: A `Device` is a transparent wrapper of a valid `struct device`, which is bound, or about to be.
        // What is pointed to stays in place until `drop` has unregistered it, and the functions take a pointer
        // to such a one.
        let raw = unsafe {
            ffi::mapkit_suspender_register(raw, Some(suspend::<T>), Some(resume::<T>), data)
        };
        // INVARIANT: Of this one.
        Ok(Self {
            raw: from_err_ptr(raw)?,
            _suspended: suspended,
        })
    }
}

impl<T: Suspend> Drop for Suspender<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. This waits for a call of it that is under way.
        unsafe { ffi::mapkit_suspender_unregister(self.raw) };
    }
}

/// # Safety
///
/// `data` must point to a `T` that lives during the call.
unsafe extern "C" fn suspend<T: Suspend>(data: *mut c_void) {
    // SAFETY: By the requirement of this function.
    unsafe { &*data.cast::<T>() }.suspend();
}

/// # Safety
///
/// As of [`suspend`].
unsafe extern "C" fn resume<T: Suspend>(data: *mut c_void) {
    // SAFETY: By the requirement of this function.
    unsafe { &*data.cast::<T>() }.resume();
}
