// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/dev/mapwright-inspect`: page frames, the layout, what it refuses, and walks while the tables
//! change.

use crate::{
    child,
    random::Random,
    raw::{self, Map, RW},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, CacheFlag, Pattern, Plan},
    block_bytes, btf,
    inspect::{Area, Inspector, MigrateType, Target},
    page_bytes, page_size,
    slab::SlabCaches,
    uapi::{inspect as uapi, Request},
    Backing, Method, Session,
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
    fs,
    io::Read as _,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

suite! { "inspect":
    a_frame_agrees_with_kpageflags_and_kpagecount,
    a_frame_of_ours_is_counted_and_unmovable,
    a_slab_s_cache_has_its_name,
    no_frame_beyond_memory_is_enxio,
    the_layout_holds_what_the_kernel_says_of_itself,
    it_needs_cap_sys_admin,
    no_such_process_is_esrch,
    a_process_that_ended_is_esrch,
    a_kernel_thread_is_einval,
    unknown_flags_are_einval,
    a_wrong_size_is_refused,
    unknown_ioctl_is_enotty,
    a_bad_pointer_is_efault,
    it_has_no_memory_to_map_or_read,
    walks_race_with_a_process_that_changes,
}

fn a_frame_agrees_with_kpageflags_and_kpagecount(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let map = Map::anonymous(4 * page_bytes(), RW)?;
    map.advise(libc::MADV_NOHUGEPAGE)?;
    map.store(0, 1);
    // Neither on its way to a list nor written to by others.
    map.lock()?;
    let walk = inspector.walk(Target::Myself, map.addr as u64)?;
    let pfn = walk.pfn().context("no page")?;
    let frame = inspector.frame(pfn)?;
    let number_in = |file: &str| -> Result<u64> {
        let mut bytes = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&fs::File::open(file)?, &mut bytes, pfn * 8)?;
        Ok(u64::from_ne_bytes(bytes))
    };
    let (flags, count) = (
        number_in("/proc/kpageflags")?,
        number_in("/proc/kpagecount")?,
    );
    ensure!(
        frame.page_flags.bits() == flags,
        "{:#x}, but kpageflags {flags:#x}",
        frame.page_flags
    );
    ensure!(
        count == 1 && frame.mapcount == 1,
        "kpagecount {count}, {frame:?}"
    );
    ensure!(
        frame.refcount >= 1 && frame.order == 0 && frame.head == pfn,
        "{frame:?}"
    );
    ensure!(!frame.zone.is_empty(), "{frame:?}");
    Ok(())
}

fn a_frame_of_ours_is_counted_and_unmovable(_: &Context) -> Result<()> {
    let (inspector, session) = (Inspector::open()?, Session::open()?);
    let region = session.create(Backing::Folio, Method::Insert, 16 * page_size())?;
    let map = Map::shared(&session, region.offset, 16 * page_bytes())?;
    let pages = session.pages(&region, 0, u64::MAX)?;
    let first = inspector.frame(pages[0].pfn)?;
    let third = inspector.frame(pages[2].pfn)?;
    ensure!(first.order == 4 && first.head == pages[0].pfn, "{first:?}");
    ensure!(third.order == 4 && third.head == pages[0].pfn, "{third:?}");
    // One each for the module and for every mapped page.
    ensure!(first.refcount == 17, "{first:?}");
    ensure!(first.migrate_type == MigrateType::Unmovable, "{first:?}");
    let apart = third.struct_page - first.struct_page;
    ensure!(apart > 0 && apart % 2 == 0, "{apart} bytes for two pages");
    drop(map);
    ensure!(inspector.frame(pages[0].pfn)?.refcount == 1);
    Ok(())
}

fn a_slab_s_cache_has_its_name(_: &Context) -> Result<()> {
    if !Path::new(btf::FILE).exists() {
        return skip("the kernel does not tell its types: CONFIG_DEBUG_INFO_BTF");
    }
    let inspector = Inspector::open()?;
    let caches = SlabCaches::new()?;
    // What the module calls the cache, if it makes one, and what the page's is called.
    let names = |plan: Plan| -> Result<(Option<String>, Option<String>)> {
        let device = AllocDevice::open()?;
        let held = plan.with_pattern(Pattern::Batches { batch: 1 }).holding();
        let (report, objects) = device.record(&held, 1)?;
        let pfn = objects.first().context("no object")?.pfn;
        Ok((report.cache, caches.name(&inspector, pfn)?))
    };
    let (_, found) = names(Plan::new(Allocator::Kmalloc, 1024))?;
    let found = found.unwrap_or_default();
    ensure!(
        found.starts_with("kmalloc") && found.ends_with("-1k"),
        "{found}"
    );
    let own = Plan {
        cache_flags: vec![CacheFlag::NoMerge],
        ..Plan::new(Allocator::KmemCache, 200)
    };
    let (called, found) = names(own)?;
    ensure!(called.is_some() && called == found, "{called:?} {found:?}");
    let (_, found) = names(Plan::pages(0))?;
    ensure!(found.is_none(), "a page that is no slab: {found:?}");
    Ok(())
}

fn no_frame_beyond_memory_is_enxio(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    for pfn in [1 << 35, 1 << 40, 1 << 52, u64::MAX] {
        let result = inspector.frame(pfn);
        let errno = result.as_ref().err().and_then(mapwright::Error::errno);
        ensure!(errno == Some(Errno::ENXIO), "{pfn:#x}: {result:?}");
    }
    Ok(())
}

fn the_layout_holds_what_the_kernel_says_of_itself(context: &Context) -> Result<()> {
    let layout = Inspector::open()?.layout()?;
    for pair in layout.areas.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        let is_inside = one.area == Area::Vmalloc && next.last < one.last;
        ensure!(
            one.start <= one.last && (one.last < next.start || is_inside),
            "{pair:x?}"
        );
    }
    // Where things are, from the kernel's symbols.
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    let mut checked = 0;
    // The last is where the image has just ended.
    for (name, before) in [("_text", 0), ("init_task", 0), ("_end", 1)] {
        let line = symbols
            .lines()
            .find(|line| line.ends_with(&format!(" {name}")));
        let Some(line) = line else { continue };
        let address = u64::from_str_radix(line.split(' ').next().unwrap_or(""), 16)? - before;
        ensure!(
            layout.area_of(address) == Some(Area::KernelImage),
            "{name} at {address:#x} is in {:?}",
            layout.area_of(address)
        );
        checked += 1;
    }
    // With KASLR, 64-bit ARM has modules in the vmalloc area.
    let modules = match layout.area(Area::Modules) {
        Some(_) => Area::Modules,
        None => Area::Vmalloc,
    };
    for line in symbols.lines().filter(|line| line.ends_with("[mapwright]")) {
        let address = u64::from_str_radix(line.split(' ').next().unwrap_or(""), 16)?;
        let class = layout.area_of(address);
        ensure!(class == Some(modules), "{line} is in {class:?}");
        checked += 1;
    }
    context.note(format!("{checked} symbols"));
    ensure!(checked > 10, "only {checked} symbols");
    Ok(())
}

/// The error number of an ioctl of the inspector.
fn refused<R: Request>(inspector: &Inspector, mut request: R) -> Option<Errno> {
    inspector.request(&mut request).err()
}

fn it_needs_cap_sys_admin(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    child::run(|| {
        child::become_nobody()?;
        ensure!(refused(&inspector, uapi::Walk::new()) == Some(Errno::EPERM));
        ensure!(refused(&inspector, uapi::Frame::new()) == Some(Errno::EPERM));
        ensure!(refused(&inspector, uapi::Layout::new()) == Some(Errno::EPERM));
        let opened = Inspector::open();
        let errno = opened.as_ref().err().and_then(mapwright::Error::errno);
        ensure!(errno == Some(Errno::EACCES), "{opened:?}");
        Ok(())
    })
}

fn of_process(pid: u32) -> uapi::Walk {
    uapi::Walk {
        pid,
        ..uapi::Walk::new()
    }
}

fn no_such_process_is_esrch(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    for pid in [u32::MAX, i32::MAX as u32, 1 << 31, 4_194_303] {
        let errno = refused(&inspector, of_process(pid));
        ensure!(errno == Some(Errno::ESRCH), "{pid}: {errno:?}");
    }
    Ok(())
}

fn a_process_that_ended_is_esrch(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let child = child::spawn(|| Ok(()))?;
    let ended = || -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{child}/stat"))?;
        Ok(stat.contains(") Z "))
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ended()? {
        ensure!(Instant::now() < deadline, "the child does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It has a number still, but no memory.
    let errno = refused(&inspector, of_process(child.as_raw() as u32));
    waitpid(child, None)?;
    ensure!(errno == Some(Errno::ESRCH), "{errno:?}");
    Ok(())
}

fn a_kernel_thread_is_einval(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    // kthreadd.
    let errno = refused(&inspector, of_process(2));
    ensure!(errno == Some(Errno::EINVAL), "{errno:?}");
    Ok(())
}

fn unknown_flags_are_einval(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let kernel = uapi::WALK_KERNEL;
    for flags in [
        1 << 4,
        1 << 31,
        kernel | uapi::WALK_COUNTED,
        kernel | uapi::WALK_USER_MODE,
        uapi::WALK_PROBE,
    ] {
        let errno = refused(
            &inspector,
            uapi::Walk {
                flags,
                ..uapi::Walk::new()
            },
        );
        ensure!(errno == Some(Errno::EINVAL), "{flags:#x}: {errno:?}");
    }
    let of_kernel = uapi::Walk {
        flags: kernel,
        ..of_process(1)
    };
    ensure!(refused(&inspector, of_kernel) == Some(Errno::EINVAL));
    let frame = uapi::Frame {
        flags: 1,
        ..uapi::Frame::new()
    };
    ensure!(refused(&inspector, frame) == Some(Errno::EINVAL));
    let layout = uapi::Layout {
        flags: 1,
        ..uapi::Layout::new()
    };
    ensure!(refused(&inspector, layout) == Some(Errno::EINVAL));
    Ok(())
}

fn a_wrong_size_is_refused(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    // The frame that is asked for is number 0, where not every machine has memory.
    let frame_0 = inspector.frame(0).err().and_then(|err| err.errno());
    for (number, size) in [
        (uapi::IOCTL_WALK, uapi::Walk::MIN_SIZE as u32),
        (uapi::IOCTL_FRAME, uapi::Frame::MIN_SIZE as u32),
        (uapi::IOCTL_LAYOUT, uapi::Layout::MIN_SIZE as u32),
    ] {
        for (size, expected) in [
            (0, Some(Errno::EINVAL)),
            (size - 1, Some(Errno::EINVAL)),
            (size, None),
            (size + 100, None),
            (page_size() as u32 + 1, Some(Errno::E2BIG)),
        ] {
            let expected = expected.or(frame_0.filter(|_| number == uapi::IOCTL_FRAME));
            let result = raw::ioctl_bytes(&inspector, number, size, &[]).err();
            ensure!(result == expected, "{number:#x}, size {size}: {result:?}");
        }
        let beyond = vec![1u8; size as usize + 4];
        let result = raw::ioctl_bytes(&inspector, number, size + 8, &beyond).err();
        ensure!(result == Some(Errno::E2BIG), "{number:#x}: {result:?}");
    }
    Ok(())
}

fn unknown_ioctl_is_enotty(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    for number in [
        0,
        uapi::IOCTL_WALK - 1,
        uapi::IOCTL_LAYOUT + 1,
        mapwright::uapi::IOCTL_INFO,
    ] {
        let result = raw::ioctl(&inspector, number, 0);
        ensure!(result == Err(Errno::ENOTTY), "{number:#x}: {result:?}");
    }
    Ok(())
}

fn a_bad_pointer_is_efault(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    for address in [0, 64, usize::MAX - 64, 1 << (usize::BITS - 2)] {
        let result = raw::ioctl(&inspector, uapi::IOCTL_WALK, address);
        ensure!(result == Err(Errno::EFAULT), "{address:#x}: {result:?}");
    }
    Ok(())
}

fn it_has_no_memory_to_map_or_read(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let mapped = Map::shared(&inspector, 0, page_bytes()).err();
    ensure!(mapped == Some(Errno::ENODEV), "mmap: {mapped:?}");
    let mut file = fs::File::from(inspector.as_fd().try_clone_to_owned()?);
    let read = file.read(&mut [0; 8]);
    ensure!(
        read.as_ref()
            .is_err_and(|err| err.raw_os_error() == Some(libc::EINVAL)),
        "{read:?}"
    );
    Ok(())
}

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

fn walks_race_with_a_process_that_changes(context: &Context) -> Result<()> {
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
