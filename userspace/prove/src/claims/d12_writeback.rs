// SPDX-License-Identifier: MIT OR Apache-2.0

//! D12: when dirty pages are written, and who has to wait.

use crate::{
    disk::{counted, Counter, Disk, NODE},
    finding::plural,
    read::{
        text,
        trace::{self, Event, MARK},
    },
    setting::Setting,
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::page_size;
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    thread,
    time::{Duration, Instant},
};

pub const CLAIM: Claim = Claim {
    id: "D12",
    title: "Writeback and throttling",
    sources: &[Document::Memory.section("17, Dirty Page Writeback Lifecycle")],
    says: "A thread of the kernel's writes dirty pages after dirty_expire (30 s), or when they exceed dirty_background_ratio \
           (10 %). When they reach dirty_ratio (20 %), the writer itself is throttled in balance_dirty_pages().",
    needs: &[Need::File("/sys/kernel/tracing/events/writeback/balance_dirty_pages", "tracefs mounted there"), Need::Seconds(60)],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

/// Settings, and what the documents say that they are.
const SETTINGS: [(&str, &str); 3] = [
    ("/proc/sys/vm/dirty_background_ratio", "10"),
    ("/proc/sys/vm/dirty_ratio", "20"),
    (EXPIRE, "3000"),
];
const EXPIRE: &str = "/proc/sys/vm/dirty_expire_centisecs";
const WAKE: &str = "/proc/sys/vm/dirty_writeback_centisecs";
/// Both limits for the experiment, in bytes, and what is written at a time. The kernel compares with them after some pages
/// only, so that it is late.
const BACKGROUND: u64 = 1 << 20;
const LIMIT: u64 = 2 << 20;
const PIECE: u64 = 64 << 10;
/// What is written at most: somewhat more.
const MOST: u64 = 3 << 20;
/// How old a dirty page may become in the experiment, and how long its writing is waited for.
const AGE: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(4);
const THROTTLED: &str = "balance_dirty_pages";
const WOKEN: &str = "writeback_wake_background";

fn prove(lab: &Lab) -> Result<Finding> {
    let mut settings = Table::new("The kernel's settings", ["setting", "documents", "here"]);
    let mut same = true;
    for (path, said) in SETTINGS {
        let here = text(path)?.trim().to_owned();
        same &= here == said;
        settings.row([
            path.trim_start_matches("/proc/sys/").into(),
            said.into(),
            here,
        ]);
    }
    for name in ["nr_dirty_background_threshold", "nr_dirty_threshold"] {
        let pages = procfs::vmstat()?.get(name).copied().unwrap_or(0);
        let percent =
            pages * lab.machine.page_size as i64 * 100 / (lab.machine.memory_mib << 20) as i64;
        settings.row([
            format!("{name} in /proc/vmstat"),
            String::new(),
            format!("{pages} pages, {percent} % of all memory"),
        ]);
    }
    let (young, old) = (age(Duration::from_secs(30))?, age(AGE)?);
    let throttled = throttle()?;
    let expires = young.is_none() && old.is_some_and(|time| time >= AGE / 2);
    let kib = |bytes: Option<u64>| {
        bytes.map_or("never".to_owned(), |bytes| {
            format!("at {} KiB", bytes >> 10)
        })
    };
    let woken = throttled.woken;
    let early = throttled
        .first
        .is_some_and(|bytes| bytes < LIMIT - LIMIT / 16);
    let in_time = |bytes: u64| bytes + PIECE >= BACKGROUND && bytes <= (BACKGROUND + LIMIT) / 2;
    let mut ages = Table::new(
        "A page is written to the page cache, and nobody syncs",
        ["dirty_expire", "the disk had it after"],
    );
    let describe = |time: Option<Duration>| {
        time.map_or(format!("not within {} s", LATE.as_secs()), |time| {
            format!("{:.1} s", time.as_secs_f64())
        })
    };
    ages.row(["30 s".into(), describe(young)]);
    ages.row([format!("{} s", AGE.as_secs()), describe(old)]);
    Ok(Finding::new(format!(
        "throttled {} of a limit of {} KiB, {}",
        kib(throttled.first),
        LIMIT >> 10,
        plural(throttled.pauses, "time")
    ))
    .statement(
        "The settings are 10 %, 20 % and 30 s",
        Verdict::Confirmed.if_else(same, Verdict::Config),
        "in the sysctls vm.dirty_background_ratio, vm.dirty_ratio and vm.dirty_expire_centisecs",
    )
    .statement(
        "A dirty page is written when it is as old as dirty_expire",
        Verdict::of(expires),
        format!("with {} s: {}; with 30 s: {}", AGE.as_secs(), describe(old), describe(young)),
    )
    .statement(
        "Writing begins in the background when the background limit is exceeded",
        Verdict::of(woken.is_some_and(in_time)),
        format!("{}, of a background limit of {} KiB", kib(woken), BACKGROUND >> 10),
    )
    .statement(
        "The writer is throttled in balance_dirty_pages()",
        Verdict::of(throttled.pauses > 0),
        format!("{}, of {} ms together", plural(throttled.pauses, "pause"), throttled.paused_ms),
    )
    .statement(
        "That begins when the limit is reached",
        Verdict::of(throttled.first.is_some() && !early),
        format!("first {}, of a limit of {} KiB", kib(throttled.first), LIMIT >> 10),
    )
    .table(settings)
    .table(ages)
    .table(throttled.table)
    .instead(
        "From midway between the two limits on, the kernel compares a writer's speed with the disk's, and may pause it, the \
         longer the nearer to the limit. The percentages are of the memory that could be dirty (free, and page cache), not of \
         all.",
    ))
}

/// The disk, through the page cache.
fn cached() -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open(NODE)
        .with_context(|| format!("opening {NODE}"))
}

/// How long it takes until a dirty page is on the disk, if it is soon.
fn age(expire: Duration) -> Result<Option<Duration>> {
    let _expire = Setting::to(EXPIRE, &(expire.as_millis() / 10).to_string())?;
    let _wake = Setting::to(WAKE, "20")?;
    let disk = Disk::new()?;
    let file = cached()?;
    file.write_all_at(&vec![1; usize::try_from(page_size())?], 0)?;
    let begun = Instant::now();
    let mut time = None;
    while time.is_none() && begun.elapsed() < LATE {
        thread::sleep(Duration::from_millis(20));
        time = (counted(Counter::SectorsWritten)? > 0).then(|| begun.elapsed());
    }
    file.sync_all()?;
    ensure!(
        counted(Counter::SectorsWritten)? > 0,
        "what was synced is not on the disk"
    );
    drop(file);
    drop(disk);
    Ok(time)
}

/// What happened to a writer that writes more than a slow disk takes.
struct Throttled {
    /// Bytes written when the background was told to write, and when the writer first had to pause.
    woken: Option<u64>,
    first: Option<u64>,
    pauses: usize,
    paused_ms: i64,
    table: Table,
}

fn throttle() -> Result<Throttled> {
    let _ratios = [
        Setting::keep("/proc/sys/vm/dirty_background_ratio")?,
        Setting::keep("/proc/sys/vm/dirty_ratio")?,
    ];
    let disk = Disk::slow()?;
    let file = cached()?;
    let _limits = [
        Setting::to(
            "/proc/sys/vm/dirty_background_bytes",
            &BACKGROUND.to_string(),
        )?,
        Setting::to("/proc/sys/vm/dirty_bytes", &LIMIT.to_string())?,
    ];
    let piece = vec![1; usize::try_from(PIECE)?];
    let events = [
        "writeback:balance_dirty_pages",
        "writeback:writeback_wake_background",
    ];
    let ((), events) = trace::record(&events, |buffer| {
        for at in 0..MOST / PIECE {
            buffer.mark(usize::try_from(at)?)?;
            file.write_all_at(&piece, at * PIECE)?;
        }
        Ok(())
    })?;
    drop(file);
    drop(disk);
    let pauses = || {
        events
            .iter()
            .filter(|event| event.name == THROTTLED && pause(event) > 0)
    };
    let mut table = Table::new(
        format!(
            "{} KiB are written to a disk of 1 MB/s, with a background limit of {} and a limit of {} KiB: some pauses of \
             the writer (balance_dirty_pages)",
            MOST >> 10,
            BACKGROUND >> 10,
            LIMIT >> 10
        ),
        ["pause", "dirty pages", "limit", "setpoint", "ms"],
    );
    let count = pauses().count();
    for (at, event) in pauses()
        .enumerate()
        .filter(|(at, _)| at % (count / 8).max(1) == 0)
    {
        let field = |name: &str| event.field(name).to_owned();
        table.row([
            (at + 1).to_string(),
            field("dirty"),
            field("limit"),
            field("setpoint"),
            pause(event).to_string(),
        ]);
    }
    let first = |is: &dyn Fn(&Event) -> bool| -> Result<Option<u64>> {
        let mut written = 0;
        for event in &events {
            if event.name == MARK {
                written = (event.number("number")? + 1) * PIECE;
            } else if is(event) {
                return Ok(Some(written));
            }
        }
        Ok(None)
    };
    Ok(Throttled {
        woken: first(&|event| event.name == WOKEN)?,
        first: first(&|event| event.name == THROTTLED && pause(event) > 0)?,
        pauses: count,
        paused_ms: pauses().map(pause).sum(),
        table,
    })
}

/// Milliseconds that the writer has to sleep; negative or 0 if not.
fn pause(event: &Event) -> i64 {
    event.field("pause").parse().unwrap_or(0)
}
