// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is wider than a word of 32 bits: offsets, sizes, numbers that are shown.

use crate::runner::{suite, Context};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_size, Backing, Method, Protection, Region, Session};
use nix::errno::Errno;
use std::os::fd::{AsFd as _, AsRawFd as _};

suite! { "narrow":
    offsets_beyond_2_and_4_gib,
    sizes_beyond_the_memory_are_refused,
}

/// A region of a page whose offset is beyond `offset`. Offsets are never used twice.
fn region_beyond(session: &Session, offset: u64) -> Result<Region> {
    loop {
        let region = session.create(Backing::Pages, Method::Remap, 64 << 20)?;
        let end = region.offset + region.bytes;
        session.destroy(&region)?;
        if end > offset {
            return Ok(session.create(Backing::Pages, Method::Remap, page_size())?);
        }
    }
}

fn offsets_beyond_2_and_4_gib(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for offset in [2 << 30, 4 << 30] {
        let region = region_beyond(&session, offset)?;
        ensure!(region.offset > offset, "{region:?}");
        let mut map = session.map(&region, Protection::ReadWrite)?;
        map.write(17, b"beyond");
        let mut contents = [0; 6];
        session.read_at(&region, 17, &mut contents)?;
        ensure!(
            &contents == b"beyond",
            "at {offset:#x} the kernel sees {contents:?}"
        );
        session.write_at(&region, 17, b"behind")?;
        map.read(17, &mut contents);
        ensure!(
            &contents == b"behind",
            "at {offset:#x} the program sees {contents:?}"
        );
        ensure!(
            is_shown(&session, region.offset)?,
            "{:#x} in fdinfo",
            region.offset
        );
    }
    Ok(())
}

/// Whether `fdinfo` of the session has the number, as it shows offsets.
fn is_shown(session: &Session, offset: u64) -> Result<bool> {
    let file = format!("/proc/self/fdinfo/{}", session.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(&file).context(file)?;
    Ok(text.contains(&format!(" offset {offset:#x} ")))
}

fn sizes_beyond_the_memory_are_refused(_: &Context) -> Result<()> {
    let session = Session::open()?;
    // Cut to 32 bits, these are nothing, a page, and 4 GiB less a byte rounded up.
    for bytes in [
        1 << 32,
        (1 << 32) + page_size(),
        (1 << 32) - 1,
        1 << 44,
        u64::MAX,
    ] {
        for (backing, method) in [
            (Backing::Pages, Method::Remap),
            (Backing::Vmalloc, Method::Insert),
        ] {
            let result = session
                .create(backing, method, bytes)
                .err()
                .and_then(|err| err.errno());
            ensure!(
                result == Some(Errno::ENOSPC),
                "{bytes:#x} bytes of {backing:?}: {result:?}"
            );
        }
    }
    Ok(())
}
