// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plans that are refused: each with an errno, and a reason that a person can read.

use crate::{
    alloc::errno_of,
    child,
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, CacheFlag, Gfp, Modifier, Pattern, Plan, DEVICE},
    page_bytes, page_size,
    uapi::{alloc as uapi, Request as _},
    Error,
};
use nix::{
    errno::Errno,
    sys::uio::{pread, pwrite},
};
use std::{
    fs::File,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
};

suite! { "alloc_refusals":
    a_bad_plan_is_einval_with_a_reason,
    a_huge_plan_is_enospc_with_figures,
    a_bad_number_is_einval,
    a_bad_pointer_is_efault,
    a_newer_structure_is_e2big,
    an_older_structure_is_einval,
    an_unknown_ioctl_is_enotty,
    only_root_opens_the_device,
    records_take_cap_sys_admin,
    it_is_no_memory_to_map_or_read,
}

/// What is wrong, the plan, and a word of the reason.
fn bad_plans() -> Vec<(&'static str, Plan, &'static str)> {
    use Allocator::{
        Coherent, Kmalloc, KmemCache, Krealloc, Kvmalloc, Kzalloc, PerCpu, Vmalloc, Vzalloc,
    };
    let kmalloc = || Plan::new(Kmalloc, 64);
    let cache = |flags: &[CacheFlag]| Plan {
        cache_flags: flags.to_vec(),
        ..Plan::new(KmemCache, 64)
    };
    let aligned = |allocator, align| Plan {
        align,
        ..Plan::new(allocator, 64)
    };
    let batches = |batch| kmalloc().with_pattern(Pattern::Batches { batch });
    vec![
        ("size 0", Plan::new(Kmalloc, 0), "at least one byte"),
        ("size 0 of vmalloc", Plan::new(Vmalloc, 0), "at least one"),
        ("count 0", kmalloc().repeated(0), "at least one allocation"),
        // The largest order is 10, or 11 where the kernel was configured so, as Debian's is for ARM.
        ("order 12", Plan::pages(12), "no blocks of such an order"),
        ("order 2^32-1", Plan::pages(u32::MAX), "no blocks"),
        ("node -2", kmalloc().on_node(-2), "not negative"),
        ("node 63", kmalloc().on_node(63), "no such node"),
        ("node 1000", kmalloc().on_node(1000), "no such node"),
        ("batch 0", batches(0), "batch cannot be 0"),
        ("pairs held", kmalloc().holding(), "nothing to hold"),
        (
            "krealloc from nothing",
            Plan::new(Krealloc, 64),
            "begins with an object",
        ),
        (
            "a size of 0 of vmalloc, meant",
            Plan {
                size_zero: true,
                ..Plan::new(Vmalloc, 0)
            },
            "have an answer",
        ),
        (
            "kmalloc in high memory",
            kmalloc().with_gfp(Gfp::Highuser),
            "need an address",
        ),
        (
            "kzalloc below 4 GiB",
            Plan::new(Kzalloc, 64).with_gfp(Gfp::Dma32),
            "no such class",
        ),
        (
            "vmalloc in the lowest zone",
            Plan::new(Vmalloc, 64).with_gfp(Gfp::Dma),
            "any zone",
        ),
        (
            "kvmalloc in the lowest zone",
            Plan::new(Kvmalloc, 64).with_gfp(Gfp::Dma),
            "any zone",
        ),
        (
            "a cache's object in the lowest zone",
            Plan::new(KmemCache, 64).with_gfp(Gfp::Dma),
            "the cache's flags",
        ),
        (
            "coherent memory in the lowest zone",
            Plan::new(Coherent, 64).with_gfp(Gfp::Dma),
            "chooses the zone",
        ),
        (
            "a compound slab object",
            kmalloc().with(Modifier::Comp),
            "for the page allocator",
        ),
        (
            "compound coherent memory",
            Plan::new(Coherent, 64).with(Modifier::Comp),
            "for the page allocator",
        ),
        (
            "movable and reclaimable",
            Plan::pages(0)
                .with(Modifier::Movable)
                .with(Modifier::Reclaimable),
            "either",
        ),
        (
            "vmalloc bound to a node",
            Plan::new(Vzalloc, 64).with(Modifier::Thisnode),
            "bound to a node",
        ),
        (
            "atomic, trying harder",
            kmalloc().with_gfp(Gfp::Atomic).with(Modifier::RetryMayfail),
            "cannot try harder",
        ),
        (
            "per-CPU on a node",
            Plan::new(PerCpu, 64).on_node(0),
            "chooses the node",
        ),
        (
            "vmalloc on a node with flags",
            Plan::new(Vmalloc, 64).on_node(0).with_gfp(Gfp::Atomic),
            "take no GFP flags",
        ),
        (
            "too large for a unit",
            Plan::new(PerCpu, 40_000),
            "a unit of the per-CPU",
        ),
        (
            "too large for a cache",
            Plan::new(KmemCache, 100_000),
            "a plan's cache",
        ),
        (
            "a cache of two zones",
            cache(&[CacheFlag::Dma, CacheFlag::Dma32]),
            "one zone",
        ),
        (
            "an aligned kmalloc",
            aligned(Kmalloc, 64),
            "aligned as asked",
        ),
        ("an odd alignment", aligned(KmemCache, 24), "a power of two"),
        (
            "a large alignment",
            aligned(PerCpu, 2 * page_size() as u32),
            "a power of two",
        ),
        (
            "a split compound block",
            Plan {
                split: true,
                ..Plan::pages(2).with(Modifier::Comp)
            },
            "can be split",
        ),
        (
            "a null block of pages",
            Plan {
                free_null: true,
                ..Plan::pages(2)
            },
            "null pointer",
        ),
    ]
}

fn a_bad_plan_is_einval_with_a_reason(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    for (what, plan, word) in bad_plans() {
        let result = device.run(&plan);
        let Err(Error::PlanRefused { reason }) = result else {
            anyhow::bail!("{what}: {result:?}");
        };
        ensure!(reason.contains(word), "{what}: {reason}");
    }
    Ok(())
}

fn a_huge_plan_is_enospc_with_figures(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let sizes = [1 << 32, 1 << 62, u64::MAX];
    for bytes in sizes {
        for allocator in [Allocator::Kmalloc, Allocator::Vmalloc, Allocator::Coherent] {
            let result = device.run(&Plan::new(allocator, bytes));
            let Err(Error::OverBudget { needed, budget, .. }) = result else {
                anyhow::bail!("{bytes} bytes: {result:?}");
            };
            ensure!(budget < needed, "{needed}, {budget}");
        }
    }
    let many = Plan::new(Allocator::Kmalloc, 1).with_pattern(Pattern::Batches { batch: u32::MAX });
    let result = device.run(&many);
    ensure!(
        matches!(result, Err(Error::OverBudget { .. })),
        "{result:?}"
    );
    let errno = errno_of(|run| run.nr_records = u32::MAX)?;
    ensure!(errno == Errno::ENOSPC, "{errno}");
    Ok(())
}

/// What is wrong, and how to make it so.
type Spoiled = (&'static str, fn(&mut uapi::Run));

fn a_bad_number_is_einval(_: &Context) -> Result<()> {
    let spoiled: [Spoiled; 12] = [
        ("allocator 10", |run| run.allocator = 10),
        ("allocator 2^32-1", |run| run.allocator = u32::MAX),
        ("pattern 3", |run| run.pattern = 3),
        ("GFP flags 9", |run| run.gfp = 9),
        ("an unknown modifier", |run| run.modifiers = 1 << 7),
        ("an unknown flag", |run| run.flags = 1 << 7),
        ("all flags", |run| run.flags = u32::MAX),
        ("an order of no pages", |run| run.order = 1),
        ("flags of no cache", |run| run.cache_flags = 1),
        ("an unknown flag of a cache", |run| {
            run.allocator = Allocator::KmemCache.number();
            run.cache_flags = 1 << 10;
        }),
        ("pages of a size", |run| {
            run.allocator = Allocator::Pages.number();
        }),
        ("a batch of pairs", |run| run.batch = 1),
    ];
    for (what, spoil) in spoiled {
        let errno = errno_of(spoil)?;
        ensure!(errno == Errno::EINVAL, "{what}: {errno}");
    }
    Ok(())
}

fn a_bad_pointer_is_efault(_: &Context) -> Result<()> {
    for address in [8, usize::MAX as u64 & !(page_size() - 1)] {
        let errno = errno_of(|run| (run.records, run.nr_records) = (address, 3))?;
        ensure!(errno == Errno::EFAULT, "{address:#x}: {errno}");
    }
    let device = AllocDevice::open()?;
    for number in [uapi::IOCTL_INFO, uapi::IOCTL_RUN, uapi::IOCTL_RELEASE] {
        let result = crate::raw::ioctl(&device, number, 0);
        ensure!(result == Err(Errno::EFAULT), "{number:#x}: {result:?}");
    }
    Ok(())
}

fn a_newer_structure_is_e2big(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let known = size_of::<uapi::Info>();
    let result = crate::raw::ioctl_bytes(&device, uapi::IOCTL_INFO, known as u32 + 8, &[]);
    ensure!(result.is_ok(), "zeros that are new: {result:?}");
    let new = [1; 1].repeat(known + 4);
    let result = crate::raw::ioctl_bytes(&device, uapi::IOCTL_INFO, known as u32 + 8, &new);
    ensure!(result == Err(Errno::E2BIG), "{result:?}");
    Ok(())
}

fn an_older_structure_is_einval(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    for (number, least) in [
        (uapi::IOCTL_INFO, uapi::Info::MIN_SIZE),
        (uapi::IOCTL_RUN, uapi::Run::MIN_SIZE),
        (uapi::IOCTL_RELEASE, uapi::Release::MIN_SIZE),
    ] {
        let result = crate::raw::ioctl_bytes(&device, number, least as u32 - 1, &[]);
        ensure!(result == Err(Errno::EINVAL), "{number:#x}: {result:?}");
    }
    Ok(())
}

fn an_unknown_ioctl_is_enotty(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    // The last is CREATE of /dev/mapwright.
    for number in [uapi::IOCTL_RELEASE + 1, 0, mapwright::uapi::IOCTL_CREATE] {
        let result = crate::raw::ioctl_bytes(&device, number, 64, &[]);
        ensure!(result == Err(Errno::ENOTTY), "{number:#x}: {result:?}");
    }
    Ok(())
}

fn only_root_opens_the_device(_: &Context) -> Result<()> {
    let node = std::fs::metadata(DEVICE)?;
    ensure!(node.file_type().is_char_device());
    ensure!((node.uid(), node.mode() & 0o777) == (0, 0o600));
    child::run(|| {
        child::become_nobody()?;
        let result = AllocDevice::open();
        ensure!(
            matches!(result, Err(Error::NoPermission { .. })),
            "{result:?}"
        );
        Ok(())
    })
}

fn records_take_cap_sys_admin(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    child::run(|| {
        // An open file is still there without privileges.
        child::become_nobody()?;
        let plan = Plan::new(Allocator::Kmalloc, 64);
        device.run(&plan)?;
        let result = device.record(&plan, 1);
        let errno = result.err().and_then(|err| err.errno());
        ensure!(errno == Some(Errno::EPERM), "{errno:?}");
        Ok(())
    })
}

fn it_is_no_memory_to_map_or_read(_: &Context) -> Result<()> {
    let file = File::options().read(true).write(true).open(DEVICE)?;
    let result = crate::raw::Map::shared(&file, 0, page_bytes()).map(drop);
    ensure!(result == Err(Errno::ENODEV), "mmap: {result:?}");
    let result = pread(&file, &mut [0; 8], 0);
    ensure!(result == Err(Errno::EINVAL), "read: {result:?}");
    let result = pwrite(&file, &[0; 8], 0);
    ensure!(result == Err(Errno::EINVAL), "write: {result:?}");
    Ok(())
}
