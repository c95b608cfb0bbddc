// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `struct page` says of a page frame.

use super::known;
use crate::{Error, Result};
use mapwright_uapi::inspect::{self as uapi, MigrateType};

/// What `struct page` says of a page frame. Of a page in use it may mix two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The page frame number.
    pub pfn: u64,
    /// First frame of the compound page that it is part of; itself if of none.
    pub head: u64,
    /// The flags that do not change between kernels, bits `KPF_` of `linux/kernel-page-flags.h`.
    pub page_flags: procfs::PhysicalPageFlags,
    /// The kernel's own flags word.
    pub raw_flags: u64,
    /// Kernel address of its `struct page`.
    pub struct_page: u64,
    /// References to the page, or to its compound page.
    pub refcount: i32,
    /// Page-table entries of programs that map it.
    pub mapcount: i32,
    /// The compound page has 2 to the power of this pages.
    pub order: u32,
    /// NUMA node.
    pub node: u32,
    /// What its block of pages is for.
    pub migrate_type: MigrateType,
    /// Name of its zone.
    pub zone: String,
}

impl TryFrom<uapi::Frame> for Frame {
    type Error = Error;

    fn try_from(frame: uapi::Frame) -> Result<Self> {
        let zone: Vec<u8> = frame
            .zone_name
            .into_iter()
            .take_while(|byte| *byte != 0)
            .collect();
        Ok(Self {
            pfn: frame.pfn,
            head: frame.head,
            page_flags: procfs::PhysicalPageFlags::from_bits_retain(frame.page_flags),
            raw_flags: frame.raw_flags,
            struct_page: frame.struct_page,
            refcount: frame.refcount,
            mapcount: frame.mapcount,
            order: frame.order,
            node: frame.node,
            migrate_type: known("migrate type", frame.migrate_type, MigrateType::from_number)?,
            zone: String::from_utf8_lossy(&zone).into_owned(),
        })
    }
}
