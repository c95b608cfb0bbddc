// SPDX-License-Identifier: MIT OR Apache-2.0

//! D2: the lists of pages that may be reclaimed, with two lists and with generations (MGLRU).

use crate::{
    cgroup::Cgroup,
    disk::{Disk, DISK_BYTES, NODE},
    lru_gen::{self, LruGen},
    page_cache::{self, ACTIVE, DIRTY},
    pin::Pinned,
    Claim, Document, Finding, Lab, Need, Source, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::page_bytes;
use nix::fcntl::{posix_fadvise, PosixFadviseAdvice};
use std::{
    fs::{File, OpenOptions},
    ops::Range,
    os::unix::fs::FileExt as _,
    thread::sleep,
    time::Duration,
};

pub const CLAIM: Claim = Claim {
    id: "D2",
    title: "Active and inactive pages",
    sources: &[
        Document::Walkthrough.section("7, File cache & writeback"),
        Document::Memory.section("14, Overview"),
        Document::Memory.section("17, Page Cache & LRU Reclaim"),
        Document::Memory.section("21, Interview Prep, Q12"),
        Document::Overview.section("8, Page Replacement & Swapping"),
    ],
    says: "File pages begin on an inactive list; a second access promotes them to the active one, so that a scan of a large file \
           evicts none that are in use. Reclaim takes inactive pages, drops clean ones and writes dirty ones; active ones that \
           are not accessed are demoted.",
    needs: &[Need::File("/proc/kpageflags", "CONFIG_PROC_PAGE_MONITOR"), Need::Seconds(60)],
    vms: &[Vm::Normal],
    prove,
};

/// Where the documents say what a second access does.
const SECOND_ACCESS: &[Source] = &[
    Document::Memory.section("17, Page Cache & LRU Reclaim"),
    Document::Memory.section("19, Minimal C Demo"),
    Document::Memory.section("21, Interview Prep, Q12"),
];

/// Of so many pages of the disk one is used twice, the others are scanned.
const HOT_PART: usize = 16;

fn pages() -> usize {
    DISK_BYTES / page_bytes()
}

fn hot() -> usize {
    pages() / HOT_PART
}

/// Pages that are read twice after those: a processor collects pages in batches before it moves them to another list.
const BATCH: usize = 64;

/// The first page that is read once.
fn first_scanned() -> usize {
    hot() + BATCH
}

fn scanned() -> usize {
    pages() - first_scanned()
}

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let generations = lru_gen::is_on()?;
    let two_lists = scene(false)?;
    let with_generations = match lru_gen::is_known() {
        true => Some(scene(true)?),
        false => None,
    };
    let dirty = dirty()?;
    judge(generations, &two_lists, with_generations.as_ref(), &dirty)
}

/// What became of pages that were read twice, and of those that were read once.
struct Scene {
    design: &'static str,
    /// Whether the first page was active after it was read once.
    once: bool,
    /// Active pages after the scan, of both kinds.
    hot_active: usize,
    scanned_active: usize,
    /// Pages on the lists of the cgroup then.
    active: u64,
    inactive: u64,
    /// Pages that are left when half of them was to be reclaimed.
    hot_left: usize,
    scanned_left: usize,
    /// Pages that were demoted when all was to be reclaimed, and hot ones that are left of it.
    demoted: u64,
    hot_at_end: usize,
}

/// Reads some pages of a disk twice, the others once, and has the kernel reclaim half of them, then all.
fn scene(generations: bool) -> Result<Scene> {
    let _design = LruGen::switch(generations)?;
    let _disk = Disk::new()?;
    let cgroup = Cgroup::enter()?;
    let active = |pages: Range<usize>| -> Result<usize> {
        let pages = look(pages)?.into_iter().flatten();
        Ok(pages.filter(|page| page.has(ACTIVE)).count())
    };
    read(0..1)?;
    let once = active(0..1)? == 1;
    read(0..1)?;
    for _ in 0..2 {
        read(1..first_scanned())?;
    }
    read(first_scanned()..pages())?;
    let (hot_active, scanned_active) = (active(0..hot())?, active(first_scanned()..pages())?);
    let page = page_bytes() as u64;
    let (of_active, of_inactive) = (cgroup.stat("active_file")?, cgroup.stat("inactive_file")?);
    let demoted = cgroup.stat("pgdeactivate")?;
    cgroup.reclaim(DISK_BYTES as u64 / 2)?;
    let (hot_left, scanned_left) = (left(0..hot())?, left(first_scanned()..pages())?);
    for _ in 0..2 {
        cgroup.reclaim(cgroup.charged()?)?;
    }
    Ok(Scene {
        design: if generations {
            "generations (MGLRU)"
        } else {
            "two lists"
        },
        once,
        hot_active,
        scanned_active,
        active: of_active / page,
        inactive: of_inactive / page,
        hot_left,
        scanned_left,
        demoted: cgroup.stat("pgdeactivate")? - demoted,
        hot_at_end: left(0..hot())?,
    })
}

fn open() -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(NODE);
    let file = file.with_context(|| format!("opening {NODE}"))?;
    // Each page by itself: none ahead.
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?;
    Ok(file)
}

fn place(page: usize) -> u64 {
    (page * page_bytes()) as u64
}

/// Reads a little of each page. Anew opened, the file has no page that the kernel takes for the one read just now.
fn read(pages: Range<usize>) -> Result<()> {
    let file = open()?;
    for page in pages {
        file.read_exact_at(&mut [0; 16], place(page))
            .context("reading the disk")?;
    }
    Ok(())
}

fn look(pages: Range<usize>) -> Result<Vec<Option<page_cache::CachedPage>>> {
    page_cache::look(&open()?, place(pages.start), pages.len())
}

fn left(pages: Range<usize>) -> Result<usize> {
    page_cache::count(&open()?, place(pages.start), pages.len())
}

/// Pages that were dirty when the kernel was to reclaim them.
struct Dirty {
    dirty: usize,
    left: usize,
    /// Bytes that the disk got.
    written: u64,
}

impl Dirty {
    /// Bytes of those that are gone, if each of them had to be written first.
    fn must_be_written(&self) -> u64 {
        place(self.dirty.saturating_sub(self.left))
    }
}

fn dirty() -> Result<Dirty> {
    let _design = LruGen::switch(false)?;
    let disk = Disk::new()?;
    let cgroup = Cgroup::enter()?;
    let page = vec![0x5a; page_bytes()];
    let file = open()?;
    for number in 0..hot() {
        file.write_all_at(&page, place(number))
            .context("writing to the disk")?;
    }
    let dirty = look(0..hot())?;
    let dirty = dirty
        .iter()
        .flatten()
        .filter(|page| page.has(DIRTY))
        .count();
    let before = disk.written()?;
    // It is not the reclaimer who writes them, but a thread that it wakes.
    for _ in 0..100 {
        cgroup.reclaim(cgroup.charged()?)?;
        if left(0..hot())? * 2 < hot() {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    Ok(Dirty {
        dirty,
        left: left(0..hot())?,
        written: disk.written()?.since(before).bytes,
    })
}

/// All of them, but for some that the kernel holds for a moment.
fn nearly(count: usize, all: usize) -> bool {
    count * 100 >= all * 97
}

fn judge(
    generations: bool,
    lists: &Scene,
    with_generations: Option<&Scene>,
    dirty: &Dirty,
) -> Result<Finding> {
    ensure!(
        lists.scanned_left < scanned() && dirty.dirty > 0,
        "nothing of the page cache was reclaimed when the kernel was asked to, or nothing became dirty"
    );
    let of_all = |count: usize, all: usize| format!("{count} of {all}");
    let survivors = |scene: &Scene| {
        format!(
            "{} hot pages are left, and {} scanned ones",
            of_all(scene.hot_left, hot()),
            of_all(scene.scanned_left, scanned())
        )
    };
    let promoted = nearly(lists.hot_active, hot());
    let mut finding = Finding::new(format!(
        "two lists: {}{}",
        survivors(lists),
        with_generations.map_or(String::new(), |scene| format!("; MGLRU: {}", survivors(scene)))
    ))
    .statement(
        "Pages of files are on an active list or an inactive one",
        Verdict::Config.if_else(generations, Verdict::Confirmed),
        match generations {
            true => "this kernel has generations instead (MGLRU is on); what follows is with them switched off",
            false => "so they are: MGLRU is off or not there",
        },
    )
    .statement(
        "A new page begins on the inactive one",
        Verdict::of(!lists.once && nearly(scanned() - lists.scanned_active, scanned())),
        format!("{} pages that were read once are active", of_all(lists.scanned_active, scanned())),
    )
    .said_in(SECOND_ACCESS)
    .statement(
        "The second access promotes it to the active one",
        Verdict::of(promoted),
        format!("{} that were read twice are active", of_all(lists.hot_active, hot())),
    )
    .said_in(SECOND_ACCESS)
    .statement(
        "A scan does not evict pages in use: reclaim takes inactive ones",
        Verdict::of(nearly(lists.hot_left, hot())),
        format!("half was to be reclaimed: {}", survivors(lists)),
    )
    .said_in(&[
        Document::Memory.section("17, Page Cache & LRU Reclaim"),
        Document::Memory.section("21, Interview Prep, Q12"),
    ]);
    if let Some(scene) = with_generations {
        finding = finding
            .statement(
                "Nor does it with generations (MGLRU)",
                Verdict::Confirmed.if_else(nearly(scene.hot_left, hot()), Verdict::Config),
                format!("half was to be reclaimed: {}", survivors(scene)),
            )
            .asked_here();
    }
    Ok(finding
        .statement(
            "Active pages that are not accessed any more are demoted",
            Verdict::of(lists.demoted > 0 && lists.hot_at_end < hot()),
            format!(
                "when all was to be reclaimed, {} were demoted, and {} hot ones are left",
                lists.demoted,
                of_all(lists.hot_at_end, hot())
            ),
        )
        .said_in(&[
            Document::Memory.section("17, Page Cache & LRU Reclaim"),
            Document::Memory.section("20, Kernel Source Pointers"),
        ])
        .statement(
            "Clean pages are dropped, dirty ones written back first",
            Verdict::of(dirty.left < hot() && dirty.written >= dirty.must_be_written()),
            format!(
                "of {} dirty pages {} KiB were written to the disk, and {} pages are left",
                dirty.dirty,
                dirty.written >> 10,
                dirty.left
            ),
        )
        .said_in(&[
            Document::Memory.section("17, Page Cache & LRU Reclaim"),
            Document::Memory.section("20, Kernel Source Pointers"),
        ])
        .statement(
            "Each memory cgroup has lists of its own",
            Verdict::of(nearly(
                usize::try_from(lists.active + lists.inactive)?,
                pages(),
            )),
            format!(
                "its memory.stat has {} active pages and {} inactive ones, of {} that were read in it",
                lists.active,
                lists.inactive,
                pages()
            ),
        )
        .said_in(&[
            Document::Walkthrough.section("7, File cache & writeback"),
            Document::Walkthrough.section("10, NUMA, per-CPU, and memory control"),
        ])
        .table(table(lists, with_generations))
        .instead(
            "With MGLRU, which distributions switch on, pages are in generations by the time when they were used last, and \
             those of a file that are read again gain a tier: reclaim protects a tier once its pages were seen to come back.",
        ))
}

fn table(lists: &Scene, with_generations: Option<&Scene>) -> Table {
    let mut table = Table::new(
        format!(
            "A disk of {} pages in a memory cgroup: {} are read twice, the others once; then half is to be reclaimed, then all \
             (/proc/kpageflags, mincore(), memory.stat)",
            pages(),
            hot()
        ),
        [
            "design",
            "active of those read twice",
            "active of the others",
            "left of half: read twice",
            "the others",
            "left of all: read twice",
            "demoted",
        ],
    );
    for scene in [Some(lists), with_generations].into_iter().flatten() {
        table.row([
            scene.design.to_owned(),
            scene.hot_active.to_string(),
            scene.scanned_active.to_string(),
            scene.hot_left.to_string(),
            scene.scanned_left.to_string(),
            scene.hot_at_end.to_string(),
            scene.demoted.to_string(),
        ]);
    }
    table
}
