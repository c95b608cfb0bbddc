// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `madvise(2)` does to a mapping: each advice has a test for each sound pair of backing and method,
//! named `advice__backing_method`. What the advice is refused with, or what becomes of the mapping, is in
//! the table.

use crate::{
    cells::Cell,
    child,
    raw::Map,
    runner::{Case, Suite},
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, page_size, Region, Session};
use nix::{errno::Errno, libc, sys::signal::Signal};

pub const SUITE: Suite = Suite {
    name: "advice",
    cases,
};

/// What comes of an advice.
#[derive(Clone, Copy)]
enum Outcome {
    /// It is taken, and the memory is there as before.
    Taken,
    /// It is refused with this, and the memory is there as before.
    Refused(Errno),
    /// It is taken, or refused as the kernel lacks what it is about; the memory is there as before.
    TakenOrEinval,
    /// What is mapped is thrown away: mapped again when it is touched, or, if all was mapped at
    /// `mmap(2)`, `SIGBUS`.
    ThrownAway,
}
use Outcome::{Refused, Taken, TakenOrEinval, ThrownAway};

const EINVAL: Outcome = Refused(Errno::EINVAL);
const ENODEV: Outcome = Refused(Errno::ENODEV);

const MADV_DONTNEED_LOCKED: i32 = 24;
const MADV_COLLAPSE: i32 = 25;
const MADV_GUARD_INSTALL: i32 = 102;
const MADV_GUARD_REMOVE: i32 = 103;

/// An advice, what comes of it where the kernel counts the pages, and where it has frame numbers only.
type Line = (&'static str, i32, Outcome, Outcome);

const TABLE: &[Line] = &[
    ("normal", libc::MADV_NORMAL, Taken, Taken),
    ("random", libc::MADV_RANDOM, Taken, Taken),
    ("sequential", libc::MADV_SEQUENTIAL, Taken, Taken),
    ("willneed", libc::MADV_WILLNEED, Taken, Taken),
    ("dontneed", libc::MADV_DONTNEED, ThrownAway, EINVAL),
    ("dontneed_locked", MADV_DONTNEED_LOCKED, ThrownAway, EINVAL),
    ("free", libc::MADV_FREE, EINVAL, EINVAL),
    ("remove", libc::MADV_REMOVE, ENODEV, ENODEV),
    ("dontfork", libc::MADV_DONTFORK, Taken, Taken),
    ("dofork", libc::MADV_DOFORK, EINVAL, EINVAL),
    (
        "mergeable",
        libc::MADV_MERGEABLE,
        TakenOrEinval,
        TakenOrEinval,
    ),
    (
        "unmergeable",
        libc::MADV_UNMERGEABLE,
        TakenOrEinval,
        TakenOrEinval,
    ),
    (
        "hugepage",
        libc::MADV_HUGEPAGE,
        TakenOrEinval,
        TakenOrEinval,
    ),
    (
        "nohugepage",
        libc::MADV_NOHUGEPAGE,
        TakenOrEinval,
        TakenOrEinval,
    ),
    ("collapse", MADV_COLLAPSE, EINVAL, EINVAL),
    ("dontdump", libc::MADV_DONTDUMP, Taken, Taken),
    ("dodump", libc::MADV_DODUMP, EINVAL, EINVAL),
    ("wipeonfork", libc::MADV_WIPEONFORK, EINVAL, EINVAL),
    ("keeponfork", libc::MADV_KEEPONFORK, Taken, Taken),
    ("cold", libc::MADV_COLD, Taken, EINVAL),
    ("pageout", libc::MADV_PAGEOUT, Taken, EINVAL),
    ("populate_read", libc::MADV_POPULATE_READ, Taken, EINVAL),
    ("populate_write", libc::MADV_POPULATE_WRITE, Taken, EINVAL),
    ("guard_install", MADV_GUARD_INSTALL, EINVAL, EINVAL),
    ("guard_remove", MADV_GUARD_REMOVE, EINVAL, EINVAL),
    ("no_such", 99, EINVAL, EINVAL),
];

fn cases() -> Vec<Case> {
    let of_line = |line: &Line| {
        let line = *line;
        Cell::ordinary().map(move |cell| {
            Case::new(format!("{}__{}", line.0, cell.pair()), move |_| {
                advise(line, cell)
            })
        })
    };
    TABLE.iter().flat_map(of_line).collect()
}

const PAGES: usize = 8;

/// A region whose pages begin with their numbers, from 10 on, touched.
struct Subject {
    session: Session,
    region: Region,
    map: Map,
}

impl Subject {
    fn new(cell: Cell) -> Result<Self> {
        let session = Session::open()?;
        let region = cell.create(&session, PAGES as u64 * page_size())?;
        let map = Map::shared(&session, region.offset, PAGES * page_bytes())?;
        for page in 0..PAGES {
            map.store(page * page_bytes(), 10 + page as u8);
        }
        Ok(Self {
            session,
            region,
            map,
        })
    }

    fn expect_all(&self) -> Result<()> {
        let is_there = |page: usize| self.map.load(page * page_bytes()) == 10 + page as u8;
        ensure!((0..PAGES).all(is_there), "other memory");
        Ok(())
    }

    /// What the kernel has of it, whatever is mapped.
    fn expect_kept(&self) -> Result<()> {
        let mut contents = vec![0; PAGES * page_bytes()];
        self.session.read_at(&self.region, 0, &mut contents)?;
        let is_there = |page: usize| contents[page * page_bytes()] == 10 + page as u8;
        ensure!((0..PAGES).all(is_there), "the memory itself was changed");
        Ok(())
    }
}

/// Advises first on a part, as that may split the VMA, and then on all of it.
fn advise((_, advice, counted, numbers): Line, cell: Cell) -> Result<()> {
    let it = Subject::new(cell)?;
    let outcome = if cell.is_counted() { counted } else { numbers };
    for result in [
        it.map.advise_part(page_bytes(), page_bytes(), advice),
        it.map.advise(advice),
    ] {
        let is_expected = match outcome {
            Taken | ThrownAway => result.is_ok(),
            Refused(errno) => result == Err(errno),
            TakenOrEinval => result.is_ok() || result == Err(Errno::EINVAL),
        };
        ensure!(is_expected, "{result:?}");
    }
    it.expect_kept()?;
    if matches!(outcome, ThrownAway) && !cell.is_lazy() {
        let killed = child::killed_by(|| {
            it.map.load(0);
            Ok(())
        })?;
        ensure!(killed == Some(Signal::SIGBUS), "{killed:?}");
        return Ok(());
    }
    it.expect_all()
}
