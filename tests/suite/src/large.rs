// SPDX-License-Identifier: MIT OR Apache-2.0

//! Regions of gigabytes, which take a machine with more memory than the others have.

#[cfg(target_pointer_width = "64")]
pub mod gigabyte;
#[cfg(target_pointer_width = "64")]
pub mod split;

use crate::{
    raw::Map,
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{page_size, Backing, Method, Session};
use nix::errno::Errno;

suite! { "large":
    vmalloc_remap_takes_a_gib_at_most,
}

const GIB: usize = 1 << 30;

/// `remap_vmalloc_range()` cannot be ended by a signal, so it must not be long.
fn vmalloc_remap_takes_a_gib_at_most(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let bytes = GIB as u64 + page_size();
    let region = session.create(Backing::Vmalloc, Method::VmallocRemap, bytes)?;
    let whole = Map::shared(&session, region.offset, bytes as usize).err();
    ensure!(whole == Some(Errno::E2BIG), "{whole:?}");
    let _map = Map::shared(&session, region.offset, GIB)?;
    Ok(())
}
