// SPDX-License-Identifier: MIT OR Apache-2.0

//! D11: the page cache, and what is read ahead into it.

use crate::{
    disk::{counted, Counter, Disk, DISK_BYTES, NODE},
    finding::plural,
    read::{
        page_cache::KernelMemory,
        trace::{self, MARK},
    },
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{btf::FILE, inspect::Inspector, page_bytes, pagemap_pfns, Mapping, Protection};
use nix::{
    errno::Errno,
    fcntl::{posix_fadvise, PosixFadviseAdvice},
    libc,
};
use std::{
    fs::File,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
};

pub const CLAIM: Claim = Claim {
    id: "D11",
    title: "Page cache and readahead",
    sources: &[
        Document::Walkthrough.section("5, User mappings"),
        Document::Walkthrough.section("7, File cache & writeback"),
        Document::Memory.section("14, Overview"),
        Document::Memory.section("15, Key Data Structures"),
        Document::Memory.section("21, Interview Prep, Q13"),
    ],
    says: "Files are read through the page cache, an XArray of pages in each inode's address_space. A hit costs a look-up there \
           and no I/O; a miss reads from the disk, and ahead.",
    needs: &[
        Need::Arch(&["x86_64", "aarch64"]),
        Need::Module("mapwright_inspect"),
        Need::File("/sys/kernel/tracing/events/filemap", "tracefs mounted there"),
        Need::File(FILE, "CONFIG_DEBUG_INFO_BTF"),
    ],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

const ADDED: &str = "filemap:mm_filemap_add_to_page_cache";
/// Reads of a page each.
const READS: usize = 64;
/// From one page that is read to the next, where that is at random: more than is ever read ahead.
const APART: usize = 389;

/// What reads of a page each did.
struct Reads {
    what: &'static str,
    /// Pages that came into the page cache, by read.
    added: Vec<usize>,
    /// Reads of the disk.
    of_disk: u64,
}

impl Reads {
    fn pages(&self) -> usize {
        self.added.iter().sum()
    }

    /// How many reads found their page there.
    fn hits(&self) -> usize {
        self.added.iter().filter(|added| **added == 0).count()
    }
}

fn prove(_: &Lab) -> Result<Finding> {
    let disk = Disk::new()?;
    // Not the disk's own file, which goes around the page cache.
    let file = File::open(NODE).with_context(|| format!("opening {NODE}"))?;
    let sequential = reads("cold, one page after the other", &file, |at| at, true)?;
    let again = reads("the same again", &file, |at| at, false)?;
    let pages = DISK_BYTES / page_bytes();
    let random = reads(
        "cold, pages far apart",
        &file,
        |at| (at + 1) * APART % pages,
        true,
    )?;
    let (asked, resident) = of_first_read(&file)?;
    let cached_pages = in_array(&file)?;
    drop(file);
    drop(disk);

    ensure!(
        random.pages() >= READS && sequential.pages() >= READS,
        "{READS} pages were read, and fewer came into the page cache"
    );
    let mut table = Table::new(
        format!("{READS} reads of a page each, from a disk ({ADDED}, and the disk's counters)"),
        [
            "reads",
            "pages added",
            "reads that added none",
            "most added by one",
            "reads of the disk",
        ],
    );
    for reads in [&sequential, &again, &random] {
        let most = reads.added.iter().max().copied().unwrap_or(0);
        table.row([
            reads.what.into(),
            reads.pages().to_string(),
            reads.hits().to_string(),
            most.to_string(),
            reads.of_disk.to_string(),
        ]);
    }
    Ok(Finding::new(format!(
        "{} of {READS} sequential reads found their page there already",
        sequential.hits()
    ))
    .statement(
        "A sequential read has the kernel read ahead",
        Verdict::of(sequential.hits() * 2 > READS && resident > asked),
        format!(
            "{} of {READS} reads found their page read ahead; after the first, of {asked}, {resident} were there (mincore)",
            sequential.hits()
        ),
    )
    .said_in(&[
        Document::Walkthrough.section("5, User mappings"),
        Document::Memory.section("21, Interview Prep, Q13"),
    ])
    .statement(
        "A read at random does not",
        Verdict::of(random.pages() < 2 * READS),
        format!("{READS} reads added {} pages", random.pages()),
    )
    .asked_here()
    .statement(
        "A hit costs no I/O",
        Verdict::of(again.pages() == 0 && again.of_disk == 0),
        format!(
            "{READS} reads again: {} added, {} of the disk",
            plural(again.pages(), "page"),
            plural(again.of_disk, "read")
        ),
    )
    .said_in(&[
        Document::Walkthrough.section("7, File cache & writeback"),
        Document::Memory.section("15, Key Data Structures"),
    ])
    .statement(
        "The pages of a file are in the XArray of its address_space",
        Verdict::of(cached_pages.iter().all(|one| one.entry == one.folio)),
        format!(
            "the {} that were looked up there in the kernel's memory are the pages that the program maps",
            cached_pages.len()
        ),
    )
    .said_in(&[
        Document::Memory.section("14, Overview"),
        Document::Memory.section("15, Key Data Structures"),
    ])
    .table(table)
    .table(array_table(&cached_pages))
    .instead(format!(
        "What is read ahead grows from read to read, here to {} KiB at a time: read_ahead_kb limits it. A page in it is \
         marked, and reading that one has the kernel read ahead again.",
        (sequential.added.iter().max().copied().unwrap_or(0) * page_bytes()) >> 10
    )))
}

/// Forgets what the page cache has of the file.
fn forget(file: &File) -> Result<()> {
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
        .context("forgetting a disk's pages")
}

fn reads(
    what: &'static str,
    file: &File,
    page: impl Fn(usize) -> usize,
    cold: bool,
) -> Result<Reads> {
    if cold {
        forget(file)?;
    }
    let mut bytes = vec![0; page_bytes()];
    let before = counted(Counter::Reads)?;
    let ((), events) = trace::record(&[ADDED], |buffer| {
        for at in 0..READS {
            buffer.mark(at)?;
            file.read_exact_at(&mut bytes, (page(at) * page_bytes()) as u64)?;
        }
        Ok(())
    })?;
    let mut added = Vec::new();
    for event in &events {
        if event.name == MARK {
            added.push(0);
            continue;
        }
        let of_read = added.last_mut();
        let of_read = of_read.context("a page was added before the first read")?;
        // One event tells of pages that are one folio.
        *of_read += 1 << event.number("order").unwrap_or(0);
    }
    Ok(Reads {
        what,
        added,
        of_disk: counted(Counter::Reads)? - before,
    })
}

/// Pages that one cold read asked for, and that are there then.
fn of_first_read(file: &File) -> Result<(usize, usize)> {
    forget(file)?;
    let length = 64 * page_bytes();
    let mapping =
        Mapping::new(file.as_fd(), 0, length, Protection::Read).context("mapping a disk")?;
    file.read_exact_at(&mut [0], 0)?;
    let mut there = [0u8; 64];
    // SAFETY: It writes a byte for each page of the mapping.
    let result = unsafe { libc::mincore(mapping.addr() as *mut _, length, there.as_mut_ptr()) };
    Errno::result(result).context("mincore()")?;
    Ok((1, there.iter().filter(|byte| **byte & 1 == 1).count()))
}

/// Pages of the file that are looked up.
const LOOKED_UP: [usize; 3] = [0, 5, 17];

/// A page of a program's mapping of the file, and what the XArray has in its place.
struct CachedPage {
    pfn: u64,
    /// Its folio, and the address_space and the index there that this tells.
    folio: u64,
    mapping: u64,
    index: u64,
    entry: u64,
    nodes: usize,
}

/// Looks up pages as the kernel does, in its memory: from the page to its address_space, from there through the
/// XArray to the page.
fn in_array(file: &File) -> Result<Vec<CachedPage>> {
    let length = (LOOKED_UP[2] + 1) * page_bytes();
    let mapping =
        Mapping::new(file.as_fd(), 0, length, Protection::Read).context("mapping a disk")?;
    mapping.touch();
    let (inspector, memory) = (Inspector::open()?, KernelMemory::open()?);
    let mut cached_pages = Vec::new();
    for at in LOOKED_UP {
        let pfns = pagemap_pfns(mapping.addr() + at * page_bytes(), 1)?;
        let pfn = pfns
            .first()
            .copied()
            .flatten()
            .context("a page that was touched is not mapped")?;
        let frame = inspector.frame(pfn)?;
        let folio = inspector.frame(frame.head)?.struct_page;
        let (of, index) = memory.place_of(folio)?;
        let (entry, nodes) = memory.look_up(of, index)?;
        cached_pages.push(CachedPage {
            pfn,
            folio,
            mapping: of,
            index,
            entry,
            nodes,
        });
    }
    Ok(cached_pages)
}

fn array_table(cached_pages: &[CachedPage]) -> Table {
    let mut table = Table::new(
        "Pages of the disk that a program maps, and what its address_space's XArray has for them (/proc/kcore)",
        ["frame", "its folio", "address_space", "index", "nodes on the way", "found there"],
    );
    for one in cached_pages {
        table.row([
            format!("{:#x}", one.pfn),
            format!("{:#x}", one.folio),
            format!("{:#x}", one.mapping),
            one.index.to_string(),
            one.nodes.to_string(),
            format!("{:#x}", one.entry),
        ]);
    }
    table
}
