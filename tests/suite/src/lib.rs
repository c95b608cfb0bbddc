// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the modules promise, as KTAP tests on a running kernel.
//!
//! A file per suite. A test is a function and a line in its suite's list; it needs root and the
//! modules loaded. After each test nothing may be left: no session, no region, no VMA.

mod advice;
mod aio;
mod alarms;
mod alloc;
mod alloc_budget;
mod alloc_life;
mod alloc_refusals;
mod bare;
mod board;
mod buffer;
mod buffer_dma;
mod buffer_failing;
mod buffer_tree;
mod camera;
mod cells;
mod cgroup;
mod child;
mod claims;
mod coherence;
mod command;
#[cfg(target_arch = "x86_64")]
mod compat;
#[cfg(target_arch = "x86_64")]
mod corpus;
mod defaults;
mod direct;
mod dma;
mod dma_buf;
mod dma_caches;
mod dma_cgroup;
mod dma_driver;
mod dma_failing;
mod dma_reach;
mod dma_revoke;
mod dma_sleep;
mod dma_turns;
mod dma_unplug;
mod examples;
mod failing;
mod faults;
mod files;
mod fragmented;
mod gpio;
mod gpio_command;
mod gpio_config;
mod gpio_failing;
mod gpio_lines;
mod gpio_nodes;
mod gpio_pulses;
mod gpio_sleep;
mod gpio_unplug;
mod gpio_used;
mod gpio_waits;
mod graphics;
mod huge_folio;
mod importer;
mod inject;
mod inspect;
mod kill;
mod large;
mod life;
mod limits;
mod lockdown;
mod log;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod memory_types;
mod models;
mod module;
mod monitor;
#[cfg(target_pointer_width = "32")]
mod narrow;
mod page_cache;
mod pairs;
mod races;
mod random;
mod raw;
mod refusals;
mod rights;
mod runner;
mod series;
mod sessions;
mod sleep;
mod stats;
mod touch;
mod tracing;
mod walk;

pub use runner::{names, run, Choice};

use anyhow::Result;
use runner::Suite;

/// All suites, in the order they run.
const SUITES: &[Suite] = &[
    bare::SUITE,
    files::SUITE,
    // Early, as a pool of buddies takes all small blocks that others have left.
    models::SUITE,
    cells::SUITE,
    examples::SUITE,
    examples::DMA,
    examples::GPIO,
    pairs::SUITE,
    coherence::SUITE,
    sessions::SUITE,
    #[cfg(target_arch = "x86_64")]
    compat::SUITE,
    #[cfg(target_pointer_width = "32")]
    narrow::SUITE,
    refusals::SUITE,
    rights::SUITE,
    life::SUITE,
    advice::SUITE,
    direct::SUITE,
    races::SUITE,
    kill::SUITE,
    #[cfg(target_arch = "x86_64")]
    corpus::SUITE,
    faults::SUITE,
    dma_buf::SUITE,
    huge_folio::SUITE,
    page_cache::SUITE,
    stats::SUITE,
    command::SUITE,
    inspect::SUITE,
    walk::SUITE,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    memory_types::SUITE,
    board::bank::SUITE,
    board::banks::SUITE,
    board::hog::SUITE,
    board::sleep::SUITE,
    files::GPIO_SUITE,
    gpio_failing::SUITE,
    gpio_lines::SUITE,
    gpio_waits::SUITE,
    gpio_command::SUITE,
    gpio_used::SUITE,
    gpio_config::SUITE,
    gpio_pulses::SUITE,
    gpio_nodes::SUITE,
    gpio_sleep::SUITE,
    gpio_unplug::SUITE,
    // The last of its tests removes the module.
    gpio::SUITE,
    tracing::SUITE,
    #[cfg(target_pointer_width = "64")]
    large::gigabyte::SUITE,
    #[cfg(target_pointer_width = "64")]
    large::split::SUITE,
    #[cfg(target_pointer_width = "64")]
    life::OF_A_GIGABYTE,
    // Last, as the page tables of its vmalloc memory stay, between the pages that were that.
    large::SUITE,
    limits::SUITE,
    cgroup::SUITE,
    fragmented::SUITE,
    claims::SUITE,
    defaults::SUITE,
    buffer::SUITE,
    alloc::SUITE,
    alloc_budget::SUITE,
    alloc_refusals::SUITE,
    alloc_life::SUITE,
    dma::SUITE,
    files::DMA_SUITE,
    dma_caches::SUITE,
    dma_driver::SUITE,
    dma_reach::SUITE,
    dma_cgroup::SUITE,
    buffer_dma::SUITE,
    buffer_tree::SUITE,
    dma_failing::SUITE,
    dma_revoke::SUITE,
    dma_sleep::SUITE,
    dma_turns::SUITE,
    dma_unplug::SUITE,
    module::SUITE,
    failing::SUITE,
    buffer_failing::SUITE,
    // After it, no module can be inserted.
    lockdown::SUITE,
];

/// What each module must not hold after a test.
const LEFT_BEHIND: &[fn() -> Result<()>] = &[stats::nothing_is_left, alloc::nothing_is_left];
