// SPDX-License-Identifier: MIT OR Apache-2.0

//! `O_DIRECT`: a disk transfers to and from the pages of a mapping themselves. It works wherever the
//! kernel counts the pages, with each memory type, and is `EFAULT` where it only has frame numbers.
//! Each event has a test for each sound cell, named `event__backing_method_caching`.

use crate::{
    aio::{Direction, InFlight},
    cells::Cell,
    raw::{self, Map, RW},
    runner::{Case, Suite},
};
use anyhow::{bail, ensure, Result};
use mapwright::{page_bytes, Caching, Region, Session};
use mapwright_prove::disk::{Disk, SECTOR, SLOW_TRANSFER};
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags},
};

pub const SUITE: Suite = Suite {
    name: "direct",
    cases,
};

/// What is transferred, and which of the sound cells it is for.
type Event = (&'static str, fn(Cell) -> Result<()>, fn(&Cell) -> bool);

const EVENTS: &[Event] = &[
    ("to_a_disk_and_back", to_a_disk_and_back, Cell::is_counted),
    ("from_a_disk", from_a_disk, Cell::is_counted),
    (
        "sectors_across_pages",
        sectors_across_pages,
        Cell::is_counted,
    ),
    ("a_private_copy", a_private_copy, Cell::is_counted),
    (
        "write_in_flight_outlives_destroy",
        write_in_flight,
        is_ordinary_and_counted,
    ),
    (
        "read_in_flight_outlives_destroy",
        read_in_flight,
        is_ordinary_and_counted,
    ),
    (
        "frame_numbers_are_efault",
        frame_numbers_are_efault,
        has_frame_numbers,
    ),
];

fn cases() -> Vec<Case> {
    let of_event = |(name, run, takes): &Event| {
        let (name, run, takes) = (*name, *run, *takes);
        Cell::all()
            .filter(Cell::is_sound)
            .filter(takes)
            .map(move |cell| Case::new(format!("{name}__{}", cell.name()), move |_| run(cell)))
    };
    EVENTS.iter().flat_map(of_event).collect()
}

fn is_ordinary_and_counted(cell: &Cell) -> bool {
    cell.is_ordinary() && cell.is_counted()
}

fn has_frame_numbers(cell: &Cell) -> bool {
    !cell.is_counted()
}

/// Bytes of a region: some pages.
fn region_bytes() -> usize {
    48 * page_bytes()
}

/// A region of a session of its own, and a mapping of all of it, nothing of which was touched.
struct Subject {
    session: Session,
    region: Region,
    map: Map,
}

impl Subject {
    fn new(cell: Cell) -> Result<Self> {
        let session = Session::open()?;
        let region = cell.create(&session, region_bytes() as u64)?;
        let map = Map::shared(&session, region.offset, region_bytes())?;
        Ok(Self {
            session,
            region,
            map,
        })
    }

    /// One whose bytes are those of [`pattern`].
    fn filled(cell: Cell) -> Result<Self> {
        let it = Self::new(cell)?;
        it.session
            .write_at(&it.region, 0, &pattern(region_bytes()))?;
        Ok(it)
    }

    /// All bytes, as the kernel sees them.
    fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; region_bytes()];
        self.session.read_at(&self.region, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Gives up the mapping and the region.
    fn destroy(self) -> Result<()> {
        drop(self.map);
        Ok(self.session.destroy(&self.region)?)
    }
}

/// Bytes that are not the same in any two sectors, and never zero.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at % 251 + at / SECTOR) as u8 | 1)
        .collect()
}

/// Anonymous memory, which any disk can transfer to and from.
struct Buffer(Map);

impl Buffer {
    fn new() -> Result<Self> {
        Ok(Self(Map::anonymous(region_bytes(), RW)?))
    }

    fn bytes(&self) -> Vec<u8> {
        (0..region_bytes()).map(|at| self.0.load(at)).collect()
    }

    /// The first bytes of the disk.
    fn of_disk(disk: &Disk) -> Result<Vec<u8>> {
        let buffer = Self::new()?;
        ensure!(raw::pread(&disk.file, buffer.0.addr, region_bytes(), 0) == Ok(region_bytes()));
        Ok(buffer.bytes())
    }

    /// Writes the pattern to the disk.
    fn fill_disk(disk: &Disk) -> Result<()> {
        let buffer = Self::new()?;
        for (at, byte) in pattern(region_bytes()).iter().enumerate() {
            buffer.0.store(at, *byte);
        }
        ensure!(raw::pwrite(&disk.file, buffer.0.addr, region_bytes(), 0) == Ok(region_bytes()));
        Ok(())
    }
}

/// From a region to the disk, and from there to another region.
fn to_a_disk_and_back(cell: Cell) -> Result<()> {
    let disk = Disk::new()?;
    let (from, to) = (Subject::filled(cell)?, Subject::new(cell)?);
    let written = raw::pwrite(&disk.file, from.map.addr, region_bytes(), 0);
    ensure!(written == Ok(region_bytes()), "{written:?}");
    ensure!(
        Buffer::of_disk(&disk)? == pattern(region_bytes()),
        "the disk has something else"
    );
    let read = raw::pread(&disk.file, to.map.addr, region_bytes(), 0);
    ensure!(read == Ok(region_bytes()), "{read:?}");
    ensure!(
        to.bytes()? == pattern(region_bytes()),
        "the other region has something else"
    );
    Ok(())
}

/// The kernel's own pointer and the program see what the disk sent.
fn from_a_disk(cell: Cell) -> Result<()> {
    let disk = Disk::new()?;
    Buffer::fill_disk(&disk)?;
    let it = Subject::new(cell)?;
    let read = raw::pread(&disk.file, it.map.addr, region_bytes(), 0);
    ensure!(read == Ok(region_bytes()), "{read:?}");
    ensure!(
        it.bytes()? == pattern(region_bytes()),
        "the kernel sees something else"
    );
    let contents: Vec<u8> = (0..region_bytes()).map(|at| it.map.load(at)).collect();
    ensure!(
        contents == pattern(region_bytes()),
        "the program sees something else"
    );
    Ok(())
}

/// Three sectors, the first at the end of a page, change nothing around them.
fn sectors_across_pages(cell: Cell) -> Result<()> {
    let disk = Disk::new()?;
    let it = Subject::filled(cell)?;
    let (at, length) = (17 * page_bytes() - SECTOR, 3 * SECTOR);
    let mut expected = pattern(region_bytes());
    let sent = expected[at..at + length].to_vec();
    let written = raw::pwrite(&disk.file, it.map.addr + at, length, 0);
    ensure!(written == Ok(length), "{written:?}");
    ensure!(Buffer::of_disk(&disk)?[..length] == sent[..]);

    let to = 30 * page_bytes() - 2 * SECTOR;
    let read = raw::pread(&disk.file, it.map.addr + to, length, 0);
    ensure!(read == Ok(length), "{read:?}");
    expected[to..to + length].copy_from_slice(&sent);
    ensure!(
        it.bytes()? == expected,
        "other bytes than those were changed"
    );
    Ok(())
}

/// What the disk sends to a private mapping does not reach the region. There is none of memory that is
/// not write-back: the copies would be mapped like it, and are ordinary memory.
fn a_private_copy(cell: Cell) -> Result<()> {
    if cell.caching != Caching::WriteBack {
        let it = Subject::new(cell)?;
        for prot in [RW, ProtFlags::PROT_READ] {
            let flags = MapFlags::MAP_PRIVATE;
            let refused =
                Map::new(&it.session, it.region.offset, region_bytes(), prot, flags).err();
            ensure!(refused == Some(Errno::EINVAL), "{prot:?}: {refused:?}");
        }
        return Ok(());
    }
    let disk = Disk::new()?;
    let it = Subject::filled(cell)?;
    let private = Map::new(
        &it.session,
        it.region.offset,
        region_bytes(),
        RW,
        MapFlags::MAP_PRIVATE,
    )?;
    let written = raw::pwrite(&disk.file, private.addr, region_bytes(), 0);
    ensure!(written == Ok(region_bytes()), "{written:?}");
    ensure!(Buffer::of_disk(&disk)? == pattern(region_bytes()));

    let zeros = Subject::new(cell)?;
    ensure!(raw::pwrite(&disk.file, zeros.map.addr, region_bytes(), 0) == Ok(region_bytes()));
    let read = raw::pread(&disk.file, private.addr, region_bytes(), 0);
    ensure!(read == Ok(region_bytes()), "{read:?}");
    ensure!((0..region_bytes()).all(|at| private.load(at) == 0));
    ensure!(
        it.bytes()? == pattern(region_bytes()),
        "what was sent to the private copy reached the region"
    );
    Ok(())
}

/// Begins a transfer of all of a region and destroys it while that goes on, or says that it ended first.
fn destroy_in_flight(it: Subject, disk: &Disk, direction: Direction) -> Result<Option<InFlight>> {
    let mut flight = InFlight::begin(
        &disk.file,
        direction,
        it.map.addr,
        region_bytes(),
        SLOW_TRANSFER,
    )?;
    it.destroy()?;
    let left = flight.left()?;
    Ok((left > 0).then_some(flight))
}

/// Memory of this program that the kernel would take from what was freed just now.
fn greedy() -> Result<Map> {
    let greedy = Map::anonymous(8 << 20, RW)?;
    (0..greedy.length)
        .step_by(64)
        .for_each(|at| greedy.store(at, 0xee));
    Ok(greedy)
}

/// Times that a transfer may end before its memory is destroyed: this machine may be busy.
const ATTEMPTS: usize = 10;

/// What goes to the disk is what was in the region, though it is gone and its frames wanted by others.
fn write_in_flight(cell: Cell) -> Result<()> {
    let disk = Disk::slow()?;
    for _ in 0..ATTEMPTS {
        let it = Subject::filled(cell)?;
        let Some(flight) = destroy_in_flight(it, &disk, Direction::Write)? else {
            continue;
        };
        let _greedy = greedy()?;
        expect_all(flight)?;
        ensure!(
            Buffer::of_disk(&disk)? == pattern(region_bytes()),
            "pages were freed under a transfer"
        );
        return Ok(());
    }
    bail!("the transfers ended before the region was destroyed, {ATTEMPTS} times")
}

/// What comes from the disk goes to the frames of the region, not to those who want them next.
fn read_in_flight(cell: Cell) -> Result<()> {
    let disk = Disk::slow()?;
    Buffer::fill_disk(&disk)?;
    for _ in 0..ATTEMPTS {
        let it = Subject::new(cell)?;
        let Some(flight) = destroy_in_flight(it, &disk, Direction::Read)? else {
            continue;
        };
        let greedy = greedy()?;
        expect_all(flight)?;
        ensure!(
            (0..greedy.length)
                .step_by(64)
                .all(|at| greedy.load(at) == 0xee),
            "pages were freed under a transfer, which wrote to somebody else's memory"
        );
        return Ok(());
    }
    bail!("the transfers ended before the region was destroyed, {ATTEMPTS} times")
}

fn expect_all(flight: InFlight) -> Result<()> {
    let ended = flight.end()?;
    ensure!(
        ended.iter().all(|bytes| *bytes == Ok(SLOW_TRANSFER)),
        "{ended:?}"
    );
    Ok(())
}

fn frame_numbers_are_efault(cell: Cell) -> Result<()> {
    let disk = Disk::new()?;
    let it = Subject::filled(cell)?;
    let written = raw::pwrite(&disk.file, it.map.addr, region_bytes(), 0);
    ensure!(written == Err(Errno::EFAULT), "{written:?}");
    let read = raw::pread(&disk.file, it.map.addr, region_bytes(), 0);
    ensure!(read == Err(Errno::EFAULT), "{read:?}");
    ensure!(
        it.bytes()? == pattern(region_bytes()),
        "a failed transfer changed it"
    );
    ensure!(
        Buffer::of_disk(&disk)?.iter().all(|byte| *byte == 0),
        "a failed transfer reached the disk"
    );
    Ok(())
}
