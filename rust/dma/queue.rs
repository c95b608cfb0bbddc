// SPDX-License-Identifier: GPL-2.0-only

//! Transfers that are made later: a file's queue.

use crate::{
    channel::Channel,
    transfer::Transfer, //
};
use kernel::{
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use mapkit::eventfd::EventFd;
use mapwright_uapi as uapi;

/// How a transfer ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ended {
    pub(crate) cookie: u64,
    /// An errno, or 0.
    pub(crate) error: u32,
}

/// What is queued, and what has ended.
pub(crate) struct Queue {
    /// Transfers that have not ended.
    waiting: u32,
    /// Those that have, the first at `first`.
    ended: [Ended; uapi::MAX_QUEUED as usize],
    first: usize,
    count: usize,
}

impl Queue {
    /// An empty queue.
    pub(crate) const EMPTY: Self = Self {
        waiting: 0,
        ended: [Ended {
            cookie: 0,
            error: 0,
        }; uapi::MAX_QUEUED as usize],
        first: 0,
        count: 0,
    };

    /// Makes room for one more; `EAGAIN` if there is none.
    pub(crate) fn reserve(&mut self) -> Result {
        if (self.waiting as usize).wrapping_add(self.count) >= self.ended.len() {
            return Err(EAGAIN);
        }
        self.waiting = self.waiting.wrapping_add(1);
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn cancel(&mut self) {
        self.waiting = self.waiting.wrapping_sub(1);
    }

    /// One has ended.
    pub(crate) fn push(&mut self, ended: Ended) {
        self.waiting = self.waiting.wrapping_sub(1);
        let at = self.first.wrapping_add(self.count) % self.ended.len();
        if let Some(slot) = self.ended.get_mut(at) {
            *slot = ended;
            self.count = self.count.wrapping_add(1);
        }
    }

    /// The first that has ended; `EAGAIN` if none has.
    pub(crate) fn pop(&mut self) -> Result<Ended> {
        self.count = self.count.checked_sub(1).ok_or(EAGAIN)?;
        let ended = self.ended.get(self.first).copied().ok_or(EAGAIN)?;
        self.first = self.first.wrapping_add(1) % self.ended.len();
        Ok(ended)
    }

    /// Whether all have ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    /// Whether there is one to tell of.
    pub(crate) fn has_ended(&self) -> bool {
        self.count > 0
    }
}

/// A transfer in the queue.
#[pin_data]
pub(crate) struct Job {
    channel: Arc<Channel>,
    /// Until it has ended.
    #[pin]
    transfer: Mutex<Option<Transfer>>,
    cookie: u64,
    eventfd: Option<EventFd>,
    #[pin]
    work: Work<Job>,
}

impl_has_work! {
    impl HasWork<Self> for Job { self.work }
}

impl Job {
    pub(crate) fn new(
        channel: Arc<Channel>,
        transfer: Transfer,
        cookie: u64,
        eventfd: Option<EventFd>,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                channel,
                transfer <- new_mutex!(Some(transfer)),
                cookie,
                eventfd,
                work <- new_work!("mapwright_dma::Job"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }
}

impl WorkItem for Job {
    type Pointer = Arc<Self>;

    fn run(job: Arc<Self>) {
        let channel = &job.channel;
        let Some(transfer) = job.transfer.lock().take() else {
            return;
        };
        let result = channel.run(&transfer, &|| channel.is_closed());
        // Who hears of its end finds that it holds no region any more.
        drop(transfer);
        channel.ended(Ended {
            cookie: job.cookie,
            error: result.map_or_else(|err| err.to_errno().unsigned_abs(), |()| 0),
        });
        if let Some(eventfd) = &job.eventfd {
            eventfd.signal();
        }
    }
}
