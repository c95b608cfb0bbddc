// SPDX-License-Identifier: GPL-2.0-only

//! What the plans of an open file hold on to.

use crate::{
    device::Device,
    totals::Counted, //
};
use kernel::{
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    base::{
        budget::Charged,
        gfp::GFP_FOR_CALLER, //
    },
    source::{
        Slots,
        Source, //
    }, //
};
use mapwright_uapi::alloc::Allocator;

/// The objects of a plan, of any source, which are counted when they are freed.
pub(crate) struct Objects<S: Source> {
    pub(crate) slots: Slots<S>,
    allocator: Allocator,
    device: Arc<Device>,
}

impl<S: Source> Objects<S> {
    /// None yet.
    pub(crate) fn new(slots: Slots<S>, allocator: Allocator, device: Arc<Device>) -> Self {
        Self {
            slots,
            allocator,
            device,
        }
    }
}

impl<S: Source> Drop for Objects<S> {
    fn drop(&mut self) {
        let held = self.slots.held();
        self.device.totals.add(self.allocator, Counted::Freed, held);
    }
}

/// [`Objects`] without the type of their source.
pub(crate) trait Held: Send {
    /// How many.
    fn held(&self) -> usize;

    /// The allocator that gave the objects.
    fn allocator(&self) -> Allocator;
}

impl<S: Source> Held for Objects<S> {
    fn held(&self) -> usize {
        self.slots.held()
    }

    fn allocator(&self) -> Allocator {
        self.allocator
    }
}

/// What a plan holds on to. Fields are dropped in this order.
pub(crate) struct Holding {
    pub(crate) objects: KBox<dyn Held>,
    pub(crate) _charged: Charged,
}

/// What all plans of a file hold on to, until this is dropped.
#[pin_data]
pub(crate) struct Holdings {
    #[pin]
    all: Mutex<KVVec<Holding>>,
}

impl Holdings {
    /// Nothing yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            all <- new_mutex!(KVVec::new()),
        })
    }

    /// Keeps what a plan holds on to.
    pub(crate) fn hold(&self, holding: Holding) -> Result {
        Ok(self.all.lock().push(holding, GFP_FOR_CALLER)?)
    }

    /// Frees everything that is held. Returns how many objects.
    pub(crate) fn release(&self) -> usize {
        // Freed with the lock released.
        let all = core::mem::take(&mut *self.all.lock());
        let objects = all.iter().map(|holding| holding.objects.held());
        objects.fold(0, usize::wrapping_add)
    }

    /// Writes a line for each plan.
    pub(crate) fn show(&self, m: &SeqFile) {
        for holding in self.all.lock().iter() {
            let objects = holding.objects.held();
            let allocator = holding.objects.allocator();
            seq_print!(m, "held: {} {}\n", allocator.name(), objects);
        }
    }
}
