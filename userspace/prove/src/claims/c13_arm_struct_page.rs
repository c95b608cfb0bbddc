// SPDX-License-Identifier: MIT OR Apache-2.0

//! C13: `struct page` of 32-bit ARM, and the reference count of a page that is free.

use crate::{finding::plural, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    btf::{Btf, FILE},
    inspect::{Frame, Inspector},
    pagemap_pfns,
};
use procfs::PhysicalPageFlags as Flags;
use std::{hint::black_box, path::Path};

pub const CLAIM: Claim = Claim {
    id: "C13",
    title: "struct page of 32-bit ARM",
    sources: &[Document::Reference.section("3, Pages & Memory Management")],
    says: "On 32-bit ARM a struct page typically has 64 bytes, so that 4 GB of memory cost 64 MB. Its count of \
           references, _count, is -1 while the page is free and above 0 while it is used.",
    needs: &[Need::Arch(&["armv7l"]), Need::Module("mapwright_inspect")],
    vms: &[Vm::Arm, Vm::ArmTwoGib],
    prove,
};

/// What the documents say.
const CLAIMED: u64 = 64;
const CLAIMED_FREE: i32 = -1;
/// Free blocks that are looked at.
const SAMPLE: usize = 256;

fn prove(lab: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let (used, bytes) = used(lab, &inspector)?;
    let free = free(&inspector)?;
    let counts = |frames: &[Frame]| {
        let counts = frames.iter().map(|frame| frame.refcount);
        counts.clone().min().zip(counts.max()).context("no page")
    };
    let (least, most) = counts(&free)?;
    let (used_least, used_most) = counts(&used)?;
    let cost = bytes * (4 << 30) / lab.machine.page_size;
    let mut table = Table::new(
        "Counts of references of pages (mapwright_inspect)",
        [
            "pages",
            "how many",
            "lowest count",
            "highest count",
            "one of them",
        ],
    );
    for (what, frames, least, most) in [
        ("at the head of a free block", &free, least, most),
        (
            "of this program's code, stack and heap",
            &used,
            used_least,
            used_most,
        ),
    ] {
        let one = frames.first().context("no page")?;
        table.row([
            what.into(),
            frames.len().to_string(),
            least.to_string(),
            most.to_string(),
            format!(
                "frame {:#x}, struct page at {:#x}",
                one.pfn, one.struct_page
            ),
        ]);
    }
    let (renamed, name) = name_of_count()?;
    Ok(Finding::new(format!("{bytes} bytes; {least} references while free"))
        .statement(
            "A struct page of 32-bit ARM has 64 bytes",
            Verdict::of(bytes == CLAIMED),
            format!("two neighbours are {bytes} bytes apart"),
        )
        .statement(
            "4 GB of memory need 64 MB of them",
            Verdict::of(cost >> 20 == 64),
            format!("{} MiB with pages of {} bytes", cost >> 20, lab.machine.page_size),
        )
        .statement(
            "The count of a free page is -1",
            // It was so until Linux 2.6.16: the field had one less than there were references.
            Verdict::Outdated.if_else(
                (least, most) == (0, 0),
                Verdict::of((least, most) == (CLAIMED_FREE, CLAIMED_FREE)),
            ),
            format!("from {least} to {most} in {}", plural(free.len(), "free block")),
        )
        .statement(
            "The count of a page in use is above 0",
            Verdict::of(used_least > 0),
            format!("from {used_least} to {used_most} in {}", plural(used.len(), "page")),
        )
        .statement("The count is the field _count", renamed, name)
        .table(table)
        .instead(
            "A struct page is about half as large on 32-bit ARM, whose pointers have 4 bytes; memory cgroups add 4 bytes. A \
             free page has 0 references: its count was -1 until Linux 2.6.16. What is -1 now is _mapcount, of a page that no \
             program has mapped. The count is called _refcount since Linux 4.6.",
        ))
}

/// Pages that this program uses, and the bytes from a `struct page` to the next.
fn used(lab: &Lab, inspector: &Inspector) -> Result<(Vec<Frame>, u64)> {
    let page = usize::try_from(lab.machine.page_size)?;
    let (on_stack, on_heap) = (black_box(1u8), black_box(Box::new(1u8)));
    let addresses = [
        used as usize,
        &raw const on_stack as usize,
        &raw const *on_heap as usize,
    ];
    let mut frames = Vec::new();
    for address in addresses {
        let pfns = pagemap_pfns(address / page * page, 1)?;
        let pfn = pfns
            .first()
            .copied()
            .flatten()
            .context("a page in use is not mapped")?;
        frames.push(inspector.frame(pfn)?);
    }
    // The other one of a pair of frames.
    let pfn = frames[0].pfn;
    let (low, high) = (inspector.frame(pfn & !1)?, inspector.frame(pfn | 1)?);
    Ok((frames, high.struct_page - low.struct_page))
}

/// Pages at the head of a free block, as the page allocator marks them.
fn free(inspector: &Inspector) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for zone in crate::read::zoneinfo::read()? {
        let first = zone.counter("start_pfn");
        for pfn in first..first + zone.counter("spanned") {
            if frames.len() >= SAMPLE {
                return Ok(frames);
            }
            // There may be holes.
            let Ok(frame) = inspector.frame(pfn) else {
                continue;
            };
            if frame.page_flags.contains(Flags::BUDDY) {
                frames.push(frame);
            }
        }
    }
    ensure!(!frames.is_empty(), "no page is free");
    Ok(frames)
}

/// What the kernel calls the count.
fn name_of_count() -> Result<(Verdict, String)> {
    if !Path::new(FILE).exists() {
        let why = "this kernel has no type information (CONFIG_DEBUG_INFO_BTF): C7 looks into one that has";
        return Ok((Verdict::NotTestableHere, why.into()));
    }
    let page = Btf::read()?.structure("page")?;
    let is = |name: &str| page.field(name).is_some();
    let verdict =
        Verdict::Outdated.if_else(is("_refcount") && !is("_count"), Verdict::of(is("_count")));
    Ok((
        verdict,
        format!(
            "_count is there: {}; _refcount: {}",
            is("_count"),
            is("_refcount")
        ),
    ))
}
