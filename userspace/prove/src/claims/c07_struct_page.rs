// SPDX-License-Identifier: MIT OR Apache-2.0

//! C7: `struct page`: its size, its fields, and one through a page's life.

use crate::{
    anonymous::Anonymous, pin::Pinned, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    btf::{Btf, Struct, FILE},
    inspect::{Frame, Inspector, Target},
};
use nix::{
    sched::{sched_getaffinity, CpuSet},
    sys::wait::waitpid,
    unistd::{fork, ForkResult, Pid},
};
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

pub const CLAIM: Claim = Claim {
    id: "C7",
    title: "struct page",
    sources: &[
        Document::Memory.section("2, Key Data Structures"),
        Document::Reference.section("3, Pages & Memory Management"),
    ],
    says: "Each page frame has a struct page of 64 bytes, so that 64 GB of memory cost 1 GB. Its fields \
           are flags, _refcount (or _count), mapping, index, lru, _mapcount, private and virtual.",
    needs: &[
        Need::Module("mapwright_inspect"),
        Need::File(FILE, "CONFIG_DEBUG_INFO_BTF"),
    ],
    vms: &[Vm::Normal],
    prove,
};

/// What the documents say.
const CLAIMED: u64 = 64;
/// Fields, as the documents call them, and what they are for.
const FIELDS: [(&str, &str); 9] = [
    ("flags", "locked, dirty, uptodate, its zone and node …"),
    ("_refcount", "references"),
    ("_count", "references, in one of the documents"),
    ("mapping", "the file or anonymous memory that it belongs to"),
    ("index", "its place in the file"),
    ("lru", "its list"),
    ("_mapcount", "page-table entries that map it"),
    ("private", "for whoever owns it"),
    (
        "virtual",
        "its kernel address, on machines with high memory",
    ),
];

fn prove(lab: &Lab) -> Result<Finding> {
    let page = Btf::read()?.structure("page")?;
    let inspector = Inspector::open()?;
    let stages = life(lab, &inspector)?;
    let apart = apart(&inspector, stages[0].frame.pfn)?;
    ensure!(
        apart == page.size,
        "a struct page has {} bytes by its type, and two are {apart} apart",
        page.size
    );
    let cost = page.size * (64 << 30) / lab.machine.page_size;
    let gone: Vec<&str> = FIELDS
        .iter()
        .filter(|(name, _)| page.field(name).is_none())
        .map(|(name, _)| *name)
        .collect();
    let counted = |count: fn(&Frame) -> i32| {
        let counts: Vec<String> = stages
            .iter()
            .map(|stage| count(&stage.frame).to_string())
            .collect();
        counts.join(", ")
    };
    Ok(Finding::new(format!("{} bytes", page.size))
        .statement(
            "A struct page has 64 bytes",
            Verdict::Confirmed.if_else(page.size == CLAIMED, Verdict::Config),
            format!(
                "{} by the kernel's type information, and two neighbours are {apart} bytes apart",
                page.size
            ),
        )
        .statement(
            "64 GB of memory need 1 GB of them",
            Verdict::Confirmed.if_else(cost == 1 << 30, Verdict::Config),
            format!("{} MiB with pages of {} bytes", cost >> 20, lab.machine.page_size),
        )
        .said_in(&[Document::Memory.section("2, Key Data Structures")])
        .statement(
            "It has the fields that the documents list",
            Verdict::Confirmed.if_else(gone.is_empty(), Verdict::Outdated),
            match gone.is_empty() {
                true => "all are there".to_owned(),
                false => format!("no longer, or not in this kernel: {}", gone.join(", ")),
            },
        )
        .statement(
            "_mapcount counts the page-table entries that map the page",
            Verdict::of(follows(&stages, |frame| frame.mapcount)),
            format!(
                "through its life: {}",
                counted(|frame| frame.mapcount)
            ),
        )
        .said_in(&[Document::Memory.section("2, Key Data Structures")])
        .statement(
            "_refcount counts the references to it, and at 0 the page is free",
            Verdict::of(follows(&stages, |frame| frame.refcount)),
            format!(
                "through its life: {}",
                counted(|frame| frame.refcount)
            ),
        )
        .said_in(&[Document::Memory.section("2, Key Data Structures")])
        .table(fields(&page))
        .table(through_life(&stages))
        .instead(
            "What struct page is for has moved to struct folio, whose first page it overlays: index is \
             __folio_index there. A count named _count was renamed to _refcount in 4.6, and virtual is \
             only there with WANT_PAGE_VIRTUAL.",
        ))
}

/// A moment of a page's life.
struct Stage {
    when: &'static str,
    /// How many page-table entries map it then; each holds a reference, and nobody else does.
    mapped: i32,
    frame: Frame,
}

/// Pages that are enough to fill the batch in which a processor collects new pages for the kernel's
/// lists: until then, the batch holds a reference to each.
const BATCH: usize = 256;

/// A page of this program is touched, shared with a child, given up; on one processor, so that its
/// batch is the one that is filled.
fn life(lab: &Lab, inspector: &Inspector) -> Result<Vec<Stage>> {
    let page = usize::try_from(lab.machine.page_size)?;
    let _pinned = Pinned::to(first_cpu()?)?;
    // The kernel may look at a page, move it or give it away meanwhile: that is seldom.
    let mut stages = live(page, inspector)?;
    for _ in 0..2 {
        if !follows(&stages, |frame| frame.refcount) {
            stages = live(page, inspector)?;
        }
    }
    Ok(stages)
}

/// A processor that this program may use.
fn first_cpu() -> Result<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    (0..CpuSet::count())
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("no processor may be used")
}

fn live(page: usize, inspector: &Inspector) -> Result<Vec<Stage>> {
    let memory = Anonymous::small(page)?;
    memory.touch(0..memory.len())?;
    let others = Anonymous::small(BATCH * page)?;
    others.touch(0..others.len())?;
    let walk = inspector.walk(Target::Myself, memory.addr() as u64)?;
    let pfn = walk
        .pfn()
        .context("a page that was touched is not mapped")?;
    let stage = |when, mapped| -> Result<Stage> {
        let frame = inspector.frame(pfn)?;
        Ok(Stage {
            when,
            mapped,
            frame,
        })
    };
    let mut stages = vec![stage("touched", 1)?];
    stages.push(with_child(|| stage("after fork: a child maps it, too", 2))?);
    stages.push(stage("the child has ended", 1)?);
    drop(memory);
    stages.push(stage("unmapped", 0)?);
    Ok(stages)
}

/// What `f` returns while a forked child lives.
fn with_child<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    // SAFETY: The child only makes system calls on what it was given, and ends.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(ours);
            let _ = theirs.write_all(b"x");
            // Until the parent closes its end.
            let _ = theirs.read(&mut [0]);
            // SAFETY: Ends the child without running what belongs to the parent.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            ours.read_exact(&mut [0])?;
            let result = f();
            drop(ours);
            waitpid(child, None)?;
            result
        }
    }
}

/// Whether a count is at each stage what the mappings make it.
fn follows(stages: &[Stage], count: fn(&Frame) -> i32) -> bool {
    stages
        .iter()
        .all(|stage| count(&stage.frame) == stage.mapped)
}

/// Bytes from one frame's `struct page` to the next one's.
fn apart(inspector: &Inspector, pfn: u64) -> Result<u64> {
    // Two in a row of memory: the lower of the two is even.
    let first = inspector.frame(pfn & !1)?;
    let second = inspector.frame(pfn | 1)?;
    Ok(second.struct_page - first.struct_page)
}

fn fields(page: &Struct) -> Table {
    let mut table = Table::new(
        format!("struct page in the kernel's type information ({FILE})"),
        ["field", "for", "at byte"],
    );
    for (name, what) in FIELDS {
        let at = page.field(name).map(|field| (field.bit / 8).to_string());
        table.row([
            name.to_owned(),
            what.to_owned(),
            at.unwrap_or_else(|| "not there".into()),
        ]);
    }
    table
}

fn through_life(stages: &[Stage]) -> Table {
    let mut table = Table::new(
        format!("Frame {:#x} through its life", stages[0].frame.pfn),
        ["when", "refcount", "mapcount", "flags"],
    );
    for stage in stages {
        let flags: Vec<String> = stage
            .frame
            .page_flags
            .iter_names()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        table.row([
            stage.when.to_owned(),
            stage.frame.refcount.to_string(),
            stage.frame.mapcount.to_string(),
            flags.join(" "),
        ]);
    }
    table
}
