// SPDX-License-Identifier: MIT OR Apache-2.0

//! A call that goes through much memory ends soon after SIGKILL, long before its work would be done.

use crate::{
    child,
    raw::{self, Map, RW},
    runner::{skip, suite, Context},
};
use anyhow::{bail, ensure, Result};
use mapwright::{Backing, Method, Session};
use nix::sys::{
    signal::{kill, Signal},
    wait::{waitpid, WaitStatus},
};
use std::{
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

suite! { "kill":
    create_of_much_vmalloc_memory,
    create_of_many_pages,
    read_of_much_memory,
}

/// How often a process is killed before it is said to die late.
const TRIES: usize = 5;

/// Half of what all regions may hold. A 32-bit machine has few addresses for such memory: no more than 64 MiB there.
fn much() -> Result<u64> {
    let most = if usize::BITS == 32 {
        64 << 20
    } else {
        u64::MAX
    };
    Ok((Session::open()?.info()?.total_bytes / 2).min(most))
}

/// Fails unless a process that does `f`, which is a single long call after `prepare`, is gone soon after SIGKILL: in less
/// than half of the time that the call takes.
fn ends_early<T>(
    context: &Context,
    prepare: impl Fn() -> Result<T>,
    f: impl Fn(&mut T) -> Result<()>,
) -> Result<()> {
    let mut prepared = prepare()?;
    let start = Instant::now();
    f(&mut prepared)?;
    let whole = start.elapsed();
    drop(prepared);
    if whole < Duration::from_millis(400) {
        return skip(format!(
            "the call takes only {whole:?} here: too quick to tell"
        ));
    }
    // A busy machine delays a death now and then; a call that goes on until it is done delays each.
    let mut took = whole;
    for _ in 0..TRIES {
        took = took.min(dies_within(&prepare, &f, whole / 10)?);
        if took < whole / 2 {
            context.note(format!("{took:?} after SIGKILL, of a call of {whole:?}"));
            return Ok(());
        }
    }
    bail!("gone {took:?} after SIGKILL, of a call of {whole:?}")
}

/// How long a process that does `f` after `prepare` lives after a SIGKILL, which it gets `delay` after it began.
fn dies_within<T>(
    prepare: impl Fn() -> Result<T>,
    f: impl Fn(&mut T) -> Result<()>,
    delay: Duration,
) -> Result<Duration> {
    let (mut reader, writer) = nix::unistd::pipe().map(|(r, w)| (std::fs::File::from(r), w))?;
    let child = child::spawn(|| {
        let mut prepared = prepare()?;
        nix::unistd::write(writer.as_fd(), b"!")?;
        f(&mut prepared)
    })?;
    std::io::Read::read_exact(&mut reader, &mut [0])?;
    thread::sleep(delay);
    let start = Instant::now();
    kill(child, Signal::SIGKILL)?;
    let status = waitpid(child, None)?;
    ensure!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "{status:?}"
    );
    Ok(start.elapsed())
}

fn create_ends_early(context: &Context, backing: Backing, method: Method) -> Result<()> {
    let bytes = much()?;
    ends_early(
        context,
        || Ok(Session::open()?),
        |session| {
            session.create(backing, method, bytes)?;
            Ok(())
        },
    )
}

fn create_of_much_vmalloc_memory(context: &Context) -> Result<()> {
    create_ends_early(context, Backing::Vmalloc, Method::Insert)
}

fn create_of_many_pages(context: &Context) -> Result<()> {
    create_ends_early(context, Backing::Pages, Method::Remap)
}

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

fn read_of_much_memory(context: &Context) -> Result<()> {
    let bytes = much()?;
    // Of this process, so that the one that is killed frees nothing.
    let session = Session::open()?;
    let region = session.create(Backing::Vmalloc, Method::Insert, bytes)?;
    let prepare = || {
        let buffer = Map::anonymous(PIECE, RW)?;
        buffer.store(0, 1);
        Ok(buffer)
    };
    ends_early(context, prepare, |buffer| {
        let times = usize::try_from(bytes)? / PIECE;
        let offset = i64::try_from(region.offset)?;
        let read = raw::pread_again(&session, buffer.addr, PIECE, times, offset)?;
        ensure!(read == times.min(1000) * PIECE, "{read} bytes");
        Ok(())
    })
}
