// SPDX-License-Identifier: MIT OR Apache-2.0

//! B22: mistakes in freeing, and who finds them.

use crate::{
    faulty::make_mistake, finding::plural, read, Claim, Document, Finding, Lab, Need, Table,
    Verdict, Vm,
};
use anyhow::Result;

pub const CLAIM: Claim = Claim {
    id: "B22",
    title: "Double and wrong frees",
    sources: &[
        Document::Reference.section("10, kmalloc() Function"),
        Document::Reference.section("B, vmalloc()"),
    ],
    says: "Each kmalloc() needs exactly one kfree(), and vmalloc() memory needs vfree(): who writes the code must \
           never free twice, nor with the wrong function.",
    needs: &[Need::File("/sys/kernel/debug/kmemleak", "a kernel for debugging (make prove boots it)")],
    vms: &[Vm::DebugKernel],
    prove,
};

/// A mistake of the faulty module, and what a line of the kernel's report has in it.
const MISTAKES: [(&str, &str, &str); 3] = [
    ("double-free", "kfree() twice", "double-free"),
    (
        "use-after-free",
        "a store after kfree()",
        "slab-use-after-free",
    ),
    ("wrong-free", "vfree() of what kmalloc() gave", "vfree()"),
];

fn prove(lab: &Lab) -> Result<Finding> {
    let module = lab.faulty()?;
    let mut table = Table::new(
        "A module written in C makes each mistake once; what the kernel for debugging says",
        ["mistake", "the kernel's words"],
    );
    let mut in_rust = Table::new(
        "The same in a module written in Rust (tests/compile); what its compiler says",
        ["mistake", "the compiler's words"],
    );
    let mut reported = 0;
    let mut refused = 0;
    for (fault, what, words) in MISTAKES {
        let log = make_mistake(module, fault)?;
        let report = log.iter().find(|line| line.contains(words));
        reported += usize::from(report.is_some());
        let message = report.map_or("nothing", |line| line.trim());
        table.row([what.to_owned(), message.to_owned()]);
        let refusal = lab.refused(fault);
        refused += usize::from(refusal.is_some());
        in_rust.row([what.to_owned(), refusal.unwrap_or("nothing").to_owned()]);
    }
    // The kernel's own reports taint it, so that nothing later is mistaken for sound.
    let tainted = read::text("/proc/sys/kernel/tainted")?;
    Ok(Finding::new(format!(
        "of {} mistakes {reported} are compiled from C, made and reported; {refused} are refused by the Rust compiler",
        MISTAKES.len()
    ))
        .statement(
            "It is up to who writes the code: a C compiler accepts such mistakes, and they are made when the code runs",
            Verdict::of(reported == MISTAKES.len()),
            format!(
                "{}; the kernel's taint flags are {} then",
                plural(reported, "report"),
                tainted.trim()
            ),
        )
        .statement(
            "A Rust compiler refuses them",
            match refused {
                0 => Verdict::NotTestableHere,
                _ => Verdict::of(refused == MISTAKES.len()),
            },
            match refused {
                0 => "it was not asked: make prove does that".to_owned(),
                _ => format!("{refused} of {} do not compile", MISTAKES.len()),
            },
        )
        .asked_here()
        .table(table)
        .table(in_rust)
        .instead(
            "Only a kernel that checks each access (KASAN) or each object finds them, when they happen. In Rust they are not \
             compiled: who frees gives the owner away, each owner knows its own way to free, and a reference does not \
             outlive it.",
        ))
}
