// SPDX-License-Identifier: MIT OR Apache-2.0

//! DMA-bufs of regions, as programs and the kernel's other drivers use them: memory of each kind is mapped by its
//! file, a camera's driver (vivid) captures into it, a graphics driver (vgem) imports it.

use crate::{
    camera::Camera,
    cells::Cell,
    child,
    dma::{heap_buffer, udmabuf},
    graphics::Graphics,
    importer::{self, Importer},
    raw::{Map, RW},
    runner::{skip, Case, Suite},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{block_size, page_bytes, page_size, Backing, Caching, Method, Region, Session};
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
        if cfg!(target_arch = "aarch64") && cell.caching != Caching::WriteBack {
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
        let mut seen = vec![0; self.bytes];
        self.session.read_at(&self.region, page_size(), &mut seen)?;
        Ok(seen)
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
    let seen = it.bytes()?;
    let stored = |at: usize| seen[at + 100] == (at / page_bytes()) as u8 + 1;
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

/// `V4L2_MEMORY_DMABUF`, of a driver that stores with the CPU.
fn a_camera_captures_into_it(cell: Cell) -> Result<()> {
    let mut camera = Camera::open()?;
    let shared = [(); 2].map(|()| Shared::new(cell, true));
    let mut buffers = Vec::new();
    for shared in shared {
        match shared? {
            Some(shared) => buffers.push(shared),
            None => return Ok(()),
        }
    }
    capture(&mut camera, &buffers)
}

/// Has the camera fill a buffer, and looks at the region.
fn capture(camera: &mut Camera, buffers: &[Shared]) -> Result<()> {
    let files: Vec<_> = buffers.iter().map(|it| it.file.as_fd()).collect();
    let filled = camera.capture(&files)?;
    let it = buffers.get(filled).context("a buffer that is not ours")?;
    let seen = it.bytes()?;
    camera.expect_frame(&seen)?;
    ensure!(
        seen[camera.frame_bytes()..].iter().all(|byte| *byte == 0),
        "something was stored behind the frame"
    );
    let map = Map::shared(&it.file, 0, it.bytes)?;
    ensure!(
        (0..it.bytes).all(|at| map.load(at) == seen[at]),
        "the program sees something else"
    );
    let mut before = vec![1; page_bytes()];
    it.session.read_at(&it.region, 0, &mut before)?;
    ensure!(
        before.iter().all(|byte| *byte == 0),
        "something was stored before it"
    );
    Ok(())
}

/// Across the blocks that large contiguous memory is made of.
fn a_camera_captures_into_pieces() -> Result<()> {
    let mut camera = Camera::open()?;
    let bytes = camera.frame_bytes().next_multiple_of(page_bytes()) as u64;
    // The first block of memory ends in the middle of the frame.
    let largest = crate::raw::largest_block()?.min(block_size() * 2);
    let first = largest - bytes / 2 / page_size() * page_size();
    let mut buffers = Vec::new();
    for _ in 0..2 {
        let session = Session::open()?;
        let region = session.create(Backing::Pages, Method::Remap, largest + bytes)?;
        let file = session.export(&region, (first, bytes), true);
        if file.as_ref().err() == Some(&Errno::ENOTTY) {
            return skip("this kernel has no DMA-bufs");
        }
        buffers.push((session, region, file?));
    }
    let files: Vec<_> = buffers.iter().map(|(.., file)| file.as_fd()).collect();
    let filled = camera.capture(&files)?;
    let (session, region, _) = buffers.get(filled).context("a buffer that is not ours")?;
    let mut seen = vec![0; camera.frame_bytes()];
    session.read_at(region, first, &mut seen)?;
    camera.expect_frame(&seen)
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

fn to_be_read_only(cell: Cell) -> Result<()> {
    let Some(it) = Shared::new(cell, false)? else {
        return Ok(());
    };
    it.session.write_at(&it.region, page_size(), b"text")?;
    let writable = Map::shared(&it.file, 0, page_bytes()).err();
    ensure!(writable == Some(Errno::EACCES), "{writable:?}");
    let map = Map::new(
        &it.file,
        0,
        page_bytes(),
        ProtFlags::PROT_READ,
        MapFlags::MAP_SHARED,
    )?;
    ensure!(map.load(0) == b't');
    ensure!(map.protect(RW) == Err(Errno::EACCES));
    // Nobody in the kernel gets an address to store to.
    if let Ok(mut camera) = Camera::open() {
        let captured = camera.capture(&[it.file.as_fd(), it.file.as_fd()]);
        let errno = captured.err().and_then(|err| err.downcast::<Errno>().ok());
        ensure!(errno == Some(Errno::EFAULT), "a camera: {errno:?}");
    }
    // What gives its file back does not make it another one.
    if let Ok(graphics) = Graphics::open() {
        let object = graphics.import(it.file.as_fd())?;
        let again = graphics.export(object)?;
        let writable = Map::shared(&again, 0, page_bytes()).err();
        ensure!(writable == Some(Errno::EACCES), "graphics: {writable:?}");
        graphics.close(object)?;
    }
    let mut seen = [0; 4];
    it.session.read_at(&it.region, page_size(), &mut seen)?;
    ensure!(&seen == b"text", "{seen:?}");
    Ok(())
}

/// `dma_buf_mmap()`, which a graphics driver calls with a VMA that has its own operations and memory type.
fn a_driver_maps_it_into_programs(cell: Cell) -> Result<()> {
    let Some(it) = Shared::new(cell, true)? else {
        return Ok(());
    };
    let driver = Importer::new(it.file.as_fd())?;
    let before = driver.calls()?;
    let mut map = Map::shared(&driver, 0, it.bytes)?;
    for at in (0..it.bytes).step_by(page_bytes()) {
        map.store(at + 9, (at / page_bytes()) as u8 + 1);
    }
    let seen = it.bytes()?;
    let stored = |at: usize| seen[at + 9] == (at / page_bytes()) as u8 + 1;
    ensure!(
        (0..it.bytes).step_by(page_bytes()).all(stored),
        "stores are lost"
    );
    child::run(|| {
        ensure!(map.load(9) == 1);
        Ok(())
    })?;
    map.unmap_part(page_bytes(), page_bytes())?;
    ensure!(map.load(2 * page_bytes() + 9) == 3);
    ensure!(it.session.query(&it.region)?.vmas == 2);
    map.unmap()?;
    ensure!(it.session.query(&it.region)?.vmas == 0);
    let beyond = Map::shared(&driver, page_size(), it.bytes).err();
    ensure!(beyond == Some(Errno::EINVAL), "{beyond:?}");
    let exec = RW | ProtFlags::PROT_EXEC;
    let refused = Map::new(&driver, 0, page_bytes(), exec, MapFlags::MAP_SHARED).err();
    ensure!(refused == Some(Errno::EPERM), "{refused:?}");
    // A VMA of another kind cannot become one of this.
    driver.make_kind()?;
    let refused = Map::shared(&driver, 0, page_bytes()).err();
    ensure!(refused == Some(Errno::EINVAL), "{refused:?}");
    ensure!(
        driver.calls()? == before,
        "the driver's own operations were called"
    );

    // The driver's file can be written, the buffer cannot.
    let it = Shared::new(cell, false)?.context("it could be exported to be written")?;
    let driver = Importer::new(it.file.as_fd())?;
    let writable = Map::shared(&driver, 0, page_bytes()).err();
    ensure!(writable == Some(Errno::EACCES), "{writable:?}");
    let map = Map::new(
        &driver,
        0,
        page_bytes(),
        ProtFlags::PROT_READ,
        MapFlags::MAP_SHARED,
    )?;
    ensure!(map.load(0) == 0);
    ensure!(map.protect(RW) == Err(Errno::EACCES));
    Ok(())
}

fn a_driver_maps_it_into_the_kernel(cell: Cell) -> Result<()> {
    let Some(it) = Shared::new(cell, true)? else {
        return Ok(());
    };
    let driver = Importer::new(it.file.as_fd())?;
    for byte in [3, 4] {
        driver.fill(byte)?;
        ensure!(
            it.bytes()?.iter().all(|seen| *seen == byte),
            "{byte} is not everywhere"
        );
    }
    let mut before = vec![1; page_bytes()];
    it.session.read_at(&it.region, 0, &mut before)?;
    ensure!(
        before.iter().all(|byte| *byte == 0),
        "something was stored before it"
    );
    // The driver keeps the memory.
    it.session.destroy(&it.region)?;
    drop(it);
    driver.fill(5)?;

    let it = Shared::new(cell, false)?.context("it could be exported to be written")?;
    let driver = Importer::new(it.file.as_fd())?;
    let refused = driver.fill(6);
    ensure!(refused == Err(Errno::EINVAL), "{refused:?}");
    Ok(())
}

/// Each finds all of the buffer within its reach, or is told at once that it does not.
fn devices_of_all_kinds(cell: Cell) -> Result<()> {
    for writable in [true, false] {
        let Some(it) = Shared::new(cell, writable)? else {
            return Ok(());
        };
        let driver = Importer::new(it.file.as_fd())?;
        for bits in [64, 40, 32, 28] {
            for to_write in [false, true] {
                let given = driver.give(bits, to_write);
                let expected = match to_write && !writable {
                    true => Err(Errno::EACCES),
                    false => Ok(()),
                };
                // Memory may be beyond so few bits, and some machines take no such device.
                let beyond = bits == 28 && matches!(given, Err(Errno::EADDRNOTAVAIL | Errno::EIO));
                ensure!(
                    given == expected || beyond,
                    "{bits} bits, writes: {to_write}: {given:?}"
                );
            }
        }
    }
    Ok(())
}

fn memory_outlives_its_session() -> Result<()> {
    let mut camera = Camera::open()?;
    let mut files = Vec::new();
    for _ in 0..2 {
        let session = Session::open()?;
        let bytes = camera.frame_bytes().next_multiple_of(page_bytes()) as u64;
        let region = session.create(Backing::Folio, Method::Insert, bytes)?;
        files.push(session.export(&region, (0, bytes), true)?);
    }
    let borrowed: Vec<_> = files.iter().map(OwnedFd::as_fd).collect();
    let filled = camera.capture(&borrowed)?;
    let map = Map::shared(&files[filled], 0, camera.frame_bytes())?;
    camera.close();
    drop(files);
    let seen: Vec<u8> = (0..map.length).map(|at| map.load(at)).collect();
    Camera::open()?.expect_frame(&seen)
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
