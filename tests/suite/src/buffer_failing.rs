// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each allocation that making and using a buffer with a name takes, failed in turn: see `failing`.

use crate::{
    buffer::{available, make, nothing_is_left, of_pages, open, Made},
    inject::{each_failure, is_available, Injector, Tally},
    raw::Map,
    runner::{Case, Context, Suite},
};
use anyhow::{ensure, Result};
use mapwright::{
    buffer::{NamedBuffer, Spec},
    page_bytes, page_size, Backing, Region, Session,
};
use nix::{errno::Errno, libc};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
};

pub const SUITE: Suite = Suite {
    name: "failing.buffer",
    cases,
};

/// A call, by its name.
type Call = (&'static str, fn() -> Result<Tally>);

const CALLS: &[Call] = &[
    ("mkdir", mkdir),
    ("enable_pages", || enable(&of(Backing::Pages))),
    ("enable_vmalloc", || enable(&of(Backing::Vmalloc))),
    ("enable_coherent", || enable(&of(Backing::Coherent))),
    ("disable", disable),
    ("revoke", revoke),
    ("open", open_it),
    ("mmap", mmap),
    ("read", read),
    ("attribute", attribute),
    ("export", export),
];

fn cases() -> Vec<Case> {
    if !is_available() {
        return vec![Case::new("each_allocation_of_each_call", |_: &Context| {
            Injector::new().map(drop)
        })];
    }
    let case = |(name, call): &Call| {
        let call = *call;
        Case::new(*name, move |context: &Context| {
            let is_there = available()?;
            let Tally { reported, survived } = call()?;
            context.note(format!("{reported} errors, {survived} made up for"));
            nothing_is_left(&is_there)?;
            // The next one works.
            let owned = make("next", &of_pages(3))?;
            let file = open(&owned.0)?;
            Map::shared(&file, 0, page_bytes())?.store(0, 1);
            drop(file);
            Ok(owned.0.remove(false)?)
        })
    };
    CALLS.iter().map(case).collect()
}

/// Errors of a call for which there was no memory, or none to copy to or from.
const CLEAN: &[Errno] = &[Errno::ENOMEM, Errno::EFAULT];

fn errno_of(err: &std::io::Error) -> Errno {
    err.raw_os_error()
        .map_or(Errno::UnknownErrno, Errno::from_raw)
}

fn of_io<T>(result: std::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|err| errno_of(&err))
}

fn mkdir() -> Result<Tally> {
    let buffer = NamedBuffer::new("mkdir");
    let path = buffer.config();
    each_failure(
        CLEAN,
        || of_io(fs::create_dir(&path)),
        |done| {
            if done.is_some() {
                fs::remove_dir(&path)?;
            }
            ensure!(!path.exists(), "a directory is left");
            Ok(())
        },
    )
}

fn of(backing: Backing) -> Spec {
    Spec {
        backing: Some(backing),
        ..of_pages(33)
    }
}

/// A buffer that is set up, and not enabled.
fn set_up(spec: &Spec) -> Result<Made> {
    let owned = make("failing", spec)?;
    owned.0.set("enabled", "0")?;
    Ok(owned)
}

/// Writes a word to an open attribute: with no allocation of this program's.
fn store(file: &File, word: &[u8]) -> Result<(), Errno> {
    of_io(file.write_all_at(word, 0))
}

/// An attribute, open for writing. Each call of the test writes to a fresh one.
fn enabled(owned: &Made) -> Result<File> {
    let path = owned.0.config().join("enabled");
    Ok(OpenOptions::new().write(true).open(path)?)
}

/// Enables a buffer, with each allocation failed in turn.
pub fn enable(spec: &Spec) -> Result<Tally> {
    let owned = set_up(spec)?;
    let tally = each_failure(
        CLEAN,
        || {
            let file = of_io(
                OpenOptions::new()
                    .write(true)
                    .open(owned.0.config().join("enabled")),
            )?;
            store(&file, b"1")
        },
        |done| {
            ensure!(owned.0.setting("enabled")? == if done.is_some() { "1" } else { "0" });
            if done.is_some() {
                ensure!(owned.0.sysfs().exists());
                owned.0.set("enabled", "0")?;
            }
            ensure!(!owned.0.sysfs().exists(), "the device is left");
            Ok(())
        },
    )?;
    drop(owned);
    Ok(tally)
}

/// Writes `word` to `enabled` of one that is enabled.
fn disabled_by(word: &'static [u8]) -> Result<Tally> {
    let owned = set_up(&of(Backing::Pages))?;
    owned.0.set("enabled", "1")?;
    let file = std::cell::RefCell::new(enabled(&owned)?);
    each_failure(
        CLEAN,
        || store(&file.borrow(), word),
        |done| {
            if done.is_some() {
                ensure!(owned.0.setting("enabled")? == "0");
                owned.0.set("enabled", "1")?;
            }
            ensure!(owned.0.setting("enabled")? == "1");
            *file.borrow_mut() = enabled(&owned)?;
            Ok(())
        },
    )
}

fn disable() -> Result<Tally> {
    disabled_by(b"0")
}

fn revoke() -> Result<Tally> {
    disabled_by(b"revoke")
}

fn open_it() -> Result<Tally> {
    let owned = make("open", &of_pages(1))?;
    let path = owned.0.node();
    each_failure(CLEAN, || of_io(File::open(&path)), |_| Ok(()))
}

fn mmap() -> Result<Tally> {
    let owned = make("mmap", &of_pages(40))?;
    let file = open(&owned.0)?;
    each_failure(
        CLEAN,
        || Map::shared(&file, 0, 40 * page_bytes()),
        |map| {
            if let Some(map) = map {
                map.store(39 * page_bytes(), 1);
            }
            Ok(())
        },
    )
}

fn read() -> Result<Tally> {
    let owned = make("read", &of_pages(4))?;
    let file = open(&owned.0)?;
    let mut contents = vec![0; 4 * page_bytes()];
    each_failure(CLEAN, || of_io(file.read_at(&mut contents, 0)), |_| Ok(()))
}

fn attribute() -> Result<Tally> {
    let owned = make("attribute", &of_pages(4))?;
    let path = owned.0.sysfs().join("phys_addr");
    let mut text = [0; 32];
    each_failure(
        CLEAN,
        || of_io(File::open(&path).and_then(|file| file.read_at(&mut text, 0))),
        |_| Ok(()),
    )
}

fn export() -> Result<Tally> {
    let owned = make("export", &of_pages(4))?;
    let session = Session::from(open(&owned.0)?);
    let region = Region {
        id: 0,
        offset: 0,
        bytes: 4 * page_size(),
    };
    each_failure(
        CLEAN,
        || session.export(&region, (0, page_size()), true),
        |exported| {
            let Some(exported) = exported else {
                return Ok(());
            };
            // SAFETY: Nothing is mapped there that anybody uses.
            let size = unsafe {
                libc::lseek(
                    std::os::fd::AsRawFd::as_raw_fd(&exported),
                    0,
                    libc::SEEK_END,
                )
            };
            ensure!(size as usize == page_bytes());
            Ok(())
        },
    )
}
