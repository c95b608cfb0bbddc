// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lines over time, as a VCD file (IEEE 1364), which GTKWave, PulseView and
//! `mapwright gpio scope` show.

use crate::{Bank, LINES};
use std::io::{self, Write};
use std::time::Duration;
use vcd::{IdCode, SimulationCommand, TimescaleUnit, Value};

/// Writes a VCD file: a wire for each line, one for the interrupt, one for the clock.
pub struct Waveform<W: Write> {
    writer: vcd::Writer<W>,
    lines: Vec<IdCode>,
    interrupt: IdCode,
    clock: IdCode,
    /// What was written last, lines first.
    shown: Vec<Value>,
    time: Option<u64>,
}

impl<W: Write> Waveform<W> {
    /// Writes the header and how `bank` is now. `name` is the bank's, like `gpio1`.
    pub fn new(to: W, name: &str, bank: &Bank) -> io::Result<Self> {
        let mut writer = vcd::Writer::new(to);
        writer.timescale(1, TimescaleUnit::NS)?;
        writer.add_module(name)?;
        let lines: Vec<IdCode> = (0..LINES)
            .map(|line| writer.add_wire(1, &format!("line{line}")))
            .collect::<io::Result<_>>()?;
        let interrupt = writer.add_wire(1, "interrupt")?;
        let clock = writer.add_wire(1, "clock")?;
        writer.upscope()?;
        writer.enddefinitions()?;
        let mut waveform = Self {
            writer,
            lines,
            interrupt,
            clock,
            shown: Vec::new(),
            time: None,
        };
        waveform.writer.timestamp(0)?;
        waveform.writer.begin(SimulationCommand::Dumpvars)?;
        waveform.time = Some(0);
        waveform.sample(Duration::ZERO, bank)?;
        waveform.writer.end()?;
        Ok(waveform)
    }

    /// Writes what has changed.
    pub fn sample(&mut self, now: Duration, bank: &Bank) -> io::Result<()> {
        let values = values(bank);
        let codes = self.lines.iter().chain([&self.interrupt, &self.clock]);
        for (at, (code, value)) in codes.zip(&values).enumerate() {
            if self.shown.get(at) == Some(value) {
                continue;
            }
            let time = nanoseconds(now);
            if self.time != Some(time) {
                self.time = Some(time);
                self.writer.timestamp(time)?;
            }
            self.writer.change_scalar(*code, *value)?;
        }
        self.shown = values;
        Ok(())
    }

    /// Writes how long nothing more happened, so that the last level has a length.
    pub fn finish(&mut self, now: Duration) -> io::Result<()> {
        self.writer.timestamp(nanoseconds(now))?;
        self.writer.flush()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn values(bank: &Bank) -> Vec<Value> {
    let (levels, floating) = (bank.levels(), bank.floating());
    let line = |line: u32| match ((floating >> line) & 1, (levels >> line) & 1) {
        (1, _) => Value::Z,
        (_, 1) => Value::V1,
        _ => Value::V0,
    };
    let others = [bank.interrupt(0), bank.has_clock()].map(Value::from);
    (0..LINES).map(line).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Register, Width};

    #[test]
    fn a_blink_has_its_edges() {
        let mut bank = Bank::default();
        bank.set_clock(true);
        bank.write(Register::Oe.offset(), Width::Word, !(1 << 21))
            .unwrap();
        let mut file = Vec::new();
        let mut waveform = Waveform::new(&mut file, "gpio1", &bank).unwrap();
        for (ms, register) in [(1, Register::SetDataOut), (2, Register::ClearDataOut)] {
            bank.write(register.offset(), Width::Word, 1 << 21).unwrap();
            waveform.sample(Duration::from_millis(ms), &bank).unwrap();
            waveform.sample(Duration::from_millis(ms), &bank).unwrap();
        }
        waveform.finish(Duration::from_millis(3)).unwrap();
        drop(waveform);

        let mut parser = vcd::Parser::new(&file[..]);
        let header = parser.parse_header().unwrap();
        let led = header.find_var(&["gpio1", "line21"]).unwrap().code;
        let mut time = 0;
        let mut edges = Vec::new();
        for command in parser {
            match command.unwrap() {
                vcd::Command::Timestamp(at) => time = at,
                vcd::Command::ChangeScalar(code, value) if code == led => edges.push((time, value)),
                _ => {}
            }
        }
        let ms = 1_000_000;
        assert_eq!(
            edges,
            [(0, Value::V0), (ms, Value::V1), (2 * ms, Value::V0)]
        );
        assert_eq!(time, 3 * ms);
    }

    #[test]
    fn an_undriven_input_floats() {
        let values = values(&Bank::default());
        assert_eq!(values[0], Value::Z);
        assert_eq!(values[LINES as usize..], [Value::V0, Value::V0]);
    }
}
