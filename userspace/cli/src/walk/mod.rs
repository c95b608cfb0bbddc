// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright walk`: the way of an address through the page tables, drawn.

mod demo;
mod svg;
mod terminal;

use crate::style::{paint, HEADING};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    inspect::{EntryKind, Frame, Inspector, Step, Target, Walk},
    slab::SlabCaches,
};
use procfs::PhysicalPageFlags;
use serde_json::{json, Value};
use std::{fs, path::PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// Number of the process, or `kernel`
    #[arg(value_name = "PID", requires = "address", conflicts_with = "self_demo")]
    target: Option<String>,
    /// The virtual address, in hexadecimal
    #[arg(value_parser = address)]
    address: Option<u64>,
    /// Map something of each kind in this program, and walk to it
    #[arg(long = "self")]
    self_demo: bool,
    /// Through the tables that the CPU uses in user mode, where the kernel hides itself (pti=on)
    #[arg(long, conflicts_with = "self_demo")]
    user_mode: bool,
    /// Write a picture, too; with --self, of the first walk
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads `7f0012345678`, `0x7f0012345678` or `0x7f00_1234_5678`.
fn address(text: &str) -> Result<u64, String> {
    let digits = text.trim_start_matches("0x").replace('_', "");
    u64::from_str_radix(&digits, 16).map_err(|err| format!("{err}: it is hexadecimal"))
}

/// A walk, and what it is of.
struct DescribedWalk {
    title: String,
    about: &'static str,
    walk: Walk,
    /// What `struct page` says of the frame, if it has one.
    frame: Option<Frame>,
    /// The slab cache that the frame belongs to, if it does and that can be told.
    slab_cache: Option<String>,
}

impl DescribedWalk {
    fn new(
        inspector: &Inspector,
        title: String,
        about: &'static str,
        target: Target,
        address: u64,
    ) -> Result<Self> {
        let walk = inspector.walk(target, address)?;
        let frame = walk.pfn().and_then(|pfn| inspector.frame(pfn).ok());
        let slab_cache = frame
            .as_ref()
            .and_then(|frame| slab_cache(inspector, frame));
        Ok(Self {
            title,
            about,
            walk,
            frame,
            slab_cache,
        })
    }
}

/// The cache that a page frame is a slab of. A kernel that does not tell its types cannot tell.
fn slab_cache(inspector: &Inspector, frame: &Frame) -> Option<String> {
    if !frame.page_flags.contains(PhysicalPageFlags::SLAB) {
        return None;
    }
    SlabCaches::new().ok()?.name(inspector, frame.pfn).ok()?
}

pub fn run(args: &Args) -> Result<()> {
    let inspector = Inspector::open()?;
    let walks = match (&args.target, args.address, args.self_demo) {
        (_, _, true) => demo::walks(&inspector)?,
        (Some(target), Some(address), false) => vec![one(&inspector, target, address, args)?],
        _ => bail!(
            "whose address? Say mapwright walk PID ADDRESS, walk kernel ADDRESS or walk --self"
        ),
    };
    if let Some(file) = &args.svg {
        let first = walks.first().context("no walk")?;
        svg::draw(first, file)?;
    }
    if args.json {
        let values: Vec<Value> = walks.iter().map(to_json).collect();
        match values.as_slice() {
            [one] => println!("{one:#}"),
            _ => println!("{:#}", Value::from(values)),
        }
        return Ok(());
    }
    for (i, described) in walks.iter().enumerate() {
        if i > 0 {
            anstream::println!();
        }
        anstream::println!("{}", paint(HEADING, &described.title));
        terminal::show(described);
    }
    Ok(())
}

fn one(inspector: &Inspector, target: &str, address: u64, args: &Args) -> Result<DescribedWalk> {
    let (target, whose) = match (target, args.user_mode) {
        ("kernel", true) => bail!("the kernel has no user mode: say a process"),
        ("kernel", false) => (Target::Kernel, "the kernel".to_owned()),
        (pid, user_mode) => {
            let pid: u32 = pid
                .parse()
                .with_context(|| format!("{pid} is neither the number of a process nor kernel"))?;
            ensure!(pid != 0, "processes are numbered from 1");
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let whose = format!("process {pid} ({})", name.trim());
            match user_mode {
                true => (Target::UserMode(pid), format!("{whose}, in user mode")),
                false => (Target::Process(pid), whose),
            }
        }
    };
    DescribedWalk::new(
        inspector,
        format!("{address:#x} of {whose}"),
        "",
        target,
        address,
    )
}

/// Names of an entry's flags. That an entry is present, its kind says.
fn flags(step: &Step) -> Vec<&'static str> {
    step.flags()
        .map(|flag| flag.name())
        .filter(|name| *name != "present")
        .collect()
}

/// Names of the page's flags, as the kernel's `page-types` tool has them.
fn page_flags(frame: &Frame) -> Vec<String> {
    frame
        .page_flags
        .iter_names()
        .map(|(name, _)| name.to_lowercase())
        .collect()
}

/// The bits of the address that select a step's entry: highest and lowest.
fn bits(step: &Step) -> String {
    format!("{}…{}", step.shift + step.bits - 1, step.shift)
}

/// Steps that the machine really takes.
fn real_steps(walk: &Walk) -> impl Iterator<Item = &Step> {
    walk.steps
        .iter()
        .filter(|step| step.kind != EntryKind::Folded)
}

/// Bits of an address below those that the last entry's level is selected by.
fn offset_bits(walk: &Walk) -> u32 {
    walk.last().map_or(0, |step| step.shift)
}

fn to_json(described: &DescribedWalk) -> Value {
    let walk = &described.walk;
    let steps: Vec<Value> = walk
        .steps
        .iter()
        .map(|step| {
            json!({
                "level": step.level.name(),
                "kind": step.kind.name(),
                "shift": step.shift,
                "bits": step.bits,
                "index": step.index,
                "entry": step.entry,
                "value": step.value,
                "flags": step.flags().map(|flag| flag.name()).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "title": described.title,
        "address": walk.address,
        "root": walk.root,
        "register": walk.register,
        "levels": steps,
        "physical": walk.physical,
        "page_size": walk.page_size,
        "memory_type": walk.memory_type.map(|memory_type| memory_type.name()),
        "user": walk.is_user(),
        "writable": walk.is_writable(),
        "executable": walk.is_executable(),
        "frame": described.frame.as_ref().map(frame_to_json),
        "slab_cache": described.slab_cache,
    })
}

fn frame_to_json(frame: &Frame) -> Value {
    json!({
        "pfn": frame.pfn,
        "head": frame.head,
        "struct_page": frame.struct_page,
        "refcount": frame.refcount,
        "mapcount": frame.mapcount,
        "order": frame.order,
        "node": frame.node,
        "zone": frame.zone,
        "migrate_type": frame.migrate_type.name(),
        "flags": page_flags(frame),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hexadecimal() {
        assert_eq!(address("0xffff_8880"), Ok(0xffff_8880));
        assert_eq!(address("10"), Ok(16));
        assert!(address("kernel").is_err());
        assert!(address("0x1ffffffffffffffff").is_err());
    }
}
