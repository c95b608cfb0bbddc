// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of a mapping: forks, splits, moves, advice, pins, deaths. Each event has a test for
//! each sound pair of backing and method, named `event__backing_method`, and, of mappings with huge pages,
//! for one in which what happens splits these: `event__backing_huge_of_2_mib`.

mod address_space;
mod ends;
mod views;

use crate::{
    cells::Cell,
    raw::{self, Map},
    runner::{skip, Case, Suite},
};
use address_space::{
    dontfork_keeps_it_from_the_child, dontneed, execution_is_refused, fork_shares_the_memory,
    forked_mapping_outlives_the_parents, map_populate, mincore, mlock, mlockall_of_the_future,
    moved_then_touched, mprotect_none_and_back, mprotect_of_a_part, mremap_duplicate_is_refused,
    mremap_growth_is_efault, mremap_moves, mremap_shrinks, mremap_that_leaves_a_vma_is_einval,
    munmap_of_a_half, munmap_of_the_middle, private, split_then_touched, sync_changes_nothing,
};
use anyhow::{ensure, Result};
#[cfg(target_pointer_width = "64")]
use ends::long_term_pin_outlives_munmap_and_destroy;
use ends::{
    exec_ends_it, exit_ends_it, keeps_the_module_loaded, kill_9_ends_it,
    pin_outlives_munmap_and_destroy,
};
#[cfg(target_pointer_width = "64")]
use mapwright::Caching;
use mapwright::{
    block_bytes, page_bytes, uapi, uapi::Request as _, Backing, Method, Region, Session,
};
use nix::errno::Errno;
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};
use views::{
    core_dump_has_nothing_of_it, fdinfo_has_its_line, futexes, looked_at_through_proc,
    pagemap_tells_or_hides, proc_self_mem, process_vm_readv_reads_or_fails,
    query_tells_where_it_is, resident_set, synchronized, write_from_the_mapping,
};

pub const SUITE: Suite = Suite {
    name: "life",
    cases,
};

/// The same of a gigabyte, which one entry maps where the CPU has such an entry. It takes a machine with as much memory.
#[cfg(target_pointer_width = "64")]
pub const OF_A_GIGABYTE: Suite = Suite {
    name: "large.life",
    cases: cases_of_a_gigabyte,
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
    ("synchronized", synchronized),
    ("futexes", futexes),
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
            matches!(
                cell.method,
                Method::Huge | Method::HugeFolio | Method::PageCache
            ) && cell.backing != Backing::Kmalloc
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

#[cfg(target_pointer_width = "64")]
fn cases_of_a_gigabyte() -> Vec<Case> {
    let cell = Cell {
        backing: Backing::Pages,
        method: Method::Huge,
        caching: Caching::WriteBack,
    };
    let of_event = |(name, run): &Event| {
        let run = *run;
        Case::new(*name, move |_| {
            if !raw::has_huge_pages() {
                return skip("this kernel has no huge pages");
            }
            run(&mut Subject::new(cell, GIB / STEPS)?)
        })
    };
    EVENTS.iter().map(of_event).collect()
}

/// Bytes of a gigabyte: a region that long is one run.
const GIB: usize = 1 << 30;

/// Steps of a region: what happens to a part of it happens to some of these.
const STEPS: usize = 8;

/// Makes something for which there is no memory at some moments: where a long run is to be, the kernel may have page tables that
/// it frees soon, or a page that is just being used.
///
/// Memory may be in pieces for good when tests have used it: then what was had before is a skip.
pub fn patiently<T, E: Into<anyhow::Error>>(
    make: impl Fn() -> Result<T, E>,
    lacks_memory: impl Fn(&E) -> bool,
) -> Result<T> {
    static WAS_HAD: AtomicBool = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match make() {
            Ok(made) => {
                WAS_HAD.store(true, Relaxed);
                return Ok(made);
            }
            Err(err) if !lacks_memory(&err) => return Err(err.into()),
            Err(_) if Instant::now() < until => {
                // The kernel moves what can be moved, but caches that cannot be it keeps.
                fs::write("/proc/sys/vm/drop_caches", "3")?;
                sleep(Duration::from_millis(200));
            }
            Err(_) if WAS_HAD.load(Relaxed) => {
                return skip("this machine's memory is in pieces by now: there is no run that long")
            }
            Err(err) => return Err(err.into()),
        }
    }
}

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
        let is_large = STEPS * step >= GIB;
        let create = uapi::Create {
            flags: if is_large { uapi::CREATE_CONTIGUOUS } else { 0 },
            backing: cell.backing.number(),
            method: cell.method.number(),
            caching: cell.caching.number(),
            bytes: (STEPS * step) as u64,
            ..uapi::Create::new()
        };
        let lacks_memory = |err: &Errno| is_large && *err == Errno::ENOMEM;
        let region = patiently(|| session.create_as(create), lacks_memory)?;
        for at in 0..STEPS {
            session.write_at(&region, (at * step) as u64, &[value(at)])?;
        }
        let map = match is_large {
            true => Map::shared(&session, region.offset, STEPS * step),
            false => Map::shared_for_blocks(&session, region.offset, STEPS * step),
        }?;
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

    /// Frees the memory: there may be no other as contiguous.
    fn let_go(&mut self) -> Result<()> {
        self.map.unmap()?;
        Ok(self.session.destroy(&self.region)?)
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
        let mut byte = [0];
        self.session
            .read_at(&self.region, (at * self.step) as u64, &mut byte)?;
        Ok(byte[0])
    }

    /// Fails unless these are the bytes of the region as it was made.
    #[cfg(target_pointer_width = "64")]
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
