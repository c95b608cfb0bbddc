// SPDX-License-Identifier: MIT OR Apache-2.0

//! Walks through page tables that change and vanish meanwhile.

use crate::{
    child,
    random::Random,
    raw::{Map, RW},
    runner::Context,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_bytes,
    inspect::{Area, Inspector, Target},
    page_bytes, page_size,
};
use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::Pid,
};
use std::{
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long the race lasts.
const RACE: Duration = Duration::from_secs(4);

/// What the processes of the race share: the number of the one whose memory changes, and where.
struct Shared(Map);

impl Shared {
    fn new() -> Result<Self> {
        let none = nix::sys::memfd::memfd_create(c"race", nix::sys::memfd::MFdFlags::empty())?;
        Errno::result(
            // SAFETY: A file of our own.
            unsafe { libc::ftruncate(none.as_raw_fd(), page_size() as libc::off_t) },
        )?;
        Ok(Self(Map::shared(&none, 0, page_bytes())?))
    }

    fn number(&self, which: usize) -> &AtomicU64 {
        assert!(which < 8, "a page has more, but no more are used");
        // SAFETY: Aligned, inside a mapping that lives as long as `self`, and only used like this.
        unsafe { &*((self.0.addr + 8 * which) as *const AtomicU64) }
    }
}

/// Bytes whose pages come and go: two blocks, which may be of huge pages.
fn changing() -> usize {
    2 * block_bytes()
}

/// Maps, touches, unmaps and forks until it is killed.
fn change(shared: &Shared) -> Result<()> {
    let mut random = Random::new(u64::from(std::process::id()));
    loop {
        let map = Map::anonymous(changing(), RW)?;
        shared.number(1).store(map.addr as u64, Ordering::Relaxed);
        let advice = random.pick(&[libc::MADV_HUGEPAGE, libc::MADV_NOHUGEPAGE]);
        map.advise(*advice)?;
        for _ in 0..64 {
            map.store(random.below(changing() as u64) as usize, 1);
        }
        if random.below(4) == 0 {
            // A child with a copy, which goes at once.
            child::run(|| Ok(()))?;
            map.store(0, 2);
        }
        let quarter = changing() / 4;
        let part = random.below(3) as usize * quarter;
        match random.below(3) {
            0 => map.advise_part(part, quarter, libc::MADV_DONTNEED)?,
            1 => map.unmap_part(part, quarter)?,
            _ => map.protect_part(part, quarter, nix::sys::mman::ProtFlags::PROT_NONE)?,
        }
        if random.below(8) == 0 {
            // The next one goes on.
            return Ok(());
        }
    }
}

/// Starts one process after the other that changes its memory.
fn change_for_ever(shared: &Shared) -> Result<()> {
    loop {
        let child = child::spawn(|| change(shared))?;
        shared
            .number(0)
            .store(child.as_raw() as u64, Ordering::Relaxed);
        waitpid(child, None)?;
    }
}

/// Walks for as long as the race lasts; counts clean answers and clean refusals.
fn walk_on(shared: &Shared, seed: u64) -> Result<()> {
    let inspector = Inspector::open()?;
    let vmalloc = inspector.layout()?;
    let vmalloc = vmalloc.area(Area::Vmalloc).context("no vmalloc area")?;
    let (vmalloc, length) = (vmalloc.start, vmalloc.last - vmalloc.start);
    let mut random = Random::new(seed);
    let deadline = Instant::now() + RACE;
    while Instant::now() < deadline {
        let pid = shared.number(0).load(Ordering::Relaxed) as u32;
        let base = shared.number(1).load(Ordering::Relaxed);
        let address = base + random.below(2 * changing() as u64);
        let answer = match random.below(8) {
            0 => inspector.walk(Target::Kernel, vmalloc + random.below(length.min(1 << 30))),
            1 => inspector
                .walk_counted(Target::Process(pid), address)
                .map(|(walk, _)| walk),
            _ => inspector.walk(Target::Process(pid), address),
        };
        let which = match answer.as_ref().map_err(mapwright::Error::errno) {
            Ok(walk) => {
                if let Some(pfn) = walk.pfn() {
                    // Whatever it is by now.
                    let _ = inspector.frame(pfn);
                }
                2
            }
            Err(Some(Errno::ESRCH)) => 3,
            Err(Some(Errno::EAGAIN)) => 4,
            Err(_) => anyhow::bail!("{address:#x} of {pid}: {answer:?}"),
        };
        shared.number(which).fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

pub(super) fn walks_race_with_a_process_that_changes(context: &Context) -> Result<()> {
    let shared = Shared::new()?;
    let changer = child::spawn(|| {
        // The whole family goes when the test ends.
        nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        change_for_ever(&shared)
    })?;
    let second = child::spawn(|| walk_on(&shared, 11))?;
    let first = walk_on(&shared, 12);
    let second = waitpid(second, None)?;
    let killed = kill(Pid::from_raw(-changer.as_raw()), Signal::SIGKILL);
    waitpid(changer, None)?;
    killed?;
    first?;
    ensure!(
        matches!(second, nix::sys::wait::WaitStatus::Exited(_, 0)),
        "the other walker: {second:?}"
    );
    let count = |which| shared.number(which).load(Ordering::Relaxed);
    context.note(format!(
        "{} walks, {} of a process that had ended, {} whose tables changed all the time",
        count(2),
        count(3),
        count(4)
    ));
    ensure!(count(2) > 100, "only {} walks", count(2));
    Ok(())
}
