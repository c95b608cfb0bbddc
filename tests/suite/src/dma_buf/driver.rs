// SPDX-License-Identifier: MIT OR Apache-2.0

//! A driver in the kernel that imports exported memory.

use super::Shared;
use crate::{
    camera::Camera,
    cells::Cell,
    child,
    graphics::Graphics,
    importer::Importer,
    raw::{Map, RW},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_bytes, page_size};
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags},
};
use std::os::fd::AsFd as _;

pub(super) fn to_be_read_only(cell: Cell) -> Result<()> {
    let Some(it) = Shared::new(cell, false)? else {
        return Ok(());
    };
    it.session.write_at(&it.region, page_size(), b"text")?;
    let writable = Map::shared(&it.file, 0, page_bytes()).err();
    ensure!(writable == Some(Errno::EACCES), "{writable:?}");
    let map = Map::new(
        &it.file,
        0,
        page_bytes(),
        ProtFlags::PROT_READ,
        MapFlags::MAP_SHARED,
    )?;
    ensure!(map.load(0) == b't');
    ensure!(map.protect(RW) == Err(Errno::EACCES));
    // Nobody in the kernel gets an address to store to.
    if let Ok(mut camera) = Camera::open() {
        let captured = camera.capture(&[it.file.as_fd(), it.file.as_fd()]);
        let errno = captured.err().and_then(|err| err.downcast::<Errno>().ok());
        ensure!(errno == Some(Errno::EFAULT), "a camera: {errno:?}");
    }
    // What gives its file back does not make it another one.
    if let Ok(graphics) = Graphics::open() {
        let object = graphics.import(it.file.as_fd())?;
        let again = graphics.export(object)?;
        let writable = Map::shared(&again, 0, page_bytes()).err();
        ensure!(writable == Some(Errno::EACCES), "graphics: {writable:?}");
        graphics.close(object)?;
    }
    let mut contents = [0; 4];
    it.session.read_at(&it.region, page_size(), &mut contents)?;
    ensure!(&contents == b"text", "{contents:?}");
    Ok(())
}

/// `dma_buf_mmap()`, which a graphics driver calls with a VMA that has its own operations and memory type.
pub(super) fn a_driver_maps_it_into_programs(cell: Cell) -> Result<()> {
    let Some(it) = Shared::new(cell, true)? else {
        return Ok(());
    };
    let driver = Importer::new(it.file.as_fd())?;
    let before = driver.calls()?;
    let mut map = Map::shared(&driver, 0, it.bytes)?;
    for at in (0..it.bytes).step_by(page_bytes()) {
        map.store(at + 9, (at / page_bytes()) as u8 + 1);
    }
    let contents = it.bytes()?;
    let stored = |at: usize| contents[at + 9] == (at / page_bytes()) as u8 + 1;
    ensure!(
        (0..it.bytes).step_by(page_bytes()).all(stored),
        "stores are lost"
    );
    child::run(|| {
        ensure!(map.load(9) == 1);
        Ok(())
    })?;
    map.unmap_part(page_bytes(), page_bytes())?;
    ensure!(map.load(2 * page_bytes() + 9) == 3);
    ensure!(it.session.query(&it.region)?.vmas == 2);
    map.unmap()?;
    ensure!(it.session.query(&it.region)?.vmas == 0);
    let beyond = Map::shared(&driver, page_size(), it.bytes).err();
    ensure!(beyond == Some(Errno::EINVAL), "{beyond:?}");
    let exec = RW | ProtFlags::PROT_EXEC;
    let refused = Map::new(&driver, 0, page_bytes(), exec, MapFlags::MAP_SHARED).err();
    ensure!(refused == Some(Errno::EPERM), "{refused:?}");
    // A VMA of another kind cannot become one of this.
    driver.make_kind()?;
    let refused = Map::shared(&driver, 0, page_bytes()).err();
    ensure!(refused == Some(Errno::EINVAL), "{refused:?}");
    ensure!(
        driver.calls()? == before,
        "the driver's own operations were called"
    );

    // The driver's file can be written, the buffer cannot.
    let it = Shared::new(cell, false)?.context("it could be exported to be written")?;
    let driver = Importer::new(it.file.as_fd())?;
    let writable = Map::shared(&driver, 0, page_bytes()).err();
    ensure!(writable == Some(Errno::EACCES), "{writable:?}");
    let map = Map::new(
        &driver,
        0,
        page_bytes(),
        ProtFlags::PROT_READ,
        MapFlags::MAP_SHARED,
    )?;
    ensure!(map.load(0) == 0);
    ensure!(map.protect(RW) == Err(Errno::EACCES));
    Ok(())
}

pub(super) fn a_driver_maps_it_into_the_kernel(cell: Cell) -> Result<()> {
    let Some(it) = Shared::new(cell, true)? else {
        return Ok(());
    };
    let driver = Importer::new(it.file.as_fd())?;
    for byte in [3, 4] {
        driver.fill(byte)?;
        ensure!(
            it.bytes()?.iter().all(|stored| *stored == byte),
            "{byte} is not everywhere"
        );
    }
    let mut before = vec![1; page_bytes()];
    it.session.read_at(&it.region, 0, &mut before)?;
    ensure!(
        before.iter().all(|byte| *byte == 0),
        "something was stored before it"
    );
    // The driver keeps the memory.
    it.session.destroy(&it.region)?;
    drop(it);
    driver.fill(5)?;

    let it = Shared::new(cell, false)?.context("it could be exported to be written")?;
    let driver = Importer::new(it.file.as_fd())?;
    let refused = driver.fill(6);
    ensure!(refused == Err(Errno::EINVAL), "{refused:?}");
    Ok(())
}

/// Each finds all of the buffer within its reach, or is told at once that it does not.
pub(super) fn devices_of_all_kinds(cell: Cell) -> Result<()> {
    for writable in [true, false] {
        let Some(it) = Shared::new(cell, writable)? else {
            return Ok(());
        };
        let driver = Importer::new(it.file.as_fd())?;
        for bits in [64, 40, 32, 28] {
            for to_write in [false, true] {
                let given = driver.give(bits, to_write);
                let expected = match to_write && !writable {
                    true => Err(Errno::EACCES),
                    false => Ok(()),
                };
                // Memory may be beyond so few bits, and some machines take no such device.
                let beyond = bits == 28 && matches!(given, Err(Errno::EADDRNOTAVAIL | Errno::EIO));
                ensure!(
                    given == expected || beyond,
                    "{bits} bits, writes: {to_write}: {given:?}"
                );
            }
        }
    }
    Ok(())
}
