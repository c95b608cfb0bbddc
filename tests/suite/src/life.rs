// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of a mapping: forks, splits, moves, advice, pins, deaths. Each event has a test for
//! each sound pair of backing and method, named `event__backing_method`, and, of mappings with huge pages,
//! for one in which what happens splits these: `event__backing_huge_of_2_mib`.

use crate::{
    cells::Cell,
    child,
    faults::faults_of_loading,
    module,
    raw::{self, Map, RW},
    runner::{skip, Case, Suite},
    series,
};
use anyhow::{ensure, Result};
#[cfg(target_pointer_width = "64")]
use io_uring::{opcode, types, IoUring};
use mapwright::{
    block_bytes, page_bytes, vma_of, AddressClass, Backing, Method, Region, Session, Side, Tables,
};
use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::{mlockall, MapFlags, MlockAllFlags, ProtFlags},
        resource::{setrlimit, Resource, RLIM_INFINITY},
        signal::{raise, Signal},
        uio::{process_vm_readv, RemoteIoVec},
        wait::{waitpid, WaitStatus},
    },
    unistd::{getpid, pipe},
};
use std::{
    fs::File,
    io::{IoSliceMut, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::{fs::FileExt as _, process::CommandExt as _},
    },
    process::Command,
};

pub const SUITE: Suite = Suite {
    name: "life",
    cases,
};

/// What happens to a mapping.
type Event = (&'static str, fn(&mut Subject) -> Result<()>);

const EVENTS: &[Event] = &[
    ("fork_shares_the_memory", fork_shares_the_memory),
    (
        "dontfork_keeps_it_from_the_child",
        dontfork_keeps_it_from_the_child,
    ),
    (
        "forked_mapping_outlives_the_parents",
        forked_mapping_outlives_the_parents,
    ),
    ("munmap_of_a_half", munmap_of_a_half),
    ("munmap_of_the_middle", munmap_of_the_middle),
    ("mprotect_of_a_part", mprotect_of_a_part),
    ("mprotect_none_and_back", mprotect_none_and_back),
    ("mremap_moves", mremap_moves),
    ("mremap_shrinks", mremap_shrinks),
    ("mremap_growth_is_efault", mremap_growth_is_efault),
    ("mremap_duplicate_is_refused", mremap_duplicate_is_refused),
    (
        "mremap_that_leaves_a_vma_is_einval",
        mremap_that_leaves_a_vma_is_einval,
    ),
    ("split_then_touched", split_then_touched),
    ("moved_then_touched", moved_then_touched),
    ("dontneed", dontneed),
    ("mlock", mlock),
    ("mlockall_of_the_future", mlockall_of_the_future),
    ("mincore", mincore),
    ("looked_at_through_proc", looked_at_through_proc),
    ("core_dump_has_nothing_of_it", core_dump_has_nothing_of_it),
    ("map_populate", map_populate),
    ("private", private),
    ("resident_set", resident_set),
    ("write_from_the_mapping", write_from_the_mapping),
    ("process_vm_readv", process_vm_readv_reads_or_fails),
    ("proc_self_mem", proc_self_mem),
    (
        "pin_outlives_munmap_and_destroy",
        pin_outlives_munmap_and_destroy,
    ),
    #[cfg(target_pointer_width = "64")]
    (
        "long_term_pin_outlives_munmap_and_destroy",
        long_term_pin_outlives_munmap_and_destroy,
    ),
    ("execution_is_refused", execution_is_refused),
    ("pagemap_tells_or_hides", pagemap_tells_or_hides),
    ("query_tells_where_it_is", query_tells_where_it_is),
    ("fdinfo_has_its_line", fdinfo_has_its_line),
    ("sync_changes_nothing", sync_changes_nothing),
    ("keeps_the_module_loaded", keeps_the_module_loaded),
    ("exec_ends_it", exec_ends_it),
    ("exit_ends_it", exit_ends_it),
    ("kill_9_ends_it", kill_9_ends_it),
];

fn cases() -> Vec<Case> {
    let of_event = |(name, run): &Event| {
        let (name, run) = (*name, *run);
        let small = Cell::ordinary().map(move |cell| {
            Case::new(format!("{name}__{}", cell.pair()), move |_| {
                run(&mut Subject::new(cell, page_bytes())?)
            })
        });
        // kmalloc has one or two blocks at most.
        let can_be_large = |cell: &Cell| {
            matches!(cell.method, Method::Huge | Method::HugeFolio)
                && cell.backing != Backing::Kmalloc
        };
        let large = Cell::ordinary().filter(can_be_large).map(move |cell| {
            Case::new(format!("{name}__{}_of_blocks", cell.pair()), move |_| {
                if !raw::has_huge_pages() {
                    return skip("this kernel has no huge pages");
                }
                // Two steps share a block, which what happens to one of them splits.
                run(&mut Subject::new(cell, block_bytes() / 2)?)
            })
        });
        small.chain(large).collect::<Vec<Case>>()
    };
    EVENTS.iter().flat_map(of_event).collect()
}

/// Steps of a region: what happens to a part of it happens to some of these.
const STEPS: usize = 8;

/// A mapping of all of a region, whose step `n` begins with `10 + n`.
struct Subject {
    cell: Cell,
    /// Bytes of a step.
    step: usize,
    session: Session,
    region: Region,
    map: Map,
}

impl Subject {
    fn new(cell: Cell, step: usize) -> Result<Self> {
        let session = Session::open()?;
        let region = cell.create(&session, (STEPS * step) as u64)?;
        for at in 0..STEPS {
            session.write_at(&region, (at * step) as u64, &[value(at)])?;
        }
        let map = Map::shared_for_blocks(&session, region.offset, STEPS * step)?;
        Ok(Self {
            cell,
            step,
            session,
            region,
            map,
        })
    }

    fn vmas(&self) -> Result<u64> {
        Ok(self.session.query(&self.region)?.vmas)
    }

    /// Whether the kernel looks at the pages themselves, or only at frame numbers.
    fn is_counted(&self) -> bool {
        self.cell.is_counted()
    }

    /// Bytes of the region.
    fn length(&self) -> usize {
        STEPS * self.step
    }

    /// The first byte of a step, as the kernel sees it.
    fn kernel_sees(&self, at: usize) -> Result<u8> {
        let mut seen = [0];
        self.session
            .read_at(&self.region, (at * self.step) as u64, &mut seen)?;
        Ok(seen[0])
    }

    /// Fails unless these are the bytes of the region as it was made.
    fn expect_kept(&self, bytes: &[u8]) -> Result<()> {
        ensure!(
            (0..STEPS).all(|at| bytes[at * self.step] == value(at)),
            "freed under a pin"
        );
        Ok(())
    }

    fn expect_steps(&self, mut steps: std::ops::Range<usize>) -> Result<()> {
        ensure!(
            steps.all(|at| self.map.load(at * self.step) == value(at)),
            "other memory"
        );
        Ok(())
    }
}

fn value(at: usize) -> u8 {
    10 + at as u8
}

fn fork_shares_the_memory(it: &mut Subject) -> Result<()> {
    child::run(|| {
        it.expect_steps(0..STEPS)?;
        ensure!(it.vmas()? == 2);
        it.map.store(2 * it.step, 99);
        Ok(())
    })?;
    ensure!(
        it.map.load(2 * it.step) == 99,
        "the parent does not see the child's store"
    );
    ensure!(it.vmas()? == 1);
    Ok(())
}

fn dontfork_keeps_it_from_the_child(it: &mut Subject) -> Result<()> {
    it.map.advise(libc::MADV_DONTFORK)?;
    let killed = child::killed_by(|| {
        ensure!(it.vmas()? == 1);
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    it.expect_steps(0..STEPS)
}

fn forked_mapping_outlives_the_parents(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    let child = child::spawn(|| {
        File::from(reader.try_clone()?).read_exact(&mut [0])?;
        it.expect_steps(0..STEPS)?;
        it.map.store(0, 20);
        Ok(())
    })?;
    it.map.unmap()?;
    ensure!(it.vmas()? == 1);
    let destroyed = it.session.destroy(&it.region).is_ok();
    File::from(writer).write_all(&[1])?;
    let status = waitpid(child, None)?;
    ensure!(!destroyed, "destroyed under the child's mapping");
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    ensure!(it.kernel_sees(0)? == 20);
    Ok(())
}

fn munmap_of_a_half(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(0, it.length() / 2)?;
    ensure!(it.vmas()? == 1);
    it.expect_steps(STEPS / 2..STEPS)?;
    ensure!(
        it.session.destroy(&it.region).is_err(),
        "destroyed under half a mapping"
    );
    let killed = child::killed_by(|| {
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    Ok(())
}

fn munmap_of_the_middle(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(it.step, 2 * it.step)?;
    ensure!(it.vmas()? == 2, "a split is two VMAs");
    it.expect_steps(0..1)?;
    it.expect_steps(3..STEPS)
}

fn mprotect_of_a_part(it: &mut Subject) -> Result<()> {
    it.map
        .protect_part(it.step, it.step, ProtFlags::PROT_READ)?;
    ensure!(it.vmas()? == 3, "a split is three VMAs");
    it.expect_steps(0..STEPS)?;
    it.map.store(2 * it.step, 5);
    let killed = child::killed_by(|| {
        it.map.store(it.step, 1);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    it.map.protect_part(it.step, it.step, RW)?;
    it.map.store(it.step, 6);
    ensure!(it.kernel_sees(1)? == 6);
    Ok(())
}

fn mprotect_none_and_back(it: &mut Subject) -> Result<()> {
    it.map.protect(ProtFlags::PROT_NONE)?;
    let killed = child::killed_by(|| {
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    it.map.protect(RW)?;
    it.expect_steps(0..STEPS)
}

fn move_away(it: &mut Subject) -> Result<()> {
    let place = Map::anonymous(it.length(), ProtFlags::PROT_NONE)?;
    let (from, to) = (it.map.addr, place.addr);
    it.map.move_onto(place)?;
    ensure!(it.map.addr == to && to != from);
    Ok(())
}

fn mremap_moves(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    move_away(it)?;
    ensure!(it.vmas()? == 1);
    it.expect_steps(0..STEPS)
}

fn mremap_shrinks(it: &mut Subject) -> Result<()> {
    it.map.remap(it.step)?;
    ensure!(it.vmas()? == 1);
    it.expect_steps(0..1)
}

fn mremap_growth_is_efault(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(it.length() / 2, it.length() / 2)?;
    it.map.length = it.length() / 2;
    ensure!(it.map.remap(it.length()) == Err(Errno::EFAULT));
    it.expect_steps(0..STEPS / 2)
}

fn mremap_duplicate_is_refused(it: &mut Subject) -> Result<()> {
    let duplicate = it.map.duplicate();
    ensure!(duplicate == Err(Errno::EFAULT), "{duplicate:?}");
    ensure!(it.vmas()? == 1);
    Ok(())
}

/// `MREMAP_DONTUNMAP` would leave an empty VMA where the mapping was.
fn mremap_that_leaves_a_vma_is_einval(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    let moved = it.map.move_and_leave();
    ensure!(moved == Err(Errno::EINVAL), "{moved:?}");
    ensure!(it.vmas()? == 1);
    it.expect_steps(0..STEPS)
}

/// The offset in the region comes from the file offset, not from the start of the VMA.
fn split_then_touched(it: &mut Subject) -> Result<()> {
    it.map.unmap_part(0, 3 * it.step)?;
    it.expect_steps(3..STEPS)
}

fn moved_then_touched(it: &mut Subject) -> Result<()> {
    move_away(it)?;
    it.expect_steps(0..STEPS)
}

fn dontneed(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    let advised = it.map.advise(libc::MADV_DONTNEED);
    if !it.is_counted() {
        ensure!(advised == Err(Errno::EINVAL), "{advised:?}");
        return it.expect_steps(0..STEPS);
    }
    advised?;
    if it.cell.is_lazy() {
        // The memory is not the kernel's to throw away: it is mapped again.
        return it.expect_steps(0..STEPS);
    }
    let killed = child::killed_by(|| {
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGBUS), "{killed:?}");
    ensure!(
        it.kernel_sees(3)? == value(3),
        "the memory itself was thrown away"
    );
    Ok(())
}

fn mlock(it: &mut Subject) -> Result<()> {
    it.map.lock()?;
    it.expect_steps(0..STEPS)
}

fn mlockall_of_the_future(it: &mut Subject) -> Result<()> {
    child::run(|| {
        mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
        it.expect_steps(0..STEPS)?;
        let map = Map::shared(&it.session, it.region.offset, it.length())?;
        ensure!((0..STEPS).all(|page| map.load(page * it.step) == value(page)));
        Ok(())
    })
}

/// Of frame numbers, the kernel says that they are in memory since Linux 7.3.
fn mincore(it: &mut Subject) -> Result<()> {
    it.expect_steps(0..STEPS)?;
    let expected = u8::from(it.is_counted() || series::is_since(7, 3)?);
    let frames = it.map.in_core()?;
    ensure!(frames.len() == it.length() / page_bytes());
    let others = frames.iter().filter(|frames| **frames != expected).count();
    ensure!(
        others == 0,
        "{others} of {} pages: not {expected}",
        frames.len()
    );
    Ok(())
}

/// All that the kernel tells of a mapping is told, and `clear_refs` clears nothing that is needed.
fn looked_at_through_proc(it: &mut Subject) -> Result<()> {
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
fn core_dump_has_nothing_of_it(it: &mut Subject) -> Result<()> {
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

fn map_populate(it: &mut Subject) -> Result<()> {
    it.map.unmap()?;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
    it.map = Map::new(&it.session, it.region.offset, it.length(), RW, flags)?;
    let faults = faults_of_loading(&it.map, it.length())?;
    it.expect_steps(0..STEPS)?;
    // The kernel does not populate what it cannot look at.
    let lazy = matches!(it.cell.method, Method::FaultPfn | Method::Huge);
    ensure!((faults > 0) == lazy, "{faults} faults");
    Ok(())
}

fn private(it: &mut Subject) -> Result<()> {
    let private = Map::new(
        &it.session,
        it.region.offset,
        it.length(),
        RW,
        MapFlags::MAP_PRIVATE,
    );
    if !it.is_counted() {
        ensure!(private.err() == Some(Errno::EINVAL));
        return Ok(());
    }
    let private = private?;
    ensure!(private.load(it.step) == value(1));
    private.store(it.step, 77);
    private.store(3 * it.step, 78);
    ensure!(private.load(it.step) == 77 && private.load(3 * it.step) == 78);
    ensure!(
        it.kernel_sees(1)? == value(1),
        "a private store reached the region"
    );
    ensure!(
        it.kernel_sees(3)? == value(3),
        "a private store reached the region"
    );
    it.expect_steps(0..STEPS)
}

fn resident_set(it: &mut Subject) -> Result<()> {
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
fn write_from_the_mapping(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    raw::write(&writer, it.map.addr + it.step, 100)?;
    raw::read(&reader, it.map.addr + 5 * it.step, 100)?;
    ensure!(it.kernel_sees(5)? == value(1));
    Ok(())
}

fn process_vm_readv_reads_or_fails(it: &mut Subject) -> Result<()> {
    let mut seen = [0; 4];
    let remote = RemoteIoVec {
        base: it.map.addr + it.step,
        len: seen.len(),
    };
    let read = process_vm_readv(getpid(), &mut [IoSliceMut::new(&mut seen)], &[remote]);
    if !it.is_counted() {
        ensure!(read == Err(Errno::EFAULT), "{read:?}");
        return Ok(());
    }
    ensure!(read == Ok(4) && seen[0] == value(1), "{read:?} {seen:?}");
    Ok(())
}

fn proc_self_mem(it: &mut Subject) -> Result<()> {
    let mem = File::options()
        .read(true)
        .write(true)
        .open("/proc/self/mem")?;
    let mut seen = [0; 4];
    let read = mem.read_at(&mut seen, (it.map.addr + it.step) as u64);
    if !it.is_counted() {
        let errno = read.err().and_then(|err| err.raw_os_error());
        ensure!(errno == Some(Errno::EIO as i32), "{errno:?}");
        return Ok(());
    }
    ensure!(read? == 4 && seen[0] == value(1), "{seen:?}");
    mem.write_all_at(&[55], (it.map.addr + it.step) as u64)?;
    ensure!(it.kernel_sees(1)? == 55);
    Ok(())
}

/// A pipe holds the very pages of the mapping; they must stay what they are until it is read.
fn pin_outlives_munmap_and_destroy(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    let spliced = raw::vmsplice(&writer, it.map.addr, it.length());
    if !it.is_counted() {
        ensure!(spliced == Err(Errno::EFAULT), "{spliced:?}");
        return Ok(());
    }
    ensure!(spliced == Ok(it.length()), "{spliced:?}");
    it.map.unmap()?;
    it.session.destroy(&it.region)?;
    reuse_freed_pages(it.step)?;
    let mut seen = vec![0; it.length()];
    File::from(reader).read_exact(&mut seen)?;
    it.expect_kept(&seen)
}

/// `io_uring` pins the pages of a registered buffer for as long as it is registered (`FOLL_LONGTERM`).
#[cfg(target_pointer_width = "64")]
fn long_term_pin_outlives_munmap_and_destroy(it: &mut Subject) -> Result<()> {
    let mut ring = match IoUring::new(2) {
        Ok(ring) => ring,
        Err(err) => return skip(format!("this kernel has no io_uring: {err}")),
    };
    let buffer = libc::iovec {
        iov_base: it.map.addr as *mut libc::c_void,
        iov_len: it.length(),
    };
    // SAFETY: Nobody has a reference to memory of the mapping, and the ring writes none.
    let registered = unsafe { ring.submitter().register_buffers(&[buffer]) };
    if !it.is_counted() {
        let errno = registered.err().and_then(|err| err.raw_os_error());
        ensure!(errno == Some(Errno::EFAULT as i32), "{errno:?}");
        return Ok(());
    }
    registered?;
    it.map.unmap()?;
    it.session.destroy(&it.region)?;
    reuse_freed_pages(it.step)?;
    let (reader, writer) = pipe()?;
    let mut seen = vec![0; it.length()];
    // No more than a pipe holds at a time.
    for (at, part) in seen.chunks_mut(32 << 10).enumerate() {
        let addr = it.map.addr + at * (32 << 10);
        let to = types::Fd(writer.as_raw_fd());
        let length = u32::try_from(part.len())?;
        let write = opcode::WriteFixed::new(to, addr as *const u8, length, 0).build();
        // SAFETY: The buffer is registered, and the pipe open, until it is done.
        unsafe { ring.submission().push(&write)? };
        ring.submit_and_wait(1)?;
        let done = ring.completion().next().map(|done| done.result());
        ensure!(done == Some(i32::try_from(length)?), "{done:?}");
        File::from(reader.try_clone()?).read_exact(part)?;
    }
    it.expect_kept(&seen)
}

/// Whoever gets freed pages now writes over them.
fn reuse_freed_pages(step: usize) -> Result<()> {
    let greedy = Map::anonymous(8 << 20, RW)?;
    (0..greedy.length)
        .step_by(step)
        .for_each(|at| greedy.store(at, 0xee));
    Ok(())
}

fn execution_is_refused(it: &mut Subject) -> Result<()> {
    for prot in [ProtFlags::PROT_EXEC, RW | ProtFlags::PROT_EXEC] {
        let flags = MapFlags::MAP_SHARED;
        let mapped = Map::new(&it.session, it.region.offset, it.length(), prot, flags);
        ensure!(mapped.err() == Some(Errno::EPERM), "mmap");
        let changed = it.map.protect(prot);
        ensure!(changed == Err(Errno::EACCES), "mprotect: {changed:?}");
    }
    it.expect_steps(0..STEPS)
}

/// The kernel tells the frames of pages that it counts, and they are those of the region.
fn pagemap_tells_or_hides(it: &mut Subject) -> Result<()> {
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
fn query_tells_where_it_is(it: &mut Subject) -> Result<()> {
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

fn fdinfo_has_its_line(it: &mut Subject) -> Result<()> {
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

fn sync_changes_nothing(it: &mut Subject) -> Result<()> {
    for side in [Side::Cpu, Side::Device] {
        it.session.sync(&it.region, 0, it.length() as u64, side)?;
        it.session.sync(&it.region, it.step as u64, 1, side)?;
        let beyond = it.session.sync(&it.region, 1, it.length() as u64, side);
        ensure!(beyond.is_err(), "beyond its end");
        it.expect_steps(0..STEPS)?;
    }
    Ok(())
}

/// A mapping alone does, whose file is closed.
fn keeps_the_module_loaded(it: &mut Subject) -> Result<()> {
    let session = Session::open()?;
    let region = it.cell.create(&session, it.length() as u64)?;
    let map = Map::shared(&session, region.offset, it.length())?;
    drop(session);
    let removed = module::remove();
    ensure!(removed == Err(Errno::EAGAIN), "{removed:?}");
    map.store(0, 1);
    ensure!(map.load(0) == 1);
    Ok(())
}

fn exec_ends_it(it: &mut Subject) -> Result<()> {
    let (reader, writer) = pipe()?;
    let child = child::spawn(|| {
        it.expect_steps(0..STEPS)?;
        // Says when it runs, and waits to be killed.
        let failed = Command::new("sh")
            .args(["-c", "echo; exec sleep 1000"])
            .stdout(writer.try_clone()?)
            .exec();
        Err(failed.into())
    })?;
    File::from(reader).read_exact(&mut [0])?;
    let vmas = it.vmas()?;
    nix::sys::signal::kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    ensure!(vmas == 1, "{vmas} VMAs after exec");
    it.expect_steps(0..STEPS)
}

/// Makes and maps a region, and leaves it to the kernel to clean up.
fn make_a_mess(cell: Cell, step: usize) -> Result<()> {
    let mess = Subject::new(cell, step)?;
    mess.expect_steps(0..STEPS)?;
    std::mem::forget(mess);
    Ok(())
}

fn exit_ends_it(it: &mut Subject) -> Result<()> {
    let before = Tables::read()?.live_pages();
    child::run(|| make_a_mess(it.cell, it.step))?;
    ensure!(Tables::read()?.live_pages() == before);
    Ok(())
}

fn kill_9_ends_it(it: &mut Subject) -> Result<()> {
    let before = Tables::read()?.live_pages();
    let killed = child::killed_by(|| {
        make_a_mess(it.cell, it.step)?;
        raise(Signal::SIGKILL)?;
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGKILL), "{killed:?}");
    ensure!(Tables::read()?.live_pages() == before);
    Ok(())
}
