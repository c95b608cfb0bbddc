// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whose end the mapping outlives, and what ends it.

use super::{value, Subject, STEPS};
use crate::{
    cells::Cell,
    child, module,
    raw::{self, Map, RW},
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, Session, Tables};
use nix::{
    errno::Errno,
    sys::{
        signal::{raise, Signal},
        wait::waitpid,
    },
    unistd::pipe,
};
use std::{fs::File, io::Read as _, os::unix::process::CommandExt as _, process::Command};
#[cfg(target_pointer_width = "64")]
use {
    crate::runner::skip,
    io_uring::{opcode, types, IoUring},
    nix::libc,
    std::os::fd::AsRawFd as _,
};

/// A pipe holds the very pages of the mapping; they must stay what they are until it is read. It has room for a page of
/// each step.
pub(super) fn pin_outlives_munmap_and_destroy(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    let bytes = page_bytes();
    for at in 0..STEPS {
        let spliced = raw::vmsplice(&writer, it.map.addr + at * it.step, bytes);
        if !it.is_counted() {
            ensure!(spliced == Err(Errno::EFAULT), "{spliced:?}");
            return Ok(());
        }
        ensure!(spliced == Ok(bytes), "{spliced:?}");
    }
    it.map.unmap()?;
    it.session.destroy(&it.region)?;
    reuse_freed_pages(it.step)?;
    let mut reader = File::from(reader);
    let mut contents = vec![0; bytes];
    for at in 0..STEPS {
        reader.read_exact(&mut contents)?;
        ensure!(contents[0] == value(at), "freed under a pin");
    }
    Ok(())
}

/// `io_uring` pins the pages of a registered buffer for as long as it is registered (`FOLL_LONGTERM`).
#[cfg(target_pointer_width = "64")]
pub(super) fn long_term_pin_outlives_munmap_and_destroy(it: &mut Subject) -> Result<()> {
    let mut ring = match IoUring::new(2) {
        Ok(ring) => ring,
        Err(err) => return skip(format!("this kernel has no io_uring: {err}")),
    };
    let buffer = libc::iovec {
        iov_base: it.map.addr as *mut libc::c_void,
        iov_len: it.length(),
    };
    // SAFETY: Nobody has a reference to memory of the mapping, and the ring writes none.
    let registered = unsafe { ring.submitter().register_buffers(&[buffer]) };
    if !it.is_counted() {
        let errno = registered.err().and_then(|err| err.raw_os_error());
        ensure!(errno == Some(Errno::EFAULT as i32), "{errno:?}");
        return Ok(());
    }
    registered?;
    it.map.unmap()?;
    it.session.destroy(&it.region)?;
    reuse_freed_pages(it.step)?;
    let (reader, writer) = pipe()?;
    let mut contents = vec![0; it.length()];
    // No more than a pipe holds at a time.
    for (at, part) in contents.chunks_mut(32 << 10).enumerate() {
        let addr = it.map.addr + at * (32 << 10);
        let to = types::Fd(writer.as_raw_fd());
        let length = u32::try_from(part.len())?;
        let write = opcode::WriteFixed::new(to, addr as *const u8, length, 0).build();
        // SAFETY: The buffer is registered, and the pipe open, until it is done.
        unsafe { ring.submission().push(&write)? };
        ring.submit_and_wait(1)?;
        let done = ring.completion().next().map(|done| done.result());
        ensure!(done == Some(i32::try_from(length)?), "{done:?}");
        File::from(reader.try_clone()?).read_exact(part)?;
    }
    it.expect_kept(&contents)
}

/// Whoever gets freed pages now writes over them.
fn reuse_freed_pages(step: usize) -> Result<()> {
    let greedy = Map::anonymous(8 << 20, RW)?;
    (0..greedy.length)
        .step_by(step)
        .for_each(|at| greedy.store(at, 0xee));
    Ok(())
}

/// A mapping alone does, whose file is closed.
pub(super) fn keeps_the_module_loaded(it: &mut Subject) -> Result<()> {
    let session = Session::open()?;
    let region = it.cell.create(&session, it.length() as u64)?;
    let map = Map::shared(&session, region.offset, it.length())?;
    drop(session);
    let removed = module::remove();
    ensure!(removed == Err(Errno::EAGAIN), "{removed:?}");
    map.store(0, 1);
    ensure!(map.load(0) == 1);
    Ok(())
}

pub(super) fn exec_ends_it(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    let child = child::spawn(|| {
        it.expect_steps(0..STEPS)?;
        // Says when it runs, and waits to be killed.
        let failed = Command::new("sh")
            .args(["-c", "echo; exec sleep 1000"])
            .stdout(writer.try_clone()?)
            .exec();
        Err(failed.into())
    })?;
    File::from(reader).read_exact(&mut [0])?;
    let vmas = it.vmas()?;
    nix::sys::signal::kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    ensure!(vmas == 1, "{vmas} VMAs after exec");
    it.expect_steps(0..STEPS)
}

/// Makes and maps a region, and leaves it to the kernel to clean up.
fn make_a_mess(cell: Cell, step: usize) -> Result<()> {
    let mess = Subject::new(cell, step)?;
    mess.expect_steps(0..STEPS)?;
    std::mem::forget(mess);
    Ok(())
}

pub(super) fn exit_ends_it(it: &mut Subject) -> Result<()> {
    it.let_go()?;
    let before = Tables::read()?.live_pages();
    child::run(|| make_a_mess(it.cell, it.step))?;
    ensure!(Tables::read()?.live_pages() == before);
    Ok(())
}

pub(super) fn kill_9_ends_it(it: &mut Subject) -> Result<()> {
    it.let_go()?;
    let before = Tables::read()?.live_pages();
    let killed = child::killed_by(|| {
        make_a_mess(it.cell, it.step)?;
        raise(Signal::SIGKILL)?;
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGKILL), "{killed:?}");
    ensure!(Tables::read()?.live_pages() == before);
    Ok(())
}
