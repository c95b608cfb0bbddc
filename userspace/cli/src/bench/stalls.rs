// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench stalls`: how long others wait while programs do the worst that the devices let them do.
//!
//! The programs have opened the devices and have no other rights. They make and free as much as they may, and
//! go through it in single calls. Beside them a real-time program and an ordinary thread wake up
//! every millisecond and note how late, a program does what a well-behaved one does with the device, and a
//! monitor reads the tables.

use super::undisturbed;
use crate::style;
use anyhow::{anyhow, ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Pattern, Plan},
    page_size, Backing, Method, Protection, Region, Session, Tables,
};
use nix::{
    libc,
    sys::{
        mman::{mlockall, MlockAllFlags},
        prctl,
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::{fork, pipe, setresgid, setresuid, ForkResult, Gid, Pid, Uid},
};
use std::{
    convert::Infallible,
    fs::File,
    io::{Read as _, Write as _},
    thread::{self, sleep},
    time::{Duration, Instant},
};

#[derive(clap::Args)]
pub struct Args {
    /// How long, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Fail if anybody waits longer than this, in milliseconds
    #[arg(long, value_name = "MS")]
    at_most: Option<u64>,
}

/// How often the threads want to run.
const PERIOD: Duration = Duration::from_millis(1);

/// Who does the worst, and what: each again and again.
type Turn = fn(&Session, &AllocDevice) -> Result<()>;
const WORST: &[(&str, Turn)] = &[
    ("as many regions as may be", many_regions),
    ("a region as large as may be, read and mapped", large_region),
    ("vmalloc memory as much as may be", much_vmalloc),
    ("plans of the smallest objects", smallest_objects),
];

pub fn run(args: &Args) -> Result<()> {
    let worst = WORST
        .iter()
        .map(|(name, turn)| Program::start(name, true, *turn))
        .chain([Program::start("reading the tables", false, read_tables)])
        .collect::<Result<Vec<_>>>()?;
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let real_time = RealTime::start(until)?;
    let waits = thread::scope(|scope| {
        let ordinary = scope.spawn(|| wake_up(until));
        let user = use_device(until)?;
        let ordinary = ordinary.join().map_err(|_| anyhow!("a thread panicked"))?;
        Ok::<_, anyhow::Error>([
            ("a real-time program", real_time.waits()?),
            ("an ordinary thread", ordinary),
            ("a small region, made, used and freed", user),
        ])
    })?;
    drop(worst);
    show(&waits);
    if let Some(limit) = args.at_most.map(Duration::from_millis) {
        for (who, waits) in &waits {
            ensure!(waits.longest <= limit, "{who} waited {:?}", waits.longest);
        }
    }
    Ok(())
}

/// A program that does its worst until this is dropped.
struct Program(Pid);

impl Program {
    /// Starts one that opens the devices and then has no rights but those, if it is to have none.
    fn start(name: &'static str, unprivileged: bool, turn: Turn) -> Result<Self> {
        Self::run(name, || match do_worst(unprivileged, turn)? {})
    }

    /// Starts one that does `f`.
    fn run(name: &str, f: impl FnOnce() -> Result<()>) -> Result<Self> {
        // SAFETY: This process has a single thread yet, so the child may do what it likes.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self(child)),
            ForkResult::Child => {
                let done = f();
                if let Err(err) = &done {
                    eprintln!("mapwright: {name}: {err:#}");
                }
                // SAFETY: Ends the child without running what belongs to the parent.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
        }
    }
}

fn do_worst(unprivileged: bool, turn: Turn) -> Result<Infallible> {
    let (session, alloc) = (Session::open()?, AllocDevice::open()?);
    if unprivileged {
        let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
    }
    loop {
        // It ends at a limit, or where the others have all there is.
        let _ = turn(&session, &alloc);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended itself.
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

fn many_regions(session: &Session, _: &AllocDevice) -> Result<()> {
    let mut regions = Vec::new();
    while let Ok(region) = session.create(Backing::Kmalloc, Method::Remap, page_size()) {
        regions.push(region);
    }
    regions
        .iter()
        .try_for_each(|region| Ok(session.destroy(region)?))
}

/// Makes a region of the largest power of two bytes that the module gives, does something with it, and frees it.
fn with_largest(
    session: &Session,
    backing: Backing,
    method: Method,
    f: impl FnOnce(&Region) -> Result<()>,
) -> Result<()> {
    let mut bytes = session.info()?.session_bytes.next_power_of_two();
    let region = loop {
        match session.create(backing, method, bytes) {
            Err(_) if bytes > page_size() => bytes /= 2,
            region => break region?,
        }
    };
    let done = f(&region);
    session.destroy(&region)?;
    done
}

fn large_region(session: &Session, _: &AllocDevice) -> Result<()> {
    with_largest(session, Backing::Pages, Method::Insert, |region| {
        let mut buffer = vec![0; region.bytes.min(64 << 20) as usize];
        session.read_at(region, 0, &mut buffer)?;
        drop(session.map(region, Protection::Read)?);
        session.query(region)?;
        Ok(())
    })
}

fn much_vmalloc(session: &Session, _: &AllocDevice) -> Result<()> {
    with_largest(session, Backing::Vmalloc, Method::Remap, |region| {
        session.query(region)?;
        drop(session.map(region, Protection::ReadWrite)?);
        Ok(())
    })
}

fn smallest_objects(_: &Session, alloc: &AllocDevice) -> Result<()> {
    let mut batch = 1 << 22;
    while batch > 1 {
        for allocator in [Allocator::Kmalloc, Allocator::KmemCache, Allocator::PerCpu] {
            let plan = Plan::new(allocator, 1).repeated(batch);
            // Where one is over the budget, a smaller one is not.
            let _ = alloc.run(&plan.with_pattern(Pattern::Batches { batch }));
        }
        batch /= 4;
    }
    Ok(())
}

fn read_tables(_: &Session, _: &AllocDevice) -> Result<()> {
    Tables::read()?;
    Ok(())
}

/// A real-time program, which does what such programs do: it runs before all ordinary ones and has its memory locked, in pages
/// that are not huge. Others have to wait where the kernel splits a huge page, for a thread that may have to wait for its turn.
struct RealTime {
    program: Program,
    waits: File,
}

impl RealTime {
    fn start(until: Instant) -> Result<Self> {
        let (reader, writer) = pipe()?;
        let (reader, mut writer) = (File::from(reader), File::from(writer));
        let program = Program::run("the real-time program", || {
            let waits = Self::wake_up(until)?;
            let (longest, total) = (waits.longest.as_nanos(), waits.total.as_nanos());
            Ok(write!(writer, "{longest} {total} {}", waits.times)?)
        })?;
        Ok(Self {
            program,
            waits: reader,
        })
    }

    fn wake_up(until: Instant) -> Result<Waits> {
        prctl::set_thp_disable(true)?;
        mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
            .context("locking memory")?;
        undisturbed::go_first().context("taking a real-time priority")?;
        Ok(wake_up(until))
    }

    /// What the program found, when it has ended.
    fn waits(mut self) -> Result<Waits> {
        let mut text = String::new();
        self.waits.read_to_string(&mut text)?;
        drop(self.program);
        let numbers = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()?;
        let [longest, total, times] = numbers[..] else {
            return Err(anyhow!("the real-time program ended early"));
        };
        Ok(Waits {
            longest: Duration::from_nanos(longest),
            total: Duration::from_nanos(total),
            times: times.try_into()?,
        })
    }
}

/// How long somebody had to wait.
#[derive(Default)]
struct Waits {
    longest: Duration,
    total: Duration,
    times: u32,
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        self.longest = self.longest.max(wait);
        self.total += wait;
        self.times += 1;
    }
}

/// Wakes up each period and notes how late.
fn wake_up(until: Instant) -> Waits {
    let mut waits = Waits::default();
    loop {
        let now = Instant::now();
        if now >= until {
            return waits;
        }
        sleep(PERIOD);
        waits.add(now.elapsed().saturating_sub(PERIOD));
    }
}

/// Makes, uses and frees a small region each period, and notes how long that took.
fn use_device(until: Instant) -> Result<Waits> {
    let mut waits = Waits::default();
    while Instant::now() < until {
        sleep(PERIOD);
        let start = Instant::now();
        let session = Session::open()?;
        // Others may have all there is.
        if let Ok(region) = session.create(Backing::Pages, Method::Fault, page_size()) {
            session.map(&region, Protection::ReadWrite)?.write(0, &[1]);
        }
        drop(session);
        waits.add(start.elapsed());
    }
    Ok(waits)
}

fn show(all: &[(&str, Waits)]) {
    let milliseconds = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1e3);
    let mut table = style::table(["who waits", "longest (ms)", "mean (ms)", "times"], 1);
    for (who, waits) in all {
        table.add_row([
            (*who).to_owned(),
            milliseconds(waits.longest),
            milliseconds(waits.total / waits.times.max(1)),
            waits.times.to_string(),
        ]);
    }
    anstream::println!("While programs do the worst that the devices let them do:\n{table}");
}
