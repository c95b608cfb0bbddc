// SPDX-License-Identifier: GPL-2.0-only

//! What the kernel's `struct page` says of a page frame.
//!
//! C headers: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h), [`include/uapi/linux/kernel-page-flags.h`](srctree/include/uapi/linux/kernel-page-flags.h)
//!
//! Documentation: [`Documentation/admin-guide/mm/pagemap.rst`](srctree/Documentation/admin-guide/mm/pagemap.rst)

use crate::ffi;
use kernel::{
    bindings,
    prelude::*, //
};

/// A page frame, as its `struct page` described it a moment ago. Nothing is held.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::inspect::frame::Frame;
///
/// /// How many have a reference to a frame, and how many have it mapped.
/// fn users(pfn: u64) -> Result<(i32, i32)> {
///     let frame = Frame::new(pfn)?;
///     Ok((frame.refcount(), frame.mapcount()))
/// }
/// ```
pub struct Frame {
    raw: ffi::mapkit_frame,
    /// The flags that do not change between kernels, see `linux/kernel-page-flags.h`.
    pub stable_flags: u64,
}

/// What a block of pages is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateType {
    /// The kernel's own, which cannot be moved.
    Unmovable,
    /// Pages of programs and files.
    Movable,
    /// Caches of the kernel that can be shrunk.
    Reclaimable,
    /// Kept for urgent allocations of several pages.
    HighAtomic,
    /// The contiguous memory allocator's.
    Cma,
    /// Being taken out of use.
    Isolate,
}

impl Frame {
    /// The frame with the number `pfn`. `ENXIO` if the kernel has no `struct page` of memory in use
    /// for it.
    pub fn new(pfn: u64) -> Result<Self> {
        let pfn = usize::try_from(pfn).map_err(|_| ENXIO)?;
        let mut raw = ffi::mapkit_frame::default();
        // SAFETY: `raw` is valid for writing; any number may be asked for.
        if !unsafe { ffi::mapkit_frame_of(pfn, &mut raw) } {
            return Err(ENXIO);
        }
        // SAFETY: The address is that of a `struct page` of memory that is online. It copies what it
        // needs, so the page may change.
        let stable_flags = unsafe { bindings::stable_page_flags(raw.page as *const _) };
        Ok(Self { raw, stable_flags })
    }

    /// Address of its `struct page`.
    pub fn struct_page(&self) -> usize {
        self.raw.page
    }

    /// Number of the first frame of the compound page that it is part of; of itself if of none.
    pub fn head(&self) -> usize {
        self.raw.head_pfn
    }

    /// The kernel's own flags word.
    pub fn raw_flags(&self) -> usize {
        self.raw.flags
    }

    /// References to the page, or to its compound page.
    pub fn refcount(&self) -> i32 {
        self.raw.refcount
    }

    /// Page-table entries of programs that map it.
    pub fn mapcount(&self) -> i32 {
        self.raw.mapcount
    }

    /// The compound page has 2 to the power of this pages.
    pub fn order(&self) -> u32 {
        self.raw.order
    }

    /// NUMA node.
    pub fn node(&self) -> u32 {
        self.raw.node
    }

    /// Number of its zone.
    pub fn zone(&self) -> u32 {
        self.raw.zone
    }

    /// Name of its zone, filled up with zeros.
    pub fn zone_name(&self) -> [u8; 8] {
        self.raw.zone_name
    }

    /// What its block is for.
    pub fn migrate_type(&self) -> MigrateType {
        match self.raw.migratetype {
            bindings::migratetype_MIGRATE_MOVABLE => MigrateType::Movable,
            bindings::migratetype_MIGRATE_RECLAIMABLE => MigrateType::Reclaimable,
            bindings::migratetype_MIGRATE_HIGHATOMIC => MigrateType::HighAtomic,
            #[cfg(CONFIG_CMA)]
            bindings::migratetype_MIGRATE_CMA => MigrateType::Cma,
            #[cfg(CONFIG_MEMORY_ISOLATION)]
            bindings::migratetype_MIGRATE_ISOLATE => MigrateType::Isolate,
            _ => MigrateType::Unmovable,
        }
    }
}

/// Whether memory that the kernel manages is at the frame `pfn`.
///
/// # Examples
///
/// ```
/// use mapkit::inspect::frame;
///
/// /// How many of the first frames are memory.
/// fn memory_below(frames: u64) -> usize {
///     (0..frames).filter(|pfn| frame::is_memory(*pfn)).count()
/// }
/// ```
pub fn is_memory(pfn: u64) -> bool {
    let Ok(pfn) = usize::try_from(pfn) else {
        return false;
    };
    // SAFETY: Any number may be asked for.
    unsafe { ffi::mapkit_is_memory(pfn) }
}
