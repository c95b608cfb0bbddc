// SPDX-License-Identifier: MIT OR Apache-2.0

//! A8: minor and major page faults.

use crate::{
    anonymous::Anonymous,
    disk::{Disk, NODE},
    pin::Pinned,
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_faults, Backing, Mapping, Method, Protection, Session};
use nix::{
    errno::Errno,
    fcntl::{posix_fadvise, PosixFadviseAdvice},
    libc,
};
use std::{fs::File, os::fd::AsFd as _, time::Instant};

pub const CLAIM: Claim = Claim {
    id: "A8",
    title: "Minor and major faults",
    sources: &[
        Document::Walkthrough.section("5, User mappings"),
        Document::Reference.section("3, Pages & Page Tables"),
        Document::Reference.section("4, Kernel Memory: Eager"),
    ],
    says: "A page fault is minor if the page is in memory and only has to be mapped, and major if it has to be read from a disk, \
           which takes a thousand times as long.",
    needs: &[Need::Module("mapwright")],
    vms: &[Vm::Normal],
    prove,
};

/// Pages of each mapping.
const PAGES: usize = 256;
/// How many times as long it is said to take, and how far from that is about that.
const SAID: f64 = 1000.0;
const ABOUT: f64 = 5.0;

/// What touching all of a mapping cost.
struct Cost {
    what: &'static str,
    minor: u64,
    major: u64,
    ns: u128,
}

impl Cost {
    fn of(what: &'static str, touch: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (minor, major) = page_faults()?;
        let begun = Instant::now();
        touch()?;
        let ns = begun.elapsed().as_nanos();
        let (minor_now, major_now) = page_faults()?;
        Ok(Self {
            what,
            minor: minor_now - minor,
            major: major_now - major,
            ns,
        })
    }

    fn ns_per_fault(&self) -> f64 {
        self.ns as f64 / (self.minor + self.major).max(1) as f64
    }
}

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let page = usize::try_from(mapwright::page_size())?;
    let disk = Disk::new()?;
    mapwright::settle();
    let memory = Anonymous::small(PAGES * page)?;
    let anonymous = Cost::of("anonymous memory", || memory.touch(0..memory.len()))?;

    let session = Session::open()?;
    let region = session.create(Backing::Pages, Method::FaultPfn, (PAGES * page) as u64)?;
    let mapping = session.map(&region, Protection::Read)?;
    let ours = touching("a region of ours with a fault handler", &mapping)?;

    // Not the disk's own file, which goes around the page cache.
    let file = File::open(NODE).with_context(|| format!("opening {NODE}"))?;
    let (cold, warm) = of_file(&file, PAGES * page)?;
    drop(file);
    drop(disk);

    let ratio = cold.ns_per_fault() / anonymous.ns_per_fault();
    let mut table = Table::new(
        format!("{PAGES} pages touched for the first time (getrusage())"),
        [
            "memory",
            "minor faults",
            "major faults",
            "microseconds for one",
        ],
    );
    let costs = [&anonymous, &ours, &warm, &cold];
    for cost in costs {
        table.row([
            cost.what.to_owned(),
            cost.minor.to_string(),
            cost.major.to_string(),
            format!("{:.1}", cost.ns_per_fault() / 1000.0),
        ]);
    }
    let in_memory = [&anonymous, &ours, &warm];
    let minor = in_memory
        .iter()
        .all(|cost| cost.major == 0 && cost.minor > 0);
    Ok(Finding::new(format!(
        "{} of {PAGES} cold pages are major faults, of {ratio:.1} times the time",
        cold.major
    ))
    .statement(
        "A fault that needs no I/O is minor",
        Verdict::of(minor),
        "of anonymous memory, of a driver's and of what is in the page cache, none is major",
    )
    .statement(
        "A fault for which a disk must be read is major",
        Verdict::of(cold.major * 10 >= PAGES as u64 * 9),
        format!("{} of {PAGES}", cold.major),
    )
    .statement(
        "It takes a thousand times as long",
        Verdict::Confirmed.if_else(
            (SAID / ABOUT..SAID * ABOUT).contains(&ratio),
            Verdict::Config,
        ),
        format!("{ratio:.1} times as long as one of anonymous memory, on a disk that is memory itself"),
    )
    .said_in(&[Document::Reference.section("4, Kernel Memory: Eager")])
    .table(table)
    .instead(
        "How much longer is up to the disk: the one here (null_blk) has no time of its own, so that what is seen \
         is the kernel's way to a disk and back. A disk that takes 100 microseconds adds these.",
    ))
}

fn touching(what: &'static str, mapping: &Mapping) -> Result<Cost> {
    Cost::of(what, || {
        mapping.touch();
        Ok(())
    })
}

/// What it costs to touch pages of a file that have to be read, and then again, through another mapping.
fn of_file(file: &File, bytes: usize) -> Result<(Cost, Cost)> {
    let length = libc::off_t::try_from(bytes)?;
    posix_fadvise(file, 0, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let mapping =
        Mapping::new(file.as_fd(), 0, bytes, Protection::Read).context("mapping a disk")?;
    // Each page by itself: none ahead.
    // SAFETY: Advice changes nothing that is in the memory.
    let result = unsafe { libc::madvise(mapping.addr() as *mut _, bytes, libc::MADV_RANDOM) };
    Errno::result(result).context("MADV_RANDOM")?;
    let cold = touching("a disk that nobody has read", &mapping)?;
    ensure!(
        cold.minor + cold.major > 0,
        "a mapping of a disk has no faults"
    );
    drop(mapping);
    let mapping =
        Mapping::new(file.as_fd(), 0, bytes, Protection::Read).context("mapping a disk")?;
    Ok((cold, touching("the same, in the page cache now", &mapping)?))
}
