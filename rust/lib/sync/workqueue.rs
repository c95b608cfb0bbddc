// SPDX-License-Identifier: GPL-2.0-only

//! A workqueue of one's own.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)
//!
//! Documentation: [`Documentation/core-api/workqueue.rst`](srctree/Documentation/core-api/workqueue.rst)

use crate::ffi;
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*,
    workqueue::{
        Queue,
        RawWorkItem, //
    }, //
};

/// A queue whose work is done by threads of the kernel, as much at a time as there is. Dropping it waits until
/// all that was put in is done, so that a module whose queue is gone runs no work any more. That is not true of
/// delayed work, whose timer would find the queue gone; so it takes none.
///
/// # Invariants
///
/// `queue` was made by `alloc_workqueue()`, and is owned.
///
/// # Examples
///
/// ```
/// use kernel::{
///     impl_has_work,
///     new_work,
///     prelude::*,
///     sync::Arc,
///     workqueue::{Work, WorkItem},
/// };
/// use mapkit::sync::workqueue::OwnQueue;
///
/// #[pin_data]
/// struct Job {
///     #[pin]
///     work: Work<Job>,
/// }
///
/// impl_has_work! {
///     impl HasWork<Self> for Job { self.work }
/// }
///
/// impl WorkItem for Job {
///     type Pointer = Arc<Self>;
///
///     fn run(_: Arc<Self>) {
///         // … in a thread of the queue …
///     }
/// }
///
/// /// Has a job done. When this returns, it is.
/// fn work() -> Result {
///     let queue = OwnQueue::new(c"example")?;
///     let job = Arc::pin_init(pin_init!(Job { work <- new_work!("Job") }), GFP_KERNEL)?;
///     // It is in no queue yet.
///     let _ = queue.enqueue(job);
///     Ok(())
/// }
/// # fn main() {}
/// ```
pub struct OwnQueue {
    queue: NonNull<bindings::workqueue_struct>,
}

// SAFETY: A workqueue is not tied to a thread.
unsafe impl Send for OwnQueue {}
// SAFETY: Work may be put in by several threads at once.
unsafe impl Sync for OwnQueue {}

impl OwnQueue {
    /// An empty queue called `name`. `ENOMEM` without memory.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The name is a string, which is copied.
        let queue = unsafe { ffi::mapkit_alloc_workqueue(name.as_char_ptr()) };
        // INVARIANT: It was just made.
        Ok(Self {
            queue: NonNull::new(queue).ok_or(ENOMEM)?,
        })
    }

    /// Puts work in, unless it is in a queue already: what that means is up to `W`, as with
    /// [`Queue::enqueue`].
    pub fn enqueue<W, const ID: u64>(&self, work: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        // SAFETY: By the type invariant it is valid as long as `self` is, which is borrowed for longer
        // than this is used.
        let queue = unsafe { Queue::from_raw(self.queue.as_ptr()) };
        queue.enqueue(work)
    }
}

impl Drop for OwnQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody puts anything in any more, as that borrows `self`. What
        // was put in may not be waiting for this, as it would do so in vain.
        unsafe { bindings::destroy_workqueue(self.queue.as_ptr()) };
    }
}
