// SPDX-License-Identifier: GPL-2.0-only

//! What `struct page` says of a page frame.

use crate::uapi;
use kernel::prelude::*;
use mapkit::inspect::frame::{
    Frame,
    MigrateType, //
};

/// Answers a request.
pub(crate) fn describe(request: &mut uapi::Frame) -> Result {
    if request.flags != 0 {
        return Err(EINVAL);
    }
    let frame = Frame::new(request.pfn)?;
    *request = uapi::Frame {
        size: request.size,
        flags: 0,
        pfn: request.pfn,
        head: frame.head() as u64,
        page_flags: frame.stable_flags,
        raw_flags: frame.raw_flags() as u64,
        struct_page: frame.struct_page() as u64,
        refcount: frame.refcount(),
        mapcount: frame.mapcount(),
        order: frame.order(),
        node: frame.node(),
        migrate_type: migrate_type(frame.migrate_type()).number(),
        zone: frame.zone(),
        zone_name: frame.zone_name(),
    };
    Ok(())
}

fn migrate_type(of: MigrateType) -> uapi::MigrateType {
    match of {
        MigrateType::Unmovable => uapi::MigrateType::Unmovable,
        MigrateType::Movable => uapi::MigrateType::Movable,
        MigrateType::Reclaimable => uapi::MigrateType::Reclaimable,
        MigrateType::HighAtomic => uapi::MigrateType::HighAtomic,
        MigrateType::Cma => uapi::MigrateType::Cma,
        MigrateType::Isolate => uapi::MigrateType::Isolate,
    }
}
