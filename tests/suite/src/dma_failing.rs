// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each allocation that a call of `/dev/mapwright-dma0` makes, failed in turn: see `failing`. Behind an
//! IOMMU, giving the device an address is among them, as it takes memory.

use crate::{
    buffer, buffer_failing,
    dma::{
        device, from_to, heap_buffer, in_sysfs, name_in_sysfs, nothing_is_left, round_trips,
        tables, wait_until, Bench, COHERENT, DRIVER, KMALLOC, PAGES, VMALLOC,
    },
    inject::{each_failure, is_available, Injector, Tally},
    runner::{Case, Suite},
};
use anyhow::{ensure, Result};
use mapwright::{
    buffer::Spec, dma_devices, page_size, Backing, Direction, Endpoint, MapCall, Method, Region,
    Session, Side,
};
use nix::{
    errno::Errno,
    poll::{poll, PollFd, PollFlags},
    sys::eventfd::EventFd,
};
use std::{cell::RefCell, fs, os::fd::AsFd as _, path::Path};

pub const SUITE: Suite = Suite {
    name: "dma.failing",
    cases,
};

/// A call, by its name.
type Call = (&'static str, fn() -> Result<Tally>);

const CALLS: &[Call] = &[
    ("open", open),
    ("info", info),
    ("create_coherent", create_coherent),
    ("transfer_coherent", || transfer(COHERENT, MapCall::Scatter)),
    ("transfer_single", || transfer(PAGES, MapCall::Single)),
    ("transfer_kmalloc", || transfer(KMALLOC, MapCall::Scatter)),
    ("transfer_list", || transfer(VMALLOC, MapCall::Scatter)),
    ("transfer_pages", || {
        transfer(VMALLOC, MapCall::ScatterPages)
    }),
    ("map_single", || dma_map(PAGES, MapCall::Single)),
    ("map_page", || dma_map(VMALLOC, MapCall::Page)),
    ("map_list", || dma_map(VMALLOC, MapCall::Scatter)),
    ("sync", sync),
    ("unmap", dma_unmap),
    ("queue", queue),
    ("export", export),
    ("import", import),
    ("transfer_import", transfer_import),
    ("enable_buffer_of_coherent", || {
        enable_buffer(Backing::Coherent)
    }),
    ("enable_buffer_of_pages", || enable_buffer(Backing::Pages)),
    ("bind", bind),
];

fn cases() -> Vec<Case> {
    if !is_available() {
        return vec![Case::new("each_allocation_of_each_call", |_| {
            Injector::new().map(drop)
        })];
    }
    if dma_devices().is_empty() {
        return vec![Case::new("each_allocation_of_each_call", |_| {
            device().map(drop)
        })];
    }
    let case = |(name, call): &Call| {
        let call = *call;
        Case::new(*name, move |context| {
            let path = device()?;
            let Tally { reported, survived } = call()?;
            context.note(format!("{reported} errors, {survived} made up for"));
            nothing_is_left(&path)?;
            round_trips(PAGES, MapCall::Scatter, &[5000])
        })
    };
    CALLS.iter().map(case).collect()
}

/// Errors of a call for which there was no memory, none to copy to or from, or no bus address.
const CLEAN: &[Errno] = &[Errno::ENOMEM, Errno::EFAULT, Errno::EIO];
/// A page and a half.
const BYTES: u64 = 6000;

/// Fails unless so many regions and mappings are there.
fn expect(path: &Path, regions: usize, mappings: u64) -> Result<()> {
    let tables = tables(path)?;
    let mapped = tables.counter("mapped") - tables.counter("unmapped");
    ensure!(
        tables.regions.len() == regions && mapped == mappings,
        "not {regions} regions and {mappings} mappings, but {mapped}: {:?}",
        tables.regions
    );
    Ok(())
}

fn open() -> Result<Tally> {
    let path = device()?;
    let open = || {
        let opened = Session::open_at(&path);
        opened.map_err(|err| err.errno().unwrap_or(Errno::UnknownErrno))
    };
    each_failure(CLEAN, open, |_| Ok(()))
}

fn info() -> Result<Tally> {
    let bench = Bench::open()?;
    each_failure(CLEAN, || bench.session.dma_info(), |_| Ok(()))
}

fn create_coherent() -> Result<Tally> {
    let bench = Bench::open()?;
    let create = || {
        let result = bench
            .session
            .create(Backing::Coherent, Method::Dma, 3 * BYTES);
        result.map_err(|err| err.errno().unwrap_or(Errno::UnknownErrno))
    };
    each_failure(CLEAN, create, |created: Option<Region>| {
        if let Some(region) = created {
            bench.session.destroy(&region)?;
        }
        expect(&bench.path, 0, 0)
    })
}

/// Two regions of a kind, the first with contents.
fn regions(bench: &Bench, kind: (Backing, Method)) -> Result<(Region, Region)> {
    let (source, target) = (bench.create(kind, BYTES)?, bench.create(kind, BYTES)?);
    bench.session.write_at(&source, BYTES - 9, b"contents!")?;
    Ok((source, target))
}

/// Fails unless the device has copied all of one to the other; and forgets it.
fn expect_copied(bench: &Bench, target: &Region) -> Result<()> {
    let mut contents = [0; 9];
    bench.session.read_at(target, BYTES - 9, &mut contents)?;
    ensure!(&contents == b"contents!", "{contents:?}");
    Ok(bench.session.write_at(target, BYTES - 9, &[0; 9])?)
}

fn transfer(kind: (Backing, Method), map_call: MapCall) -> Result<Tally> {
    let bench = Bench::open()?;
    let (source, target) = regions(&bench, kind)?;
    let mut transfer = from_to(
        Endpoint::Region(source, 0),
        Endpoint::Region(target, 0),
        BYTES,
    );
    transfer.map_call = map_call;
    each_failure(
        CLEAN,
        || bench.session.transfer(&transfer),
        |done| {
            if done.is_some() {
                expect_copied(&bench, &target)?;
            }
            expect(&bench.path, 2, 0)
        },
    )
}

fn dma_map(kind: (Backing, Method), map_call: MapCall) -> Result<Tally> {
    let bench = Bench::open()?;
    let region = bench.create(kind, BYTES)?;
    let bytes = if map_call == MapCall::Page {
        4000
    } else {
        BYTES
    };
    each_failure(
        CLEAN,
        || {
            bench
                .session
                .dma_map(&region, (0, bytes), map_call, Direction::Bidirectional)
        },
        |mapped| {
            if let Some(mapping) = mapped {
                expect(&bench.path, 1, 1)?;
                bench.session.dma_unmap(mapping.id)?;
            }
            expect(&bench.path, 1, 0)
        },
    )
}

fn sync() -> Result<Tally> {
    let bench = Bench::open()?;
    let region = bench.create(VMALLOC, BYTES)?;
    let range = (0, BYTES);
    bench
        .session
        .dma_map(&region, range, MapCall::Scatter, Direction::Bidirectional)?;
    let sync = || {
        let synced = bench.session.sync(&region, 0, BYTES, Side::Cpu);
        synced.map_err(|err| err.errno().unwrap_or(Errno::UnknownErrno))
    };
    each_failure(CLEAN, sync, |_| expect(&bench.path, 1, 1))
}

fn dma_unmap() -> Result<Tally> {
    let bench = Bench::open()?;
    let region = bench.create(VMALLOC, BYTES)?;
    let map = || {
        let range = (0, BYTES);
        let session = &bench.session;
        session.dma_map(&region, range, MapCall::Scatter, Direction::Bidirectional)
    };
    let mapping = RefCell::new(map()?);
    each_failure(
        CLEAN,
        || bench.session.dma_unmap(mapping.borrow().id),
        |done| {
            if done.is_some() {
                expect(&bench.path, 1, 0)?;
                mapping.replace(map()?);
            }
            expect(&bench.path, 1, 1)
        },
    )
}

/// What is done later is done by another task, whose allocations do not fail.
fn queue() -> Result<Tally> {
    let bench = Bench::open()?;
    let (source, target) = regions(&bench, VMALLOC)?;
    let eventfd = EventFd::new()?;
    let transfer = from_to(
        Endpoint::Region(source, 0),
        Endpoint::Region(target, 0),
        BYTES,
    );
    each_failure(
        CLEAN,
        || bench.session.queue(&transfer, 5, Some(eventfd.as_fd())),
        |done| {
            if done.is_some() {
                ensure!(eventfd.read()? == 1);
                ensure!(bench.session.done() == Ok((5, Ok(()))));
                expect_copied(&bench, &target)?;
            }
            let mut fds = [PollFd::new(bench.session.as_fd(), PollFlags::POLLIN)];
            ensure!(poll(&mut fds, 0u16)? == 0, "something is left in the queue");
            expect(&bench.path, 2, 0)
        },
    )
}

fn export() -> Result<Tally> {
    let bench = Bench::open()?;
    let bytes = 2 * page_size();
    let region = bench.create(VMALLOC, bytes)?;
    let clean = &[Errno::ENOMEM, Errno::EFAULT, Errno::ENFILE, Errno::EMFILE];
    each_failure(
        clean,
        || bench.session.export(&region, (0, bytes), true),
        |_| expect(&bench.path, 1, 0),
    )
}

fn import() -> Result<Tally> {
    let bench = Bench::open()?;
    let heap = heap_buffer(2 * page_size(), nix::libc::O_RDWR)?;
    each_failure(
        CLEAN,
        || bench.session.import(heap.as_fd()),
        |imported| match imported {
            Some(buffer) => Ok(bench.session.dma_unmap(buffer.id)?),
            None => Ok(()),
        },
    )
}

fn transfer_import() -> Result<Tally> {
    let bench = Bench::open()?;
    let (source, target) = regions(&bench, VMALLOC)?;
    let exported = bench.session.export(&target, (0, target.bytes), true)?;
    let buffer = bench.session.import(exported.as_fd())?;
    let transfer = from_to(
        Endpoint::Region(source, 0),
        Endpoint::Import(buffer, 0),
        BYTES,
    );
    each_failure(
        CLEAN,
        || bench.session.transfer(&transfer),
        |done| {
            if done.is_some() {
                expect_copied(&bench, &target)?;
            }
            expect(&bench.path, 2, 0)
        },
    )
}

/// The driver is bound to the device.
/// A buffer with a name, for the device.
fn enable_buffer(backing: Backing) -> Result<Tally> {
    let is_there = buffer::available()?;
    let tally = buffer_failing::enable(&Spec {
        bytes: 3 * page_size(),
        backing: Some(backing),
        device: Some(in_sysfs()?.display().to_string()),
        ..Spec::default()
    })?;
    buffer::nothing_is_left(&is_there)?;
    Ok(tally)
}

fn bind() -> Result<Tally> {
    let path = device()?;
    let name = name_in_sysfs()?;
    let driver = Path::new("/sys/bus/pci/drivers").join(DRIVER);
    let write = |to: &str| {
        fs::write(driver.join(to), &name)
            .map_err(|err| Errno::from_raw(err.raw_os_error().unwrap_or(0)))
    };
    write("unbind")?;
    // Whatever the kernel makes of a missing interrupt, directory or name.
    let clean = &[
        Errno::ENOMEM,
        Errno::EFAULT,
        Errno::ENOSPC,
        Errno::EBUSY,
        Errno::EIO,
        Errno::EINVAL,
        Errno::ENODEV,
    ];
    let tally = each_failure(
        clean,
        || write("bind"),
        |bound| match bound {
            Some(()) => {
                wait_until("the device node appears", || Ok(path.exists()))?;
                Ok(write("unbind")?)
            }
            None => {
                ensure!(!driver.join(&name).exists(), "it failed, but is bound");
                Ok(())
            }
        },
    );
    write("bind")?;
    wait_until("the device node appears", || Ok(path.exists()))?;
    tally
}
