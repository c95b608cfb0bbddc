// SPDX-License-Identifier: MIT OR Apache-2.0

//! A call that goes through much memory ends soon after SIGKILL, long before its work would be done.

use crate::{
    child,
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{Backing, Method, Session};
use nix::sys::{
    signal::{kill, Signal},
    wait::{waitpid, WaitStatus},
};
use std::{
    io::IoSliceMut,
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

suite! { "kill":
    create_of_much_vmalloc_memory,
    create_of_many_pages,
    read_of_much_memory,
}

/// A quarter of what all regions may hold.
fn much() -> Result<u64> {
    Ok(Session::open()?.info()?.total_bytes / 2)
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
    let (mut reader, writer) = nix::unistd::pipe().map(|(r, w)| (std::fs::File::from(r), w))?;
    let child = child::spawn(|| {
        let mut prepared = prepare()?;
        nix::unistd::write(writer.as_fd(), b"!")?;
        f(&mut prepared)
    })?;
    std::io::Read::read_exact(&mut reader, &mut [0])?;
    thread::sleep(whole / 10);
    let start = Instant::now();
    kill(child, Signal::SIGKILL)?;
    let status = waitpid(child, None)?;
    let took = start.elapsed();
    ensure!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "{status:?}"
    );
    context.note(format!("{took:?} after SIGKILL, of a call of {whole:?}"));
    ensure!(
        took < whole / 2,
        "gone {took:?} after SIGKILL, of a call of {whole:?}"
    );
    Ok(())
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

fn read_of_much_memory(context: &Context) -> Result<()> {
    let bytes = much()?;
    let prepare = || {
        let session = Session::open()?;
        let region = session.create(Backing::Vmalloc, Method::Insert, bytes)?;
        Ok((session, region, vec![1u8; 1 << 20]))
    };
    ends_early(context, prepare, |(session, region, buffer)| {
        // Into the same memory, again and again.
        let at = buffer.as_mut_ptr();
        let slices = (0..(bytes >> 20).min(1000)).map(|_| {
            // SAFETY: The kernel writes there, one after the other, and nobody reads it.
            IoSliceMut::new(unsafe { std::slice::from_raw_parts_mut(at, 1 << 20) })
        });
        let mut slices: Vec<_> = slices.collect();
        let read = nix::sys::uio::preadv(session.as_fd(), &mut slices, region.offset as i64)?;
        ensure!(read >= slices.len() << 20, "{read} bytes");
        Ok(())
    })
}
