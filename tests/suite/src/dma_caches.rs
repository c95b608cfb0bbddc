// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the DMA API does about the CPU's caches, for a device that sees what is in them and for one that does
//! not. QEMU has no caches: whether the kernel calls for what they would need is looked at.

use crate::{
    dma::{Bench, COHERENT, PAGES},
    runner::{skip, suite, Context},
    tracing::Instance,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    architecture,
    inspect::{Inspector, MemoryType, Target},
    page_size, AddressClass, Architecture, Backing, Caching, Direction, MapCall, Method,
    Protection,
};
use nix::errno::Errno;
use std::{fs, path::Path};

suite! { "dma.caches":
    coherent_memory_has_the_type_that_the_device_needs,
    lent_memory_is_written_back_if_the_device_is_not_coherent,
    memory_that_is_not_cached_is_lent_where_it_can_be,
}

/// What the device tree says of the PCI bus, if there is one.
fn is_coherent_by_the_device_tree() -> Result<Option<bool>> {
    let root = Path::new("/proc/device-tree");
    if !root.exists() {
        return Ok(None);
    }
    let mut bus = None;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("pcie@") {
            bus = Some(entry.path().join("dma-coherent").exists());
        }
    }
    Ok(bus)
}

fn coherent_memory_has_the_type_that_the_device_needs(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let is_coherent = bench.session.dma_info()?.coherent == 1;
    if let Some(said) = is_coherent_by_the_device_tree()? {
        ensure!(is_coherent == said, "the device tree says {said}");
    }
    context.note(format!("the device is coherent: {is_coherent}"));
    let expected = match is_coherent {
        true => MemoryType::WriteBack,
        false => MemoryType::WriteCombine,
    };
    let region = bench.create(COHERENT, 4 * page_size())?;
    let mapping = bench.session.map(&region, Protection::ReadWrite)?;
    let inspector = Inspector::open()?;
    for page in 0..4 {
        // It is mapped when it is touched.
        mapping.read((page * page_size()) as usize, &mut [0]);
        let address = mapping.addr() as u64 + page * page_size();
        let result = inspector.walk(Target::Myself, address)?.memory_type;
        ensure!(result == Some(expected), "page {page} is mapped {result:?}");
    }
    if !is_coherent {
        // Not in the direct map, where it is cached.
        let class = bench.session.query(&region)?.address_class;
        ensure!(
            class == AddressClass::Vmalloc,
            "the kernel's own: {class:?}"
        );
    }
    drop(mapping);
    bench.close()
}

/// What the DMA API calls before the device has memory, and after.
pub const FOR_DEVICE: &str = "arch_sync_dma_for_device";
pub const FOR_CPU: &str = "arch_sync_dma_for_cpu";

fn lent_memory_is_written_back_if_the_device_is_not_coherent(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let Some(trace) = Instance::of_functions(&format!("{FOR_DEVICE} {FOR_CPU}"))? else {
        return skip(
            "this kernel has no functions for it, or does not trace them: all devices are coherent",
        );
    };
    let region = bench.create(PAGES, 4 * page_size())?;
    let all = (0, 4 * page_size());
    let direction = Direction::Bidirectional;
    let mapping = bench
        .session
        .dma_map(&region, all, MapCall::Scatter, direction)?;
    let before = (trace.calls_of(FOR_DEVICE)?, trace.calls_of(FOR_CPU)?);
    bench
        .session
        .sync(&region, 0, all.1, mapwright::Side::Cpu)?;
    let after = trace.calls_of(FOR_CPU)?;
    bench.session.dma_unmap(mapping.id)?;
    context.note(format!(
        "{} calls for the device, {after} for the CPU",
        before.0
    ));
    match bench.session.dma_info()?.coherent {
        1 => ensure!(before == (0, 0) && after == 0, "{before:?}, then {after}"),
        _ => ensure!(before.0 > 0 && after > before.1, "{before:?}, then {after}"),
    }
    drop(trace);
    bench.close()
}

/// Where the direct map has another memory type, the device could see what a cache has by that.
fn memory_that_is_not_cached_is_lent_where_it_can_be(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (session, bytes) = (&bench.session, page_size());
    for caching in [Caching::WriteCombine, Caching::Uncached] {
        let result = session.create_cached(Backing::Pages, Method::Remap, caching, bytes);
        let result = result.map_err(|err| err.errno());
        if result == Err(Some(Errno::EOPNOTSUPP)) {
            return skip("this architecture has no such memory");
        }
        let region = result.ok().context("creating it")?;
        for map_call in [MapCall::Single, MapCall::Page, MapCall::Scatter] {
            let mapped = session.dma_map(&region, (0, bytes), map_call, Direction::Bidirectional);
            let expected = match architecture() == Architecture::Arm64 {
                true => Some(Errno::EOPNOTSUPP),
                false => None,
            };
            ensure!(mapped.as_ref().err().copied() == expected, "{mapped:?}");
            if let Ok(mapping) = mapped {
                session.dma_unmap(mapping.id)?;
            }
        }
        session.destroy(&region)?;
    }
    bench.close()
}
