// SPDX-License-Identifier: MIT OR Apache-2.0

//! A3: which pages `vm_insert_page()` takes.

use crate::{faulty::make_mistake, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};

pub const CLAIM: Claim = Claim {
    id: "A3",
    title: "vm_insert_page() and kmalloc()",
    sources: &[Document::Driver.section("Interview-Level Questions, 1")],
    says: "vm_insert_page() is for page-backed memory like that of kmalloc().",
    needs: &[Need::File(
        "/sys/kernel/debug/kmemleak",
        "a kernel for debugging (make prove boots it)",
    )],
    vms: &[Vm::DebugKernel],
    prove,
};

/// What the module calls each kind of memory, and what it is.
const KINDS: [(&str, &str); 2] = [
    ("slab", "kmalloc() of a page: a slab"),
    ("page", "alloc_page(): a page of its own"),
];

fn prove(lab: &Lab) -> Result<Finding> {
    let log = make_mistake(lab.faulty()?, "insert")?;
    let mut table = Table::new(
        "A module written in C gives each to vm_insert_page(); what that returns",
        ["memory", "returned"],
    );
    let mut returned = Vec::new();
    for (kind, what) in KINDS {
        let start = format!("vm_insert_page({kind}): ");
        let reported = log.iter().find_map(|line| line.split_once(&start));
        let (_, number) = reported.with_context(|| format!("the module did not try a {kind}"))?;
        let number: i32 = number.trim().parse()?;
        returned.push(number);
        table.row([what.to_owned(), number.to_string()]);
    }
    let [slab, page] = returned[..] else {
        anyhow::bail!("{returned:?}");
    };
    Ok(Finding::new(format!("a slab's page gets {slab}, a page of its own {page}"))
        .statement(
            "vm_insert_page() takes a page of kmalloc() memory",
            Verdict::of(slab == 0),
            format!("it returns {slab} (EINVAL is {})", -nix::libc::EINVAL),
        )
        .statement(
            "It takes page-backed memory, such as a page of the page allocator",
            Verdict::of(page == 0),
            format!("it returns {page}"),
        )
        .table(table)
        .instead(
            "The reference count and the mapping count of a slab's page belong to the slab allocator, so such a page \
             cannot be given to a program as one that is counted. By its frame number it can: remap_pfn_range().",
        ))
}
