// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layout of the kernel's address space.

use super::known;
use crate::{Error, Result};
use mapwright_uapi::inspect::{self as uapi, Area};

/// Where an area of the kernel's address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaRange {
    /// Which area.
    pub area: Area,
    /// Its first address.
    pub start: u64,
    /// Its last address.
    pub last: u64,
}

/// The layout of the kernel's address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bits of a virtual address that are translated: on 64-bit ARM of each half, elsewhere of both together.
    pub address_bits: u32,
    /// The areas, by address. On 64-bit ARM one is inside another: the kernel's image in the vmalloc area.
    pub areas: Vec<AreaRange>,
    /// The last address of user mode.
    pub user_last: u64,
    /// The first address of the kernel. On 64-bit machines, what is between these two cannot be translated.
    pub kernel_first: u64,
    /// What is added to a physical address, and wraps, is its address in the direct map.
    pub phys_to_virt: u64,
}

impl Layout {
    /// Where an area is, if this kernel has it.
    pub fn area(&self, area: Area) -> Option<&AreaRange> {
        self.areas.iter().find(|range| range.area == area)
    }

    /// The area that an address is in: the inner one, where one is inside another.
    pub fn area_of(&self, address: u64) -> Option<Area> {
        let holds = |range: &&AreaRange| range.start <= address && address <= range.last;
        let inner = self.areas.iter().filter(holds);
        inner
            .min_by_key(|range| range.last - range.start)
            .map(|range| range.area)
    }

    /// The kernel's address of a physical address, if that is in the direct map.
    pub fn direct_map_address(&self, physical: u64) -> Option<u64> {
        let address = physical.wrapping_add(self.phys_to_virt);
        let map = self.area(Area::DirectMap)?;
        (map.start..=map.last).contains(&address).then_some(address)
    }
}

impl TryFrom<uapi::Layout> for Layout {
    type Error = Error;

    fn try_from(layout: uapi::Layout) -> Result<Self> {
        let areas = layout.areas.iter().take(layout.nr_areas as usize);
        let mut areas = areas
            .map(|range| {
                Ok(AreaRange {
                    area: known("area", range.area, Area::from_number)?,
                    start: range.start,
                    last: range.last,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        areas.sort_by_key(|range| range.start);
        Ok(Self {
            address_bits: layout.address_bits,
            areas,
            user_last: layout.user_last,
            kernel_first: layout.kernel_first,
            phys_to_virt: layout.phys_to_virt,
        })
    }
}
