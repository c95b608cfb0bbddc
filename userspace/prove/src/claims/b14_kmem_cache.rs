// SPDX-License-Identifier: MIT OR Apache-2.0

//! B14: a cache for one type of objects.

use crate::{read, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, CacheFlag, Pattern, Plan};
use std::{fs, path::Path};

pub const CLAIM: Claim = Claim {
    id: "B14",
    title: "Caches for one type",
    sources: &[
        Document::Memory.section("8, Key Data Structures — Slab"),
        Document::Memory.section("12, Kernel Source Pointers"),
        Document::Overview.section("7, Caching and Slab Allocator"),
    ],
    says: "kmem_cache_create() makes a cache for objects of one type, whose slabs hold only these; it is seen in \
           /proc/slabinfo.",
    needs: &[
        Need::Module("mapwright_alloc"),
        Need::File("/sys/kernel/slab", "CONFIG_SLUB without SLUB_TINY"),
    ],
    vms: &[Vm::Normal],
    prove,
};

/// Bytes of an object: such a cache the kernel has, too.
const BYTES: u64 = 64;
const OBJECTS: u32 = 100;

/// What is seen of a cache.
struct Cache {
    name: String,
    /// Its line in `/proc/slabinfo`: objects in use, bytes of each, objects and pages of a slab.
    line: Option<[u64; 4]>,
    /// What `/sys/kernel/slab/NAME` is a link to, if it is one.
    alias: Option<String>,
    /// Whether the name is still there when the cache is destroyed.
    stays: bool,
}

fn prove(lab: &Lab) -> Result<Finding> {
    let own = cache(vec![CacheFlag::NoMerge])?;
    let merged = cache(vec![])?;
    let mut table = Table::new(
        format!(
            "Two caches for objects of {BYTES} bytes, {OBJECTS} of each allocated; what a processor has in store counts \
             as in use (/proc/slabinfo)"
        ),
        [
            "made with",
            "in use",
            "bytes each",
            "objects of a slab",
            "pages of a slab",
            "/sys/kernel/slab/NAME",
        ],
    );
    for (flags, cache) in [("SLAB_NO_MERGE", &own), ("no flags", &merged)] {
        let cell = |i: usize| {
            cache
                .line
                .map_or("no line".to_owned(), |line| line[i].to_string())
        };
        let alias = cache
            .alias
            .as_ref()
            .map_or("a directory".to_owned(), |to| format!("a link to {to}"));
        table.row([flags.to_owned(), cell(0), cell(1), cell(2), cell(3), alias]);
    }
    let [in_use, size, objects, pages] = own
        .line
        .context("a cache that must not be merged is not in /proc/slabinfo")?;
    let alone = in_use == u64::from(OBJECTS);
    let is_merged =
        merged.alias.as_ref().is_some_and(|to| to.starts_with(':')) && merged.line.is_none();
    let room = pages * lab.machine.page_size;
    Ok(Finding::new(format!(
        "{objects} objects of {size} bytes in a slab of {room}; without SLAB_NO_MERGE {}",
        if is_merged { "it shares another cache's slabs" } else { "it has slabs of its own, too" }
    ))
    .statement(
        "kmem_cache_create() makes a cache, which /proc/slabinfo shows",
        Verdict::of(own.line.is_some() && !own.stays),
        format!("{} has a line while it lives", own.name),
    )
    .said_in(&[
        Document::Memory.section("8, Key Data Structures — Slab"),
        Document::Memory.section("12, Kernel Source Pointers"),
    ])
    .statement(
        "Its slabs hold objects of this type only",
        Verdict::Config.if_else(is_merged, Verdict::of(alone)),
        match is_merged {
            true => "only with SLAB_NO_MERGE; otherwise caches for objects of one size share slabs".to_owned(),
            false => format!("{in_use} objects in use of {OBJECTS} allocated"),
        },
    )
    .said_in(&[
        Document::Memory.section("8, Key Data Structures — Slab"),
        Document::Overview.section("7, Caching and Slab Allocator"),
    ])
    .table(table)
    .instead(
        "Caches with the same size and flags are merged into one (slab_nomerge on the command line prevents it): \
         their names are links in /sys/kernel/slab then, and /proc/slabinfo shows the one that was first.",
    ))
}

/// Makes a cache with these flags, allocates from it and looks.
fn cache(cache_flags: Vec<CacheFlag>) -> Result<Cache> {
    let device = AllocDevice::open()?;
    let plan = Plan {
        cache_flags,
        ..Plan::new(Allocator::KmemCache, BYTES)
    };
    let pattern = Pattern::Batches { batch: OBJECTS };
    let report = device.run(&plan.repeated(OBJECTS).with_pattern(pattern).holding())?;
    let name = report.cache.context("no cache was made")?;
    let path = Path::new("/sys/kernel/slab").join(&name);
    let alias = fs::read_link(&path).ok();
    let line = line_of(&name, &read::text("/proc/slabinfo")?);
    device.release()?;
    Ok(Cache {
        line,
        alias: alias.map(|to| to.display().to_string()),
        stays: line_of(&name, &read::text("/proc/slabinfo")?).is_some(),
        name,
    })
}

/// Active objects, object size, objects and pages of a slab: `name 100 128 64 64 1 : tunables …`.
fn line_of(name: &str, slabinfo: &str) -> Option<[u64; 4]> {
    let line = slabinfo
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [active, _, size, objects, pages, ..] => Some([active, size, objects, pages]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_slabinfo() {
        let text = "slabinfo - version: 2.1\nfoo-1  1 2 3 4 5 : x\nfoo 100 128 64 63 1 : tunables 0 0 0 : slabdata 2 2 0\n";
        assert_eq!(line_of("foo", text), Some([100, 64, 63, 1]));
        assert_eq!(line_of("bar", text), None);
    }
}
