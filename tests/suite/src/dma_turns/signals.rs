// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a signal does to a program that waits for its turn.

use super::{pieces, BYTES};
use crate::{
    alarms,
    cgroup::Group,
    child,
    dma::{device, from_to, nothing_is_left, wait_until, BUFFER, COHERENT, PAGES, VMALLOC},
    runner::Context,
};
use anyhow::{bail, ensure, Result};
use mapwright::{page_size, uapi, Endpoint, Region, Session};
use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::SaFlags,
        wait::{waitpid, WaitPidFlag},
    },
    unistd::Pid,
};
use std::{path::Path, thread::sleep, time::Duration};

/// What a child process moves, and how it finds out that all of it arrived.
struct Work {
    session: Session,
    source: Region,
    target: Region,
    contents: Vec<u8>,
}

impl Work {
    fn new(path: &Path) -> Result<Self> {
        let session = Session::open_at(path)?;
        let source = session.create(VMALLOC.0, VMALLOC.1, BYTES)?;
        let target = session.create(PAGES.0, PAGES.1, BYTES)?;
        let contents: Vec<u8> = (0..BYTES).map(|i| (i % 251) as u8).collect();
        session.write_at(&source, 0, &contents)?;
        Ok(Self {
            session,
            source,
            target,
            contents,
        })
    }

    fn request(&self) -> uapi::Transfer {
        from_to(
            Endpoint::Region(self.source, 0),
            Endpoint::Region(self.target, 0),
            BYTES,
        )
        .request()
    }

    fn check(&self) -> Result<()> {
        let mut received = vec![0; self.contents.len()];
        self.session.read_at(&self.target, 0, &mut received)?;
        ensure!(received == self.contents, "a byte was lost");
        Ok(())
    }
}

/// Has a child process transfer, and `disturb` it meanwhile; it must end well, with no more pieces than it takes,
/// beside `others`.
fn disturbed(others: u64, disturb: impl FnOnce(&Path, Pid) -> Result<()>) -> Result<()> {
    let path = device()?;
    let before = pieces(&path)?;
    let pid = child::spawn(|| {
        let work = Work::new(&path)?;
        let mut request = work.request();
        work.session.request(&mut request)?;
        work.check()
    })?;
    wait_until("the transfer begins", || Ok(pieces(&path)? > before + 4))?;
    disturb(&path, pid)?;
    child::ends_well(pid)?;
    let (nr_pieces, needed) = (pieces(&path)? - before - others, 2 * BYTES / BUFFER);
    // The first of two pieces is moved once more if the signal came between them.
    ensure!(
        (needed..=needed + 2).contains(&nr_pieces),
        "{nr_pieces} pieces"
    );
    nothing_is_left(&path)
}

/// Makes sure that no piece is moved any more, and that others are served.
fn rests(path: &Path) -> Result<()> {
    sleep(Duration::from_millis(500));
    let before = pieces(path)?;
    sleep(Duration::from_millis(500));
    ensure!(pieces(path)? == before, "it goes on");
    Ok(())
}

pub(super) fn stopped_and_continued(_: &Context) -> Result<()> {
    disturbed(0, |path, pid| {
        child::stop(pid)?;
        rests(path)?;
        child::go_on(pid)
    })
}

/// As `strace -p` does.
pub(super) fn traced(_: &Context) -> Result<()> {
    disturbed(0, |path, pid| {
        let ptrace = |request: libc::c_uint| -> Result<()> {
            // SAFETY: These requests use no memory.
            let ret = unsafe { libc::ptrace(request as _, pid.as_raw(), 0, 0) };
            Errno::result(ret)?;
            Ok(())
        };
        ptrace(libc::PTRACE_ATTACH)?;
        waitpid(pid, Some(WaitPidFlag::__WALL))?;
        rests(path)?;
        ptrace(libc::PTRACE_DETACH)
    })
}

pub(super) fn frozen(_: &Context) -> Result<()> {
    let group = Group::new()?;
    // Two pieces are the other's.
    disturbed(2, |path, pid| {
        group.add(pid)?;
        group.freeze(true)?;
        rests(path)?;
        // Nobody waits for a program that is frozen.
        let bench = Session::open_at(path)?;
        let region = bench.create(COHERENT.0, COHERENT.1, page_size())?;
        bench.transfer(&from_to(
            Endpoint::Region(region, 0),
            Endpoint::Region(region, 100),
            50,
        ))?;
        group.freeze(false)
    })
}

/// The program is told how far it came, and goes on from there.
pub(super) fn interrupted_by_a_handler(context: &Context) -> Result<()> {
    let path = device()?;
    let before = pieces(&path)?;
    let work = Work::new(&path)?;
    let mut request = work.request();
    alarms::handle(SaFlags::empty())?;
    alarms::every(700)?;
    let mut interrupted = 0;
    loop {
        let left = request.bytes;
        match work.session.request(&mut request) {
            Ok(()) => break,
            Err(Errno::EINTR) => interrupted += 1,
            Err(err) => bail!("{err}"),
        }
        ensure!(request.bytes < left, "it does not get on");
        let moved = BYTES - request.bytes;
        ensure!(request.source_offset == moved && request.target_offset == moved);
        let mut received = vec![0; moved as usize];
        work.session.read_at(&work.target, 0, &mut received)?;
        ensure!(work.contents.starts_with(&received), "not all was moved");
    }
    alarms::every(0)?;
    ensure!(interrupted > 2, "interrupted {interrupted} times");
    work.check()?;
    context.note(format!(
        "interrupted {interrupted} times, {} pieces",
        pieces(&path)? - before
    ));
    drop(work);
    nothing_is_left(&path)
}

pub(super) fn handlers_that_restart(context: &Context) -> Result<()> {
    let path = device()?;
    let before = pieces(&path)?;
    let work = Work::new(&path)?;
    alarms::handle(SaFlags::SA_RESTART)?;
    alarms::every(450)?;
    let done = work.session.request(&mut work.request());
    alarms::every(0)?;
    ensure!(done == Ok(()), "{done:?}");
    work.check()?;
    context.note(format!("{} pieces", pieces(&path)? - before));
    drop(work);
    nothing_is_left(&path)
}
