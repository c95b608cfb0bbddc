// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is where on the board, and the files that tell what happened there.

use anyhow::{Context, Result};
use gpio_model::{
    Bank, Bench, Clocks, Night, Operation, Record, Register, Reply, Request, Waveform, Width, SIZE,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Banks of an AM335x: where their registers are, and their first of two interrupts.
pub const BANKS: [(u64, u32); 4] = [
    (0x44E0_7000, 96),
    (0x4804_C000, 98),
    (0x481A_C000, 32),
    (0x481A_E000, 62),
];
/// The bank that is meant where none is named: it has the BeagleBone's LEDs.
const USUAL: usize = 1;
/// CM_PER and CM_WKUP.
const CLOCKS: u64 = 0x44E0_0000;
/// What the pins are used for: part of the control module. It keeps what is written to it.
const PADS: u64 = 0x44E1_0800;
const PADS_BYTES: u32 = 0x238;
/// What the board answers for, as start and size. Most of it is nothing, and an access to that aborts.
pub const HOLES: [(u64, u64); 2] = [(0x44E0_0000, 0x20_0000), (0x4800_0000, 0x20_0000)];

/// An access that is answered by no device.
#[derive(Clone, Copy, Debug)]
pub struct Aborted;

/// What is at an address.
enum Place {
    Bank(usize, u32),
    Clocks(u32),
    Pads(u32),
    Nothing,
}

impl Place {
    fn at(address: u64) -> Self {
        let offset = |start: u64, size: u32| {
            let offset = u32::try_from(address.checked_sub(start)?).ok()?;
            (offset < size).then_some(offset)
        };
        for (number, (start, _)) in BANKS.iter().enumerate() {
            if let Some(offset) = offset(*start, SIZE) {
                return Self::Bank(number, offset);
            }
        }
        match (offset(CLOCKS, SIZE), offset(PADS, PADS_BYTES)) {
            (Some(offset), _) => Self::Clocks(offset),
            (_, Some(offset)) => Self::Pads(offset),
            _ => Self::Nothing,
        }
    }
}

type Instruments = Bench<BufWriter<File>>;

/// Four banks, and the module that has their clocks.
pub struct Board {
    banks: Vec<Instruments>,
    clocks: Clocks,
    pads: BTreeMap<u32, u32>,
    /// Accesses to the clock module, the pads, and to nothing, by physical address.
    others: Vec<Record>,
    /// What is to happen after dusk, and to which bank.
    nights: Vec<(usize, Night)>,
    started: Instant,
}

impl Board {
    /// A board whose files are in `directory`.
    pub fn new(directory: &Path) -> Result<Self> {
        let bench = |number: usize| -> Result<Instruments> {
            let path = directory.join(file(number, "waveform.vcd"));
            let to =
                File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            let bank = Bank::default();
            let name = format!("gpio{number}");
            let waveform = Waveform::new(BufWriter::new(to), &name, &bank)?;
            Ok(Bench::new(bank, Some(waveform)))
        };
        Ok(Self {
            banks: (0..BANKS.len()).map(bench).collect::<Result<_>>()?,
            clocks: Clocks::default(),
            pads: BTreeMap::new(),
            others: Vec::new(),
            nights: Vec::new(),
            started: Instant::now(),
        })
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A load by the processor, at a physical address.
    pub fn load(&mut self, address: u64, width: Width) -> io::Result<Result<u32, Aborted>> {
        let now = self.now();
        let value = match Place::at(address) {
            Place::Bank(number, offset) => {
                let loaded = self.banks[number].load(now, offset, width)?;
                return Ok(loaded.map_err(|_| Aborted));
            }
            Place::Clocks(offset) => Ok(self.clocks.read(offset, width)),
            Place::Pads(offset) => Ok(self.pads.get(&offset).copied().unwrap_or(0)),
            Place::Nothing => Err(Aborted),
        };
        self.record(
            Operation::Read,
            address,
            width,
            *value.as_ref().unwrap_or(&0),
        );
        Ok(value)
    }

    /// A store by the processor, at a physical address.
    pub fn store(
        &mut self,
        address: u64,
        width: Width,
        value: u32,
    ) -> io::Result<Result<(), Aborted>> {
        let now = self.now();
        let place = Place::at(address);
        if let Place::Bank(number, offset) = place {
            let bank = &mut self.banks[number];
            let stored = bank.store(now, offset, width, value)?;
            // The kernel's driver of the bus, ti-sysc, lets a module idle before it switches its clock off.
            if Register::at(offset) == Some(Register::SysConfig) {
                self.nights
                    .extend(bank.suspended().map(|night| (number, night)));
            }
            return Ok(stored.map_err(|_| Aborted));
        }
        self.record(Operation::Write, address, width, value);
        match place {
            Place::Clocks(offset) => {
                self.clocks.write(offset, width, value);
                self.switch_clocks(now)?;
            }
            Place::Pads(offset) => drop(self.pads.insert(offset, value)),
            Place::Bank(..) | Place::Nothing => return Ok(Err(Aborted)),
        }
        Ok(Ok(()))
    }

    /// Gives each bank the clock that it has now.
    fn switch_clocks(&mut self, now: Duration) -> io::Result<()> {
        for (number, bank) in self.banks.iter_mut().enumerate() {
            let on = self.clocks.is_on(number);
            if bank.bank().has_clock() != on {
                bank.set_clock(now, on)?;
            }
        }
        Ok(())
    }

    /// Records an access to what is no bank.
    fn record(&mut self, operation: Operation, address: u64, width: Width, value: u32) {
        let place = Place::at(address);
        let name = match place {
            Place::Clocks(offset) => Clocks::name(offset).map(str::to_owned),
            Place::Pads(offset) => Some(format!("CONF_{:#05x}", offset + 0x800)),
            Place::Bank(..) | Place::Nothing => None,
        };
        self.others.push(Record {
            time: u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX),
            operation,
            offset: u32::try_from(address).unwrap_or(u32::MAX),
            name,
            width: width.bits(),
            value,
            aborted: matches!(place, Place::Nothing),
        });
    }

    /// Does what a test asks for.
    pub fn answer(&mut self, request: &Request) -> io::Result<Reply> {
        let now = self.now();
        let (number, request) = match request {
            Request::Others(from) => {
                let records = self.others.get(*from..).unwrap_or_default();
                return Ok(Reply::Records(records.to_vec()));
            }
            Request::Of(_, inner) if matches!(**inner, Request::Others(_)) => {
                return self.answer(inner);
            }
            Request::Of(number, inner) => (*number, &**inner),
            request => (USUAL, request),
        };
        match self.banks.get_mut(number) {
            Some(bank) => bank.answer(now, request),
            None => Ok(Reply::Refused(format!("there is no bank {number}"))),
        }
    }

    /// The interrupts, as number and whether it is active.
    pub fn interrupts(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        let lines = self.banks.iter().zip(BANKS);
        lines.flat_map(|(bank, (_, first))| {
            [0, 1].map(|line| (first + line, bank.bank().interrupt(line as usize)))
        })
    }

    /// What is to happen after dusk.
    pub fn nights(&mut self) -> Vec<(usize, Night)> {
        std::mem::take(&mut self.nights)
    }

    /// That happens to the bank of this number.
    pub fn pass(&mut self, number: usize, night: &Night) -> io::Result<()> {
        let now = self.now();
        self.banks[number].pass(now, night)
    }

    /// Forgets what was accessed so far, but for the banks' own accesses.
    pub fn forget(&mut self) {
        self.others.clear();
    }

    /// Writes the records, and the ends of the waveforms.
    pub fn finish(&mut self, directory: &Path) -> Result<()> {
        let now = self.now();
        for (number, bank) in self.banks.iter_mut().enumerate() {
            bank.finish(now)?;
            write_records(
                &directory.join(file(number, "record.jsonl")),
                bank.records(),
            )?;
        }
        write_records(&directory.join("others.jsonl"), &self.others)
    }
}

/// What a file of a bank is called.
fn file(number: usize, name: &str) -> String {
    match number {
        USUAL => name.to_owned(),
        _ => format!("gpio{number}-{name}"),
    }
}

fn write_records(path: &Path, records: &[Record]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for record in records {
            serde_json::to_writer(&mut file, record)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpio_model::Register;

    const GPIO1: u64 = BANKS[USUAL].0;

    #[test]
    fn a_bank_answers_while_its_clock_is_on() {
        let directory =
            std::env::temp_dir().join(format!("mapwright-board-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut board = Board::new(&directory).unwrap();
        let word = |board: &mut Board, address| board.load(address, Width::Word).unwrap().ok();
        assert_eq!(word(&mut board, GPIO1), None, "no clock");
        let clock = CLOCKS + u64::from(Clocks::of_bank(USUAL));
        assert!(board.store(clock, Width::Word, 2).unwrap().is_ok());
        assert_eq!(word(&mut board, GPIO1), Some(0x5060_0801));
        assert_eq!(word(&mut board, BANKS[0].0), None, "another bank");
        assert_eq!(word(&mut board, GPIO1 + 0x1000), None, "nothing is there");
        let Reply::Records(others) = board.answer(&Request::Others(0)).unwrap() else {
            panic!("no records");
        };
        assert_eq!(others.len(), 2);
        assert_eq!(others[0].name.as_deref(), Some("CM_PER_GPIO1_CLKCTRL"));
        assert!(others[1].aborted);

        for (register, value) in [
            (Register::RisingDetect, 8),
            (Register::IrqStatusSet0, 8),
            (Register::IrqStatusRaw0, 8),
        ] {
            let address = GPIO1 + u64::from(register.offset());
            assert!(board.store(address, Width::Word, value).unwrap().is_ok());
        }
        let active: Vec<_> = board.interrupts().filter(|(_, on)| *on).collect();
        assert_eq!(active, [(98, true)]);

        board.finish(&directory).unwrap();
        for name in [
            "record.jsonl",
            "waveform.vcd",
            "gpio3-record.jsonl",
            "others.jsonl",
        ] {
            assert!(directory.join(name).is_file(), "{name}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn all_is_in_the_holes() {
        let inside = |address: u64| {
            let mut holes = HOLES.iter();
            holes.any(|(start, size)| (*start..start + size).contains(&address))
        };
        assert!(BANKS.iter().all(|(start, _)| inside(*start)) && inside(CLOCKS));
    }
}
