// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random bytes, moved to the device and back: every kind of memory, mapped in every way.

use super::{
    bounce_buffers, interrupts, transfers::waiting_costs_nothing, Bench, BUFFER, COHERENT, KMALLOC,
    PAGES, VMALLOC,
};
use crate::{
    random::Random,
    runner::{skip, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_size, Backing, Endpoint, MapCall, Method, Transfer};

/// Sizes for round trips: from a byte to several of those.
const SIZES: &[u64] = &[1, 2, 63, 512, BUFFER - 1, BUFFER, BUFFER + 1, 9000];

/// Moves random bytes from a random place in one region to one in another, and compares all of it.
fn round_trip(
    bench: &Bench,
    random: &mut Random,
    (source, target): ((Backing, Method), (Backing, Method)),
    map_call: MapCall,
    bytes: u64,
) -> Result<()> {
    let map_call = match map_call {
        // More than a bounce buffer takes.
        MapCall::Single if bytes > 200 << 10 && bounce_buffers("io_tlb_nslabs")? > 0 => {
            MapCall::Scatter
        }
        map_call => map_call,
    };
    let slack = match map_call {
        // Must stay in one page.
        MapCall::Page => page_size() - bytes,
        _ => 3 * page_size(),
    };
    let source = bench.create(source, bytes + slack)?;
    let target = bench.create(target, bytes + slack)?;
    let mut contents = random.bytes(source.bytes as usize);
    let mut expected = random.bytes(target.bytes as usize);
    bench.session.write_at(&source, 0, &contents)?;
    bench.session.write_at(&target, 0, &expected)?;

    let (from, to) = (random.below(slack + 1), random.below(slack + 1));
    let transfer = Transfer {
        source: Endpoint::Region(source, from),
        target: Endpoint::Region(target, to),
        bytes,
        map_call,
    };
    bench.session.transfer(&transfer)?;

    let length = bytes as usize;
    let moved = &contents[from as usize..][..length];
    expected[to as usize..][..length].copy_from_slice(moved);
    for (region, expected) in [(&source, &mut contents), (&target, &mut expected)] {
        let mut copied = vec![0; expected.len()];
        bench.session.read_at(region, 0, &mut copied)?;
        let differs = copied.iter().zip(expected.iter()).position(|(a, b)| a != b);
        ensure!(
            differs.is_none(),
            "{bytes} bytes from {from} to {to}: byte {differs:?} is wrong"
        );
        bench.session.destroy(region)?;
    }
    Ok(())
}

pub fn round_trips(kind: (Backing, Method), map_call: MapCall, sizes: &[u64]) -> Result<()> {
    let bench = Bench::open()?;
    let mut random = Random::new(sizes.iter().sum());
    for &bytes in sizes {
        round_trip(&bench, &mut random, (kind, kind), map_call, bytes)?;
    }
    bench.close()
}

pub(super) fn coherent_memory_round_trips(_: &Context) -> Result<()> {
    round_trips(COHERENT, MapCall::Scatter, SIZES)
}

pub(super) fn single_mappings_round_trip(_: &Context) -> Result<()> {
    round_trips(PAGES, MapCall::Single, SIZES)?;
    round_trips(KMALLOC, MapCall::Single, &[1, page_size() + 1])
}

pub(super) fn page_mappings_round_trip(_: &Context) -> Result<()> {
    round_trips(VMALLOC, MapCall::Page, &[1, 511, page_size()])?;
    round_trips(PAGES, MapCall::Page, &[1, page_size() - 1])
}

pub(super) fn scatter_lists_round_trip(_: &Context) -> Result<()> {
    round_trips(VMALLOC, MapCall::Scatter, SIZES)?;
    round_trips(PAGES, MapCall::Scatter, &[1, 9000])
}

pub(super) fn lists_of_pages_round_trip(_: &Context) -> Result<()> {
    round_trips(VMALLOC, MapCall::ScatterPages, &[1, page_size() + 1])?;
    round_trips(PAGES, MapCall::ScatterPages, SIZES)
}

pub(super) fn a_mebibyte_round_trips(_: &Context) -> Result<()> {
    // A tenth of a second for each piece would be a minute, were it not for a clock that jumps.
    if !waiting_costs_nothing()? {
        return skip("three times a minute, on a machine whose clock does not jump over waiting");
    }
    round_trips(COHERENT, MapCall::Scatter, &[1 << 20])?;
    round_trips(PAGES, MapCall::Single, &[1 << 20])?;
    round_trips(VMALLOC, MapCall::Scatter, &[1 << 20])
}

/// Sizes, places, contents, kinds of memory and ways to map it, all by chance; the interrupts that the
/// driver and the kernel count are those of the pieces.
pub(super) fn random_round_trips(context: &Context) -> Result<()> {
    const TRIPS: u32 = 24;
    let bench = Bench::open()?;
    let mut random = Random::new(0xed0);
    let most: u64 = match waiting_costs_nothing()? {
        true => 1 << 20,
        false => 2 * page_size(),
    };
    let kinds = [
        (MapCall::Scatter, &[COHERENT, PAGES, VMALLOC, KMALLOC][..]),
        (MapCall::ScatterPages, &[COHERENT, PAGES, VMALLOC]),
        (MapCall::Single, &[COHERENT, PAGES, KMALLOC]),
    ];
    let before = (bench.tables()?, interrupts()?);
    let mut moved = 0;
    for _ in 0..TRIPS {
        let (map_call, memory) = random.pick(&kinds);
        let (source, target) = (*random.pick(memory), *random.pick(memory));
        // As many small ones as large ones.
        let order = random.below(most.ilog2().into());
        let bytes = 1 + random.below(1 << order);
        let trip = round_trip(&bench, &mut random, (source, target), *map_call, bytes);
        trip.with_context(|| format!("{source:?} to {target:?} as {map_call:?}"))?;
        moved += bytes;
    }
    for bytes in [1, most] {
        round_trip(
            &bench,
            &mut random,
            (VMALLOC, PAGES),
            MapCall::Scatter,
            bytes,
        )?;
        moved += bytes;
    }
    let after = bench.tables()?;
    let grown = |name: &str| after.counter(name) - before.0.counter(name);
    let (pieces, counted) = (grown("pieces_started"), grown("interrupts"));
    let by_kernel = interrupts()? - before.1;
    ensure!(
        pieces == counted && pieces == by_kernel,
        "{pieces} pieces, {counted} interrupts by the driver's count, {by_kernel} by the kernel's"
    );
    ensure!(grown("transfers") == u64::from(TRIPS) + 2 && grown("bytes_moved") == 2 * moved);
    context.note(format!(
        "{moved} bytes in {pieces} pieces, {by_kernel} interrupts"
    ));
    bench.close()
}
