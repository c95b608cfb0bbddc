// SPDX-License-Identifier: MIT OR Apache-2.0

//! Folios stay where they are, nobody gets at their file, and they count as those of a file.

use super::{number, pages, Lies, Subject, BYTES};
use crate::{cgroup::Group, child, dma::wait_until, raw::Map, runner::Context};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_bytes, page_size};
use nix::{errno::Errno, libc, unistd::truncate};
use std::{fs, path::PathBuf};

/// Neither compaction nor reclaim nor who drops caches, mapped or not.
pub(super) fn nothing_moves_it(_: &Context) -> Result<()> {
    Subject::each(|mut it| {
        let before = it.frames()?;
        it.expect_pages(pages())?;
        for is_mapped in [true, false] {
            // Not every kernel can compact.
            let _ = fs::write("/proc/sys/vm/compact_memory", "1");
            fs::write("/proc/sys/vm/drop_caches", "3")?;
            if is_mapped {
                it.map.advise(libc::MADV_PAGEOUT)?;
                it.expect_pages(pages())?;
            }
            ensure!(it.frames()? == before, "it was moved");
            let mut bytes = [0; 2];
            for page in pages() {
                let at = page as u64 * page_size();
                it.session.read_at(&it.region, at, &mut bytes)?;
                ensure!(bytes == number(page), "page {page}");
            }
            if is_mapped {
                it.map.unmap()?;
            }
        }
        Ok(())
    })
}

pub(super) fn nobody_opens_its_file(_: &Context) -> Result<()> {
    let it = Subject::new(Lies::Aligned)?;
    let range = format!("{:x}-{:x}", it.map.addr, it.map.addr + it.map.length);
    let path = PathBuf::from("/proc/self/map_files").join(range);
    let name = fs::read_link(&path)?;
    ensure!(name.to_str() == Some("anon_inode:[mapwright]"), "{name:?}");
    for (read, write) in [(true, false), (false, true), (true, true)] {
        let opened = fs::File::options().read(read).write(write).open(&path);
        let errno = opened.err().and_then(|err| err.raw_os_error());
        ensure!(errno == Some(Errno::ENXIO as i32), "{errno:?}");
    }
    let truncated = truncate(&path, 0);
    ensure!(truncated == Err(Errno::EINVAL), "{truncated:?}");
    let removed = it.map.advise(libc::MADV_REMOVE);
    ensure!(removed == Err(Errno::ENODEV), "{removed:?}");
    it.expect_pages(pages())
}

/// A line of `/proc/meminfo`, in bytes.
fn meminfo(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    Ok(kib.with_context(|| format!("no {name}"))?.parse::<u64>()? << 10)
}

/// As memory of a cache that nothing can be thrown out of.
pub(super) fn it_is_counted_as_a_file(_: &Context) -> Result<()> {
    // CPUs count a part each, and others use memory at the same time.
    let about = BYTES() as u64 / 2;
    let now = || Ok::<_, anyhow::Error>((meminfo("Cached")?, meminfo("Unevictable")?));
    let before = now()?;
    let it = Subject::new(Lies::Aligned)?;
    let with = now()?;
    ensure!(with.0 >= before.0 + about, "{before:?}, {with:?}");
    ensure!(with.1 >= before.1 + about, "{before:?}, {with:?}");
    drop(it);
    let after = now()?;
    ensure!(after.0 + about <= with.0, "{with:?}, {after:?}");
    ensure!(after.1 + about <= with.1, "{with:?}, {after:?}");
    Ok(())
}

pub(super) fn a_group_is_charged_for_a_file(_: &Context) -> Result<()> {
    let bytes = BYTES() as u64;
    let group = Group::with_limit(4 * bytes)?;
    group.run(|| {
        let it = Subject::new(Lies::Aligned)?;
        for name in ["file", "unevictable"] {
            group.wait_for_stat(name, |charged| charged >= bytes)?;
        }
        let dirty = group.stat("file_dirty")?;
        ensure!(dirty == 0, "{dirty} bytes wait to be written");
        drop(it);
        group.wait_for_stat("file", |charged| charged < bytes / 2)
    })
}

/// Pages of a page cache can be the key of a futex that processes share.
pub(super) fn processes_share_a_futex(_: &Context) -> Result<()> {
    const WAIT: i32 = libc::FUTEX_WAIT;
    const WAKE: i32 = libc::FUTEX_WAKE;
    let it = Subject::new(Lies::Aligned)?;
    it.map.store_u32(0, 0);
    let call = |map: &Map, operation: i32, value: u32| {
        // SAFETY: The kernel looks at the address, which is of a mapping of this test.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex,
                map.addr,
                operation,
                value,
                std::ptr::null::<u8>(),
            )
        };
        Errno::result(result)
    };
    let waiter = child::spawn(|| {
        // By another mapping, at another address.
        let map = Map::shared(&it.session, it.region.offset, page_bytes())?;
        while map.load_u32(0) == 0 {
            match call(&map, WAIT, 0) {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    })?;
    wait_until("the other process waits", || {
        Ok(call(&it.map, WAKE, 1)? == 1)
    })?;
    it.map.store_u32(0, 1);
    call(&it.map, WAKE, 1)?;
    child::ends_well(waiter)
}
