// SPDX-License-Identifier: MIT OR Apache-2.0

//! The walk through x86-64's page tables, as the processor does it: nine bits of the address for each level.

pub mod state;

use crate::{
    script::{hex, Done, Model, Words},
    transcript::{self, Row},
};
use state::{Level, State, Walk};
use std::collections::BTreeMap;

pub const EXAMPLE: &str = "\
map  0x7F1234567000 0x8A2B3000       # a page of 4 KiB
walk 0x7F1234567ABC
map  0x7F1240000000 0x40000000 2M    # a huge page: its walk ends at the PMD
walk 0x7F12401FFFFF
walk 0x7F1234568000                  # nothing is there
";

pub const STEPS: &[&str] = &[
    "levels 4|5                          how many levels of tables there are (4)",
    "map ADDRESS FRAME [4K|2M|1G] [ro]   maps a page",
    "cr3 ADDRESS                         the top table is there",
    "entry ADDRESS VALUE                 the physical memory at ADDRESS holds this entry",
    "walk ADDRESS                        translates an address",
];

pub const NOTES: &[&str] = &[
    "A PTE's frame number is in bits 51 to 12 and not all flags are in bits 11 to 0, as the document has it: bit 63 \
     forbids execution, bits 62 to 59 are a protection key.",
    "The document has four levels. Processors with five have the P4D between PGD and PUD, and addresses of 57 bits.",
];

/// The entry is used.
pub const PRESENT: u64 = 1 << 0;
/// Stores are allowed.
pub const WRITABLE: u64 = 1 << 1;
/// Programs may use it.
pub const USER: u64 = 1 << 2;
/// The entry maps a page, above the lowest level.
pub const HUGE: u64 = 1 << 7;
/// The bits of an entry that are an address.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The names of the levels below the top one, from the lowest.
const NAMES: [&str; 4] = ["PTE", "PMD", "PUD", "P4D"];

/// Tables in physical memory.
#[derive(Clone, Debug)]
pub struct Tables {
    levels: usize,
    cr3: u64,
    memory: BTreeMap<u64, u64>,
    next_table: u64,
    walk: Option<Walk>,
    /// There are tables: a walk finds a page or faults. Without, it only tells the indices.
    filled: bool,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            levels: 4,
            cr3: 0x1000,
            memory: BTreeMap::new(),
            next_table: 0x2000,
            walk: None,
            filled: false,
        }
    }
}

/// The lowest bit that selects an entry at a level, counted from the lowest.
fn shift(level: usize) -> u32 {
    12 + 9 * level as u32
}

impl Tables {
    /// Tables whose top is at `cr3`, with so many levels.
    pub fn at(cr3: u64, levels: usize) -> Self {
        Self {
            cr3,
            levels,
            filled: true,
            ..Self::default()
        }
    }

    /// Physical memory holds this entry.
    pub fn set(&mut self, address: u64, value: u64) {
        self.filled = true;
        self.memory.insert(address, value);
    }

    /// Whether the upper bits of an address are all as its highest translated one.
    pub fn is_canonical(&self, address: u64) -> bool {
        let unused = 64 - shift(self.levels);
        ((address << unused) as i64 >> unused) as u64 == address
    }

    /// Translates an address.
    pub fn translate(&self, address: u64) -> Walk {
        let mut walk = Walk {
            address,
            levels: Vec::new(),
            physical: None,
            page: None,
        };
        let mut table = self.filled.then_some(self.cr3);
        for level in (0..self.levels).rev() {
            let index = (address >> shift(level)) & 511;
            let entry = table.map(|table| (table & ADDRESS) + 8 * index);
            let value = entry.map(|entry| self.memory.get(&entry).copied().unwrap_or(0));
            walk.levels.push(Level {
                name: if level + 1 == self.levels {
                    "PGD"
                } else {
                    NAMES[level.min(3)]
                },
                shift: shift(level),
                index,
                entry,
                value,
            });
            let Some(value) = value else { continue };
            if value & PRESENT == 0 {
                break;
            }
            let ends = level == 0 || (level <= 2 && value & HUGE != 0);
            if ends {
                let page = 1 << shift(level);
                walk.page = Some(page);
                walk.physical = Some((value & ADDRESS & !(page - 1)) | (address & (page - 1)));
                break;
            }
            table = Some(value);
        }
        walk
    }

    /// Maps a page at the level `lowest`, counted from the lowest, and makes the tables above it.
    fn map(&mut self, address: u64, frame: u64, lowest: usize, flags: u64) -> Result<(), String> {
        let mut table = self.cr3;
        for level in (lowest..self.levels).rev() {
            let entry = (table & ADDRESS) + 8 * ((address >> shift(level)) & 511);
            let value = self.memory.get(&entry).copied().unwrap_or(0);
            let taken = value & PRESENT != 0;
            if level == lowest {
                if taken {
                    return Err(format!("{} is mapped already", hex(address)));
                }
                let huge = if level > 0 { HUGE } else { 0 };
                self.set(entry, frame | flags | huge);
            } else if !taken {
                table = self.next_table;
                self.next_table += 0x1000;
                self.set(entry, table | PRESENT | WRITABLE | USER);
            } else if value & HUGE != 0 {
                return Err(format!("{} is in a huge page already", hex(address)));
            } else {
                table = value;
            }
        }
        Ok(())
    }

    fn maps(&mut self, rest: &mut Words) -> Done {
        let address = rest.number("the address")?;
        let frame = rest.number("the frame")?;
        let (mut level, mut flags) = (0, PRESENT | WRITABLE | USER);
        while let Some(word) = rest.next() {
            match word {
                "4K" => level = 0,
                "2M" => level = 1,
                "1G" => level = 2,
                "ro" => flags &= !WRITABLE,
                word => return Err(format!("{word} is no size of a page: 4K, 2M or 1G")),
            }
        }
        self.canonical(address)?;
        let page = 1u64 << shift(level);
        for (what, number) in [("the address", address), ("the frame", frame)] {
            if number % page != 0 {
                return Err(format!(
                    "{what}, {}, is no multiple of the page's size",
                    hex(number)
                ));
            }
        }
        if frame & !ADDRESS != 0 {
            return Err(format!("{} is beyond 52 bits", hex(frame)));
        }
        self.map(address, frame, level, flags)?;
        let cells = vec![String::new(); 4];
        let says = format!(
            "{} → {}, tables in {} pages",
            hex(address),
            hex(frame),
            self.next_table / 0x1000 - 1
        );
        Ok(vec![Row::new(format!("map {}", size(page)), cells, says)])
    }

    fn canonical(&self, address: u64) -> Result<(), String> {
        match self.is_canonical(address) {
            true => Ok(()),
            false => {
                let bits = shift(self.levels);
                Err(format!(
                    "{} is no address of {bits} bits: those above are not all alike",
                    hex(address)
                ))
            }
        }
    }

    fn walks(&mut self, rest: &mut Words) -> Done {
        let address = rest.number("the address")?;
        self.canonical(address)?;
        let walk = self.translate(address);
        let mut rows = vec![Row::new(format!("walk {}", hex(address)), vec![], "")];
        rows.extend(walk.levels.iter().map(|level| self.level_row(level)));
        let below = walk.page.map_or(12, u64::trailing_zeros);
        let offset = address & ((1 << below) - 1);
        let cells = vec![format!("[{}:0]", below - 1), offset.to_string()];
        rows.push(match (walk.physical, self.filled) {
            (Some(physical), _) => Row::new(
                "Page offset",
                cells,
                format!("physical address {}", hex(physical)),
            ),
            (None, true) => Row::new("#PF", vec![], "not present: page fault"),
            (None, false) => Row::new("Page offset", cells, "byte within the page"),
        });
        self.walk = Some(walk);
        Ok(rows)
    }

    fn level_row(&self, level: &Level) -> Row {
        let bits = format!("[{}:{}]", level.shift + 8, level.shift);
        let cells = vec![
            bits,
            level.index.to_string(),
            level.entry.map_or(String::new(), hex),
            level.value.map_or(String::new(), hex),
        ];
        let says = match (level.value, level.name) {
            (None, _) => String::new(),
            (Some(value), _) if value & PRESENT == 0 => "empty".to_owned(),
            (Some(value), "PTE") => format!("frame {}", hex((value & ADDRESS) >> 12)),
            (Some(value), "PMD" | "PUD") if value & HUGE != 0 => {
                let page = 1u64 << level.shift;
                format!("page of {}: PS=1 ends the walk", size(page))
            }
            (Some(value), _) => format!("table {}", hex(value & ADDRESS)),
        };
        Row::new(level.name, cells, says)
    }

    fn set_levels(&mut self, rest: &mut Words) -> Done {
        match rest.number("the number of levels")? {
            levels @ (4 | 5) => self.levels = levels as usize,
            levels => return Err(format!("x86-64 has 4 or 5 levels, not {levels}")),
        }
        Ok(Vec::new())
    }

    fn set_cr3(&mut self, rest: &mut Words) -> Done {
        let cr3 = rest.number("the address")?;
        if cr3 & !ADDRESS != 0 {
            return Err(format!("{} is not the address of a table", hex(cr3)));
        }
        self.cr3 = cr3;
        Ok(Vec::new())
    }

    fn set_entry(&mut self, rest: &mut Words) -> Done {
        let address = rest.number("the address")?;
        let value = rest.number("the entry")?;
        if address % 8 != 0 || address > ADDRESS | 0xfff {
            return Err(format!("{} is not the address of an entry", hex(address)));
        }
        self.set(address, value);
        let cells = vec![String::new(), String::new(), hex(address), hex(value)];
        Ok(vec![Row::new("entry", cells, "")])
    }
}

fn size(page: u64) -> &'static str {
    match page.trailing_zeros() {
        12 => "4 KiB",
        21 => "2 MiB",
        _ => "1 GiB",
    }
}

impl Model for Tables {
    fn is_setup(word: &str) -> bool {
        ["levels", "cr3"].contains(&word)
    }

    fn begin(&mut self) -> Done {
        // Tables that the model makes come behind the top one.
        self.next_table = (self.cr3 & ADDRESS) + 0x1000;
        Ok(Vec::new())
    }

    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done> {
        match word {
            "levels" => Some(self.set_levels(rest)),
            "cr3" => Some(self.set_cr3(rest)),
            "map" => Some(self.maps(rest)),
            "entry" => Some(self.set_entry(rest)),
            "walk" => Some(self.walks(rest)),
            _ => None,
        }
    }

    fn columns(&self) -> Vec<String> {
        let columns = [
            "Level",
            "VA bits",
            "Index",
            "Entry at",
            "Entry",
            "Points to",
        ];
        columns.map(str::to_owned).to_vec()
    }

    fn state(&self) -> transcript::State {
        transcript::State::Walk(State {
            cr3: self.cr3,
            memory: self.memory.clone(),
            walk: self.walk.clone(),
        })
    }
}
