// SPDX-License-Identifier: MIT OR Apache-2.0

//! The three addresses of a buffer for DMA: `dma_map_single()` with `kernel/dma/direct.c`, where bus addresses are
//! physical ones, and with `drivers/iommu/dma-iommu.c`, where an IOMMU translates them.

pub mod state;

use crate::{
    script::{hex, Done, Model, Words},
    transcript::{self, Row},
};
use state::{Direction, Mapping, State, Used};

/// The same buffer, without an IOMMU and behind one.
pub const EXAMPLE: &str = "\
map 0xFFFF888012345678 256
device write 0x12345678
device write 0x500000        # a stray transfer: nothing stops it
unmap 0x12345678
iommu on
map 0xFFFF888012345678 256
device write 0xFFFFF678
device write 0x12345678      # the same, with a physical address: stopped
unmap 0xFFFFF678
device write 0xFFFFF678      # too late: stopped
";

pub const STEPS: &[&str] = &[
    "direct-map ADDRESS              where the kernel maps all memory (0xFFFF888000000000)",
    "memory BYTES                    how much there is (0x400000000, 16 GiB)",
    "iommu on|off                    puts an IOMMU before the device, while nothing is mapped",
    "map ADDRESS BYTES [to|from]     dma_map_single(): to the device, from it, or both ways",
    "device read|write BUS           the device reads or writes memory",
    "unmap BUS                       dma_unmap_single()",
];

pub const NOTES: &[&str] = &[
    "The document's “without an IOMMU, bus address == PA” holds as long as the device reaches the memory: else the \
     kernel has it use a copy that it does reach (swiotlb), whose address is another.",
    "An IOMMU translates pages: what shares a page with the buffer is open to the device, too. The kernel copies \
     parts of pages for devices that it does not trust, and only for those.",
];

const PAGE: u64 = 4096;
/// Bus addresses are given from here downwards.
const LAST_BUS: u64 = 0xFFFF_FFFF;

/// A machine with a device.
#[derive(Clone, Debug)]
pub struct Machine {
    direct_map: u64,
    memory: u64,
    iommu: bool,
    mappings: Vec<Mapping>,
    used: Option<Used>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            direct_map: 0xFFFF_8880_0000_0000,
            memory: 16 << 30,
            iommu: false,
            mappings: Vec::new(),
            used: None,
        }
    }
}

/// The first page and the number of pages that a range is in.
fn pages(address: u64, bytes: u64) -> (u64, u64) {
    let first = address / PAGE;
    (first, (address + bytes).div_ceil(PAGE) - first)
}

impl Machine {
    /// A machine whose memory is mapped at `direct_map`.
    pub fn new(direct_map: u64, memory: u64, iommu: bool) -> Self {
        Self {
            direct_map,
            memory,
            iommu,
            ..Self::default()
        }
    }

    /// The physical address of the kernel's address `virt`, if it is in the direct map.
    pub fn physical(&self, virt: u64) -> Option<u64> {
        virt.checked_sub(self.direct_map)
            .filter(|physical| *physical < self.memory)
    }

    /// Lets the device use a buffer.
    pub fn map(&mut self, virt: u64, bytes: u64, direction: Direction) -> Option<Mapping> {
        let physical = self.physical(virt)?;
        self.physical(virt.checked_add(bytes.checked_sub(1)?)?)?;
        let bus = match self.iommu {
            false => physical,
            true => self.free_range(physical, bytes)? * PAGE + physical % PAGE,
        };
        let mapping = Mapping {
            virt,
            physical,
            bus,
            bytes,
            direction,
        };
        self.mappings.push(mapping);
        Some(mapping)
    }

    /// The highest free bus pages for a buffer, aligned to their number as the kernel does.
    fn free_range(&self, physical: u64, bytes: u64) -> Option<u64> {
        let (_, count) = pages(physical, bytes);
        let align = count.next_power_of_two();
        let mut first = ((LAST_BUS + 1) / PAGE).checked_sub(count)?;
        loop {
            first -= first % align;
            let hit = self
                .mappings
                .iter()
                .map(|other| pages(other.bus, other.bytes));
            let hit =
                hit.filter(|(other, length)| first < other + length && *other < first + count);
            match hit.map(|(other, _)| other).min() {
                None => return Some(first).filter(|first| *first > 0),
                Some(other) => first = other.checked_sub(count)?,
            }
        }
    }

    /// What a device that uses a bus address reaches.
    pub fn device(&self, bus: u64, writes: bool) -> Used {
        let allows = |mapping: &&Mapping| match mapping.direction {
            Direction::To => !writes,
            Direction::From => writes,
            Direction::Both => true,
        };
        let exact = |mapping: &&Mapping| (mapping.bus..mapping.bus + mapping.bytes).contains(&bus);
        let meant = self
            .mappings
            .iter()
            .filter(allows)
            .any(|mapping| exact(&mapping));
        let physical = match self.iommu {
            false => (bus < self.memory).then_some(bus),
            true => {
                let in_pages = |mapping: &&Mapping| {
                    let (first, count) = pages(mapping.bus, mapping.bytes);
                    (first..first + count).contains(&(bus / PAGE))
                };
                let mapping = self.mappings.iter().filter(allows).find(in_pages);
                mapping.map(|mapping| {
                    mapping.physical - mapping.physical % PAGE + bus
                        - (mapping.bus - mapping.bus % PAGE)
                })
            }
        };
        Used {
            bus,
            physical,
            meant,
        }
    }

    /// Ends the mapping at a bus address. `None` if none begins there.
    pub fn unmap(&mut self, bus: u64) -> Option<Mapping> {
        let at = self
            .mappings
            .iter()
            .position(|mapping| mapping.bus == bus)?;
        Some(self.mappings.remove(at))
    }

    fn set_up(&mut self, word: &str, rest: &mut Words) -> Done {
        let number = rest.number(word)?;
        match word {
            "direct-map" if number % PAGE != 0 => {
                return Err(format!("{} is not the address of a page", hex(number)))
            }
            "direct-map" => self.direct_map = number,
            _ if number == 0 || number > 1 << 52 => {
                return Err(format!("no machine has {number} bytes"))
            }
            _ => self.memory = number,
        }
        Ok(Vec::new())
    }

    fn sets_iommu(&mut self, rest: &mut Words) -> Done {
        let on = match rest.word("on or off")? {
            "on" => true,
            "off" => false,
            word => return Err(format!("the IOMMU is on or off, not {word}")),
        };
        if !self.mappings.is_empty() {
            return Err("a buffer is still mapped: the device keeps what it has".to_owned());
        }
        self.iommu = on;
        let says = match on {
            true => "bus addresses are translated from now on",
            false => "bus addresses are physical ones from now on",
        };
        Ok(vec![Row::new(
            format!("iommu {}", if on { "on" } else { "off" }),
            vec![],
            says,
        )])
    }

    fn maps(&mut self, rest: &mut Words) -> Done {
        let virt = rest.number("the address")?;
        let bytes = rest.number("the number of bytes")?;
        let direction = match rest.next() {
            None | Some("both") => Direction::Both,
            Some("to") => Direction::To,
            Some("from") => Direction::From,
            Some(word) => return Err(format!("a buffer is mapped to, from or both, not {word}")),
        };
        if bytes == 0 {
            return Err("a buffer has at least a byte".to_owned());
        }
        let overlaps = |other: &&Mapping| {
            virt < other.virt + other.bytes && other.virt < virt.saturating_add(bytes)
        };
        if !self.iommu && self.mappings.iter().any(|other| overlaps(&other)) {
            return Err(format!("{} is mapped for the device already", hex(virt)));
        }
        let Some(mapping) = self.map(virt, bytes, direction) else {
            return Err(format!(
                "{} is not mapped by the direct map, so that dma_map_single() cannot take it",
                hex(virt)
            ));
        };
        let cells = vec![hex(mapping.virt), hex(mapping.physical), hex(mapping.bus)];
        let says = match self.iommu {
            false => "bus address = physical address".to_owned(),
            true => {
                let (_, count) = pages(mapping.physical, bytes);
                let pages = if count == 1 {
                    "its page".to_owned()
                } else {
                    format!("its {count} pages")
                };
                format!("the IOMMU maps {pages} for the device; the offset in the page stays")
            }
        };
        Ok(vec![Row::new(format!("map {bytes} bytes"), cells, says)])
    }

    fn uses(&mut self, rest: &mut Words) -> Done {
        let what = rest.word("read or write")?;
        let writes = match what {
            "read" => false,
            "write" => true,
            word => return Err(format!("a device can read or write, not {word}")),
        };
        let bus = rest.number("the bus address")?;
        let used = self.device(bus, writes);
        self.used = Some(used);
        let virt = used.physical.map(|physical| self.direct_map + physical);
        let cells = vec![
            virt.map_or(String::new(), hex),
            used.physical.map_or(String::new(), hex),
            hex(bus),
        ];
        let says = match (used.physical, used.meant, self.iommu) {
            (Some(_), true, _) => "reaches the buffer",
            (Some(_), false, false) => "reaches memory that is not its own: nothing stops it",
            (Some(_), false, true) => "reaches what shares the buffer's page",
            (None, _, true) => "IOMMU fault: stopped",
            (None, _, false) => "there is no memory",
        };
        Ok(vec![Row::new(format!("device {what}"), cells, says)])
    }

    fn unmaps(&mut self, rest: &mut Words) -> Done {
        let bus = rest.number("the bus address")?;
        let Some(mapping) = self.unmap(bus) else {
            return Err(format!(
                "no buffer is mapped at the bus address {}",
                hex(bus)
            ));
        };
        let cells = vec![hex(mapping.virt), hex(mapping.physical), hex(bus)];
        Ok(vec![Row::new(
            "unmap",
            cells,
            "the CPU may look at what the device wrote",
        )])
    }
}

impl Model for Machine {
    fn is_setup(word: &str) -> bool {
        ["direct-map", "memory"].contains(&word)
    }

    fn begin(&mut self) -> Done {
        Ok(Vec::new())
    }

    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done> {
        self.used = None;
        match word {
            word if Self::is_setup(word) => Some(self.set_up(word, rest)),
            "iommu" => Some(self.sets_iommu(rest)),
            "map" => Some(self.maps(rest)),
            "device" => Some(self.uses(rest)),
            "unmap" => Some(self.unmaps(rest)),
            _ => None,
        }
    }

    fn columns(&self) -> Vec<String> {
        let columns = [
            "Step",
            "Virtual address",
            "Physical address",
            "Bus address",
            "Action",
        ];
        columns.map(str::to_owned).to_vec()
    }

    fn state(&self) -> transcript::State {
        transcript::State::Dma(State {
            iommu: self.iommu,
            direct_map: self.direct_map,
            mappings: self.mappings.clone(),
            used: self.used,
        })
    }
}
