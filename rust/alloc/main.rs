// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/mapwright-alloc`: the kernel's allocators, exercised and timed.
//!
//! A plan comes in by an ioctl (`ioctl.rs`), is turned into a source of objects (`plan.rs`), and runs in
//! one of the loops of `pattern.rs`, which `watch.rs` looks at. What a plan holds on to is the open
//! file's (`file.rs`).
//!
//! Locks: only a file's `held`, which is never taken while a plan runs.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    base::param,
    device::chardev::Registration,
    observe::debugfs::Directory, //
};

mod device;
mod file;
mod flags;
mod holding;
mod ioctl;
mod pattern;
mod plan;
mod totals;
mod watch;

use device::Device;
use file::OpenFile;

module! {
    type: Alloc,
    name: "mapwright_alloc",
    authors: ["The mapwright developers"],
    description: "The kernel's allocators, exercised and timed",
    license: "GPL",
    params: {
        budget_mib: u32 {
            default: 0,
            description: "MiB that all plans may hold together (0: an eighth of the memory, up to 64)",
        },
    },
}

/// This module, which its files and tables keep loaded.
const MODULE: &ThisModule = mapkit::this_module!(Alloc);

/// Name of the device node.
const NAME: &CStr = c"mapwright-alloc";

/// Name of the debugfs directory, and of the device that coherent memory is allocated for.
const MODULE_NAME: &CStr = c"mapwright_alloc";

/// The device node belongs to root.
const MODE: u16 = 0o600;

/// The loaded module. Fields are dropped in this order.
struct Alloc {
    _tables: Directory<Device>,
    _registration: Pin<KBox<Registration<OpenFile>>>,
}

impl kernel::Module for Alloc {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let budget_mib = param::number(module_parameters::budget_mib.value());
        let device = Arc::new(Device::new(budget_mib)?, GFP_KERNEL)?;
        let mut tables = Directory::new(device.clone())?;
        let registration = KBox::pin_init(Registration::new(NAME, MODE, device), GFP_KERNEL)?;
        tables.publish(MODULE_NAME);
        Ok(Self {
            _tables: tables,
            _registration: registration,
        })
    }
}
