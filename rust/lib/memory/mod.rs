// SPDX-License-Identifier: GPL-2.0-only

//! Memory that can be mapped into programs, and what it is made of.

pub mod backing;
pub mod blocks;
pub mod caching;
pub mod copy;
mod direct_map;
pub mod direction;
pub(crate) mod extent;
pub mod folios;
pub mod mappable;
pub mod page_cache;
pub mod pages;
pub mod recached;
pub mod slab;
pub mod vmalloc;
