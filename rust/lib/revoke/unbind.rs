// SPDX-License-Identifier: GPL-2.0-only

//! The moment at which a device loses its driver.
//!
//! C header: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h)
//!
//! Documentation: [`Documentation/driver-api/driver-model/bus.rst`](srctree/Documentation/driver-api/driver-model/bus.rst)

use crate::ffi;
use kernel::{
    bindings,
    device::{
        Core,
        Device, //
    },
    devres,
    error::to_result,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What can be taken back from programs.
///
/// For an example, see [`at_unbind`].
pub trait Revoke: Send + Sync + 'static {
    /// Takes it back, for good. It must not wait for a program; it may be called more than once.
    fn revoke(&self);
}

/// Has `what` revoked when `device` loses its driver, or does not get it after all.
///
/// `EINVAL` if the device is of no bus.
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::{Core, Device},
///     new_mutex,
///     prelude::*,
///     sync::{Arc, Mutex},
/// };
/// use mapkit::revoke::unbind::{at_unbind, Revoke};
///
/// /// A secret that programs read as long as the device has its driver.
/// #[pin_data]
/// struct Secret {
///     #[pin]
///     word: Mutex<Option<u32>>,
/// }
///
/// impl Revoke for Secret {
///     fn revoke(&self) {
///         *self.word.lock() = None;
///     }
/// }
///
/// /// In `probe`.
/// fn secret(device: &Device<Core<'_>>) -> Result<Arc<Secret>> {
///     let secret = Arc::pin_init(pin_init!(Secret { word <- new_mutex!(Some(42)) }), GFP_KERNEL)?;
///     at_unbind(device, secret.clone())?;
///     Ok(secret)
/// }
/// ```
pub fn at_unbind<T: Revoke>(device: &Device<Core<'_>>, what: Arc<T>) -> Result {
    let raw = core::ptr::from_ref(device).cast::<bindings::device>();
    // SAFETY: A `Device` is a transparent wrapper of a valid `struct device`. What is registered with it is dropped
    // before it leaves its bus.
    devres::register(device, unsafe { Notifier::new(raw, what) }, GFP_KERNEL)
}

/// Hears of what the bus does with a device, until dropped.
///
/// # Invariants
///
/// `block` is registered with `bus`, and the first field, so that a pointer to it is one to this structure.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Notifier<T: Revoke> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    bus: *const bindings::bus_type,
    /// Only compared.
    device: *const bindings::device,
    what: Arc<T>,
}

// SAFETY: A notifier may be unregistered by any thread.
unsafe impl<T: Revoke> Send for Notifier<T> {}

impl<T: Revoke> Notifier<T> {
    /// # Safety
    ///
    /// `device` must be valid, and its bus stay registered until this is dropped.
    pub(crate) unsafe fn new(
        device: *const bindings::device,
        what: Arc<T>,
    ) -> impl PinInit<Self, Error> {
        // SAFETY: By the requirement of this function. The bus of a device stays the same.
        let of = unsafe { (*device).bus };
        try_pin_init!(Self {
            // Before it is registered: it may be called at once.
            bus: of,
            device,
            what,
            block <- Opaque::try_ffi_init(move |slot: *mut bindings::notifier_block| {
                if of.is_null() {
                    return Err(EINVAL);
                }
                // SAFETY: The slot may be written to, and stays where it is until `drop` unregisters it. A bus
                // that has a device is registered.
                unsafe {
                    slot.write(pin_init::zeroed());
                    (*slot).notifier_call = Some(Self::notified);
                    to_result(bindings::bus_register_notifier(of, slot))
                }
            }),
        })
    }

    /// # Safety
    ///
    /// `block` must be the first field of a `Self` that is registered, and `device` the device that the event
    /// is about.
    unsafe extern "C" fn notified(
        block: *mut bindings::notifier_block,
        event: c_ulong,
        device: *mut c_void,
    ) -> c_int {
        // SAFETY: By the requirement of this function and the type invariant.
        let this = unsafe { &*block.cast::<Self>() };
        let is_it = core::ptr::eq(device.cast::<bindings::device>(), this.device);
        if is_it
            && [
                ffi::BUS_NOTIFY_UNBIND_DRIVER,
                ffi::BUS_NOTIFY_DRIVER_NOT_BOUND,
            ]
            .contains(&event)
        {
            this.what.revoke();
        }
        ffi::NOTIFY_DONE
    }
}

#[pinned_drop]
impl<T: Revoke> PinnedDrop for Notifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. It cannot fail for what is registered, and waits until nobody is
        // being told by it.
        unsafe { bindings::bus_unregister_notifier(self.bus, self.block.get()) };
        // The bus has said so before, unless the device could not be probed.
        self.what.revoke();
    }
}
