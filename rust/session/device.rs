// SPDX-License-Identifier: GPL-2.0-only

//! What all sessions share: limits, counters, the list of live regions.

use crate::{
    limits::{
        Accounts,
        Limits, //
    },
    region::live::Live,
    settings::{
        DefaultRegion,
        Settings, //
    },
    stats::Stats, //
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
    base::capability,
    dma::device::DmaDevice,
    map::fault,
    observe::histogram::Switch, //
};
use mapwright_uapi::Caching;

/// A device whose open files are sessions.
#[pin_data]
pub struct Device {
    /// The module whose device it is.
    pub(crate) module: &'static ThisModule,
    pub(crate) limits: Limits,
    pub(crate) stats: Stats,
    /// What is left of the limits in all.
    pub(crate) accounts: Accounts,
    /// The device that coherent memory is allocated for.
    dma: Arc<DmaDevice>,
    /// Pages that a page fault maps at most.
    pub(crate) fault_around: usize,
    pub(crate) default_region: DefaultRegion,
    caching_for_all: bool,
    next_id: Atomic<i64>,
    /// Regions that hold memory, by their number.
    #[pin]
    live: Mutex<RBTree<u64, Arc<Live>>>,
}

impl Device {
    /// A device without sessions, whose coherent memory is allocated for `dma`.
    pub fn new(
        module: &'static ThisModule,
        settings: &Settings,
        dma: Arc<DmaDevice>,
    ) -> Result<Arc<Self>> {
        let limits = Limits::new(settings);
        let fault_around = fault::window(settings.fault_around_kib);
        let accounts = Accounts::new(&limits)?;
        let stats = Stats::new(settings.timing)?;
        let default_region = settings.default_region;
        Arc::pin_init(
            try_pin_init!(Self {
                module,
                limits,
                stats,
                accounts,
                dma,
                fault_around,
                default_region,
                caching_for_all: settings.caching_for_all,
                next_id: Atomic::new(1),
                live <- new_mutex!(RBTree::new()),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// The device that coherent memory is allocated for.
    pub fn dma(&self) -> &Arc<DmaDevice> {
        &self.dma
    }

    /// `EPERM` unless the caller may have memory of this type. What is not write-back costs everybody: on x86 the
    /// kernel's own map of the memory is split for good, all CPUs are interrupted, and caches are flushed.
    pub(crate) fn expect_allowed(&self, caching: Caching) -> Result {
        let allowed =
            caching == Caching::WriteBack || self.caching_for_all || capability::is_sys_admin();
        allowed.then_some(()).ok_or(EPERM)
    }

    /// A number that no region had before.
    pub fn new_id(&self) -> u64 {
        // 2^63 of them last for longer than any machine.
        self.next_id.fetch_add(1, Relaxed) as u64
    }

    /// Lists a region. It takes itself off the list when it is freed.
    pub(crate) fn list(&self, node: RBTreeNode<u64, Arc<Live>>) {
        self.live.lock().insert(node);
    }

    /// Takes a region off the list, of which nothing is mapped any more.
    pub(crate) fn unlist(&self, region: &Live) {
        let removed = self.live.lock().remove(&region.id);
        // Freed here, with the lock released.
        drop(removed);
    }

    /// Writes the table of counters.
    pub fn show_stats(&self, m: &SeqFile) {
        self.stats.show(m);
    }

    /// Writes the table of latencies.
    pub fn show_latency(&self, m: &SeqFile) {
        self.stats.show_latency(m);
    }

    /// Writes the header of the table of regions.
    pub fn show_regions_header(m: &SeqFile) {
        Live::show_header(m);
    }

    /// Writes the line of the first region whose number is not below `from`, and returns its number. What others
    /// need to free theirs is not locked meanwhile.
    pub fn show_region(&self, from: u64, m: &SeqFile) -> Option<u64> {
        let region = {
            let live = self.live.lock();
            let cursor = live.cursor_lower_bound(&from)?;
            cursor.current().1.clone()
        };
        region.show(m);
        Some(region.id)
    }

    /// The switch of the clock that measures latencies.
    pub fn clock(&self) -> &Switch {
        self.stats.latency.clock()
    }
}
