// SPDX-License-Identifier: GPL-2.0-only

//! Where the areas of the kernel's address space are.

use crate::uapi::{
    self,
    AreaRange, //
};
use kernel::prelude::*;
use mapkit::inspect::{
    address::{
        self,
        Halves, //
    },
    area::{
        Area,
        Areas, //
    }, //
};

/// Each area, and what the interface calls it.
const AREAS: [(Area, uapi::Area); 11] = [
    (Area::DirectMap, uapi::Area::DirectMap),
    (Area::Vmalloc, uapi::Area::Vmalloc),
    (Area::Vmemmap, uapi::Area::Vmemmap),
    (Area::Modules, uapi::Area::Modules),
    (Area::KernelImage, uapi::Area::KernelImage),
    (Area::Fixmap, uapi::Area::Fixmap),
    (Area::CpuEntry, uapi::Area::CpuEntry),
    (Area::Kasan, uapi::Area::Kasan),
    (Area::Ldt, uapi::Area::Ldt),
    (Area::Pkmap, uapi::Area::Pkmap),
    (Area::PciIo, uapi::Area::PciIo),
];

/// Answers a request.
pub(crate) fn describe(request: &mut uapi::Layout) -> Result {
    if request.flags != 0 {
        return Err(EINVAL);
    }
    let areas = Areas::new();
    let ranges = AREAS.iter().filter_map(|(area, word)| {
        let (start, last) = areas.bounds(*area)?;
        Some(AreaRange {
            area: word.number(),
            reserved: 0,
            start: start as u64,
            last: last as u64,
        })
    });
    let halves = Halves::new();
    request.address_bits = address::bits();
    request.user_last = halves.user_last;
    request.kernel_first = halves.kernel_first;
    request.phys_to_virt = halves.phys_to_virt;
    request.nr_areas = 0;
    request.areas = Default::default();
    for (slot, range) in request.areas.iter_mut().zip(ranges) {
        *slot = range;
        request.nr_areas = request.nr_areas.wrapping_add(1);
    }
    Ok(())
}
