// SPDX-License-Identifier: MIT OR Apache-2.0

//! The claims, a file each.

mod a04_memory_types;
mod b10_orders;
mod b11_migrate_types;
mod b13_slab_slub_slob;
mod b16_watermarks;
mod b18_kernel_stack;
mod b20_numa;
mod b21_memory_cgroup;

use crate::Claim;

/// All claims, in the order of their parts and numbers.
pub const CLAIMS: &[&Claim] = &[
    &a04_memory_types::CLAIM,
    &b10_orders::CLAIM,
    &b11_migrate_types::CLAIM,
    &b13_slab_slub_slob::CLAIM,
    &b16_watermarks::CLAIM,
    &b18_kernel_stack::CLAIM,
    &b20_numa::CLAIM,
    &b21_memory_cgroup::CLAIM,
];
