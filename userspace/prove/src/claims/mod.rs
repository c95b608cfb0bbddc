// SPDX-License-Identifier: MIT OR Apache-2.0

//! The claims, a file each.

mod b13_slab_slub_slob;
mod b18_kernel_stack;

use crate::Claim;

/// All claims, in the order of their parts and numbers.
pub const CLAIMS: &[&Claim] = &[&b13_slab_slub_slob::CLAIM, &b18_kernel_stack::CLAIM];
