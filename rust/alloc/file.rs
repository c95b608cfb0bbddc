// SPDX-License-Identifier: GPL-2.0-only

//! An open file, with what its plans hold on to.

use crate::{
    device::Device,
    ioctl,
    totals::{
        Counter,
        Objects, //
    },
    THIS_MODULE, //
};
use kernel::{
    fs::File,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
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
    budget::Taken,
    chardev::CharDevice,
    source::{
        Slots,
        Source, //
    },
    vma::{
        Mapped,
        NewVma, //
    }, //
};
use mapwright_uapi::alloc::Allocator;

/// Objects that outlive their plan, of any source.
pub(crate) trait Objectful: Send {
    /// How many.
    fn held(&self) -> usize;
}

impl<S: Source> Objectful for Slots<S> {
    fn held(&self) -> usize {
        Slots::held(self)
    }
}

/// What a plan holds on to. Fields are dropped in this order.
pub(crate) struct Holding {
    objects: KBox<dyn Objectful>,
    _taken: Taken,
    allocator: Allocator,
    device: Arc<Device>,
}

impl Holding {
    /// Objects of `allocator`, and what they took of the budget.
    pub(crate) fn new(
        objects: KBox<dyn Objectful>,
        taken: Taken,
        allocator: Allocator,
        device: Arc<Device>,
    ) -> Self {
        Self {
            objects,
            _taken: taken,
            allocator,
            device,
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let objects = self.objects.held();
        let totals = &self.device.totals;
        totals.add(self.allocator, Objects::Freed, objects);
    }
}

/// An open file.
#[pin_data(PinnedDrop)]
pub(crate) struct OpenFile {
    pub(crate) device: Arc<Device>,
    #[pin]
    held: Mutex<KVec<Holding>>,
}

impl OpenFile {
    /// Keeps what a plan holds on to.
    pub(crate) fn hold(&self, holding: Holding) -> Result {
        Ok(self.held.lock().push(holding, GFP_KERNEL_ACCOUNT)?)
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

impl CharDevice for OpenFile {
    type Shared = Device;

    const MODULE: &'static ThisModule = &THIS_MODULE;

    fn open(device: &Arc<Device>, _: &File) -> Result<Arc<Self>> {
        let file = Arc::pin_init(
            pin_init!(Self {
                device: device.clone(),
                held <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        device.totals.inc(Counter::FilesOpened);
        Ok(file)
    }

    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<u32> {
        ioctl::dispatch(self, cmd, arg)
    }

    fn mmap<'a>(&self, _: NewVma<'a>) -> Result<Mapped<'a>> {
        Err(ENODEV)
    }

    fn read(&self, _: u64, _: &mut IovIterDest<'_>) -> Result<usize> {
        Err(EINVAL)
    }

    fn write(&self, _: u64, _: &mut IovIterSource<'_>) -> Result<usize> {
        Err(EINVAL)
    }

    fn show_fdinfo(&self, m: &SeqFile) {
        for holding in self.held.lock().iter() {
            let objects = holding.objects.held();
            seq_print!(m, "held: {} {}\n", holding.allocator.name(), objects);
        }
    }
}
