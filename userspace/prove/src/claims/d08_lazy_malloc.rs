// SPDX-License-Identifier: MIT OR Apache-2.0

//! D8: when `malloc()` and `kmalloc()` have memory, and whether it may go to swap.

use crate::{
    anonymous::Anonymous, cgroup::Cgroup, finding::plural, pin::Pinned, swap::Swap, Claim,
    Document, Finding, Lab, Need, Source, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_bytes,
    inspect::{Inspector, Target},
    page_bytes, page_faults, pagemap, Backing, Method, PagemapEntry, Session,
};
use nix::sys::prctl::{get_thp_disable, set_thp_disable};
use procfs::process::Process;
use std::{collections::BTreeSet, hint::black_box};

pub const CLAIM: Claim = Claim {
    id: "D8",
    title: "malloc() is lazy, kmalloc() is not",
    sources: &[
        Document::Walkthrough.section("5, User mappings"),
        Document::Memory.section("14, Overview"),
        Document::Reference.section("4, Kernel Memory: Eager"),
        Document::Reference.section("C, malloc()"),
    ],
    says: "malloc() returns addresses without memory, whose entries in the page table are marked to trap: each page is faulted in \
           when it is touched. kmalloc() has memory at once. A program's pages may be paged out, the kernel's never.",
    needs: &[
        Need::Arch(&["x86_64", "aarch64"]),
        Need::Module("mapwright"),
        Need::Module("mapwright_inspect"),
        Need::Seconds(60),
    ],
    vms: &[Vm::Normal],
    prove,
};

/// What is malloc()ed: so much that no C library takes it from memory that it has already.
const BYTES: usize = 40 << 20;
/// Pages of it that are used.
const PAGES: usize = 2048;
/// Pages of the kernel's and of this program's memory that the kernel is asked to page out.
const KERNEL_PAGES: u64 = 64;
const PROGRAM_PAGES: usize = 512;

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let inspector = Inspector::open()?;
    let (stages, entry) = malloced(&inspector)?;
    let huge = read_huge(&inspector)?;
    let kernel = Kernel::new()?;
    let pressed = pressed(&kernel)?;
    judge(&stages, &entry, huge, &kernel, &pressed)
}

/// What there is of malloc()ed memory at some time.
struct Stage {
    what: &'static str,
    /// Pages with an entry, and different frames in these.
    entries: usize,
    frames: usize,
    /// Bytes that are resident, beyond those at first.
    resident: u64,
    minor: u64,
    major: u64,
}

/// malloc()s, loads from each page, then stores to each. Also tells what the page table had at first.
fn malloced(inspector: &Inspector) -> Result<(Vec<Stage>, String)> {
    let _small = SmallPages::new()?;
    mapwright::settle();
    let resident = resident()?;
    // Of an allocator that has to hand out zeros: large pieces are mapped, and are zero as they are.
    let mut memory: Vec<u8> = black_box(vec![0; BYTES]);
    let first = memory.as_ptr() as usize;
    let begin = first.next_multiple_of(page_bytes()) - first;
    let mut stages = Vec::new();
    let mut stage = |what, (minor, major)| -> Result<()> {
        let entries = pagemap(first + begin, PAGES)?;
        stages.push(Stage {
            what,
            entries: entries.iter().filter(|entry| is_frame(entry)).count(),
            frames: different_frames(&entries),
            resident: self::resident()?.saturating_sub(resident),
            minor,
            major,
        });
        Ok(())
    };
    stage("malloc()", (0, 0))?;
    // Not the first page, where malloc() may have notes of its own.
    let walk = inspector.walk(Target::Myself, (first + begin + page_bytes()) as u64)?;
    let last = walk.last().context("a walk without a level")?;
    let entry = format!(
        "the walk ends at the {}, whose entry is {:#x}",
        last.level.name(),
        last.value
    );
    ensure!(!walk.is_present(), "malloc() touched all of its memory");
    let places = (begin..).step_by(page_bytes()).take(PAGES);
    let faults = faults_of(|| {
        for place in places.clone() {
            black_box(memory[place]);
        }
    })?;
    stage("a byte of each page is loaded", faults)?;
    let faults = faults_of(|| {
        for place in places {
            memory[place] = 1;
        }
    })?;
    stage("a byte of each page is stored", faults)?;
    black_box(&memory);
    Ok((stages, entry))
}

fn is_frame(entry: &PagemapEntry) -> bool {
    matches!(entry, PagemapEntry::Frame(_))
}

fn different_frames(entries: &[PagemapEntry]) -> usize {
    let frame = |entry: &PagemapEntry| match entry {
        PagemapEntry::Frame(pfn) => Some(*pfn),
        _ => None,
    };
    entries
        .iter()
        .filter_map(frame)
        .collect::<BTreeSet<u64>>()
        .len()
}

/// Page faults of this thread while `f` runs.
fn faults_of(f: impl FnOnce()) -> Result<(u64, u64)> {
    let (minor, major) = page_faults()?;
    f();
    let (minor_now, major_now) = page_faults()?;
    Ok((minor_now - minor, major_now - major))
}

/// Bytes of this process that are resident.
fn resident() -> Result<u64> {
    let rollup = Process::myself().and_then(|me| me.smaps_rollup());
    let rollup = rollup.context("reading /proc/self/smaps_rollup")?;
    let map = rollup.memory_map_rollup.0.first().context("no sums")?;
    Ok(map.extension.map.get("Rss").copied().unwrap_or(0))
}

/// This process gets no huge pages, until this is dropped.
struct SmallPages(bool);

impl SmallPages {
    fn new() -> Result<Self> {
        let before = get_thp_disable()?;
        set_thp_disable(true)?;
        Ok(Self(before))
    }
}

impl Drop for SmallPages {
    fn drop(&mut self) {
        let _ = set_thp_disable(self.0);
    }
}

/// Bytes that a load maps where there may be huge pages, and how much became resident by it.
fn read_huge(inspector: &Inspector) -> Result<(u64, u64)> {
    let memory = Anonymous::huge(2 * block_bytes())?;
    let before = resident()?;
    let within = memory.aligned();
    black_box(memory.load(within)?);
    let walk = inspector.walk(Target::Myself, (memory.addr() + within) as u64)?;
    Ok((walk.page_size, resident()?.saturating_sub(before)))
}

/// kmalloc()ed memory of the module's.
struct Kernel {
    session: Session,
    region: mapwright::Region,
    /// Frames when kmalloc() had returned.
    frames: Vec<u64>,
}

impl Kernel {
    fn new() -> Result<Self> {
        let session = Session::open()?;
        let bytes = KERNEL_PAGES * mapwright::page_size();
        let region = session.create(Backing::Kmalloc, Method::Remap, bytes)?;
        let mut kernel = Self {
            session,
            region,
            frames: Vec::new(),
        };
        kernel.frames = kernel.frames()?;
        kernel.session.write_at(&kernel.region, 0, &kernel.text())?;
        Ok(kernel)
    }

    fn text(&self) -> Vec<u8> {
        (0..self.region.bytes).map(|at| (at % 253) as u8).collect()
    }

    fn frames(&self) -> Result<Vec<u64>> {
        let pages = self.session.pages(&self.region, 0, KERNEL_PAGES)?;
        Ok(pages.iter().map(|page| page.pfn).collect())
    }

    /// Whether it has the frames of the begin, with what was stored then.
    fn is_there(&self) -> Result<bool> {
        let mut bytes = vec![0; self.text().len()];
        self.session.read_at(&self.region, 0, &mut bytes)?;
        Ok(bytes == self.text() && self.frames()? == self.frames)
    }
}

/// What became of both when the kernel was asked to reclaim all memory of a cgroup.
struct Pressed {
    /// Pages of this program in swap.
    swapped: usize,
    kernel_is_there: bool,
}

fn pressed(kernel: &Kernel) -> Result<Pressed> {
    let cgroup = Cgroup::enter()?;
    let swap = Swap::zram(4 * (PROGRAM_PAGES * page_bytes()) as u64)?;
    let memory = Anonymous::small(PROGRAM_PAGES * page_bytes())?;
    let places = (0..memory.len()).step_by(page_bytes()).zip(0usize..);
    for (place, number) in places.clone() {
        memory.store(place, number as u8)?;
    }
    // The charged region, too, is part of what the kernel is asked for.
    let charged = Kernel::new()?;
    cgroup.reclaim(cgroup.charged()?)?;
    let entries = pagemap(memory.addr(), PROGRAM_PAGES)?;
    let is_swapped = |entry: &PagemapEntry| matches!(entry, PagemapEntry::Swap(..));
    for (place, number) in places {
        let same = memory.load(place)? == number as u8;
        ensure!(same, "page {number} has other contents than before");
    }
    let pressed = Pressed {
        swapped: entries.iter().filter(|entry| is_swapped(entry)).count(),
        kernel_is_there: charged.is_there()? && kernel.is_there()?,
    };
    drop(memory);
    drop(swap);
    Ok(pressed)
}

/// Where the documents say that a fault gives a page memory.
const GIVES_MEMORY: [Source; 3] = [
    Document::Walkthrough.section("5, User mappings"),
    Document::Memory.section("14, Overview"),
    Document::Memory.section("15, Key Data Structures"),
];

fn judge(
    stages: &[Stage],
    entry: &str,
    (huge, huge_resident): (u64, u64),
    kernel: &Kernel,
    pressed: &Pressed,
) -> Result<Finding> {
    let [at_first, loaded, stored] = stages else {
        anyhow::bail!("a stage is missing");
    };
    // malloc() may have notes of its own in two of them.
    let is_lazy = at_first.entries <= 2 && stored.entries == PAGES;
    let each = |stage: &Stage| stage.minor + 8 >= PAGES as u64;
    let frames: BTreeSet<_> = kernel.frames.iter().collect();
    let at_once = frames.len() as u64 == KERNEL_PAGES;
    Ok(Finding::new(format!(
        "malloc() of {PAGES} pages has {}, kmalloc() of {KERNEL_PAGES} has {}; {} of {PROGRAM_PAGES} pages of the \
         program went to swap, and the kernel's {}",
        plural(at_first.frames, "frame"),
        frames.len(),
        pressed.swapped,
        match pressed.kernel_is_there {
            true => "stayed",
            false => "did not stay",
        }
    ))
    .statement(
        "malloc() gives addresses without memory",
        Verdict::of(is_lazy),
        format!("{} of {PAGES} pages have a frame when it returns", at_first.entries),
    )
    .said_in(&[
        Document::Memory.section("14, Overview"),
        Document::Reference.section("4, Kernel Memory: Eager"),
        Document::Reference.section("C, malloc()"),
    ])
    .statement(
        "The page table's entries are marked, so that an access traps",
        Verdict::Refuted.if_else(entry.ends_with(" 0x0"), Verdict::Confirmed),
        entry,
    )
    .said_in(&[Document::Reference.section("4, Kernel Memory: Eager")])
    .statement(
        "The first access to a page is a minor fault",
        Verdict::of(each(loaded) && loaded.major + stored.major == 0),
        format!("{} minor faults, {} major, for {PAGES} loads", loaded.minor, loaded.major),
    )
    .said_in(&[Document::Reference.section("4, Kernel Memory: Eager")])
    .statement(
        "The first access gives the page memory, if it is a load",
        Verdict::of(loaded.frames == PAGES),
        format!(
            "after a load of each, {} entries have {}",
            loaded.entries,
            plural(loaded.frames, "frame")
        ),
    )
    .said_in(&GIVES_MEMORY)
    .statement(
        "A store gives the page memory",
        Verdict::of(stored.frames == PAGES),
        format!("stores take {} faults more, and then there are {} frames", stored.minor, stored.frames),
    )
    .said_in(&GIVES_MEMORY)
    .statement(
        "kmalloc() has memory at once",
        Verdict::of(at_once),
        format!("{} frames of {KERNEL_PAGES} when it returns", frames.len()),
    )
    .said_in(&[
        Document::Reference.section("4, Kernel Memory: Eager"),
        Document::Reference.section("C, malloc()"),
    ])
    .statement(
        "A program's pages may be paged out",
        Verdict::of(pressed.swapped > 0),
        format!(
            "{} of {PROGRAM_PAGES} went to swap (zram), and came back as they were",
            pressed.swapped
        ),
    )
    .said_in(&[Document::Reference.section("C, malloc()")])
    .statement(
        "The kernel's never are",
        Verdict::of(pressed.kernel_is_there),
        match pressed.kernel_is_there {
            true => "under the same pressure all kept their frames and contents",
            false => "some have other frames or contents than before",
        },
    )
    .said_in(&[
        Document::Reference.section("4, Kernel Memory: Eager"),
        Document::Reference.section("C, malloc()"),
    ])
    .table(table(stages))
    .instead(format!(
        "Nothing is marked: where no entry is, each access faults, and the VMA tells what is to be there. A load maps \
         the zero page, which all programs share and which is not counted as resident; only a store gets memory. \
         Where huge pages may be used, one load maps {} KiB of zeros, {} KiB of which are resident.",
        huge >> 10,
        huge_resident >> 10
    )))
}

fn table(stages: &[Stage]) -> Table {
    let mut table = Table::new(
        format!("{PAGES} pages of {} malloc()ed MiB, none of them huge (/proc/self/pagemap, smaps_rollup, getrusage())", BYTES >> 20),
        [
            "after",
            "pages with an entry",
            "different frames",
            "KiB resident",
            "minor faults",
            "major faults",
        ],
    );
    for stage in stages {
        table.row([
            stage.what.to_owned(),
            stage.entries.to_string(),
            stage.frames.to_string(),
            (stage.resident >> 10).to_string(),
            stage.minor.to_string(),
            stage.major.to_string(),
        ]);
    }
    table
}
