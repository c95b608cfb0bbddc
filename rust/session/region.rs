// SPDX-License-Identifier: GPL-2.0-only

//! A region: an amount of kernel memory that a session owns.

use crate::{
    backing,
    default::DefaultRegion,
    device::Device,
    limits::{
        Account,
        Reserved, //
    },
    method,
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
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTreeNode,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    }, //
};
use mapkit::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER,
        text::Decimal, //
    },
    dma::device::DmaDevice,
    map::vma::{
        Mapped,
        NewVma, //
    },
    memory::mappable::{
        FaultEvent,
        Mappable,
        MappingEvents, //
    },
    observe::{
        histogram::Start,
        percpu::PerCpuCounters,
        trace, //
    }, //
};
use mapwright_uapi as uapi;

/// A region's memory, with what is known of it. It lives until its session has let go of it and the
/// last VMA that maps it has ended.
pub type Region = Mappable<Owned>;

/// What a region is made of.
#[derive(Clone, Copy)]
pub struct Recipe {
    pub(crate) backing: uapi::Backing,
    pub(crate) method: uapi::Method,
    pub(crate) caching: uapi::Caching,
    /// Not zero.
    pub(crate) nr_pages: usize,
}

impl Recipe {
    /// `EINVAL` for words that do not exist and for no bytes at all, `EOPNOTSUPP` for a pair that
    /// cannot be, `ENOSPC` for more than any machine has.
    pub(crate) fn new(backing: u32, method: u32, caching: u32, bytes: u64) -> Result<Self> {
        let backing = uapi::Backing::from_number(backing).ok_or(EINVAL)?;
        let method = uapi::Method::from_number(method).ok_or(EINVAL)?;
        let caching = uapi::Caching::from_number(caching).ok_or(EINVAL)?;
        if bytes == 0 {
            return Err(EINVAL);
        }
        let unsound = uapi::reason_against(backing, method).or(uapi::reason_against_caching(
            uapi::Architecture::HERE,
            backing,
            method,
            caching,
        ));
        if unsound.is_some() {
            return Err(errno::eopnotsupp());
        }
        let nr_pages = usize::try_from(bytes.div_ceil(PAGE_SIZE as u64)).map_err(|_| ENOSPC)?;
        nr_pages.checked_mul(PAGE_SIZE).ok_or(ENOSPC)?;
        Ok(Self {
            backing,
            method,
            caching,
            nr_pages,
        })
    }

    /// What a default region of `bytes` is made of.
    pub(crate) fn default_region(default: &DefaultRegion, bytes: u64) -> Result<Self> {
        Self::new(
            default.backing.number(),
            default.method.number(),
            default.caching.number(),
            bytes,
        )
    }

    /// Its size, which `new` made sure fits.
    pub(crate) fn bytes(&self) -> u64 {
        (self.nr_pages as u64).wrapping_mul(PAGE_SIZE as u64)
    }
}

/// What a region is and how it is used, shared with the device's list.
pub struct Live {
    pub(crate) id: u64,
    /// Its place in the session, in bytes.
    pub(crate) offset: u64,
    /// Process that made it.
    pid: i32,
    recipe: Recipe,
    /// VMAs that map it.
    vmas: Atomic<i64>,
    /// Calls of `mmap(2)` that are about to.
    mapping: Atomic<i64>,
    counters: PerCpuCounters<RegionCounter>,
}

impl Deref for Live {
    type Target = Recipe;

    fn deref(&self) -> &Recipe {
        &self.recipe
    }
}

impl Live {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.id
    }

    /// VMAs that map it now.
    pub(crate) fn vmas(&self) -> u64 {
        self.vmas.load(Relaxed) as u64
    }

    /// Whether it is mapped, or about to be.
    pub(crate) fn is_busy(&self) -> bool {
        // In this order, and acquiring: who has ended is among the VMAs.
        self.mapping.load(Acquire) > 0 || self.vmas() > 0
    }

    /// A call of `mmap(2)` is about to map it.
    pub(crate) fn mapping_begins(&self) {
        self.mapping.add(1, Relaxed);
    }

    /// That call is done.
    pub(crate) fn mapping_ends(&self) {
        self.mapping.fetch_sub(1, Release);
    }

    /// A counter of its use so far.
    pub(crate) fn count(&self, counter: RegionCounter) -> u64 {
        self.counters.sum(counter) as u64
    }

    /// Writes the header of the device's table. Names stay the same in later versions.
    pub(crate) fn show_header(m: &SeqFile) {
        seq_print!(m, "id pid backing method caching bytes offset vmas");
        for counter in RegionCounter::ALL {
            seq_print!(m, " {}", counter.name());
        }
        seq_print!(m, "\n");
    }

    /// Writes its line of the device's table.
    pub(crate) fn show(&self, m: &SeqFile) {
        seq_print!(
            m,
            "{} {} {} {} {} {} {:#x} {}",
            Decimal(self.id),
            self.pid,
            self.backing.name(),
            self.method.name(),
            self.caching.name(),
            Decimal(self.bytes()),
            self.offset,
            Decimal(self.vmas()),
        );
        for counter in RegionCounter::ALL {
            seq_print!(m, " {}", Decimal(self.count(*counter)));
        }
        seq_print!(m, "\n");
    }
}

/// What is given back when a region's memory has been freed.
pub struct Owned {
    live: Arc<Live>,
    device: Arc<Device>,
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
        self.vmas.add(1, Relaxed);
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
    fn fault_around(&self) -> usize {
        self.device.fault_around
    }
}

#[cfg(CONFIG_DMA_SHARED_BUFFER)]
impl mapkit::dma::export::Exportable for Owned {
    const NAME: &'static CStr = c"mapwright";

    fn module(&self) -> &'static ThisModule {
        self.device.module
    }

    fn device(&self) -> &Arc<DmaDevice> {
        self.device.dma()
    }

    fn mmap<'a>(memory: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        map(memory, vma)
    }
}

/// Allocates a region and lists it. `take_offset` says where it will be in its session, and is only
/// asked when there is memory.
///
/// `ENOSPC` over a limit, `ENOMEM` without memory.
pub(crate) fn allocate(
    device: &Arc<Device>,
    account: &Arc<Account>,
    recipe: Recipe,
    take_offset: impl FnOnce() -> Result<u64>,
) -> Result<Arc<Region>> {
    let reserved = Reserved::for_region(account, &device.accounts, &recipe)?;
    let start = device.stats.latency.start();
    let memory = backing::allocate(device, &recipe)?;
    device.stats.latency.stop(Timed::Allocate, start);
    let offset = take_offset()?;
    let base_pgoff = usize::try_from(offset / PAGE_SIZE as u64).map_err(|_| ENOSPC)?;

    let live = Live {
        id: device.new_id(),
        offset,
        pid: kernel::current!().group_leader().pid(),
        recipe,
        vmas: Atomic::new(0),
        mapping: Atomic::new(0),
        counters: PerCpuCounters::new()?,
    };
    let live = Arc::new(live, GFP_FOR_CALLER)?;
    let node = RBTreeNode::new(live.id, live.clone(), GFP_FOR_CALLER)?;
    // From here on dropping `owned` undoes it all.
    let owned = Owned {
        live,
        device: device.clone(),
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

/// Makes `vma` a mapping of the region, from the VMA's offset on. The caller keeps it from being
/// destroyed meanwhile.
///
/// `EINVAL` if it does not reach that far, and for a private mapping of page frame numbers.
pub(crate) fn map<'a>(region: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
    let nr_pages = vma.nr_pages();
    let start = region.device.stats.latency.start();
    let mapped = method::map(region, vma)?;
    region.device.stats.latency.stop(Timed::Mmap, start);
    region.counters.inc(RegionCounter::Mmaps);
    region.device.stats.inc(Counter::Mmaps);
    region.device.stats.add(Counter::PagesMapped, nr_pages);
    Ok(mapped)
}
