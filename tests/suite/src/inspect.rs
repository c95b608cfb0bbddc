// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/dev/mapwright-inspect`: page frames, the layout, what it refuses, and walks while the tables
//! change.

mod race;
mod refusals;

use crate::{
    raw::{Map, RW},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, CacheFlag, Pattern, Plan},
    btf,
    inspect::{Area, Inspector, MigrateType, Target},
    page_bytes, page_size,
    slab::SlabCaches,
    Backing, Method, Session,
};
use nix::{errno::Errno, libc};
use race::walks_race_with_a_process_that_changes;
use refusals::{
    a_bad_pointer_is_efault, a_kernel_thread_is_einval, a_process_that_ended_is_esrch,
    a_wrong_size_is_refused, it_has_no_memory_to_map_or_read, it_needs_cap_sys_admin,
    no_such_process_is_esrch, unknown_flags_are_einval, unknown_ioctl_is_enotty,
};
use std::{fs, path::Path};

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
    let (_, name) = names(Plan::new(Allocator::Kmalloc, 1024))?;
    let name = name.unwrap_or_default();
    ensure!(
        name.starts_with("kmalloc") && name.ends_with("-1k"),
        "{name}"
    );
    let own = Plan {
        cache_flags: vec![CacheFlag::NoMerge],
        ..Plan::new(Allocator::KmemCache, 200)
    };
    let (called, name) = names(own)?;
    ensure!(called.is_some() && called == name, "{called:?} {name:?}");
    let (_, name) = names(Plan::pages(0))?;
    ensure!(name.is_none(), "a page that is no slab: {name:?}");
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
