// SPDX-License-Identifier: MIT OR Apache-2.0

//! D3: dirty pages, and the calls that have them written.

use crate::{
    disk::{Disk, Written, NODE},
    finding::plural,
    page_cache::{self, DIRTY, WRITEBACK},
    pin::Pinned,
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::page_bytes;
use nix::{errno::Errno, libc};
use std::{
    fs::{File, OpenOptions},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

pub const CLAIM: Claim = Claim {
    id: "D3",
    title: "Dirty pages and writeback",
    sources: &[
        Document::Memory.section("17, Dirty Page Writeback Lifecycle"),
        Document::Memory.section("21, Interview Prep, Q13"),
    ],
    says: "write() stores to the page cache, marks pages dirty and returns without waiting. fsync() waits until they are on disk, \
           sync_file_range() writes a range without metadata, O_DIRECT goes past the page cache, so that data are on disk when \
           write() returns, and with O_SYNC each write() waits.",
    needs: &[Need::File("/proc/kpageflags", "CONFIG_PROC_PAGE_MONITOR")],
    vms: &[Vm::Normal],
    prove,
};

/// Pages that are written, and those of the half that sync_file_range() is for.
const PAGES: usize = 128;
const HALF: usize = PAGES / 2;
/// Pages at the end of that half that are watched while they are written.
const WATCHED: usize = 8;
/// Where the file is written to with O_SYNC, and where with O_DIRECT, in pages.
const SYNCED: usize = 256;
const DIRECT: usize = 512;

/// What there is after a step.
struct Moment {
    step: &'static str,
    /// How long it took.
    ms: u128,
    /// Pages of the place in question that are in the page cache then, and dirty.
    cached: usize,
    dirty: usize,
    /// What the disk got in this step.
    written: Written,
}

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let disk = Disk::slow_with_cache()?;
    let cache = disk.has_cache()?;
    let file = open(0)?;
    let synced = open(libc::O_SYNC)?;
    let mut watch = Watch {
        disk: &disk,
        // To look at it, it is open apart.
        file: open(0)?,
        moments: Vec::new(),
    };
    watch.step("write()", 0, || write(&file, 0, PAGES))?;
    let mut writeback = 0;
    watch.step("sync_file_range() of half of it", 0, || {
        writeback = while_watched(&file, || sync_range(&file, HALF))?;
        Ok(())
    })?;
    watch.step("fsync()", 0, || file.sync_all().context("fsync"))?;
    watch.step("write() with O_SYNC", SYNCED, || {
        write(&synced, SYNCED, PAGES)
    })?;
    watch.step("write() with O_DIRECT", DIRECT, || write_direct(&disk))?;
    watch.step("fsync() after it", DIRECT, || {
        disk.file.sync_all().context("fsync")
    })?;
    judge(&watch.moments, writeback, cache)
}

fn open(flags: i32) -> Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(flags);
    options
        .open(NODE)
        .with_context(|| format!("opening {NODE}"))
}

/// Writes pages one by one, from page `first` on.
fn write(file: &File, first: usize, pages: usize) -> Result<()> {
    let page = vec![0x5a; page_bytes()];
    for number in first..first + pages {
        let place = (number * page_bytes()) as u64;
        file.write_all_at(&page, place)
            .context("writing to the disk")?;
    }
    Ok(())
}

/// Writes past the page cache, from memory that begins where a page does.
fn write_direct(disk: &Disk) -> Result<()> {
    let bytes = PAGES * page_bytes();
    let memory = vec![0xa5; bytes + page_bytes()];
    let begin = memory.as_ptr() as usize;
    let begin = begin.next_multiple_of(page_bytes()) - begin;
    let place = (DIRECT * page_bytes()) as u64;
    let written = disk.file.write_all_at(&memory[begin..begin + bytes], place);
    written.context("writing to the disk with O_DIRECT")
}

/// Has the first pages written, and waits until they are.
fn sync_range(file: &File, pages: usize) -> Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let bytes = libc::off64_t::try_from(pages * page_bytes())?;
    // SAFETY: It is a call on an open file.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, bytes, flags) };
    Errno::result(result).context("sync_file_range")?;
    Ok(())
}

/// Looks at the pages and at the disk after each step.
struct Watch<'a> {
    disk: &'a Disk,
    file: File,
    moments: Vec<Moment>,
}

impl Watch<'_> {
    /// Does a step, and looks at the pages from `first` on.
    fn step(
        &mut self,
        step: &'static str,
        first: usize,
        does: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let before = self.disk.written()?;
        let begun = Instant::now();
        does().context(step)?;
        let ms = begun.elapsed().as_millis();
        let pages = page_cache::look(&self.file, (first * page_bytes()) as u64, PAGES)?;
        let written = self.disk.written()?.since(before);
        let with = |flags| {
            let pages = pages.iter().flatten();
            pages.filter(|page| page.has(flags)).count()
        };
        self.moments.push(Moment {
            step,
            ms,
            cached: pages.iter().flatten().count(),
            dirty: with(DIRTY),
            written,
        });
        Ok(())
    }
}

/// The most pages that were seen under writeback at once while `does` ran, of the last of the half.
fn while_watched(file: &File, does: impl FnOnce() -> Result<()>) -> Result<usize> {
    let place = ((HALF - WATCHED) * page_bytes()) as u64;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| -> Result<usize> {
            let mut most = 0;
            while !ended.load(Ordering::Acquire) {
                let pages = page_cache::look(file, place, WATCHED)?;
                let pages = pages.iter().flatten();
                most = most.max(pages.filter(|page| page.has(WRITEBACK)).count());
                thread::sleep(Duration::from_millis(1));
            }
            Ok(most)
        });
        let done = does();
        ended.store(true, Ordering::Release);
        let watched = watcher.join().ok().context("a thread panicked")?;
        done?;
        watched
    })
}

fn judge(moments: &[Moment], writeback: usize, cache: bool) -> Result<Finding> {
    let [write, range, fsync, synced, direct, after] = moments else {
        anyhow::bail!("a step is missing");
    };
    ensure!(cache, "the disk does not tell of its cache");
    let all = (PAGES * page_bytes()) as u64;
    let is_lazy = write.cached == PAGES && write.dirty == PAGES && write.written.bytes == 0;
    let of_range = range.written.bytes;
    let is_range = of_range == all / 2 && range.dirty == PAGES - HALF;
    let is_flushed = fsync.written.flushes > 0 && fsync.written.bytes == all - of_range;
    let past_cache = direct.cached == 0 && direct.written.bytes == all;
    let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
    let flushes = |moment: &Moment| match moment.written.flushes {
        1 => "1 flush".to_owned(),
        count => format!("{count} flushes"),
    };
    Ok(Finding::new(format!(
        "write() of {} leaves {} dirty and writes {} to the disk, fsync() {} with {}; with O_DIRECT {} went there, with {}",
        kib(all),
        plural(write.dirty, "page"),
        kib(write.written.bytes),
        kib(fsync.written.bytes),
        flushes(fsync),
        kib(direct.written.bytes),
        flushes(direct)
    ))
    .statement(
        "write() marks pages dirty and returns without waiting for the disk",
        Verdict::of(is_lazy),
        format!(
            "{} of {PAGES} pages are dirty after {} ms, and the disk got {}",
            write.dirty,
            write.ms,
            kib(write.written.bytes)
        ),
    )
    .statement(
        "A dirty page that is being written is under writeback, and clean after it",
        Verdict::of(writeback > 0 && fsync.dirty == 0),
        format!(
            "of the {WATCHED} pages that are written last {writeback} were seen under writeback; {} are dirty after \
             fsync()",
            fsync.dirty
        ),
    )
    .asked_here()
    .statement(
        "sync_file_range() writes a range, without metadata",
        Verdict::of(is_range && range.written.flushes == 0),
        format!(
            "{} of {} went to the disk with {}, {} stay dirty",
            kib(of_range),
            kib(all),
            flushes(range),
            plural(range.dirty, "page")
        ),
    )
    .said_in(&[Document::Memory.section("17, Dirty Page Writeback Lifecycle")])
    .statement(
        "fsync() waits until all dirty pages are on disk",
        Verdict::of(is_flushed && fsync.dirty == 0),
        format!("{} in {} ms, {}; {} dirty then", kib(fsync.written.bytes), fsync.ms, flushes(fsync), fsync.dirty),
    )
    .statement(
        "With O_SYNC each write() waits until the data have reached the disk",
        Verdict::of(synced.dirty == 0 && synced.written.bytes >= all && synced.written.flushes > 0),
        format!(
            "{} pages are in the page cache, {} of them dirty: {} in {} ms, {}",
            synced.cached,
            synced.dirty,
            kib(synced.written.bytes),
            synced.ms,
            flushes(synced)
        ),
    )
    .said_in(&[Document::Memory.section("17, Dirty Page Writeback Lifecycle")])
    .statement(
        "O_DIRECT goes past the page cache",
        Verdict::of(past_cache),
        format!("{} of {PAGES} pages are in the page cache, the disk got {}", direct.cached, kib(direct.written.bytes)),
    )
    .statement(
        "With O_DIRECT the data are on disk when write() returns, and nothing is left to flush",
        Verdict::of(direct.written.bytes == all && (direct.written.flushes > 0 || after.written.flushes == 0)),
        format!(
            "the disk has a cache of its own: {} by write(), {} by the fsync() after it",
            flushes(direct),
            flushes(after)
        ),
    )
    .said_in(&[Document::Memory.section("21, Interview Prep, Q13")])
    .table(table(moments))
    .instead(
        "O_DIRECT means past the kernel's cache, not past the disk's: without O_DSYNC or fsync() what it wrote may be lost \
         when the power fails. The same is true of sync_file_range().",
    ))
}

fn table(moments: &[Moment]) -> Table {
    let mut table = Table::new(
        format!(
            "{PAGES} pages of a slow disk with a cache of its own (null_blk), after each step (/proc/kpageflags, the disk's stat)"
        ),
        [
            "step",
            "ms",
            "in the page cache",
            "dirty",
            "KiB written to the disk",
            "flushes of its cache",
        ],
    );
    for moment in moments {
        table.row([
            moment.step.to_owned(),
            moment.ms.to_string(),
            moment.cached.to_string(),
            moment.dirty.to_string(),
            (moment.written.bytes >> 10).to_string(),
            moment.written.flushes.to_string(),
        ]);
    }
    table
}
