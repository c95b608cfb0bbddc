// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program's view and the kernel's are the same memory.

use crate::{
    child,
    raw::{Map, RW},
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, page_size, Backing, Method, Protection, Region, Session};
use nix::sys::mman::MapFlags;

suite! { "coherence":
    a_store_is_seen_by_the_kernel,
    a_kernel_write_is_seen_by_the_program,
    two_mappings_are_one_memory,
    a_part_is_mapped_at_its_offset,
    transfers_cross_pages,
    two_processes_share,
    a_bad_buffer_is_efault,
    private_insert_is_copied_on_write,
}

const PAIRS: [(Backing, Method); 2] = [
    (Backing::Pages, Method::Remap),
    (Backing::Vmalloc, Method::Insert),
];

/// Runs `f` on a fresh region of 16 pages of each pair.
fn on_each_pair(f: impl Fn(&Session, &Region) -> Result<()>) -> Result<()> {
    for (backing, method) in PAIRS {
        let session = Session::open()?;
        let region = session.create(backing, method, 16 * page_size())?;
        f(&session, &region)?;
    }
    Ok(())
}

fn a_store_is_seen_by_the_kernel(_: &Context) -> Result<()> {
    on_each_pair(|session, region| {
        let mut mapping = session.map(region, Protection::ReadWrite)?;
        for page in 0..16u8 {
            let at = usize::from(page) * page_bytes() + usize::from(page);
            mapping.write(at, &[page + 1]);
            let mut byte = [0];
            session.read_at(region, at as u64, &mut byte)?;
            ensure!(byte == [page + 1], "page {page}");
        }
        Ok(())
    })
}

fn a_kernel_write_is_seen_by_the_program(_: &Context) -> Result<()> {
    on_each_pair(|session, region| {
        let mapping = session.map(region, Protection::Read)?;
        for page in 0..16u8 {
            let at = usize::from(page) * page_bytes() + page_bytes() - 1;
            session.write_at(region, at as u64, &[page + 1])?;
            let mut byte = [0];
            mapping.read(at, &mut byte);
            ensure!(byte == [page + 1], "page {page}");
        }
        Ok(())
    })
}

fn two_mappings_are_one_memory(_: &Context) -> Result<()> {
    on_each_pair(|session, region| {
        let mut one = session.map(region, Protection::ReadWrite)?;
        let two = session.map(region, Protection::Read)?;
        one.write(12345, b"once");
        let mut contents = [0; 4];
        two.read(12345, &mut contents);
        ensure!(&contents == b"once");
        Ok(())
    })
}

fn a_part_is_mapped_at_its_offset(_: &Context) -> Result<()> {
    on_each_pair(|session, region| {
        let (first, bytes) = (2 * page_size(), 3 * page_bytes());
        let part = Map::shared(session, region.offset + first, bytes)?;
        part.store(0, 11);
        part.store(bytes - 1, 12);
        let mut byte = [0];
        session.read_at(region, first, &mut byte)?;
        ensure!(byte == [11]);
        session.read_at(region, first + bytes as u64 - 1, &mut byte)?;
        ensure!(byte == [12]);
        Ok(())
    })
}

fn transfers_cross_pages(_: &Context) -> Result<()> {
    on_each_pair(|session, region| {
        let data: Vec<u8> = (0..5 * page_bytes()).map(|i| (i % 251) as u8).collect();
        session.write_at(region, page_size() - 95, &data)?;
        let mapping = session.map(region, Protection::Read)?;
        let mut contents = vec![0; data.len()];
        mapping.read(page_bytes() - 95, &mut contents);
        ensure!(contents == data);
        Ok(())
    })
}

fn two_processes_share(_: &Context) -> Result<()> {
    on_each_pair(|session, region| {
        let mapping = session.map(region, Protection::ReadWrite)?;
        child::run(|| {
            let mut own = session.map(region, Protection::ReadWrite)?;
            own.write(100, b"from the child");
            Ok(())
        })?;
        let mut contents = [0; 14];
        mapping.read(100, &mut contents);
        ensure!(&contents == b"from the child");
        Ok(())
    })
}

fn a_bad_buffer_is_efault(_: &Context) -> Result<()> {
    use nix::{errno::Errno, libc};
    use std::os::fd::{AsFd as _, AsRawFd as _};
    on_each_pair(|session, region| {
        let (fd, at) = (session.as_fd().as_raw_fd(), region.offset as libc::off_t);
        let nothing = 16 as *mut libc::c_void;
        // SAFETY: The kernel checks the address, which is of nothing.
        let read = Errno::result(unsafe { libc::pread(fd, nothing, 8, at) });
        ensure!(read == Err(Errno::EFAULT), "{read:?}");
        // SAFETY: As above.
        let write = Errno::result(unsafe { libc::pwrite(fd, nothing, 8, at) });
        ensure!(write == Err(Errno::EFAULT), "{write:?}");
        Ok(())
    })
}

fn private_insert_is_copied_on_write(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Vmalloc, Method::Insert, 2 * page_size())?;
    let length = 2 * page_bytes();
    let private = Map::new(&session, region.offset, length, RW, MapFlags::MAP_PRIVATE)?;
    session.write_at(&region, 0, b"A")?;
    ensure!(private.load(0) == b'A', "an untouched page is still shared");
    private.store(0, b'B');
    let mut byte = [0];
    session.read_at(&region, 0, &mut byte)?;
    ensure!(&byte == b"A", "a private store reached the region");
    ensure!(private.load(0) == b'B');
    Ok(())
}
