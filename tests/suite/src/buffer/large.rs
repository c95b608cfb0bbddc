// SPDX-License-Identifier: MIT OR Apache-2.0

//! A buffer that is larger than the blocks of the page allocator.

use super::{make, making::with_parameters, open};
use crate::{
    raw::Map,
    runner::{skip, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{buffer::Spec, page_size, Region, Session};
use std::{fs, os::unix::fs::FileExt as _};

/// Bytes of memory that could be had.
fn free_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 = line
        .context("no MemAvailable")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(kib << 10)
}

pub(super) fn large_in_one_piece(context: &Context) -> Result<()> {
    if usize::BITS < 64 {
        return skip("3 GiB do not fit into the address space of this kernel");
    }
    if free_bytes()? < LARGE + (512 << 20) {
        return skip("3 GiB in one buffer take a machine with 4 GiB or more");
    }
    // By default, all buffers have half of the memory.
    with_parameters(context, c"total_limit_mib=3100", large)
}

const LARGE: u64 = 3 << 30;

fn large() -> Result<()> {
    let owned = make(
        "large",
        &Spec {
            bytes: LARGE,
            ..Spec::default()
        },
    )?;
    let file = open(&owned.0)?;
    let length = usize::try_from(LARGE)?;
    let map = Map::shared(&file, 0, length)?;
    for at in (0..length).step_by(64 << 20).chain([length - 1]) {
        map.store(at, (at >> 26) as u8 | 1);
    }
    let mut contents = [0];
    for at in (0..length).step_by(64 << 20).chain([length - 1]) {
        file.read_exact_at(&mut contents, at as u64)?;
        ensure!(contents == [(at >> 26) as u8 | 1], "byte {at:#x}");
    }
    let session = Session::from(file);
    let region = Region {
        id: 0,
        offset: 0,
        bytes: LARGE,
    };
    let pages = session.pages(&region, 0, u64::MAX)?;
    let beyond = pages
        .iter()
        .filter(|page| page.pfn * page_size() >= 4 << 30)
        .count();
    ensure!(beyond > 0, "no page is beyond 4 GiB");
    Ok(())
}
