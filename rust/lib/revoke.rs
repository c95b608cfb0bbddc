// SPDX-License-Identifier: GPL-2.0-only

//! What programs hold of a device is taken back when it goes.
//!
//! A driver that is unbound waits for no program. What a program holds is taken from it instead, by
//! [`Revoke::revoke`], which [`at_unbind`] has called whatever the driver does: before the driver's own
//! `unbind`, and so before the bus lets go of the device and before another driver or another IOMMU domain
//! may have it. After that the program finds `ENODEV`, and `SIGBUS` where it has something mapped.
//!
//! [`RegisterPage`](crate::register_page::RegisterPage) and [`DmaDevice`](crate::dma::DmaDevice) register
//! themselves, so that a driver that uses them cannot forget it. The latter revokes all that was allocated and
//! mapped for it. [`Revocable`] is memory that can be taken back while programs have it mapped.
//!
//! The lock of a [`Revocable`] is taken with that of an address space held, and before that of a
//! [`Space`].

use crate::{
    backing::Backing,
    ffi,
    space::Space,
    task::check_not_killed, //
};
use core::{
    cmp::min,
    ops::Deref, //
};
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
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        Mutex, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// What can be taken back from programs.
pub trait Revoke: Send + Sync + 'static {
    /// Takes it back, for good. It must not wait for a program; it may be called more than once.
    fn revoke(&self);
}

/// Has `what` revoked when `device` loses its driver, or does not get it after all.
///
/// `EINVAL` if the device is of no bus.
pub fn at_unbind<T: Revoke>(device: &Device<Core<'_>>, what: Arc<T>) -> Result {
    devres::register(device, Notifier::new(device, what), GFP_KERNEL)
}

/// Hears of what the bus does with a device, until dropped.
///
/// # Invariants
///
/// `block` is registered with `bus`, and the first field, so that a pointer to it is one to this structure.
#[repr(C)]
#[pin_data(PinnedDrop)]
struct Notifier<T: Revoke> {
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
    fn new(device: &Device<Core<'_>>, what: Arc<T>) -> impl PinInit<Self, Error> {
        let device = core::ptr::from_ref(device).cast::<bindings::device>();
        // SAFETY: A `Device` is a transparent wrapper of a valid `struct device`, whose bus stays the same.
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

/// Memory that can be taken back, even while programs have it mapped.
///
/// A [`Backing`] that has one shows no memory by itself, only by [`hold`](Self::hold).
#[pin_data]
pub struct Revocable {
    #[pin]
    state: Mutex<State>,
}

struct State {
    /// Until it was taken back.
    memory: Option<KBox<dyn Backing>>,
    /// Where programs may have it mapped.
    mapped: Option<Place>,
}

/// Pages of a file, from `first` on.
struct Place {
    space: Arc<Space>,
    first: usize,
}

impl Revocable {
    /// `memory`, until it is taken back.
    pub(crate) fn new(memory: KBox<dyn Backing>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(State {
                    memory: Some(memory),
                    mapped: None,
                }),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Keeps the memory from being taken back until what is returned is dropped, for which whoever takes it
    /// back waits: not to be kept for longer than the kernel alone needs. `ENODEV` if it was taken back.
    pub fn hold(&self) -> Result<Held<'_>> {
        let state = self.state.lock();
        let memory: *const dyn Backing = &**state.memory.as_ref().ok_or(ENODEV)?;
        // INVARIANT: It is what `state` has, which is locked.
        Ok(Held {
            memory,
            _state: Some(state),
        })
    }

    /// Has a fault handler that [holds](Self::hold) the memory map it into VMAs of `space`, whose page `first`
    /// is the first of it. `ENODEV` if it was taken back, `EXDEV` if another space has it mapped.
    pub(crate) fn map_in(&self, space: &Arc<Space>, first: usize) -> Result {
        let mut state = self.state.lock();
        if state.memory.is_none() {
            return Err(ENODEV);
        }
        match &state.mapped {
            Some(place) if !Arc::ptr_eq(&place.space, space) || place.first != first => Err(EXDEV),
            Some(_) => Ok(()),
            None => {
                let space = space.clone();
                state.mapped = Some(Place { space, first });
                Ok(())
            }
        }
    }

    /// As [`copy_to_iter`](trait.Backing.html#method.copy_to_iter) of the memory. What the program copies to
    /// may be on a disk, or another program's to provide, which is not waited for while the memory is held.
    pub(crate) fn copy_to_iter(&self, offset: usize, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let copy =
            |memory: &dyn Backing, at, iov: &mut IovIterDest<'_>| memory.copy_to_iter(at, iov);
        let fault_in = |iov: &mut IovIterDest<'_>| {
            let bytes = min(iov.len(), PAGE_SIZE);
            // SAFETY: The iterator is valid.
            unsafe { bindings::fault_in_iov_iter_writeable(iov.as_raw(), bytes) < bytes }
        };
        self.copy(offset, iov, copy, fault_in)
    }

    /// As [`copy_from_iter`](trait.Backing.html#method.copy_from_iter) of the memory, and as above.
    pub(crate) fn copy_from_iter(
        &self,
        offset: usize,
        iov: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        let copy =
            |memory: &dyn Backing, at, iov: &mut IovIterSource<'_>| memory.copy_from_iter(at, iov);
        let fault_in = |iov: &mut IovIterSource<'_>| {
            let bytes = min(iov.len(), PAGE_SIZE);
            // SAFETY: The iterator is valid.
            unsafe { bindings::fault_in_iov_iter_readable(iov.as_raw(), bytes) < bytes }
        };
        self.copy(offset, iov, copy, fault_in)
    }

    /// Copies with `copy` as far as the program's memory is mapped, and has `fault_in` map more of it, as long
    /// as it can.
    fn copy<I>(
        &self,
        offset: usize,
        iov: &mut I,
        copy: impl Fn(&dyn Backing, usize, &mut I) -> Result<usize>,
        fault_in: impl Fn(&mut I) -> bool,
    ) -> Result<usize> {
        let mut done = 0usize;
        loop {
            let copied = self.hold().map(|held| {
                let _faults = NoPageFaults::new();
                copy(&*held, offset.wrapping_add(done), iov)
            });
            let failed = match copied {
                Ok(Ok(0)) => return Ok(done),
                Ok(Ok(bytes)) => {
                    done = done.wrapping_add(bytes);
                    check_not_killed()
                }
                Ok(Err(_)) if fault_in(iov) => check_not_killed(),
                Ok(Err(err)) | Err(err) => Err(err),
            };
            match failed {
                Ok(()) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(err) => return Err(err),
            }
        }
    }
}

impl Revoke for Revocable {
    fn revoke(&self) {
        let mut state = self.state.lock();
        let Some(memory) = state.memory.take() else {
            return;
        };
        if let Some(place) = state.mapped.take() {
            // Fault handlers, which map it, wait for the lock, and then find nothing.
            place.space.zap(place.first, memory.nr_pages());
        }
        // With the lock held: who drops it the usual way waits until it is gone, too.
        drop(memory);
    }
}

/// Memory that is not taken back as long as this exists.
///
/// # Invariants
///
/// `memory` is valid as long as the lock is held, or for `'a` if there is none.
pub struct Held<'a> {
    memory: *const (dyn Backing + 'a),
    _state: Option<Guard<'a, State, MutexBackend>>,
}

impl<'a> Held<'a> {
    /// Memory that cannot be taken back.
    pub(crate) fn lasting(memory: &'a dyn Backing) -> Self {
        // INVARIANT: It is borrowed for `'a`.
        Self {
            memory,
            _state: None,
        }
    }
}

impl<'a> Deref for Held<'a> {
    type Target = dyn Backing + 'a;

    fn deref(&self) -> &Self::Target {
        // SAFETY: By the type invariant, and `self` is borrowed for as long.
        unsafe { &*self.memory }
    }
}

/// Until it is dropped, this thread's page faults in the kernel fail.
struct NoPageFaults(NotThreadSafe);

impl NoPageFaults {
    fn new() -> Self {
        // SAFETY: It only counts, and `drop` undoes it in the same thread.
        unsafe { ffi::mapkit_pagefault_disable() };
        Self(NotThreadSafe)
    }
}

impl Drop for NoPageFaults {
    fn drop(&mut self) {
        // SAFETY: `new` did the opposite in this thread.
        unsafe { ffi::mapkit_pagefault_enable() };
    }
}
