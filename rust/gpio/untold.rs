// SPDX-License-Identifier: GPL-2.0-only

//! Edges that gpiolib is told one after the other.
//!
//! A consumer's handler in a thread asks for the line's level, which tells it the kind of the edge (as `gpiocdev`
//! does for `gpiomon`), and of two interrupts before it runs it is called for one. So of the two edges of a
//! pulse the second waits until the first was handled, and until then the line's level is, for gpiolib, what the
//! first has led to.

use crate::{
    bank::Bank,
    edges::Counts, //
};
use kernel::{
    impl_has_work,
    new_work,
    prelude::*,
    sync::Arc,
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use mapkit::{
    device::gpio_chip::GpioChip,
    sync::workqueue::OwnQueue, //
};
use mapwright_uapi::gpio as uapi;

const LINES: usize = uapi::LINES as usize;

/// More are not kept of a line: further ones are lost in pairs.
const MOST: u8 = 16;

/// What is still to be told.
pub(crate) struct Untold {
    /// Edges of each line.
    waiting: [u8; LINES],
    /// Lines whose edges are being told, and those of them that are high after the edge that was told last.
    telling: u32,
    high: u32,
    /// Of these, those whose first edge gpiolib was told of.
    begun: u32,
    /// Lines that are high after the last of their edges.
    last: u32,
}

fn bit(line: usize) -> u32 {
    1u32.wrapping_shl(line as u32)
}

impl Untold {
    pub(crate) fn new() -> Self {
        Self {
            waiting: [0; LINES],
            telling: 0,
            high: 0,
            begun: 0,
            last: 0,
        }
    }

    /// The lines `lines` had so many edges, and are high after them if they are in `high`. The lines that are to be
    /// told of now, and whether there is more to tell after that.
    pub(crate) fn add(&mut self, lines: u32, counts: &Counts, high: u32) -> (u32, bool) {
        let mut now = 0;
        for (line, waiting) in self.waiting.iter_mut().enumerate() {
            if lines & bit(line) == 0 {
                continue;
            }
            self.last = self.last & !bit(line) | high & bit(line);
            let mut count = counts.of(line).0;
            if self.telling & bit(line) == 0 {
                now |= bit(line);
                count = count.saturating_sub(1);
                if count == 0 {
                    continue;
                }
            }
            *waiting = waiting.saturating_add(count);
            while *waiting > MOST {
                *waiting = waiting.wrapping_sub(2);
            }
            self.telling |= bit(line);
        }
        self.show();
        (now, self.telling != 0)
    }

    /// Edges alternate up to the last, so the number of those that wait says what the line is before them.
    fn show(&mut self) {
        for (line, waiting) in self.waiting.iter().enumerate() {
            let now = match waiting & 1 {
                0 => self.last & bit(line),
                _ => !self.last & bit(line),
            };
            self.high = self.high & !bit(line) | now;
        }
    }

    /// Forgets those of `lines`.
    pub(crate) fn forget(&mut self, lines: u32) {
        self.telling &= !lines;
        self.begun &= !lines;
        for (line, waiting) in self.waiting.iter_mut().enumerate() {
            if lines & bit(line) != 0 {
                *waiting = 0;
            }
        }
    }

    /// gpiolib was told of the first edges.
    pub(crate) fn begin(&mut self) {
        self.begun |= self.telling;
    }

    /// Lines whose edges are being told, after the first.
    pub(crate) fn telling(&self) -> u32 {
        self.telling & self.begun
    }

    /// Those of the lines `handled` were handled so far: the lines that are to be told of next.
    fn next(&mut self, handled: u32) -> u32 {
        let mut next = 0;
        for (line, waiting) in self.waiting.iter_mut().enumerate() {
            if self.telling & handled & bit(line) == 0 {
                continue;
            }
            match waiting.checked_sub(1) {
                None => {
                    self.telling &= !bit(line);
                    self.begun &= !bit(line);
                }
                Some(fewer) => {
                    *waiting = fewer;
                    next |= bit(line);
                }
            }
        }
        self.show();
        next
    }

    /// The levels `levels`, but of lines whose edges are being told what these have led to.
    pub(crate) fn levels(&self, levels: u32) -> u32 {
        levels & !self.telling | self.high & self.telling
    }
}

/// Tells gpiolib of them, in a thread of its own: a handler takes as long as it takes.
pub(crate) struct Teller {
    // Before `work`, so that no work runs any more when that goes.
    queue: OwnQueue,
    work: Arc<Telling>,
}

#[pin_data]
struct Telling {
    bank: Arc<Bank>,
    chip: Arc<GpioChip<Bank>>,
    #[pin]
    work: Work<Telling>,
}

impl_has_work! {
    impl HasWork<Self> for Telling { self.work }
}

impl Teller {
    pub(crate) fn new(bank: Arc<Bank>, chip: Arc<GpioChip<Bank>>) -> Result<Self> {
        Ok(Self {
            queue: OwnQueue::new(c"mapwright_gpio")?,
            work: Arc::pin_init(
                pin_init!(Telling {
                    bank,
                    chip,
                    work <- new_work!("mapwright_gpio"),
                }),
                GFP_KERNEL,
            )?,
        })
    }

    /// There is more to tell. From any context.
    pub(crate) fn tell(&self) {
        // If it is in the queue already, it tells of this, too.
        let _ = self.queue.enqueue(self.work.clone());
    }
}

impl WorkItem for Telling {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let lines =
            |mask: u32| (0..uapi::LINES).filter(move |line| mask & bit(*line as usize) != 0);
        // A device that goes has nothing to tell any more.
        while let Ok(telling) = this.bank.telling() {
            if telling == 0 {
                return;
            }
            lines(telling).for_each(|line| this.chip.synchronize(line));
            let next = this.bank.tell_next(telling).unwrap_or(0);
            lines(next).for_each(|line| this.chip.interrupt(line));
        }
    }
}

impl Bank {
    fn telling(&self) -> Result<u32> {
        self.with_lines(|lines, _| Ok(lines.edges.untold.telling()))
    }

    fn tell_next(&self, handled: u32) -> Result<u32> {
        self.with_lines(|lines, _| Ok(lines.edges.untold.next(handled)))
    }
}
