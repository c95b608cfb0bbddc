// SPDX-License-Identifier: GPL-2.0-only

//! An exported buffer, mapped for devices.

use super::{
    Exportable,
    Exported, //
};
use crate::{
    base::gfp::GFP_FOR_CALLER,
    dma::{
        direction::Direction,
        reach::Reach,
        scatter::ScatterList, //
    },
    ffi, //
};
use core::{
    cmp::max,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// A table that a device has mapped. The table is the first field, so that a pointer to it is one to
/// this structure.
#[repr(C)]
pub(super) struct MappedTable {
    list: ScatterList,
    device: *mut bindings::device,
    direction: bindings::dma_data_direction,
}

/// `dma_sync_sgtable_for_cpu()` or its counterpart.
type SyncFn = unsafe extern "C" fn(
    *mut bindings::device,
    *mut bindings::sg_table,
    bindings::dma_data_direction,
);

impl<T: Exportable> Exported<T> {
    /// Maps it for a device that moves data in direction `direction`.
    ///
    /// `EACCES` if the device might write to what can only be read.
    ///
    /// # Safety
    ///
    /// `device` must be attached to the buffer, and stay so until [`unmap`](Self::unmap).
    pub(super) unsafe fn map(
        &self,
        device: *mut bindings::device,
        direction: bindings::dma_data_direction,
    ) -> Result<NonNull<MappedTable>> {
        if !self.writable && direction != Direction::ToDevice.as_raw() {
            return Err(EACCES);
        }
        // Who revokes the buffer afterwards waits for its lock, which is held, and then tells the importer.
        self.memory.device().check()?;
        let bytes = self.bytes();
        // SAFETY: By the requirement of this function, the device may be used for DMA.
        let (reach, max_bytes) =
            unsafe { (Reach::of(device), ffi::mapkit_dma_max_seg_size(device)) };
        reach.check_list(self.memory.memory(), &bytes)?;
        // At least a page, as the list can have no smaller entries.
        let max_bytes = reach.clamp(max(max_bytes as usize, PAGE_SIZE));
        let list = ScatterList::new(self.memory.memory(), bytes, max_bytes)?;
        let mut table = KBox::new(
            MappedTable {
                list,
                device,
                direction,
            },
            GFP_FOR_CALLER,
        )?;
        let mut mapped = self.mapped.lock();
        mapped.reserve(1, GFP_FOR_CALLER)?;
        // SAFETY: By the requirement of this function, the device may be used for DMA; `unmap` unmaps the list.
        unsafe { table.list.map(device, direction)? };
        let table = NonNull::from(KBox::leak(table));
        // There is room for it.
        let _ = mapped.push_within_capacity(table);
        Ok(table)
    }

    /// Unmaps it.
    ///
    /// # Safety
    ///
    /// `table` must be what [`map`](Self::map) returned, and be used no more.
    pub(super) unsafe fn unmap(&self, table: NonNull<MappedTable>) {
        self.mapped.lock().retain(|mapped| *mapped != table);
        // SAFETY: `map` leaked this box, mapped for this device, and by the requirement of this function nobody else
        // has it any more.
        unsafe {
            let mut mapped = KBox::from_raw(table.as_ptr());
            let (device, direction) = (mapped.device, mapped.direction);
            mapped.list.unmap(device, direction);
        }
    }

    /// Passes the memory on between the CPU and all devices that have it mapped.
    pub(super) fn sync(&self, sync: SyncFn) {
        for table in self.mapped.lock().iter() {
            // SAFETY: Tables in this list are mapped for the device and direction that they name, and
            // taken off it before they are unmapped, for which this holds the lock.
            unsafe {
                let table = table.as_ref();
                sync(table.device, table.list.as_raw(), table.direction);
            }
        }
    }
}
