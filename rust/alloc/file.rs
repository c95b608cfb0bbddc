// SPDX-License-Identifier: GPL-2.0-only

//! An open file.

use crate::{
    device::Device,
    holding::Holdings,
    ioctl,
    totals::Counter,
    MODULE, //
};
use kernel::{
    fs::File,
    prelude::*,
    seq_file::SeqFile,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::{
    base::gfp::GFP_FOR_CALLER,
    device::chardev::CharDevice, //
};

/// An open file.
#[pin_data(PinnedDrop)]
pub(crate) struct OpenFile {
    device: Arc<Device>,
    #[pin]
    held: Holdings,
}

#[pinned_drop]
impl PinnedDrop for OpenFile {
    fn drop(self: Pin<&mut Self>) {
        self.held.release();
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
                held <- Holdings::new(),
            }),
            GFP_FOR_CALLER,
        )?;
        device.totals.inc(Counter::FilesOpened);
        Ok(file)
    }

    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<u32> {
        ioctl::dispatch(&self.device, &self.held, cmd, arg)
    }

    fn show_fdinfo(&self, m: &SeqFile) {
        self.held.show(m);
    }
}
