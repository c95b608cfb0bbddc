// SPDX-License-Identifier: MIT OR Apache-2.0

//! B20: on a NUMA machine, memory comes from the local node first.

use crate::{
    anonymous::Anonymous,
    pin::Pinned,
    read::{self, zoneinfo, zoneinfo::Zone},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{block_size, pagemap_pfns, Backing, Method, Session};
use nix::sys::mman::MmapAdvise;
use std::collections::BTreeMap;

pub const CLAIM: Claim = Claim {
    id: "B20",
    title: "NUMA nodes",
    sources: &[
        Document::Walkthrough.section("10, NUMA, per-CPU, and memory control"),
        Document::Overview.section("10, NUMA & High-Performance Systems"),
    ],
    says: "Each node has lists of free pages of its own. Memory comes from the node that the processor is \
           in, and when that has none left, from the others.",
    needs: &[Need::Module("mapwright"), Need::Nodes(2), Need::Seconds(60)],
    vms: &[Vm::Numa],
    prove,
};

/// Bytes of each region.
const REGION: u64 = 8 << 20;
/// What is taken beyond the free memory of a node.
const BEYOND: u64 = 48 << 20;
/// Parts in which that is shown.
const PARTS: usize = 8;
/// Pages of a part that are looked at.
const LOOKED_AT: usize = 64;

fn prove(_: &Lab) -> Result<Finding> {
    let nodes = read::nodes()?;
    let zones = zoneinfo::read()?;
    let mut local = Table::new(
        "Pages of regions of 8 MiB by node, made on a processor of each node (frame numbers, /proc/zoneinfo)",
        ["processor", "its node", "pages there", "pages elsewhere"],
    );
    let (mut here, mut elsewhere) = (0, 0);
    for node in &nodes {
        let Some(cpu) = read::cpus_of(*node)?.first().copied() else {
            continue;
        };
        let pages = pages_by_node(cpu, &zones)?;
        let own = pages.get(node).copied().unwrap_or(0);
        let other: u64 = pages.values().sum::<u64>() - own;
        here += own;
        elsewhere += other;
        local.row([
            cpu.to_string(),
            node.to_string(),
            own.to_string(),
            other.to_string(),
        ]);
    }
    let fallback = overflow(nodes[0], &zones)?;
    ensure!(here > 0, "no page was in any node");
    let all = here + elsewhere;
    Ok(Finding::new(format!(
        "{here} of {all} pages are local; when node {} is full, node {} gives",
        nodes[0], fallback.then
    ))
    .statement(
        "Memory comes from the local node",
        Verdict::of(elsewhere == 0),
        format!("{here} of {all} pages"),
    )
    .statement(
        "When that has none left, it comes from another node",
        Verdict::of(fallback.begins_local && fallback.then != nodes[0]),
        format!(
            "counted as numa_foreign by node {}: {} pages, and as numa_miss by the others: {}",
            nodes[0], fallback.foreign, fallback.missed
        ),
    )
    .said_in(&[Document::Walkthrough.section("10, NUMA, per-CPU, and memory control")])
    .table(local)
    .table(fallback.table)
    .instead(
        "That is the default policy, and pages are not moved later unless NUMA balancing, a program's mbind() or \
         migrate_pages() does it. A node is left for another one before memory is reclaimed there \
         (vm.zone_reclaim_mode is 0).",
    ))
}

/// Pages of a region by node, made on processor `cpu`.
fn pages_by_node(cpu: usize, zones: &[Zone]) -> Result<BTreeMap<usize, u64>> {
    let _pinned = Pinned::to(cpu)?;
    let session = Session::open()?;
    let region = session.create(Backing::Vmalloc, Method::Insert, REGION)?;
    let pages = session.pages(&region, 0, u64::MAX)?;
    count(pages.iter().map(|page| page.pfn), zones)
}

fn count(pfns: impl Iterator<Item = u64>, zones: &[Zone]) -> Result<BTreeMap<usize, u64>> {
    let mut nodes = BTreeMap::new();
    for pfn in pfns {
        let zone = zones.iter().find(|zone| zone.spans(pfn));
        let zone = zone.with_context(|| format!("the frame {pfn:#x} is in no zone"))?;
        *nodes.entry(zone.node).or_insert(0) += 1;
    }
    Ok(nodes)
}

struct Fallback {
    table: Table,
    begins_local: bool,
    /// The node that the last pages are of.
    then: usize,
    foreign: u64,
    missed: u64,
}

/// Takes more memory than `node` has free, on one of its processors.
fn overflow(node: usize, zones: &[Zone]) -> Result<Fallback> {
    let cpu = *read::cpus_of(node)?
        .first()
        .context("the first node has no processor")?;
    let _pinned = Pinned::to(cpu)?;
    let before = zoneinfo::read()?;
    let page = mapwright::page_size();
    let free: u64 = before
        .iter()
        .filter(|zone| zone.node == node)
        .map(Zone::free)
        .sum();
    let part = (free * page + BEYOND) / PARTS as u64 / block_size() * block_size();
    let part = usize::try_from(part)?;
    let memory = Anonymous::new(part * PARTS)?;
    memory.advise(MmapAdvise::MADV_NOHUGEPAGE)?;
    memory.touch(0..memory.len())?;
    let after = zoneinfo::read()?;

    let mut table = Table::new(
        format!(
            "{} MiB of anonymous memory, touched from the first to the last byte on processor {cpu}: node of \
             {LOOKED_AT} pages of each part",
            memory.len() >> 20
        ),
        ["part", "pages by node"],
    );
    let mut parts = Vec::new();
    for number in 0..PARTS {
        // The last pages of the part.
        let addr = memory.addr() + (number + 1) * part - LOOKED_AT * usize::try_from(page)?;
        let pfns: Vec<u64> = pagemap_pfns(addr, LOOKED_AT)?
            .into_iter()
            .flatten()
            .collect();
        let nodes = count(pfns.into_iter(), zones)?;
        let counts = nodes
            .iter()
            .map(|(node, pages)| format!("node {node}: {pages}"));
        table.row([
            format!(
                "{} to {} MiB",
                (number * part) >> 20,
                ((number + 1) * part) >> 20
            ),
            counts.collect::<Vec<_>>().join(", "),
        ]);
        parts.push(nodes);
    }
    let mostly = |nodes: &BTreeMap<usize, u64>| {
        nodes
            .iter()
            .max_by_key(|(_, pages)| **pages)
            .map(|(node, _)| *node)
    };
    let sum = |zones: &[Zone], name: &str, local: bool| -> u64 {
        let zones = zones.iter().filter(|zone| (zone.node == node) == local);
        zones.map(|zone| zone.counter(name)).sum()
    };
    Ok(Fallback {
        begins_local: parts.first().and_then(mostly) == Some(node),
        then: parts.last().and_then(mostly).context("no page was seen")?,
        foreign: sum(&after, "numa_foreign", true) - sum(&before, "numa_foreign", true),
        missed: sum(&after, "numa_miss", false) - sum(&before, "numa_miss", false),
        table,
    })
}
