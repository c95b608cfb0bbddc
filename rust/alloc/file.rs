// SPDX-License-Identifier: GPL-2.0-only

//! An open file, with what its plans hold on to.

use crate::{
    device::Device,
    ioctl,
    totals::{
        Counted,
        Counter, //
    },
    MODULE, //
};
use kernel::{
    fs::File,
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        Mutex, //
    },
    uaccess::UserPtr, //
};
use mapkit::{
    base::{
        budget::Taken,
        gfp::GFP_FOR_CALLER, //
    },
    device::chardev::CharDevice,
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

    /// Of what.
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
    pub(crate) _taken: Taken,
}

/// An open file.
#[pin_data(PinnedDrop)]
pub(crate) struct OpenFile {
    pub(crate) device: Arc<Device>,
    #[pin]
    held: Mutex<KVVec<Holding>>,
}

impl OpenFile {
    /// Keeps what a plan holds on to.
    pub(crate) fn hold(&self, holding: Holding) -> Result {
        Ok(self.held.lock().push(holding, GFP_FOR_CALLER)?)
    }

    /// Frees everything that is held. Returns how many objects.
    pub(crate) fn release(&self) -> usize {
        // Freed with the lock released.
        let held = core::mem::take(&mut *self.held.lock());
        let objects = held.iter().map(|holding| holding.objects.held());
        objects.fold(0, usize::wrapping_add)
    }
}

#[pinned_drop]
impl PinnedDrop for OpenFile {
    fn drop(self: Pin<&mut Self>) {
        self.release();
        self.device.totals.inc(Counter::FilesClosed);
    }
}

#[vtable]
impl CharDevice for OpenFile {
    type Shared = Device;

    const MODULE: &'static ThisModule = MODULE;

    fn open(device: &Arc<Device>, _: &File) -> Result<Arc<Self>> {
        let file = Arc::pin_init(
            pin_init!(Self {
                device: device.clone(),
                held <- new_mutex!(KVVec::new()),
            }),
            GFP_FOR_CALLER,
        )?;
        device.totals.inc(Counter::FilesOpened);
        Ok(file)
    }

    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<u32> {
        ioctl::dispatch(self, cmd, arg)
    }

    fn show_fdinfo(&self, m: &SeqFile) {
        for holding in self.held.lock().iter() {
            let objects = holding.objects.held();
            let allocator = holding.objects.allocator();
            seq_print!(m, "held: {} {}\n", allocator.name(), objects);
        }
    }
}
