// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of an entry for a gigabyte when its VMA is split or moved, for which the kernel is not prepared.

use super::gigabyte::{expect_entry, mapped_by, needs_entries, Gigabyte, GIB};
use crate::{
    child,
    log::Log,
    raw::Map,
    runner::{suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{block_bytes, page_bytes};
use nix::{errno::Errno, sys::mman::ProtFlags};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

suite! { "large.split":
    keeps_what_it_has,
    is_moved_without_a_word_of_the_kernel,
    is_copied_to_a_child_that_splits_it,
    while_others_touch_it,
}

/// What a page-table entry of the middle level looks like that maps a block: were the memory taken for a page table, as the
/// kernel does when a VMA is split that has such an entry, it would be cleared.
const LIKE_AN_ENTRY: [u8; 8] = 0x0000_0000_0020_00e7u64.to_le_bytes();

/// Fills the part of a gigabyte that would be that page table.
fn fill_like_a_table(it: &Gigabyte) -> Result<()> {
    for at in (0..page_bytes()).step_by(8) {
        it.session.write_at(&it.region, at as u64, &LIKE_AN_ENTRY)?;
    }
    Ok(())
}

fn expect_filled(it: &Gigabyte) -> Result<()> {
    for at in (0..page_bytes()).step_by(8) {
        let bytes = it.kernel_sees(at)?;
        ensure!(bytes == LIKE_AN_ENTRY, "byte {at}: {bytes:x?}");
    }
    Ok(())
}

fn keeps_what_it_has(_: &Context) -> Result<()> {
    needs_entries()?;
    type Split = (&'static str, fn(&Map, usize) -> Result<(), Errno>);
    let splits: [Split; 3] = [
        ("munmap", |map, at| map.unmap_part(at, page_bytes())),
        ("mprotect", |map, at| {
            map.protect_part(at, page_bytes(), ProtFlags::PROT_READ)
        }),
        ("madvise", |map, at| {
            map.advise_part(at, page_bytes(), nix::libc::MADV_DONTFORK)
        }),
    ];
    let mut it = Gigabyte::new()?;
    fill_like_a_table(&it)?;
    for (name, split) in splits {
        it.map = Map::shared(&it.session, it.region.offset, GIB)?;
        it.map.store(GIB - 1, 1);
        expect_entry(it.map.addr)?;
        let at = 3 * block_bytes() + page_bytes();
        split(&it.map, at).context(name)?;
        expect_filled(&it).context(name)?;
        // Of what is left, all can be used.
        it.map.store(at + page_bytes(), 2);
        it.map.store(at - 1, 3);
        ensure!(it.map.load(GIB - 1) == 1, "{name}");
        ensure!(it.kernel_sees(at + page_bytes())?[0] == 2, "{name}");
        expect_filled(&it).context(name)?;
    }
    Ok(())
}

/// The kernel would take the entry for a bad one, and say so.
fn is_moved_without_a_word_of_the_kernel(_: &Context) -> Result<()> {
    needs_entries()?;
    let mut it = Gigabyte::new()?;
    let mut log = Log::from_now()?;
    fill_like_a_table(&it)?;
    // To where the entry fits, and to where it does not.
    for beside in [0, block_bytes(), page_bytes()] {
        it.map.store(GIB - 1, 1);
        let place = Map::anonymous(3 * GIB, ProtFlags::PROT_NONE)?;
        let to = place.addr.next_multiple_of(GIB) + beside;
        let from = it.map.addr;
        drop(place);
        let place = Map {
            addr: to,
            length: GIB,
        };
        it.map.move_onto(place)?;
        ensure!(it.map.load(GIB - 1) == 1 && it.map.load(0) == LIKE_AN_ENTRY[0]);
        if beside == 0 {
            expect_entry(it.map.addr)?;
        }
        ensure!(mapped_by(from)?.is_none(), "it is still there");
    }
    // A part of it.
    it.map = Map::shared(&it.session, it.region.offset, GIB)?;
    it.map.store(0, LIKE_AN_ENTRY[0]);
    expect_entry(it.map.addr)?;
    let (at, length) = (5 * page_bytes(), 2 * block_bytes());
    let place = Map::anonymous(length, ProtFlags::PROT_NONE)?;
    let mut part = Map {
        addr: it.map.addr + at,
        length,
    };
    part.move_onto(place)?;
    part.store(length - 1, 6);
    ensure!(it.kernel_sees(at + length - 8)?[7] == 6);
    ensure!(it.map.load(GIB - 1) == 1);
    expect_filled(&it)?;
    let bad: Vec<_> = log
        .lines()
        .into_iter()
        .filter(|line| line.contains("bad pud"))
        .collect();
    ensure!(bad.is_empty(), "{bad:?}");
    Ok(())
}

fn is_copied_to_a_child_that_splits_it(_: &Context) -> Result<()> {
    needs_entries()?;
    let it = Gigabyte::new()?;
    fill_like_a_table(&it)?;
    it.map.store(GIB - 1, 1);
    child::run(|| {
        expect_entry(it.map.addr)?;
        it.map.store(GIB - 2, 2);
        it.map.unmap_part(GIB / 4 + page_bytes(), page_bytes())?;
        it.map.store(GIB / 4, 3);
        ensure!(it.map.load(GIB - 1) == 1);
        Ok(())
    })?;
    ensure!(it.map.load(GIB - 2) == 2 && it.map.load(GIB / 4) == 3);
    // The parent has all of it.
    it.map.store(GIB / 4 + page_bytes(), 4);
    expect_entry(it.map.addr)?;
    expect_filled(&it)
}

/// No thread puts the entry in again before the VMA is split.
fn while_others_touch_it(_: &Context) -> Result<()> {
    needs_entries()?;
    let it = Gigabyte::new()?;
    fill_like_a_table(&it)?;
    let mut log = Log::from_now()?;
    let until = Instant::now() + Duration::from_secs(5);
    let done = AtomicBool::new(false);
    let mut rounds = 0u32;
    let touch = |map: &Map| {
        while !done.load(Relaxed) {
            map.load(GIB - 1);
        }
    };
    let mut result = Ok(());
    while result.is_ok() && Instant::now() < until {
        let map = Map::shared(&it.session, it.region.offset, GIB)?;
        done.store(false, Relaxed);
        result = thread::scope(|threads| {
            threads.spawn(|| touch(&map));
            let split = || -> Result<()> {
                map.load(0);
                let at = GIB / 2 + page_bytes();
                map.protect_part(at, page_bytes(), ProtFlags::PROT_READ)?;
                map.unmap_part(at, page_bytes())?;
                Ok(())
            };
            let split = split();
            done.store(true, Relaxed);
            split
        });
        rounds += 1;
    }
    result?;
    ensure!(rounds > 10, "{rounds} rounds");
    expect_filled(&it)?;
    let bad: Vec<_> = log
        .lines()
        .into_iter()
        .filter(|line| line.contains("bad p"))
        .collect();
    ensure!(bad.is_empty(), "{bad:?}");
    Ok(())
}
