// SPDX-License-Identifier: GPL-2.0-only

//! Edges and levels: what is detected, for whom, and how many edges were seen.
//!
//! There are two who want to know: programs that wait for edges of this driver's device node, and the
//! interrupt controller of gpiolib. The registers detect what either wants.

use crate::registers::{
    Registers,
    DATAIN,
    FALLINGDETECT,
    IRQSTATUS_0,
    IRQSTATUS_CLR_0,
    IRQSTATUS_SET_0,
    LEVELDETECT0,
    LEVELDETECT1,
    RISINGDETECT, //
};
use kernel::{
    io::Io,
    prelude::*, //
};
use mapkit::device::gpio_chip::Detect;
use mapwright_uapi::gpio as uapi;

const LINES: usize = uapi::LINES as usize;

/// One line's edges.
#[derive(Clone, Copy, Default)]
struct Line {
    /// How many wait for rising and for falling edges.
    rising_users: u32,
    falling_users: u32,
    /// Edges seen so far, all in all.
    counts: EdgeCounts,
}

/// Numbers of edges, which begin again at 0 after the last.
#[derive(Clone, Copy, Default)]
pub(crate) struct EdgeCounts {
    rising: u32,
    falling: u32,
}

impl EdgeCounts {
    /// How many edges of the kinds `which` there were since `before`.
    pub(crate) fn since(&self, before: &Self, which: u32) -> u32 {
        let of = |edge, now: u32, before| match which & edge {
            0 => 0,
            _ => now.wrapping_sub(before),
        };
        let rising = of(uapi::EDGE_RISING, self.rising, before.rising);
        rising.wrapping_add(of(uapi::EDGE_FALLING, self.falling, before.falling))
    }
}

/// Lines, a bit each, by what is detected of them.
#[derive(Clone, Copy, Default)]
struct Detection {
    rising: u32,
    falling: u32,
    high: u32,
    low: u32,
}

impl Detection {
    /// Writes the registers of the kinds in which `changed` has lines.
    fn store(&self, registers: Registers<'_>, changed: &Self) {
        if changed.low != 0 {
            registers.write_reg(LEVELDETECT0::from(self.low));
        }
        if changed.high != 0 {
            registers.write_reg(LEVELDETECT1::from(self.high));
        }
        if changed.rising != 0 {
            registers.write_reg(RISINGDETECT::from(self.rising));
        }
        if changed.falling != 0 {
            registers.write_reg(FALLINGDETECT::from(self.falling));
        }
    }

    /// What of this is of the lines `lines`.
    fn of(&self, lines: u32) -> Self {
        Self {
            rising: self.rising & lines,
            falling: self.falling & lines,
            high: self.high & lines,
            low: self.low & lines,
        }
    }

    fn any(&self) -> u32 {
        self.rising | self.falling | self.high | self.low
    }
}

/// All lines' edges and levels.
pub(crate) struct Edges {
    lines: [Line; LINES],
    /// What the interrupt controller's interrupts are for, and which of them are enabled.
    controller: Detection,
    enabled: u32,
}

impl Edges {
    pub(crate) fn new() -> Self {
        Self {
            lines: [Line::default(); LINES],
            controller: Detection::default(),
            enabled: 0,
        }
    }

    /// The lines that programs wait for.
    pub(crate) fn watched(&self) -> u32 {
        let lines = self.lines.iter().enumerate();
        lines.fold(0, |watched, (line, users)| {
            let bit = 1u32.wrapping_shl(line as u32);
            match users.rising_users | users.falling_users {
                0 => watched,
                _ => watched | bit,
            }
        })
    }

    /// What the registers are to detect.
    fn detection(&self) -> Detection {
        let mut all = self.controller.of(self.enabled);
        for (line, users) in self.lines.iter().enumerate() {
            let bit = 1u32.wrapping_shl(line as u32);
            if users.rising_users != 0 {
                all.rising |= bit;
            }
            if users.falling_users != 0 {
                all.falling |= bit;
            }
        }
        all
    }

    /// How many edges `line` had so far.
    pub(crate) fn counts(&self, line: u32) -> Result<EdgeCounts> {
        self.lines
            .get(line as usize)
            .map(|line| line.counts)
            .ok_or(EINVAL)
    }

    /// Lets `change` change what is wanted, and has the registers detect that of the lines that it was
    /// about.
    ///
    /// A line that was not detected before begins anew: what it had raised then does not count.
    fn change(&mut self, registers: Registers<'_>, lines: u32, change: impl FnOnce(&mut Self)) {
        let before = self.detection().of(lines);
        change(self);
        let all = self.detection();
        let after = all.of(lines);
        let off = before.any() & !after.any();
        if off != 0 {
            registers.write_reg(IRQSTATUS_CLR_0::from(off));
        }
        all.store(
            registers,
            &Detection {
                rising: before.rising ^ after.rising,
                falling: before.falling ^ after.falling,
                high: before.high ^ after.high,
                low: before.low ^ after.low,
            },
        );
        let on = after.any() & !before.any();
        if on != 0 {
            registers.write_reg(IRQSTATUS_0::from(on));
            registers.write_reg(IRQSTATUS_SET_0::from(on));
        }
    }

    /// One more waits for edges of the kinds `which` of `line`, or one less.
    pub(crate) fn want(&mut self, registers: Registers<'_>, line: u32, which: u32, more: bool) {
        let change = |users: &mut u32| {
            *users = if more {
                users.saturating_add(1)
            } else {
                users.saturating_sub(1)
            }
        };
        self.change(registers, 1u32.wrapping_shl(line), |edges| {
            let Some(users) = edges.lines.get_mut(line as usize) else {
                return;
            };
            if which & uapi::EDGE_RISING != 0 {
                change(&mut users.rising_users);
            }
            if which & uapi::EDGE_FALLING != 0 {
                change(&mut users.falling_users);
            }
        });
    }

    /// What interrupts of the lines `lines` are for.
    pub(crate) fn set_type(&mut self, registers: Registers<'_>, lines: u32, detect: Detect) {
        let with = |is, bits: &mut u32| match is {
            true => *bits |= lines,
            false => *bits &= !lines,
        };
        self.change(registers, lines, |edges| {
            with(detect.rising, &mut edges.controller.rising);
            with(detect.falling, &mut edges.controller.falling);
            with(detect.high, &mut edges.controller.high);
            with(detect.low, &mut edges.controller.low);
        });
    }

    /// Enables or disables the interrupts of `lines`.
    pub(crate) fn enable(&mut self, registers: Registers<'_>, lines: u32, on: bool) {
        self.change(registers, lines, |edges| match on {
            true => edges.enabled |= lines,
            false => edges.enabled &= !lines,
        });
    }

    /// Acknowledges and counts the edges of the lines `status`. Those that the interrupt controller is to
    /// be told of, and whether programs wait for some.
    pub(crate) fn take(&mut self, registers: Registers<'_>, status: u32) -> (u32, bool) {
        let all = self.detection();
        // A level stays until what has raised it is served.
        let edges = status & !(all.high | all.low);
        if edges != 0 {
            registers.write_reg(IRQSTATUS_0::from(edges));
        }
        let watched = edges & self.watched();
        // Where both edges are detected, the level says which it was.
        let levels = match watched & all.rising & all.falling {
            0 => all.rising,
            _ => {
                let high = registers.read(DATAIN).into_raw();
                all.rising & (high | !all.falling)
            }
        };
        for (line, users) in self.lines.iter_mut().enumerate() {
            let bit = 1u32.wrapping_shl(line as u32);
            let count = match (watched & bit, levels & bit) {
                (0, _) => continue,
                (_, 0) => &mut users.counts.falling,
                _ => &mut users.counts.rising,
            };
            *count = count.wrapping_add(1);
        }
        (status & self.enabled, watched != 0)
    }
}
