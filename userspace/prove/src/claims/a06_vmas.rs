// SPDX-License-Identifier: MIT OR Apache-2.0

//! A6: VMAs, and the flags of each way to map.

use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright::{vma_of, Backing, Mapping, Method, Protection, Session, Vma};
use nix::{errno::Errno, libc};

pub const CLAIM: Claim = Claim {
    id: "A6",
    title: "VMAs",
    sources: &[
        Document::Walkthrough.section("1, Big picture"),
        Document::Walkthrough.section("13, Practical breadcrumbs"),
        Document::Memory.section("14, Overview"),
        Document::Overview.section("4, Virtual Memory Areas"),
    ],
    says: "A VMA is a contiguous range of a process's addresses with one set of flags; /proc/PID/maps and smaps show it.",
    needs: &[Need::Module("mapwright")],
    vms: &[Vm::Normal],
    prove,
};

const PAGES: u64 = 16;

/// A pair for each way to map.
const PAIRS: [(Backing, Method); 7] = [
    (Backing::Pages, Method::Remap),
    (Backing::Vmalloc, Method::Insert),
    (Backing::Pages, Method::Fault),
    (Backing::Kmalloc, Method::FaultPfn),
    (Backing::Folio, Method::Huge),
    (Backing::Vmalloc, Method::VmallocRemap),
    (Backing::Coherent, Method::Dma),
];

fn prove(_: &Lab) -> Result<Finding> {
    let session = Session::open()?;
    let bytes = PAGES * mapwright::page_size();
    let mut table = Table::new(
        "Each way to map, touched, in /proc/self/smaps",
        ["backing", "method", "permissions", "flags", "KiB resident"],
    );
    let (mut whole, mut of_kind) = (0, 0);
    for (backing, method) in PAIRS {
        let region = session.create(backing, method, bytes)?;
        let mapping = session.map(&region, Protection::ReadWrite)?;
        mapping.touch();
        let vma = vma_of(mapping.addr())?;
        whole += usize::from(is_range(&vma, mapping.addr(), mapping.len()));
        // Either the kernel counts the pages or it only has their numbers.
        let counted = matches!(
            method,
            Method::Insert | Method::Fault | Method::VmallocRemap
        );
        let as_kind = vma.has("pf") != counted && (vma.rss_bytes == bytes) == counted;
        of_kind += usize::from(as_kind);
        table.row([
            backing.name().to_owned(),
            method.name().to_owned(),
            vma.permissions.clone(),
            vma.flags.join(" "),
            (vma.rss_bytes >> 10).to_string(),
        ]);
    }
    let parts = split(&session)?;
    let mut pieces = Table::new(
        "The pages in the middle of a mapping are made read-only",
        ["VMA", "permissions"],
    );
    for part in &parts {
        let (start, end) = part.range;
        pieces.row([format!("{start:#x}-{end:#x}"), part.permissions.clone()]);
    }
    let permissions: Vec<&str> = parts.iter().map(|part| part.permissions.as_str()).collect();
    let adjacent = parts
        .windows(2)
        .all(|pair| pair[0].range.1 == pair[1].range.0);
    let all = PAIRS.len();
    Ok(Finding::new(format!("{whole} of {all} mappings are one VMA; with two sets of flags, one becomes three"))
        .statement(
            "A mapping is a contiguous range",
            Verdict::of(whole == all),
            format!("{whole} of {all} are a VMA from their first to their last byte"),
        )
        .said_in(&[
            Document::Walkthrough.section("1, Big picture"),
            Document::Memory.section("14, Overview"),
            Document::Overview.section("4, Virtual Memory Areas"),
        ])
        .statement(
            "A VMA has one set of flags",
            Verdict::of(permissions == ["rw-s", "r--s", "rw-s"] && adjacent),
            format!("after mprotect() of its middle there are VMAs with {}", permissions.join(", ")),
        )
        .said_in(&[
            Document::Walkthrough.section("1, Big picture"),
            Document::Memory.section("14, Overview"),
            Document::Overview.section("4, Virtual Memory Areas"),
        ])
        .statement(
            "The flags tell how it is mapped: pf is frame numbers only, which are not counted as resident",
            Verdict::of(of_kind == all),
            format!("so it is for {of_kind} of {all} ways"),
        )
        .asked_here()
        .table(table)
        .table(pieces))
}

fn is_range(vma: &Vma, addr: usize, bytes: usize) -> bool {
    vma.range == (addr as u64, (addr + bytes) as u64)
}

/// The VMAs of a mapping whose middle has been made read-only.
fn split(session: &Session) -> Result<Vec<Vma>> {
    let page = usize::try_from(mapwright::page_size())?;
    let region = session.create(
        Backing::Pages,
        Method::Remap,
        PAGES * mapwright::page_size(),
    )?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    make_read_only(&mapping, 4 * page, 8 * page)?;
    [0, 4, 12]
        .iter()
        .map(|at| vma_of(mapping.addr() + at * page).context("a part is not mapped"))
        .collect()
}

fn make_read_only(mapping: &Mapping, within: usize, bytes: usize) -> Result<()> {
    let addr = mapping.addr() + within;
    // SAFETY: It is inside the mapping, which nobody stores to.
    let result = unsafe { libc::mprotect(addr as *mut _, bytes, libc::PROT_READ) };
    Errno::result(result).context("mprotect")?;
    Ok(())
}
