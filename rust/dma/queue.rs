// SPDX-License-Identifier: GPL-2.0-only

//! Transfers that are made later: a file's queue.

use crate::{
    transfer::Transfer,
    workers::{
        Worker,
        Workers, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    base::{
        gfp::GFP_FOR_CALLER,
        memcg::Payer, //
    },
    sync::eventfd::EventFd, //
};
use mapwright_uapi as uapi;

/// How a transfer ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ended {
    pub(crate) cookie: u64,
    /// An errno, or 0.
    pub(crate) error: u32,
}

/// A transfer in the queue.
pub(crate) struct Job {
    pub(crate) transfer: Transfer,
    pub(crate) cookie: u64,
    pub(crate) eventfd: Option<EventFd>,
    /// Who is charged for what it takes to make it.
    pub(crate) payer: Payer,
}

/// What is queued, and what has ended.
pub(crate) struct Queue {
    /// The transfers that have not begun, in their order.
    waiting: KVec<Job>,
    /// A transfer is being made.
    running: bool,
    /// Makes the transfers that wait.
    worker: Option<Worker>,
    /// The transfers that have ended, the first at `first`.
    ended: [Ended; uapi::MAX_QUEUED as usize],
    first: usize,
    count: usize,
    /// How many of these programs are being told of.
    telling: usize,
}

impl Queue {
    /// An empty queue.
    pub(crate) const EMPTY: Self = Self {
        waiting: KVec::new(),
        running: false,
        worker: None,
        ended: [Ended {
            cookie: 0,
            error: 0,
        }; uapi::MAX_QUEUED as usize],
        first: 0,
        count: 0,
        telling: 0,
    };

    /// Queues a transfer, for one of `workers` to make; `EAGAIN` if there is no room for how it ends, else what [`Worker::new`]
    /// fails with.
    pub(crate) fn push(&mut self, job: Job, workers: &Arc<Workers>) -> Result {
        let ended = self.count.wrapping_add(self.telling);
        let all = self.waiting.len().wrapping_add(ended);
        if all.wrapping_add(self.running.into()) >= self.ended.len() {
            return Err(EAGAIN);
        }
        self.waiting.reserve(1, GFP_FOR_CALLER)?;
        if self.worker.is_none() {
            self.worker = Some(Worker::new(workers)?);
        }
        Ok(self.waiting.push(job, GFP_FOR_CALLER)?)
    }

    /// Takes the first transfer that waits, to be made now. If none waits, the file's worker ends.
    pub(crate) fn begin(&mut self) -> Option<Job> {
        let Ok(job) = self.waiting.remove(0) else {
            self.worker = None;
            return None;
        };
        self.running = true;
        Some(job)
    }

    /// The transfer that was taken by [`begin`](Self::begin) has ended so.
    pub(crate) fn end(&mut self, ended: Ended) {
        self.running = false;
        self.put(self.count, ended);
    }

    /// Lets no transfer begin any more. Returns those that have not begun, to be dropped with no lock held.
    pub(crate) fn cancel(&mut self) -> KVec<Job> {
        core::mem::replace(&mut self.waiting, KVec::new())
    }

    /// Whether no transfer is being made.
    pub(crate) fn is_idle(&self) -> bool {
        !self.running
    }

    /// Takes the first transfer that has ended, for a program; [`delivered`](Self::delivered) must follow. `EAGAIN`
    /// if none has ended.
    pub(crate) fn tell(&mut self) -> Result<Ended> {
        self.count = self.count.checked_sub(1).ok_or(EAGAIN)?;
        let ended = self.ended.get(self.first).copied().ok_or(EAGAIN)?;
        self.first = self.first.wrapping_add(1) % self.ended.len();
        self.telling = self.telling.wrapping_add(1);
        Ok(ended)
    }

    /// The program has what [`tell`](Self::tell) took, or could not get it: then it is the first again.
    pub(crate) fn delivered(&mut self, ended: Ended, success: bool) {
        self.telling = self.telling.wrapping_sub(1);
        if !success {
            let last = self.ended.len().wrapping_sub(1);
            self.first = self.first.wrapping_add(last) % self.ended.len();
            self.put(0, ended);
        }
    }

    /// Makes `ended` the one at place `at` of those that have, where there is room.
    fn put(&mut self, at: usize, ended: Ended) {
        let at = self.first.wrapping_add(at) % self.ended.len();
        if let Some(slot) = self.ended.get_mut(at) {
            *slot = ended;
            self.count = self.count.wrapping_add(1);
        }
    }

    /// Whether there is one to tell of.
    pub(crate) fn has_ended(&self) -> bool {
        self.count > 0
    }
}
