// SPDX-License-Identifier: MIT OR Apache-2.0

//! What came of an allocation plan: counts, costs, and what each allocation gave.

use super::{Allocator, Plan, Zone};
use crate::{AddressClass, Bucket, Error, Result};
use mapwright_uapi::alloc::{self as uapi, NO_DMA_ADDR};
use serde::Serialize;

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Allocations that succeeded.
    pub allocated: u64,
    /// Objects that were freed, without those that still lived at the end.
    pub freed: u64,
    /// Allocations that failed for lack of memory.
    pub failed_memory: u64,
    /// Allocations that failed because the allocator never gives so much.
    pub failed_size: u64,
    /// The CPU that it began on.
    pub first_cpu: u32,
    /// The CPU that it ended on.
    pub last_cpu: u32,
    /// What allocating cost; of pairs and random lifetimes, all operations.
    pub allocating: Cost,
    /// What freeing cost; nothing of pairs and random lifetimes.
    pub freeing: Cost,
    /// How long operations took, if each was timed.
    pub latency: Vec<Bucket>,
    /// Name of the cache that was made for it, as in `/proc/slabinfo`.
    pub cache: Option<String>,
}

/// What a loop cost, that of the same loop with no allocator in it, for all turns together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Nanoseconds; instructions where QEMU counts them.
    pub ns: u64,
    /// Nanoseconds of the empty loop.
    pub empty_ns: u64,
    /// Cycles of the CPU's time-stamp counter, 0 without one.
    pub cycles: u64,
    /// Cycles of the empty loop.
    pub empty_cycles: u64,
}

impl Cost {
    /// Nanoseconds for each of `n` operations, without the loop's own.
    pub fn ns_per(&self, n: u64) -> f64 {
        self.ns.saturating_sub(self.empty_ns) as f64 / n.max(1) as f64
    }

    /// Cycles for each of `n` operations, without the loop's own.
    pub fn cycles_per(&self, n: u64) -> f64 {
        self.cycles.saturating_sub(self.empty_cycles) as f64 / n.max(1) as f64
    }
}

/// What an allocation gave, or a page of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Object {
    /// The kernel's address; 0 of a page in high memory. Of a per-CPU object, the first CPU's copy.
    pub address: u64,
    /// Page frame number of its first page.
    pub pfn: u64,
    /// The address a device uses for it, if it is for one.
    pub dma_addr: Option<u64>,
    /// Bytes that were given: `ksize()`, or whole pages.
    pub actual_bytes: u64,
    /// Which allocation of the plan, from 0.
    pub index: u32,
    /// Pages that it touches.
    pub pages: u32,
    /// Physically contiguous runs that these make up.
    pub runs: u32,
    /// Pages of the longest run.
    pub longest_run: u32,
    /// Zone of its first page.
    #[serde(serialize_with = "zone_name")]
    pub zone: Zone,
    /// Node of its first page.
    pub node: u32,
    /// Where its address lies.
    #[serde(serialize_with = "class_name")]
    pub address_class: AddressClass,
    /// All bytes asked for were zero. Not told of single pages.
    pub zeroed: bool,
    /// `krealloc()` gave another address than before.
    pub moved: bool,
    /// It begins with the bytes that `krealloc()` was to keep.
    pub kept: bool,
}

fn zone_name<S: serde::Serializer>(zone: &Zone, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(zone.name())
}

fn class_name<S: serde::Serializer>(
    class: &AddressClass,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(class.name())
}

impl Report {
    pub(super) fn new(plan: &Plan, run: &uapi::Run) -> Self {
        let mut latency = buckets("allocate", &run.allocating_histogram);
        latency.extend(buckets("free", &run.freeing_histogram));
        Self {
            allocated: run.allocated,
            freed: run.freed,
            failed_memory: run.failed_memory,
            failed_size: run.failed_size,
            first_cpu: run.first_cpu,
            last_cpu: run.last_cpu,
            allocating: run.allocating.into(),
            freeing: run.freeing.into(),
            latency,
            cache: (plan.allocator == Allocator::KmemCache)
                .then(|| format!("mapwright_alloc-{}", run.cache_number)),
        }
    }
}

impl From<uapi::Cost> for Cost {
    fn from(cost: uapi::Cost) -> Self {
        Self {
            ns: cost.ns,
            empty_ns: cost.empty_ns,
            cycles: cost.cycles,
            empty_cycles: cost.empty_cycles,
        }
    }
}

/// The buckets that are not empty.
fn buckets(operation: &str, histogram: &[u32]) -> Vec<Bucket> {
    let bucket = |(n, count): (usize, &u32)| Bucket {
        operation: operation.to_owned(),
        below_ns: 1 << n,
        count: (*count).into(),
    };
    let all = histogram.iter().enumerate().map(bucket);
    all.filter(|bucket| bucket.count > 0).collect()
}

impl TryFrom<&uapi::Record> for Object {
    type Error = Error;

    fn try_from(record: &uapi::Record) -> Result<Self> {
        let unknown = |what: &str, number: u32| Error::Unexpected {
            what: "the module's answer".into(),
            detail: format!("{what} {number} is newer than this program"),
        };
        Ok(Self {
            address: record.address,
            pfn: record.pfn,
            dma_addr: Some(record.dma_addr).filter(|addr| *addr != NO_DMA_ADDR),
            actual_bytes: record.actual_bytes,
            index: record.index,
            pages: record.pages,
            runs: record.runs,
            longest_run: record.longest_run,
            zone: Zone::from_number(record.zone).ok_or_else(|| unknown("zone", record.zone))?,
            node: record.node,
            address_class: AddressClass::from_number(record.address_class)
                .ok_or_else(|| unknown("address class", record.address_class))?,
            zeroed: record.flags & uapi::ZEROED != 0,
            moved: record.flags & uapi::MOVED != 0,
            kept: record.flags & uapi::KEPT != 0,
        })
    }
}
