// SPDX-License-Identifier: GPL-2.0-only

//! How many files may have queued transfers at a time.
//!
//! Each of them keeps a worker of the workqueue: a kernel thread, whose stack no cgroup is charged for.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use mapwright_uapi as uapi;

/// How many files have a worker now.
pub(crate) struct Workers(Atomic<i32>);

impl Workers {
    /// None.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(Atomic::new(0)), GFP_KERNEL)?)
    }
}

/// A file's right to a worker, given back when dropped.
pub(crate) struct Worker(Arc<Workers>);

impl Worker {
    /// `ENOSPC` if [`MAX_QUEUES`](uapi::MAX_QUEUES) files have one.
    pub(crate) fn new(workers: &Arc<Workers>) -> Result<Self> {
        // It counts before it asks: of two who come at the same time, none is counted too late.
        let worker = Self(workers.clone());
        match workers.0.fetch_add(1, Relaxed) < uapi::MAX_QUEUES as i32 {
            true => Ok(worker),
            false => Err(ENOSPC),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0 .0.fetch_sub(1, Relaxed);
    }
}
