// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system sleeps while the device has memory, and while it moves some.

use crate::{
    child,
    dma::{
        device, each_piece_interrupted, from_to, nothing_is_left, tables, wait_until, Bench,
        COHERENT, PAGES, VMALLOC,
    },
    dma_revoke::{Elsewhere, SOON},
    runner::{suite, Context},
    sleep::rehearse,
};
use anyhow::{ensure, Result};
use mapwright::{page_size, Direction, Endpoint, MapCall};
use nix::errno::Errno;
use std::time::{Duration, Instant};

suite! { "dma.sleep":
    transfers_go_on_after_sleep,
    programs_keep_nothing_awake,
}

/// How long the system sleeps.
const NIGHT: Duration = Duration::from_secs(1);

/// Sixteen pieces, each of which takes a tenth of a second to the device and one back.
const BYTES: u64 = 64 << 10;

fn transfers_go_on_after_sleep(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let (source, target) = (bench.create(VMALLOC, BYTES)?, bench.create(PAGES, BYTES)?);
    let contents: Vec<u8> = (0..BYTES).map(|i| (i % 251) as u8).collect();
    session.write_at(&source, 0, &contents)?;
    let coherent = bench.create(COHERENT, page_size())?;
    session.write_at(&coherent, 0, b"before")?;
    let mapped = bench.create(PAGES, page_size())?;
    let mapping = session.dma_map(
        &mapped,
        (0, page_size()),
        MapCall::Single,
        Direction::FromDevice,
    )?;

    let transfer = from_to(
        Endpoint::Region(source, 0),
        Endpoint::Region(target, 0),
        BYTES,
    );
    session.queue(&transfer, 7, None)?;
    let pieces = || -> Result<u64> { Ok(tables(&bench.path)?.counter("pieces_started")) };
    let before = pieces()?;
    wait_until("a piece is on its way", || Ok(pieces()? > before))?;
    ensure!(session.done() == Err(Errno::EAGAIN), "it is over already");
    rehearse(NIGHT)?;
    let mut done = Err(Errno::EAGAIN);
    wait_until("the transfer ends", || {
        done = session.done();
        Ok(done != Err(Errno::EAGAIN))
    })?;
    ensure!(done == Ok((7, Ok(()))), "it ended with {done:?}");
    let mut received = vec![0; contents.len()];
    session.read_at(&target, 0, &mut received)?;
    ensure!(received == contents, "a piece was lost");

    session.transfer(&from_to(
        Endpoint::Region(coherent, 0),
        Endpoint::Region(mapped, 100),
        6,
    ))?;
    session.dma_unmap(mapping.id)?;
    let mut received = [0; 6];
    session.read_at(&mapped, 100, &mut received)?;
    ensure!(&received == b"before", "{received:?}");
    let pieces = each_piece_interrupted(&bench.path)?;
    context.note(format!("{pieces} pieces, each with its interrupt"));
    bench.close()
}

/// The system falls asleep while one program waits and another is stopped, each with hours of work queued.
fn programs_keep_nothing_awake(context: &Context) -> Result<()> {
    let path = device()?;
    let (waits, stopped) = (Elsewhere::that_stays(&path)?, Elsewhere::that_stays(&path)?);
    child::stop(stopped.pid)?;
    let began = Instant::now();
    rehearse(NIGHT)?;
    let awake = began.elapsed().saturating_sub(NIGHT);
    context.note(format!("{} ms beside the sleep itself", awake.as_millis()));
    ensure!(awake < SOON, "it took {awake:?} to fall asleep and wake");
    child::go_on(stopped.pid)?;
    waits.looks()?;
    stopped.looks()?;
    nothing_is_left(&path)
}
