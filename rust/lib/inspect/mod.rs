// SPDX-License-Identifier: GPL-2.0-only

//! What the kernel says of its memory: page tables, page frames, the areas of its address space.

pub mod address;
pub mod area;
pub mod entry;
pub mod frame;
pub mod page_table;
