// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is in pieces: a region takes the blocks that there are, down to single pages, and nobody's pages are moved for
//! it. A wish for one contiguous run is fulfilled, or fails.

use crate::{
    cells::Cell,
    raw::{largest_block, Map},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_bytes, page_size, uapi, uapi::Request as _, Backing, Method, Session};
use mapwright_prove::Fragments;
use nix::errno::Errno;
use std::{collections::BTreeSet, fs, time::Instant};

suite! { "fragmented":
    regions_take_small_blocks,
    one_run_where_there_is_one,
}

/// Bytes that programs and the kernel keep while the rest of the memory is in use: more than the kernel's watermarks
/// take, below which it looks for somebody to kill.
const SPARE: u64 = 80 << 20;

/// Bytes of a region: more than is free in one piece.
const REGION: u64 = 128 << 20;

/// Takes the machine's memory, and gives back two thirds of it, here and there. Skips if large blocks remain.
fn break_up() -> Result<Fragments> {
    let bytes = free_bytes()?.saturating_sub(SPARE);
    let fragments = Fragments::new(usize::try_from(bytes)?, true)?;
    let large = free_in_large_blocks()?;
    if large >= REGION * 3 / 4 {
        return skip(format!("{} MiB stayed in large blocks here", large >> 20));
    }
    Ok(fragments)
}

fn free_bytes() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemFree:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.context("no MemFree")?.parse::<u64>()? << 10)
}

/// Bytes that are free in blocks of half the largest size and more, where the kernel has addresses for them.
fn free_in_large_blocks() -> Result<u64> {
    let mut bytes = 0;
    for line in fs::read_to_string("/proc/buddyinfo")?.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // `Node 0, zone Normal`, then the free blocks of each order.
        let Some((zone, blocks)) = fields.get(3).zip(fields.get(4..)) else {
            continue;
        };
        if *zone == "HighMem" {
            continue;
        }
        let large = blocks.len().saturating_sub(2);
        for (order, free) in blocks.iter().enumerate().skip(large) {
            bytes += free.parse::<u64>()? * (page_size() << order);
        }
    }
    Ok(bytes)
}

/// How often somebody has had pages moved to get a block, where the kernel counts it. Who touches one meanwhile waits.
fn compactions() -> Result<Option<u64>> {
    let vmstat = fs::read_to_string("/proc/vmstat")?;
    let count = vmstat
        .lines()
        .find_map(|line| line.strip_prefix("compact_stall "));
    Ok(count.map(str::parse).transpose()?)
}

/// The pairs whose memory comes in blocks.
fn pairs() -> impl Iterator<Item = Cell> {
    Cell::ordinary().filter(|cell| matches!(cell.backing, Backing::Pages | Backing::Folio))
}

/// A region in pieces is mapped like one in blocks: each page once, zeroed, the same from both sides. To make it, no page of
/// others is moved.
fn regions_take_small_blocks(context: &Context) -> Result<()> {
    let fragments = break_up()?;
    let session = Session::open()?;
    if session.info()?.session_bytes < 2 * REGION || free_bytes()? < REGION + SPARE {
        return skip("this machine has little memory");
    }
    for cell in pairs() {
        let before = compactions()?;
        let start = Instant::now();
        let region = cell.create(&session, REGION).with_context(|| {
            format!(
                "{}, {} MiB free",
                cell.pair(),
                free_bytes().unwrap_or(0) >> 20
            )
        })?;
        let took = start.elapsed();
        let moved = compactions()?;
        ensure!(moved == before, "pages were moved: {before:?}, {moved:?}");
        let query = session.query(&region)?;
        context.note(format!(
            "{}: {} runs, the longest {} pages, in {took:?}",
            cell.pair(),
            query.runs,
            query.longest_run
        ));
        ensure!(query.runs > 1, "memory was not in pieces: {query:?}");
        let pages = session.pages(&region, 0, u64::MAX)?;
        let frames: BTreeSet<u64> = pages.iter().map(|page| page.pfn).collect();
        ensure!(frames.len() as u64 * page_size() == REGION, "a frame twice");
        expect_coherent(&session, &region, usize::try_from(REGION)?)?;
        session.destroy(&region)?;
    }
    // As long as the regions were there, nobody else had these.
    ensure!(!fragments.frames()?.is_empty());
    Ok(())
}

/// Each page is zeroed, and what one side puts there, the other one finds.
fn expect_coherent(session: &Session, region: &mapwright::Region, length: usize) -> Result<()> {
    let map = Map::shared_for_blocks(session, region.offset, length)?;
    for page in 0..length / page_bytes() {
        let at = page * page_bytes();
        ensure!(map.load(at) == 0, "page {page} was not zeroed");
        map.store(at, page as u8 | 1);
        map.store(at + 1, (page >> 8) as u8);
    }
    let mut contents = vec![0; 1 << 20];
    for begin in (0..length).step_by(contents.len()) {
        session.read_at(region, begin as u64, &mut contents)?;
        for at in (0..contents.len()).step_by(page_bytes()) {
            let page = (begin + at) / page_bytes();
            let expected = [page as u8 | 1, (page >> 8) as u8];
            ensure!(
                contents[at..at + 2] == expected,
                "page {page}: other memory"
            );
        }
    }
    Ok(())
}

/// `CREATE` with the wish for one run.
fn create_one_run(
    session: &Session,
    backing: Backing,
    method: Method,
    bytes: u64,
) -> Result<mapwright::Region, Errno> {
    session.create_as(uapi::Create {
        flags: uapi::CREATE_CONTIGUOUS,
        backing: backing.number(),
        method: method.number(),
        bytes,
        ..uapi::Create::new()
    })
}

fn one_run_where_there_is_one(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let (page, block) = (page_size(), largest_block()?);
    for (backing, method) in [
        (Backing::Kmalloc, Method::Remap),
        (Backing::Pages, Method::Remap),
        (Backing::Folio, Method::Fault),
        (Backing::Coherent, Method::Dma),
    ] {
        for bytes in [page, 5 * page, 64 * page] {
            let region = create_one_run(&session, backing, method, bytes)?;
            let query = session.query(&region)?;
            ensure!(region.bytes == bytes && query.runs == 1, "{query:?}");
            session.destroy(&region)?;
        }
    }
    // There is no longer folio, and it is not looked for. Of pages there may be a run, if others are moved out of its way.
    let refused = create_one_run(&session, Backing::Folio, Method::Remap, block + page).err();
    ensure!(refused == Some(Errno::ENOMEM), "{refused:?}");
    match create_one_run(&session, Backing::Pages, Method::Remap, block + page) {
        Ok(region) => ensure!(session.query(&region)?.runs == 1),
        Err(refused) => ensure!(refused == Errno::ENOMEM, "{refused:?}"),
    }
    let refused = create_one_run(&session, Backing::Vmalloc, Method::Insert, 2 * page).err();
    ensure!(refused == Some(Errno::EOPNOTSUPP), "{refused:?}");
    Ok(())
}
