// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who gets the engine of `/dev/mapwright-dma0` when several want it, and what becomes of a transfer whose program
//! is stopped, frozen, traced, signalled or killed.

mod signals;

use crate::{
    child,
    dma::{
        device, from_to, nothing_is_left, tables, wait_until, Bench, BUFFER, COHERENT, PAGES,
        VMALLOC,
    },
    dma_revoke::SOON,
    raw,
    runner::{suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_size, uapi, uapi::Request as _, Direction, Endpoint, MapCall, Session, Side};
use nix::{
    errno::Errno,
    sys::{
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::{pipe, read, write, Pid},
};
use signals::{
    frozen, handlers_that_restart, interrupted_by_a_handler, stopped_and_continued, traced,
};
use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

suite! { "dma.turns":
    files_take_turns,
    killed_behind_a_long_queue,
    closed_behind_a_long_queue,
    stopped_and_continued,
    traced,
    frozen,
    interrupted_by_a_handler,
    handlers_that_restart,
    told_when_it_can_be,
    passed_on_by_the_byte,
    many_files_with_queues,
}

/// Sixteen turns, each of which takes a piece to the device and one back: 3.2 s.
const BYTES: u64 = 16 * BUFFER;

fn pieces(path: &Path) -> Result<u64> {
    Ok(tables(path)?.counter("pieces_started"))
}

/// A child process with minutes of work in its queue, which has begun.
fn busy(path: &Path) -> Result<Pid> {
    let (ready, tell) = pipe()?;
    let before = pieces(path)?;
    let pid = child::spawn(|| {
        let session = Session::open_at(path)?;
        let region = session.create(VMALLOC.0, VMALLOC.1, 1 << 20)?;
        let target = session.create(COHERENT.0, COHERENT.1, 1 << 20)?;
        for cookie in 0..16 {
            let transfer = from_to(
                Endpoint::Region(region, 0),
                Endpoint::Region(target, 0),
                1 << 20,
            );
            session.queue(&transfer, cookie, None)?;
        }
        ensure!(write(&tell, &[1])? == 1);
        sleep(Duration::from_secs(10_000));
        Ok(())
    })?;
    drop(tell);
    ensure!(read(&ready, &mut [0])? == 1);
    wait_until("it is at work", || Ok(pieces(path)? > before))?;
    Ok(pid)
}

fn end(pid: Pid) -> Result<()> {
    let began = Instant::now();
    kill(pid, Signal::SIGKILL)?;
    waitpid(pid, None)?;
    ensure!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    Ok(())
}

/// Each of two gets half of the engine, whatever the other has queued.
fn files_take_turns(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let other = busy(&bench.path)?;
    let (source, target) = (bench.create(PAGES, BYTES)?, bench.create(VMALLOC, BYTES)?);
    let before = pieces(&bench.path)?;
    bench.session.transfer(&from_to(
        Endpoint::Region(source, 0),
        Endpoint::Region(target, 0),
        BYTES,
    ))?;
    let all = pieces(&bench.path)? - before;
    let own = 2 * BYTES / BUFFER;
    context.note(format!("{own} pieces were moved among {all}"));
    ensure!(all <= 2 * own + 4, "it had to wait for {all} pieces");
    ensure!(all >= 2 * own - 4, "the other one waited: {all} pieces");
    end(other)?;
    bench.close()
}

fn killed_behind_a_long_queue(_: &Context) -> Result<()> {
    let path = device()?;
    let others = [busy(&path)?, busy(&path)?];
    let mine = busy(&path)?;
    end(mine)?;
    let before = pieces(&path)?;
    wait_until("the others go on", || Ok(pieces(&path)? > before + 4))?;
    others.into_iter().try_for_each(end)?;
    nothing_is_left(&path)
}

fn closed_behind_a_long_queue(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let other = busy(&bench.path)?;
    let mine = Session::open_at(&bench.path)?;
    let region = mine.create(COHERENT.0, COHERENT.1, 1 << 20)?;
    for cookie in 0..4 {
        mine.queue(
            &from_to(
                Endpoint::Region(region, 0),
                Endpoint::Region(region, 0),
                1 << 20,
            ),
            cookie,
            None,
        )?;
    }
    let began = Instant::now();
    drop(mine);
    ensure!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    end(other)?;
    bench.close()
}

/// A program that cannot be told how a transfer ended is told later.
fn told_when_it_can_be(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let region = bench.create(COHERENT, page_size())?;
    for cookie in [5, 6] {
        let transfer = from_to(Endpoint::Region(region, 0), Endpoint::Buffer(0), 1);
        bench.session.queue(&transfer, cookie, None)?;
    }
    let ended = || -> Result<bool> {
        let transfers = bench.tables()?.counter("transfers");
        Ok(transfers >= 2)
    };
    wait_until("both have ended", ended)?;
    sleep(Duration::from_millis(200));
    for _ in 0..3 {
        let result = raw::ioctl_read_only(&bench.session, uapi::IOCTL_DONE, uapi::Done::new().size);
        ensure!(result == Err(Errno::EFAULT), "{result:?}");
    }
    for cookie in [5, 6] {
        let result = bench.session.done();
        ensure!(result == Ok((cookie, Ok(()))), "{result:?}");
    }
    ensure!(bench.session.done() == Err(Errno::EAGAIN));
    bench.close()
}

/// `SYNC` passes on the mappings of the bytes that it names, all of them or none.
fn passed_on_by_the_byte(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (session, each) = (&bench.session, 8 * page_size());
    let region = bench.create(VMALLOC, 3 * each)?;
    let mappings = [0, 1].map(|at| {
        session.dma_map(
            &region,
            (at * each, each),
            MapCall::Scatter,
            Direction::Bidirectional,
        )
    });
    let mappings = mappings.into_iter().collect::<Result<Vec<_>, _>>()?;
    let moves = |at: u64| {
        session.transfer(&from_to(
            Endpoint::Region(region, at),
            Endpoint::Buffer(0),
            1,
        ))
    };
    session.sync(&region, 2 * each, each, Side::Cpu)?;
    ensure!(moves(0) == Ok(()) && moves(each) == Ok(()));
    session.sync(&region, 0, 1, Side::Cpu)?;
    ensure!(moves(0) == Err(Errno::EBUSY) && moves(each) == Ok(()));
    session.sync(&region, each - 1, 2, Side::Device)?;
    ensure!(moves(0) == Ok(()) && moves(each) == Ok(()));

    // One of them is used for some time: neither is passed on.
    let target = bench.create(COHERENT, each)?;
    let before = pieces(&bench.path)?;
    let transfer = from_to(
        Endpoint::Region(region, each),
        Endpoint::Region(target, 0),
        each,
    );
    session.queue(&transfer, 1, None)?;
    wait_until("it is used", || Ok(pieces(&bench.path)? > before))?;
    let refused = session.sync(&region, 0, 2 * each, Side::Cpu);
    let errno = refused.err().and_then(|err| err.errno());
    ensure!(session.done() == Err(Errno::EAGAIN), "it was over too soon");
    ensure!(errno == Some(Errno::EBUSY), "{errno:?}");
    ensure!(moves(0) == Ok(()), "the other mapping was passed on");
    wait_until("it ends", || Ok(session.done() != Err(Errno::EAGAIN)))?;
    for mapping in mappings {
        session.dma_unmap(mapping.id)?;
    }
    bench.close().context("closing")
}

/// Each file that has transfers in its queue has a kernel thread, for which nobody is charged.
fn many_files_with_queues(_: &Context) -> Result<()> {
    let path = device()?;
    let files = (0..=uapi::MAX_QUEUES)
        .map(|_| Ok(Session::open_at(&path)?))
        .collect::<Result<Vec<_>>>()?;
    let regions = files
        .iter()
        .map(|file| Ok(file.create(PAGES.0, PAGES.1, BYTES)?))
        .collect::<Result<Vec<_>>>()?;
    let queue = |at: usize| {
        let transfer = from_to(
            Endpoint::Buffer(0),
            Endpoint::Region(regions[at], 0),
            BUFFER,
        );
        files[at].queue(&transfer, 0, None)
    };
    let last = files.len() - 1;
    for at in 0..last {
        queue(at)?;
    }
    let refused = queue(last);
    ensure!(refused == Err(Errno::ENOSPC), "{refused:?}");
    // Who has one may queue more.
    queue(last - 1)?;
    wait_until("one of them is done", || Ok(queue(last).is_ok()))?;
    drop(files);
    nothing_is_left(&path)
}
