// SPDX-License-Identifier: MIT OR Apache-2.0

//! A9: whether the entries of a mapping are made at `mmap` or at the first access.

use crate::{
    anonymous::Anonymous, pin::Pinned, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::Result;
use mapwright::{
    inspect::{Inspector, Target},
    page_faults, Backing, Method, Protection, Session,
};

pub const CLAIM: Claim = Claim {
    id: "A9",
    title: "Lazy mappings",
    sources: &[
        Document::Walkthrough.section("5, User mappings"),
        Document::Memory.section("14, Overview"),
        Document::Reference.section("4, Kernel Memory: Eager"),
    ],
    says: "Mappings of a process are set up lazily: mmap() only notes the range, and the first access is a page fault that \
           makes the entry.",
    needs: &[Need::Module("mapwright"), Need::Module("mapwright_inspect")],
    vms: &[Vm::Normal],
    prove,
};

/// Pages of each mapping.
const PAGES: usize = 1024;

/// A pair for each way to map.
const PAIRS: [(Backing, Method); 6] = [
    (Backing::Pages, Method::Remap),
    (Backing::Vmalloc, Method::Insert),
    (Backing::Vmalloc, Method::VmallocRemap),
    (Backing::Coherent, Method::Dma),
    (Backing::Pages, Method::Fault),
    (Backing::Pages, Method::FaultPfn),
];

/// What was seen of a mapping.
struct Observation {
    what: String,
    /// Entries after `mmap`.
    entries: usize,
    /// Page faults of this thread when all was touched, and those that the module counted.
    faults: u64,
    counted: Option<u64>,
}

impl Observation {
    fn is_lazy(&self) -> bool {
        self.entries == 0 && self.faults > 0
    }

    fn is_eager(&self) -> bool {
        self.entries == PAGES && self.faults == 0
    }
}

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let inspector = Inspector::open()?;
    let mut all = vec![of_anonymous(&inspector)?];
    for (backing, method) in PAIRS {
        all.push(of_region(&inspector, backing, method)?);
    }
    let mut table = Table::new(
        format!("Mappings of {PAGES} pages, of which each is touched then"),
        [
            "mapping",
            "entries after mmap",
            "page faults",
            "counted by the module",
        ],
    );
    for observation in &all {
        table.row([
            observation.what.clone(),
            observation.entries.to_string(),
            observation.faults.to_string(),
            observation
                .counted
                .map_or("–".to_owned(), |faults| faults.to_string()),
        ]);
    }
    let lazy = all
        .iter()
        .filter(|observation| observation.is_lazy())
        .count();
    let eager = all
        .iter()
        .filter(|observation| observation.is_eager())
        .count();
    let agree = all.iter().filter(|observation| {
        observation
            .counted
            .is_some_and(|counted| counted == observation.faults)
    });
    let (agree, ours) = (agree.count(), PAIRS.len());
    Ok(Finding::new(format!("{lazy} of {} ways to map are lazy, {eager} have all entries after mmap()", all.len()))
        .statement(
            "mmap() makes no entry of ordinary memory, the first access does",
            Verdict::of(all[0].is_lazy()),
            format!("{} entries after mmap(), {} page faults for {PAGES} pages", all[0].entries, all[0].faults),
        )
        .statement(
            "So it is for each mapping",
            match (lazy == all.len(), lazy + eager == all.len()) {
                (true, _) => Verdict::Confirmed,
                (false, true) => Verdict::Config,
                (false, false) => Verdict::Refuted,
            },
            format!("{eager} ways of a driver to map make all entries at once"),
        )
        .said_in(&[Document::Memory.section("14, Overview")])
        .statement(
            "The page faults of a mapping are those that its driver answers",
            Verdict::of(agree == ours),
            format!("for {agree} of {ours} ways, the module counts as many as the process"),
        )
        .asked_here()
        .table(table)
        .instead(
            "It is the driver's choice. remap_pfn_range() and vm_insert_pages() are called in mmap() and make all entries \
             there; a driver with a fault handler makes them when it is called, for as many pages around as it likes.",
        ))
}

fn of_anonymous(inspector: &Inspector) -> Result<Observation> {
    let page = usize::try_from(mapwright::page_size())?;
    mapwright::settle();
    let memory = Anonymous::small(PAGES * page)?;
    let entries = entries(inspector, memory.addr())?;
    let (before, _) = page_faults()?;
    memory.touch(0..memory.len())?;
    let (after, _) = page_faults()?;
    Ok(Observation {
        what: "anonymous memory".to_owned(),
        entries,
        faults: after - before,
        counted: None,
    })
}

fn of_region(inspector: &Inspector, backing: Backing, method: Method) -> Result<Observation> {
    let session = Session::open()?;
    let region = session.create(backing, method, PAGES as u64 * mapwright::page_size())?;
    mapwright::settle();
    let mapping = session.map(&region, Protection::ReadWrite)?;
    let entries = entries(inspector, mapping.addr())?;
    let (before, _) = page_faults()?;
    mapping.touch();
    let (after, _) = page_faults()?;
    Ok(Observation {
        what: format!("{} + {}", backing.name(), method.name()),
        entries,
        faults: after - before,
        counted: Some(session.query(&region)?.faults),
    })
}

/// How many pages from `addr` on have an entry that the CPU can use.
fn entries(inspector: &Inspector, addr: usize) -> Result<usize> {
    let page = usize::try_from(mapwright::page_size())?;
    let mut entries = 0;
    for at in 0..PAGES {
        let walk = inspector.walk(Target::Myself, (addr + at * page) as u64)?;
        entries += usize::from(walk.is_present());
    }
    Ok(entries)
}
