// SPDX-License-Identifier: MIT OR Apache-2.0

//! The counters agree with what was done, exactly.

use crate::{
    faults::WINDOW,
    limits::with_parameters,
    raw::{self, Map},
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, page_size, uapi, Backing, Method, Session, Tables, DEBUGFS};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

suite! { "stats":
    counts_are_exact,
    failures_are_counted_by_errno,
    a_region_has_counters_of_its_own,
    latencies_add_up,
    timing_can_be_switched_off,
    timing_can_be_off_from_the_start,
    tables_begin_with_their_columns,
    tables_cannot_be_written,
    regions_come_and_go_while_their_table_is_read,
    the_command_tells_the_same,
    the_command_watches,
}

/// How much each counter grew while `f` ran.
fn growth(f: impl FnOnce() -> Result<()>) -> Result<impl Fn(&str) -> u64> {
    let before = Tables::read()?;
    f()?;
    let after = Tables::read()?;
    Ok(move |name: &str| after.counter(name) - before.counter(name))
}

fn counts_are_exact(_: &Context) -> Result<()> {
    let grew = growth(|| {
        let session = Session::open()?;
        let region = session.create(Backing::Vmalloc, Method::Insert, 8 * page_size())?;
        for _ in 0..3 {
            let map = Map::shared(&session, region.offset, 4 * page_bytes())?;
            map.unmap_part(page_bytes(), page_bytes())?;
        }
        session.write_at(&region, 0, &[7; 1000])?;
        session.read_at(&region, 10, &mut [0; 500])?;
        session.read_at(&region, 20, &mut [0; 500])?;
        Ok(())
    })?;
    for (counter, expected) in [
        ("sessions_opened", 1),
        ("sessions_closed", 1),
        ("regions_created", 1),
        ("regions_freed", 1),
        ("pages_allocated", 8),
        ("pages_freed", 8),
        ("mmaps", 3),
        ("pages_mapped", 12),
        // To cut out the middle, the kernel splits twice.
        ("vmas_opened", 9),
        ("vmas_closed", 9),
        ("writes", 1),
        ("bytes_written", 1000),
        ("reads", 2),
        ("bytes_read", 1000),
        ("failed_EINVAL", 0),
    ] {
        ensure!(
            grew(counter) == expected,
            "{counter} grew by {}, not {expected}",
            grew(counter)
        );
    }
    Ok(())
}

fn failures_are_counted_by_errno(_: &Context) -> Result<()> {
    let grew = growth(|| {
        let session = Session::open()?;
        let _ = raw::ioctl_bytes(&session, 0xE7FF, 64, &[]);
        let _ = raw::ioctl(&session, uapi::IOCTL_INFO, 0);
        let _ = session.create(Backing::Kmalloc, Method::Insert, page_size());
        let _ = session.create(Backing::Pages, Method::Remap, u64::MAX);
        let _ = Map::shared(&session, uapi::FIRST_OFFSET, page_bytes());
        let _ = Map::shared(&session, uapi::FIRST_OFFSET, page_bytes());
        Ok(())
    })?;
    for (counter, expected) in [
        ("failed_ENOTTY", 1),
        ("failed_EFAULT", 1),
        ("failed_EOPNOTSUPP", 1),
        ("failed_ENOSPC", 1),
        ("failed_EINVAL", 2),
        ("failed_ENOMEM", 0),
        ("failed_other", 0),
    ] {
        ensure!(
            grew(counter) == expected,
            "{counter} grew by {}, not {expected}",
            grew(counter)
        );
    }
    Ok(())
}

fn a_region_has_counters_of_its_own(_: &Context) -> Result<()> {
    const BYTES: usize = 2 * WINDOW;
    let pages = BYTES as u64 / page_size();
    let session = Session::open()?;
    let one = session.create(Backing::Pages, Method::Fault, BYTES as u64)?;
    let other = session.create(Backing::Pages, Method::Fault, BYTES as u64)?;
    let map = Map::shared(&session, one.offset, BYTES)?;
    map.load(0);
    map.store(BYTES - 1, 1);
    let tables = Tables::read()?;
    let find = |id| {
        tables
            .regions
            .iter()
            .find(|region| region.id == id)
            .cloned()
    };
    let (one_listed, other_listed) = (find(one.id), find(other.id));
    let counts = one_listed.map(|it| (it.mmaps, it.faults_read, it.faults_write, it.pages_faulted));
    ensure!(counts == Some((1, 1, 1, pages)), "{counts:?}");
    let counts = other_listed.map(|it| (it.mmaps, it.faults_read, it.faults_write));
    ensure!(counts == Some((0, 0, 0)), "{counts:?}");
    let query = session.query(&one)?;
    ensure!(
        (query.mmaps, query.faults, query.pages_faulted) == (1, 2, pages),
        "{query:?}"
    );
    Ok(())
}

/// How often each operation was timed.
fn timed(tables: &Tables, operation: &str) -> u64 {
    let buckets = tables
        .latency
        .iter()
        .filter(|bucket| bucket.operation == operation);
    buckets.map(|bucket| bucket.count).sum()
}

fn a_short_life() -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Vmalloc, Method::Fault, 16 * page_size())?;
    Map::shared(&session, region.offset, 16 * page_bytes())?.load(0);
    Ok(session.destroy(&region)?)
}

fn latencies_add_up(_: &Context) -> Result<()> {
    let before = Tables::read()?;
    for _ in 0..7 {
        a_short_life()?;
    }
    let after = Tables::read()?;
    for operation in ["allocate", "free", "mmap", "fault"] {
        let grew = timed(&after, operation) - timed(&before, operation);
        ensure!(grew == 7, "{operation}: {grew}");
    }
    for bucket in &after.latency {
        ensure!(bucket.below_ns.is_power_of_two(), "{bucket:?}");
    }
    Ok(())
}

fn timing_can_be_switched_off(_: &Context) -> Result<()> {
    let switch = format!("{DEBUGFS}/timing");
    ensure!(fs::read_to_string(&switch)?.trim() == "Y");
    fs::write(&switch, "0")?;
    let before = Tables::read()?;
    a_short_life()?;
    let after = Tables::read()?;
    fs::write(&switch, "1")?;
    ensure!(before.latency == after.latency, "timed all the same");
    ensure!(after.counter("faults_read") - before.counter("faults_read") == 1);
    Ok(())
}

fn timing_can_be_off_from_the_start(context: &Context) -> Result<()> {
    with_parameters(context, "timing=0", || {
        ensure!(fs::read_to_string(format!("{DEBUGFS}/timing"))?.trim() == "N");
        a_short_life()?;
        let tables = Tables::read()?;
        ensure!(tables.latency.is_empty(), "{:?}", tables.latency);
        ensure!(tables.counter("faults_read") == 1, "{tables:?}");
        Ok(())
    })
}

fn tables_begin_with_their_columns(_: &Context) -> Result<()> {
    let first_line = |file| -> Result<String> {
        let text = fs::read_to_string(format!("{DEBUGFS}/{file}"))?;
        Ok(text.lines().next().unwrap_or("").to_owned())
    };
    ensure!(first_line("stats")? == "counter value");
    ensure!(
        first_line("regions")?
            == "id pid backing method caching bytes offset vmas \
        mmaps faults_read faults_write pages_faulted"
    );
    ensure!(first_line("latency")? == "operation below_ns count");
    Ok(())
}

fn regions_come_and_go_while_their_table_is_read(_: &Context) -> Result<()> {
    // Several pages of lines.
    let regions = (300 * page_size() / 4096).min(1000);
    let session = Session::open()?;
    let create = || session.create(Backing::Pages, Method::Remap, page_size());
    let first: Vec<_> = (0..regions).map(|_| create()).collect::<Result<_, _>>()?;
    let mut table = fs::File::open(format!("{DEBUGFS}/regions"))?;
    // No more than a page is written at a time.
    let mut text = vec![0; page_bytes()];
    let length = table.read(&mut text)?;
    text.truncate(length);
    let (gone, stays) = (&first[first.len() - 1], &first[first.len() - 2]);
    session.destroy(gone)?;
    let new = create()?;
    table.read_to_end(&mut text)?;
    let text = String::from_utf8(text)?;
    let lines_of = |id: u64| {
        let begins = format!("{id} ");
        text.lines()
            .filter(|line| line.starts_with(&begins))
            .count()
    };
    ensure!(text.starts_with("id pid "), "no header");
    ensure!(
        lines_of(gone.id) == 0,
        "a region that is gone is in the table"
    );
    ensure!(
        lines_of(new.id) == 1,
        "a region that was made meanwhile is not"
    );
    for region in first.iter().filter(|region| region.id <= stays.id) {
        let lines = lines_of(region.id);
        ensure!(lines == 1, "region {} has {lines} lines", region.id);
    }
    Ok(())
}

fn tables_cannot_be_written(_: &Context) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    for file in ["stats", "regions", "latency"] {
        let mode = fs::metadata(format!("{DEBUGFS}/{file}"))?.mode() & 0o777;
        ensure!(mode == 0o400, "{file} has mode {mode:o}");
    }
    Ok(())
}

/// Fails if a session, a region or a VMA outlived the test.
pub fn nothing_is_left() -> Result<()> {
    let tables = Tables::read()?;
    for (begun, ended) in [
        ("sessions_opened", "sessions_closed"),
        ("regions_created", "regions_freed"),
        ("pages_allocated", "pages_freed"),
        ("vmas_opened", "vmas_closed"),
    ] {
        let (begun_count, ended_count) = (tables.counter(begun), tables.counter(ended));
        ensure!(
            begun_count == ended_count,
            "the test left something behind: {begun} {begun_count}, {ended} {ended_count}"
        );
    }
    ensure!(
        tables.regions.is_empty(),
        "regions still listed: {:?}",
        tables.regions
    );
    Ok(())
}

/// `mapwright stat`, which is this very program.
fn stat(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("stat").args(arguments);
    command
}

fn the_command_tells_the_same(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Pages, Method::Remap, 4 * page_size())?;
    let output = stat(&["--json"]).output()?;
    ensure!(output.status.success(), "{output:?}");
    let tables: Tables = serde_json::from_slice(&output.stdout)?;
    let now = Tables::read()?;
    ensure!(tables.counters == now.counters, "{tables:?}");
    let regions = &tables.regions;
    ensure!(
        regions.len() == 1 && regions[0].id == region.id,
        "{regions:?}"
    );

    let output = stat(&["--all"]).output()?;
    let text = String::from_utf8(output.stdout)?;
    for (name, value) in &now.counters {
        let has = |line: &str| line.contains(name.as_str()) && line.contains(&value.to_string());
        ensure!(text.lines().any(has), "no {name}, which is {value}: {text}");
    }
    Ok(())
}

/// A line for each look, until it is killed.
fn the_command_watches(_: &Context) -> Result<()> {
    let mut command = stat(&["--json", "--watch", "0.05"]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut looks = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().take(2) {
            // Something to see.
            drop(Session::open()?);
            looks.push(serde_json::from_str::<Tables>(&line?)?);
        }
    }
    child.kill()?;
    child.wait()?;
    let opened: Vec<u64> = looks
        .iter()
        .map(|look| look.counter("sessions_opened"))
        .collect();
    ensure!(looks.len() == 2 && opened[0] < opened[1], "{opened:?}");
    Ok(())
}
