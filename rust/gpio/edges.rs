// SPDX-License-Identifier: GPL-2.0-only

//! Edges: who waits for which, and how many were seen.

use crate::{
    bank::{
        mask,
        Bank,
        Mode, //
    },
    registers::{
        DATAIN,
        FALLINGDETECT,
        IRQSTATUS_0,
        IRQSTATUS_CLR_0,
        IRQSTATUS_SET_0,
        RISINGDETECT, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    io::Io,
    irq::{
        Flags,
        IrqRequest,
        IrqReturn,
        ThreadedHandler,
        ThreadedRegistration, //
    },
    prelude::*,
    sync::{
        Arc,
        CondVarTimeoutResult, //
    },
    time::msecs_to_jiffies, //
};
use mapkit::errno::eopnotsupp;
use mapwright_uapi::gpio as uapi;

const LINES: usize = uapi::LINES as usize;

/// One line's share.
#[derive(Clone, Copy, Default)]
struct Line {
    /// Who waits for rising and for falling edges.
    rising_users: u32,
    falling_users: u32,
    /// Edges seen so far, all in all.
    rising: u32,
    falling: u32,
}

impl Line {
    fn seen(&self, edges: u32) -> u32 {
        let of = |edge, seen| if edges & edge != 0 { seen } else { 0 };
        of(uapi::EDGE_RISING, self.rising).wrapping_add(of(uapi::EDGE_FALLING, self.falling))
    }
}

/// All lines' edges.
pub(crate) struct Edges {
    lines: [Line; LINES],
    left: bool,
}

impl Edges {
    pub(crate) fn new() -> Self {
        Self {
            lines: [Line::default(); LINES],
            left: false,
        }
    }

    /// The device goes.
    pub(crate) fn leave(&mut self) {
        self.left = true;
    }

    fn line(&mut self, line: u32) -> Result<&mut Line> {
        self.lines.get_mut(line as usize).ok_or(EINVAL)
    }

    /// The lines that somebody waits for: rising and falling.
    fn wanted(&self) -> (u32, u32) {
        let lines = self.lines.iter().enumerate();
        lines.fold((0, 0), |(rising, falling), (line, users)| {
            let bit = 1u32.wrapping_shl(line as u32);
            let of = |users| if users == 0 { 0 } else { bit };
            (
                rising | of(users.rising_users),
                falling | of(users.falling_users),
            )
        })
    }

    /// Counts an event on each of `lines`, which have `levels` now. Where both edges are detected,
    /// the level says which it was.
    fn count(&mut self, lines: u32, levels: u32) {
        let (rising, falling) = self.wanted();
        for (line, seen) in self.lines.iter_mut().enumerate() {
            let bit = 1u32.wrapping_shl(line as u32);
            if lines & bit == 0 {
                continue;
            }
            let rose = falling & bit == 0 || (rising & bit != 0 && levels & bit != 0);
            let count = if rose {
                &mut seen.rising
            } else {
                &mut seen.falling
            };
            *count = count.wrapping_add(1);
        }
    }
}

impl Bank {
    /// Detects what somebody waits for, and no more. `edges` is locked.
    fn detect(&self, edges: &Edges) -> Result {
        let (rising, falling) = edges.wanted();
        self.block.with(|registers| {
            registers.write_reg(IRQSTATUS_CLR_0::from(!(rising | falling)));
            registers.write_reg(RISINGDETECT::from(rising));
            registers.write_reg(FALLINGDETECT::from(falling));
            registers.write_reg(IRQSTATUS_SET_0::from(rising | falling));
        })
    }

    /// Adds (or takes away) one who waits.
    fn want(&self, edges: &mut Edges, line: u32, which: u32, more: bool) -> Result {
        let users = edges.line(line)?;
        let change = |users: &mut u32| {
            *users = if more {
                users.saturating_add(1)
            } else {
                users.saturating_sub(1)
            }
        };
        if which & uapi::EDGE_RISING != 0 {
            change(&mut users.rising_users);
        }
        if which & uapi::EDGE_FALLING != 0 {
            change(&mut users.falling_users);
        }
        self.detect(edges)
    }

    /// Sleeps until `line` has one of `which` edges, for up to `timeout` milliseconds if that is not
    /// 0; how many it had.
    pub(crate) fn wait(&self, line: u32, which: u32, timeout: u32) -> Result<u32> {
        mask(line)?;
        if which == 0 || which & !(uapi::EDGE_RISING | uapi::EDGE_FALLING) != 0 {
            return Err(EINVAL);
        }
        if self.mode == Mode::Hog || !self.has_interrupt {
            return Err(eopnotsupp());
        }
        self.block.revision()?;
        let mut edges = self.edges.lock();
        let before = edges.line(line)?.seen(which);
        self.want(&mut edges, line, which, true)?;
        let mut left = match timeout {
            0 => kernel::time::Jiffies::MAX,
            ms => msecs_to_jiffies(ms),
        };
        let result = loop {
            let seen = edges.line(line)?.seen(which).wrapping_sub(before);
            if seen != 0 {
                break Ok(seen);
            }
            if edges.left {
                break Err(ENODEV);
            }
            match self.edge.wait_interruptible_timeout(&mut edges, left) {
                CondVarTimeoutResult::Woken { jiffies } => left = jiffies,
                CondVarTimeoutResult::Timeout => left = 0,
                CondVarTimeoutResult::Signal { .. } => break Err(EINTR),
            }
            if left == 0 && edges.line(line)?.seen(which) == before {
                break Err(ETIMEDOUT);
            }
        };
        // A device that is gone detects nothing anyway.
        let _ = self.want(&mut edges, line, which, false);
        result
    }
}

/// What an interrupt does.
pub(crate) struct Interrupt(Arc<Bank>);

impl Interrupt {
    /// Handles the interrupt `request` of `bank` until this is dropped.
    pub(crate) fn new(
        request: IrqRequest<'_>,
        bank: Arc<Bank>,
    ) -> Result<Pin<KBox<ThreadedRegistration<Self>>>> {
        let registration =
            ThreadedRegistration::new(request, Flags::ONESHOT, c"mapwright_gpio", Ok(Self(bank)));
        KBox::pin_init(registration, GFP_KERNEL)
    }
}

impl ThreadedHandler for Interrupt {
    fn handle_threaded(&self, _device: &Device<Bound>) -> IrqReturn {
        let mut edges = self.0.edges.lock();
        let seen = self.0.block.with(|registers| {
            let seen = registers.read(IRQSTATUS_0).into_raw();
            if seen == 0 || seen == u32::MAX {
                return (0, 0);
            }
            registers.write_reg(IRQSTATUS_0::from(seen));
            (seen, registers.read(DATAIN).into_raw())
        });
        match seen {
            Ok((lines, levels)) if lines != 0 => {
                edges.count(lines, levels);
                drop(edges);
                self.0.edge.notify_all();
                IrqReturn::Handled
            }
            _ => IrqReturn::None,
        }
    }
}
