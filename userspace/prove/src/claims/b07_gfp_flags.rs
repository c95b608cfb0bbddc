// SPDX-License-Identifier: MIT OR Apache-2.0

//! B7: what GFP flags say of where memory comes from, and of whether to wait for it.

use crate::{
    faulty::make_mistake,
    finding::plural,
    pressure::{self, Squeeze},
    read::{
        trace::{self, MARK},
        zoneinfo,
    },
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Result};
use mapwright::alloc::{AllocDevice, Gfp, Object, Pattern, Plan, Report};
use std::path::Path;

pub const CLAIM: Claim = Claim {
    id: "B7",
    title: "GFP flags",
    sources: &[
        Document::Reference.section("10, kmalloc() Function"),
        Document::Overview.section("6, Memory Allocation APIs"),
    ],
    says: "GFP_KERNEL may sleep and GFP_ATOMIC may not; GFP_DMA gives memory below 16 MB, GFP_DMA32 below 4 GB, \
           GFP_HIGHUSER high memory.",
    needs: &[Need::Module("mapwright_alloc"), Need::Cpus(2), Need::Seconds(60)],
    vms: &[Vm::Normal, Vm::AboveFourGib, Vm::DebugKernel],
    prove,
};

/// Pages of each plan.
const PAGES: u32 = 64;
/// Pages that are asked for when there are hardly any.
const MANY: u32 = 12_288;
/// How often that is tried.
const TRIES: usize = 5;

/// Flags, how they are written, and below which address the documents expect the memory.
const FLAGS: [(Gfp, &str, Option<u64>); 5] = [
    (Gfp::Kernel, "GFP_KERNEL", None),
    (Gfp::Atomic, "GFP_ATOMIC", None),
    (Gfp::Dma, "GFP_KERNEL | GFP_DMA", Some(16 << 20)),
    (Gfp::Dma32, "GFP_KERNEL | GFP_DMA32", Some(4 << 30)),
    (Gfp::Highuser, "GFP_HIGHUSER", None),
];

fn prove(lab: &Lab) -> Result<Finding> {
    // Only a kernel for debugging is given mistakes.
    if let Ok(module) = lab.faulty() {
        return prove_by_mistake(module);
    }
    let device = AllocDevice::open()?;
    let zones = zoneinfo::read()?;
    let has = |name: &str| zones.iter().any(|zone| zone.name == name);
    let mut table = Table::new(
        format!("Where {PAGES} single pages are, with each"),
        ["flags", "zone", "from, MiB", "to, MiB"],
    );
    let mut limited = Vec::new();
    for (gfp, name, limit) in FLAGS {
        let plan = Plan::pages(0)
            .with_gfp(gfp)
            .repeated(PAGES)
            .with_pattern(Pattern::Batches { batch: PAGES });
        let (_, objects) = device.record(&plan, PAGES)?;
        ensure!(!objects.is_empty(), "not a page was allocated with {name}");
        let address = |object: &Object| object.pfn * lab.machine.page_size;
        let first = objects.iter().map(address).min().unwrap_or(0);
        let last = objects.iter().map(address).max().unwrap_or(0);
        let mut names: Vec<&str> = objects.iter().map(|object| object.zone.name()).collect();
        names.sort_unstable();
        names.dedup();
        table.row([
            name.to_owned(),
            names.join(", "),
            (first >> 20).to_string(),
            (last >> 20).to_string(),
        ]);
        if let Some(limit) = limit {
            limited.push((name, limit, last));
        }
    }
    let (history, (atomic, kernel)) = pressure::apply(|squeeze| in_need_of_both(&device, squeeze))?;
    ensure!(
        history.reclaimed.is_some(),
        "memory was used up, and nobody had to reclaim"
    );
    let mut waits = Table::new(
        format!("{MANY} pages asked for when hardly more than the watermark min is free"),
        [
            "flags",
            "allocated",
            "failed",
            "times that it reclaimed memory itself",
        ],
    );
    for (name, need) in [("GFP_KERNEL", &kernel), ("GFP_ATOMIC", &atomic)] {
        waits.row([
            name.to_owned(),
            need.report.allocated.to_string(),
            need.report.failed_memory.to_string(),
            need.reclaims.to_string(),
        ]);
    }
    let mut finding = Finding::new(match kernel.reclaims {
        0 => "each flag's pages are in its zones".to_owned(),
        reclaims => format!(
            "where hardly any is free, GFP_KERNEL reclaims {}, GFP_ATOMIC {}",
            plural(reclaims, "time"),
            atomic.reclaims
        ),
    });
    for (name, limit, last) in limited {
        finding = finding
            .statement(
                format!("{name} gives memory below {} MiB", limit >> 20),
                Verdict::Config.if_else(last < limit && !has("DMA"), Verdict::of(last < limit)),
                format!("the highest page is at {} MiB", last >> 20),
            )
            .said_in(&[Document::Reference.section("10, kmalloc() Function")]);
    }
    Ok(finding
        .statement(
            "GFP_KERNEL may sleep, GFP_ATOMIC may not",
            match kernel.reclaims {
                0 => Verdict::NotTestableHere,
                _ => Verdict::of(atomic.reclaims == 0),
            },
            match kernel.reclaims {
                0 => format!("memory was used up, but in {TRIES} tries {MANY} pages were always there without reclaim"),
                reclaims => format!(
                    "with GFP_KERNEL the thread reclaimed memory {}, with GFP_ATOMIC {}: {} failed",
                    plural(reclaims, "time"),
                    plural(atomic.reclaims, "time"),
                    plural(atomic.report.failed_memory, "allocation")
                ),
            },
        )
        .statement(
            "GFP_HIGHUSER gives high memory",
            Verdict::Confirmed.if_else(has("HighMem"), Verdict::Config),
            match has("HighMem") {
                true => "there is a zone HighMem",
                false => "this machine has no high memory: only 32-bit kernels do",
            },
        )
        .said_in(&[Document::Reference.section("10, kmalloc() Function")])
        .table(table)
        .table(waits)
        .instead(
            "Flags name the highest zone that is allowed, and memory comes from there or from a zone below. The zone \
             DMA is 16 MiB on x86; other machines have another limit, or none of these zones.",
        ))
}

/// Asks with both, until memory was so short that one who may wait had to, or as often as it is tried.
fn in_need_of_both(device: &AllocDevice, squeeze: &mut Squeeze<'_>) -> Result<(InNeed, InNeed)> {
    let mut tries = 1;
    loop {
        // Each begins where the last one did: what that took, it gave back.
        let atomic = in_need(device, Gfp::Atomic, squeeze)?;
        let kernel = in_need(device, Gfp::Kernel, squeeze)?;
        if kernel.reclaims > 0 || tries == TRIES {
            return Ok((atomic, kernel));
        }
        tries += 1;
    }
}

/// What came of asking when there is hardly any.
struct InNeed {
    report: Report,
    reclaims: usize,
}

fn in_need(device: &AllocDevice, gfp: Gfp, squeeze: &mut Squeeze<'_>) -> Result<InNeed> {
    let plan = Plan::pages(0)
        .with_gfp(gfp)
        .repeated(MANY)
        .with_pattern(Pattern::Batches { batch: MANY });
    let (report, events) = trace::record(&["vmscan:mm_vmscan_direct_reclaim_begin"], |buffer| {
        // The buffer took memory and will give it back: memory must be short when the plan begins.
        squeeze.until_reclaim()?;
        buffer.mark(0)?;
        Ok(device.run(&plan)?)
    })?;
    let of_plan = events.iter().skip_while(|event| event.name != MARK);
    Ok(InNeed {
        report,
        reclaims: of_plan
            .filter(|event| event.name == pressure::RECLAIM)
            .count(),
    })
}

/// Where the kernel looks for sleepers, a module tries both in a place where nobody may sleep: it holds a
/// spinlock.
fn prove_by_mistake(module: &Path) -> Result<Finding> {
    let mut table = Table::new(
        "A module asks for memory while it holds a spinlock; what the kernel for debugging says",
        ["flags", "the kernel's words"],
    );
    let mut reported = Vec::new();
    for (name, fault) in [("GFP_KERNEL", "sleep"), ("GFP_ATOMIC", "no-sleep")] {
        let log = make_mistake(module, fault)?;
        let report = log
            .iter()
            .find(|line| line.contains("sleeping function called from invalid context"));
        reported.push(report.is_some());
        let words = report.map_or("nothing", |line| line.trim());
        table.row([name.to_owned(), words.to_owned()]);
    }
    let observed = match reported[..] {
        [true, false] => "GFP_KERNEL is reported as a sleeper, GFP_ATOMIC is not",
        [true, true] => "both are reported as sleepers",
        [false, true] => "only GFP_ATOMIC is reported as a sleeper",
        _ => "neither is reported",
    };
    Ok(Finding::new(
        "where nobody may sleep, GFP_KERNEL is a bug that is reported, GFP_ATOMIC is none",
    )
    .statement(
        "GFP_KERNEL may sleep, GFP_ATOMIC may not",
        Verdict::of(reported == [true, false]),
        observed,
    )
    .table(table))
}
