// SPDX-License-Identifier: GPL-2.0-only

//! Waiting for something that is told from any context, through signals and the system's sleep.

use crate::sync::deadline::Deadline;
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_long, //
    },
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// Threads of programs that wait.
///
/// Unlike those of the `kernel` crate's `CondVar` with a timeout, they stay asleep while the system does: the
/// freezer of tasks ends no wait.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::atomic::{Atomic, Relaxed}};
/// use mapkit::sync::{deadline::Deadline, wait_queue::WaitQueue};
///
/// fn wait(queue: &WaitQueue, count: &Atomic<u32>) -> Result<u32> {
///     queue.wait(&Deadline::after(1000), || Some(count.load(Relaxed)).filter(|count| *count != 0))
/// }
///
/// fn tell(queue: &WaitQueue, count: &Atomic<u32>) {
///     count.store(1, Relaxed);
///     queue.wake_all();
/// }
/// ```
///
/// # Invariants
///
/// `head` is initialized.
#[pin_data]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A `struct wait_queue_head` may be used by several threads and interrupt handlers at once.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

/// A thread that is told of a signal, and that the freezer leaves where it is.
const STATE: c_int = (bindings::TASK_INTERRUPTIBLE | bindings::TASK_FREEZABLE) as c_int;

impl WaitQueue {
    /// Nobody waits. `key` is of the queue's lock, for lockdep.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        // INVARIANT: It is initialized here.
        pin_init!(Self {
            head <- Opaque::ffi_init(|slot: *mut bindings::wait_queue_head| {
                // SAFETY: The initializer may write to the slot; the name and the key are static.
                unsafe { bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr()) };
            }),
        })
    }

    /// Sleeps until `ready` has something, which is asked at once, and after each [`wake_all`](Self::wake_all).
    /// It must not sleep.
    ///
    /// `ETIMEDOUT` after `deadline`, `ERESTARTSYS` if a signal comes, by which a program is also stopped.
    pub fn wait<R>(&self, deadline: &Deadline, mut ready: impl FnMut() -> Option<R>) -> Result<R> {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: It is memory for an entry, which is taken off the queue below, before it is gone.
        unsafe { bindings::init_wait(entry.get()) };
        let result = loop {
            // Before `ready` is asked: what is told from now on is not missed.
            // SAFETY: By the type invariant; the entry is initialized.
            unsafe { bindings::prepare_to_wait(self.head.get(), entry.get(), STATE) };
            if let Some(result) = ready() {
                break Ok(result);
            }
            let left = deadline.left();
            if left == 0 {
                break Err(ETIMEDOUT);
            }
            if kernel::current!().signal_pending() {
                break Err(ERESTARTSYS);
            }
            // SAFETY: The caller may sleep, for any time; the largest is for ever.
            unsafe { bindings::schedule_timeout(c_long::try_from(left).unwrap_or(c_long::MAX)) };
        };
        // SAFETY: As above.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        result
    }

    /// Has all who wait ask again. May be called from any context, except where interrupts are threads
    /// (`PREEMPT_RT`): there it may sleep.
    pub fn wake_all(&self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::TASK_NORMAL,
                0,
                core::ptr::null_mut(),
            )
        };
    }
}
