// SPDX-License-Identifier: GPL-2.0-only

//! A workqueue of one's own.

use crate::ffi;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    workqueue::Queue, //
};

/// A queue whose work is done one after the other. Dropping it waits until all that was put in is done,
/// so that a module whose queue is gone runs no work any more.
///
/// # Invariants
///
/// `queue` was made by `alloc_ordered_workqueue()`, and is owned.
pub struct OrderedQueue {
    queue: NonNull<bindings::workqueue_struct>,
}

// SAFETY: A workqueue is not tied to a thread.
unsafe impl Send for OrderedQueue {}
// SAFETY: Work may be put in by several threads at once.
unsafe impl Sync for OrderedQueue {}

impl OrderedQueue {
    /// An empty queue called `name`. `ENOMEM` without memory.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The name is a string, which is copied.
        let queue = unsafe { ffi::mapkit_alloc_ordered_workqueue(name.as_char_ptr()) };
        // INVARIANT: It was just made.
        Ok(Self {
            queue: NonNull::new(queue.cast()).ok_or(ENOMEM)?,
        })
    }
}

impl Deref for OrderedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariant it is valid as long as `self` is.
        unsafe { Queue::from_raw(self.queue.as_ptr()) }
    }
}

impl Drop for OrderedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody puts anything in any more, as that borrows `self`. What
        // was put in may not be waiting for this, as it would do so in vain.
        unsafe { bindings::destroy_workqueue(self.queue.as_ptr()) };
    }
}
