// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers that a device tree describes: those of `tests/dts/virt-buffers.dtsi`, with what QEMU has put into their memory.

mod life;

use crate::{
    buffer::{available as configfs, errno, make, open, with_parameters, Made},
    cells::cma_free,
    dma_caches::{FOR_CPU, FOR_DEVICE},
    module::wait_for,
    raw::Map,
    runner::{skip, suite, Context},
    tracing::Instance,
};
use anyhow::{ensure, Context as _, Result};
use life::{
    goes_and_comes_with_the_module, is_taken_back_when_it_is_unbound,
    names_are_those_of_all_buffers, the_command_shows_them, what_is_wrong_is_refused,
};
use mapwright::{
    buffer::{NamedBuffer, Spec},
    page_bytes, page_size, uapi,
    uapi::Request as _,
    Backing, Session,
};
use nix::errno::Errno;
use std::{fs, ops::Range, os::unix::fs::FileExt as _, path::Path};

suite! { "tree":
    each_node_is_a_buffer,
    the_memory_is_where_the_tree_says,
    coherence_is_what_the_tree_says,
    the_memory_type_is_the_devices,
    cached_pages_are_passed_to_and_fro,
    contents_are_kept,
    other_memory_is_zeroed_each_time,
    is_taken_back_when_it_is_unbound,
    what_is_wrong_is_refused,
    names_are_those_of_all_buffers,
    a_region_of_cma_is_lent_until_it_is_unbound,
    coherent_memory_is_of_cma,
    reserved_memory_counts_for_no_limit,
    goes_and_comes_with_the_module,
    the_command_shows_them,
}

const DRIVER: &str = "/sys/bus/platform/drivers/mapwright-buffer";
const DEVICES: &str = "/sys/bus/platform/devices";

/// The labels of the nodes that describe buffers, and their sizes. The devices' names are `buffer-LABEL`.
const BUFFERS: [(&str, u64); 8] = [
    ("plain", 0x6000),
    ("pages", 0x40000),
    ("cached", 0x20000),
    ("cma", 32 << 20),
    ("pool", 0x40000),
    ("coherent-pool", 0x40000),
    ("frame", 1 << 20),
    ("ring", 0x20000),
];

/// Where the memory of those is that have a `memory-region`.
const REGIONS: [(&str, Range<u64>); 5] = [
    ("cma", 0x5800_0000..0x5a00_0000),
    ("pool", 0x5c00_0000..0x5c10_0000),
    ("coherent-pool", 0x5c00_0000..0x5c10_0000),
    ("frame", 0x5d00_0000..0x5d10_0000),
    ("ring", 0x5d20_0000..0x5d22_0000),
];

/// What QEMU has put at the beginning and at the end of the memory of `frame`.
const FIRST: &[u8; 8] = b"Filled: ";
const LAST: &[u8; 8] = b"The end.";

/// A buffer whose memory is not zeroed.
fn is_kept(label: &str) -> bool {
    ["frame", "ring"].contains(&label)
}

fn device(label: &str) -> String {
    format!("buffer-{label}")
}

fn is_bound(device: &str) -> bool {
    Path::new(DEVICES).join(device).join("driver").exists()
}

/// All of them can be opened, or the test is skipped.
fn available() -> Result<()> {
    if !Path::new(DEVICES).join(device("plain")).exists() {
        return skip("the device tree describes no buffers");
    }
    for (label, _) in BUFFERS {
        ensure!(is_bound(&device(label)), "{label} is no buffer");
        let node = NamedBuffer::new(label).node();
        wait_for("the device node", || node.exists())?;
    }
    Ok(())
}

/// Takes the driver away from a device.
fn unbind(label: &str) -> Result<()> {
    let unbound = fs::write(format!("{DRIVER}/unbind"), device(label));
    unbound.with_context(|| format!("unbinding {label}"))?;
    let node = NamedBuffer::new(label).node();
    wait_for("the device node's end", || !node.exists())
}

/// Gives it back.
fn bind(label: &str) -> Result<()> {
    let bound = fs::write(format!("{DRIVER}/bind"), device(label));
    bound.with_context(|| format!("binding {label}"))?;
    let node = NamedBuffer::new(label).node();
    wait_for("the device node", || node.exists())
}

fn address(buffer: &NamedBuffer, attribute: &str) -> Result<u64> {
    let text = buffer.attribute(attribute)?;
    let digits = text.strip_prefix("0x").with_context(|| text.clone())?;
    Ok(u64::from_str_radix(digits, 16)?)
}

fn each_node_is_a_buffer(_: &Context) -> Result<()> {
    available()?;
    let all = NamedBuffer::all()?;
    let mut expected = BUFFERS.map(|(label, _)| NamedBuffer::new(label));
    expected.sort_by(|one, other| one.name().cmp(other.name()));
    ensure!(all == expected, "{all:?}");
    for (label, bytes) in BUFFERS {
        let bytes = bytes.next_multiple_of(page_size());
        let buffer = NamedBuffer::new(label);
        ensure!(buffer.attribute("size")? == bytes.to_string(), "{label}");
        let (one, other) = (open(&buffer)?, open(&buffer)?);
        let length = usize::try_from(bytes)?;
        let map = Map::shared(&one, 0, length)?;
        // Not at the ends, which others look at.
        let within = length - page_bytes() + 10;
        map.store(within, 0x5a);
        let mut contents = [0];
        other.read_exact_at(&mut contents, within as u64)?;
        ensure!(contents == [0x5a], "{label}: {contents:?}");
        other.write_all_at(&[0xa5], within as u64 + 1)?;
        ensure!(map.load(within + 1) == 0xa5, "{label}");
        let last = Map::shared(&other, bytes - page_size(), page_bytes())?;
        ensure!(last.load(10) == 0x5a, "{label}");
        let mut query = uapi::Query::new();
        Session::from(one).request(&mut query)?;
        let backing = match label {
            "pages" | "cached" => Backing::Pages,
            _ => Backing::Coherent,
        };
        ensure!(
            query.backing == backing.number() && query.bytes == bytes,
            "{label}: {query:?}"
        );
    }
    Ok(())
}

fn the_memory_is_where_the_tree_says(context: &Context) -> Result<()> {
    available()?;
    for (label, region) in REGIONS {
        let buffer = NamedBuffer::new(label);
        let (phys, dma) = (
            address(&buffer, "phys_addr")?,
            address(&buffer, "dma_addr")?,
        );
        let end = phys + buffer.attribute("size")?.parse::<u64>()?;
        ensure!(
            region.contains(&phys) && end <= region.end,
            "{label} is at {phys:#x}, not in {region:x?}"
        );
        // A bus of this machine has memory where the processor has it.
        ensure!(dma == phys, "{label}: {dma:#x}, {phys:#x}");
        if is_kept(label) {
            ensure!(phys == region.start, "{label}: {phys:#x}");
        }
    }
    let dma = address(&NamedBuffer::new("plain"), "dma_addr")?;
    context.note(format!("without a region: {dma:#x}"));
    let pages = errno(NamedBuffer::new("pages").attribute("dma_addr"));
    ensure!(pages == Some(Errno::EOPNOTSUPP), "{pages:?}");
    Ok(())
}

fn coherence_is_what_the_tree_says(_: &Context) -> Result<()> {
    available()?;
    for (label, expected) in [
        ("pool", "0"),
        ("cached", "0"),
        ("coherent-pool", "1"),
        ("frame", "1"),
        ("ring", "0"),
    ] {
        let coherent = NamedBuffer::new(label).attribute("dma_coherent")?;
        ensure!(coherent == expected, "{label}: {coherent}");
    }
    Ok(())
}

#[cfg(target_arch = "aarch64")]
fn the_memory_type_is_the_devices(_: &Context) -> Result<()> {
    use mapwright::Caching;

    available()?;
    let tables = crate::memory_types::Tables::new()?;
    for (label, caching) in [
        ("pool", Caching::WriteCombine),
        // The kernel has mapped the pool once, for all devices.
        ("coherent-pool", Caching::WriteCombine),
        ("frame", Caching::WriteBack),
        ("cached", Caching::WriteBack),
        ("ring", Caching::WriteCombine),
    ] {
        let file = open(&NamedBuffer::new(label))?;
        let map = Map::shared(&file, 0, page_bytes())?;
        let frames = tables.expect_mapping(&map, caching).context(label)?;
        let phys = address(&NamedBuffer::new(label), "phys_addr")?;
        ensure!(frames == [phys / page_size()], "{label}: {frames:x?}");
    }
    Ok(())
}

#[cfg(not(target_arch = "aarch64"))]
fn the_memory_type_is_the_devices(_: &Context) -> Result<()> {
    skip("no program of this architecture sees memory types in page tables: see make test-arm64")
}

/// The device is not coherent: the attributes have the caches written back.
fn cached_pages_are_passed_to_and_fro(_: &Context) -> Result<()> {
    available()?;
    let buffer = NamedBuffer::new("cached");
    let (phys, dma) = (
        address(&buffer, "phys_addr")?,
        address(&buffer, "dma_addr")?,
    );
    ensure!(dma == phys, "{dma:#x}, {phys:#x}");
    let Some(trace) = Instance::of_functions(&format!("{FOR_DEVICE} {FOR_CPU}"))? else {
        return skip("this kernel traces no functions");
    };
    for (attribute, function) in [("sync_for_device", FOR_DEVICE), ("sync_for_cpu", FOR_CPU)] {
        let before = trace.calls_of(function)?;
        buffer.set_attribute(attribute, "1")?;
        let calls = trace.calls_of(function)? - before;
        ensure!(calls > 0, "{attribute}: no call of {function}");
    }
    Ok(())
}

fn contents_are_kept(_: &Context) -> Result<()> {
    available()?;
    let buffer = NamedBuffer::new("frame");
    let bytes = usize::try_from(buffer.attribute("size")?.parse::<u64>()?)?;
    let expect = |within: usize, expected: &[u8]| -> Result<()> {
        let file = open(&buffer)?;
        let mut read = vec![0; expected.len()];
        file.read_exact_at(&mut read, within as u64)?;
        ensure!(read == expected, "at {within:#x}: {read:?}");
        let map = Map::shared(&file, 0, bytes)?;
        let mapped: Vec<u8> = (0..expected.len()).map(|i| map.load(within + i)).collect();
        ensure!(mapped == expected, "mapped at {within:#x}: {mapped:?}");
        Ok(())
    };
    let (own, within) = (b"as a program left it", 3 * page_bytes());
    expect(0, FIRST)?;
    expect(bytes - LAST.len(), LAST)?;
    open(&buffer)?.write_all_at(own, within as u64)?;
    for _ in 0..2 {
        unbind("frame")?;
        bind("frame")?;
        expect(0, FIRST)?;
        expect(within, own)?;
        expect(bytes - LAST.len(), LAST)?;
    }
    Ok(())
}

fn other_memory_is_zeroed_each_time(_: &Context) -> Result<()> {
    available()?;
    for (label, bytes) in BUFFERS.into_iter().filter(|(label, _)| !is_kept(label)) {
        let buffer = NamedBuffer::new(label);
        let ones = vec![0xff; usize::try_from(bytes)?];
        open(&buffer)?.write_all_at(&ones, 0)?;
        unbind(label)?;
        bind(label)?;
        let mut contents = ones;
        open(&buffer)?.read_exact_at(&mut contents, 0)?;
        let left = contents.iter().position(|byte| *byte != 0);
        ensure!(left.is_none(), "{label}: byte {left:?} is left");
    }
    Ok(())
}

/// Programs' pages are in memory of CMA, too, and go elsewhere when it is allocated.
const SLACK: u64 = 2 << 20;

/// Fails unless so many bytes of CMA are free, about.
fn expect_free(before: u64, taken: u64) -> Result<()> {
    let expected = before - taken;
    let free = cma_free()?;
    ensure!(
        free.abs_diff(expected) <= SLACK,
        "{free} bytes are free, of {before} before {taken} were taken"
    );
    Ok(())
}

fn a_region_of_cma_is_lent_until_it_is_unbound(_: &Context) -> Result<()> {
    available()?;
    let taken = 32 << 20;
    unbind("cma")?;
    let before = cma_free()?;
    bind("cma")?;
    expect_free(before, taken)?;
    unbind("cma")?;
    expect_free(before, 0)?;
    bind("cma")
}

fn coherent_memory_is_of_cma(context: &Context) -> Result<()> {
    configfs()?;
    available()?;
    let total = fs::read_to_string("/proc/meminfo")?;
    let total = total.lines().find(|line| line.starts_with("CmaTotal:"));
    // That of the command line, and that of the device tree.
    let expected = format!("{} kB", (64 + 32) << 10);
    ensure!(
        total.is_some_and(|line| line.ends_with(&expected)),
        "{total:?}"
    );
    let (before, bytes) = (cma_free()?, 16 << 20);
    let spec = Spec {
        bytes,
        backing: Some(Backing::Coherent),
        ..Spec::default()
    };
    let owned = make("of-cma", &spec)?;
    expect_free(before, bytes)?;
    let phys = address(&owned.0, "phys_addr")?;
    context.note(format!("16 MiB of CMA at {phys:#x}"));
    let file = open(&owned.0)?;
    let map = Map::shared(&file, 0, usize::try_from(bytes)?)?;
    for at in (0..map.length).step_by(page_bytes()) {
        ensure!(map.load(at) == 0, "byte {at:#x}");
        map.store(at, 1);
    }
    drop((map, file));
    owned.0.remove(false)?;
    expect_free(before, 0)
}

fn reserved_memory_counts_for_no_limit(context: &Context) -> Result<()> {
    available()?;
    let limits = c"total_limit_mib=1 coherent_limit_mib=1";
    with_parameters(context, limits, || {
        available()?;
        let cma = NamedBuffer::new("cma").attribute("size")?;
        ensure!(cma == (32 << 20).to_string(), "{cma}");
        // What is not reserved does.
        unbind("plain")?;
        configfs()?;
        let spec = |bytes| Spec {
            bytes,
            ..Spec::default()
        };
        let owned = Made(NamedBuffer::new("more"));
        let refused = errno(owned.0.create(&spec(1 << 20)));
        ensure!(refused == Some(Errno::ENOSPC), "{refused:?}");
        make("less", &spec(256 << 10))?.0.remove(false)?;
        bind("plain")
    })?;
    available()
}
