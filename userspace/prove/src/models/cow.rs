// SPDX-License-Identifier: MIT OR Apache-2.0

//! F5: copy-on-write, with real processes.

use super::{
    family::{Family, PARENT},
    ComparedStep, Comparison,
};
use crate::{anonymous::Anonymous, pin::Pinned, Need, Table};
use anyhow::{bail, Context as _, Result};
use mapwright::{
    inspect::{Inspector, Target},
    page_bytes,
};
use mapwright_models::{cow::State as Model, run, Kind, State, Step};
use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt as _};

pub const NEEDS: &[Need] = &[
    Need::Module("mapwright_inspect"),
    Need::File("/proc/kpagecount", "CONFIG_PROC_PAGE_MONITOR"),
    // Elsewhere the kernel notes by a fault that a page was read, which fork() has it do anew.
    Need::Arch(&["x86_64"]),
];
const REASONS: [&str; 2] = [
    "A frame that somebody else holds for a moment (a list of pages of another processor's, swap, a pin) is copied \
     although one process maps it.",
    "Numbers of frames are the kernel's choice: which of them are the same, and how often each is mapped, is compared.",
];

pub fn check(script: &str) -> Result<Comparison> {
    let transcript = run(Kind::Cow, script)?;
    let first = model(&transcript.steps[0])?;
    let pages: Vec<u64> = first.processes[0].entries.keys().copied().collect();
    let _pinned = Pinned::to(0)?;
    let memory = Anonymous::small((pages.len() + 1) * page_bytes())?;
    memory.touch(0..memory.len())?;
    let mut frames = KernelFrames {
        inspector: Inspector::open()?,
        counts: File::open("/proc/kpagecount").context("opening /proc/kpagecount")?,
        frames: BTreeMap::new(),
        table: Table::new(
            "Frames as the page tables of the processes have them (mapwright_inspect), how often each is mapped \
             (/proc/kpagecount), and its references",
            ["after", "frame", "the model's", "mapped", "references"],
        ),
    };
    let mut family = Family::new(&memory)?;
    let mut compared = Vec::new();
    for step in &transcript.steps {
        let after = model(step)?;
        let faults = family.step(&step.text, &pages)?;
        compared.push(frames.compare(step, after, &pages, &memory, &family, faults)?);
    }
    drop(family);
    let about = vec![format!(
        "This process is the parent; its children are real. {} mapped at {:#x}, on one processor.",
        match pages.len() {
            1 => "One page is".to_owned(),
            count => format!("{count} pages are"),
        },
        memory.addr()
    )];
    let mut comparison = Comparison::new(about, compared, &REASONS);
    comparison.evidence.push(frames.table);
    Ok(comparison)
}

fn model(step: &Step) -> Result<&Model> {
    match &step.state {
        State::Cow(state) => Ok(state),
        _ => bail!("the model has no processes"),
    }
}

/// What is known of the kernel's frames.
struct KernelFrames {
    inspector: Inspector,
    counts: File,
    /// The kernel's frame for each of the model's.
    frames: BTreeMap<u64, u64>,
    table: Table,
}

impl KernelFrames {
    /// Compares what there is after a step.
    fn compare(
        &mut self,
        step: &Step,
        after: &Model,
        pages: &[u64],
        memory: &Anonymous,
        family: &Family,
        faults: Option<u64>,
    ) -> Result<ComparedStep> {
        let (mut model_has, mut kernel_has) = (Vec::new(), Vec::new());
        let mut mapped: BTreeMap<u64, u64> = BTreeMap::new();
        for (who, process) in after.processes.iter().enumerate() {
            for (page, pte) in &process.entries {
                let at = pages
                    .iter()
                    .position(|other| other == page)
                    .context("a page that nobody mapped")?;
                let address = (memory.addr() + at * page_bytes()) as u64;
                let target = match who {
                    PARENT => Target::Myself,
                    who => Target::Process(family.pid(who)?),
                };
                let walk = self.inspector.walk(target, address)?;
                let pfn = walk.pfn().context("a page of the script's is not there")?;
                let known = *self.frames.entry(pte.frame).or_insert(pfn);
                let name = match known == pfn {
                    true => format!("0x{:X}", pte.frame),
                    false => format!("frame {pfn:#x}"),
                };
                let of = if pages.len() > 1 {
                    format!(" 0x{page:X}")
                } else {
                    String::new()
                };
                let entry = |writable: bool, frame: &str| {
                    format!("{}{of} W={} → {frame}", process.name, u8::from(writable))
                };
                model_has.push(entry(pte.writable, &format!("0x{:X}", pte.frame)));
                kernel_has.push(entry(walk.is_writable(), &name));
                mapped.insert(pfn, pte.frame);
            }
        }
        // Frames of the model's that are gone may come back with other contents.
        self.frames
            .retain(|frame, _| after.frames.contains_key(frame));
        let mut kernel_counts: BTreeMap<u64, u64> = BTreeMap::new();
        for (pfn, frame) in &mapped {
            let count = self.mapped(*pfn)?;
            let references = self.inspector.frame(*pfn)?.refcount;
            *kernel_counts.entry(*frame).or_insert(0) += count;
            let name = if step.line == 0 {
                "at first"
            } else {
                &step.text
            };
            self.table.row([
                name.to_owned(),
                format!("{pfn:#x}"),
                format!("0x{frame:X}"),
                count.to_string(),
                references.to_string(),
            ]);
        }
        let counted: Vec<String> = after.frames.values().map(u32::to_string).collect();
        model_has.push(format!("mapped {}×", counted.join(", ")));
        let counted: Vec<String> = kernel_counts.values().map(u64::to_string).collect();
        kernel_has.push(format!("mapped {}×", counted.join(", ")));
        if let Some(faults) = faults {
            let fault = step
                .rows
                .iter()
                .any(|row| row.cells.iter().any(|cell| cell.starts_with("#PF")));
            model_has.insert(0, fault_or_not(fault).to_owned());
            kernel_has.insert(0, fault_or_not(faults > 0).to_owned());
        }
        let (model, kernel) = (model_has.join("; "), kernel_has.join("; "));
        Ok(ComparedStep {
            line: step.line,
            step: if step.line == 0 {
                "at first".to_owned()
            } else {
                step.text.clone()
            },
            agrees: model == kernel,
            model,
            kernel,
        })
    }

    /// How many entries of page tables have this frame.
    fn mapped(&self, pfn: u64) -> Result<u64> {
        let mut word = [0; 8];
        self.counts
            .read_exact_at(&mut word, pfn * 8)
            .context("reading /proc/kpagecount")?;
        Ok(u64::from_ne_bytes(word))
    }
}

fn fault_or_not(fault: bool) -> &'static str {
    match fault {
        true => "fault",
        false => "no fault",
    }
}
