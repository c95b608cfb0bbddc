// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program does to its address space: fork, munmap, mprotect, mremap, advice and locks.

use super::{value, Subject, STEPS};
use crate::{
    child,
    raw::{Map, RW},
    series,
    touch::faults_of_loading,
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, Method, Side};
use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::{mlockall, MapFlags, MlockAllFlags, ProtFlags},
        signal::Signal,
        wait::{waitpid, WaitStatus},
    },
    unistd::pipe,
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
};

pub(super) fn fork_shares_the_memory(it: &mut Subject) -> Result<()> {
    child::run(|| {
        it.expect_steps(0..STEPS)?;
        ensure!(it.vmas()? == 2);
        it.map.store(2 * it.step, 99);
        Ok(())
    })?;
    ensure!(
        it.map.load(2 * it.step) == 99,
        "the parent does not see the child's store"
    );
    ensure!(it.vmas()? == 1);
    Ok(())
}

pub(super) fn dontfork_keeps_it_from_the_child(it: &mut Subject) -> Result<()> {
    it.map.advise(libc::MADV_DONTFORK)?;
    let killed = child::killed_by(|| {
        ensure!(it.vmas()? == 1);
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    it.expect_steps(0..STEPS)
}

pub(super) fn forked_mapping_outlives_the_parents(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    let child = child::spawn(|| {
        File::from(reader.try_clone()?).read_exact(&mut [0])?;
        it.expect_steps(0..STEPS)?;
        it.map.store(0, 20);
        Ok(())
    })?;
    it.map.unmap()?;
    ensure!(it.vmas()? == 1);
    let destroyed = it.session.destroy(&it.region).is_ok();
    File::from(writer).write_all(&[1])?;
    let status = waitpid(child, None)?;
    ensure!(!destroyed, "destroyed under the child's mapping");
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    ensure!(it.kernel_sees(0)? == 20);
    Ok(())
}

pub(super) fn munmap_of_a_half(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(0, it.length() / 2)?;
    ensure!(it.vmas()? == 1);
    it.expect_steps(STEPS / 2..STEPS)?;
    ensure!(
        it.session.destroy(&it.region).is_err(),
        "destroyed under half a mapping"
    );
    let killed = child::killed_by(|| {
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    Ok(())
}

pub(super) fn munmap_of_the_middle(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(it.step, 2 * it.step)?;
    ensure!(it.vmas()? == 2, "a split is two VMAs");
    it.expect_steps(0..1)?;
    it.expect_steps(3..STEPS)
}

pub(super) fn mprotect_of_a_part(it: &mut Subject) -> Result<()> {
    it.map
        .protect_part(it.step, it.step, ProtFlags::PROT_READ)?;
    ensure!(it.vmas()? == 3, "a split is three VMAs");
    it.expect_steps(0..STEPS)?;
    it.map.store(2 * it.step, 5);
    let killed = child::killed_by(|| {
        it.map.store(it.step, 1);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    it.map.protect_part(it.step, it.step, RW)?;
    it.map.store(it.step, 6);
    ensure!(it.kernel_sees(1)? == 6);
    Ok(())
}

pub(super) fn mprotect_none_and_back(it: &mut Subject) -> Result<()> {
    it.map.protect(ProtFlags::PROT_NONE)?;
    let killed = child::killed_by(|| {
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    it.map.protect(RW)?;
    it.expect_steps(0..STEPS)
}

fn move_away(it: &mut Subject) -> Result<()> {
    let place = Map::anonymous(it.length(), ProtFlags::PROT_NONE)?;
    let (from, to) = (it.map.addr, place.addr);
    it.map.move_onto(place)?;
    ensure!(it.map.addr == to && to != from);
    Ok(())
}

pub(super) fn mremap_moves(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    move_away(it)?;
    ensure!(it.vmas()? == 1);
    it.expect_steps(0..STEPS)
}

pub(super) fn mremap_shrinks(it: &mut Subject) -> Result<()> {
    it.map.remap(it.step)?;
    ensure!(it.vmas()? == 1);
    it.expect_steps(0..1)
}

pub(super) fn mremap_growth_is_efault(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(it.length() / 2, it.length() / 2)?;
    it.map.length = it.length() / 2;
    ensure!(it.map.remap(it.length()) == Err(Errno::EFAULT));
    it.expect_steps(0..STEPS / 2)
}

pub(super) fn mremap_duplicate_is_refused(it: &mut Subject) -> Result<()> {
    let duplicate = it.map.duplicate();
    ensure!(duplicate == Err(Errno::EFAULT), "{duplicate:?}");
    ensure!(it.vmas()? == 1);
    Ok(())
}

/// `MREMAP_DONTUNMAP` would leave an empty VMA where the mapping was.
pub(super) fn mremap_that_leaves_a_vma_is_einval(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    let moved = it.map.move_and_leave();
    ensure!(moved == Err(Errno::EINVAL), "{moved:?}");
    ensure!(it.vmas()? == 1);
    it.expect_steps(0..STEPS)
}

/// The offset in the region comes from the file offset, not from the start of the VMA.
pub(super) fn split_then_touched(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(0, 3 * it.step)?;
    it.expect_steps(3..STEPS)
}

pub(super) fn moved_then_touched(it: &mut Subject) -> Result<()> {
    move_away(it)?;
    it.expect_steps(0..STEPS)
}

pub(super) fn dontneed(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    let advised = it.map.advise(libc::MADV_DONTNEED);
    if !it.is_counted() {
        ensure!(advised == Err(Errno::EINVAL), "{advised:?}");
        return it.expect_steps(0..STEPS);
    }
    advised?;
    if it.cell.is_lazy() {
        // The memory is not the kernel's to throw away: it is mapped again.
        return it.expect_steps(0..STEPS);
    }
    let killed = child::killed_by(|| {
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGBUS), "{killed:?}");
    ensure!(
        it.kernel_sees(3)? == value(3),
        "the memory itself was thrown away"
    );
    Ok(())
}

pub(super) fn mlock(it: &mut Subject) -> Result<()> {
    it.map.lock()?;
    it.expect_steps(0..STEPS)
}

pub(super) fn mlockall_of_the_future(it: &mut Subject) -> Result<()> {
    child::run(|| {
        mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
        it.expect_steps(0..STEPS)?;
        let map = Map::shared(&it.session, it.region.offset, it.length())?;
        ensure!((0..STEPS).all(|page| map.load(page * it.step) == value(page)));
        Ok(())
    })
}

/// Of frame numbers, the kernel says that they are in memory since Linux 7.3.
pub(super) fn mincore(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    let expected = u8::from(it.is_counted() || series::is_since(7, 3)?);
    let frames = it.map.in_core()?;
    ensure!(frames.len() == it.length() / page_bytes());
    let others = frames.iter().filter(|frames| **frames != expected).count();
    ensure!(
        others == 0,
        "{others} of {} pages: not {expected}",
        frames.len()
    );
    Ok(())
}

pub(super) fn map_populate(it: &mut Subject) -> Result<()> {
    it.map.unmap()?;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
    it.map = Map::new(&it.session, it.region.offset, it.length(), RW, flags)?;
    let faults = faults_of_loading(&it.map, it.length())?;
    it.expect_steps(0..STEPS)?;
    // The kernel does not populate what it cannot look at.
    let lazy = matches!(it.cell.method, Method::FaultPfn | Method::Huge);
    ensure!((faults > 0) == lazy, "{faults} faults");
    Ok(())
}

pub(super) fn private(it: &mut Subject) -> Result<()> {
    let private = Map::new(
        &it.session,
        it.region.offset,
        it.length(),
        RW,
        MapFlags::MAP_PRIVATE,
    );
    if !it.is_counted() {
        ensure!(private.err() == Some(Errno::EINVAL));
        return Ok(());
    }
    let private = private?;
    ensure!(private.load(it.step) == value(1));
    private.store(it.step, 77);
    private.store(3 * it.step, 78);
    ensure!(private.load(it.step) == 77 && private.load(3 * it.step) == 78);
    ensure!(
        it.kernel_sees(1)? == value(1),
        "a private store reached the region"
    );
    ensure!(
        it.kernel_sees(3)? == value(3),
        "a private store reached the region"
    );
    it.expect_steps(0..STEPS)
}

pub(super) fn execution_is_refused(it: &mut Subject) -> Result<()> {
    for prot in [ProtFlags::PROT_EXEC, RW | ProtFlags::PROT_EXEC] {
        let flags = MapFlags::MAP_SHARED;
        let mapped = Map::new(&it.session, it.region.offset, it.length(), prot, flags);
        ensure!(mapped.err() == Some(Errno::EPERM), "mmap");
        let changed = it.map.protect(prot);
        ensure!(changed == Err(Errno::EACCES), "mprotect: {changed:?}");
    }
    it.expect_steps(0..STEPS)
}

pub(super) fn sync_changes_nothing(it: &mut Subject) -> Result<()> {
    for side in [Side::Cpu, Side::Device] {
        it.session.sync(&it.region, 0, it.length() as u64, side)?;
        it.session.sync(&it.region, it.step as u64, 1, side)?;
        let beyond = it.session.sync(&it.region, 1, it.length() as u64, side);
        ensure!(beyond.is_err(), "beyond its end");
        it.expect_steps(0..STEPS)?;
    }
    Ok(())
}
