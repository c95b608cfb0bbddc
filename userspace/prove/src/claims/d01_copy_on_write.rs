// SPDX-License-Identifier: MIT OR Apache-2.0

//! D1: copy-on-write, step by step, as a document's table has it.

use crate::{
    anonymous::Anonymous, finding::plural, models::family::Family, pin::Pinned, read::trace, Claim,
    Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    inspect::{Inspector, Target},
    page_bytes,
};
use std::{fs::File, os::unix::fs::FileExt as _};

pub const CLAIM: Claim = Claim {
    id: "D1",
    title: "Copy-on-write",
    sources: &[
        Document::Walkthrough.section("5, User mappings"),
        Document::Memory.section("16, Copy-on-Write"),
        Document::Memory.section("21, Interview Prep, Q11"),
    ],
    says: "fork() copies no pages: parent and child share them, read-only, each counted twice. The first store faults and \
           gets a copy; whoever is left alone with a page has its entry made writable again.",
    needs: &[Need::Module("mapwright_inspect")],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

/// Pages that parent and child share. Those after the first also push it out of the batch in which a processor
/// collects new pages, which holds a reference to each.
const PAGES: usize = 1024;
/// The first child.
const CHILD: usize = 1;
/// The page that is looked at, in the words of a script.
const PAGE: &[u64] = &[0];

/// What one of the two has at the page.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    pfn: u64,
    writable: bool,
}

/// What there is after a step.
struct Moment {
    step: &'static str,
    parent: Entry,
    child: Option<Entry>,
    /// References to the first frame, and entries that map it.
    references: i32,
    mapped: i32,
    /// Page faults of who stored.
    faults: Option<u64>,
}

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let memory = Anonymous::small((PAGES + 1) * page_bytes())?;
    memory.touch(0..memory.len())?;
    for within in 1..page_bytes() {
        memory.store(within, pattern(within))?;
    }
    let inspector = Inspector::open()?;
    let mut family = Family::new(&memory)?;
    let mut watch = Watch::new(&inspector, &memory)?;
    watch.look("at first", &family, None)?;
    let ((), events) = trace::record(&["kmem:mm_page_alloc"], |_| {
        family.step("fork", PAGE).map(drop)
    })?;
    let mut allocated = 0;
    for event in &events {
        allocated += 1u64 << event.number("order")?;
    }
    watch.look("fork()", &family, None)?;
    let faults = family.step("write child 0", PAGE)?;
    watch.look("the child stores", &family, faults)?;
    let copied = copied(&family)?;
    let faults = family.step("write parent 0", PAGE)?;
    watch.look("the parent stores", &family, faults)?;
    let faults = family.step("write parent 0", PAGE)?;
    watch.look("the parent stores again", &family, faults)?;
    judge(&watch.moments, allocated, copied)
}

/// Looks at the page after each step.
struct Watch<'a> {
    inspector: &'a Inspector,
    address: u64,
    /// The frame that the parent has at first.
    pfn: u64,
    moments: Vec<Moment>,
}

impl<'a> Watch<'a> {
    fn new(inspector: &'a Inspector, memory: &Anonymous) -> Result<Self> {
        let address = memory.addr() as u64;
        let first = entry(inspector, Target::Myself, address)?;
        Ok(Self {
            inspector,
            address,
            pfn: first.pfn,
            moments: Vec::new(),
        })
    }

    fn look(&mut self, step: &'static str, family: &Family, faults: Option<u64>) -> Result<()> {
        let child = match family.pid(CHILD) {
            Ok(pid) => Some(entry(self.inspector, Target::Process(pid), self.address)?),
            Err(_) => None,
        };
        let frame = self.inspector.frame(self.pfn)?;
        self.moments.push(Moment {
            step,
            parent: entry(self.inspector, Target::Myself, self.address)?,
            child,
            references: frame.refcount,
            mapped: frame.mapcount,
            faults,
        });
        Ok(())
    }
}

fn entry(inspector: &Inspector, whose: Target, address: u64) -> Result<Entry> {
    let walk = inspector.walk(whose, address)?;
    Ok(Entry {
        pfn: walk.pfn().context("a page that was touched is not there")?,
        writable: walk.is_writable(),
    })
}

/// A byte of the page that no other page has there.
fn pattern(within: usize) -> u8 {
    (within % 251) as u8
}

/// Bytes of the child's page that are the parent's, as the child's memory is read.
fn copied(family: &Family) -> Result<usize> {
    let path = format!("/proc/{}/mem", family.pid(CHILD)?);
    let memory = File::open(&path).with_context(|| format!("opening {path}"))?;
    let mut page = vec![0; page_bytes()];
    memory
        .read_exact_at(&mut page, family.address())
        .with_context(|| format!("reading {path}"))?;
    let same = |(within, byte): (usize, &u8)| within > 0 && *byte == pattern(within);
    Ok(page.iter().enumerate().filter(|one| same(*one)).count())
}

fn judge(moments: &[Moment], allocated: u64, copied: usize) -> Result<Finding> {
    let [first, forked, child, parent, again] = moments else {
        anyhow::bail!("a step is missing");
    };
    ensure!(
        first.parent.writable && first.child.is_none(),
        "the page was not this process's own at first"
    );
    let of_child = |moment: &Moment| moment.child.context("there is no child");
    let (shared, own) = (of_child(forked)?, of_child(child)?);
    let is_shared = shared == forked.parent && forked.parent.pfn == first.parent.pfn;
    let counted = forked.mapped == 2 && forked.references == first.references + 1;
    let is_copy = own.pfn != first.parent.pfn && own.writable && copied == page_bytes() - 1;
    let left = child.references == first.references && child.mapped == 1;
    let needs_none = child.parent.writable && parent.faults == Some(0);
    let kept = parent.parent.pfn == first.parent.pfn && parent.parent.writable;
    let faults = |moment: &Moment| plural(moment.faults.unwrap_or(0), "fault");
    let copies = |copies: bool| if copies { "copies" } else { "does not copy" };
    Ok(Finding::new(format!(
        "the child's store {} the page ({}); the last owner's {} it ({})",
        copies(own.pfn != first.parent.pfn),
        faults(child),
        copies(parent.parent.pfn != first.parent.pfn),
        faults(parent)
    ))
    .statement(
        "After fork() both have the same frame, read-only",
        Verdict::of(is_shared && !forked.parent.writable),
        format!(
            "frame {:#x} in both page tables, {}",
            shared.pfn,
            writable(shared.writable)
        ),
    )
    .said_in(&[
        Document::Memory.section("16, Copy-on-Write"),
        Document::Memory.section("21, Interview Prep, Q11"),
    ])
    .statement(
        "Each shared page is counted twice",
        Verdict::of(counted),
        format!(
            "references {} → {}, mapped {} → {}",
            first.references, forked.references, first.mapped, forked.mapped
        ),
    )
    .said_in(&[Document::Memory.section("16, Copy-on-Write")])
    .statement(
        "fork() itself copies no page",
        Verdict::of(allocated < PAGES as u64 / 4),
        format!(
            "with {PAGES} pages to share it allocated {}, for the new process and its page tables",
            plural(allocated, "page")
        ),
    )
    .said_in(&[
        Document::Memory.section("14, Overview"),
        Document::Memory.section("16, Copy-on-Write"),
    ])
    .statement(
        "The first store is a fault, after which who stored has a writable copy, and the other one reference less",
        Verdict::of(child.faults == Some(1) && is_copy && left),
        format!(
            "{}, frame {:#x} with {copied} other bytes of the page; the old frame: references {}, mapped {}",
            faults(child),
            own.pfn,
            child.references,
            child.mapped
        ),
    )
    .statement(
        "When one owner is left, its entry is made writable, and no fault is needed any more",
        Verdict::of(needs_none),
        format!(
            "after the child's copy the parent's entry is {}; the parent's store: {}",
            writable(child.parent.writable),
            faults(parent)
        ),
    )
    .said_in(&[
        Document::Memory.section("16, Copy-on-Write"),
        Document::Memory.section("21, Interview Prep, Q11"),
    ])
    .statement(
        "The last owner's store finds one reference, and only makes the entry writable",
        Verdict::of(kept && parent.faults == Some(1) && again.faults == Some(0)),
        format!(
            "the frame is {:#x} as before, {}; a second store: {}",
            parent.parent.pfn,
            writable(parent.parent.writable),
            faults(again)
        ),
    )
    .said_in(&[Document::Memory.section("16, Copy-on-Write")])
    .table(table(moments))
    .instead(
        "Who copies only leaves a page: the kernel does not look for the entry of the owner that remains, so that one \
         stays read-only. Its next store is a fault that finds the page to be its own alone, and makes the entry \
         writable. The document says both: its list that no fault is needed, its table that there is one.",
    ))
}

fn writable(writable: bool) -> &'static str {
    match writable {
        true => "writable",
        false => "read-only",
    }
}

fn table(moments: &[Moment]) -> Table {
    let mut table = Table::new(
        "A page's entries in both page tables, and its first frame (mapwright_inspect), after each step",
        [
            "step",
            "parent's entry",
            "child's entry",
            "references",
            "mapped",
            "faults",
        ],
    );
    let cell = |entry: Entry| format!("W={} → {:#x}", u8::from(entry.writable), entry.pfn);
    for moment in moments {
        table.row([
            moment.step.to_owned(),
            cell(moment.parent),
            moment.child.map_or("–".to_owned(), cell),
            moment.references.to_string(),
            moment.mapped.to_string(),
            moment
                .faults
                .map_or(String::new(), |count| count.to_string()),
        ]);
    }
    table
}
