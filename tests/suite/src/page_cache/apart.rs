// SPDX-License-Identifier: MIT OR Apache-2.0

//! What takes a mapping apart leaves no reference behind.

use super::{all_pages, number, pages, touch, Subject};
use crate::{
    child,
    raw::{vmsplice, Map, RW},
    runner::Context,
};
use anyhow::{ensure, Result};
use mapwright::{block_bytes, page_bytes};
use nix::{
    libc,
    sys::mman::{MapFlags, ProtFlags},
    unistd::pipe,
};

pub(super) fn a_hole_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let page = page_bytes();
        it.map.unmap_part(100 * page, 100 * page)?;
        Ok(vec![0..100, 200..pages().end])
    })
}

pub(super) fn a_part_read_only_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let page = page_bytes();
        it.map
            .protect_part(page, block_bytes(), ProtFlags::PROT_READ)?;
        Ok(all_pages())
    })
}

pub(super) fn a_move_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let room = Map::anonymous(it.map.length, ProtFlags::PROT_NONE)?;
        it.map.move_onto(room)?;
        Ok(all_pages())
    })
}

pub(super) fn a_part_thrown_away_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        it.map
            .advise_part(7 * page_bytes(), block_bytes(), libc::MADV_DONTNEED)?;
        it.expect_pages(pages())?;
        it.map.advise(libc::MADV_DONTNEED)?;
        it.expect_unmapped()?;
        Ok(all_pages())
    })
}

pub(super) fn a_private_store_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let flags = MapFlags::MAP_PRIVATE;
        let private = Map::new(&it.session, it.region.offset, it.map.length, RW, flags)?;
        // Once before anything is there, once where a page table is full.
        private.store(9 * page_bytes(), 0xee);
        for at in (0..private.length).step_by(page_bytes()) {
            let expected = if at == 9 * page_bytes() {
                0xee
            } else {
                number(at / page_bytes())[0]
            };
            ensure!(private.load(at) == expected, "byte {at}");
        }
        private.store(block_bytes() + 2, 0xee);
        ensure!(private.load(block_bytes() + 2) == 0xee);
        drop(private);
        ensure!(it.map.load(block_bytes() + 2) == 0, "a private store");
        Ok(all_pages())
    })
}

pub(super) fn a_fork_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        child::run(|| {
            it.expect_pages(pages())?;
            it.expect_mapped(2)
        })?;
        it.expect_mapped(1)?;
        Ok(all_pages())
    })
}

/// The kernel must not split a folio.
pub(super) fn cold_and_paged_out_leave_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let before = it.folios()?;
        for advice in [libc::MADV_COLD, libc::MADV_PAGEOUT] {
            it.map
                .advise_part(3 * page_bytes(), block_bytes(), advice)?;
            it.map.advise(advice)?;
        }
        ensure!(it.folios()? == before, "a folio was split, or is another");
        Ok(all_pages())
    })
}

pub(super) fn a_pin_is_a_reference(_: &Context) -> Result<()> {
    Subject::each(|it| {
        touch(&it, true)?;
        let before = it.references()?;
        let (reader, writer) = pipe()?;
        let spliced = vmsplice(&writer, it.map.addr + block_bytes(), 4 * page_bytes());
        ensure!(spliced == Ok(4 * page_bytes()), "{spliced:?}");
        let with = it.references_become(before + 4)?;
        ensure!(with == before + 4, "{with} references, {before} before");
        drop((reader, writer));
        it.expect_mapped(1)
    })
}
