// SPDX-License-Identifier: GPL-2.0-only

//! A bank that is ours, while the system sleeps.
//!
//! Nobody accesses its registers then; what is to be driven is driven afterwards. A bank that keeps its power
//! latches edges: each line's is counted once after the sleep, however many there were. What its interrupt was for
//! may not have been told: the message of a PCI function is lost where nobody listens. So the events are looked
//! for. A bank that has lost its registers gets them back, outputs first. Its edges are lost with them, and a level
//! that still is there is an event.

use crate::{
    bank::Bank,
    interrupt::Interrupt,
    registers::context::Context, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::device::suspend::Suspend;

/// What is done around the sleep.
#[pin_data]
pub(crate) struct Sleep {
    bank: Arc<Bank>,
    interrupt: Option<Arc<Interrupt>>,
    /// What the registers held when it fell asleep.
    #[pin]
    context: Mutex<Option<Context>>,
}

impl Sleep {
    /// That of `bank`, whose interrupt is handled by `interrupt`.
    pub(crate) fn new(bank: Arc<Bank>, interrupt: Option<Arc<Interrupt>>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                bank,
                interrupt,
                context <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }
}

impl Suspend for Sleep {
    fn suspend(&self) {
        // A device that is gone, or goes, has none.
        *self.context.lock() = self.bank.block.rest(Context::of);
    }

    fn resume(&self) {
        let context = self.context.lock().take();
        let restored = self.bank.block.wake_after(|registers| {
            context.is_some_and(|context| context.restore_if_lost(registers))
        });
        if restored == Some(true) {
            pr_info!("the bank had lost its registers, and has them back\n");
        }
        if let Some(interrupt) = &self.interrupt {
            interrupt.look_again();
        }
    }
}
