// SPDX-License-Identifier: MIT OR Apache-2.0

//! Transfers that are queued: their order, and how a program learns that they have ended.

use super::{each_piece_interrupted, from_to, Bench, COHERENT, PAGES, VMALLOC};
use crate::runner::Context;
use anyhow::{ensure, Result};
use mapwright::{page_size, uapi, Endpoint, Session};
use nix::{
    errno::Errno,
    poll::{poll, PollFd, PollFlags},
    sys::eventfd::EventFd,
};
use std::{os::fd::AsFd as _, thread::sleep, time::Duration};

pub(super) fn polled(session: &Session, timeout_ms: u16) -> Result<PollFlags> {
    let mut fds = [PollFd::new(session.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout_ms)?;
    Ok(fds[0].revents().unwrap_or(PollFlags::empty()))
}

pub(super) fn queued_transfers_end_in_order(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let region = bench.create(VMALLOC, 2 * page_size())?;
    let coherent = bench.create(COHERENT, page_size())?;
    session.write_at(&region, 0, b"queued")?;
    ensure!(polled(session, 0)?.is_empty());
    ensure!(session.done() == Err(Errno::EAGAIN));
    let first = from_to(
        Endpoint::Region(region, 0),
        Endpoint::Region(coherent, 0),
        6,
    );
    session.queue(&first, 11, None)?;
    session.queue(
        &from_to(
            Endpoint::Region(coherent, 0),
            Endpoint::Region(region, 4000),
            6,
        ),
        22,
        None,
    )?;
    for cookie in [11, 22] {
        ensure!(polled(session, 10_000)?.contains(PollFlags::POLLIN));
        let done = session.done();
        ensure!(done == Ok((cookie, Ok(()))), "{done:?}");
    }
    ensure!(session.done() == Err(Errno::EAGAIN));
    let mut contents = [0; 6];
    session.read_at(&region, 4000, &mut contents)?;
    ensure!(&contents == b"queued", "{contents:?}");
    bench.close()
}

pub(super) fn a_full_queue(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let coherent = bench.create(COHERENT, page_size())?;
    let transfer = from_to(Endpoint::Region(coherent, 0), Endpoint::Buffer(0), 1);
    for cookie in 0..u64::from(uapi::MAX_QUEUED) {
        bench.session.queue(&transfer, cookie, None)?;
    }
    let errno = bench.session.queue(&transfer, 0, None);
    ensure!(errno == Err(Errno::EAGAIN), "{errno:?}");
    bench.close()
}

pub(super) fn an_eventfd_is_told(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let coherent = bench.create(COHERENT, page_size())?;
    let eventfd = EventFd::new()?;
    let transfer = from_to(
        Endpoint::Region(coherent, 0),
        Endpoint::Region(coherent, 100),
        50,
    );
    for cookie in 0..3 {
        bench
            .session
            .queue(&transfer, cookie, Some(eventfd.as_fd()))?;
    }
    let mut result = 0;
    while result < 3 {
        result += eventfd.read()?;
    }
    ensure!(result == 3, "told {result} times");
    for cookie in 0..3 {
        let done = bench.session.done();
        ensure!(done == Ok((cookie, Ok(()))), "{done:?}");
    }
    // Another kind of file is none.
    let errno = bench
        .session
        .queue(&transfer, 0, Some(bench.session.as_fd()));
    ensure!(errno == Err(Errno::EINVAL), "{errno:?}");
    bench.close()
}

pub(super) fn closed_with_a_queue(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (source, target) = (
        bench.create(VMALLOC, 1 << 20)?,
        bench.create(PAGES, 1 << 20)?,
    );
    let transfer = from_to(
        Endpoint::Region(source, 0),
        Endpoint::Region(target, 0),
        1 << 20,
    );
    for cookie in 0..5 {
        bench.session.queue(&transfer, cookie, None)?;
    }
    sleep(Duration::from_millis(250));
    let path = bench.path.clone();
    bench.close()?;
    each_piece_interrupted(&path).map(drop)
}
