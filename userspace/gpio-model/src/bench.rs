// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bank with instruments on it.

use crate::{Bank, Drive, Operation, Record, Register, Unclocked, Waveform, Width};
use std::io::{self, Write};
use std::time::Duration;

/// A bank, the record of all accesses and the waveform of its lines.
pub struct Bench<W: Write> {
    bank: Bank,
    records: Vec<Record>,
    waveform: Option<Waveform<W>>,
    gone: bool,
}

impl<W: Write> Bench<W> {
    /// Puts the instruments on a bank; `waveform` is written to as things happen.
    pub fn new(bank: Bank, waveform: Option<Waveform<W>>) -> Self {
        Self {
            bank,
            records: Vec::new(),
            waveform,
            gone: false,
        }
    }

    /// The bank, to look at.
    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    /// All accesses so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// A load by the processor; all ones where it would abort.
    pub fn read(&mut self, now: Duration, offset: u32, width: Width) -> io::Result<u32> {
        let ones = u32::MAX >> (32 - width.bits());
        let read = if self.gone {
            Ok(ones)
        } else {
            self.bank.read(offset, width)
        };
        let value = read.unwrap_or(ones);
        self.record(now, Operation::Read, (offset, width, value), read.err());
        self.sample(now)?;
        Ok(value)
    }

    /// A store by the processor; without effect where it would abort.
    pub fn write(
        &mut self,
        now: Duration,
        offset: u32,
        width: Width,
        value: u32,
    ) -> io::Result<()> {
        let aborted = match self.gone {
            true => None,
            false => self.bank.write(offset, width, value).err(),
        };
        self.record(now, Operation::Write, (offset, width, value), aborted);
        self.sample(now)
    }

    /// See [`Bank::drive`].
    pub fn drive(&mut self, now: Duration, line: u32, drive: Drive) -> io::Result<()> {
        self.bank.drive(line, drive);
        self.sample(now)
    }

    /// See [`Bank::set_clock`].
    pub fn set_clock(&mut self, now: Duration, on: bool) -> io::Result<()> {
        self.bank.set_clock(on);
        self.sample(now)
    }

    /// The device is pulled out of its bus: from now on, all reads give ones and nothing is stored.
    pub fn vanish(&mut self) {
        self.gone = true;
    }

    /// The device is plugged in again, as after power-on.
    pub fn come_back(&mut self, now: Duration) -> io::Result<()> {
        let clock = self.bank.has_clock();
        self.bank = Bank::default();
        self.bank.set_clock(clock);
        self.gone = false;
        self.sample(now)
    }

    /// Writes out the waveform up to now.
    pub fn finish(&mut self, now: Duration) -> io::Result<()> {
        self.waveform.as_mut().map_or(Ok(()), |w| w.finish(now))
    }

    fn sample(&mut self, now: Duration) -> io::Result<()> {
        let bank = &self.bank;
        self.waveform
            .as_mut()
            .map_or(Ok(()), |w| w.sample(now, bank))
    }

    fn record(
        &mut self,
        now: Duration,
        operation: Operation,
        (offset, width, value): (u32, Width, u32),
        aborted: Option<Unclocked>,
    ) {
        self.records.push(Record {
            time: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            operation,
            offset,
            name: Register::at(offset).map(|register| register.name().to_owned()),
            width: width.bits(),
            value,
            aborted: aborted.is_some(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_answers_for_a_device_that_was_pulled_out() {
        let mut bench: Bench<io::Sink> = Bench::new(Bank::default(), None);
        bench.set_clock(Duration::ZERO, true).unwrap();
        bench.vanish();
        assert_eq!(
            bench.read(Duration::ZERO, 0x13c, Width::Word).unwrap(),
            u32::MAX
        );
        bench.write(Duration::ZERO, 0x13c, Width::Word, 1).unwrap();
        assert_eq!(bench.bank().clone().read(0x13c, Width::Word), Ok(0));
        assert!(bench.records().iter().all(Record::is_proper));
        bench.come_back(Duration::ZERO).unwrap();
        assert_eq!(bench.read(Duration::ZERO, 0x13c, Width::Word).unwrap(), 0);
    }

    #[test]
    fn all_is_recorded_aborts_too() {
        let mut bench: Bench<io::Sink> = Bench::new(Bank::default(), None);
        let at = Duration::from_micros;
        assert_eq!(bench.read(at(1), 0, Width::Word).unwrap(), u32::MAX);
        assert_eq!(bench.read(at(1), 0, Width::Half).unwrap(), 0xffff);
        bench.set_clock(at(2), true).unwrap();
        bench.write(at(3), 0x194, Width::Word, 1).unwrap();
        bench.write(at(4), 0x60, Width::Byte, 1).unwrap();
        let proper: Vec<bool> = bench.records().iter().map(Record::is_proper).collect();
        assert_eq!(proper, [false, false, true, false]);
        assert!(bench.records()[0].aborted);
        assert_eq!(bench.records()[2].name.as_deref(), Some("SETDATAOUT"));
        assert_eq!(bench.records()[3].name, None);
    }
}
