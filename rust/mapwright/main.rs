// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/mapwright`: kernel memory of any kind, mapped any way the kernel knows.
//!
//! How `mmap(2)` gets to `remap_pfn_range()`: `session.rs` finds the region, `method/remap.rs` says
//! how it is mapped, and mapkit's `vma.rs` calls the kernel.
//!
//! Locks, in the order they are taken: the address space of the caller (by the kernel, around
//! `mmap`), a session's `regions`, the device's `live`. No user memory is touched under the
//! latter two.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    chardev::Registration,
    debugfs::Directory,
    fault, //
};

mod backing;
mod device;
mod ioctl;
mod limits;
mod method;
mod region;
mod session;
mod stats;

use device::Device;
use limits::Limits;
use session::Session;

module! {
    type: Mapwright,
    name: "mapwright",
    authors: ["The mapwright developers"],
    description: "Kernel memory of any kind, mapped any way the kernel knows",
    license: "GPL",
    params: {
        total_limit_mib: u32 {
            default: 0,
            description: "MiB that all regions may hold together (0: half of the memory)",
        },
        session_limit_mib: u32 {
            default: 0,
            description: "MiB that the regions of one open file may hold (0: as total_limit_mib)",
        },
        fault_around_kib: u32 {
            default: 64,
            description: "KiB that a page fault maps at most, of a lazy mapping: up to 256",
        },
        timing: u8 {
            default: 1,
            description: "Whether latencies are measured (later: debugfs mapwright/timing)",
        },
        session_regions: u32 {
            default: 1024,
            description: "Regions that one open file may hold",
        },
    },
}

/// Name of the device node and of the debugfs directory.
const NAME: &CStr = c"mapwright";

/// The device node belongs to root, who may give it away.
const MODE: u16 = 0o600;

/// The loaded module. Fields are dropped in this order.
struct Mapwright {
    _tables: Directory<Device>,
    _registration: Pin<KBox<Registration<Session>>>,
}

impl kernel::Module for Mapwright {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let limits = Limits::new(
            *module_parameters::total_limit_mib.value(),
            *module_parameters::session_limit_mib.value(),
            *module_parameters::session_regions.value(),
        );
        let fault_around = fault::window(*module_parameters::fault_around_kib.value());
        let timing = *module_parameters::timing.value() != 0;
        let device = Arc::pin_init(Device::new(limits, fault_around, timing), GFP_KERNEL)?;
        let mut tables = Directory::new(device.clone())?;
        let registration = KBox::pin_init(Registration::new(NAME, MODE, device), GFP_KERNEL)?;
        tables.publish(NAME);
        Ok(Self {
            _tables: tables,
            _registration: registration,
        })
    }
}
