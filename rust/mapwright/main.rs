// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/mapwright`: kernel memory of any kind, mapped any way the kernel knows.
//!
//! What its files do is in the crate `mapwright_session`.

use kernel::{
    prelude::*,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::{
    base::param,
    dma::device::DmaDevice, //
};
use mapwright_session::{
    DefaultRegion,
    Device,
    Driver,
    File,
    Published,
    Settings, //
};

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
            default: 2048,
            description: "KiB that a page fault maps at most, of a lazy mapping: at least a page, up to 2048",
        },
        timing: u8 {
            default: 1,
            description: "Whether latencies are measured (later: debugfs mapwright/timing)",
        },
        session_regions: u32 {
            default: 1024,
            description: "Regions that one open file may hold",
        },
        caching_for_all: u8 {
            default: 0,
            description: "Whether wc and uc memory is for all who may open the device, not only for CAP_SYS_ADMIN",
        },
        total_regions: u32 {
            default: 65536,
            description: "Regions that all open files may hold together",
        },
        coherent_limit_mib: u32 {
            default: 0,
            description: "MiB of coherent memory that all regions may hold together (0: half of CMA, or as total_limit_mib without)",
        },
    },
}

/// This module, which its files and tables keep loaded.
const MODULE: &ThisModule = mapkit::this_module!(Mapwright);

/// Name of the device node and of the debugfs directory.
const NAME: &CStr = c"mapwright";

/// The device node belongs to root, who may give it away.
const MODE: u16 = 0o600;

/// The loaded module.
struct Mapwright {
    _published: Published<Regions>,
}

impl kernel::Module for Mapwright {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let settings = Settings {
            total_limit_mib: param::number(module_parameters::total_limit_mib.value()),
            session_limit_mib: param::number(module_parameters::session_limit_mib.value()),
            coherent_limit_mib: param::number(module_parameters::coherent_limit_mib.value()),
            total_regions: param::number(module_parameters::total_regions.value()),
            session_regions: param::number(module_parameters::session_regions.value()),
            fault_around_kib: param::number(module_parameters::fault_around_kib.value()),
            caching_for_all: param::number::<u8>(module_parameters::caching_for_all.value()) != 0,
            timing: param::number::<u8>(module_parameters::timing.value()) != 0,
            default_region: default_region()?,
        };
        let dma = Arc::new(DmaDevice::new(NAME)?, GFP_KERNEL)?;
        let device = Device::new(MODULE, &settings, dma)?;
        Ok(Self {
            _published: Published::new(NAME, MODE, device, Regions)?,
        })
    }
}

/// From the parameters that `params.c` declares. `EINVAL` if they are not a sound combination.
fn default_region() -> Result<DefaultRegion> {
    let word = |name| param::word(MODULE, name).ok_or(EINVAL);
    let (backing, method) = (word(c"default_backing")?, word(c"default_method")?);
    DefaultRegion::from_names(backing, method, word(c"default_caching")?).map_err(|reason| {
        pr_err!("{reason}\n");
        EINVAL
    })
}

/// Files with regions and nothing else.
struct Regions;

impl Driver for Regions {
    const MODULE: &'static ThisModule = MODULE;

    type PerFile = ();

    fn open(&self) -> Result {
        Ok(())
    }

    fn ioctl(_: &File<Self>, _cmd: u32, _arg: UserPtr) -> Result<u32> {
        Err(ENOTTY)
    }
}
