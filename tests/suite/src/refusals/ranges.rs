// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ranges of a region that are refused to `PAGES` and `SYNC`.

use super::session_and_region;
use crate::{child, runner::Context};
use anyhow::{ensure, Result};
use mapwright::uapi::{self, Request as _};
use nix::errno::Errno;

pub(super) fn pages_needs_cap_sys_admin(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    ensure!(session.pages(&region, 0, 4)?.len() == 4);
    child::run(|| {
        child::become_nobody()?;
        let result = session
            .pages(&region, 0, 4)
            .err()
            .and_then(|err| err.errno());
        ensure!(result == Some(Errno::EPERM), "{result:?}");
        // What tells no physical address is still told.
        session.query(&region)?;
        Ok(())
    })
}

pub(super) fn pages_beyond_the_end_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let mut array = [uapi::PageInfo::default(); 4];
    for first in [4, 5, u64::MAX] {
        let mut pages = uapi::Pages {
            id: region.id,
            first,
            count: 4,
            array: array.as_mut_ptr() as u64,
            ..uapi::Pages::new()
        };
        ensure!(
            session.request(&mut pages) == Err(Errno::EINVAL),
            "page {first}"
        );
    }
    Ok(())
}

pub(super) fn pages_to_a_bad_array_is_efault(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    for array in [0, 64, u64::MAX - 8] {
        let mut pages = uapi::Pages {
            id: region.id,
            count: 4,
            array,
            ..uapi::Pages::new()
        };
        ensure!(
            session.request(&mut pages) == Err(Errno::EFAULT),
            "{array:#x}"
        );
    }
    Ok(())
}

pub(super) fn pages_stops_at_the_end(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let untouched = uapi::PageInfo {
        pfn: 1,
        dma_addr: 2,
    };
    let mut array = [untouched; 8];
    let mut pages = uapi::Pages {
        id: region.id,
        first: 1,
        count: u64::MAX,
        array: array.as_mut_ptr() as u64,
        ..uapi::Pages::new()
    };
    session.request(&mut pages)?;
    ensure!(pages.count == 3, "{}", pages.count);
    ensure!(array[..3]
        .iter()
        .all(|page| page.dma_addr == uapi::NO_DMA_ADDR));
    ensure!(
        array[3..].iter().all(|page| *page == untouched),
        "wrote beyond what it told"
    );
    Ok(())
}

pub(super) fn sync_of_a_wrong_range_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let sync = |flags, first, bytes| {
        let mut sync = uapi::Sync {
            id: region.id,
            flags,
            first,
            bytes,
            ..uapi::Sync::new()
        };
        session.request(&mut sync)
    };
    let all = region.bytes;
    for flags in 1..=3 {
        ensure!(sync(flags, 0, all) == Ok(()) && sync(flags, all - 1, 1) == Ok(()));
    }
    for (flags, first, bytes) in [
        (0, 0, 1),
        (4, 0, 1),
        (1, 0, 0),
        (1, 0, all + 1),
        (1, all, 1),
        (1, 1, u64::MAX),
        (1, u64::MAX, 1),
    ] {
        let result = sync(flags, first, bytes);
        ensure!(
            result == Err(Errno::EINVAL),
            "{flags} {first} {bytes}: {result:?}"
        );
    }
    Ok(())
}

pub(super) fn sync_of_nothing_is_enoent(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    session.destroy(&region)?;
    let mut sync = uapi::Sync {
        id: region.id,
        flags: 1,
        bytes: 1,
        ..uapi::Sync::new()
    };
    ensure!(session.request(&mut sync) == Err(Errno::ENOENT));
    Ok(())
}
