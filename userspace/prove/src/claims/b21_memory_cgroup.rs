// SPDX-License-Identifier: MIT OR Apache-2.0

//! B21: memory cgroups count and limit.

use crate::{cgroup::Cgroup, Claim, Finding, Lab, Need, Shape, Table, Verdict};
use anyhow::{bail, ensure, Result};
use mapwright::{Backing, Error, Method, Session};
use nix::errno::Errno;

pub const CLAIM: Claim = Claim {
    id: "B21",
    title: "Memory cgroups",
    says: "Memory cgroups track what a container uses, and limit it.",
    needs: &[Need::Module("mapwright")],
    shapes: &[Shape::Normal],
    prove,
};

const BYTES: u64 = 4 << 20;
/// So much may be charged beside the region: page tables, what the program itself needs, and what a CPU
/// charges in advance (64 pages).
const BESIDE: u64 = 1 << 20;

/// Regions, and whether their memory is allocated with `__GFP_ACCOUNT`.
const REGIONS: [(Backing, Method, bool); 3] = [
    (Backing::Pages, Method::Remap, true),
    (Backing::Vmalloc, Method::Insert, true),
    (Backing::Vmalloc, Method::VmallocRemap, false),
];

fn prove(_: &Lab) -> Result<Finding> {
    let cgroup = Cgroup::enter()?;
    let session = Session::open()?;
    let mut table = Table::new(
        format!("Bytes charged to the cgroup (memory.current) for a region of {BYTES}"),
        [
            "region",
            "__GFP_ACCOUNT",
            "before",
            "with the region",
            "after it was destroyed",
            "charged",
        ],
    );
    let mut counted = true;
    for (backing, method, accounted) in REGIONS {
        let before = cgroup.charged()?;
        let region = session.create(backing, method, BYTES)?;
        let with = cgroup.charged()?;
        session.destroy(&region)?;
        let after = cgroup.charged()?;
        let charged = with.saturating_sub(before);
        let expected = if accounted { BYTES } else { 0 };
        counted &= charged.abs_diff(expected) <= BESIDE && after.abs_diff(before) <= BESIDE;
        table.row([
            format!("{} + {}", backing.name(), method.name()),
            if accounted { "yes" } else { "no" }.to_owned(),
            before.to_string(),
            with.to_string(),
            after.to_string(),
            charged.to_string(),
        ]);
    }
    let limit = cgroup.charged()? + BYTES / 2;
    cgroup.limit(limit)?;
    let hits = cgroup.events("max")?;
    let refused = match session.create(Backing::Pages, Method::Remap, BYTES) {
        Ok(_) => false,
        Err(Error::System {
            errno: Errno::ENOMEM,
            ..
        }) => true,
        Err(other) => bail!("a region beyond the limit: {other}"),
    };
    let hits = cgroup.events("max")? - hits;
    ensure!(
        !refused || hits > 0,
        "it was refused, but memory.events tells of no limit"
    );
    let kills = cgroup.events("oom_kill")?;
    Ok(Finding::new(format!(
        "{} MiB charged with __GFP_ACCOUNT, none without; beyond memory.max {}",
        BYTES >> 20,
        if refused { "ENOMEM" } else { "it is allocated" }
    ))
    .statement(
        "A memory cgroup counts what its processes use",
        Verdict::of(counted),
        "the charge follows each region that is allocated with __GFP_ACCOUNT",
    )
    .statement(
        "It limits what they use",
        Verdict::of(refused),
        format!("with memory.max at {limit}, the limit was met {hits} times, and {kills} processes were killed"),
    )
    .table(table)
    .instead(
        "The kernel's own memory is charged to a cgroup only where its code asks for that: __GFP_ACCOUNT, or \
         a cache with SLAB_ACCOUNT. What is allocated without, no cgroup counts.",
    ))
}
