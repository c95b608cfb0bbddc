// SPDX-License-Identifier: GPL-2.0-only

//! Waiting until an interrupt handler says that something is done, but not forever.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)
//!
//! Documentation: [`Documentation/scheduler/completion.rst`](srctree/Documentation/scheduler/completion.rst)

use kernel::{
    bindings,
    prelude::*,
    time::Jiffies,
    types::Opaque, //
};

/// Something that is announced once for each time that it is awaited, from any context.
///
/// # Invariants
///
/// `inner` is initialized.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, time::msecs_to_jiffies};
/// use mapkit::sync::completion::Announcement;
///
/// #[pin_data]
/// struct Engine {
///     #[pin]
///     done: Announcement,
/// }
///
/// impl Engine {
///     /// Called in the interrupt handler.
///     fn interrupted(&self) {
///         self.done.announce();
///     }
///
///     /// `ETIMEDOUT` if the device does not say within a second that it is done.
///     fn run(&self, begin: impl FnOnce()) -> Result {
///         // What an earlier run has announced too late.
///         self.done.forget();
///         begin();
///         match self.done.wait(msecs_to_jiffies(1000)) {
///             true => Ok(()),
///             false => Err(ETIMEDOUT),
///         }
///     }
/// }
/// ```
#[pin_data]
pub struct Announcement {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A `struct completion` may be used by several threads and interrupt handlers at once.
unsafe impl Send for Announcement {}
// SAFETY: As above.
unsafe impl Sync for Announcement {}

impl Announcement {
    /// Nothing is announced yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: The initializer may write to the slot.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Announces it. May be called from an interrupt handler.
    pub fn announce(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::complete(self.inner.get()) };
    }

    /// Forgets what was announced but not awaited.
    pub fn forget(&self) {
        // SAFETY: By the type invariant; trying takes the completion's lock, and never sleeps.
        while unsafe { bindings::try_wait_for_completion(self.inner.get()) } {}
    }

    /// Waits until it is announced, at most for `timeout`, whatever signals there are. Returns whether
    /// it was.
    #[must_use]
    pub fn wait(&self, timeout: Jiffies) -> bool {
        // SAFETY: By the type invariant; the caller may sleep.
        unsafe { bindings::wait_for_completion_timeout(self.inner.get(), timeout) != 0 }
    }
}
