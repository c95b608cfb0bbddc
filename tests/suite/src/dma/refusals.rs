// SPDX-License-Identifier: MIT OR Apache-2.0

//! Transfers that are refused, each with its errno.

use super::{device, Bench, BUFFER, COHERENT, PAGES, VMALLOC};
use crate::{
    child,
    rights::{expect_refused, DMA_CHANGES},
    runner::Context,
};
use anyhow::{bail, ensure, Result};
use mapwright::{
    page_size, uapi, uapi::Request as _, Backing, Endpoint, MapCall, Method, Session, Transfer,
};
use nix::errno::Errno;
use std::fs;

/// The errno that a transfer gets.
pub(super) fn refused(session: &Session, request: uapi::Transfer) -> Result<Errno> {
    match session.request(&mut request.clone()) {
        Ok(()) => bail!("it was accepted: {request:?}"),
        Err(errno) => Ok(errno),
    }
}

pub(super) fn sides_are_checked(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (one, two) = (
        bench.create(COHERENT, 2 * page_size())?,
        bench.create(VMALLOC, 2 * page_size())?,
    );
    let good = uapi::Transfer {
        source: one.id,
        target: two.id,
        bytes: 10,
        ..uapi::Transfer::new()
    };
    let changed = |change: fn(&mut uapi::Transfer)| {
        let mut request = good;
        change(&mut request);
        request
    };
    for (errno, request) in [
        (Errno::EINVAL, changed(|t| t.bytes = 0)),
        (Errno::EINVAL, changed(|t| t.bytes = 2 * page_size() + 1)),
        (Errno::EINVAL, changed(|t| t.bytes = u64::MAX)),
        (
            Errno::EINVAL,
            changed(|t| t.source_offset = 2 * page_size() - 9),
        ),
        (
            Errno::EINVAL,
            changed(|t| t.target_offset = 2 * page_size() - 9),
        ),
        (Errno::EINVAL, changed(|t| t.source_offset = u64::MAX)),
        (Errno::EINVAL, changed(|t| t.target_offset = u64::MAX - 5)),
        (Errno::EINVAL, changed(|t| (t.source, t.target) = (0, 0))),
        (
            Errno::EINVAL,
            changed(|t| (t.source, t.bytes) = (0, BUFFER + 1)),
        ),
        (
            Errno::EINVAL,
            changed(|t| (t.target, t.target_offset) = (0, BUFFER - 9)),
        ),
        (Errno::EINVAL, changed(|t| t.flags = 1 << 31)),
        (Errno::EINVAL, changed(|t| t.eventfd = 1)),
        (Errno::EINVAL, changed(|t| t.flags = uapi::TRANSFER_EVENTFD)),
        (
            Errno::EINVAL,
            changed(|t| t.flags = uapi::TRANSFER_EVENTFD | uapi::TRANSFER_QUEUE),
        ),
        (
            Errno::EBADF,
            changed(|t| {
                t.flags = uapi::TRANSFER_EVENTFD | uapi::TRANSFER_QUEUE;
                t.eventfd = 1000;
            }),
        ),
        (Errno::EINVAL, changed(|t| t.map_call = 99)),
        (Errno::EINVAL, changed(|t| t.size = 8)),
        (Errno::ENOENT, changed(|t| t.source = u64::MAX)),
        // Mapped as a page, but in two.
        (
            Errno::EINVAL,
            changed(|t| (t.map_call, t.target_offset) = (MapCall::Page.number(), page_size() - 6)),
        ),
    ] {
        let actual = refused(&bench.session, request)?;
        ensure!(actual == errno, "{actual} instead of {errno}: {request:?}");
    }
    let mut good = good;
    bench.session.request(&mut good)?;
    bench.close()
}

pub(super) fn vmalloc_memory_is_no_single_stretch(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let bytes = 2 * page_size();
    let (one, two) = (bench.create(VMALLOC, bytes)?, bench.create(PAGES, bytes)?);
    for (source, target) in [(one, two), (two, one)] {
        let errno = bench.session.transfer(&Transfer {
            source: Endpoint::Region(source, 0),
            target: Endpoint::Region(target, 0),
            bytes,
            map_call: MapCall::Single,
        });
        ensure!(errno == Err(Errno::EOPNOTSUPP), "{errno:?}");
    }
    bench.close()
}

pub(super) fn a_reading_descriptor_moves_nothing(_: &Context) -> Result<()> {
    expect_refused(&device()?, DMA_CHANGES)
}

pub(super) fn raw_addresses_need_an_iommu(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let region = bench.create(COHERENT, page_size())?;
    let mut request = uapi::Transfer {
        source: region.id,
        target_offset: 0x10_0000,
        bytes: 16,
        flags: uapi::TRANSFER_RAW_TARGET,
        ..uapi::Transfer::new()
    };
    let translated = bench.session.dma_info()?.translated == 1;
    if !translated {
        let errno = refused(&bench.session, request)?;
        ensure!(errno == Errno::EPERM, "{errno}");
    }
    // Only for root, whatever the machine.
    let path = bench.path.clone();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    let tried = child::run(|| {
        child::become_nobody()?;
        let session = Session::open_at(&path)?;
        request.source = session
            .create(Backing::Coherent, Method::Dma, page_size())?
            .id;
        let errno = refused(&session, request)?;
        ensure!(errno == Errno::EPERM, "{errno}");
        Ok(())
    });
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    tried?;
    bench.close()
}

pub(super) fn other_sessions_regions(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let other = Session::open_at(&bench.path)?;
    let mine = bench.create(COHERENT, page_size())?;
    let foreign = other.create(Backing::Coherent, Method::Dma, page_size())?;
    for (source, target) in [(mine, foreign), (foreign, mine)] {
        let errno = bench.session.transfer(&Transfer {
            source: Endpoint::Region(source, 0),
            target: Endpoint::Region(target, 0),
            bytes: 1,
            map_call: MapCall::Scatter,
        });
        ensure!(errno == Err(Errno::ENOENT), "{errno:?}");
    }
    drop(other);
    bench.close()
}

pub(super) fn closed_regions(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (one, two) = (
        bench.create(PAGES, page_size())?,
        bench.create(PAGES, page_size())?,
    );
    bench.session.destroy(&two)?;
    let errno = bench.session.transfer(&Transfer {
        source: Endpoint::Region(one, 0),
        target: Endpoint::Region(two, 0),
        bytes: 1,
        map_call: MapCall::Scatter,
    });
    ensure!(errno == Err(Errno::ENOENT), "{errno:?}");
    bench.close()
}
