// SPDX-License-Identifier: MIT OR Apache-2.0

//! DMA-bufs: regions as such, and those of other exporters.

use super::{from_to, Bench, COHERENT, KMALLOC, PAGES, VMALLOC};
use crate::runner::{skip, Context};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_bytes, page_size, Backing, Endpoint, Imported, Mapping, Method, Protection, Region,
    Session,
};
use nix::errno::Errno;
use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Moves bytes from a region to the end of a buffer and back into the region, and compares. Returns them:
/// others each time.
fn through_a_buffer(bench: &Bench, buffer: Imported) -> Result<[u8; 16]> {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let text = *format!("a buffer, {:06}", TURN.fetch_add(1, Relaxed))
        .as_bytes()
        .first_chunk()
        .context("too short")?;
    let region = bench.create(COHERENT, 2 * page_size())?;
    bench.session.write_at(&region, 0, &text)?;
    let far = Endpoint::Import(buffer, buffer.bytes - 16);
    bench
        .session
        .transfer(&from_to(Endpoint::Region(region, 0), far, 16))?;
    bench
        .session
        .transfer(&from_to(far, Endpoint::Region(region, 5000), 16))?;
    let mut contents = [0; 16];
    bench.session.read_at(&region, 5000, &mut contents)?;
    ensure!(contents == text, "{contents:?}");
    let errno = bench
        .session
        .transfer(&from_to(far, Endpoint::Region(region, 0), 17));
    ensure!(errno == Err(Errno::EINVAL), "{errno:?}");
    bench.session.dma_unmap(buffer.id)?;
    let errno = bench
        .session
        .transfer(&from_to(far, Endpoint::Region(region, 0), 1));
    ensure!(errno == Err(Errno::ENOENT), "{errno:?}");
    Ok(text)
}

pub(super) fn exported_and_imported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    // Of this device, and of the other one, which has no driver to lose, so that its coherent memory is there to stay.
    let other = Session::open()?;
    let kinds: [(&Session, &[(Backing, Method)]); 2] = [
        (&bench.session, &[PAGES, VMALLOC, KMALLOC]),
        (&other, &[PAGES, VMALLOC, KMALLOC, COHERENT]),
    ];
    for (session, kinds) in kinds {
        for (backing, method) in kinds.iter().copied() {
            let region = session.create(backing, method, 3 * page_size())?;
            let exported = session.export(&region, (page_size(), 2 * page_size()), true)?;
            let buffer = bench.session.import(exported.as_fd())?;
            ensure!(buffer.bytes == 2 * page_size());
            let text = through_a_buffer(&bench, buffer)?;
            let mut contents = [0; 16];
            session.read_at(&region, 3 * page_size() - 16, &mut contents)?;
            ensure!(contents == text, "{contents:?}");
            // The file keeps the memory.
            session.destroy(&region)?;
            let buffer = bench.session.import(exported.as_fd())?;
            through_a_buffer(&bench, buffer)?;
        }
    }
    drop(other);
    bench.close()
}

nix::ioctl_readwrite!(heap_alloc, b'H', 0, HeapAllocation);

/// `struct dma_heap_allocation_data` of `linux/dma-heap.h`.
#[repr(C)]
#[derive(Default)]
struct HeapAllocation {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

/// A buffer of the system heap, or a skip.
pub fn heap_buffer(bytes: u64, flags: i32) -> Result<OwnedFd> {
    let heap = match fs::File::open("/dev/dma_heap/system") {
        Ok(heap) => heap,
        Err(_) => return skip("this kernel has no system heap (CONFIG_DMABUF_HEAPS_SYSTEM)"),
    };
    let mut request = HeapAllocation {
        len: bytes,
        fd_flags: (flags | nix::libc::O_CLOEXEC) as u32,
        ..HeapAllocation::default()
    };
    // SAFETY: The structure is that of this request, which fills it in.
    unsafe { heap_alloc(heap.as_raw_fd(), &mut request)? };
    // SAFETY: The kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(request.fd as i32) })
}

pub(super) fn the_system_heap_is_imported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let heap = heap_buffer(3 * page_size(), nix::libc::O_RDWR)?;
    let buffer = bench.session.import(heap.as_fd())?;
    through_a_buffer(&bench, buffer)?;
    bench.close()
}

nix::ioctl_write_ptr!(udmabuf_create, b'u', 0x42, UdmabufCreate);

/// `struct udmabuf_create` of `linux/udmabuf.h`.
#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

/// A buffer of all but the first page of a memfd of `bytes` bytes, and that memfd; or a skip.
pub fn udmabuf(bytes: u64) -> Result<(OwnedFd, OwnedFd)> {
    use nix::{
        fcntl::{fcntl, FcntlArg, SealFlag},
        sys::memfd::{memfd_create, MFdFlags},
    };
    let maker = match fs::File::open("/dev/udmabuf") {
        Ok(maker) => maker,
        Err(_) => return skip("this kernel makes no DMA-bufs of a memfd (CONFIG_UDMABUF)"),
    };
    let memory = memfd_create(c"udmabuf", MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&memory, bytes as nix::libc::off_t)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
    let request = UdmabufCreate {
        memfd: memory.as_raw_fd() as u32,
        flags: 1,
        offset: page_size(),
        size: bytes - page_size(),
    };
    // SAFETY: The structure is that of this request.
    let fd = unsafe { udmabuf_create(maker.as_raw_fd(), &request)? };
    // SAFETY: The kernel has just made it for this process.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, memory))
}

pub(super) fn a_udmabuf_is_imported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (file, memory) = udmabuf(3 * page_size())?;
    let buffer = bench.session.import(file.as_fd())?;
    let text = through_a_buffer(&bench, buffer)?;
    // The memfd's pages are what was written to.
    let mut contents = [0; 16];
    nix::sys::uio::pread(
        &memory,
        &mut contents,
        (3 * page_size()) as nix::libc::off_t - 16,
    )?;
    ensure!(contents == text, "{contents:?}");
    bench.close()
}

nix::ioctl_write_ptr!(dma_buf_sync, b'b', 0, u64);
/// `DMA_BUF_SYNC_RW` of `linux/dma-buf.h`.
const SYNC_BOTH: u64 = 3;
/// `DMA_BUF_SYNC_END`.
const SYNC_END: u64 = 4;

pub(super) fn an_exported_buffer_is_mapped(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    for kind in [PAGES, VMALLOC, (Backing::Pages, Method::Fault)] {
        let region = bench.create(kind, 3 * page_size())?;
        bench
            .session
            .write_at(&region, page_size() + 7, b"mapped")?;
        let exported = bench
            .session
            .export(&region, (page_size(), 2 * page_size()), true)?;
        let bytes = 2 * page_bytes();
        let mut mapping = Mapping::new(exported.as_fd(), 0, bytes, Protection::ReadWrite)?;
        let beyond = Mapping::new(exported.as_fd(), 0, bytes + 1, Protection::Read).err();
        ensure!(beyond == Some(Errno::EINVAL), "{beyond:?}");
        // SAFETY: The word is what this request takes.
        unsafe { dma_buf_sync(exported.as_raw_fd(), &SYNC_BOTH)? };
        let mut contents = [0; 6];
        mapping.read(7, &mut contents);
        ensure!(&contents == b"mapped", "{contents:?}");
        mapping.write(page_bytes(), b"stored");
        // SAFETY: As above.
        unsafe { dma_buf_sync(exported.as_raw_fd(), &(SYNC_BOTH | SYNC_END))? };
        bench
            .session
            .read_at(&region, 2 * page_size(), &mut contents)?;
        ensure!(&contents == b"stored", "{contents:?}");
    }
    bench.close()
}

pub(super) fn read_only_buffers_are_no_target(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (region, other) = (
        bench.create(PAGES, page_size())?,
        bench.create(COHERENT, page_size())?,
    );
    let exported = bench.session.export(&region, (0, page_size()), false)?;
    let heap = heap_buffer(page_size(), nix::libc::O_RDONLY)?;
    for fd in [exported, heap] {
        let buffer = bench.session.import(fd.as_fd())?;
        let (inside, outside) = (Endpoint::Import(buffer, 0), Endpoint::Region(other, 0));
        let errno = bench.session.transfer(&from_to(outside, inside, 1));
        ensure!(errno == Err(Errno::EACCES), "{errno:?}");
        bench.session.transfer(&from_to(inside, outside, 1))?;
        let mapped = Mapping::new(fd.as_fd(), 0, page_bytes(), Protection::ReadWrite).err();
        ensure!(mapped == Some(Errno::EACCES), "{mapped:?}");
    }
    bench.close()
}

pub(super) fn what_cannot_be_exported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let page = page_size();
    let region = bench.create(PAGES, 2 * page)?;
    let refused =
        |region: &Region, first, bytes| session.export(region, (first, bytes), true).err();
    for (first, bytes) in [
        (1, page),
        (0, page - 1),
        (0, 0),
        (page, 2 * page),
        (u64::MAX - (page - 1), page),
    ] {
        let errno = refused(&region, first, bytes);
        ensure!(
            errno == Some(Errno::EINVAL),
            "{errno:?} for {bytes} from {first}"
        );
    }
    // It is taken back when the device loses its driver.
    let errno = refused(&bench.create(COHERENT, 2 * page)?, 0, page);
    ensure!(errno == Some(Errno::EOPNOTSUPP), "{errno:?}");
    session.destroy(&region)?;
    ensure!(refused(&region, 0, page) == Some(Errno::ENOENT));
    let errno = session.import(session.as_fd()).err();
    ensure!(errno == Some(Errno::EINVAL), "{errno:?}");
    bench.close()
}
