// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs and drivers that end while the device works.

use super::{
    device, from_to, in_sysfs, nothing_is_left, round_trips::round_trips, tables, unbind,
    wait_until, Bench, BUFFER, COHERENT,
};
use crate::{child, runner::Context};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    page_bytes, page_size, Backing, Endpoint, MapCall, Method, Protection, Session, Transfer,
};
use nix::{
    errno::Errno,
    sys::{
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::{pipe, read, write},
};
use std::{fs, os::fd::OwnedFd, path::Path, thread::sleep, time::Duration};

/// A child process that moves a mebibyte: it takes a while. Returns when it has begun.
fn transferring(path: &Path, end: impl FnOnce(Errno) -> Result<()>) -> Result<nix::unistd::Pid> {
    let (ready, tell) = pipe()?;
    let before = tables(path)?.counter("pieces_started");
    let pid = child::spawn(|| {
        let session = Session::open_at(path)?;
        let source = session.create(Backing::Vmalloc, Method::Insert, 1 << 20)?;
        let target = session.create(Backing::Coherent, Method::Dma, 1 << 20)?;
        tell_ready(&tell)?;
        let ended = session.transfer(&Transfer {
            source: Endpoint::Region(source, 0),
            target: Endpoint::Region(target, 0),
            bytes: 1 << 20,
            map_call: MapCall::Scatter,
        });
        end(ended.err().context("it ended well")?)
    })?;
    drop(tell);
    read(&ready, &mut [0])?;
    wait_until("the transfer begins", || {
        Ok(tables(path)?.counter("pieces_started") > before + 2)
    })?;
    Ok(pid)
}

fn tell_ready(pipe: &OwnedFd) -> Result<()> {
    ensure!(write(pipe, &[1])? == 1);
    Ok(())
}

pub(super) fn killed_in_a_transfer(_: &Context) -> Result<()> {
    let path = device()?;
    let pid = transferring(&path, |errno| bail!("{errno}"))?;
    kill(pid, Signal::SIGKILL)?;
    waitpid(pid, None)?;
    nothing_is_left(&path)?;
    let tables = tables(&path)?;
    let (pieces, interrupts) = (
        tables.counter("pieces_started"),
        tables.counter("interrupts"),
    );
    ensure!(
        pieces == interrupts,
        "{interrupts} interrupts of {pieces} pieces"
    );
    // Whoever comes next finds it idle.
    round_trips(COHERENT, MapCall::Scatter, &[BUFFER + 1])
}

pub(super) fn killed_while_waiting(_: &Context) -> Result<()> {
    let path = device()?;
    let busy = transferring(&path, |errno| bail!("{errno}"))?;
    // With a transfer in the queue, which waits for the other's.
    let waiting = child::spawn(|| {
        let session = Session::open_at(&path)?;
        let region = session.create(Backing::Coherent, Method::Dma, page_size())?;
        session.queue(
            &from_to(Endpoint::Region(region, 0), Endpoint::Buffer(0), 1),
            0,
            None,
        )?;
        sleep(Duration::from_secs(1000));
        Ok(())
    })?;
    wait_until("the other child is open", || {
        let tables = tables(&path)?;
        let open = tables.counter("sessions_opened") - tables.counter("sessions_closed");
        Ok(open == 2 && tables.regions.len() == 3)
    })?;
    sleep(Duration::from_millis(300));
    kill(waiting, Signal::SIGKILL)?;
    waitpid(waiting, None)?;
    let still = waitpid(busy, Some(nix::sys::wait::WaitPidFlag::WNOHANG))?;
    ensure!(
        still == nix::sys::wait::WaitStatus::StillAlive,
        "the other's transfer was waited for: {still:?}"
    );
    kill(busy, Signal::SIGKILL)?;
    waitpid(busy, None)?;
    nothing_is_left(&path)
}

pub(super) fn unbound_in_a_transfer(_: &Context) -> Result<()> {
    let path = device()?;
    let pid = transferring(&path, |errno| {
        ensure!(errno == Errno::ENODEV, "{errno}");
        Ok(())
    })?;
    let bind = unbind(&path)?;
    let ended = waitpid(pid, None)?;
    ensure!(
        matches!(ended, nix::sys::wait::WaitStatus::Exited(_, 0)),
        "{ended:?}"
    );
    bind()?;
    nothing_is_left(&path)?;
    round_trips(COHERENT, MapCall::Scatter, &[BUFFER + 1])
}

pub(super) fn removed_and_found_again(_: &Context) -> Result<()> {
    let path = device()?;
    let sysfs = in_sysfs()?;
    // Open, with memory that is not the device's: it stays.
    let session = Session::open_at(&path)?;
    let region = session.create(Backing::Pages, Method::Insert, 2 * page_size())?;
    let mut mapping = session.map(&region, Protection::ReadWrite)?;
    mapping.write(0, b"before");
    fs::write(sysfs.join("remove"), "1")?;
    ensure!(!path.exists(), "{} is still there", path.display());

    let mut contents = [0; 6];
    mapping.read(0, &mut contents);
    ensure!(&contents == b"before");
    mapping.write(page_bytes(), b"after");
    let read = session.read_at(&region, 0, &mut contents);
    let errno = read.err().and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "{errno:?}");
    let transfer = session.transfer(&Transfer {
        source: Endpoint::Region(region, 0),
        target: Endpoint::Buffer(0),
        bytes: 1,
        map_call: MapCall::Scatter,
    });
    ensure!(transfer == Err(Errno::ENODEV), "{transfer:?}");
    ensure!(session.dma_info() == Err(Errno::ENODEV));
    let created = session.create(Backing::Coherent, Method::Dma, page_size());
    let errno = created.err().and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "{errno:?}");

    fs::write("/sys/bus/pci/rescan", "1")?;
    wait_until("the device node appears", || Ok(path.exists()))?;
    round_trips(COHERENT, MapCall::Scatter, &[1])?;
    drop((mapping, session));
    nothing_is_left(&path)
}

pub(super) fn the_module_stays_while_it_is_open(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let flags = nix::kmod::DeleteModuleFlags::O_NONBLOCK;
    let busy = |what| -> Result<()> {
        let errno = nix::kmod::delete_module(c"mapwright_dma", flags).err();
        ensure!(
            errno == Some(Errno::EWOULDBLOCK) || errno == Some(Errno::EBUSY),
            "{what}: {errno:?}"
        );
        Ok(())
    };
    busy("open")?;
    let region = bench.create(COHERENT, page_size())?;
    let mapping = bench.session.map(&region, Protection::Read)?;
    let Bench { session, path } = bench;
    drop(session);
    busy("mapped")?;
    drop(mapping);
    nothing_is_left(&path)
}
