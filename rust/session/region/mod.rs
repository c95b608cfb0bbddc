// SPDX-License-Identifier: GPL-2.0-only

//! A region: an amount of kernel memory that a session owns.

pub(crate) mod live;

use crate::{
    backing,
    device::Device,
    limits::{
        Account,
        Reserved, //
    },
    recipe::Recipe,
    stats::{
        Counter,
        RegionCounter,
        Timed, //
    }, //
};
use core::ops::{
    Deref,
    Range, //
};
use kernel::{
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTreeNode,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};
use live::Live;
use mapkit::{
    base::gfp::GFP_FOR_CALLER,
    dma::device::DmaDevice,
    memory::{
        backing::Backing,
        mappable::{
            FaultEvent,
            Mappable,
            MappingEvents, //
        }, //
    },
    observe::{
        histogram::Start,
        trace, //
    },
    revoke::revocable::Revocable, //
};

/// A region's memory, with what is known of it. It lives until its session has let go of it and the
/// last VMA that maps it has ended.
pub type Region = Mappable<Owned>;

/// What is given back when a region's memory has been freed.
pub struct Owned {
    live: Arc<Live>,
    pub(crate) device: Arc<Device>,
    /// Whose coherent memory it is, if it is such, and who exports it.
    pub(crate) dma: Arc<DmaDevice>,
    /// The right to use it, if that can be taken back.
    pub(crate) right: Option<Arc<Revocable<()>>>,
    _reserved: Reserved,
}

impl Deref for Owned {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.live
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.device.unlist(&self.live);
    }
}

impl MappingEvents for Owned {
    fn vma_opened(&self, addresses: Range<usize>) {
        #[cfg(not(planted_counter_race))]
        self.vmas.add(1, Relaxed);
        #[cfg(planted_counter_race)]
        {
            let vmas = self.vmas.load(Relaxed);
            mapkit::base::task::let_others_run();
            self.vmas.store(vmas + 1, Relaxed);
        }
        self.device.stats.inc(Counter::VmasOpened);
        trace::mmap(self.id, addresses.start, addresses.end);
    }

    fn vma_closed(&self, addresses: Range<usize>) {
        self.vmas.fetch_sub(1, Relaxed);
        self.device.stats.inc(Counter::VmasClosed);
        trace::munmap(self.id, addresses.start, addresses.end);
    }

    #[inline]
    fn faulted(&self, fault: FaultEvent) {
        let stats = &self.device.stats;
        self.counters
            .add(RegionCounter::PagesFaulted, fault.nr_pages);
        stats.add(Counter::PagesFaulted, fault.nr_pages);
        if !fault.answered {
            return stats.inc(Counter::FaultsFailed);
        }
        let (of_region, of_all) = match fault.write {
            true => (RegionCounter::FaultsWrite, Counter::FaultsWrite),
            false => (RegionCounter::FaultsRead, Counter::FaultsRead),
        };
        self.counters.inc(of_region);
        stats.inc(of_all);
        stats.latency.stop(Timed::Fault, fault.start);
        trace::fault(self.id, fault.address, fault.write, fault.nr_pages);
    }

    fn free_begins(&self) -> Start {
        self.device.stats.latency.start()
    }

    fn freed(&self, start: Start) {
        let stats = &self.device.stats;
        stats.latency.stop(Timed::Free, start);
        stats.inc(Counter::RegionsFreed);
        stats.add(Counter::PagesFreed, self.nr_pages);
        trace::destroy(self.id);
    }

    #[inline]
    fn fault_begins(&self) -> Start {
        self.device.stats.latency.start()
    }

    #[inline]
    fn while_there<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let _held = match &self.right {
            None => None,
            Some(right) => Some(right.hold().ok()?),
        };
        Some(f())
    }

    #[inline]
    fn fault_around(&self) -> usize {
        self.device.fault_around
    }
}

/// Allocates a region and lists it. `take_offset` says where it will be in its file, and is only
/// asked when there is memory. Coherent memory is allocated for `dma`.
///
/// `ENOSPC` over a limit, `ENOMEM` without memory.
pub(crate) fn allocate(
    device: &Arc<Device>,
    dma: &Arc<DmaDevice>,
    account: &Arc<Account>,
    recipe: Recipe,
    right: Option<Arc<Revocable<()>>>,
    take_offset: impl FnOnce() -> Result<u64>,
) -> Result<Arc<Region>> {
    let reserved = Reserved::for_region(account, &device.accounts, &recipe)?;
    let start = device.stats.latency.start();
    let memory = backing::allocate(dma, &recipe)?;
    device.stats.latency.stop(Timed::Allocate, start);
    let offset = take_offset()?;
    let (device, dma) = (device.clone(), dma.clone());
    of_memory(device, dma, reserved, recipe, memory, right, offset)
}

/// Lists a region of `memory` at `offset` of its file.
pub(crate) fn of_memory(
    device: Arc<Device>,
    dma: Arc<DmaDevice>,
    reserved: Reserved,
    recipe: Recipe,
    memory: KBox<dyn Backing>,
    right: Option<Arc<Revocable<()>>>,
    offset: u64,
) -> Result<Arc<Region>> {
    let base_pgoff = usize::try_from(offset / PAGE_SIZE as u64).map_err(|_| ENOSPC)?;

    let live = Live::new(device.new_id(), offset, recipe)?;
    let live = Arc::new(live, GFP_FOR_CALLER)?;
    let node = RBTreeNode::new(live.id, live.clone(), GFP_FOR_CALLER)?;
    // From here on dropping `owned` undoes it all.
    let owned = Owned {
        live,
        device: device.clone(),
        dma,
        right,
        _reserved: reserved,
    };
    let region = Region::new(memory, base_pgoff, owned);
    device.stats.inc(Counter::RegionsCreated);
    device.stats.add(Counter::PagesAllocated, recipe.nr_pages);
    let region = Arc::new(region, GFP_FOR_CALLER)?;
    device.list(node);
    trace::create(
        region.id,
        recipe.backing.number(),
        recipe.method.number(),
        recipe.caching.number(),
        recipe.bytes(),
    );
    Ok(region)
}

/// Copies from byte `within` of a region on, which is none at its end.
pub(crate) fn copy_to_iter(
    region: &Region,
    within: u64,
    iov: &mut IovIterDest<'_>,
) -> Result<usize> {
    let within = usize::try_from(within).map_err(|_| EINVAL)?;
    region.memory().copy_to_iter(within, iov)
}

/// Copies to byte `within` of a region and on: `ENOSPC` at its end.
pub(crate) fn copy_from_iter(
    region: &Region,
    within: u64,
    iov: &mut IovIterSource<'_>,
) -> Result<usize> {
    if within >= region.bytes() && !iov.is_empty() {
        return Err(ENOSPC);
    }
    let within = usize::try_from(within).map_err(|_| EINVAL)?;
    region.memory().copy_from_iter(within, iov)
}
