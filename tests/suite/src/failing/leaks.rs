// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pages that are left when all allocations have failed once.

use super::region_bytes;
use crate::{
    cells::Cell,
    runner::{skip, Context},
};
use anyhow::{ensure, Result};
use mapwright::{page_size, Session};
use std::fs::{self};

const PAGE_STACKS: &str = "/sys/kernel/debug/page_owner_stacks/show_stacks";
/// Functions of the kernel's that keep pages, for themselves or for a while, when they are called for
/// the module: slabs, page tables, the debugging itself.
const KEEPERS: &[&str] = &[
    "allocate_slab",
    "pte_alloc",
    "pmd_alloc",
    "pud_alloc",
    "p4d_alloc",
    "change_page_attr",
    "stack_depot",
    "kasan_",
    "pcpu_",
    "mem_pool",
];

/// Where the module allocated pages that it still has, by the kernel's own account.
fn kept_pages() -> Result<Vec<String>> {
    let Ok(text) = fs::read_to_string(PAGE_STACKS) else {
        return skip(
            "this kernel does not tell who owns a page: boot a debug kernel with page_owner=on",
        );
    };
    let of_module = |stack: &&str| {
        stack.contains("[mapwright]") && !KEEPERS.iter().any(|keeper| stack.contains(keeper))
    };
    Ok(text
        .split("\n\n")
        .filter(of_module)
        .map(str::to_owned)
        .collect())
}

/// Only what was allocated once before an allocation was failed: the kernel's account takes memory, too.
pub(super) fn pages_are_seen(_: &Context) -> Result<()> {
    kept_pages()?;
    for cell in Cell::all().filter(Cell::is_sound) {
        let session = Session::open()?;
        // The kernel lists a place in the code if the first allocation there may wait, as that of a single page may.
        session.destroy(&cell.create(&session, page_size())?)?;
        let region = cell.create(&session, region_bytes() as u64)?;
        ensure!(
            !kept_pages()?.is_empty(),
            "{}: its pages are not seen",
            cell.name()
        );
        session.destroy(&region)?;
        let kept = kept_pages()?;
        ensure!(
            kept.is_empty(),
            "{}: pages were not freed:\n{}",
            cell.name(),
            kept.join("\n\n")
        );
    }
    Ok(())
}

pub(super) fn no_page_is_left(_: &Context) -> Result<()> {
    let kept = kept_pages()?;
    ensure!(
        kept.is_empty(),
        "pages were not freed:\n{}",
        kept.join("\n\n")
    );
    Ok(())
}
