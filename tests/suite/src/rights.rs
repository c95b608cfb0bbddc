// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may do what: a descriptor that was opened for reading changes nothing, memory types are the
//! administrator's, and page tables of others are for who may trace them.

use crate::{
    child,
    limits::with_parameters,
    raw::{ioctl_bytes, Map},
    runner::{skip, suite, Context},
    tracing::Instance,
};
use anyhow::{ensure, Result};
use mapwright::{
    inspect::Target,
    page_bytes, page_size, reason_against_caching,
    uapi::{gpio, Request as _, Transfer, IOCTL_DMA_MAP, IOCTL_TRANSFER},
    Backing, Caching, Inspector, Method, Session, DEVICE,
};
use nix::{errno::Errno, libc};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

suite! { "rights":
    memory_types_are_the_administrators,
    memory_types_are_for_all_if_so_wanted,
    a_reading_descriptor_exports_nothing_writable,
    page_tables_of_others_take_cap_sys_ptrace,
    what_is_told_beside_others_is_no_denial,
}

/// Creates a region with each memory type but the usual one.
fn create_each(session: &Session) -> Vec<Result<(), Option<Errno>>> {
    let kinds = [Caching::WriteCombine, Caching::Uncached];
    let create = |caching: Caching| {
        let result = session.create_cached(Backing::Pages, Method::Remap, caching, page_size());
        result.map(drop).map_err(|err| err.errno())
    };
    kinds.into_iter().map(create).collect()
}

fn needs_memory_types() -> Result<()> {
    match reason_against_caching(Backing::Pages, Method::Remap, Caching::Uncached) {
        Some(reason) => skip(reason),
        None => Ok(()),
    }
}

fn open_synchronous() -> Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(libc::O_SYNC);
    Ok(options.open(DEVICE)?)
}

fn memory_types_are_the_administrators(_: &Context) -> Result<()> {
    needs_memory_types()?;
    let (session, synchronous) = (Session::open()?, open_synchronous()?);
    ensure!(create_each(&session) == [Ok(()), Ok(())]);
    child::run(|| {
        child::become_nobody()?;
        let result = create_each(&session);
        ensure!(
            result == [Err(Some(Errno::EPERM)), Err(Some(Errno::EPERM))],
            "{result:?}"
        );
        session.create(Backing::Pages, Method::Remap, page_size())?;
        // A file with O_SYNC has an uncached default region, or none.
        let result = Map::shared(&synchronous, 0, page_bytes()).err();
        ensure!(result == Some(Errno::EPERM), "{result:?}");
        let result = nix::sys::uio::pread(&synchronous, &mut [0; 8], 0);
        ensure!(result == Err(Errno::EPERM), "{result:?}");
        Ok(())
    })
}

fn memory_types_are_for_all_if_so_wanted(context: &Context) -> Result<()> {
    needs_memory_types()?;
    with_parameters(context, "caching_for_all=1", || {
        let (session, synchronous) = (Session::open()?, open_synchronous()?);
        child::run(|| {
            child::become_nobody()?;
            let result = create_each(&session);
            ensure!(result == [Ok(()), Ok(())], "{result:?}");
            Map::shared(&synchronous, 0, page_bytes())?;
            Ok(())
        })
    })?;
    // What the administrator chose for all needs no right of its own.
    with_parameters(context, "default_caching=wc", || {
        let session = Session::open()?;
        child::run(|| {
            child::become_nobody()?;
            Map::shared(&session, 0, page_bytes())?;
            let result = create_each(&session);
            ensure!(result[0] == Err(Some(Errno::EPERM)), "{result:?}");
            Ok(())
        })
    })
}

fn a_reading_descriptor_exports_nothing_writable(_: &Context) -> Result<()> {
    let session = Session::from(File::open(DEVICE)?);
    let region = session.create(Backing::Pages, Method::Insert, page_size())?;
    let writable = session.export(&region, (0, region.bytes), true).map(drop);
    if writable == Err(Errno::ENOTTY) {
        return skip("this kernel has no DMA-bufs");
    }
    ensure!(writable == Err(Errno::EBADF), "{writable:?}");
    let buffer = session.export(&region, (0, region.bytes), false)?;
    let result = Map::shared(&buffer, 0, page_bytes()).err();
    ensure!(result == Some(Errno::EACCES), "{result:?}");
    Ok(())
}

/// What an ioctl that changes something says to a descriptor that was opened for reading.
pub fn expect_refused(node: &Path, numbers: &[(u32, usize)]) -> Result<()> {
    let file = File::open(node)?;
    for (number, size) in numbers {
        let result = ioctl_bytes(&file, *number, *size as u32, &[]).map(drop);
        ensure!(result == Err(Errno::EBADF), "{number:#x}: {result:?}");
    }
    Ok(())
}

/// Of the DMA device: no transfer, no memory for the device to write to.
pub const DMA_CHANGES: &[(u32, usize)] = &[
    (IOCTL_TRANSFER, Transfer::MIN_SIZE),
    (IOCTL_DMA_MAP, mapwright::uapi::DmaMap::MIN_SIZE),
];

/// Of a GPIO bank: no line.
pub const GPIO_CHANGES: &[(u32, usize)] = &[
    (gpio::IOCTL_OUTPUTS, gpio::Outputs::MIN_SIZE),
    (gpio::IOCTL_DIRECTION, gpio::Direction::MIN_SIZE),
    (gpio::IOCTL_BLINK, gpio::Blink::MIN_SIZE),
];

/// Takes a capability from the calling thread.
fn drop_capability(number: u32) -> Result<()> {
    // The structures of `capset(2)`, version 3: header, then effective, permitted and inheritable, twice 32 bits.
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: Both are as long as the version says.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    Errno::result(got)?;
    let word = &mut sets[number as usize / 32];
    word[0] &= !(1 << (number % 32));
    word[1] &= !(1 << (number % 32));
    // SAFETY: As above.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    Errno::result(set)?;
    Ok(())
}

fn page_tables_of_others_take_cap_sys_ptrace(_: &Context) -> Result<()> {
    const CAP_SYS_PTRACE: u32 = 19;
    let mine = 0u8;
    let address = std::ptr::from_ref(&mine) as u64;
    let other = Target::Process(std::process::id());
    let inspector = Inspector::open()?;
    child::run(|| {
        let walk = |target| inspector.walk(target, address).map(drop);
        walk(other)?;
        drop_capability(CAP_SYS_PTRACE)?;
        let result = walk(other).map_err(|err| err.errno());
        ensure!(result == Err(Some(Errno::EPERM)), "{result:?}");
        walk(Target::Myself)?;
        // There may be nothing at this address, but nobody is asked who else's it is.
        let result = walk(Target::Kernel).map_err(|err| err.errno());
        ensure!(
            result != Err(Some(Errno::EPERM)),
            "the kernel's: {result:?}"
        );
        Ok(())
    })
}

/// `capable()` writes a denial into the audit log. A program that asks for a region's size, and is not told its bus
/// address, was denied nothing.
fn what_is_told_beside_others_is_no_denial(_: &Context) -> Result<()> {
    const ASKS: &str = "capable";
    const ASKS_SILENTLY: &str = "ns_capable_noaudit";
    let session = Session::open()?;
    let region = session.create(Backing::Coherent, Method::Dma, page_size())?;
    let Some(trace) = Instance::of_functions(&format!("{ASKS} {ASKS_SILENTLY}"))? else {
        return skip("this kernel does not trace its functions");
    };
    let pid = child::spawn(|| {
        child::become_nobody()?;
        session.query(&region)?;
        Ok(())
    })?;
    child::ends_well(pid)?;
    let asked = (
        trace.calls_by(pid, ASKS)?,
        trace.calls_by(pid, ASKS_SILENTLY)?,
    );
    ensure!(asked.0 == 0, "{ASKS}() was called {} times", asked.0);
    ensure!(asked.1 > 0, "nobody asked what the program may see");
    Ok(())
}
