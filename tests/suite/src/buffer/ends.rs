// SPDX-License-Identifier: MIT OR Apache-2.0

//! What keeps a buffer, and what becomes of its mappings when it is revoked.

use super::{errno, io_errno, make, making::with_parameters, of_pages, open, MODULE};
use crate::{
    cells::Cell,
    child,
    module::{remove_named, wait_for},
    raw::Map,
    runner::Context,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    buffer::{NamedBuffer, Spec, CONFIG},
    page_bytes, page_size, uapi,
    uapi::Request as _,
    Session,
};
use nix::{
    errno::Errno,
    mount::{mount, umount, MsFlags},
    sys::{
        signal::Signal,
        stat::{mknod, Mode, SFlag},
        wait::waitpid,
    },
    unistd::{lseek, pipe, read, write, Whence},
};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

pub(super) fn holds_the_module(context: &Context) -> Result<()> {
    with_parameters(context, c"buffers=held:64K", || {
        let held = NamedBuffer::new("held");
        wait_for("the device node", || held.node().exists())?;
        let file = open(&held)?;
        let busy = |what: &str| -> Result<()> {
            let removed = remove_named(MODULE);
            ensure!(removed == Err(Errno::EAGAIN), "{what}: {removed:?}");
            Ok(())
        };
        busy("a file is open")?;
        let map = Map::shared(&file, 0, page_bytes())?;
        drop(file);
        busy("it is mapped")?;
        drop(map);
        fs::create_dir(Path::new(CONFIG).join("unused"))?;
        let directory = busy("a directory is there");
        fs::remove_dir(Path::new(CONFIG).join("unused"))?;
        directory
    })
}

pub(super) fn stays_while_it_is_used(_: &Context) -> Result<()> {
    let owned = make("used", &of_pages(2))?;
    let buffer = &owned.0;
    let busy = |what: &str| -> Result<()> {
        ensure!(errno(buffer.remove(false)) == Some(Errno::EBUSY), "{what}");
        ensure!(buffer.setting("enabled")? == "1");
        Ok(())
    };
    let file = open(buffer)?;
    busy("a file is open")?;
    let map = Map::shared(&file, 0, page_bytes())?;
    drop(file);
    busy("it is mapped")?;
    map.store(0, 1);
    drop(map);
    Ok(buffer.remove(false)?)
}

/// Whether the byte is there: a load of a page that is not is a SIGBUS.
pub fn is_bus_error(map: &Map, at: usize) -> Result<bool> {
    let signal = child::killed_by(|| {
        std::hint::black_box(map.load(at));
        Ok(())
    })?;
    Ok(signal == Some(Signal::SIGBUS))
}

pub(super) fn is_shared_and_revoked(cell: Cell) -> Result<()> {
    let pages = 40;
    let spec = Spec {
        backing: Some(cell.backing),
        method: Some(cell.method),
        caching: Some(cell.caching),
        ..of_pages(pages)
    };
    let owned = make("cell", &spec)?;
    let buffer = &owned.0;
    let (one, other) = (open(buffer)?, open(buffer)?);
    let bytes = pages as usize * page_bytes();
    let (first, second) = (
        Map::shared(&one, 0, bytes)?,
        Map::shared(&other, page_size(), bytes - page_bytes())?,
    );
    for page in 1..pages as usize {
        first.store(page * page_bytes(), page as u8);
    }
    let mut contents = [0];
    for page in 1..pages as usize {
        ensure!(
            second.load((page - 1) * page_bytes()) == page as u8,
            "page {page}"
        );
        other.read_exact_at(&mut contents, page as u64 * page_size())?;
        ensure!(contents == [page as u8], "page {page} by read(2)");
    }
    // One that nobody has touched.
    let late = Map::shared(&one, 0, bytes)?;
    ensure!(errno(buffer.remove(false)) == Some(Errno::EBUSY));
    buffer.remove(true)?;
    for (name, map) in [("first", &first), ("second", &second), ("late", &late)] {
        ensure!(
            is_bus_error(map, page_bytes())?,
            "the {name} mapping is still there"
        );
    }
    ensure!(Map::shared(&one, 0, page_bytes()).err() == Some(Errno::ENODEV));
    ensure!(io_errno(one.read_at(&mut contents, 0)) == Some(Errno::ENODEV));
    ensure!(io_errno(one.write_at(&contents, 0)) == Some(Errno::ENODEV));
    let mut query = uapi::Query::new();
    ensure!(Session::from(one).request(&mut query) == Err(Errno::ENODEV));
    ensure!(lseek(&other, 0, Whence::SeekEnd) == Err(Errno::ENODEV));
    // A new one of the same name is another.
    let again = make("cell", &spec)?;
    let file = open(&again.0)?;
    file.read_exact_at(&mut contents, page_size())?;
    ensure!(contents == [0]);
    ensure!(io_errno(other.read_at(&mut contents, 0)) == Some(Errno::ENODEV));
    Ok(())
}

pub(super) fn is_revoked_from_a_container(_: &Context) -> Result<()> {
    let owned = make("container", &of_pages(4))?;
    let device = fs::metadata(owned.0.node())?.rdev();
    let dir = Path::new("/tmp/mapwright-container");
    fs::create_dir_all(dir)?;
    let none: Option<&str> = None;
    mount(Some("none"), dir, Some("tmpfs"), MsFlags::empty(), none)?;
    let node = dir.join("node");
    mknod(
        &node,
        SFlag::S_IFCHR,
        Mode::from_bits_truncate(0o600),
        device,
    )?;
    let theirs = OpenOptions::new().read(true).write(true).open(&node)?;
    let ours = open(&owned.0)?;
    let map = Map::shared(&theirs, 0, 4 * page_bytes())?;
    let mine = Map::shared(&ours, 0, 4 * page_bytes())?;
    map.store(page_bytes(), 5);
    ensure!(mine.load(page_bytes()) == 5);
    drop((mine, ours));
    owned.0.remove(true)?;
    ensure!(
        is_bus_error(&map, page_bytes())?,
        "the container still has it"
    );
    drop((map, theirs));
    umount(dir).context("the file system of the node is busy")?;
    Ok(fs::remove_dir(dir)?)
}

pub(super) fn a_forked_mapping_is_revoked(_: &Context) -> Result<()> {
    let owned = make("forked", &of_pages(2))?;
    let file = open(&owned.0)?;
    let map = Map::shared(&file, 0, 2 * page_bytes())?;
    map.store(0, 1);
    let ((ready, tell), (go, let_go)) = (pipe()?, pipe()?);
    let child = child::spawn(|| {
        map.store(page_bytes(), 2);
        write(&tell, &[1])?;
        read(&go, &mut [0])?;
        std::hint::black_box(map.load(0));
        Ok(())
    })?;
    read(&ready, &mut [0])?;
    owned.0.remove(true)?;
    write(&let_go, &[1])?;
    let status = waitpid(child, None)?;
    let is_killed = matches!(
        status,
        nix::sys::wait::WaitStatus::Signaled(_, Signal::SIGBUS, _)
    );
    ensure!(is_killed, "{status:?}");
    Ok(())
}
