// SPDX-License-Identifier: GPL-2.0-only

//! What an open file has beside its regions: a queue of transfers, loans, imported buffers.

use crate::{
    engine::Engine,
    loans::Loans,
    queue::{
        Ended,
        Queue, //
    },
    transfer::Transfer, //
};
use core::ops::Deref;
use kernel::{
    bindings,
    fs::File,
    new_mutex,
    new_poll_condvar,
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
    }, //
};
use mapwright_session::Device;

/// What a file and its queued transfers share.
#[pin_data]
pub(crate) struct Channel {
    pub(crate) engine: Arc<Engine>,
    pub(crate) device: Arc<Device>,
    /// The file is closed: transfers stop.
    closed: Atomic<i32>,
    #[pin]
    pub(crate) loans: Mutex<Loans>,
    #[pin]
    pub(crate) queue: Mutex<Queue>,
    /// A transfer has ended.
    #[pin]
    changed: PollCondVar,
}

impl Channel {
    /// Makes a transfer. `stopped` says when to give up.
    pub(crate) fn run(&self, transfer: &Transfer, stopped: &dyn Fn() -> bool) -> Result {
        let device = self.device.dma();
        device.in_use(|device| transfer.run(self, device, stopped))?
    }

    /// Whether the file is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed) != 0
    }

    /// A queued transfer has ended.
    pub(crate) fn ended(&self, ended: Ended) {
        self.queue.lock().push(ended);
        self.changed.notify_all();
    }

    /// `poll(2)`.
    pub(crate) fn poll(&self, file: &File, table: &PollTable<'_>) -> u32 {
        table.register_wait(file, &self.changed);
        self.engine.register_poll(file, table);
        let ended = match self.queue.lock().has_ended() {
            true => bindings::POLLIN,
            false => 0,
        };
        let gone = match self.engine.check() {
            Ok(()) => 0,
            Err(_) => bindings::POLLERR | bindings::POLLHUP,
        };
        ended | gone
    }
}

/// A file's channel. Dropping it ends all that the file began.
pub(crate) struct Opened(Arc<Channel>);

impl Opened {
    pub(crate) fn new(engine: Arc<Engine>, device: Arc<Device>) -> Result<Self> {
        let channel = Arc::pin_init(
            try_pin_init!(Channel {
                engine,
                device,
                closed: Atomic::new(0),
                loans <- new_mutex!(Loans::new()),
                queue <- new_mutex!(Queue::EMPTY),
                changed <- new_poll_condvar!(),
            }? Error),
            GFP_KERNEL_ACCOUNT,
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
        self.0.engine.look_again();
        let mut queue = self.0.queue.lock();
        while !queue.is_idle() {
            self.0.changed.wait(&mut queue);
        }
        drop(queue);
        let loans = core::mem::replace(&mut *self.0.loans.lock(), Loans::new());
        // With the lock released.
        drop(loans);
    }
}
