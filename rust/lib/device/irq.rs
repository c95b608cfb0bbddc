// SPDX-License-Identifier: GPL-2.0-only

//! Interrupts of a device that may lose its driver at any time.
//!
//! A [`Request`] names an interrupt of a device, and a [`Registration`] has a [`Handler`] called for it.
//!
//! C header: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h)
//!
//! Documentation: [`Documentation/core-api/genericirq.rst`](srctree/Documentation/core-api/genericirq.rst)

use crate::{
    base::errno::to_result,
    series::irq_return::{
        self,
        irqreturn_t, //
    }, //
};
use core::marker::PhantomPinned;
#[cfg(CONFIG_PCI)]
use kernel::pci;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    devres::{
        self,
        Devres, //
    },
    ffi::{
        c_int,
        c_uint,
        c_ulong,
        c_void, //
    },
    irq::{
        IrqReturn,
        ThreadedIrqReturn, //
    },
    platform,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// An interrupt of a device, to be handled.
///
/// # Invariants
///
/// `irq` is the number of an interrupt of `device`, which stays that for as long as the device is bound.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, pci, prelude::*};
/// use mapkit::device::irq::{Request, Signal};
///
/// /// In `probe`: a message if the function can send one, for which it must be a bus master; else the wire.
/// fn interrupt<'a>(device: &'a pci::Device<Core<'_>>) -> Result<Request<'a>> {
///     Request::of_pci(device, Signal::Message).or_else(|_| Request::of_pci(device, Signal::Wire))
/// }
/// ```
pub struct Request<'a> {
    device: &'a Device<Bound>,
    irq: c_uint,
    /// `IRQF_…` of `include/linux/interrupt.h`.
    flags: c_ulong,
}

/// How a PCI function raises its interrupt.
///
/// For an example, see [`Request`].
#[cfg(CONFIG_PCI)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A message (MSI): a write to memory, so the function must be a bus master.
    Message,
    /// The wire that it shares with other functions (INTx).
    Wire,
}

impl<'a> Request<'a> {
    /// The interrupt of a PCI function, raised by `signal`. The kernel's errno if it has none of these.
    ///
    /// May be called with success once while the device is bound, which frees the vector when it loses its
    /// driver.
    #[cfg(CONFIG_PCI)]
    pub fn of_pci(device: &'a pci::Device<Bound>, signal: Signal) -> Result<Self> {
        let (kind, flags) = match signal {
            Signal::Message => (bindings::PCI_IRQ_MSI, 0),
            Signal::Wire => (bindings::PCI_IRQ_INTX, bindings::IRQF_SHARED),
        };
        let raw = core::ptr::from_ref(device).cast_mut().cast();
        // SAFETY: A `pci::Device` is a transparent wrapper of a valid `struct pci_dev`, and this one is bound.
        to_result(unsafe { bindings::pci_alloc_irq_vectors(raw, 1, 1, kind) })?;
        // If this fails, the vector is freed at once.
        devres::register(device.as_ref(), Vector(device.into()), GFP_KERNEL)?;
        // SAFETY: As above.
        let irq = unsafe { bindings::pci_irq_vector(raw, 0) };
        to_result(irq)?;
        // INVARIANT: It is the function's until the vector is freed, after the driver is gone.
        Ok(Self {
            device: device.as_ref(),
            irq: irq as c_uint,
            flags: flags as c_ulong,
        })
    }

    /// The interrupt number `index` of a platform device. `ENXIO` if it has no such one, `EPROBE_DEFER` if its
    /// controller is not there yet.
    pub fn of_platform(device: &'a platform::Device<Bound>, index: u32) -> Result<Self> {
        let raw = core::ptr::from_ref(device).cast_mut().cast();
        // SAFETY: A `platform::Device` is a transparent wrapper of a valid `struct platform_device`.
        let irq = unsafe { bindings::platform_get_irq(raw, index) };
        to_result(irq)?;
        // INVARIANT: The device has it for as long as it exists.
        Ok(Self {
            device: device.as_ref(),
            irq: irq as c_uint,
            flags: 0,
        })
    }
}

/// The interrupt vector of a PCI function, freed when dropped.
#[cfg(CONFIG_PCI)]
struct Vector(ARef<pci::Device>);

#[cfg(CONFIG_PCI)]
impl Drop for Vector {
    fn drop(&mut self) {
        // SAFETY: It was allocated for this function; what was registered for it was dropped before, as
        // it was registered with the device later.
        unsafe { bindings::pci_free_irq_vectors(core::ptr::from_ref(&*self.0).cast_mut().cast()) };
    }
}

/// Called for the interrupts of a device that has its driver.
///
/// For an example, see [`Registration`].
pub trait Handler: Send + Sync + 'static {
    /// Whether there is a thread that [`handle_threaded`](Self::handle_threaded) is called in.
    const THREADED: bool;

    /// An interrupt came: in hard interrupt context, where nothing sleeps; on a real-time kernel and with
    /// `threadirqs` in a thread, with interrupts enabled.
    ///
    /// `WakeThread` is for a handler that is [`THREADED`](Self::THREADED).
    fn handle(&self, device: &Device<Bound>) -> ThreadedIrqReturn;

    /// The handler has woken its thread, which this is called in and may sleep.
    fn handle_threaded(&self, _device: &Device<Bound>) -> IrqReturn {
        IrqReturn::None
    }
}

impl<T: Handler> Handler for Arc<T> {
    const THREADED: bool = T::THREADED;

    fn handle(&self, device: &Device<Bound>) -> ThreadedIrqReturn {
        T::handle(self, device)
    }

    fn handle_threaded(&self, device: &Device<Bound>) -> IrqReturn {
        T::handle_threaded(self, device)
    }
}

/// Has a handler called for an interrupt until this is dropped, or the device loses its driver.
///
/// # Examples
///
/// ```
/// use kernel::{device::{Bound, Device}, irq::ThreadedIrqReturn, platform, prelude::*};
/// use mapkit::device::irq::{Handler, Registration, Request};
///
/// struct Counter;
///
/// impl Handler for Counter {
///     const THREADED: bool = false;
///
///     fn handle(&self, _device: &Device<Bound>) -> ThreadedIrqReturn {
///         ThreadedIrqReturn::Handled
///     }
/// }
///
/// fn count(device: &platform::Device<Bound>) -> Result<Registration<Counter>> {
///     Registration::new(Request::of_platform(device, 0)?, c"counter", Counter)
/// }
/// ```
pub struct Registration<T: Handler> {
    _registered: Devres<Registered<T>>,
}

impl<T: Handler> Registration<T> {
    /// Has `handler` called for the interrupt `request`, which `/proc/interrupts` calls `name`.
    pub fn new(request: Request<'_>, name: &'static CStr, handler: T) -> Result<Self> {
        let registered = Devres::new(request.device, Registered::new(&request, name, handler))?;
        Ok(Self {
            _registered: registered,
        })
    }
}

/// A handler that may be called.
///
/// # Invariants
///
/// The handler is registered for `irq`, with a pointer to this, and `device` is bound.
#[pin_data(PinnedDrop)]
struct Registered<T: Handler> {
    irq: c_uint,
    device: ARef<Device>,
    handler: T,
    // The kernel has its address.
    #[pin]
    _pin: PhantomPinned,
}

impl<T: Handler> Registered<T> {
    fn new<'a>(
        request: &'a Request<'_>,
        name: &'static CStr,
        handler: T,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: 'a,
    {
        let thread = T::THREADED.then_some(call_in_thread::<T> as ThreadFn);
        try_pin_init!(&this in Self {
            irq: request.irq,
            device: request.device.into(),
            handler,
            _pin: PhantomPinned,
            // INVARIANT: All fields are there when it is registered, as the device is bound now, and `Devres`
            // drops this before it no longer is.
            _: {
                // SAFETY: The functions take such a pointer, and this stays where it is until `drop` has
                // taken it back. The name lives as long as the module.
                to_result(unsafe {
                    bindings::request_threaded_irq(
                        request.irq,
                        Some(call::<T>),
                        thread,
                        request.flags,
                        name.as_char_ptr(),
                        this.as_ptr().cast::<c_void>(),
                    )
                })?;
            },
        }? Error)
    }

    /// # Safety
    ///
    /// `this` must be what was registered, and the kernel must be calling a handler.
    unsafe fn of<'a>(this: *mut c_void) -> (&'a T, &'a Device<Bound>) {
        // SAFETY: `drop` waits for the handlers that are being called.
        let this = unsafe { &*this.cast_const().cast::<Self>() };
        // SAFETY: By the type invariant.
        (&this.handler, unsafe { this.device.as_bound() })
    }
}

#[pinned_drop]
impl<T: Handler> PinnedDrop for Registered<T> {
    fn drop(self: Pin<&mut Self>) {
        let irq = self.irq;
        // SAFETY: Nothing is moved.
        let this = core::ptr::from_mut(unsafe { self.get_unchecked_mut() });
        // SAFETY: It was registered with this pointer. Returns when no handler is being called any more.
        unsafe { bindings::free_irq(irq, this.cast::<c_void>()) };
    }
}

type ThreadFn = unsafe extern "C" fn(c_int, *mut c_void) -> irqreturn_t;

/// # Safety
///
/// To be called by the kernel, with what was registered.
unsafe extern "C" fn call<T: Handler>(_irq: c_int, this: *mut c_void) -> irqreturn_t {
    // SAFETY: By the requirement of this function.
    let (handler, device) = unsafe { Registered::<T>::of(this) };
    irq_return::from_number(handler.handle(device) as c_uint)
}

/// # Safety
///
/// To be called by the kernel, with what was registered.
unsafe extern "C" fn call_in_thread<T: Handler>(_irq: c_int, this: *mut c_void) -> irqreturn_t {
    // SAFETY: By the requirement of this function.
    let (handler, device) = unsafe { Registered::<T>::of(this) };
    irq_return::from_number(handler.handle_threaded(device) as c_uint)
}
