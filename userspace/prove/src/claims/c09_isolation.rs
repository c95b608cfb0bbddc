// SPDX-License-Identifier: MIT OR Apache-2.0

//! C9: what keeps programs out of the kernel, and the kernel out of trouble.

use crate::{
    read::{log::Log, symbols, text},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    inspect::{Area, EntryFlag, Inspector, Layout, Probe, Target, Walk},
    page_size,
};
use std::iter::successors;

pub const CLAIM: Claim = Claim {
    id: "C9",
    title: "Isolation",
    sources: &[Document::Walkthrough.section("11, Security & isolation")],
    says: "Guard pages around vmalloc memory and stacks catch overruns; SMEP and SMAP keep the kernel from \
           running and reading user pages by mistake; KPTI gives user mode page tables without the \
           kernel.",
    needs: &[Need::Module("mapwright_inspect"), Need::Arch(&["x86_64", "aarch64"])],
    vms: &[Vm::Normal, Vm::Isolated, Vm::Arm64],
    prove,
};

/// Addresses of the kernel whose entries are looked at.
const SAMPLES: u64 = 512;

fn prove(lab: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let guard = guard_page(&inspector, &layout)?;
    let (mapped, for_user) = user_bits(&inspector, &layout)?;
    let mut finding = Finding::new(format!(
        "a load beyond vmalloc memory is caught as a fault at {:#x}",
        guard.beyond.address
    ))
    .statement(
        "Guard pages around vmalloc memory catch overruns",
        Verdict::of(guard.inside_loads && guard.beyond_faults),
        "the byte before loads; the next, in the guard page, is a page fault that the kernel reports \
         as EFAULT",
    )
    .statement(
        "Programs cannot use the kernel's pages",
        Verdict::of(for_user == 0),
        format!("{for_user} of {mapped} mapped addresses of the kernel's have the user bit at all levels"),
    )
    .said_in(&[
        Document::Reference.section("0.8, Access Control & Protection"),
        Document::Overview.section("2, Address Spaces"),
    ]);
    let protections = match lab.machine.arch.as_str() {
        "aarch64" => protections_by_entries(&inspector)?,
        _ => protections_by_flags()?,
    };
    for (says, (verdict, observed)) in [SMEP, SMAP, NO_EXECUTE].into_iter().zip(protections) {
        finding = finding.statement(says, verdict, observed);
        if says == NO_EXECUTE {
            finding = finding.said_in(&[
                Document::Reference.section("0.8, Access Control & Protection"),
                Document::Overview.section("5, Page Tables"),
            ]);
        }
    }
    let (verdict, observed, tables) = isolation(&inspector)?;
    finding = finding.statement(
        "KPTI: in user mode, the page tables do not have the kernel",
        verdict,
        observed,
    );
    finding = finding.table(guard.table());
    for table in tables {
        finding = finding.table(table);
    }
    Ok(finding)
}

/// The end of some vmalloc memory.
struct Guard {
    inside: Walk,
    beyond: Walk,
    inside_loads: bool,
    beyond_faults: bool,
}

impl Guard {
    fn table(&self) -> Table {
        let mut table = Table::new(
            "The end of an area of vmalloc memory",
            [
                "page",
                "address",
                "page-table entry",
                "a load by the kernel",
            ],
        );
        let outcome = |ok: bool, yes: &str, no: &str| if ok { yes } else { no }.to_owned();
        for (what, walk, result) in [
            (
                "the last",
                &self.inside,
                outcome(self.inside_loads, "works", "faults"),
            ),
            (
                "the guard page",
                &self.beyond,
                outcome(self.beyond_faults, "page fault, caught", "works"),
            ),
        ] {
            let value = walk.last().map_or(0, |step| step.value);
            table.row([
                what.to_owned(),
                format!("{:#x}", walk.address),
                format!("{value:#x}"),
                result,
            ]);
        }
        table
    }
}

/// Looks for the end of some vmalloc memory, and loads a byte on both sides of it.
fn guard_page(inspector: &Inspector, layout: &Layout) -> Result<Guard> {
    let area = layout.area(Area::Vmalloc).context("no vmalloc area")?;
    let is_memory = |walk: &Walk| walk.pfn().is_some_and(|pfn| inspector.frame(pfn).is_ok());
    let mut address = area.start;
    let mut before: Option<Walk> = None;
    while address < area.last {
        let walk = inspector.walk(Target::Kernel, address)?;
        let covered = 1u64
            << walk
                .last()
                .map_or(page_size().trailing_zeros(), |step| step.shift);
        if let (Some(last), None) = (&before, walk.physical) {
            let (inside, loaded) = inspector.probe(last.address)?;
            let (beyond, faulted) = inspector.probe(address)?;
            // Others come and go: both must be as they were.
            if inside.physical == last.physical && beyond.physical.is_none() {
                return Ok(Guard {
                    inside,
                    beyond,
                    inside_loads: loaded == Probe::Loaded,
                    beyond_faults: faulted == Probe::Faulted,
                });
            }
        }
        before = is_memory(&walk).then_some(walk);
        address = (address & !(covered - 1)) + covered;
    }
    anyhow::bail!("no vmalloc memory with an end was found")
}

/// Of addresses all over the kernel's areas: how many are mapped, and how many of these user mode may
/// use.
fn user_bits(inspector: &Inspector, layout: &Layout) -> Result<(u64, u64)> {
    let (mut mapped, mut for_user) = (0, 0);
    for range in &layout.areas {
        // The fixmap has a page that programs are meant to use: vsyscall.
        if range.area == Area::Fixmap {
            continue;
        }
        let step = (range.last - range.start) / SAMPLES;
        let step = (step - step % page_size()).max(page_size());
        let next = |address: &u64| address.checked_add(step).filter(|next| *next <= range.last);
        for address in successors(Some(range.start), next) {
            let walk = inspector.walk(Target::Kernel, address)?;
            mapped += u64::from(walk.is_present());
            for_user += u64::from(walk.is_user());
        }
    }
    ensure!(mapped > 0, "none of the kernel's addresses is mapped");
    Ok((mapped, for_user))
}

const SMEP: &str = "The kernel cannot run a program's pages (SMEP, on ARM PXN)";
const SMAP: &str = "The kernel cannot use a program's pages unless it says so (SMAP, on ARM PAN)";
const NO_EXECUTE: &str = "Data cannot be run: the CPU knows the no-execute bit";

/// What x86 tells of the three.
fn protections_by_flags() -> Result<[(Verdict, String); 3]> {
    let flags = flags()?;
    Ok(
        ["smep", "smap", "nx"].map(|name| match flags.iter().any(|flag| flag == name) {
            true => (
                Verdict::Confirmed,
                format!("{name} is among the CPU's flags that the kernel uses"),
            ),
            false => (
                Verdict::Config,
                format!("this CPU has no {name}, or the kernel was told not to use it"),
            ),
        }),
    )
}

/// What 64-bit ARM tells of them: the bits of page-table entries, and the kernel at boot.
fn protections_by_entries(inspector: &Inspector) -> Result<[(Verdict, String); 3]> {
    let data = 0u8;
    let code = inspector.walk(Target::Myself, protections_by_entries as usize as u64)?;
    let data = inspector.walk(Target::Myself, &raw const data as u64)?;
    let entry = |walk: &Walk| walk.last().map_or(0, |step| step.value);
    let has_pxn = code
        .steps
        .iter()
        .any(|step| step.has(EntryFlag::KernelNoExecute));
    let pan = Log::all()?.read()?;
    let pan = pan
        .iter()
        .find(|line| line.contains("Privileged Access Never"));
    Ok([
        (
            Verdict::of(has_pxn && code.is_executable()),
            format!(
                "the entries for code of this program say so, the last is {:#x}",
                entry(&code)
            ),
        ),
        match pan {
            Some(line) => (
                Verdict::Confirmed,
                format!("the kernel said at boot: {line}"),
            ),
            None => (
                Verdict::NotTestableHere,
                "the kernel's log does not say, or no more".to_owned(),
            ),
        },
        (
            Verdict::of(!data.is_executable()),
            format!("the entry for this program's stack is {:#x}", entry(&data)),
        ),
    ])
}

/// The CPU's flags, as far as the kernel uses them.
fn flags() -> Result<Vec<String>> {
    let text = text("/proc/cpuinfo")?;
    let line = text
        .lines()
        .find(|line| line.starts_with("flags"))
        .context("/proc/cpuinfo has no flags")?;
    let flags = line.split(':').nth(1).unwrap_or("");
    Ok(flags.split_whitespace().map(str::to_owned).collect())
}

/// Whether user mode's page tables lack the kernel.
fn isolation(inspector: &Inspector) -> Result<(Verdict, String, Vec<Table>)> {
    let meltdown = text("/sys/devices/system/cpu/vulnerabilities/meltdown").unwrap_or_default();
    let meltdown = meltdown.trim();
    let symbols = symbols::addresses(&["init_task", "_text", "sys_call_table"])?;
    let mut table = Table::new(
        "The same addresses in the two page tables of this program",
        ["address of", "while in the kernel", "in user mode"],
    );
    let mut hidden = 0;
    for (name, address) in &symbols {
        let kernel = inspector.walk(Target::Myself, *address)?;
        let user = match inspector.walk(Target::UserMode(0), *address) {
            Ok(walk) => walk,
            Err(mapwright::Error::NotIsolated) => {
                return Ok((
                    Verdict::Config,
                    format!(
                        "there is one page table for both; of Meltdown the kernel says: {meltdown}"
                    ),
                    Vec::new(),
                ));
            }
            Err(err) => return Err(err.into()),
        };
        let presence = |walk: &Walk| match walk.is_present() {
            true => "mapped".to_owned(),
            false => format!(
                "nothing: the {} entry is empty",
                walk.last().map_or("", |step| step.level.name())
            ),
        };
        hidden += usize::from(kernel.is_present() && !user.is_present());
        table.row([name.clone(), presence(&kernel), presence(&user)]);
    }
    ensure!(!symbols.is_empty(), "the kernel hides all of its addresses");
    Ok((
        Verdict::of(hidden > 0),
        format!(
            "{hidden} of {} addresses of the kernel's are not mapped in user mode ({meltdown})",
            symbols.len()
        ),
        vec![table],
    ))
}
