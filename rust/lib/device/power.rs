// SPDX-License-Identifier: GPL-2.0-only

//! Power: a bus that has to stay on, and the system's sleep.
//!
//! C headers: [`include/linux/suspend.h`](srctree/include/linux/suspend.h), [`include/linux/pm_runtime.h`](srctree/include/linux/pm_runtime.h)
//!
//! Documentation: [`Documentation/driver-api/pm/notifiers.rst`](srctree/Documentation/driver-api/pm/notifiers.rst), [`Documentation/power/runtime_pm.rst`](srctree/Documentation/power/runtime_pm.rst)

use crate::ffi;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::Opaque, //
};

/// Keeps what a device is part of from being switched off by runtime power management, until dropped.
///
/// On TI's processors the parent of a device, `ti,sysc`, switches its clock off when none of its
/// children needs it, and an access without the clock is an external abort.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, platform, prelude::*};
/// use mapkit::device::power::ActiveParent;
///
/// /// In `probe`, before a register is accessed.
/// fn power_on(device: &platform::Device<Core<'_>>) -> Result<ActiveParent> {
///     ActiveParent::new(device.as_ref())
/// }
/// ```
pub struct ActiveParent(#[cfg_attr(not(CONFIG_PM), expect(dead_code))] Option<ARef<Device>>);

impl ActiveParent {
    /// Switches the parent of `device` on, if it is off. A parent without power management, or none, is
    /// on. Fails with what switching it on failed with.
    pub fn new(device: &Device<Bound>) -> Result<Self> {
        // SAFETY: A `Device` is a transparent wrapper of a valid `struct device`. A bound device keeps
        // its parent, which is null or valid.
        let parent = unsafe {
            let device = core::ptr::from_ref(device).cast::<bindings::device>();
            (*device).parent
        };
        if parent.is_null() {
            return Ok(Self(None));
        }
        // SAFETY: It is valid, as said above; `ARef` takes a reference of its own.
        let parent = ARef::from(unsafe { &*parent.cast::<Device>() });
        let held = Self(Some(parent));
        held.resume()?;
        Ok(held)
    }

    #[cfg(CONFIG_PM)]
    fn raw(parent: &Device) -> *mut bindings::device {
        core::ptr::from_ref(parent).cast_mut().cast()
    }

    /// `EACCES` says that runtime power management is disabled there. The use is counted in any case.
    #[cfg(CONFIG_PM)]
    fn resume(&self) -> Result {
        let Some(parent) = &self.0 else {
            return Ok(());
        };
        // SAFETY: The device is valid, and this may sleep.
        let result = unsafe { ffi::__pm_runtime_resume(Self::raw(parent), ffi::RPM_GET_PUT) };
        match kernel::error::to_result(result) {
            Err(err) if err != EACCES => Err(err),
            _ => Ok(()),
        }
    }

    #[cfg(not(CONFIG_PM))]
    fn resume(&self) -> Result {
        Ok(())
    }
}

impl Drop for ActiveParent {
    fn drop(&mut self) {
        #[cfg(CONFIG_PM)]
        if let Some(parent) = &self.0 {
            // SAFETY: The device is valid, and its use was counted in `resume`.
            unsafe { ffi::__pm_runtime_idle(Self::raw(parent), ffi::RPM_GET_PUT | ffi::RPM_ASYNC) };
        }
    }
}

/// Waits until all RCU read-side sections have ended that have begun already. May sleep, so it must
/// not be called in one.
///
/// # Examples
///
/// ```
/// use kernel::sync::atomic::{Atomic, Relaxed};
/// use mapkit::device::{mmio::Window, power};
///
/// /// Registers that are not accessed any more once this is said to be off.
/// struct Clocked {
///     registers: Window<0x100>,
///     is_on: Atomic<bool>,
/// }
///
/// impl Clocked {
///     /// Does something with the registers if they have their clock.
///     fn with(&self, f: impl FnOnce()) {
///         self.registers.with(|_| {
///             if self.is_on.load(Relaxed) {
///                 f();
///             }
///         });
///     }
///
///     /// When this returns, the clock may be switched off.
///     fn off(&self) {
///         self.is_on.store(false, Relaxed);
///         power::wait_for_readers();
///     }
/// }
/// ```
pub fn wait_for_readers() {
    // SAFETY: It has no requirement but the context, which is a deadlock where it is wrong.
    unsafe { bindings::synchronize_rcu() };
}

/// What must rest while the system sleeps.
///
/// For an example, see [`SleepNotifier`].
pub trait Sleeper: Send + Sync + 'static {
    /// The system is about to sleep, while programs still run. All RCU read-side sections that began
    /// before this returned have ended when the first device is suspended.
    fn sleep(&self);

    /// The system is awake again, and all devices are.
    fn wake(&self);
}

/// Tells a [`Sleeper`] when the system sleeps, until dropped.
///
/// # Examples
///
/// ```
/// use kernel::{
///     prelude::*,
///     sync::{
///         atomic::{Atomic, Relaxed},
///         Arc,
///     },
/// };
/// use mapkit::device::power::{SleepNotifier, Sleeper};
///
/// /// Whether the device may be used now.
/// struct Awake(Atomic<bool>);
///
/// impl Sleeper for Awake {
///     fn sleep(&self) {
///         self.0.store(false, Relaxed);
///     }
///
///     fn wake(&self) {
///         self.0.store(true, Relaxed);
///     }
/// }
///
/// fn register(awake: Arc<Awake>) -> Result<Pin<KBox<SleepNotifier<Awake>>>> {
///     KBox::pin_init(SleepNotifier::new(awake), GFP_KERNEL)
/// }
/// ```
#[pin_data(PinnedDrop)]
pub struct SleepNotifier<T: Sleeper> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    sleeper: Arc<T>,
}

// SAFETY: A notifier may be unregistered by any thread.
unsafe impl<T: Sleeper> Send for SleepNotifier<T> {}
// SAFETY: It has no methods that take `&self`.
unsafe impl<T: Sleeper> Sync for SleepNotifier<T> {}

impl<T: Sleeper> SleepNotifier<T> {
    /// A registered notifier.
    pub fn new(sleeper: Arc<T>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Before it is registered: it may be called at once.
            sleeper,
            block <- Opaque::try_ffi_init(|block: *mut bindings::notifier_block| {
                // SAFETY: `block` is the place of the field, which stays where it is. The callback
                // finds the rest of the structure by it, which is there by when it is registered,
                // as fields are initialised in order.
                unsafe {
                    block.write(pin_init::zeroed());
                    (*block).notifier_call = Some(Self::notified);
                    register(block)
                }
            }),
        })
    }

    /// # Safety
    ///
    /// `block` must be the field of a `Self`.
    unsafe extern "C" fn notified(
        block: *mut bindings::notifier_block,
        event: c_ulong,
        _unused: *mut c_void,
    ) -> c_int {
        let block = Opaque::cast_from(block);
        // SAFETY: By this function's requirement. It is registered, so it is not dropped yet.
        let this = unsafe { &*kernel::container_of!(block, Self, block) };
        match event {
            ffi::PM_HIBERNATION_PREPARE | ffi::PM_SUSPEND_PREPARE | ffi::PM_RESTORE_PREPARE => {
                this.sleeper.sleep();
                wait_for_readers();
            }
            ffi::PM_POST_HIBERNATION | ffi::PM_POST_SUSPEND | ffi::PM_POST_RESTORE => {
                this.sleeper.wake();
            }
            _ => {}
        }
        ffi::NOTIFY_DONE
    }
}

#[pinned_drop]
impl<T: Sleeper> PinnedDrop for SleepNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It was registered in `new`. This waits for a call of it that is under way.
        unsafe { unregister(self.block.get()) };
    }
}

/// # Safety
///
/// As of `register_pm_notifier`.
unsafe fn register(block: *mut bindings::notifier_block) -> Result {
    #[cfg(CONFIG_PM_SLEEP)]
    // SAFETY: By this function's requirement.
    return kernel::error::to_result(unsafe { ffi::register_pm_notifier(block) });
    #[cfg(not(CONFIG_PM_SLEEP))]
    {
        let _ = block;
        Ok(())
    }
}

/// # Safety
///
/// As of `unregister_pm_notifier`.
unsafe fn unregister(block: *mut bindings::notifier_block) {
    #[cfg(CONFIG_PM_SLEEP)]
    // SAFETY: By this function's requirement. It fails for what is not registered only.
    unsafe {
        ffi::unregister_pm_notifier(block)
    };
    #[cfg(not(CONFIG_PM_SLEEP))]
    let _ = block;
}
