// SPDX-License-Identifier: GPL-2.0-only

//! How much may be held, in all and by one session.

use crate::{
    recipe::Recipe,
    settings::Settings,
    stats::RegionCounter, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    base::{
        budget::Budget,
        gfp::GFP_FOR_CALLER,
        sysinfo, //
    },
    observe::percpu::PerCpuCounters, //
};

/// The limits, fixed when the module is loaded.
pub(crate) struct Limits {
    /// Bytes that all regions may hold together.
    pub(crate) total_bytes: u64,
    /// Bytes that the regions of one session may hold together.
    pub(crate) session_bytes: u64,
    /// Bytes of the DMA API's memory that all regions may hold together.
    coherent_bytes: u64,
    /// Regions that there may be in all.
    total_regions: u32,
    /// Regions that one session may hold.
    pub(crate) session_regions: u32,
}

impl Limits {
    /// From the module parameters of the same names, of which those in MiB are 0 for the default.
    pub(crate) fn new(settings: &Settings) -> Self {
        let bytes = |mib: u32, default: u64| match mib {
            0 => default,
            mib => u64::from(mib) << 20,
        };
        let half = sysinfo::low_memory_bytes() / 2;
        let total_bytes = bytes(settings.total_limit_mib, half);
        // The area for contiguous memory is shared with all devices, and no memory cgroup is charged for it.
        let coherent = match sysinfo::free_cma_bytes() {
            0 => total_bytes,
            free => (free / 2).min(total_bytes),
        };
        Self {
            total_bytes,
            session_bytes: bytes(settings.session_limit_mib, total_bytes),
            coherent_bytes: bytes(settings.coherent_limit_mib, coherent),
            total_regions: settings.total_regions,
            session_regions: settings.session_regions,
        }
    }
}

/// Bytes of the structures of a region and of its places in lists, without what grows with it: five objects of
/// `kmalloc()`, and an area of the vmalloc area. Each is less than 256, with what the slab keeps to tell who is
/// charged.
const STRUCTURES: usize = 1024;

/// Bytes that a region keeps beside each page: an entry of a page table of the kernel's and of an array of pages.
const BESIDE_PAGE: usize = 2 * size_of::<usize>();

/// What beside a region's memory is not counted: as much as a part of that memory, in powers of two.
const FREE_SHIFT: u32 = 5;

/// The bytes that a region takes of the machine's memory, as far as they count: with what its allocator rounds
/// up to, and with what is kept beside the memory, unless that is less than a thirty-second of it. Small regions
/// take much more than their memory.
fn bytes_taken(recipe: &Recipe) -> u64 {
    let pages = recipe.pages_taken();
    let memory = pages.saturating_mul(PAGE_SIZE as u64);
    let beside = structures().saturating_add(pages.saturating_mul(BESIDE_PAGE as u64));
    memory.saturating_add(beside.saturating_sub(memory >> FREE_SHIFT))
}

/// Bytes of the structures of a region.
fn structures() -> u64 {
    let counters = PerCpuCounters::<RegionCounter>::bytes_of_all();
    STRUCTURES.saturating_add(counters) as u64
}

/// What is left of a limit, of bytes and of regions.
pub(crate) struct Account {
    bytes: Budget,
    regions: Budget,
}

impl Account {
    pub(crate) fn new(bytes: u64, regions: u64) -> Result<Arc<Self>> {
        let account = Self {
            bytes: Budget::new(bytes),
            regions: Budget::new(regions),
        };
        Ok(Arc::new(account, GFP_FOR_CALLER)?)
    }

    /// Takes a region of `bytes` bytes; `ENOSPC` if that is over the limit.
    fn charge(&self, bytes: i64) -> Result {
        self.regions.charge(1)?;
        self.bytes
            .charge(bytes)
            .inspect_err(|_| self.regions.uncharge(1))
    }

    fn uncharge(&self, bytes: i64) {
        self.bytes.uncharge(bytes);
        self.regions.uncharge(1);
    }
}

/// A region that was taken from an account, given back when its memory has been freed. Pages that are
/// still pinned then are no longer counted here, only by the memory cgroup.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: i64,
}

impl Charge {
    /// Takes a region of `bytes` bytes from `account`; `ENOSPC` if that is over the limit.
    pub(crate) fn new(account: &Arc<Account>, bytes: u64) -> Result<Self> {
        let bytes = i64::try_from(bytes).map_err(|_| ENOSPC)?;
        account.charge(bytes)?;
        Ok(Self {
            account: account.clone(),
            bytes,
        })
    }
}

/// What is left for all sessions of a device.
pub(crate) struct Accounts {
    all: Arc<Account>,
    /// Of the DMA API's memory.
    coherent: Arc<Account>,
}

impl Accounts {
    pub(crate) fn new(limits: &Limits) -> Result<Self> {
        Ok(Self {
            all: Account::new(limits.total_bytes, limits.total_regions.into())?,
            coherent: Account::new(limits.coherent_bytes, u64::MAX)?,
        })
    }
}

/// Bytes that a session's limits and those of all count, until this is dropped: a region's, or those of
/// memory that is held for a call.
pub struct Reserved {
    _session: Charge,
    _all: Charge,
    _coherent: Option<Charge>,
}

impl Reserved {
    /// Takes `bytes` bytes from what is left of a session's limits and from all; `ENOSPC` if that is over
    /// either.
    pub(crate) fn new(session: &Arc<Account>, of: &Accounts, bytes: u64) -> Result<Self> {
        Ok(Self {
            _session: Charge::new(session, bytes)?,
            _all: Charge::new(&of.all, bytes)?,
            _coherent: None,
        })
    }

    /// Takes what a region takes beside its memory, which the machine has reserved for it; `ENOSPC` if that is over a
    /// limit.
    pub(crate) fn beside_memory(session: &Arc<Account>, of: &Accounts) -> Result<Self> {
        Self::new(session, of, structures())
    }

    /// Takes what a region takes; `ENOSPC` if that is over a limit.
    pub(crate) fn for_region(
        session: &Arc<Account>,
        of: &Accounts,
        recipe: &Recipe,
    ) -> Result<Self> {
        let bytes = bytes_taken(recipe);
        let coherent = match recipe.is_dma() {
            true => Some(Charge::new(&of.coherent, bytes)?),
            false => None,
        };
        Ok(Self {
            _coherent: coherent,
            ..Self::new(session, of, bytes)?
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.uncharge(self.bytes);
    }
}
