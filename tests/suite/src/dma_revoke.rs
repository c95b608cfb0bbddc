// SPDX-License-Identifier: MIT OR Apache-2.0

//! What programs hold of `/dev/mapwright-dma0` is taken back when the device loses its driver, whether they run,
//! are stopped or take it away themselves.

mod holder;

pub(crate) use holder::Holder;

use crate::{
    child,
    dma::{
        device, in_sysfs, name_in_sysfs, nothing_is_left, round_trips, tables, unbind, wait_until,
        BUFFER, COHERENT, DRIVER, PAGES, VMALLOC,
    },
    runner::{skip, suite, Context},
};
use anyhow::{bail, ensure, Context as _, Result};
use holder::{REGION, REGIONS};
use mapwright::{page_size, Backing, Direction, MapCall, Method, Protection, Session};
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::{pipe, read, write, Pid},
};
use std::{
    fs,
    os::fd::OwnedFd,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

suite! { "dma.revoke":
    from_a_program_that_runs,
    from_a_program_that_is_stopped,
    from_the_program_that_unbinds,
    from_a_program_when_the_device_is_pulled_out,
    while_it_is_used,
    another_domain_is_chosen_afterwards,
    bound_again_many_times,
}

/// What waited for a holder's queue would take more than three minutes, as that is what each holder has queued; no busy
/// machine takes as long as this for anything else.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Takes the device from its driver, in a child process, so that it is told if that takes too long.
pub(crate) fn unbind_soon(take: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    let pid = child::spawn(take)?;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive if began.elapsed() < SOON => sleep(Duration::from_millis(5)),
            WaitStatus::StillAlive => bail!("it waits for the program"),
            WaitStatus::Exited(_, 0) => break,
            status => bail!("{status:?}"),
        }
    }
    Ok(())
}

fn write_unbind(name: &str) -> Result<()> {
    Ok(fs::write(
        format!("/sys/bus/pci/drivers/{DRIVER}/unbind"),
        name,
    )?)
}

/// What is free, with what a list of a processor has of it.
fn free_bytes() -> Result<u64> {
    let zones = fs::read_to_string("/proc/zoneinfo")?;
    let mut pages = 0;
    for line in zones.lines().map(str::trim) {
        let free = line.strip_prefix("pages free");
        if let Some(count) = free.or(line.strip_prefix("count:")) {
            pages += count.trim().parse::<u64>()?;
        }
    }
    Ok(pages * page_size())
}

/// A holder in a child process, and how to have it look.
pub(crate) struct Elsewhere {
    pub(crate) pid: Pid,
    go: OwnedFd,
}

impl Elsewhere {
    /// It will find nothing.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        Self::that_finds(path, Holder::finds_nothing)
    }

    /// It will find all that it left.
    pub(crate) fn that_stays(path: &Path) -> Result<Self> {
        Self::that_finds(path, Holder::finds_everything)
    }

    fn that_finds(path: &Path, finds: fn(&Holder) -> Result<()>) -> Result<Self> {
        let (ready, tell) = pipe()?;
        let (wait, go) = pipe()?;
        let pid = child::spawn(|| {
            let holder = Holder::new(path)?;
            ensure!(write(&tell, &[1])? == 1);
            read(&wait, &mut [0])?;
            finds(&holder)
        })?;
        drop(tell);
        ensure!(read(&ready, &mut [0])? == 1, "the child holds nothing");
        Ok(Self { pid, go })
    }

    pub(crate) fn looks(self) -> Result<()> {
        write(&self.go, &[1])?;
        child::ends_well(self.pid)
    }
}

/// The device works, with a driver of its own again.
pub(crate) fn works_again(path: &Path) -> Result<()> {
    round_trips(COHERENT, MapCall::Scatter, &[BUFFER + 1])?;
    round_trips(PAGES, MapCall::Single, &[BUFFER + 1])?;
    nothing_is_left(path)
}

fn bind(path: &Path, name: &str) -> Result<()> {
    fs::write(format!("/sys/bus/pci/drivers/{DRIVER}/bind"), name)?;
    wait_until("the device node appears", || Ok(path.exists()))
}

fn from_a_program_that_runs(_: &Context) -> Result<()> {
    let (path, name) = (device()?, name_in_sysfs()?);
    let holder = Elsewhere::new(&path)?;
    unbind_soon(|| write_unbind(&name))?;
    // It may hold the old one's file for as long as it likes.
    bind(&path, &name)?;
    works_again(&path)?;
    holder.looks()?;
    works_again(&path)
}

/// Its memory is free before it goes on.
fn from_a_program_that_is_stopped(context: &Context) -> Result<()> {
    let (path, name) = (device()?, name_in_sysfs()?);
    let holder = Elsewhere::new(&path)?;
    child::stop(holder.pid)?;
    let before = free_bytes()?;
    unbind_soon(|| write_unbind(&name))?;
    let freed = free_bytes()?.saturating_sub(before);
    let held = REGIONS as u64 * REGION;
    context.note(format!("{freed} bytes of {held} were free at once"));
    ensure!(
        freed > held - (1 << 20),
        "{freed} of {held} bytes were freed"
    );
    bind(&path, &name)?;
    works_again(&path)?;
    child::go_on(holder.pid)?;
    holder.looks()?;
    works_again(&path)
}

fn from_the_program_that_unbinds(_: &Context) -> Result<()> {
    let (path, name) = (device()?, name_in_sysfs()?);
    child::run(|| {
        let holder = Holder::new(&path)?;
        let began = Instant::now();
        write_unbind(&name)?;
        ensure!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
        holder.finds_nothing()
    })?;
    bind(&path, &name)?;
    works_again(&path)
}

fn from_a_program_when_the_device_is_pulled_out(_: &Context) -> Result<()> {
    let (path, sysfs) = (device()?, in_sysfs()?);
    let holder = Elsewhere::new(&path)?;
    child::stop(holder.pid)?;
    unbind_soon(|| Ok(fs::write(sysfs.join("remove"), "1")?))?;
    child::go_on(holder.pid)?;
    holder.looks()?;
    fs::write("/sys/bus/pci/rescan", "1")?;
    wait_until("the device node appears", || Ok(path.exists()))?;
    works_again(&path)
}

/// Programs touch, read and write coherent memory, map and give back, while it is taken from them.
fn while_it_is_used(_: &Context) -> Result<()> {
    let path = device()?;
    for _ in 0..5 {
        let before = tables(&path)?.counter("mapped");
        let (open, tell) = pipe()?;
        let users = (0..4).map(|_| child::spawn(|| use_until_it_is_gone(&path, &tell)));
        let users = users.collect::<Result<Vec<_>>>()?;
        for _ in &users {
            ensure!(read(&open, &mut [0])? == 1, "a child has no session");
        }
        wait_until("they are at it", || {
            Ok(tables(&path)?.counter("mapped") > before + 40)
        })?;
        let bind = unbind(&path)?;
        for pid in users {
            let ended = waitpid(pid, None)?;
            let by_touch = matches!(ended, WaitStatus::Signaled(_, Signal::SIGBUS, _));
            ensure!(
                by_touch || matches!(ended, WaitStatus::Exited(_, 0)),
                "{ended:?}"
            );
        }
        bind()?;
        works_again(&path)?;
    }
    Ok(())
}

fn use_until_it_is_gone(path: &Path, tell: &OwnedFd) -> Result<()> {
    let session = Session::open_at(path)?;
    ensure!(write(tell, &[1])? == 1);
    let step = || -> std::result::Result<(), Errno> {
        let errno = |err: mapwright::Error| err.errno().unwrap_or(Errno::EIO);
        let region = session
            .create(Backing::Coherent, Method::Dma, 4 * page_size())
            .map_err(errno)?;
        let mut mapping = session.map(&region, Protection::ReadWrite).map_err(errno)?;
        session.write_at(&region, 5, b"bytes").map_err(errno)?;
        mapping.write(3 * page_size() as usize, b"more");
        session.read_at(&region, 5, &mut [0; 5]).map_err(errno)?;
        drop(mapping);
        session.destroy(&region).map_err(errno)?;
        let mapped = session
            .create(VMALLOC.0, VMALLOC.1, page_size())
            .map_err(errno)?;
        let mapping = session.dma_map(
            &mapped,
            (0, 100),
            MapCall::Scatter,
            Direction::Bidirectional,
        )?;
        session.dma_unmap(mapping.id)?;
        session.destroy(&mapped).map_err(errno)
    };
    loop {
        match step() {
            Ok(()) => {}
            Err(Errno::ENODEV) => return Ok(()),
            Err(err) => bail!("{err}"),
        }
    }
}

/// The IOMMU may be given another domain for the device, while a program still has the old one's file.
fn another_domain_is_chosen_afterwards(_: &Context) -> Result<()> {
    let (path, name) = (device()?, name_in_sysfs()?);
    let kind = in_sysfs()?.join("iommu_group/type");
    let Ok(usual) = fs::read_to_string(&kind) else {
        return skip("the device is behind no IOMMU");
    };
    let holder = Elsewhere::new(&path)?;
    // As long as it has its driver.
    ensure!(fs::write(&kind, "identity").is_err(), "it had a driver");
    unbind_soon(|| write_unbind(&name))?;
    fs::write(&kind, "identity").context("with the driver gone")?;
    holder.looks()?;
    fs::write(&kind, usual.trim())?;
    bind(&path, &name)?;
    works_again(&path)
}

/// Nothing of it stays: memory is as it was.
fn bound_again_many_times(context: &Context) -> Result<()> {
    let (path, name) = (device()?, name_in_sysfs()?);
    let once = || -> Result<()> {
        let holder = Elsewhere::new(&path)?;
        unbind_soon(|| write_unbind(&name))?;
        holder.looks()?;
        bind(&path, &name)
    };
    once()?;
    let before = free_bytes()?;
    for _ in 0..5 {
        once()?;
    }
    let lost = before.saturating_sub(free_bytes()?);
    context.note(format!("{lost} bytes less are free after 5 turns"));
    ensure!(lost < 2 * REGION, "{lost} bytes were lost");
    works_again(&path)
}
