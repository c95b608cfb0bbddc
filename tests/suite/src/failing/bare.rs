// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that no region of a pair belongs to: open, information, plans, and regions that `mmap` makes.

use super::{expect, far_border, region_bytes, NO_COPY};
use crate::{
    alloc::{nothing_is_left, plan_of},
    inject::{each_failure, Tally},
    raw::Map,
};
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Pattern},
    uapi,
    uapi::Request as _,
    Session, Tables, DEVICE,
};
use nix::{
    errno::Errno,
    sys::uio::{pread, pwrite},
};
use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
};

fn open_device() -> Result<File, Errno> {
    let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
    opened.map_err(|err| Errno::from_raw(err.raw_os_error().unwrap_or(0)))
}

pub(super) fn open() -> Result<Tally> {
    each_failure(NO_COPY, open_device, |_| expect(0, 0))
}

pub(super) fn info() -> Result<Tally> {
    let session = Session::open()?;
    let mut info = uapi::Info::new();
    each_failure(NO_COPY, || session.request(&mut info), |_| Ok(()))
}

/// A plan that holds what it got, and records it. Allocations of the plan itself that fail are counted;
/// of what it needs beside, they are an error.
pub(super) fn plan(allocator: Allocator) -> Result<Tally> {
    let device = AllocDevice::open()?;
    let plan = plan_of(allocator).repeated(3);
    let plan = plan.with_pattern(Pattern::Batches { batch: 2 }).holding();
    each_failure(
        NO_COPY,
        || {
            device
                .record(&plan, 3)
                .map_err(|err| err.errno().unwrap_or(Errno::EIO))
        },
        |done| {
            if let Some((report, objects)) = done {
                let tried = report.allocated + report.failed_memory;
                ensure!(tried == 3, "{report:?}");
                ensure!(objects.len() as u64 == report.allocated, "{objects:?}");
            }
            device.release()?;
            nothing_is_left()
        },
    )
}

/// A new session for each time, as its default region is only made once.
fn bare(call: impl Fn(&File) -> Result<Option<Map>, Errno>) -> Result<Tally> {
    let file = RefCell::new(open_device()?);
    each_failure(
        NO_COPY,
        || call(&file.borrow()),
        |done| {
            let vmas = match &done {
                Some(Some(map)) => {
                    map.store(map.length - 1, 7);
                    1
                }
                _ => 0,
            };
            let regions = Tables::read()?.regions.len();
            ensure!(done.is_none() || regions == 1, "{regions} regions");
            expect(regions, vmas)?;
            drop(done);
            file.replace(open_device()?);
            expect(0, 0)
        },
    )
}

pub(super) fn bare_mmap() -> Result<Tally> {
    bare(|file| Map::shared_at(file, far_border(), 0, region_bytes()).map(Some))
}

pub(super) fn bare_read() -> Result<Tally> {
    bare(|file| pread(file, &mut [0; 64], 0).map(|_| None))
}

pub(super) fn bare_write() -> Result<Tally> {
    bare(|file| pwrite(file, &[1; 64], 0).map(|_| None))
}

/// A region that does not grow stays as it is.
pub(super) fn bare_growth() -> Result<Tally> {
    let prepared = || -> Result<File> {
        let file = open_device()?;
        ensure!(pwrite(&file, b"x", 0)? == 1);
        Ok(file)
    };
    let file = RefCell::new(prepared()?);
    each_failure(
        NO_COPY,
        || Map::shared_at(&*file.borrow(), far_border(), 0, 2 << 20),
        |done| {
            expect(1, done.is_some().into())?;
            drop(done);
            let mut contents = [0];
            pread(&*file.borrow(), &mut contents, 0)?;
            ensure!(&contents == b"x", "the byte is lost");
            file.replace(prepared()?);
            Ok(())
        },
    )
}
