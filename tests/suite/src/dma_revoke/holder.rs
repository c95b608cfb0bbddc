// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program that holds all that can be held of a device.

use crate::{
    child,
    dma::{from_to, PAGES, VMALLOC},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_size, Backing, Direction, Endpoint, MapCall, Mapping, Method, Protection, Region, Session,
};
use nix::{
    errno::Errno,
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::signal::Signal,
};
use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

/// Coherent memory that a program holds.
pub(super) const REGIONS: usize = 8;
pub(super) const REGION: u64 = 1 << 20;

/// All that a program can hold of a device.
pub(crate) struct Holder {
    session: Session,
    coherent: Vec<(Region, Mapping)>,
    ordinary: (Region, Mapping),
    exported: OwnedFd,
}

impl Holder {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let session = Session::open_at(path)?;
        let coherent = (0..REGIONS).map(|_| {
            let region = session.create(Backing::Coherent, Method::Dma, REGION)?;
            let mut mapping = session.map(&region, Protection::ReadWrite)?;
            mapping.write(0, b"coherent");
            mapping.write(REGION as usize - 8, b"coherent");
            Ok((region, mapping))
        });
        let coherent = coherent.collect::<Result<Vec<_>>>()?;
        let region = session.create(PAGES.0, PAGES.1, 4 * page_size())?;
        let mut mapping = session.map(&region, Protection::ReadWrite)?;
        mapping.write(0, b"ordinary");
        let mapped = session.create(VMALLOC.0, VMALLOC.1, 2 * page_size())?;
        for (shape, direction) in [
            (MapCall::Scatter, Direction::Bidirectional),
            (MapCall::Page, Direction::ToDevice),
        ] {
            let page = page_size() * u64::from(direction == Direction::ToDevice);
            session.dma_map(&mapped, (page, page_size()), shape, direction)?;
        }
        let exported = session.export(&region, (0, 4 * page_size()), true)?;
        session.import(exported.as_fd())?;
        // Hours of work for this engine, if it were made.
        for cookie in 0..4 {
            let transfer = from_to(
                Endpoint::Region(coherent[0].0, 0),
                Endpoint::Region(coherent[1].0, 0),
                REGION,
            );
            session.queue(&transfer, cookie, None)?;
        }
        Ok(Self {
            session,
            coherent,
            ordinary: (region, mapping),
            exported,
        })
    }

    /// What it finds when the device has slept: all that it left, and its transfers on their way.
    pub(super) fn finds_everything(&self) -> Result<()> {
        for (region, mapping) in &self.coherent[2..] {
            for at in [0, REGION as usize - 8] {
                let mut contents = [0; 8];
                mapping.read(at, &mut contents);
                ensure!(&contents == b"coherent", "{contents:?}");
            }
            self.session.query(region)?;
        }
        let mut contents = [0; 8];
        self.ordinary.1.read(0, &mut contents);
        ensure!(&contents == b"ordinary", "{contents:?}");
        let done = self.session.done();
        ensure!(done == Err(Errno::EAGAIN), "a transfer ended: {done:?}");
        Ok(())
    }

    /// What it finds when the device is gone.
    pub(crate) fn finds_nothing(&self) -> Result<()> {
        let Self {
            session,
            coherent,
            ordinary,
            exported,
        } = self;
        for (region, mapping) in coherent {
            for at in [0, REGION as usize - 8] {
                let killed = child::killed_by(|| {
                    mapping.read(at, &mut [0; 8]);
                    Ok(())
                })?;
                ensure!(killed == Some(Signal::SIGBUS), "a touch: {killed:?}");
            }
            let gone = |what: &str, result: std::result::Result<(), mapwright::Error>| {
                let errno = result.err().and_then(|err| err.errno());
                ensure!(errno == Some(Errno::ENODEV), "{what}: {errno:?}");
                Ok(())
            };
            gone("read", session.read_at(region, 0, &mut [0]))?;
            gone("write", session.write_at(region, 0, &[0]))?;
            gone("mmap", session.map(region, Protection::Read).map(drop))?;
            gone("QUERY", session.query(region).map(drop))?;
            gone("PAGES", session.pages(region, 0, 1).map(drop))?;
            gone("CREATE", session.create(PAGES.0, PAGES.1, 1).map(drop))?;
        }
        let transfer = from_to(Endpoint::Region(ordinary.0, 0), Endpoint::Buffer(0), 1);
        let called = [
            session.transfer(&transfer),
            session.queue(&transfer, 9, None),
            session.done().map(drop),
            session.import(exported.as_fd()).map(drop),
            session.dma_info().map(drop),
            session
                .dma_map(&ordinary.0, (0, 1), MapCall::Page, Direction::ToDevice)
                .map(drop),
        ];
        ensure!(
            called.iter().all(|call| *call == Err(Errno::ENODEV)),
            "{called:?}"
        );
        let exported = Mapping::new(exported.as_fd(), 0, page_size() as usize, Protection::Read);
        ensure!(exported.err() == Some(Errno::ENODEV), "a DMA-buf is mapped");
        let mut fds = [PollFd::new(session.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO)?;
        let answer = fds[0].revents().context("unknown events")?;
        ensure!(answer.contains(PollFlags::POLLHUP), "{answer:?}");
        // It is not the device's.
        let mut contents = [0; 8];
        ordinary.1.read(0, &mut contents);
        ensure!(&contents == b"ordinary");
        Ok(())
    }
}
