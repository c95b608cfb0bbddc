// SPDX-License-Identifier: MIT OR Apache-2.0

//! Regions count as memory of the control group of who made them, and its limit is `ENOMEM`: nobody is
//! killed for a region that does not fit.

use crate::{
    alloc_budget::{available, needs_a_kernel_without_checkers},
    cells::Cell,
    child,
    dma::wait_until,
    runner::{skip, Case, Suite},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{page_size, Backing, Caching, Method, Session};
use nix::{
    errno::Errno,
    libc,
    mount::{mount, MsFlags},
    unistd::Pid,
};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

pub const SUITE: Suite = Suite {
    name: "cgroup",
    cases,
};

fn cases() -> Vec<Case> {
    let of = |name: &'static str, run: fn(Cell) -> Result<()>| {
        // Coherent memory comes from an area that is set aside for it, if there is one.
        let has_area = area_is_set_aside();
        let set_aside = move |cell: &Cell| has_area && cell.backing == Backing::Coherent;
        let charged = move |cell: &Cell| !set_aside(cell);
        Cell::ordinary()
            .filter(charged)
            .map(move |cell| Case::new(format!("{name}__{}", cell.name()), move |_| run(cell)))
    };
    let small = |backing: Backing, method| {
        let cell = Cell {
            backing,
            method,
            caching: Caching::WriteBack,
        };
        let name = format!("small_regions_are_charged__{}", cell.pair());
        Case::new(name, move |_| small_regions_are_charged(backing, method))
    };
    of("counts_a_region", counts_a_region)
        .chain(of("limit_is_enomem", limit_is_enomem))
        .chain(
            [
                (Backing::Pages, Method::Remap),
                (Backing::Folio, Method::Fault),
                (Backing::Folio, Method::PageCache),
                (Backing::Kmalloc, Method::Remap),
                (Backing::Vmalloc, Method::Insert),
                (Backing::Coherent, Method::Dma),
            ]
            .into_iter()
            .filter(|(backing, _)| *backing != Backing::Coherent || !area_is_set_aside())
            .map(|(backing, method)| small(backing, method)),
        )
        .collect()
}

/// Whether the kernel has an area for contiguous memory (CMA).
fn area_is_set_aside() -> bool {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("CmaTotal:"));
    total.is_some_and(|total| total.trim() != "0 kB")
}

const ROOT: &str = "/sys/fs/cgroup";

/// Bytes of a region.
fn region_bytes() -> u64 {
    1024 * page_size()
}

/// More than any test here needs beside its regions.
fn limit() -> u64 {
    4 * region_bytes()
}

/// More than what is charged for each CPU ahead of time, 64 pages.
fn beside() -> u64 {
    256 * page_size()
}

/// A control group with a limit of its own, removed when dropped.
pub struct Group(PathBuf);

impl Group {
    pub fn new() -> Result<Self> {
        Self::with_limit(limit())
    }

    pub fn with_limit(bytes: u64) -> Result<Self> {
        let controllers = Path::new(ROOT).join("cgroup.controllers");
        if !controllers.exists() {
            let mounted = mount(
                Some("cgroup2"),
                ROOT,
                Some("cgroup2"),
                MsFlags::empty(),
                None::<&str>,
            );
            if mounted.is_err() {
                return skip("this kernel has no control groups");
            }
        }
        let can = fs::read_to_string(controllers)?;
        if !can.split_whitespace().any(|name| name == "memory") {
            return skip("this kernel's control groups do not limit memory");
        }
        fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory")?;
        let group = Self(Path::new(ROOT).join(format!("mapwright-{}", std::process::id())));
        fs::create_dir(&group.0)?;
        fs::write(group.0.join("memory.max"), bytes.to_string())?;
        Ok(group)
    }

    /// Runs `f` in a process of the group.
    pub fn run(&self, f: impl FnOnce() -> Result<()>) -> Result<()> {
        child::run(|| {
            fs::write(self.0.join("cgroup.procs"), "0")?;
            f()
        })
    }

    /// Makes process `pid` one of the group.
    pub fn add(&self, pid: Pid) -> Result<()> {
        Ok(fs::write(self.0.join("cgroup.procs"), pid.to_string())?)
    }

    /// Freezes its processes, or thaws them, and waits until that is so.
    pub fn freeze(&self, freeze: bool) -> Result<()> {
        let word = if freeze { "1" } else { "0" };
        fs::write(self.0.join("cgroup.freeze"), word)?;
        wait_until("it is frozen", || {
            let events = fs::read_to_string(self.0.join("cgroup.events"))?;
            Ok(events.contains(&format!("frozen {word}")))
        })
    }

    /// Bytes that it is charged for.
    pub fn current(&self) -> Result<u64> {
        Ok(fs::read_to_string(self.0.join("memory.current"))?
            .trim()
            .parse()?)
    }

    /// A line of its `memory.stat`.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let stat = fs::read_to_string(self.0.join("memory.stat"))?;
        let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
        let value = lines.find_map(|(line, value)| (line == name).then_some(value));
        Ok(value.with_context(|| format!("no {name}"))?.parse()?)
    }

    /// Waits until a line of its `memory.stat` satisfies `enough`. Each CPU counts for itself; the kernel adds its
    /// counts up every two seconds, or when some hundred pages are to be added.
    pub fn wait_for_stat(&self, name: &str, enough: impl Fn(u64) -> bool) -> Result<()> {
        let mut last = 0;
        let waited = wait_until("the group's memory.stat", || {
            last = self.stat(name)?;
            Ok(enough(last))
        });
        waited.with_context(|| format!("{name} is {last}"))
    }

    /// Processes that were killed for its limit.
    fn kills(&self) -> Result<u64> {
        let events = fs::read_to_string(self.0.join("memory.events"))?;
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        Ok(kills
            .context("memory.events lacks oom_kill")?
            .trim()
            .parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn counts_a_region(cell: Cell) -> Result<()> {
    let group = Group::new()?;
    group.run(|| {
        let session = Session::open()?;
        let before = group.current()?;
        let region = cell.create(&session, region_bytes())?;
        let with = group.current()?;
        ensure!(
            // What was charged ahead of time is used up first.
            with + beside() >= before + region.bytes,
            "{} bytes more for a region of {}",
            with.saturating_sub(before),
            region.bytes
        );
        session.destroy(&region)?;
        let after = group.current()?;
        // What is charged ahead of time is not exact.
        ensure!(
            after + region.bytes - beside() < with,
            "{after} of {with} bytes remain charged"
        );
        Ok(())
    })
}

/// What a group of 64 MiB may have.
const SMALL_GROUP: u64 = 64 << 20;
/// What the kernel may take that it charges to nobody.
const OUTSIDE: u64 = 2 << 20;
/// Others may take memory at the same time: how often it is tried.
const TRIES: usize = 3;

/// Regions of a page, as many as a small group may have: what the kernel takes for them is charged to the group,
/// and nobody is killed.
fn small_regions_are_charged(backing: Backing, method: Method) -> Result<()> {
    needs_a_kernel_without_checkers()?;
    let group = Group::with_limit(SMALL_GROUP)?;
    // Charged to this process's group, so that the other does not give the pages back when it has no more.
    populate_program()?;
    group.run(|| {
        populate_program()?;
        for _ in 0..TRIES {
            let (taken, charged) = fill_with_small_regions(&group, backing, method)?;
            if taken <= charged + OUTSIDE {
                return Ok(());
            }
        }
        bail!("each time more was taken than charged")
    })?;
    let kills = group.kills()?;
    ensure!(kills == 0, "{kills} processes were killed");
    Ok(())
}

/// Has all of this process's program mapped: at the limit of its group, the kernel would kill it for a page that it touches for
/// the first time.
fn populate_program() -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for map in maps
        .lines()
        .filter(|map| map.contains(" r") && map.contains('/'))
    {
        let (range, _) = map.split_once(' ').context("no permissions")?;
        let (start, end) = range.split_once('-').context("no range")?;
        let start = usize::from_str_radix(start, 16)?;
        let end = usize::from_str_radix(end, 16)?;
        // SAFETY: It only reads what is mapped there. Where that is no file, it may fail.
        unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_POPULATE_READ) };
    }
    Ok(())
}

/// Makes such regions until one is refused. Returns the bytes of memory that were taken for them, and charged.
fn fill_with_small_regions(group: &Group, backing: Backing, method: Method) -> Result<(u64, u64)> {
    const MOST: usize = 100_000;
    let (before, charged_before) = (available()?, group.current()?);
    let parts_before = parts()?;
    let mut sessions = vec![Session::open()?];
    let mut regions = 0;
    let refused = loop {
        let session = sessions.last().context("no session")?;
        match session.create(backing, method, page_size()) {
            Ok(_) => regions += 1,
            // A session has no more than so many.
            Err(err) if err.errno() == Some(Errno::ENOSPC) && sessions.len() < 100 => {
                sessions.push(Session::open()?);
            }
            Err(err) => break err.errno(),
        }
        ensure!(regions < MOST, "{regions} regions in {SMALL_GROUP} bytes");
    };
    // Room for what this process itself needs from here on: at the limit, the kernel would kill it.
    drop(sessions.swap_remove(0));
    ensure!(refused == Some(Errno::ENOMEM), "{refused:?}");
    let measure = || {
        let taken = before.saturating_sub(available()?);
        let charged = group.current()?.saturating_sub(charged_before);
        Ok::<_, anyhow::Error>((taken, charged))
    };
    let (mut taken, mut charged) = measure()?;
    // What the session had that was closed is charged no more, and on its way back to the lists of free pages.
    for _ in 0..100 {
        if taken <= charged + OUTSIDE {
            break;
        }
        thread::sleep(Duration::from_millis(20));
        (taken, charged) = measure()?;
    }
    child::note(&format!(
        "{regions} regions: {} KiB taken, {} KiB charged{}",
        taken >> 10,
        charged >> 10,
        grown(&parts_before, &parts()?)
    ));
    Ok((taken, charged))
}

/// The parts of the kernel's memory that grow with what it keeps beside a region, and how many KiB each has.
fn parts() -> Result<Vec<(String, u64)>> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let named = [
        "Slab:",
        "SUnreclaim:",
        "Percpu:",
        "PageTables:",
        "KernelStack:",
    ];
    let lines = meminfo.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| named.contains(name))?;
        Some((name.to_owned(), words.next()?.parse().ok()?))
    });
    Ok(lines.collect())
}

/// By how much each has grown, for a person.
fn grown(before: &[(String, u64)], after: &[(String, u64)]) -> String {
    let pairs = before.iter().zip(after);
    let growth: Vec<String> = pairs
        .map(|((name, before), (_, after))| {
            format!("; {name} +{} KiB", after.saturating_sub(*before))
        })
        .collect();
    growth.concat()
}

fn limit_is_enomem(cell: Cell) -> Result<()> {
    let group = Group::new()?;
    group.run(|| {
        let session = Session::open()?;
        let mut regions = Vec::new();
        let refused = loop {
            match cell.create(&session, region_bytes()) {
                Ok(region) => regions.push(region),
                Err(errno) => break errno,
            }
            ensure!(
                regions.len() as u64 * region_bytes() <= limit(),
                "{} regions of {} bytes in {}",
                regions.len(),
                region_bytes(),
                limit()
            );
        };
        ensure!(refused == Errno::ENOMEM, "{refused}");
        ensure!(!regions.is_empty(), "not even one region");
        // The group has room again.
        session.destroy(&regions[0])?;
        let again = cell.create(&session, region_bytes());
        ensure!(again.is_ok(), "{again:?}");
        Ok(())
    })?;
    let kills = group.kills()?;
    ensure!(kills == 0, "{kills} processes were killed");
    Ok(())
}
