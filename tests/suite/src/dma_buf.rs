// SPDX-License-Identifier: MIT OR Apache-2.0

//! DMA-bufs of regions, as programs and the kernel's other drivers use them: memory of each kind is mapped by its
//! file, a camera's driver (vivid) captures into it, a graphics driver (vgem) imports it.

mod camera;
mod driver;

use crate::{
    cells::Cell,
    child,
    dma::{heap_buffer, udmabuf},
    graphics::Graphics,
    importer,
    raw::{Map, RW},
    runner::{skip, Case, Suite},
};
use anyhow::{ensure, Context as _, Result};
use camera::{
    a_camera_captures_into_it, a_camera_captures_into_pieces, memory_outlives_its_session,
};
use driver::{
    a_driver_maps_it_into_programs, a_driver_maps_it_into_the_kernel, devices_of_all_kinds,
    to_be_read_only,
};
use mapwright::{
    architecture, page_bytes, page_size, Architecture, Backing, Caching, Method, Region, Session,
};
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags},
    unistd::{fsync, lseek64, Whence},
};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

pub const SUITE: Suite = Suite {
    name: "dma_buf",
    cases,
};

fn cases() -> Vec<Case> {
    let of_cells = Cell::all().filter(Cell::is_sound).flat_map(|cell| {
        let case = |name: &str, run: fn(Cell) -> Result<()>| {
            Case::new(format!("{name}__{}", cell.name()), move |_| run(cell))
        };
        [
            case("is_a_file", is_a_file),
            case("a_camera_captures_into_it", a_camera_captures_into_it),
            case("graphics_import_it", graphics_import_it),
            case("to_be_read_only", to_be_read_only),
            case(
                "a_driver_maps_it_into_programs",
                a_driver_maps_it_into_programs,
            ),
            case(
                "a_driver_maps_it_into_the_kernel",
                a_driver_maps_it_into_the_kernel,
            ),
            case("devices_of_all_kinds", devices_of_all_kinds),
        ]
    });
    of_cells
        .chain([
            Case::new("a_camera_captures_into_pieces", |_| {
                a_camera_captures_into_pieces()
            }),
            Case::new("memory_outlives_its_session", |_| {
                memory_outlives_its_session()
            }),
            Case::new("synchronizing_is_the_kernels_rule", |_| {
                synchronizing_is_the_kernels_rule()
            }),
            Case::new("the_driver_that_imports_can_go", |_| importer::remove()),
        ])
        .collect()
}

/// Pages of a region that is exported from its second page on.
const PAGES: u64 = 40;

/// A region and a DMA-buf of all but its first page.
struct Shared {
    session: Session,
    region: Region,
    file: OwnedFd,
    bytes: usize,
}

impl Shared {
    /// `None` for memory that no device may have, which is refused.
    fn new(cell: Cell, writable: bool) -> Result<Option<Self>> {
        let session = Session::open()?;
        let region = cell.create(&session, PAGES * page_size())?;
        let bytes = (PAGES - 1) * page_size();
        let exported = session.export(&region, (page_size(), bytes), writable);
        if exported.as_ref().err() == Some(&Errno::ENOTTY) {
            return skip("this kernel has no DMA-bufs");
        }
        // On 64-bit ARM the direct map has such memory with another type.
        if architecture() == Architecture::Arm64 && cell.caching != Caching::WriteBack {
            let errno = exported.err();
            ensure!(errno == Some(Errno::EOPNOTSUPP), "{errno:?}");
            return Ok(None);
        }
        let file = exported.context("EXPORT")?;
        let bytes = usize::try_from(bytes)?;
        Ok(Some(Self {
            session,
            region,
            file,
            bytes,
        }))
    }

    /// The bytes of the buffer, as the region's session sees them.
    fn bytes(&self) -> Result<Vec<u8>> {
        let mut contents = vec![0; self.bytes];
        self.session
            .read_at(&self.region, page_size(), &mut contents)?;
        Ok(contents)
    }
}

nix::ioctl_write_ptr!(dma_buf_sync, b'b', 0, u64);

/// `DMA_BUF_SYNC_RW`, and `DMA_BUF_SYNC_END`, of `linux/dma-buf.h`.
const SYNC_BEGIN: u64 = 3;

const SYNC_END: u64 = SYNC_BEGIN | 4;

fn is_a_file(cell: Cell) -> Result<()> {
    let Some(it) = Shared::new(cell, true)? else {
        return Ok(());
    };
    ensure!(lseek64(&it.file, 0, Whence::SeekEnd)? as usize == it.bytes);
    it.session
        .write_at(&it.region, page_size() + 7, b"mapped")?;
    let map = Map::shared(&it.file, 0, it.bytes)?;
    // SAFETY: The word is what this request takes.
    unsafe { dma_buf_sync(it.file.as_raw_fd(), &SYNC_BEGIN)? };
    ensure!(
        (0..6).all(|at| map.load(7 + at) == b"mapped"[at]),
        "other memory"
    );
    for at in (0..it.bytes).step_by(page_bytes()) {
        map.store(at + 100, (at / page_bytes()) as u8 + 1);
    }
    // SAFETY: As above.
    unsafe { dma_buf_sync(it.file.as_raw_fd(), &SYNC_END)? };
    let contents = it.bytes()?;
    let stored = |at: usize| contents[at + 100] == (at / page_bytes()) as u8 + 1;
    ensure!(
        (0..it.bytes).step_by(page_bytes()).all(stored),
        "stores are lost"
    );
    // A part; nothing beyond it, nor what may be executed.
    let part = Map::shared(&it.file, 2 * page_size(), page_bytes())?;
    ensure!(part.load(100) == 3);
    let beyond = Map::shared(&it.file, page_size(), it.bytes).err();
    ensure!(beyond == Some(Errno::EINVAL), "{beyond:?}");
    let exec = RW | ProtFlags::PROT_EXEC;
    let refused = Map::new(&it.file, 0, page_bytes(), exec, MapFlags::MAP_SHARED).err();
    ensure!(refused == Some(Errno::EPERM), "{refused:?}");
    // The memory stays as long as the file, or a mapping of it.
    drop(part);
    drop((it.session, it.file));
    child::run(|| {
        ensure!(map.load(100) == 1);
        Ok(())
    })
}

/// `DRM_IOCTL_PRIME_FD_TO_HANDLE`: attached to a device.
fn graphics_import_it(cell: Cell) -> Result<()> {
    let graphics = Graphics::open()?;
    let Some(it) = Shared::new(cell, true)? else {
        return Ok(());
    };
    let object = graphics.import(it.file.as_fd())?;
    // Given back it is the same buffer.
    let again = graphics.export(object)?;
    let map = Map::shared(&again, 0, it.bytes)?;
    map.store(5, 7);
    ensure!(it.bytes()?[5] == 7, "other memory");
    // The kernel's rule: programs map imported memory by its own file.
    let mapped = graphics.map_offset(object).err();
    ensure!(
        matches!(
            mapped,
            Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EACCES)
        ),
        "{mapped:?}"
    );
    // The object keeps the memory.
    drop((it, again, map));
    let map = Map::shared(&graphics.export(object)?, 0, page_bytes())?;
    ensure!(map.load(5) == 7);
    graphics.close(object)
}

/// A DMA-buf has no `fsync` of its own, whoever has made it.
fn synchronizing_is_the_kernels_rule() -> Result<()> {
    let cell = Cell {
        backing: Backing::Pages,
        method: Method::Remap,
        caching: Caching::WriteBack,
    };
    let it = Shared::new(cell, true)?.context("such memory can be exported")?;
    let mut files = vec![it.file];
    files.extend(heap_buffer(page_size(), nix::libc::O_RDWR).ok());
    files.extend(udmabuf(2 * page_size()).ok().map(|(file, _)| file));
    for file in files {
        ensure!(fsync(&file) == Err(Errno::EINVAL));
        let map = Map::shared(&file, 0, page_bytes())?;
        ensure!(map.synchronize(nix::libc::MS_SYNC) == Err(Errno::EINVAL));
        ensure!(map.synchronize(nix::libc::MS_ASYNC) == Ok(()));
    }
    Ok(())
}
