// SPDX-License-Identifier: GPL-2.0-only

//! GPIO controllers of gpiolib, and of their lines' interrupts: `/dev/gpiochipN`, which libgpiod's
//! tools use, consumers in the kernel, `/sys/kernel/debug/gpio`.
//!
//! Who uses it links `gpio_chip.o` into the module.
//!
//! C header: [`include/linux/gpio/driver.h`](srctree/include/linux/gpio/driver.h)
//!
//! Documentation: [`Documentation/driver-api/gpio/driver.rst`](srctree/Documentation/driver-api/gpio/driver.rst)

mod callbacks;
mod lines;

use crate::ffi;
use callbacks::Callbacks;
use core::ptr;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::from_err_ptr,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

pub use lines::{
    Detect,
    Lines,
    Names,
    LINES, //
};

/// A chip, registered until dropped.
///
/// # Invariants
///
/// `raw` is what `mapkit_gpio_chip_register` returned for `lines`. `raw` of each line in `held` that has users is
/// what `mapkit_gpio_chip_hold` returned for it, and was not let go.
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::{Bound, Device},
///     prelude::*,
///     sync::Arc,
/// };
/// use mapkit::{
///     device::gpio_chip::{Detect, GpioChip, Lines},
///     sync::irq_lock::IrqLock,
/// };
///
/// /// Lines that are all outputs, and kept in memory.
/// #[pin_data]
/// struct Outputs {
///     #[pin]
///     levels: IrqLock<u32>,
/// }
///
/// impl Lines for Outputs {
///     fn can_interrupt(&self) -> bool {
///         false
///     }
///
///     fn request(&self, _line: u32) -> Result {
///         Ok(())
///     }
///
///     fn free(&self, _line: u32) {}
///
///     fn is_input(&self, _line: u32) -> Result<bool> {
///         Ok(false)
///     }
///
///     fn make_input(&self, _line: u32) -> Result {
///         Err(EINVAL)
///     }
///
///     fn make_output(&self, line: u32, high: bool) -> Result {
///         let bit = 1u32.wrapping_shl(line);
///         if high {
///             self.set(bit, 0)
///         } else {
///             self.set(0, bit)
///         }
///     }
///
///     fn levels(&self, lines: u32) -> Result<u32> {
///         Ok(self.levels.with(|levels| *levels & lines))
///     }
///
///     fn set(&self, set: u32, clear: u32) -> Result {
///         self.levels.with(|levels| *levels = *levels & !clear | set);
///         Ok(())
///     }
///
///     fn begin_interrupts(&self, _line: u32) -> Result {
///         Err(EINVAL)
///     }
///
///     fn end_interrupts(&self, _line: u32) {}
///
///     fn detect(&self, _line: u32, _detect: Detect) -> Result {
///         Err(EINVAL)
///     }
///
///     fn mask(&self, _line: u32) {}
///
///     fn unmask(&self, _line: u32) {}
/// }
///
/// /// In `probe`: lines of this device, until what is returned is dropped.
/// fn register(
///     device: &Device<Bound>,
///     module: &'static ThisModule,
///     lines: Arc<Outputs>,
/// ) -> Result<GpioChip<Outputs>> {
///     GpioChip::new(device, module, c"outputs", None, lines)
/// }
/// ```
pub struct GpioChip<T: Lines> {
    raw: *mut ffi::mapkit_gpio_chip,
    held: Pin<KBox<Mutex<[Held; LINES]>>>,
    // What `raw` points to; dropped after `drop` has unregistered it.
    _lines: Arc<T>,
}

/// A line that the chip's driver uses itself.
#[derive(Clone, Copy)]
struct Held {
    raw: *mut ffi::mapkit_gpio_line,
    users: usize,
}

// SAFETY: A chip may be unregistered, and lines held and let go, by any thread.
unsafe impl<T: Lines> Send for GpioChip<T> {}
// SAFETY: Interrupts may be handled by several threads at once; what is held has a lock.
unsafe impl<T: Lines> Sync for GpioChip<T> {}

impl<T: Lines> GpioChip<T> {
    /// Registers a chip that is a part of `parent`. Lines without names here have those of the
    /// device's property `gpio-line-names`.
    ///
    /// `EOPNOTSUPP` if the kernel has no gpiolib.
    pub fn new(
        parent: &Device<Bound>,
        module: &'static ThisModule,
        label: &'static CStr,
        names: Option<&Names>,
        lines: Arc<T>,
    ) -> Result<Self> {
        let names =
            names.map(|names| names.map(|name| name.map_or(ptr::null(), CStr::as_char_ptr)));
        let nothing = Held {
            raw: ptr::null_mut(),
            users: 0,
        };
        let held = KBox::pin_init(new_mutex!([nothing; LINES]), GFP_KERNEL)?;
        let operations = match lines.can_interrupt() {
            true => Callbacks::<T>::WITH_INTERRUPTS,
            false => Callbacks::<T>::WITHOUT_INTERRUPTS,
        };
        // SAFETY: The strings and the operations are static, and the array of names is copied. `lines`
        // is dropped after `drop` has unregistered the chip, and the callbacks take a pointer to it. A
        // `Device` is a transparent wrapper of a valid `struct device`, of which gpiolib takes a
        // reference.
        let raw = unsafe {
            ffi::mapkit_gpio_chip_register(
                ptr::from_ref(parent).cast_mut().cast(),
                module.as_ptr(),
                label.as_char_ptr(),
                names.as_ref().map_or(ptr::null(), |names| names.as_ptr()),
                operations,
                Arc::as_ptr(&lines).cast_mut().cast(),
            )
        };
        // INVARIANT: Of these lines, of which none is held.
        Ok(Self {
            raw: from_err_ptr(raw)?,
            held,
            _lines: lines,
        })
    }

    /// A line's interrupt has come: calls whoever has requested it. From an interrupt handler only. An
    /// edge is acknowledged before, a level masked meanwhile.
    pub fn interrupt(&self, line: u32) {
        // SAFETY: By the type invariant the chip is registered. Nothing happens for a line that it does
        // not have, or that nobody has requested.
        unsafe { ffi::mapkit_gpio_chip_interrupt(self.raw, line) };
    }

    /// The chip's driver uses a line itself, until [`let_go`](Self::let_go) is called as often as this: gpiolib refuses
    /// it to others, and tells that `consumer` has it, or who held it first. May sleep.
    ///
    /// [`Lines::request`] must refuse the line to others from before on; it is not called for this. The
    /// direction is the line's own: it is asked for. `EBUSY` if somebody else has the line, `EINVAL` if there is no
    /// such one.
    pub fn hold(&self, line: u32, consumer: &'static CStr) -> Result {
        let mut lines = self.held.lock();
        let held = lines.get_mut(line as usize).ok_or(EINVAL)?;
        if held.users == 0 {
            // SAFETY: By the type invariant the chip is registered and has this line, which is not held. The name
            // is a string, which is copied. The lock sees to it that there is one call at a time.
            let raw = unsafe { ffi::mapkit_gpio_chip_hold(self.raw, line, consumer.as_char_ptr()) };
            held.raw = from_err_ptr(raw)?;
        }
        // INVARIANT: If it is the first user, it was just held.
        held.users = held.users.checked_add(1).ok_or(EOVERFLOW)?;
        Ok(())
    }

    /// Ends one such use. Nothing happens for a line that is not held.
    pub fn let_go(&self, line: u32) {
        let mut lines = self.held.lock();
        let Some(held) = lines.get_mut(line as usize) else {
            return;
        };
        held.users = match held.users {
            0 => return,
            1 => {
                // SAFETY: By the type invariant it is held, and is no more: the lock is held.
                unsafe { ffi::mapkit_gpio_chip_let_go(self.raw, held.raw) };
                0
            }
            more => more.wrapping_sub(1),
        };
    }

    /// Has gpiolib ask [`Lines::is_input`] for the direction of a line that is held, which has changed it.
    pub fn update_direction(&self, line: u32) {
        let lines = self.held.lock();
        let held = lines.get(line as usize).filter(|held| held.users != 0);
        if let Some(held) = held {
            // SAFETY: By the type invariant it is held.
            unsafe { ffi::mapkit_gpio_chip_update_direction(held.raw) };
        }
    }
}

impl<T: Lines> Drop for GpioChip<T> {
    fn drop(&mut self) {
        for held in self.held.lock().iter_mut().filter(|held| held.users != 0) {
            held.users = 0;
            // SAFETY: By the type invariant it is held; it is no more.
            unsafe { ffi::mapkit_gpio_chip_let_go(self.raw, held.raw) };
        }
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_gpio_chip_unregister(self.raw) };
    }
}
