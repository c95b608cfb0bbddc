// SPDX-License-Identifier: GPL-2.0-only

//! What all sessions share: limits, counters, the list of live regions.

use crate::{
    limits::{
        Account,
        Limits, //
    },
    region::Live,
    stats::Stats,
    THIS_MODULE, //
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    seq_file::SeqFile,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    coherent::DmaDevice,
    debugfs::{
        Show,
        Tables,
        WhichSwitch, //
    }, //
};

/// The one device of the module.
#[pin_data]
pub(crate) struct Device {
    pub(crate) limits: Limits,
    pub(crate) stats: Stats,
    /// What is left of the limits in all.
    pub(crate) account: Arc<Account>,
    /// The device that coherent memory is allocated for.
    pub(crate) dma: Arc<DmaDevice>,
    /// Pages that a page fault maps at most.
    pub(crate) fault_around: usize,
    next_id: Atomic<i64>,
    /// Regions that hold memory, by their number.
    #[pin]
    live: Mutex<RBTree<u64, Arc<Live>>>,
}

impl Device {
    pub(crate) fn new(
        limits: Limits,
        fault_around: usize,
        timing: bool,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let account = Account::new(limits.total_bytes, u64::MAX)?;
            let stats = Stats::new(timing)?;
            let dma = Arc::new(DmaDevice::new(c"mapwright")?, GFP_KERNEL)?;
            Ok(try_pin_init!(Self {
                limits,
                stats,
                account,
                dma,
                fault_around,
                next_id: Atomic::new(1),
                live <- new_mutex!(RBTree::new()),
            }? Error))
        })
    }

    /// A number that no region had before.
    pub(crate) fn new_id(&self) -> u64 {
        // 2^63 of them last for longer than any machine.
        self.next_id.fetch_add(1, Relaxed) as u64
    }

    /// Lists a region. It takes itself off the list when it is freed.
    pub(crate) fn list(&self, node: RBTreeNode<u64, Arc<Live>>) {
        self.live.lock().insert(node);
    }

    /// Takes a region off the list.
    pub(crate) fn unlist(&self, id: u64) {
        let removed = self.live.lock().remove(&id);
        // Freed here, with the lock released.
        drop(removed);
    }

    fn show_stats(&self, m: &SeqFile) {
        self.stats.show(m);
    }

    fn show_latency(&self, m: &SeqFile) {
        self.stats.show_latency(m);
    }

    fn show_regions(&self, m: &SeqFile) {
        Live::show_header(m);
        for live in self.live.lock().values() {
            live.show(m);
        }
    }
}

impl Tables for Device {
    const MODULE: &'static ThisModule = &THIS_MODULE;
    const FILES: &'static [(&'static CStr, Show<Self>)] = &[
        (c"stats", Self::show_stats),
        (c"regions", Self::show_regions),
        (c"latency", Self::show_latency),
    ];
    const SWITCHES: &'static [(&'static CStr, WhichSwitch<Self>)] =
        &[(c"timing", |device| device.stats.latency.clock())];
}
