// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of a mapping: forks, splits, moves, deaths.

use crate::{
    child,
    raw::Map,
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{Backing, Method, Region, Session, Tables};
use nix::{
    sys::{
        mman::ProtFlags,
        signal::{kill, raise, Signal},
        wait::waitpid,
    },
    unistd::pipe,
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
};

suite! { "life":
    fork_shares_the_memory,
    a_forked_mapping_outlives_the_parent_s,
    munmap_of_a_half_keeps_the_other,
    munmap_of_the_middle,
    mprotect_of_a_part,
    mremap_moves_the_mapping,
    mremap_shrinks_the_mapping,
    beyond_an_unmapped_half_is_sigsegv,
    exit_frees_everything,
    kill_9_frees_everything,
}

/// Runs `f` on a mapping of a fresh region of four pages of each pair.
fn on_each_pair(f: impl Fn(&Session, &Region, Map) -> Result<()>) -> Result<()> {
    for (backing, method) in [(Backing::Pages, Method::Remap), (Backing::Vmalloc, Method::Insert)] {
        let session = Session::open()?;
        let region = session.create(backing, method, 16384)?;
        let map = Map::shared(&session, region.offset, 16384)?;
        (0..4).for_each(|page| map.store(page * 4096, 10 + page as u8));
        f(&session, &region, map)?;
        ensure!(session.query(&region)?.vmas == 0, "VMAs left");
    }
    Ok(())
}

fn vmas(session: &Session, region: &Region) -> Result<u64> {
    Ok(session.query(region)?.vmas)
}

fn fork_shares_the_memory(_: &Context) -> Result<()> {
    on_each_pair(|session, region, map| {
        child::run(|| {
            ensure!(map.load(4096) == 11, "the child does not see the parent's store");
            ensure!(vmas(session, region)? == 2);
            map.store(8192, 99);
            Ok(())
        })?;
        ensure!(map.load(8192) == 99, "the parent does not see the child's store");
        ensure!(vmas(session, region)? == 1);
        Ok(())
    })
}

fn a_forked_mapping_outlives_the_parent_s(_: &Context) -> Result<()> {
    on_each_pair(|session, region, map| {
        let (reader, writer) = pipe()?;
        let child = child::spawn(|| {
            File::from(reader.try_clone()?).read_exact(&mut [0])?;
            ensure!(map.load(0) == 10, "freed with the parent's mapping");
            map.store(0, 20);
            Ok(())
        })?;
        drop(map);
        ensure!(vmas(session, region)? == 1);
        File::from(writer).write_all(&[1])?;
        let status = waitpid(child, None)?;
        ensure!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
        let mut seen = [0];
        session.read_at(region, 0, &mut seen)?;
        ensure!(seen == [20]);
        Ok(())
    })
}

fn munmap_of_a_half_keeps_the_other(_: &Context) -> Result<()> {
    on_each_pair(|session, region, map| {
        map.unmap_part(0, 8192)?;
        ensure!(vmas(session, region)? == 1);
        ensure!(map.load(8192) == 12 && map.load(12288) == 13);
        ensure!(session.destroy(region).is_err(), "destroyed under half a mapping");
        Ok(())
    })
}

fn munmap_of_the_middle(_: &Context) -> Result<()> {
    on_each_pair(|session, region, map| {
        map.unmap_part(4096, 8192)?;
        ensure!(vmas(session, region)? == 2, "a split is two VMAs");
        ensure!(map.load(0) == 10 && map.load(12288) == 13);
        Ok(())
    })
}

fn mprotect_of_a_part(_: &Context) -> Result<()> {
    on_each_pair(|session, region, map| {
        map.protect_part(4096, 4096, ProtFlags::PROT_READ)?;
        ensure!(vmas(session, region)? == 3, "a split is three VMAs");
        ensure!(map.load(4096) == 11);
        map.store(8192, 5);
        let killed = child::killed_by(|| {
            map.store(4096, 1);
            Ok(())
        })?;
        ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
        Ok(())
    })
}

fn mremap_moves_the_mapping(_: &Context) -> Result<()> {
    on_each_pair(|session, region, mut map| {
        let place = Map::anonymous(16384, ProtFlags::PROT_NONE)?;
        let (from, to) = (map.addr, place.addr);
        map.move_onto(place)?;
        ensure!(map.addr == to && to != from);
        ensure!((0..4).all(|page| map.load(page * 4096) == 10 + page as u8));
        ensure!(vmas(session, region)? == 1);
        Ok(())
    })
}

fn mremap_shrinks_the_mapping(_: &Context) -> Result<()> {
    on_each_pair(|session, region, mut map| {
        map.remap(4096)?;
        ensure!(map.load(0) == 10);
        ensure!(vmas(session, region)? == 1);
        Ok(())
    })
}

fn beyond_an_unmapped_half_is_sigsegv(_: &Context) -> Result<()> {
    on_each_pair(|_, _, map| {
        map.unmap_part(8192, 8192)?;
        let killed = child::killed_by(|| {
            map.load(8192);
            Ok(())
        })?;
        ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
        Ok(())
    })
}

/// Makes and maps a region, and leaves it to the kernel to clean up.
fn make_a_mess() -> Result<()> {
    let session = Session::open()?;
    for (backing, method) in [(Backing::Pages, Method::Remap), (Backing::Vmalloc, Method::Insert)] {
        let region = session.create(backing, method, 1 << 20)?;
        let map = Map::shared(&session, region.offset, 1 << 20)?;
        map.store(0, 1);
        std::mem::forget(map);
    }
    std::mem::forget(session);
    Ok(())
}

fn exit_frees_everything(_: &Context) -> Result<()> {
    child::run(make_a_mess)?;
    ensure!(Tables::read()?.live_pages() == 0);
    Ok(())
}

fn kill_9_frees_everything(_: &Context) -> Result<()> {
    let killed = child::killed_by(|| {
        make_a_mess()?;
        raise(Signal::SIGKILL)?;
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGKILL), "{killed:?}");
    ensure!(Tables::read()?.live_pages() == 0);

    // Killed by somebody else in the middle of a loop.
    for _ in 0..10 {
        let child = child::spawn(|| loop {
            let session = Session::open()?;
            let region = session.create(Backing::Vmalloc, Method::Insert, 256 << 10)?;
            Map::shared(&session, region.offset, 256 << 10)?.store(0, 1);
        })?;
        std::thread::sleep(std::time::Duration::from_millis(20));
        kill(child, Signal::SIGKILL)?;
        waitpid(child, None)?;
    }
    ensure!(Tables::read()?.live_pages() == 0);
    Ok(())
}
