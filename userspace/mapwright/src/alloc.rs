// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocation plans, run by the kernel's allocators through `/dev/mapwright-alloc`.
//!
//! ```no_run
//! use mapwright::alloc::{Allocator, AllocDevice, Pattern, Plan};
//!
//! # fn main() -> mapwright::Result<()> {
//! let device = AllocDevice::open()?;
//! // What a kmalloc() of 100 bytes really gives, and where.
//! let plan = Plan::new(Allocator::Kmalloc, 100);
//! let (_, objects) = device.record(&plan, 1)?;
//! println!("{} bytes at frame {:#x}", objects[0].actual_bytes, objects[0].pfn);
//! // What a thousand of them cost.
//! let report = device.run(&plan.repeated(1000))?;
//! println!("{:.0} ns for each and its kfree()", report.allocating.ns_per(report.allocated));
//! // A block of four pages, held while the world looks at it.
//! let block = Plan::pages(2).with_pattern(Pattern::Batches { batch: 1 }).holding();
//! let (_, pages) = device.record(&block, 1)?;
//! assert_eq!(pages[0].pages, 4);
//! device.release()?;
//! # Ok(())
//! # }
//! ```

use crate::{device, AddressClass, Bucket, Error, Result};
use mapwright_uapi::{
    alloc::{self as uapi, ANY_NODE, NO_DMA_ADDR},
    Request,
};
use nix::{
    errno::Errno,
    sched::{sched_setaffinity, CpuSet},
    unistd::Pid,
};
use serde::Serialize;
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Barrier,
    thread,
};

pub use mapwright_uapi::alloc::{
    Allocator, CacheFlag, Gfp, Info, Modifier, Zone, FILL_BYTE, VERSION,
};

/// The device node.
pub const DEVICE: &str = "/dev/mapwright-alloc";
/// Where the module shows its tables.
pub const DEBUGFS: &str = "/sys/kernel/debug/mapwright_alloc";

/// An open `/dev/mapwright-alloc`. What its plans hold on to is freed when it is closed.
#[derive(Debug)]
pub struct AllocDevice {
    file: File,
}

/// In which order objects are allocated and freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Each is freed before the next is allocated.
    Pairs,
    /// So many are allocated, then freed in the same order; and again.
    Batches {
        /// How many.
        batch: u32,
    },
    /// One of some places is drawn; what is there is freed, or an object allocated if it is empty.
    Random {
        /// How many places.
        places: u32,
        /// The same seed draws the same places.
        seed: u64,
    },
}

/// What to allocate, how often and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who gives the memory.
    pub allocator: Allocator,
    /// Bytes of an object; 0 for pages, and see [`size_zero`](Self::size_zero).
    pub bytes: u64,
    /// Bytes of the object that `krealloc()` begins with; 0 with other allocators.
    pub old_bytes: u64,
    /// Order of a block of pages; 0 with other allocators.
    pub order: u32,
    /// What an allocation may do, and where its memory may be.
    pub gfp: Gfp,
    /// Further GFP flags.
    pub modifiers: Vec<Modifier>,
    /// Flags of the cache that is made for the plan, if the allocator is [`Allocator::KmemCache`].
    pub cache_flags: Vec<CacheFlag>,
    /// A power of two up to a page that addresses are multiples of; 0 for what is usual.
    pub align: u32,
    /// The node to allocate from; any without.
    pub node: Option<i32>,
    /// In which order.
    pub pattern: Pattern,
    /// Allocations to make; with [`Pattern::Random`], operations in all.
    pub count: u32,
    /// What is alive at the end stays so until [`AllocDevice::release`].
    pub hold: bool,
    /// A size of 0 is meant.
    pub size_zero: bool,
    /// Blocks of pages are split and freed page by page.
    pub split: bool,
    /// A null pointer is freed at the end, too.
    pub free_null: bool,
    /// Each operation is timed.
    pub histogram: bool,
    /// Recorded objects are filled with [`FILL_BYTE`].
    pub fill: bool,
}

impl Plan {
    /// A single allocation of `bytes` bytes with `GFP_KERNEL`, freed at once.
    pub fn new(allocator: Allocator, bytes: u64) -> Self {
        Self {
            allocator,
            bytes,
            old_bytes: 0,
            order: 0,
            gfp: Gfp::Kernel,
            modifiers: Vec::new(),
            cache_flags: Vec::new(),
            align: 0,
            node: None,
            pattern: Pattern::Pairs,
            count: 1,
            hold: false,
            size_zero: false,
            split: false,
            free_null: false,
            histogram: false,
            fill: false,
        }
    }

    /// A block of 2^`order` pages.
    pub fn pages(order: u32) -> Self {
        Self {
            order,
            ..Self::new(Allocator::Pages, 0)
        }
    }

    /// An object of `old_bytes` bytes that `krealloc()` makes one of `bytes`.
    pub fn krealloc(old_bytes: u64, bytes: u64) -> Self {
        Self {
            old_bytes,
            ..Self::new(Allocator::Krealloc, bytes)
        }
    }

    /// The same `count` times.
    pub fn repeated(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// The same with other GFP flags.
    pub fn with_gfp(self, gfp: Gfp) -> Self {
        Self { gfp, ..self }
    }

    /// The same with a further GFP flag.
    pub fn with(mut self, modifier: Modifier) -> Self {
        self.modifiers.push(modifier);
        self
    }

    /// The same in another order.
    pub fn with_pattern(self, pattern: Pattern) -> Self {
        Self { pattern, ..self }
    }

    /// The same from one node.
    pub fn on_node(self, node: i32) -> Self {
        let node = Some(node);
        Self { node, ..self }
    }

    /// The same, with what is alive at the end staying so.
    pub fn holding(self) -> Self {
        Self { hold: true, ..self }
    }

    /// The same with each operation timed.
    pub fn with_histogram(self) -> Self {
        Self {
            histogram: true,
            ..self
        }
    }

    /// As the interface has it.
    pub fn to_request(&self) -> uapi::Run {
        let (pattern, batch, seed) = match self.pattern {
            Pattern::Pairs => (uapi::Pattern::Pairs, 0, 0),
            Pattern::Batches { batch } => (uapi::Pattern::Batches, batch, 0),
            Pattern::Random { places, seed } => (uapi::Pattern::Random, places, seed),
        };
        let flags = [
            (self.hold, uapi::HOLD),
            (self.size_zero, uapi::SIZE_ZERO),
            (self.split, uapi::SPLIT),
            (self.free_null, uapi::FREE_NULL),
            (self.histogram, uapi::HISTOGRAM),
            (self.fill, uapi::FILL),
        ];
        let flags = flags.into_iter().filter(|(on, _)| *on);
        uapi::Run {
            flags: flags.fold(0, |mask, (_, flag)| mask | flag),
            allocator: self.allocator.number(),
            pattern: pattern.number(),
            gfp: self.gfp.number(),
            modifiers: self.modifiers.iter().fold(0, |mask, it| mask | it.bit()),
            bytes: self.bytes,
            old_bytes: self.old_bytes,
            order: self.order,
            cache_flags: self.cache_flags.iter().fold(0, |mask, it| mask | it.bit()),
            align: self.align,
            node: self.node.unwrap_or(ANY_NODE),
            count: self.count,
            batch,
            seed,
            ..uapi::Run::new()
        }
    }
}

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

impl AllocDevice {
    /// Opens `/dev/mapwright-alloc`.
    pub fn open() -> Result<Self> {
        Self::open_at(DEVICE)
    }

    /// Opens the device node `path`.
    pub fn open_at(path: impl AsRef<Path>) -> Result<Self> {
        let file = device::open(path.as_ref())?;
        Ok(Self { file })
    }

    /// Does an ioctl of the interface.
    pub fn request<R: Request>(&self, request: &mut R) -> std::result::Result<(), Errno> {
        device::request(&self.file, request)
    }

    /// What the module can do, and its limits.
    pub fn info(&self) -> Result<Info> {
        let mut info = Info::new();
        self.request(&mut info).map_err(system("INFO"))?;
        Ok(info)
    }

    /// Runs a plan in this thread, and times it.
    pub fn run(&self, plan: &Plan) -> Result<Report> {
        let mut run = plan.to_request();
        self.run_request(&mut run)?;
        Ok(Report::new(plan, &run))
    }

    /// Runs a plan in a thread on each of `cpus`, all at the same time.
    pub fn run_on(&self, plan: &Plan, cpus: &[u32]) -> Result<Vec<Report>> {
        let all_are_there = Barrier::new(cpus.len());
        thread::scope(|scope| {
            let on = |cpu: u32| {
                let all_are_there = &all_are_there;
                move || {
                    let pinned = pin_to(cpu);
                    // Whoever cannot be pinned still comes, or the others would wait for ever.
                    all_are_there.wait();
                    pinned.and_then(|()| self.run(plan))
                }
            };
            let threads: Vec<_> = cpus.iter().map(|cpu| scope.spawn(on(*cpu))).collect();
            let join = |thread: thread::ScopedJoinHandle<Result<Report>>| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }

    /// Runs a plan in this thread, and tells what its first `n` allocations gave. Needs
    /// `CAP_SYS_ADMIN`. Nothing is timed.
    pub fn record(&self, plan: &Plan, n: u32) -> Result<(Report, Vec<Object>)> {
        self.record_flagged(plan, n, 0)
    }

    /// The same with an [`Object`] for each of the first `n` pages.
    pub fn record_pages(&self, plan: &Plan, n: u32) -> Result<(Report, Vec<Object>)> {
        self.record_flagged(plan, n, uapi::EACH_PAGE)
    }

    fn record_flagged(&self, plan: &Plan, n: u32, flag: u32) -> Result<(Report, Vec<Object>)> {
        let mut records = vec![uapi::Record::default(); n as usize];
        let mut run = plan.to_request();
        run.flags |= flag;
        run.records = records.as_mut_ptr() as u64;
        run.nr_records = n;
        self.run_request(&mut run)?;
        records.truncate(run.nr_records as usize);
        let objects = records.iter().map(Object::try_from);
        Ok((Report::new(plan, &run), objects.collect::<Result<_>>()?))
    }

    /// Frees everything that plans of this file hold. Returns how many objects.
    pub fn release(&self) -> Result<u64> {
        let mut release = uapi::Release::new();
        self.request(&mut release).map_err(system("RELEASE"))?;
        Ok(release.freed)
    }

    fn run_request(&self, run: &mut uapi::Run) -> Result<()> {
        self.request(run).map_err(|errno| match errno {
            Errno::EINVAL => self.why_not(run),
            Errno::ENOSPC => self.over_budget(run),
            Errno::EINTR => Error::Interrupted,
            errno => system("running the plan")(errno),
        })
    }

    /// What is wrong with a plan.
    fn why_not(&self, run: &uapi::Run) -> Error {
        let info = self.info().unwrap_or_default();
        match uapi::reason_against(run, &info) {
            Some(reason) => Error::PlanRefused { reason },
            None => system("running the plan")(Errno::EINVAL),
        }
    }

    fn over_budget(&self, run: &uapi::Run) -> Error {
        let info = self.info().unwrap_or_default();
        Error::OverBudget {
            needed: uapi::bytes_needed(run, &info),
            used: info.used_bytes,
            budget: info.budget_bytes,
        }
    }
}

impl AsFd for AllocDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Has this thread run on one CPU only.
pub fn pin_to(cpu: u32) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu as usize)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &cpus))
        .map_err(|errno| match errno {
            Errno::EINVAL => Error::NoCpu { cpu },
            errno => system("sched_setaffinity")(errno),
        })
}

impl Report {
    fn new(plan: &Plan, run: &uapi::Run) -> Self {
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

fn system(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::System { what, errno }
}
