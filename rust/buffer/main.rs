// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/mapwright-NAME`: buffers that have a name, and live until they are removed.
//!
//! A buffer is one region, of the words that regions are made of everywhere, with a device node of its own. Programs
//! that know nothing of each other open it. How a buffer is described is in `spec.rs`, what it is in `buffer.rs`, how
//! it becomes a device node in `buffers.rs`, what its files do in `file.rs`, and its attributes in sysfs in
//! `attributes.rs`. Buffers are made by the module's parameter `buffers`, in configfs, see `config.rs`, and by a device
//! tree, see `tree.rs`.
//!
//! Locks, in the order they are taken: the settings of an item in configfs; those of the kernel by which it registers
//! a device node and opens it; the address space of the caller (by the kernel, around `mmap`); a buffer's `state`. No user
//! memory is touched under the latter, nothing is allocated or freed, and nothing is waited for.

mod attributes;
mod buffer;
mod buffers;
#[cfg(CONFIG_CONFIGFS_FS)]
mod config;
mod file;
mod spec;
mod sync;
#[cfg(CONFIG_OF)]
mod tree;

use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    base::param,
    dma::device::DmaDevice,
    observe::debugfs::Directory, //
};
use mapwright_session::{
    Device,
    Settings, //
};

use buffers::{
    Buffers,
    Prepared,
    Published, //
};

module! {
    type: MapwrightBuffer,
    name: "mapwright_buffer",
    authors: ["The mapwright developers"],
    description: "Buffers of kernel memory with names, each a device node",
    license: "GPL",
    params: {
        total_limit_mib: u32 {
            default: 0,
            description: "MiB that all buffers may hold together (0: half of the memory)",
        },
        coherent_limit_mib: u32 {
            default: 0,
            description: "MiB of coherent memory that all buffers may hold together (0: half of CMA, or as total_limit_mib without)",
        },
        fault_around_kib: u32 {
            default: 2048,
            description: "KiB that a page fault maps at most, of a lazy mapping: at least a page, up to 2048",
        },
        address_mode: u16 {
            default: 0o400,
            description: "Mode of the attributes phys_addr and dma_addr: unless others than their owner may read them, that takes CAP_SYS_ADMIN",
        },
    },
}

/// This module, which its files and tables keep loaded.
const MODULE: &ThisModule = mapkit::this_module!(MapwrightBuffer);

/// Name of the directory in debugfs, and of the device that coherent memory is for if no other is named.
const NAME: &CStr = c"mapwright_buffer";

/// The loaded module. Fields are dropped in this order.
struct MapwrightBuffer {
    #[cfg(CONFIG_OF)]
    _of_tree: Option<tree::Registration>,
    #[cfg(CONFIG_CONFIGFS_FS)]
    _config: mapkit::device::configfs::Subsystem<config::Item>,
    _of_parameter: KVec<Published>,
    _tables: Directory<Buffers>,
}

impl kernel::Module for MapwrightBuffer {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let settings = Settings {
            total_limit_mib: param::number(module_parameters::total_limit_mib.value()),
            session_limit_mib: 0,
            coherent_limit_mib: param::number(module_parameters::coherent_limit_mib.value()),
            total_regions: u32::MAX,
            session_regions: 1,
            fault_around_kib: param::number(module_parameters::fault_around_kib.value()),
            caching_for_all: true,
            timing: true,
            default_region: spec::made_of(None, None, None)?,
        };
        let dma = Arc::new(DmaDevice::new(NAME)?, GFP_KERNEL)?;
        let device = Device::new(MODULE, &settings, dma)?;
        let address_mode = param::number(module_parameters::address_mode.value());
        let buffers = Buffers::new(device, address_mode)?;
        let text = param::word(MODULE, c"buffers").unwrap_or_default();
        let prepared = prepare(&buffers, text)?;
        let mut of_parameter = KVec::with_capacity(prepared.len(), GFP_KERNEL)?;
        let mut tables = Directory::new(buffers.clone())?;
        #[cfg(CONFIG_CONFIGFS_FS)]
        let config = config::subsystem(&buffers)?;
        // From here on nothing may fail: programs can use what there is.
        for (name, prepared) in prepared {
            match prepared.publish() {
                // There is room for it.
                Ok(published) => drop(of_parameter.push_within_capacity(published)),
                Err(err) => pr_err!("no device node for {name}: error {}\n", err.to_errno()),
            }
        }
        #[cfg(CONFIG_OF)]
        let of_tree = tree::Registration::new(buffers.clone()).inspect_err(|err| {
            pr_err!("no buffers of the device tree: error {}\n", err.to_errno());
        });
        tables.publish(NAME);
        Ok(Self {
            #[cfg(CONFIG_OF)]
            _of_tree: of_tree.ok(),
            #[cfg(CONFIG_CONFIGFS_FS)]
            _config: config,
            _of_parameter: of_parameter,
            _tables: tables,
        })
    }
}

/// Makes the buffers of the module's parameter.
fn prepare<'a>(buffers: &Arc<Buffers>, text: &'a str) -> Result<KVec<(&'a str, Prepared)>> {
    let mut prepared = KVec::new();
    for one in text.split(',').filter(|one| !one.is_empty()) {
        let (name, spec) = spec::parse(one).inspect_err(|_| {
            pr_err!("a buffer is NAME:SIZE[:BACKING[:METHOD[:CACHING]]], not {one}\n");
        })?;
        let dma = buffers.device().dma().clone();
        let buffer = Prepared::new(buffers, name, &spec, dma).inspect_err(|err| {
            pr_err!("cannot make the buffer {one}: error {}\n", err.to_errno());
        })?;
        prepared.push((name, buffer), GFP_KERNEL)?;
    }
    Ok(prepared)
}
