// SPDX-License-Identifier: GPL-2.0-only

//! What an open file has beside its regions: a queue of transfers, mappings, imported buffers.

use crate::{
    engine::Engine,
    mappings::Mappings,
    queue::{
        Ended,
        Job,
        Queue, //
    },
    transfer::{
        Transfer,
        With, //
    },
    turns::{
        Place,
        Stopped, //
    }, //
};
use core::{
    cell::Cell,
    ops::Deref, //
};
use kernel::{
    bindings,
    fs::File,
    impl_has_work,
    new_mutex,
    new_poll_condvar,
    new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use mapkit::base::gfp::GFP_FOR_CALLER;
use mapwright_session::Device;

/// What a file and its queued transfers share.
#[pin_data]
pub(crate) struct Channel {
    pub(crate) engine: Arc<Engine>,
    pub(crate) device: Arc<Device>,
    /// The file's place among those that wait for the engine.
    place: Place,
    /// The file is closed: transfers stop.
    closed: Atomic<i32>,
    #[pin]
    pub(crate) mappings: Mutex<Mappings>,
    #[pin]
    pub(crate) queue: Mutex<Queue>,
    /// A transfer has ended.
    #[pin]
    changed: PollCondVar,
    /// Makes what is queued.
    #[pin]
    work: Work<Channel>,
}

impl_has_work! {
    impl HasWork<Self> for Channel { self.work }
}

impl Channel {
    /// Makes a transfer, and counts the bytes that were moved. `stopped` says when to give up.
    pub(crate) fn run(
        &self,
        transfer: &Transfer,
        stopped: &Stopped<'_>,
        moved: &Cell<usize>,
    ) -> Result {
        self.device.dma().in_use(|device| {
            let with = With {
                engine: &self.engine,
                device,
                place: &self.place,
                mappings: &self.mappings,
                stopped,
            };
            transfer.run(&with, moved)
        })?
    }

    /// Has a transfer made later. `EAGAIN` or `ENOSPC` if there are too many, `ENODEV` if the device is gone.
    pub(crate) fn enqueue(self: &Arc<Self>, job: Job) -> Result {
        self.queue.lock().push(job, &self.engine.workers)?;
        self.engine.enqueue(self.clone())
    }

    /// Makes a queued transfer.
    fn make(&self, job: Job) {
        let Job {
            transfer,
            cookie,
            eventfd,
            payer,
        } = job;
        let stopped = || match self.closed.load(Relaxed) {
            0 => Ok(()),
            _ => Err(EINTR),
        };
        let result = payer.charge(|| self.run(&transfer, &stopped, &Cell::new(0)));
        // Who hears of its end finds that it holds no region any more.
        drop(transfer);
        self.queue.lock().end(Ended {
            cookie,
            error: result.map_or_else(|err| err.to_errno().unsigned_abs(), |()| 0),
        });
        self.changed.notify_all();
        if let Some(eventfd) = eventfd {
            eventfd.signal();
        }
    }

    /// `poll(2)`.
    pub(crate) fn poll(&self, file: &File, table: &PollTable<'_>) -> u32 {
        table.register_wait(file, &self.changed);
        self.engine.turns.register_poll(file, table);
        let ended = match self.queue.lock().has_ended() {
            true => bindings::POLLIN,
            false => 0,
        };
        let gone = match self.engine.turns.check() {
            Ok(()) => 0,
            Err(_) => bindings::POLLERR | bindings::POLLHUP,
        };
        ended | gone
    }
}

impl WorkItem for Channel {
    type Pointer = Arc<Self>;

    fn run(channel: Arc<Self>) {
        loop {
            let next = channel.queue.lock().begin();
            match next {
                Some(job) => channel.make(job),
                None => return,
            }
        }
    }
}

/// A file's channel. Dropping it ends all that the file began.
pub(crate) struct Opened(Arc<Channel>);

impl Opened {
    pub(crate) fn new(engine: Arc<Engine>, device: Arc<Device>) -> Result<Self> {
        let channel = Arc::pin_init(
            try_pin_init!(Channel {
                place: engine.turns.place(device.new_id()),
                engine,
                device,
                closed: Atomic::new(0),
                mappings <- new_mutex!(Mappings::new()),
                queue <- new_mutex!(Queue::EMPTY),
                changed <- new_poll_condvar!(),
                work <- new_work!("mapwright_dma::Channel"),
            }? Error),
            GFP_FOR_CALLER,
        )?;
        Ok(Self(channel))
    }
}

impl Deref for Opened {
    type Target = Arc<Channel>;

    fn deref(&self) -> &Arc<Channel> {
        &self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.closed.store(1, Relaxed);
        self.0.engine.turns.look_again();
        let mut queue = self.0.queue.lock();
        let cancelled = queue.cancel();
        // For the piece that is being moved, if it is this file's.
        while !queue.is_idle() {
            self.0.changed.wait(&mut queue);
        }
        drop(queue);
        drop(cancelled);
        let mappings = core::mem::replace(&mut *self.0.mappings.lock(), Mappings::new());
        // With the lock released.
        drop(mappings);
    }
}
