// SPDX-License-Identifier: GPL-2.0-only

//! What all open files share: the budget, the totals, a device to allocate coherent memory for.

use crate::{
    totals::{
        Counter,
        Totals, //
    },
    MODULE,
    MODULE_NAME, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use mapkit::{
    base::{
        budget::Budget,
        sysinfo::{
            self,
            OnlineNode, //
        },
        text::Decimal, //
    },
    dma::device::DmaDevice,
    memory::pages::MAX_BLOCK_PAGES,
    observe::debugfs::{
        Show,
        Tables, //
    },
    source, //
};
use mapwright_uapi::alloc as uapi;

/// The largest budget that is chosen without asking.
const DEFAULT_BUDGET: u64 = 64 << 20;

/// The one device of the module.
pub(crate) struct Device {
    pub(crate) budget: Arc<Budget>,
    pub(crate) totals: Totals,
    pub(crate) dma: Arc<DmaDevice>,
    caches: Atomic<i32>,
}

impl Device {
    /// A device whose plans may take `budget_mib` MiB together, 0 for the default.
    pub(crate) fn new(budget_mib: u32) -> Result<Self> {
        let budget = match budget_mib {
            0 => (sysinfo::low_memory_bytes() >> 3).min(DEFAULT_BUDGET),
            mib => u64::from(mib) << 20,
        };
        Ok(Self {
            budget: Arc::new(Budget::new(budget), GFP_KERNEL)?,
            totals: Totals::new()?,
            dma: Arc::new(DmaDevice::new(MODULE_NAME)?, GFP_KERNEL)?,
            caches: Atomic::new(0),
        })
    }

    /// What the machine and the module have, in a structure of `size` bytes.
    pub(crate) fn info(&self, size: u32) -> uapi::Info {
        let online = (0..u64::BITS).filter(|node| OnlineNode::new(*node).is_some());
        uapi::Info {
            size,
            version: uapi::VERSION,
            page_size: PAGE_SIZE as u32,
            max_order: MAX_BLOCK_PAGES.trailing_zeros(),
            budget_bytes: self.budget.limit(),
            used_bytes: self.budget.used(),
            slab_max_bytes: source::KMALLOC_MAX_CACHE_BYTES as u64,
            kmalloc_max_bytes: source::KMALLOC_MAX_BYTES as u64,
            percpu_max_bytes: source::PerCpu::MAX_BYTES as u32,
            possible_cpus: sysinfo::possible_cpus(),
            online_nodes: online.fold(0, |mask, node| mask | 1u64.wrapping_shl(node)),
        }
    }

    /// A number that no cache had since the module was loaded, or not for the last 2^32.
    pub(crate) fn new_cache_number(&self) -> u32 {
        self.caches.fetch_add(1, Relaxed) as u32
    }

    fn show_stats(&self, m: &SeqFile) {
        seq_print!(m, "counter value\n");
        for (name, counter) in Counter::ALL {
            seq_print!(m, "{} {}\n", name, Decimal(self.totals.get(*counter)));
        }
        seq_print!(m, "budget_bytes {}\n", Decimal(self.budget.limit()));
        seq_print!(m, "used_bytes {}\n", Decimal(self.budget.used()));
    }

    fn show_allocators(&self, m: &SeqFile) {
        self.totals.show_allocators(m);
    }
}

impl Tables for Device {
    const MODULE: &'static ThisModule = MODULE;
    const FILES: &'static [(&'static CStr, Show<Self>)] = &[
        (c"stats", Self::show_stats),
        (c"allocators", Self::show_allocators),
    ];
}
