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

mod plan;
mod report;

pub use plan::{Pattern, Plan};
pub use report::{Cost, Object, Report};

use crate::{device, Error, Result};
use mapwright_uapi::{alloc as uapi, Request};
use nix::{
    errno::Errno,
    sched::{sched_setaffinity, CpuSet},
    unistd::Pid,
};
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

fn system(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::System { what, errno }
}
