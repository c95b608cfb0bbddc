// SPDX-License-Identifier: GPL-2.0-only

//! A DMA-buf of a region is mapped as the region is.

use crate::region::{
    Owned,
    Region, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    dma::{
        device::DmaDevice,
        export::Exportable, //
    },
    map::vma::{
        Mapped,
        NewVma, //
    }, //
};

impl Exportable for Owned {
    const NAME: &'static CStr = c"mapwright";

    fn module(&self) -> &'static ThisModule {
        self.device.module
    }

    fn device(&self) -> &Arc<DmaDevice> {
        &self.dma
    }

    fn mmap<'a>(memory: &Arc<Region>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        super::map(memory, vma)
    }
}
