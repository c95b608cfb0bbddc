// SPDX-License-Identifier: MIT OR Apache-2.0

//! 32-bit callers on a 64-bit kernel. `int 0x80` makes a system call as a 32-bit program does, so that
//! the kernel takes its `compat` path, with structures below 4 GiB.

use crate::{
    cells::Cell,
    raw::{Map, RW},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Plan},
    block_size, page_bytes, page_size,
    uapi::{self, inspect, Request},
    Backing, Inspector, Method, Protection, Region, Session,
};
use nix::{errno::Errno, sys::mman::MapFlags};
use std::{
    arch::asm,
    os::fd::{AsFd, AsRawFd as _},
};

suite! { "compat":
    every_ioctl_works,
    every_ioctl_of_the_inspector_works,
    every_cell_is_mapped,
    allocation_plans_work,
    unknown_ioctl_is_enotty,
    bad_pointer_is_efault,
}

/// `ioctl` in the table of 32-bit system calls, `arch/x86/entry/syscalls/syscall_32.tbl`.
const IOCTL_32: u32 = 54;
/// `mmap` there, whose arguments are in a structure.
const OLD_MMAP_32: u32 = 90;

/// A page below 4 GiB.
struct LowPage(Map);

impl LowPage {
    fn new() -> Result<Self> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_ANONYMOUS | MapFlags::MAP_32BIT;
        let none = std::fs::File::open("/dev/null")?;
        Ok(Self(Map::new(&none, 0, page_bytes(), RW, flags)?))
    }

    /// Does the ioctl of `request` as a 32-bit program.
    fn request<R: Request>(&self, device: &impl AsFd, request: &mut R) -> Result<(), Errno> {
        let place = self.0.addr as *mut R;
        // SAFETY: The page is longer than any request and aligned to one, and nobody else uses it.
        unsafe { place.write_volatile(std::ptr::read(request)) };
        let result = ioctl_32(device, R::IOCTL, self.0.addr);
        // SAFETY: As above; a request may have any bytes.
        *request = unsafe { place.read_volatile() };
        result
    }
}

/// A system call with three arguments as a 32-bit program makes it.
///
/// # Safety
///
/// As for the call that has this number in the table of 32-bit system calls.
unsafe fn call_32(number: u32, arguments: [usize; 3]) -> Result<u32, Errno> {
    let [first, second, third] = arguments;
    let mut result = number;
    // SAFETY: A system call that uses no stack and changes `eax` alone; `rbx`, which holds an
    // argument, is put back. The rest is the caller's promise.
    unsafe {
        asm!(
            "xchg {first:r}, rbx",
            "int 0x80",
            "xchg {first:r}, rbx",
            first = inout(reg) first => _,
            inout("eax") result,
            in("rcx") second,
            in("rdx") third,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // The last numbers are of errors: `MAX_ERRNO` of them.
    match result.wrapping_neg() {
        errno @ 1..=4095 => Err(Errno::from_raw(errno as i32)),
        _ => Ok(result),
    }
}

/// `ioctl(device, number, address)` as a 32-bit program does it. The address must be of a page of the
/// test's own, or of nothing.
fn ioctl_32(device: &impl AsFd, number: u32, address: usize) -> Result<(), Errno> {
    let fd = device.as_fd().as_raw_fd() as usize;
    // SAFETY: The kernel writes no more than a structure at the address.
    unsafe { call_32(IOCTL_32, [fd, number as usize, address]) }.map(drop)
}

/// All of a region, mapped as a 32-bit program does it, for which the kernel chooses an address below
/// 4 GiB.
fn mmap_32(session: &Session, region: &Region) -> Result<Map> {
    let arguments = LowPage::new()?;
    let fd = session.as_fd().as_raw_fd() as u32;
    let length = usize::try_from(region.bytes)?;
    let (protection, flags) = (RW.bits() as u32, MapFlags::MAP_SHARED.bits() as u32);
    let structure = [
        0,
        u32::try_from(length)?,
        protection,
        flags,
        fd,
        u32::try_from(region.offset)?,
    ];
    // SAFETY: The page is longer than that, and nobody else uses it.
    unsafe { (arguments.0.addr as *mut [u32; 6]).write_volatile(structure) };
    // SAFETY: The kernel chooses an address where nothing is mapped.
    let addr = unsafe { call_32(OLD_MMAP_32, [arguments.0.addr, 0, 0]) }?;
    Ok(Map {
        addr: addr as usize,
        length,
    })
}

fn session() -> Result<Session> {
    // A kernel without it would kill the program.
    let symbols = std::fs::read_to_string("/proc/kallsyms")?;
    if !symbols.contains(" do_int80_emulation") && !symbols.contains(" asm_int80_emulation") {
        return skip("this kernel has no 32-bit system calls");
    }
    Ok(Session::open()?)
}

fn every_ioctl_works(_: &Context) -> Result<()> {
    let (session, page) = (session()?, LowPage::new()?);
    let mut info = uapi::Info::new();
    page.request(&session, &mut info)?;
    ensure!(info == session.info()?);

    let mut create = uapi::Create {
        backing: Backing::Vmalloc.number(),
        method: Method::Insert.number(),
        bytes: 3 * page_size() - 1,
        ..uapi::Create::new()
    };
    page.request(&session, &mut create)?;
    ensure!(
        create.bytes == 3 * page_size() && create.offset >= uapi::FIRST_OFFSET,
        "{create:?}"
    );
    let region = Region {
        id: create.id,
        offset: create.offset,
        bytes: create.bytes,
    };
    session.map(&region, Protection::ReadWrite)?.write(0, &[1]);

    let mut query = uapi::Query {
        id: region.id,
        ..uapi::Query::new()
    };
    page.request(&session, &mut query)?;
    ensure!(query.bytes == create.bytes && query.mmaps == 1, "{query:?}");

    let array = LowPage::new()?;
    let mut pages = uapi::Pages {
        id: region.id,
        count: 3,
        array: array.0.addr as u64,
        ..uapi::Pages::new()
    };
    page.request(&session, &mut pages)?;
    let result = session.pages(&region, 0, 1)?[0].pfn.to_ne_bytes();
    ensure!(pages.count == 3 && (0..8).all(|i| array.0.load(i) == result[i]));

    let mut sync = uapi::Sync {
        id: region.id,
        flags: 3,
        bytes: create.bytes,
        ..uapi::Sync::new()
    };
    page.request(&session, &mut sync)?;
    let mut destroy = uapi::Destroy {
        id: region.id,
        ..uapi::Destroy::new()
    };
    page.request(&session, &mut destroy)?;
    ensure!(page.request(&session, &mut destroy) == Err(Errno::ENOENT));
    Ok(())
}

fn every_ioctl_of_the_inspector_works(_: &Context) -> Result<()> {
    session()?;
    let (inspector, page) = (Inspector::open()?, LowPage::new()?);
    // Of the page that the request itself is in.
    let mut walk = inspect::Walk {
        address: page.0.addr as u64,
        flags: inspect::WALK_COUNTED,
        ..inspect::Walk::new()
    };
    page.request(&inspector, &mut walk)?;
    ensure!(walk.counted == walk.physical / page_size(), "{walk:x?}");

    let mut frame = inspect::Frame {
        pfn: walk.counted,
        ..inspect::Frame::new()
    };
    page.request(&inspector, &mut frame)?;
    ensure!(frame.refcount > 0 && frame.mapcount == 1, "{frame:x?}");

    let mut layout = inspect::Layout::new();
    page.request(&inspector, &mut layout)?;
    ensure!(
        u64::from(layout.nr_areas) == inspector.layout()?.areas.len() as u64,
        "{layout:x?}"
    );
    Ok(())
}

/// Addresses, offsets and blocks below 4 GiB.
fn every_cell_is_mapped(_: &Context) -> Result<()> {
    let session = session()?;
    for cell in Cell::all().filter(Cell::is_sound) {
        for bytes in [3 * page_size(), 2 * block_size() - page_size()] {
            let region = cell.create(&session, bytes)?;
            let map = mmap_32(&session, &region)?;
            ensure!(map.addr < 1 << 32, "at {:#x}", map.addr);
            for page in 0..map.length / page_bytes() {
                map.store(page * page_bytes(), page as u8 | 1);
                let mut byte = [0];
                session.read_at(&region, page as u64 * page_size(), &mut byte)?;
                ensure!(
                    byte == [page as u8 | 1],
                    "{}: page {page} is other memory",
                    cell.name()
                );
            }
            drop(map);
            session.destroy(&region)?;
        }
    }
    Ok(())
}

fn allocation_plans_work(_: &Context) -> Result<()> {
    session()?;
    let (device, page, array) = (AllocDevice::open()?, LowPage::new()?, LowPage::new()?);
    let mut info = uapi::alloc::Info::new();
    page.request(&device, &mut info)?;
    ensure!(info.budget_bytes == device.info()?.budget_bytes);

    let mut run = Plan::new(Allocator::Kmalloc, 100).to_request();
    (run.records, run.nr_records) = (array.0.addr as u64, 1);
    page.request(&device, &mut run)?;
    ensure!((run.allocated, run.nr_records) == (1, 1), "{run:?}");
    ensure!((0..8).any(|i| array.0.load(i) != 0), "no address");
    let mut release = uapi::alloc::Release::new();
    page.request(&device, &mut release)?;
    ensure!(release.freed == 0);
    Ok(())
}

fn unknown_ioctl_is_enotty(_: &Context) -> Result<()> {
    let (session, page) = (session()?, LowPage::new()?);
    let result = ioctl_32(&session, uapi::IOCTL_INFO + 0x80, page.0.addr);
    ensure!(result == Err(Errno::ENOTTY), "{result:?}");
    Ok(())
}

fn bad_pointer_is_efault(_: &Context) -> Result<()> {
    let session = session()?;
    for address in [0, 64, 0xffff_fff0] {
        let result = ioctl_32(&session, uapi::IOCTL_INFO, address);
        ensure!(result == Err(Errno::EFAULT), "{address:#x}: {result:?}");
    }
    Ok(())
}
