// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device node of a buffer as a file: mapped, read, written, exported, whoever has it open.

use super::{errno, io_errno, make, of_pages, open};
use crate::{child, raw::Map, runner::Context};
use anyhow::{ensure, Result};
use mapwright::{
    buffer::Spec, page_bytes, page_size, uapi, uapi::Request as _, Backing, Method, Region, Session,
};
use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::{MapFlags, ProtFlags},
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::{fsync, lseek, pipe, read, write, Whence},
};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
};

pub(super) fn two_programs_share_it(_: &Context) -> Result<()> {
    let owned = make("shared", &of_pages(4))?;
    let (node, beyond) = (owned.0.node(), page_bytes() + 5);
    child::run(|| {
        let file = OpenOptions::new().read(true).write(true).open(&node)?;
        Map::shared(&file, 0, 4 * page_bytes())?.store(beyond, 42);
        Ok(())
    })?;
    child::run(|| {
        let file = File::open(&node)?;
        let map = Map::new(
            &file,
            0,
            4 * page_bytes(),
            ProtFlags::PROT_READ,
            MapFlags::MAP_SHARED,
        )?;
        ensure!(map.load(beyond) == 42, "the other program's byte is gone");
        Ok(())
    })?;
    owned.0.remove(false)?;
    Ok(())
}

pub(super) fn outlives_a_killed_program(_: &Context) -> Result<()> {
    let owned = make("killed", &of_pages(2))?;
    let (ready, tell) = pipe()?;
    let child = child::spawn(|| {
        let file = open(&owned.0)?;
        let map = Map::shared(&file, 0, page_bytes())?;
        map.store(0, 9);
        write(&tell, &[1])?;
        loop {
            std::thread::park();
        }
    })?;
    read(&ready, &mut [0])?;
    ensure!(errno(owned.0.remove(false)) == Some(Errno::EBUSY));
    kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    let file = open(&owned.0)?;
    let mut contents = [0];
    file.read_exact_at(&mut contents, 0)?;
    ensure!(contents == [9]);
    drop(file);
    Ok(owned.0.remove(false)?)
}

pub(super) fn seeks_to_its_end(_: &Context) -> Result<()> {
    // Sizes are rounded up to pages.
    let owned = make(
        "end",
        &Spec {
            bytes: 3 * page_size() - 1,
            ..Spec::default()
        },
    )?;
    let file = open(&owned.0)?;
    ensure!(lseek(&file, 0, Whence::SeekEnd)? as u64 == 3 * page_size());
    ensure!(lseek(&file, -5, Whence::SeekCur)? as u64 == 3 * page_size() - 5);
    ensure!(lseek(&file, 7, Whence::SeekSet)? == 7);
    ensure!(lseek(&file, -1, Whence::SeekSet) == Err(Errno::EINVAL));
    ensure!(owned.0.attribute("size")? == (3 * page_size()).to_string());
    Ok(())
}

pub(super) fn reads_and_writes_to_its_end(_: &Context) -> Result<()> {
    let owned = make("bytes", &of_pages(2))?;
    let file = open(&owned.0)?;
    let end = 2 * page_size();
    ensure!(file.write_at(b"abc", end - 2)? == 2);
    ensure!(io_errno(file.write_at(b"c", end)) == Some(Errno::ENOSPC));
    ensure!(io_errno(file.write_at(b"c", end + 9)) == Some(Errno::ENOSPC));
    let mut contents = [0; 8];
    ensure!(file.read_at(&mut contents, end - 2)? == 2 && contents.starts_with(b"ab\0"));
    ensure!(file.read_at(&mut contents, end)? == 0 && file.read_at(&mut contents, end + 9)? == 0);
    ensure!(std::io::copy(&mut &file, &mut std::io::sink())? == end);
    Ok(())
}

pub(super) fn maps_at_any_page(_: &Context) -> Result<()> {
    let owned = make("pages", &of_pages(5))?;
    let file = open(&owned.0)?;
    for page in 0..5u64 {
        file.write_all_at(&[page as u8 + 1], page * page_size())?;
    }
    for page in 0..5u64 {
        let map = Map::shared(
            &file,
            page * page_size(),
            (5 - page as usize) * page_bytes(),
        )?;
        ensure!(map.load(0) == page as u8 + 1, "at page {page}");
    }
    for (page, pages) in [(0, 6), (4, 2), (5, 1)] {
        let map = Map::shared(&file, page * page_size(), pages * page_bytes());
        ensure!(
            map.err() == Some(Errno::EINVAL),
            "{pages} pages from {page} on"
        );
    }
    let executable = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
    let map = Map::new(&file, 0, page_bytes(), executable, MapFlags::MAP_SHARED);
    ensure!(map.err() == Some(Errno::EPERM));
    Ok(())
}

pub(super) fn fsync_succeeds(_: &Context) -> Result<()> {
    let owned = make("fsync", &of_pages(1))?;
    let file = open(&owned.0)?;
    fsync(&file)?;
    let map = Map::shared(&file, 0, page_bytes())?;
    // SAFETY: Of what is mapped.
    let flushed = unsafe { libc::msync(map.addr as *mut _, map.length, libc::MS_SYNC) };
    Errno::result(flushed)?;
    Ok(())
}

pub(super) fn is_queried_and_exported(_: &Context) -> Result<()> {
    let owned = make("export", &of_pages(3))?;
    let session = Session::from(open(&owned.0)?);
    let mut query = uapi::Query::new();
    session.request(&mut query)?;
    ensure!((query.offset, query.bytes) == (0, 3 * page_size()));
    ensure!(query.backing == Backing::Pages.number() && query.dma_addr == uapi::NO_DMA_ADDR);
    let region = Region {
        id: query.id,
        offset: 0,
        bytes: query.bytes,
    };
    let pages = session.pages(&region, 0, 3)?;
    ensure!(pages.len() == 3 && pages.iter().all(|page| page.pfn != 0));
    session.sync(&region, 0, query.bytes, mapwright::Side::Cpu)?;
    let info = session.info()?;
    ensure!(info.default_backing == query.backing && info.default_method == query.method);

    // The number 0 is the buffer, too.
    for id in [region.id, 0] {
        let region = Region { id, ..region };
        let exported = session.export(&region, (page_size(), page_size()), true)?;
        let map = Map::shared(&exported, 0, page_bytes())?;
        map.store(3, 11);
        let mut contents = [0];
        session.read_at(&region, page_size() + 3, &mut contents)?;
        ensure!(contents == [11]);
        session.write_at(&region, page_size() + 3, &[0])?;
    }
    let other = Region {
        id: region.id + 1,
        ..region
    };
    ensure!(errno(session.query(&other)) == Some(Errno::ENOENT));
    // What was exported keeps the memory.
    let exported = session.export(&region, (0, page_size()), true)?;
    let map = Map::shared(&exported, 0, page_bytes())?;
    drop(session);
    ensure!(
        errno(owned.0.remove(false)) == Some(Errno::EBUSY),
        "it is mapped by way of the DMA-buf"
    );
    drop(map);
    owned.0.remove(false)?;
    let map = Map::shared(&exported, 0, page_bytes())?;
    map.store(0, 1);
    ensure!(map.load(0) == 1);
    Ok(())
}

pub(super) fn makes_no_regions(_: &Context) -> Result<()> {
    let owned = make("one", &of_pages(1))?;
    let session = Session::from(open(&owned.0)?);
    let created = session.create(Backing::Pages, Method::Remap, page_size());
    ensure!(errno(created) == Some(Errno::ENOTTY));
    let region = Region {
        id: 0,
        offset: 0,
        bytes: page_size(),
    };
    ensure!(errno(session.destroy(&region)) == Some(Errno::ENOTTY));
    Ok(())
}

pub(super) fn a_reader_cannot_write(_: &Context) -> Result<()> {
    let owned = make("reader", &of_pages(1))?;
    let file = File::open(owned.0.node())?;
    ensure!(Map::shared(&file, 0, page_bytes()).err() == Some(Errno::EACCES));
    ensure!(io_errno(file.write_at(b"x", 0)) == Some(Errno::EBADF));
    let session = Session::from(file);
    let region = Region {
        id: 0,
        offset: 0,
        bytes: page_size(),
    };
    let exported = session.export(&region, (0, page_size()), true);
    ensure!(exported.err() == Some(Errno::EBADF));
    let exported = session.export(&region, (0, page_size()), false)?;
    ensure!(Map::shared(&exported, 0, page_bytes()).is_err());
    Ok(())
}
