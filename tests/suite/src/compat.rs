// SPDX-License-Identifier: MIT OR Apache-2.0

//! 32-bit callers on a 64-bit kernel. `int 0x80` makes a system call as a 32-bit program does, so that
//! the kernel takes its `compat` path, with structures below 4 GiB.

use crate::{
    raw::Map,
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{
    uapi::{self, Request},
    Backing, Method, Protection, Session,
};
use nix::{errno::Errno, sys::mman::MapFlags};
use std::{
    arch::asm,
    os::fd::{AsFd as _, AsRawFd as _},
};

suite! { "compat":
    every_ioctl_works,
    unknown_ioctl_is_enotty,
    bad_pointer_is_efault,
}

/// `ioctl` in the table of 32-bit system calls, `arch/x86/entry/syscalls/syscall_32.tbl`.
const IOCTL_32: u32 = 54;

/// A page below 4 GiB.
struct LowPage(Map);

impl LowPage {
    fn new() -> Result<Self> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_ANONYMOUS | MapFlags::MAP_32BIT;
        let none = std::fs::File::open("/dev/null")?;
        Ok(Self(Map::new(&none, 0, 4096, crate::raw::RW, flags)?))
    }

    /// Does the ioctl of `request` as a 32-bit program.
    fn request<R: Request>(&self, session: &Session, request: &mut R) -> Result<(), Errno> {
        let place = self.0.addr as *mut R;
        // SAFETY: The page is longer than any request and aligned to one, and nobody else uses it.
        unsafe { place.write_volatile(std::ptr::read(request)) };
        let result = ioctl_32(session, R::IOCTL, self.0.addr);
        // SAFETY: As above; a request may have any bytes.
        *request = unsafe { place.read_volatile() };
        result
    }
}

/// `ioctl(session, number, address)` as a 32-bit program does it. The address must be of a page of the
/// test's own, or of nothing.
fn ioctl_32(session: &Session, number: u32, address: usize) -> Result<(), Errno> {
    let fd = session.as_fd().as_raw_fd();
    let mut result = IOCTL_32;
    // SAFETY: A system call that uses no stack and changes `eax` alone; `rbx`, which holds an
    // argument, is put back. The kernel writes no more than a structure at the address.
    unsafe {
        asm!(
            "xchg {fd:r}, rbx",
            "int 0x80",
            "xchg {fd:r}, rbx",
            fd = inout(reg) u64::from(fd as u32) => _,
            inout("eax") result,
            in("ecx") number,
            in("rdx") address,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    match i32::from_ne_bytes(result.to_ne_bytes()) {
        0 => Ok(()),
        errno => Err(Errno::from_raw(-errno)),
    }
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
        bytes: 10_000,
        ..uapi::Create::new()
    };
    page.request(&session, &mut create)?;
    ensure!(
        create.bytes == 12288 && create.offset >= uapi::FIRST_OFFSET,
        "{create:?}"
    );
    let region = mapwright::Region {
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
    ensure!(query.bytes == 12288 && query.mmaps == 1, "{query:?}");

    let array = LowPage::new()?;
    let mut pages = uapi::Pages {
        id: region.id,
        count: 3,
        array: array.0.addr as u64,
        ..uapi::Pages::new()
    };
    page.request(&session, &mut pages)?;
    let told = session.pages(&region, 0, 1)?[0].pfn.to_ne_bytes();
    ensure!(pages.count == 3 && (0..8).all(|i| array.0.load(i) == told[i]));

    let mut sync = uapi::Sync {
        id: region.id,
        flags: 3,
        bytes: 12288,
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

fn unknown_ioctl_is_enotty(_: &Context) -> Result<()> {
    let (session, page) = (session()?, LowPage::new()?);
    let told = ioctl_32(&session, uapi::IOCTL_INFO + 0x80, page.0.addr);
    ensure!(told == Err(Errno::ENOTTY), "{told:?}");
    Ok(())
}

fn bad_pointer_is_efault(_: &Context) -> Result<()> {
    let session = session()?;
    for address in [0, 64, 0xffff_fff0] {
        let told = ioctl_32(&session, uapi::IOCTL_INFO, address);
        ensure!(told == Err(Errno::EFAULT), "{address:#x}: {told:?}");
    }
    Ok(())
}
