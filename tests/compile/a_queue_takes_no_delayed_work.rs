// SPDX-License-Identifier: GPL-2.0-only

//! A queue that is dropped waits for its work, but not for a timer that would put some in.

use kernel::{
    sync::Arc,
    workqueue::{HasDelayedWork, RawDelayedWorkItem, WorkItem},
};
use mapkit::sync::workqueue::OwnQueue;

pub fn later<T>(queue: &OwnQueue, work: Arc<T>)
where
    T: WorkItem<1, Pointer = Arc<T>> + HasDelayedWork<T, 1> + Send + Sync + 'static,
    Arc<T>: RawDelayedWorkItem<1>,
{
    let _ = queue.enqueue_delayed(work, 100); //~ E0599
}
