// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel shows others of the mapping, and how they read and write it.

use super::{value, Subject, STEPS};
use crate::{
    child,
    raw::{self, Map, RW},
    runner::skip,
};
use anyhow::{ensure, Result};
use mapwright::{architecture, page_bytes, vma_of, AddressClass, Architecture, Backing, Method};
use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::ProtFlags,
        resource::{setrlimit, Resource, RLIM_INFINITY},
        signal::{raise, Signal},
        uio::{process_vm_readv, RemoteIoVec},
    },
    unistd::{getpid, pipe},
};
use std::{
    fs::File,
    io::IoSliceMut,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::FileExt as _,
    },
};

/// All that the kernel tells of a mapping is told, and `clear_refs` clears nothing that is needed.
pub(super) fn looked_at_through_proc(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    for file in [
        "maps",
        "smaps",
        "smaps_rollup",
        "numa_maps",
        "status",
        "pagemap",
    ] {
        let opened = File::open(format!("/proc/self/{file}"));
        match (file, opened) {
            ("numa_maps", Err(_)) => {}
            ("pagemap", opened) => {
                let at = (it.map.addr / page_bytes() * 8) as u64;
                opened?.read_exact_at(&mut [0; STEPS * 8], at)?;
            }
            (_, opened) => drop(std::io::read_to_string(opened?)?),
        }
    }
    for what in 1..=5 {
        // Not every kernel can do each.
        let _ = std::fs::write("/proc/self/clear_refs", what.to_string());
        it.expect_steps(0..STEPS)?;
    }
    it.map.store(2 * it.step, 99);
    ensure!(it.kernel_sees(2)? == 99);
    Ok(())
}

/// A program that crashes does not leave the region's contents in a file.
pub(super) fn core_dump_has_nothing_of_it(it: &mut Subject) -> Result<()> {
    const MARK: &[u8] = b"what the kernel keeps to itself";
    const OWN: &[u8] = b"what the program has in its own memory";
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.trim() != "core" {
        return skip("core dumps are not written to a file \"core\" here");
    }
    if !std::path::Path::new("/proc/self/coredump_filter").exists() {
        return skip("this kernel writes no core dumps: it has no CONFIG_ELF_CORE");
    }
    // Made where they are stored, so that they are nowhere else in the program.
    for (at, byte) in MARK.iter().enumerate() {
        it.map.store(it.step + at, byte ^ 0x80);
    }
    let own = Map::anonymous(page_bytes(), RW)?;
    for (at, byte) in OWN.iter().enumerate() {
        own.store(at, byte ^ 0x80);
    }
    let dir = std::env::temp_dir().join(format!("mapwright-core-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let killed = child::killed_by(|| {
        std::env::set_current_dir(&dir)?;
        setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY)?;
        std::fs::write("/proc/self/coredump_filter", "0xff")?;
        it.expect_steps(2..STEPS)?;
        raise(Signal::SIGABRT)?;
        Ok(())
    });
    let core = std::fs::read_dir(&dir)?
        .flatten()
        .map(|entry| std::fs::read(entry.path()))
        .next();
    std::fs::remove_dir_all(&dir)?;
    ensure!(killed? == Some(Signal::SIGABRT));
    let Some(core) = core else {
        return skip("this kernel writes no core dumps");
    };
    let core = core?;
    let has = |mark: &[u8]| {
        core.windows(mark.len()).any(|bytes| {
            bytes
                .iter()
                .zip(mark)
                .all(|(byte, mark)| byte ^ 0x80 == *mark)
        })
    };
    ensure!(has(OWN), "the program's own memory is not in the core dump");
    ensure!(!has(MARK), "the region is in the core dump");
    Ok(())
}

pub(super) fn resident_set(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    let rss = vma_of(it.map.addr)?.rss_bytes;
    let expected = if it.is_counted() {
        it.length() as u64
    } else {
        0
    };
    ensure!(rss == expected, "Rss is {rss}, not {expected}");
    Ok(())
}

/// `write(2)` from the mapping to a pipe, and back.
pub(super) fn write_from_the_mapping(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    raw::write(&writer, it.map.addr + it.step, 100)?;
    raw::read(&reader, it.map.addr + 5 * it.step, 100)?;
    ensure!(it.kernel_sees(5)? == value(1));
    Ok(())
}

pub(super) fn process_vm_readv_reads_or_fails(it: &mut Subject) -> Result<()> {
    let mut contents = [0; 4];
    let remote = RemoteIoVec {
        base: it.map.addr + it.step,
        len: contents.len(),
    };
    let read = process_vm_readv(getpid(), &mut [IoSliceMut::new(&mut contents)], &[remote]);
    if !it.is_counted() {
        ensure!(read == Err(Errno::EFAULT), "{read:?}");
        return Ok(());
    }
    ensure!(
        read == Ok(4) && contents[0] == value(1),
        "{read:?} {contents:?}"
    );
    Ok(())
}

pub(super) fn proc_self_mem(it: &mut Subject) -> Result<()> {
    let mem = File::options()
        .read(true)
        .write(true)
        .open("/proc/self/mem")?;
    let at = (it.map.addr + it.step) as u64;
    let mut contents = [0; 4];
    let read = mem.read_at(&mut contents, at);
    // Memory without a page is shown by the driver; the kernel asks it only where it could map registers so.
    if !it.is_counted() && architecture() == Architecture::Other {
        let errno = read.err().and_then(|err| err.raw_os_error());
        ensure!(errno == Some(Errno::EIO as i32), "{errno:?}");
        return Ok(());
    }
    ensure!(read? == 4 && contents[0] == value(1), "{contents:?}");
    mem.write_all_at(&[55], at)?;
    ensure!(it.kernel_sees(1)? == 55);
    // Across the end of a page, and up to the end of the mapping.
    let end = (it.map.addr + it.length()) as u64;
    let mut contents = vec![0; page_bytes() + 100];
    mem.read_exact_at(&mut contents, end - (page_bytes() + 100) as u64)?;
    let last = STEPS - 1;
    if it.step == page_bytes() {
        ensure!(contents[100] == value(last), "other memory");
    }
    // What the program cannot store to, nobody stores to for it.
    it.map.protect(ProtFlags::PROT_READ)?;
    let errno = mem
        .write_at(&[66], at)
        .err()
        .and_then(|err| err.raw_os_error());
    ensure!(errno == Some(Errno::EIO as i32), "{errno:?}");
    ensure!(mem.read_at(&mut contents, at)? > 0 && contents[0] == 55);
    it.map.unmap()?;
    ensure!(mem.read_at(&mut contents, at).is_err(), "it is still there");
    Ok(())
}

/// There is nothing to wait for.
pub(super) fn synchronized(it: &mut Subject) -> Result<()> {
    it.map.store(0, 3);
    for flags in [
        libc::MS_SYNC,
        libc::MS_ASYNC,
        libc::MS_SYNC | libc::MS_INVALIDATE,
    ] {
        it.map.synchronize(flags)?;
    }
    nix::unistd::fsync(&it.session)?;
    nix::unistd::fdatasync(&it.session)?;
    ensure!(it.map.load(0) == 3);
    Ok(())
}

/// `futex(address, operation, value, a moment)`.
fn futex(address: usize, operation: i32, value: u32) -> Result<libc::c_long, Errno> {
    // As the system call's number has it: two words of the machine.
    let moment: [libc::c_long; 2] = [0, 1_000_000];
    // SAFETY: The kernel looks at the address, which is of a mapping of this test.
    let result =
        unsafe { libc::syscall(libc::SYS_futex, address, operation, value, moment.as_ptr()) };
    Errno::result(result)
}

/// The kernel's rule: what is not of a file's page cache cannot be the key of a futex that processes share. Threads of
/// one process can wait there.
pub(super) fn futexes(it: &mut Subject) -> Result<()> {
    let address = it.map.addr;
    let now = u32::from_ne_bytes([
        it.map.load(0),
        it.map.load(1),
        it.map.load(2),
        it.map.load(3),
    ]);
    let is_of_a_cache = it.cell.method == Method::PageCache;
    for (operation, otherwise) in [
        (libc::FUTEX_WAIT, Err(Errno::ETIMEDOUT)),
        (libc::FUTEX_WAKE, Ok(0)),
    ] {
        let expected = match is_of_a_cache {
            true => otherwise,
            false => Err(Errno::EFAULT),
        };
        let shared = futex(address, operation, now);
        ensure!(shared == expected, "{operation}: {shared:?}");
    }
    let private = libc::FUTEX_PRIVATE_FLAG;
    let other = futex(address, libc::FUTEX_WAIT | private, now ^ 1);
    ensure!(other == Err(Errno::EAGAIN), "{other:?}");
    let waited = futex(address, libc::FUTEX_WAIT | private, now);
    ensure!(waited == Err(Errno::ETIMEDOUT), "{waited:?}");
    ensure!(futex(address, libc::FUTEX_WAKE | private, 1) == Ok(0));
    Ok(())
}

/// The kernel tells the frames of pages that it counts, and they are those of the region.
pub(super) fn pagemap_tells_or_hides(it: &mut Subject) -> Result<()> {
    const PRESENT: u64 = 1 << 63;
    const PFN: u64 = (1 << 55) - 1;
    it.expect_steps(0..STEPS)?;
    let pages = it
        .session
        .pages(&it.region, 0, (it.length() / page_bytes()) as u64)?;
    let pagemap = File::open("/proc/self/pagemap")?;
    for at in 0..STEPS {
        let mut entry = [0; 8];
        let page = (it.map.addr + at * it.step) / page_bytes();
        pagemap.read_exact_at(&mut entry, (page * 8) as u64)?;
        let entry = u64::from_ne_bytes(entry);
        let result = (entry & PRESENT != 0).then_some(entry & PFN);
        let is = pages[at * it.step / page_bytes()].pfn;
        let expected = it.is_counted().then_some(is);
        ensure!(result == expected, "step {at}: {entry:#x}, frame {is:#x}");
    }
    Ok(())
}

/// `QUERY` agrees with `PAGES`, and with what the backing is.
pub(super) fn query_tells_where_it_is(it: &mut Subject) -> Result<()> {
    let query = it.session.query(&it.region)?;
    let expected = match it.cell.backing {
        Backing::Vmalloc => Some(AddressClass::Vmalloc),
        // Of the DMA API's it depends on the machine.
        Backing::Coherent => None,
        _ => Some(AddressClass::DirectMap),
    };
    ensure!(
        expected.is_none_or(|class| class == query.address_class),
        "{query:?}"
    );
    let pages = it
        .session
        .pages(&it.region, 0, (it.length() / page_bytes()) as u64)?;
    let (mut runs, mut longest, mut this) = (1, 1, 1);
    for pair in pages.windows(2) {
        match pair[1].pfn == pair[0].pfn + 1 {
            true => this += 1,
            false => (runs, this) = (runs + 1, 1),
        }
        longest = longest.max(this);
    }
    ensure!(
        (query.runs, query.longest_run) == (runs, longest),
        "{runs} runs, the longest {longest}: {query:?}"
    );
    Ok(())
}

pub(super) fn fdinfo_has_its_line(it: &mut Subject) -> Result<()> {
    let fd = it.session.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let words = [
        it.cell.backing.name(),
        it.cell.method.name(),
        it.cell.caching.name(),
    ];
    let id = it.region.id.to_string();
    let is_it = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.contains(&id.as_str()) && words.iter().all(|word| fields.contains(word))
    };
    ensure!(text.lines().filter(is_it).count() == 1, "{text}");
    Ok(())
}
