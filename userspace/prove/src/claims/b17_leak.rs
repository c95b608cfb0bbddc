// SPDX-License-Identifier: MIT OR Apache-2.0

//! B17: the kernel frees nothing by itself.

use crate::{faulty::make_mistake, read, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use std::{fs, thread, time::Duration};

pub const CLAIM: Claim = Claim {
    id: "B17",
    title: "Leaks",
    sources: &[
        Document::Reference.section("4, Kernel Memory Leaks"),
        Document::Overview.section("12, Common Memory-Related Issues"),
    ],
    says: "What a module allocates and does not free is lost until the next boot: nobody frees the kernel's memory for \
           it.",
    needs: &[Need::File(KMEMLEAK, "a kernel with CONFIG_DEBUG_KMEMLEAK (make prove boots it)")],
    vms: &[Vm::DebugKernel],
    prove,
};

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";
/// What the module leaks: `tests/faulty`.
const OBJECTS: usize = 50;
const OBJECT_SIZE: usize = 1500;
/// As which they are known: the size of the cache that they come from.
const KNOWN_SIZE: usize = 2048;

fn prove(lab: &Lab) -> Result<Finding> {
    let module = lab.faulty()?;
    tell("clear")?;
    make_mistake(module, "leak")?;
    // Younger objects do not count, and what is held in a register or a cache is found the second time.
    thread::sleep(Duration::from_secs(6));
    tell("scan")?;
    tell("scan")?;
    let report = read::text(KMEMLEAK)?;
    tell("clear")?;

    let header = format!("(size {KNOWN_SIZE}):");
    let lost = report
        .lines()
        .filter(|line| line.starts_with("unreferenced object") && line.ends_with(&header))
        .count();
    let mut table = Table::new(
        "What kmemleak says of the first of them",
        ["the kernel's words"],
    );
    let first = report.lines().skip_while(|line| !line.ends_with(&header));
    for line in first.take(10).filter(|line| !line.contains("hex dump")) {
        table.row([line.trim().to_owned()]);
    }
    Ok(Finding::new(format!("{lost} of {OBJECTS} objects are lost when the module is gone"))
        .statement(
            "What a module does not free stays allocated when it is removed",
            Verdict::of(lost * 10 >= OBJECTS * 9),
            format!("kmemleak finds {lost} objects of {OBJECT_SIZE} bytes that nobody has a pointer to, of {OBJECTS}"),
        )
        .table(table)
        .instead(
            "kmemleak (CONFIG_DEBUG_KMEMLEAK) looks through all memory for pointers to what is allocated. It finds leaks of \
             a kernel for debugging; others lose the memory silently.",
        ))
}

fn tell(word: &str) -> Result<()> {
    fs::write(KMEMLEAK, word).with_context(|| format!("writing {word} to {KMEMLEAK}"))
}
