// SPDX-License-Identifier: MIT OR Apache-2.0

//! Walks of the page tables tell what the kernel's other interfaces tell.

mod kernel;
mod programs;

use crate::runner::{skip, suite, Context};
use anyhow::{ensure, Context as _, Result};
use kernel::{
    agrees_with_the_direct_map_s_arithmetic, agrees_with_the_kernel_s_page_table_dump,
    agrees_with_vmallocinfo, finds_nothing_at_the_guard_page_of_vmalloc_memory,
};
use mapwright::{
    architecture,
    inspect::{Inspector, Target},
    Architecture,
};
use nix::errno::Errno;
use programs::{
    agrees_with_pagemap_and_get_user_pages, ends_at_the_pmd_for_a_huge_page,
    finds_every_region_of_ours_where_the_module_put_it, tells_a_blocked_page_from_an_empty_entry,
    tells_entries_that_are_one_to_the_tlb,
};
use std::fs::{self};

suite! { "walk":
    agrees_with_pagemap_and_get_user_pages,
    finds_every_region_of_ours_where_the_module_put_it,
    ends_at_the_pmd_for_a_huge_page,
    tells_a_blocked_page_from_an_empty_entry,
    tells_entries_that_are_one_to_the_tlb,
    has_no_address_of_user_mode_for_the_kernel,
    agrees_with_the_direct_map_s_arithmetic,
    agrees_with_vmallocinfo,
    agrees_with_the_kernel_s_page_table_dump,
    finds_nothing_at_the_guard_page_of_vmalloc_memory,
}

fn has_no_address_of_user_mode_for_the_kernel(_: &Context) -> Result<()> {
    if architecture() != Architecture::Arm64 {
        return skip("only 64-bit ARM has a table of its own for the kernel's addresses");
    }
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    for (address, expected) in [
        (0, Some(Errno::EINVAL)),
        (layout.user_last, Some(Errno::EINVAL)),
        (layout.kernel_first, None),
        (u64::MAX, None),
    ] {
        let result = inspector.walk(Target::Kernel, address);
        let errno = result.as_ref().err().and_then(mapwright::Error::errno);
        ensure!(errno == expected, "{address:#x}: {result:x?}");
        // A process has both, as its CPU has.
        inspector.walk(Target::Myself, address)?;
    }
    Ok(())
}

/// First and last address of memory, from `/proc/iomem`.
pub fn memory_ranges() -> Result<Vec<(u64, u64)>> {
    let text = fs::read_to_string("/proc/iomem")?;
    let mut ranges = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with(' ') && line.ends_with(": System RAM"))
    {
        let range = line.split(' ').next().unwrap_or("");
        let (first, last) = range.split_once('-').context("/proc/iomem")?;
        ranges.push((
            u64::from_str_radix(first, 16)?,
            u64::from_str_radix(last, 16)?,
        ));
    }
    ensure!(!ranges.is_empty(), "/proc/iomem tells no memory");
    Ok(ranges)
}

/// The areas that `/proc/vmallocinfo` tells: first address, bytes, the rest of the line. A skip where it
/// hides the addresses.
pub fn vmalloc_areas() -> Result<Vec<(u64, u64, String)>> {
    let text = fs::read_to_string("/proc/vmallocinfo")?;
    let mut areas = Vec::new();
    for line in text.lines() {
        let (range, rest) = line.split_once(' ').context("/proc/vmallocinfo")?;
        let (first, end) = range.split_once('-').context("/proc/vmallocinfo")?;
        let first = u64::from_str_radix(first.trim_start_matches("0x"), 16)?;
        let end = u64::from_str_radix(end.trim_start_matches("0x"), 16)?;
        areas.push((first, end.wrapping_sub(first), rest.trim().to_owned()));
    }
    let is_hashed = |(first, _, _): &(u64, u64, String)| first >> (u64::BITS - 1) == 0;
    if cfg!(target_pointer_width = "64") && areas.iter().all(is_hashed) {
        return skip("/proc/vmallocinfo hides the addresses: boot with no_hash_pointers");
    }
    Ok(areas)
}
