// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that meet: threads and processes that map, touch, unmap and destroy the same memory at once.
//! Whatever comes first, nobody sees other memory than their own, and nothing is left.

use crate::{
    cells::Cell,
    child,
    raw::{Map, RW},
    runner::{Case, Suite},
};
use anyhow::{bail, ensure, Result};
use mapwright::{page_bytes, page_size, Backing, Method, Region, Session, Tables};
use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{kill, Signal},
        wait::{waitpid, WaitStatus},
    },
};
use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        Barrier,
    },
    thread,
    time::Duration,
};

pub const SUITE: Suite = Suite {
    name: "races",
    cases,
};

const PAGES: usize = 64;
/// Times that things may meet.
const ROUNDS: usize = 12;

fn cases() -> Vec<Case> {
    let of = |name: &'static str, run: fn(Cell) -> Result<()>, takes: fn(&Cell) -> bool| {
        Cell::ordinary()
            .filter(takes)
            .map(move |cell| Case::new(format!("{name}__{}", cell.name()), move |_| run(cell)))
    };
    let mut cases = vec![
        Case::new("the_default_region_is_made_once", |_| {
            default_is_made_once()
        }),
        Case::new("the_limit_is_never_passed", |_| limit_is_never_passed()),
    ];
    cases.extend(of("map_and_destroy", map_and_destroy, |_| true));
    cases.extend(of("fork_and_unmap", fork_and_unmap, |_| true));
    cases.extend(of("faults_of_a_page", faults_of_a_page, Cell::is_lazy));
    cases.extend(of("faults_and_dontneed", faults_and_dontneed, |cell| {
        cell.method == Method::Fault
    }));
    cases.extend(of("faults_and_moves", faults_and_moves, Cell::is_lazy));
    cases.extend(of("killed_in_a_call", killed_in_a_call, |_| true));
    cases
}

/// A process that does nothing else than create, map, touch, unmap and destroy is killed at some time:
/// nothing of it is left, in whatever call it was.
fn killed_in_a_call(cell: Cell) -> Result<()> {
    // Enough for a call to take longer than a tick.
    const LARGE: usize = 2 << 20;
    for round in 0..ROUNDS as u64 {
        let before = Tables::read()?;
        let child = child::spawn(|| loop {
            let session = Session::open()?;
            let region = cell.create(&session, LARGE as u64)?;
            let map = Map::shared(&session, region.offset, LARGE)?;
            (0..LARGE)
                .step_by(page_bytes())
                .for_each(|at| map.store(at, 1));
            drop(map);
            session.destroy(&region)?;
        })?;
        thread::sleep(Duration::from_micros(1000 + 1500 * round));
        kill(child, Signal::SIGKILL)?;
        let status = waitpid(child, None)?;
        ensure!(
            matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
            "{status:?}"
        );
        let after = Tables::read()?;
        let open =
            |tables: &Tables| tables.counter("sessions_opened") - tables.counter("sessions_closed");
        ensure!(
            after.regions.is_empty()
                && after.live_pages() == before.live_pages()
                && open(&after) == open(&before),
            "after {round} rounds: {after:?}"
        );
    }
    Ok(())
}

fn value(page: usize) -> u8 {
    1 + page as u8
}

fn filled(session: &Session, cell: Cell) -> Result<Region> {
    let region = cell.create(session, PAGES as u64 * page_size())?;
    for page in 0..PAGES {
        session.write_at(&region, page as u64 * page_size(), &[value(page)])?;
    }
    Ok(region)
}

/// Fails unless all pages are those of a region that was filled.
fn expect_pages(map: &Map) -> Result<()> {
    for page in 0..PAGES {
        let byte = map.load(page * page_bytes());
        ensure!(byte == value(page), "page {page} holds {byte}");
    }
    Ok(())
}

/// Runs both at once, `ROUNDS` times and at least once each, and returns the first error.
fn meet(one: impl Fn() -> Result<()> + Sync, other: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let start = Barrier::new(2);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            start.wait();
            let mut result = other();
            while result.is_ok() && !stop.load(SeqCst) {
                result = other();
            }
            result
        });
        start.wait();
        let result = (0..ROUNDS).try_for_each(|_| one());
        stop.store(true, SeqCst);
        let others = others.join();
        result?;
        match others {
            Ok(result) => result,
            Err(_) => bail!("the other thread panicked"),
        }
    })
}

/// A region is destroyed while somebody maps it: it is either mapped, and stays, or gone.
fn map_and_destroy(cell: Cell) -> Result<()> {
    let session = Session::open()?;
    let offset = AtomicU64::new(filled(&session, cell)?.offset);
    meet(
        || {
            let region = filled(&session, cell)?;
            offset.store(region.offset, SeqCst);
            loop {
                match session.destroy(&region) {
                    Ok(()) => return Ok(()),
                    Err(err) if err.errno() == Some(Errno::EBUSY) => {
                        thread::yield_now();
                    }
                    Err(err) => return Err(err.into()),
                }
            }
        },
        || match Map::shared(&session, offset.load(SeqCst), PAGES * page_bytes()) {
            Ok(map) => expect_pages(&map),
            // It has just been destroyed.
            Err(Errno::EINVAL) => Ok(()),
            Err(errno) => bail!("mmap failed: {errno}"),
        },
    )
}

/// A process forks while another thread of it unmaps: the child has all of the mapping, or nothing.
fn fork_and_unmap(cell: Cell) -> Result<()> {
    let session = Session::open()?;
    let region = filled(&session, cell)?;
    // The threads are in a child, which forks and does nothing else that needs a lock of the library's.
    child::run(|| {
        meet(
            || {
                // SAFETY: The child only loads and ends.
                match unsafe { libc::fork() } {
                    -1 => bail!("fork failed: {}", Errno::last()),
                    // SAFETY: Ends the child at once.
                    0 => unsafe { libc::_exit(0) },
                    pid => {
                        let ended = waitpid(nix::unistd::Pid::from_raw(pid), None)?;
                        ensure!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
                        Ok(())
                    }
                }
            },
            || expect_pages(&Map::shared(&session, region.offset, PAGES * page_bytes())?),
        )
    })?;
    ensure!(session.query(&region)?.vmas == 0);
    Ok(session.destroy(&region)?)
}

/// Threads touch the same pages for the first time at once.
fn faults_of_a_page(cell: Cell) -> Result<()> {
    let session = Session::open()?;
    let region = filled(&session, cell)?;
    for _ in 0..ROUNDS {
        let map = Map::shared(&session, region.offset, PAGES * page_bytes())?;
        let start = Barrier::new(4);
        let toucher = || {
            start.wait();
            expect_pages(&map)
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(toucher)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("panicked")))
        })?;
    }
    Ok(())
}

/// Pages are taken out while they are touched.
fn faults_and_dontneed(cell: Cell) -> Result<()> {
    let session = Session::open()?;
    let region = filled(&session, cell)?;
    let map = Map::shared(&session, region.offset, PAGES * page_bytes())?;
    meet(
        || expect_pages(&map),
        || Ok(map.advise(libc::MADV_DONTNEED)?),
    )
}

/// A mapping is moved while another of the same memory is touched, and each move is touched.
fn faults_and_moves(cell: Cell) -> Result<()> {
    let session = Session::open()?;
    let region = filled(&session, cell)?;
    let still = Map::shared(&session, region.offset, PAGES * page_bytes())?;
    meet(
        || {
            let mut moving = Map::shared(&session, region.offset, PAGES * page_bytes())?;
            ensure!(moving.load(0) == value(0));
            moving.move_onto(Map::anonymous(PAGES * page_bytes(), RW)?)?;
            expect_pages(&moving)
        },
        || {
            expect_pages(&still)?;
            let again = Map::shared(&session, region.offset, PAGES * page_bytes())?;
            expect_pages(&again)
        },
    )
}

/// Threads that touch the default region of a file first, with `mmap`, all get the same.
fn default_is_made_once() -> Result<()> {
    for _ in 0..ROUNDS {
        let session = Session::open()?;
        let start = Barrier::new(4);
        let mapper = || {
            start.wait();
            Map::shared(&session, 0, PAGES * page_bytes())
        };
        let maps = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(mapper)).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.collect::<Result<Vec<_>, _>>()
        });
        let Ok(maps) = maps else { bail!("panicked") };
        let maps = maps.into_iter().collect::<Result<Vec<_>, Errno>>()?;
        for (number, map) in maps.iter().enumerate() {
            map.store(number * page_bytes(), value(number));
        }
        for number in 0..maps.len() {
            ensure!(
                maps.iter()
                    .all(|map| map.load(number * page_bytes()) == value(number)),
                "not the same memory"
            );
        }
    }
    Ok(())
}

/// Regions are made by several threads: no more than a session may have, and never one less.
fn limit_is_never_passed() -> Result<()> {
    let session = Session::open()?;
    let most = usize::try_from(session.info()?.session_regions)?;
    let counts = thread::scope(|scope| {
        let maker = || {
            let mut created = 0;
            loop {
                match session.create(Backing::Vmalloc, Method::Insert, page_size()) {
                    Ok(_) => created += 1,
                    Err(err) if err.errno() == Some(Errno::ENOSPC) => return Ok(created),
                    Err(err) => return Err(err),
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(maker)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.collect::<Result<Vec<_>, _>>()
    });
    let Ok(counts) = counts else {
        bail!("panicked")
    };
    let counts = counts.into_iter().collect::<Result<Vec<usize>, _>>()?;
    let total: usize = counts.iter().sum();
    ensure!(total == most, "{total} regions of {most}");
    Ok(())
}
