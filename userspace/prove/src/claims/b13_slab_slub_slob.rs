// SPDX-License-Identifier: MIT OR Apache-2.0

//! B13: which slab allocators there are to choose from.

use crate::{
    read::{config::Config, symbols::Symbols},
    Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::{ensure, Result};

pub const CLAIM: Claim = Claim {
    id: "B13",
    title: "SLAB, SLUB and SLOB",
    sources: &[
        Document::Memory.section("8, Key Data Structures — Slab"),
        Document::Overview.section("7, Caching and Slab Allocator"),
    ],
    says: "A kernel is built with one of three slab allocators: SLAB, as servers of old; SLUB, today's \
           default; or SLOB, for tiny systems.",
    needs: &[],
    vms: &[Vm::Normal],
    prove,
};

/// An allocator: its name, the option that chose it, functions that only it has.
const ALLOCATORS: [(&str, &str, &[&str]); 3] = [
    (
        "SLAB",
        "CONFIG_SLAB",
        &["cache_grow_begin", "cache_reap", "drain_array"],
    ),
    (
        "SLUB",
        "CONFIG_SLUB",
        &["___slab_alloc", "__slab_free", "get_from_partial_node"],
    ),
    ("SLOB", "CONFIG_SLOB", &["slob_alloc", "slob_free"]),
];

fn prove(lab: &Lab) -> Result<Finding> {
    let symbols = Symbols::read()?;
    let config = Config::read(&lab.machine.release)?;
    let option = |name| match &config {
        None => "this kernel's configuration is nowhere to be found",
        Some(config) => config.line(name).unwrap_or("unknown to this kernel"),
    };
    let mut table = Table::new(
        "What tells them apart: build options, and functions in /proc/kallsyms that only one has",
        ["allocator", "option", "functions found"],
    );
    let (mut there, mut choices) = (Vec::new(), Vec::new());
    for (name, build_option, functions) in ALLOCATORS {
        let present: Vec<&str> = functions
            .iter()
            .copied()
            .filter(|f| symbols.has(f))
            .collect();
        if !present.is_empty() {
            there.push(name);
        }
        if config
            .as_ref()
            .is_none_or(|config| config.line(build_option).is_some())
        {
            choices.push(name);
        }
        let present = match present.len() {
            0 => "none".to_owned(),
            _ => present.join(", "),
        };
        table.row([name.to_owned(), option(build_option).to_owned(), present]);
    }
    let [running] = there[..] else {
        anyhow::bail!("a kernel has one slab allocator, but functions of {there:?} were found");
    };
    ensure!(
        choices.contains(&running),
        "the kernel has functions of {running}, but its configuration does not know it"
    );
    let choice = match choices.len() {
        1 => Verdict::Outdated,
        _ => Verdict::Confirmed,
    };
    Ok(
        Finding::new(format!("to choose from: {}", choices.join(", ")))
            .statement(
                "There are three to choose from",
                choice,
                format!("the build knows {}", choices.join(", ")),
            )
            .statement(
                "SLUB is the default",
                Verdict::of(running == "SLUB"),
                format!("{running} runs"),
            )
            .said_in(&[Document::Memory.section("8, Key Data Structures — Slab")])
            .table(table)
            .instead(
                "SLOB left the kernel with Linux 6.4, SLAB with 6.8. Tiny systems have SLUB with \
             CONFIG_SLUB_TINY.",
            ),
    )
}
