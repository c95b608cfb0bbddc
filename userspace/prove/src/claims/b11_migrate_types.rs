// SPDX-License-Identifier: MIT OR Apache-2.0

//! B11: the page allocator keeps pages apart by whether they can be moved.

use crate::{
    anonymous::Anonymous,
    read::{
        free_lists,
        trace::{self, Event},
    },
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{Backing, Method, Session};
use nix::sys::mman::MmapAdvise;
use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

pub const CLAIM: Claim = Claim {
    id: "B11",
    title: "Migrate types",
    sources: &[Document::Memory.section("3, Buddy Allocator Split & Coalesce")],
    says: "The page allocator groups pages by mobility, so that unmovable ones do not spread: kernel data \
           and slabs are UNMOVABLE, anonymous and file pages MOVABLE, page cache and inode cache \
           RECLAIMABLE.",
    needs: &[Need::Module("mapwright")],
    vms: &[Vm::Normal],
    prove,
};

const PAGES: usize = 64;
/// A directory of a file system in memory.
const TMPFS: &str = "/dev/shm";

/// Something that takes pages.
struct Taker {
    what: &'static str,
    /// What the documents say of it.
    claimed: &'static str,
    take: fn(&Lab) -> Result<()>,
    /// Whether an event tells of such a page.
    is_it: fn(&Event) -> bool,
}

const TAKERS: [Taker; 4] = [
    Taker {
        what: "a region of /dev/mapwright: kernel data",
        claimed: "Unmovable",
        take: kernel_pages,
        // Charged to a memory cgroup, as only what the kernel keeps for itself is by such a flag.
        is_it: |event| event.field("gfp_flags").contains("_ACCOUNT"),
    },
    Taker {
        what: "anonymous memory of a program",
        claimed: "Movable",
        take: anonymous_pages,
        is_it: |event| event.field("gfp_flags").contains("GFP_HIGHUSER_MOVABLE"),
    },
    Taker {
        what: "page cache: a file that is written",
        claimed: "Reclaimable",
        take: page_cache,
        is_it: |event| event.field("gfp_flags").contains("HIGHUSER"),
    },
    Taker {
        what: "slabs of the inode and dentry caches: new files",
        claimed: "Reclaimable",
        take: inode_slabs,
        is_it: |event| event.field("gfp_flags").contains("__GFP_RECLAIMABLE"),
    },
];

fn prove(lab: &Lab) -> Result<Finding> {
    let types = free_lists::block_types()?;
    let mut blocks = Table::new(
        format!(
            "Blocks of {} pages by type, in /proc/pagetypeinfo",
            types.pages_per_block
        ),
        ["migrate type", "blocks"],
    );
    for name in &types.names {
        blocks.row([name.clone(), types.blocks[name].to_string()]);
    }
    let mut table = Table::new(
        "The type of list that pages were taken from (kmem:mm_page_alloc)",
        ["taken for", "documents", "migrate type", "pages"],
    );
    let mut migrate_types = Vec::new();
    for taker in &TAKERS {
        let taken = taken_for(lab, taker, &types.names)?;
        ensure!(
            taken.len() == 1,
            "pages for {} came from lists of {} types: {taken:?}",
            taker.what,
            taken.len()
        );
        for (name, pages) in taken {
            let claimed = taker.claimed.to_owned();
            table.row([
                taker.what.to_owned(),
                claimed,
                name.clone(),
                pages.to_string(),
            ]);
            migrate_types.push(name);
        }
    }
    let right = TAKERS
        .iter()
        .zip(&migrate_types)
        .filter(|(taker, name)| taker.claimed == *name);
    let right = right.count();
    let used: Vec<&str> = types
        .names
        .iter()
        .map(String::as_str)
        .filter(|name| types.blocks[*name] > 0)
        .collect();
    let mut finding = Finding::new(format!(
        "{right} of {} kinds of pages as said",
        TAKERS.len()
    ))
    .statement(
        "Blocks of memory are for one migrate type each",
        Verdict::of(used.len() > 1),
        format!("there are blocks of the types {}", used.join(", ")),
    );
    for (taker, name) in TAKERS.iter().zip(&migrate_types) {
        finding = finding.statement(
            format!("{}: {}", taker.what, taker.claimed),
            Verdict::of(taker.claimed == name),
            format!("taken from {name} lists"),
        );
    }
    Ok(finding.table(blocks).table(table).instead(
        "A page of a file is Movable, like a program's own: its contents can be copied elsewhere. Reclaimable \
         are slabs of caches that can be shrunk, such as inodes and dentries.",
    ))
}

/// Pages by migrate type that `taker` took.
fn taken_for(lab: &Lab, taker: &Taker, names: &[String]) -> Result<BTreeMap<String, u64>> {
    let ((), events) = trace::record(&["kmem:mm_page_alloc"], |_| (taker.take)(lab))?;
    let mut taken = BTreeMap::new();
    for event in events.iter().filter(|event| (taker.is_it)(event)) {
        let number = usize::try_from(event.number("migratetype")?)?;
        let name = names.get(number).context("a migrate type without a name")?;
        *taken.entry(name.clone()).or_insert(0) += 1 << event.number("order")?;
    }
    Ok(taken)
}

fn kernel_pages(lab: &Lab) -> Result<()> {
    let bytes = lab.machine.page_size * PAGES as u64;
    Session::open()?.create(Backing::Pages, Method::Remap, bytes)?;
    Ok(())
}

fn anonymous_pages(lab: &Lab) -> Result<()> {
    let memory = Anonymous::new(PAGES * usize::try_from(lab.machine.page_size)?)?;
    memory.advise(MmapAdvise::MADV_NOHUGEPAGE)?;
    memory.touch(0..memory.len())
}

fn page_cache(lab: &Lab) -> Result<()> {
    let path = Path::new(TMPFS).join(format!("mapwright-prove-{}", std::process::id()));
    let mut file = fs::File::create_new(&path)?;
    fs::remove_file(&path)?;
    let page = vec![1; usize::try_from(lab.machine.page_size)?];
    for _ in 0..PAGES {
        file.write_all(&page)?;
    }
    Ok(())
}

/// Makes so many files that slabs have to grow, and removes them.
fn inode_slabs(_: &Lab) -> Result<()> {
    let dir = Path::new(TMPFS).join(format!("mapwright-prove-{}.d", std::process::id()));
    fs::create_dir(&dir)?;
    let result = (0..4000).try_for_each(|i| fs::File::create(dir.join(i.to_string())).map(drop));
    fs::remove_dir_all(&dir)?;
    result.context("making files")
}
