// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bank with instruments on it.

use crate::{
    Bank, Night, Operation, Record, Register, Reply, Request, Unclocked, Waveform, Width, LINES,
};
use std::io::{self, Write};
use std::time::Duration;

/// A night begins so long after the bus has suspended the bank.
pub const DUSK: Duration = Duration::from_secs(1);

/// A bank, the record of all accesses and the waveform of its lines.
pub struct Bench<W: Write> {
    bank: Bank,
    records: Vec<Record>,
    waveform: Option<Waveform<W>>,
    gone: bool,
    /// What happens when the VM sleeps next, and how often something has.
    night: Option<Night>,
    nights: usize,
}

impl<W: Write> Bench<W> {
    /// Puts the instruments on a bank; `waveform` is written to as things happen.
    pub fn new(bank: Bank, waveform: Option<Waveform<W>>) -> Self {
        Self {
            bank,
            records: Vec::new(),
            waveform,
            gone: false,
            night: None,
            nights: 0,
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

    /// A load by the processor, or the abort that it has.
    pub fn load(
        &mut self,
        now: Duration,
        offset: u32,
        width: Width,
    ) -> io::Result<Result<u32, Unclocked>> {
        let read = match self.gone {
            true => Ok(ones(width)),
            false => self.bank.read(offset, width),
        };
        let value = read.unwrap_or(ones(width));
        self.record(now, Operation::Read, (offset, width, value), read.err());
        self.sample(now)?;
        Ok(read)
    }

    /// A store by the processor, or the abort that it has.
    pub fn store(
        &mut self,
        now: Duration,
        offset: u32,
        width: Width,
        value: u32,
    ) -> io::Result<Result<(), Unclocked>> {
        let written = match self.gone {
            true => Ok(()),
            false => self.bank.write(offset, width, value),
        };
        self.record(now, Operation::Write, (offset, width, value), written.err());
        self.sample(now)?;
        Ok(written)
    }

    /// A load where a bus has no way to tell of an abort: it gives all ones.
    pub fn read(&mut self, now: Duration, offset: u32, width: Width) -> io::Result<u32> {
        Ok(self.load(now, offset, width)?.unwrap_or(ones(width)))
    }

    /// A store where a bus has no way to tell of an abort: it has no effect.
    pub fn write(
        &mut self,
        now: Duration,
        offset: u32,
        width: Width,
        value: u32,
    ) -> io::Result<()> {
        self.store(now, offset, width, value).map(drop)
    }

    /// Does what a test asks for.
    pub fn answer(&mut self, now: Duration, request: &Request) -> io::Result<Reply> {
        Ok(match *request {
            Request::Drive(line, _) if line >= LINES => Reply::Refused(format!(
                "there is no line {line}: the last is {}",
                LINES - 1
            )),
            Request::Drive(line, level) => {
                self.bank.drive(line, level.into());
                self.sample(now)?;
                Reply::Done
            }
            Request::Pulse(lines) => {
                self.bank.pulse(lines);
                self.sample(now)?;
                Reply::Done
            }
            Request::Clock(on) => {
                self.set_clock(now, on)?;
                Reply::Done
            }
            Request::Levels => Reply::Levels(self.bank.levels()),
            Request::Vanish => {
                self.gone = true;
                Reply::Done
            }
            Request::Return => {
                self.come_back(now)?;
                Reply::Done
            }
            Request::Night(ref night) => {
                self.night = Some(night.clone());
                Reply::Done
            }
            Request::Nights => Reply::Count(self.nights),
            Request::Die => Reply::Refused("it does not die".to_owned()),
            Request::Count => Reply::Count(self.records.len()),
            Request::Records(from) => {
                Reply::Records(self.records.get(from..).unwrap_or_default().to_vec())
            }
            Request::Of(..) | Request::Others(_) => {
                Reply::Refused("there is no more than this bank".to_owned())
            }
        })
    }

    /// The bus has suspended the bank: what is to happen after [`DUSK`], if something is.
    pub fn suspended(&mut self) -> Option<Night> {
        self.night.take()
    }

    /// That happens.
    pub fn pass(&mut self, now: Duration, night: &Night) -> io::Result<()> {
        if night.powerless {
            self.bank.lose_power();
            self.sample(now)?;
        }
        for (line, level) in &night.drive {
            self.bank.drive(*line, (*level).into());
            self.sample(now)?;
        }
        self.nights += 1;
        Ok(())
    }

    /// See [`Bank::set_clock`].
    pub fn set_clock(&mut self, now: Duration, on: bool) -> io::Result<()> {
        self.bank.set_clock(on);
        self.sample(now)
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

fn ones(width: Width) -> u32 {
    u32::MAX >> (32 - width.bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_answers_for_a_device_that_was_pulled_out() {
        let mut bench: Bench<io::Sink> = Bench::new(Bank::default(), None);
        bench.set_clock(Duration::ZERO, true).unwrap();
        bench.answer(Duration::ZERO, &Request::Vanish).unwrap();
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
    fn a_night_comes_once() {
        let mut bench: Bench<io::Sink> = Bench::new(Bank::default(), None);
        bench.set_clock(Duration::ZERO, true).unwrap();
        bench.write(Duration::ZERO, 0x13c, Width::Word, 1).unwrap();
        assert_eq!(bench.suspended(), None);
        let night = Night {
            powerless: true,
            drive: vec![(3, crate::Level::High)],
        };
        let request = Request::Night(night.clone());
        bench.answer(Duration::ZERO, &request).unwrap();
        assert_eq!(bench.suspended(), Some(night.clone()));
        assert_eq!(bench.suspended(), None);
        bench.pass(Duration::ZERO, &night).unwrap();
        assert_eq!(bench.read(Duration::ZERO, 0x13c, Width::Word).unwrap(), 0);
        assert_eq!(bench.bank().levels(), 1 << 3);
        let nights = bench.answer(Duration::ZERO, &Request::Nights).unwrap();
        assert_eq!(nights, Reply::Count(1));
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
