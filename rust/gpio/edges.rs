// SPDX-License-Identifier: GPL-2.0-only

//! Edges and levels: what is detected, for whom, and how many edges were seen.
//!
//! There are two who want to know: programs that wait for edges of this driver's device node, and the
//! interrupt controller of gpiolib. The registers detect what either wants.
//!
//! The bank has one bit of status for a line, whichever edges and however many there were. Where both kinds are
//! detected, the line's level before and now say more: if it is another, there was one edge, and if it is the same,
//! there were two, as of a pulse that was over before the interrupt was handled. Programs are told of both; to the
//! interrupt controller it is one interrupt, as its consumers look at the level themselves. How many edges they were not
//! told of is counted.

use crate::registers::{
    Registers,
    DATAIN,
    FALLINGDETECT,
    IRQSTATUS_0,
    IRQSTATUS_CLR_0,
    IRQSTATUS_RAW_0,
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

/// So often at most, what came while the lines were looked at is looked at, too.
const LOOKS: u32 = 4;

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
    pub(crate) rising: u32,
    pub(crate) falling: u32,
    /// Those of them, of a line both kinds of whose edges gpiolib wants, that it was not told of: an interrupt is one.
    pub(crate) missed: u32,
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

    /// Lines both kinds of whose edges are detected.
    fn both(&self) -> u32 {
        self.rising & self.falling
    }
}

/// All lines' edges and levels.
pub(crate) struct Edges {
    lines: [Line; LINES],
    /// What the interrupt controller's interrupts are for, and which of them are enabled.
    controller: Detection,
    enabled: u32,
    /// Of lines both kinds of whose edges are detected: those that were high when last looked at.
    high: u32,
}

impl Edges {
    pub(crate) fn new() -> Self {
        Self {
            lines: [Line::default(); LINES],
            controller: Detection::default(),
            enabled: 0,
            high: 0,
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
        }
        let newly_both = after.both() & !before.both();
        if newly_both != 0 {
            self.begin_with(registers, newly_both, &before);
        }
        if on != 0 {
            registers.write_reg(IRQSTATUS_SET_0::from(on));
        }
    }

    /// Looks at the levels of lines both of whose edges are detected from now on, and what was detected `before`.
    ///
    /// What comes meanwhile of lines that were not detected before does not count. An edge of one kind that was
    /// detected and not handled yet says what the line was before it.
    fn begin_with(&mut self, registers: Registers<'_>, lines: u32, before: &Detection) {
        let new = lines & !before.any();
        let mut high = registers.read(DATAIN).into_raw();
        let mut came = registers.read(IRQSTATUS_RAW_0).into_raw() & lines;
        for _ in 1..LOOKS {
            if came & new == 0 {
                break;
            }
            registers.write_reg(IRQSTATUS_0::from(came & new));
            high = registers.read(DATAIN).into_raw();
            came = registers.read(IRQSTATUS_RAW_0).into_raw() & lines;
        }
        let unhandled = came & !new;
        let high = high & !(unhandled & before.rising) | unhandled & before.falling;
        self.high = self.high & !lines | high & lines;
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
        let watched = self.watched();
        // A level stays until what has raised it is served.
        let edges = status & !(all.high | all.low);
        if edges != 0 {
            registers.write_reg(IRQSTATUS_0::from(edges));
        }
        let both_wanted = self.enabled & self.controller.both();
        let both = edges & (watched | both_wanted) & all.both();
        let counts = self.count(registers, both);
        if edges != 0 && both == 0 {
            // The store may be on its way still: it would acknowledge an edge that a program makes when it is told of
            // this one. A read comes after it; where there is something to count, there was one.
            let _ = registers.read(IRQSTATUS_0);
        }
        for (line, users) in self.lines.iter_mut().enumerate() {
            let bit = 1u32.wrapping_shl(line as u32);
            if edges & (watched | both_wanted) & bit == 0 {
                continue;
            }
            let (rising, falling) = match (both & bit, all.rising & bit) {
                (0, 0) => (0, 1),
                (0, _) => (1, 0),
                _ => counts.of(line).kinds(self.high & bit != 0),
            };
            users.counts.rising = users.counts.rising.wrapping_add(rising);
            users.counts.falling = users.counts.falling.wrapping_add(falling);
            if both_wanted & bit != 0 {
                let missed = rising.wrapping_add(falling).saturating_sub(1);
                users.counts.missed = users.counts.missed.wrapping_add(missed);
            }
        }
        (status & self.enabled, edges & watched != 0)
    }

    /// How many edges each of `lines` had, which were just acknowledged and of which both kinds are detected.
    ///
    /// Each look finds the lines that had an edge since the one before. That their levels fit is what is certain:
    /// so there are as many edges as looks have found, and one more if the level says so.
    fn count(&mut self, registers: Registers<'_>, lines: u32) -> Counts {
        let mut counts = Counts([0; LINES]);
        let (before, mut came, mut now) = (self.high, lines, self.high);
        for look in 0..LOOKS {
            counts.add(came);
            if came == 0 {
                break;
            }
            if look > 0 {
                registers.write_reg(IRQSTATUS_0::from(came));
            }
            now = registers.read(DATAIN).into_raw();
            came = registers.read(IRQSTATUS_0).into_raw() & lines;
            if look.wrapping_add(1) == LOOKS {
                // They interrupt again.
                break;
            }
        }
        counts.fit(lines, before ^ now);
        self.high = self.high & !lines | now & lines;
        counts
    }
}

/// How many edges lines had.
struct Counts([u8; LINES]);

/// How many edges a line had, one after the other.
struct Count(u8);

impl Counts {
    /// One more of each of `lines`.
    fn add(&mut self, lines: u32) {
        for (line, count) in self.0.iter_mut().enumerate() {
            *count = count.wrapping_add((lines.wrapping_shr(line as u32) & 1) as u8);
        }
    }

    /// Of `lines`, those in `changed` had an odd number, and the others an even one.
    fn fit(&mut self, lines: u32, changed: u32) {
        for (line, count) in self.0.iter_mut().enumerate() {
            let bit = |mask: u32| (mask.wrapping_shr(line as u32) & 1) as u8;
            if bit(lines) != 0 && *count & 1 != bit(changed) {
                *count = count.wrapping_add(1);
            }
        }
    }

    fn of(&self, line: usize) -> Count {
        Count(self.0.get(line).copied().unwrap_or(0))
    }
}

impl Count {
    /// How many rising and how many falling, where the line is `high` after the last.
    fn kinds(self, high: bool) -> (u32, u32) {
        let half = u32::from(self.0) / 2;
        let last = u32::from(self.0 & 1);
        match high {
            true => (half.wrapping_add(last), half),
            false => (half, half.wrapping_add(last)),
        }
    }
}
