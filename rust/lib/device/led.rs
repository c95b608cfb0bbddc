// SPDX-License-Identifier: GPL-2.0-only

//! LED class devices: `/sys/class/leds/NAME`, with triggers such as `heartbeat`.
//!
//! Who uses it links `led.o` into the module.
//!
//! C header: [`include/linux/leds.h`](srctree/include/linux/leds.h)
//!
//! Documentation: [`Documentation/leds/leds-class.rst`](srctree/Documentation/leds/leds-class.rst)

use crate::ffi;
use core::ptr;
use kernel::{
    error::from_err_ptr,
    ffi::c_void,
    prelude::*, //
};

/// What an LED is switched by.
///
/// For an example, see [`Led`].
pub trait Switch: Send + Sync + 'static {
    /// Switches it on or off. May be called from any context, also with interrupts disabled, and must
    /// not sleep.
    fn set(&self, on: bool);
}

/// An LED, registered until dropped, which switches it off.
///
/// # Invariants
///
/// `raw` is what `mapkit_led_register` returned for `switch`.
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
/// use mapkit::device::led::{Led, Switch};
///
/// /// Remembers whether it is on.
/// struct Lamp(Arc<Atomic<bool>>);
///
/// impl Switch for Lamp {
///     fn set(&self, on: bool) {
///         self.0.store(on, Relaxed);
///     }
/// }
///
/// /// `/sys/class/leds/example:status`, until what is returned is dropped.
/// fn register(is_on: Arc<Atomic<bool>>) -> Result<Led<Lamp>> {
///     Led::new(c"example:status", Lamp(is_on))
/// }
/// ```
pub struct Led<T: Switch> {
    raw: *mut ffi::mapkit_led,
    // What `raw` points to; dropped after `drop` has unregistered it.
    _switch: KBox<T>,
}

// SAFETY: An LED may be unregistered by any thread.
unsafe impl<T: Switch> Send for Led<T> {}
// SAFETY: It has no methods that take `&self`.
unsafe impl<T: Switch> Sync for Led<T> {}

impl<T: Switch> Led<T> {
    /// Registers an LED, which is off.
    ///
    /// `EOPNOTSUPP` if the kernel has no LED class.
    pub fn new(name: &'static CStr, switch: T) -> Result<Self> {
        let switch = KBox::new(switch, GFP_KERNEL)?;
        let data = ptr::from_ref::<T>(&switch).cast_mut().cast();
        // SAFETY: The name is static. The switch stays in place until `drop` has unregistered the LED,
        // and `switched` takes a pointer to such a one.
        let raw =
            unsafe { ffi::mapkit_led_register(name.as_char_ptr(), Some(switched::<T>), data) };
        // INVARIANT: Of this switch.
        Ok(Self {
            raw: from_err_ptr(raw)?,
            _switch: switch,
        })
    }
}

impl<T: Switch> Drop for Led<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_led_unregister(self.raw) };
    }
}

/// # Safety
///
/// `data` must point to a `T` that lives during the call.
unsafe extern "C" fn switched<T: Switch>(data: *mut c_void, on: bool) {
    // SAFETY: By the requirement of this function.
    unsafe { &*data.cast::<T>() }.set(on);
}
