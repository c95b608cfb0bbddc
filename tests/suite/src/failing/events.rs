// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens to a mapping, with each of its allocations failing in turn.

use super::{expect, expect_memory, far_border, region_bytes, NO_MEMORY, PAGES};
use crate::{
    cells::Cell,
    child,
    inject::{each_failure, Tally},
    raw::{Map, RW},
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, Session};
use nix::{
    errno::Errno,
    sys::{
        mman::ProtFlags,
        wait::{waitpid, WaitStatus},
    },
};
use std::cell::RefCell;

/// More allocations than a page fault makes.
pub(super) const TOUCHES: u32 = 200;
/// How a child ends for which nothing was made to fail.
pub(super) const UNTOUCHED: i32 = 42;

/// A session with a region and a mapping, to which `call` does something.
fn of_mapping<T>(
    cell: Cell,
    clean: &[Errno],
    mut call: impl FnMut(&mut Map) -> Result<T, Errno>,
    mut after: impl FnMut(Option<T>) -> Result<()>,
) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    let new_map = || -> Result<Option<Map>> {
        let map = Map::shared_at(&session, far_border(), region.offset, region_bytes())?;
        ensure!((0..PAGES).all(|page| map.load(page * page_bytes()) < 8));
        Ok(Some(map))
    };
    let map = RefCell::new(new_map()?);
    each_failure(
        clean,
        || {
            map.borrow_mut()
                .as_mut()
                .map_or(Err(Errno::EINVAL), &mut call)
        },
        |done| {
            let failed = done.is_none();
            after(done)?;
            let old = map.take().filter(|_| failed);
            // Then nothing may have happened to it.
            old.map_or(Ok(()), |old| expect_memory(&session, &region, &old))?;
            map.replace(new_map()?);
            expect(1, 1)
        },
    )
}

pub(super) fn fork(cell: Cell) -> Result<Tally> {
    let clean = [Errno::ENOMEM, Errno::EAGAIN];
    let call = |_: &mut Map| {
        let spawned = child::spawn(|| Ok(()));
        spawned.map_err(|err| err.downcast::<Errno>().unwrap_or(Errno::UnknownErrno))
    };
    of_mapping(cell, &clean, call, |child| {
        if let Some(child) = child {
            let ended = waitpid(child, None)?;
            ensure!(ended == WaitStatus::Exited(child, 0), "{ended:?}");
        }
        Ok(())
    })
}

pub(super) fn munmap_of_the_middle(cell: Cell) -> Result<Tally> {
    of_mapping(
        cell,
        NO_MEMORY,
        |map| map.unmap_part(2 * page_bytes(), page_bytes()),
        |_| Ok(()),
    )
}

pub(super) fn mprotect_of_the_middle(cell: Cell) -> Result<Tally> {
    let call =
        |map: &mut Map| map.protect_part(2 * page_bytes(), page_bytes(), ProtFlags::PROT_READ);
    of_mapping(cell, NO_MEMORY, call, |_| Ok(()))
}

pub(super) fn mremap(cell: Cell) -> Result<Tally> {
    let place = RefCell::new(Some(Map::anonymous(region_bytes(), RW)?));
    of_mapping(
        cell,
        NO_MEMORY,
        |map| match place.take() {
            Some(place) => map.move_onto(place),
            None => Err(Errno::EINVAL),
        },
        |_| {
            place.replace(Some(Map::anonymous(region_bytes(), RW)?));
            Ok(())
        },
    )
}
