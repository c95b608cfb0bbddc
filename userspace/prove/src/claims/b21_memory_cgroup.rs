// SPDX-License-Identifier: MIT OR Apache-2.0

//! B21: memory cgroups count and limit.

use crate::{
    cgroup::Cgroup, finding::plural, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{bail, ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Modifier, Pattern, Plan},
    Backing, Error, Method, Session,
};
use nix::errno::Errno;

pub const CLAIM: Claim = Claim {
    id: "B21",
    title: "Memory cgroups",
    sources: &[Document::Walkthrough.section("10, NUMA, per-CPU, and memory control")],
    says: "Memory cgroups track what a container uses, and limit it.",
    needs: &[Need::Module("mapwright"), Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

/// Pages of the memory that is charged.
const PAGES: u64 = 1024;
/// So many pages may be charged beside the region: page tables, what the program itself needs, and what a CPU
/// charges in advance (64 pages).
const BESIDE: u64 = 256;

/// The order of the plans' blocks of pages.
const ORDER: u32 = 4;

/// Bytes of them.
fn bytes() -> u64 {
    PAGES * mapwright::page_size()
}

fn prove(_: &Lab) -> Result<Finding> {
    let cgroup = Cgroup::enter()?;
    let session = Session::open()?;
    let mut evidence = Evidence::new(&cgroup);
    for (backing, method) in [
        (Backing::Pages, Method::Remap),
        (Backing::Vmalloc, Method::Insert),
    ] {
        let name = format!("region: {} + {}", backing.name(), method.name());
        let create = || Ok(session.create(backing, method, bytes())?);
        evidence.add(name, true, create, |region| Ok(session.destroy(&region)?))?;
    }
    let device = AllocDevice::open()?;
    for accounted in [true, false] {
        let count = u32::try_from(bytes() / (mapwright::page_size() << ORDER))?;
        let plan = Plan::pages(ORDER)
            .repeated(count)
            .with_pattern(Pattern::Batches { batch: count })
            .holding();
        let plan = match accounted {
            true => plan.with(Modifier::Account),
            false => plan,
        };
        let allocate = || {
            let report = device.run(&plan)?;
            ensure!(report.allocated == u64::from(count), "{report:?}");
            Ok(())
        };
        let free = |()| device.release().map(drop).map_err(Into::into);
        evidence.add(
            format!(
                "{count} x {} KiB of pages",
                (mapwright::page_size() << ORDER) >> 10
            ),
            accounted,
            allocate,
            free,
        )?;
    }
    let Evidence { table, counted, .. } = evidence;
    let limit = cgroup.charged()? + bytes() / 2;
    cgroup.limit(limit)?;
    let hits = cgroup.events("max")?;
    let refused = match session.create(Backing::Pages, Method::Remap, bytes()) {
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
        bytes() >> 20,
        if refused { "ENOMEM" } else { "it is allocated" }
    ))
    .statement(
        "A memory cgroup counts what its processes use",
        Verdict::of(counted),
        "the charge follows what is allocated with __GFP_ACCOUNT",
    )
    .statement(
        "It limits what they use",
        Verdict::of(refused),
        format!(
            "with memory.max at {limit}, the limit was met {}, and memory.events counts {}",
            plural(hits, "time"),
            plural(kills, "kill")
        ),
    )
    .table(table)
    .instead(
        "The kernel's own memory is charged to a cgroup only where its code asks for that: __GFP_ACCOUNT, or \
         a cache with SLAB_ACCOUNT. What is allocated without, no cgroup counts.",
    ))
}

/// What was charged, and whether it was as expected.
struct Evidence<'a> {
    cgroup: &'a Cgroup,
    table: Table,
    counted: bool,
}

impl<'a> Evidence<'a> {
    fn new(cgroup: &'a Cgroup) -> Self {
        Self {
            cgroup,
            table: Table::new(
                format!(
                    "Bytes charged to the cgroup (memory.current) for {} bytes",
                    bytes()
                ),
                [
                    "memory",
                    "__GFP_ACCOUNT",
                    "before",
                    "with it",
                    "after it was freed",
                    "charged",
                ],
            ),
            counted: true,
        }
    }

    fn add<T>(
        &mut self,
        name: String,
        accounted: bool,
        allocate: impl FnOnce() -> Result<T>,
        free: impl FnOnce(T) -> Result<()>,
    ) -> Result<()> {
        let before = self.cgroup.charged()?;
        let memory = allocate()?;
        let with = self.cgroup.charged()?;
        free(memory)?;
        let after = self.cgroup.charged()?;
        let charged = with.saturating_sub(before);
        let expected = if accounted { bytes() } else { 0 };
        let beside = BESIDE * mapwright::page_size();
        self.counted &= charged.abs_diff(expected) <= beside && after.abs_diff(before) <= beside;
        self.table.row([
            name,
            if accounted { "yes" } else { "no" }.to_owned(),
            before.to_string(),
            with.to_string(),
            after.to_string(),
            charged.to_string(),
        ]);
        Ok(())
    }
}
