// SPDX-License-Identifier: GPL-2.0-only

//! A bank, whatever bus it is on.
//!
//! Locks, in the order they are taken: `blinks`, `directions`, `edges`. Registers are accessed in RCU
//! read-side sections, in which nothing sleeps.

use crate::{
    blink::Blink,
    block::Block,
    edges::Edges,
    registers::{
        CLEARDATAOUT,
        CTRL,
        DATAIN,
        FALLINGDETECT,
        IRQSTATUS_0,
        IRQSTATUS_CLR_0,
        OE,
        RISINGDETECT,
        SETDATAOUT, //
    }, //
};
use kernel::{
    io::Io,
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        CondVar,
        Mutex, //
    }, //
};
use mapkit::{
    errno::eopnotsupp,
    register_page::RegisterPage, //
};
use mapwright_uapi::gpio as uapi;

/// Whose the bank is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Another driver keeps lines, directions and clock. Nothing but SETDATAOUT and CLEARDATAOUT is
    /// written, which do not disturb it.
    Hog,
    /// All of it is ours.
    Bank,
}

/// What a bank was like before it was taken over.
pub(crate) struct Before {
    ctrl: u32,
    oe: u32,
}

/// One bank.
#[pin_data]
pub(crate) struct Bank {
    pub(crate) block: Arc<Block>,
    pub(crate) mode: Mode,
    pub(crate) has_interrupt: bool,
    pub(crate) page: Arc<RegisterPage>,
    /// Lines that blink.
    #[pin]
    blinks: Mutex<[Option<Blink>; uapi::LINES as usize]>,
    /// Held while OE is changed.
    #[pin]
    directions: Mutex<()>,
    #[pin]
    pub(crate) edges: Mutex<Edges>,
    /// Told when `edges` saw one, or the device goes.
    #[pin]
    pub(crate) edge: CondVar,
}

/// The mask of a line. `EINVAL` if there is no such line.
pub(crate) fn mask(line: u32) -> Result<u32> {
    1u32.checked_shl(line).ok_or(EINVAL)
}

impl Bank {
    /// A bank whose registers are at the physical address of `page`.
    pub(crate) fn new(
        block: Arc<Block>,
        mode: Mode,
        has_interrupt: bool,
        page: Arc<RegisterPage>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            block,
            mode,
            has_interrupt,
            page,
            blinks <- new_mutex!([const { None }; uapi::LINES as usize]),
            directions <- new_mutex!(()),
            edges <- new_mutex!(Edges::new()),
            edge <- new_condvar!(),
        })
    }

    /// Switches the bank on and its interrupts off, and says how it was.
    pub(crate) fn take_over(&self) -> Result<Before> {
        self.block.with(|registers| {
            let before = Before {
                ctrl: registers.read(CTRL).into_raw(),
                oe: registers.read(OE).into_raw(),
            };
            // Whoever had it may have switched it off.
            registers.write_reg(CTRL::from(0));
            registers.write_reg(IRQSTATUS_CLR_0::from(u32::MAX));
            registers.write_reg(RISINGDETECT::from(0));
            registers.write_reg(FALLINGDETECT::from(0));
            registers.write_reg(IRQSTATUS_0::from(u32::MAX));
            before
        })
    }

    /// Undoes [`take_over`](Self::take_over) and what was done since.
    pub(crate) fn give_back(&self, before: &Before) -> Result {
        // A device that was pulled out is noticed here at the latest.
        self.block.revision()?;
        self.block.with(|registers| {
            registers.write_reg(IRQSTATUS_CLR_0::from(u32::MAX));
            registers.write_reg(RISINGDETECT::from(0));
            registers.write_reg(FALLINGDETECT::from(0));
            registers.write_reg(IRQSTATUS_0::from(u32::MAX));
            registers.write_reg(OE::from(before.oe));
            registers.write_reg(CTRL::from(before.ctrl));
        })
    }

    /// The device goes: stops the timers, wakes who waits, takes the registers out of programs.
    pub(crate) fn leave(&self) {
        for blink in self.blinks.lock().iter_mut() {
            drop(blink.take());
        }
        self.edges.lock().leave();
        self.edge.notify_all();
        self.page.revoke();
    }

    /// A bit for each line that is high.
    pub(crate) fn levels(&self) -> Result<u32> {
        self.block
            .read(|registers| registers.read(DATAIN).into_raw())
    }

    /// A bit for each line that is an output.
    pub(crate) fn outputs(&self) -> Result<u32> {
        self.block
            .read(|registers| registers.read(OE).into_raw())
            .map(|oe| !oe)
    }

    /// A bit for each line that blinks.
    pub(crate) fn blinking(&self) -> u32 {
        let blinks = self.blinks.lock();
        let of = |(line, blink): (usize, &Option<Blink>)| match blink {
            Some(_) => 1u32.wrapping_shl(line as u32),
            None => 0,
        };
        blinks
            .iter()
            .enumerate()
            .map(of)
            .fold(0, |all, line| all | line)
    }

    /// `EPERM` if one of `lines` is an input.
    fn expect_outputs(&self, lines: u32) -> Result {
        if lines & !self.outputs()? != 0 {
            return Err(EPERM);
        }
        Ok(())
    }

    /// Makes the outputs of `set` high and of `clear` low, with a store each.
    pub(crate) fn set_outputs(&self, set: u32, clear: u32) -> Result {
        if set & clear != 0 {
            return Err(EINVAL);
        }
        if set | clear == 0 {
            return Ok(());
        }
        if self.blinking() & (set | clear) != 0 {
            return Err(EBUSY);
        }
        self.expect_outputs(set | clear)?;
        self.drive(set, clear)
    }

    /// The stores of [`set_outputs`](Self::set_outputs), from any context.
    pub(crate) fn drive(&self, set: u32, clear: u32) -> Result {
        self.block.with(|registers| {
            if set != 0 {
                registers.write_reg(SETDATAOUT::from(set));
            }
            if clear != 0 {
                registers.write_reg(CLEARDATAOUT::from(clear));
            }
        })
    }

    /// Makes a line an output or an input.
    pub(crate) fn set_direction(&self, line: u32, output: bool) -> Result {
        let mask = mask(line)?;
        if self.mode == Mode::Hog {
            return Err(eopnotsupp());
        }
        if self.blinking() & mask != 0 {
            return Err(EBUSY);
        }
        let _guard = self.directions.lock();
        self.block.revision()?;
        self.block.with(|registers| {
            registers.update(OE, |oe| {
                let oe = oe.into_raw();
                OE::from(if output { oe & !mask } else { oe | mask })
            });
        })
    }

    /// Lets an output blink with a period in microseconds; 0 stops it.
    pub(crate) fn set_blink(&self, line: u32, period: u32) -> Result {
        let mask = mask(line)?;
        if period != 0 && !(uapi::MIN_PERIOD..=uapi::MAX_PERIOD).contains(&period) {
            return Err(EINVAL);
        }
        let mut blinks = self.blinks.lock();
        let blink = blinks.get_mut(line as usize).ok_or(EINVAL)?;
        match (period, &blink) {
            (0, None) => return Err(ENOENT),
            (0, Some(_)) => *blink = None,
            (_, Some(_)) => return Err(EBUSY),
            (_, None) => {
                self.expect_outputs(mask)?;
                *blink = Some(Blink::start(self.block.clone(), mask, period)?);
            }
        }
        Ok(())
    }
}
