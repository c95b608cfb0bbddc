// SPDX-License-Identifier: GPL-2.0-only

//! A bank, whatever bus it is on.
//!
//! Locks, in the order they are taken: `blinks`, a file's `watch`, `chip`, `lines`. The last is taken
//! by interrupt handlers, too, and held while registers are changed together with what is known of
//! them. Registers are accessed in RCU read-side sections, in which nothing sleeps.

use crate::{
    blink::Blink,
    debounce::Debounce,
    edges::{
        EdgeCounts, //
        Edges,
    },
    registers::{
        block::{
            store,
            Block, //
        },
        context::{
            self,
            Context, //
        },
        Registers,
        DATAIN,
        DATAOUT,
        IRQSTATUS_CLR_0,
        OE, //
    }, //
};
use kernel::{
    bindings,
    fs::File,
    io::Io,
    new_mutex,
    new_poll_condvar,
    prelude::*,
    sync::{
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    base::errno::eopnotsupp,
    device::gpio_chip::GpioChip,
    map::register_page::RegisterPage,
    sync::{
        deadline::Deadline,
        irq_lock::IrqLock,
        wait_queue::WaitQueue, //
    }, //
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

/// Who uses a line that is used here, as gpiolib tells it.
const BLINKING: &CStr = c"mapwright:blink";
const WATCHING: &CStr = c"mapwright:edges";
const TURNING: &CStr = c"mapwright";

/// Whose the lines are, a bit each, and what is detected of them.
pub(crate) struct Lines {
    /// Of gpiolib's consumers.
    requested: u32,
    /// Those that interrupt. A consumer's do it for him.
    interrupting: u32,
    /// LEDs.
    leds: u32,
    blinking: u32,
    /// Those whose direction is being changed, which gpiolib is told.
    turning: u32,
    pub(crate) edges: Edges,
    pub(crate) debounce: Debounce,
    /// The device goes: nothing is changed any more.
    left: bool,
}

impl Lines {
    /// Lines that somebody has for himself.
    fn in_use(&self) -> u32 {
        self.requested | self.interrupting | self.leds | self.blinking
    }

    /// `EBUSY` if somebody has one of `lines` for himself.
    fn expect_free(&self, lines: u32) -> Result {
        match lines & self.in_use() {
            0 => Ok(()),
            _ => Err(EBUSY),
        }
    }

    /// `EBUSY` if one of `lines` is not gpiolib's to give away: it is an LED, blinks, is waited for, or turned.
    fn expect_gpiolibs(&self, lines: u32) -> Result {
        match lines & (self.leds | self.blinking | self.turning | self.edges.watched()) {
            0 => Ok(()),
            _ => Err(EBUSY),
        }
    }
}

/// One bank.
#[pin_data]
pub(crate) struct Bank {
    pub(crate) block: Arc<Block>,
    pub(crate) mode: Mode,
    pub(crate) has_interrupt: bool,
    /// Without it, the bank debounces nothing.
    pub(crate) has_debounce_clock: bool,
    pub(crate) page: Arc<RegisterPage>,
    /// Lines that blink.
    #[pin]
    blinks: Mutex<[Option<Blink>; uapi::LINES as usize]>,
    /// Of gpiolib, which is told of the lines that are used here; while there is one.
    #[pin]
    chip: Mutex<Option<Arc<GpioChip<Bank>>>>,
    #[pin]
    lines: IrqLock<Lines>,
    /// Told when there was an edge that programs wait for, or the device goes: those that wait for an edge only,
    /// and those that wait for something else, too.
    #[pin]
    waiting: WaitQueue,
    #[pin]
    polling: PollCondVar,
}

/// The mask of a line. `EINVAL` if there is no such line.
pub(crate) fn mask(line: u32) -> Result<u32> {
    1u32.checked_shl(line).ok_or(EINVAL)
}

/// `EPERM` if one of `lines` is an input. What OE is.
fn expect_outputs(registers: Registers<'_>, lines: u32) -> Result<u32> {
    let oe = registers.read(OE).into_raw();
    match oe & lines {
        0 => Ok(oe),
        _ => Err(EPERM),
    }
}

/// The levels of `lines`, where OE is `oe`, and whether all that was read is ones: so it is when nobody
/// answers.
///
/// Of an output it is what it drives: its pin may have no receiver (the user LEDs' have none), and then
/// DATAIN does not show it. gpio-omap does the same.
fn levels_of(registers: Registers<'_>, oe: u32, lines: u32) -> (u32, bool) {
    let (inputs, outputs) = (lines & oe, lines & !oe);
    let (mut levels, mut is_ones) = (0, oe == u32::MAX);
    if inputs != 0 {
        let high = registers.read(DATAIN).into_raw();
        is_ones &= high == u32::MAX;
        levels |= high & inputs;
    }
    if outputs != 0 {
        levels |= registers.read(DATAOUT).into_raw() & outputs;
    }
    (levels, is_ones)
}

/// Makes lines inputs or outputs. `Bank::lines` is locked.
pub(crate) fn set_oe(registers: Registers<'_>, lines: u32, output: bool) {
    registers.update(OE, |oe| {
        let oe = oe.into_raw();
        OE::from(if output { oe & !lines } else { oe | lines })
    });
}

impl Bank {
    /// A bank whose registers are at the physical address of `page`.
    pub(crate) fn new(
        block: Arc<Block>,
        mode: Mode,
        has_interrupt: bool,
        has_debounce_clock: bool,
        page: Arc<RegisterPage>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            block,
            mode,
            has_interrupt,
            has_debounce_clock,
            page,
            blinks <- new_mutex!([const { None }; uapi::LINES as usize]),
            chip <- new_mutex!(None),
            lines <- IrqLock::new(Lines {
                requested: 0,
                interrupting: 0,
                leds: 0,
                blinking: 0,
                turning: 0,
                edges: Edges::new(),
                debounce: Debounce::new(),
                left: false,
            }),
            waiting <- WaitQueue::new(c"mapwright_gpio", kernel::static_lock_class!()),
            polling <- new_poll_condvar!(),
        })
    }

    /// Does something with the registers and what is known of the lines. `ENODEV` once the device goes.
    pub(crate) fn with_lines<R>(
        &self,
        f: impl FnOnce(&mut Lines, Registers<'_>) -> Result<R>,
    ) -> Result<R> {
        self.lines.with(|lines| match lines.left {
            true => Err(ENODEV),
            false => self.block.with(|registers| f(lines, registers))?,
        })
    }

    /// Switches the bank on and its interrupts off, and says how it was.
    pub(crate) fn take_over(&self) -> Result<Context> {
        self.block.with(|registers| {
            let before = Context::of(registers);
            context::begin_anew(registers);
            before
        })
    }

    /// Undoes [`take_over`](Self::take_over) and what was done since. Nobody handles interrupts any
    /// more, and what is restored of them is for who comes next.
    pub(crate) fn restore(&self, before: &Context) -> Result {
        // A device that was pulled out is noticed here at the latest.
        self.block.revision()?;
        self.block.with(|registers| before.restore(registers))
    }

    /// The device goes: stops the timers, wakes who waits. The page of registers was taken out of programs.
    pub(crate) fn leave(&self) {
        self.lines.with(|lines| {
            lines.left = true;
            if self.mode == Mode::Bank {
                // One that is gone does not interrupt.
                let _ = self
                    .block
                    .with(|registers| registers.write_reg(IRQSTATUS_CLR_0::from(u32::MAX)));
            }
        });
        for blink in self.blinks.lock().iter_mut() {
            drop(blink.take());
        }
        // Who has registered it unregisters it, and lets go of all lines.
        let chip = self.chip.lock().take();
        drop(chip);
        self.wake();
    }

    /// gpiolib is there, and is told of lines that are used here from now on.
    pub(crate) fn has_chip(&self, chip: Arc<GpioChip<Bank>>) {
        *self.chip.lock() = Some(chip);
    }

    /// Has gpiolib tell that `consumer` uses a line, until [`let_go`](Self::let_go). The line must be one that is
    /// refused to gpiolib's consumers already.
    pub(crate) fn hold(&self, line: u32, consumer: &'static CStr) -> Result {
        match &*self.chip.lock() {
            Some(chip) => chip.hold(line, consumer),
            None => Ok(()),
        }
    }

    /// That use ends.
    pub(crate) fn let_go(&self, line: u32) {
        if let Some(chip) = &*self.chip.lock() {
            chip.let_go(line);
        }
    }

    /// A bit for each line that is high.
    pub(crate) fn levels(&self) -> Result<u32> {
        self.levels_of(u32::MAX)
    }

    /// A bit for each of `lines` that is high.
    pub(crate) fn levels_of(&self, lines: u32) -> Result<u32> {
        let read = |registers: Registers<'_>| {
            let oe = registers.read(OE).into_raw();
            levels_of(registers, oe, lines)
        };
        let (levels, is_ones) = self.block.with(read)?;
        if is_ones {
            self.block.revision()?;
        }
        Ok(levels)
    }

    /// A bit for each line that is an output.
    pub(crate) fn outputs(&self) -> Result<u32> {
        self.block
            .read(|registers| registers.read(OE).into_raw())
            .map(|oe| !oe)
    }

    /// A bit for each line that blinks.
    pub(crate) fn blinking(&self) -> u32 {
        self.lines.with(|lines| lines.blinking)
    }

    /// A bit for each line that is an LED, and for each that a consumer of gpiolib has.
    pub(crate) fn others(&self) -> (u32, u32) {
        self.lines
            .with(|lines| (lines.leds, lines.requested | lines.interrupting))
    }

    /// Makes the outputs of `set` high and of `clear` low, with a store each; a bit for each line that
    /// is high then.
    pub(crate) fn set_outputs(&self, set: u32, clear: u32) -> Result<u32> {
        if set & clear != 0 {
            return Err(EINVAL);
        }
        if set | clear == 0 {
            return self.levels();
        }
        let levels = self.with_lines(|lines, registers| {
            lines.expect_free(set | clear)?;
            let oe = expect_outputs(registers, set | clear)?;
            store(registers, set, clear);
            let (levels, _) = levels_of(registers, oe, u32::MAX);
            Ok(levels)
        });
        // All lines are inputs, too, when nobody answers.
        if levels == Err(EPERM) {
            self.block.revision()?;
        }
        levels
    }

    /// Makes a line an output or an input.
    pub(crate) fn set_direction(&self, line: u32, output: bool) -> Result {
        let mask = mask(line)?;
        if self.mode == Mode::Hog {
            return Err(eopnotsupp());
        }
        self.block.revision()?;
        // One after the other, so that nobody else turns the line meanwhile.
        let chip = self.chip.lock();
        self.with_lines(|lines, _| {
            lines.expect_free(mask)?;
            lines.turning |= mask;
            Ok(())
        })?;
        let turned = match &*chip {
            Some(chip) => chip.hold(line, TURNING).and_then(|()| {
                let turned = self.turn(mask, output);
                chip.update_direction(line);
                chip.let_go(line);
                turned
            }),
            None => self.turn(mask, output),
        };
        self.lines.with(|lines| lines.turning &= !mask);
        turned
    }

    fn turn(&self, mask: u32, output: bool) -> Result {
        self.with_lines(|lines, registers| {
            lines.expect_free(mask)?;
            set_oe(registers, mask, output);
            Ok(())
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
        if period == 0 {
            drop(blink.take().ok_or(ENOENT)?);
            self.let_go(line);
            self.lines.with(|lines| lines.blinking &= !mask);
            return Ok(());
        }
        self.block.revision()?;
        self.with_lines(|lines, registers| {
            lines.expect_free(mask)?;
            expect_outputs(registers, mask)?;
            lines.blinking |= mask;
            Ok(())
        })?;
        let started = self.hold(line, BLINKING).and_then(|()| {
            Blink::start(self.block.clone(), mask, period).inspect_err(|_| self.let_go(line))
        });
        match started {
            Ok(started) => {
                *blink = Some(started);
                Ok(())
            }
            Err(err) => {
                self.lines.with(|lines| lines.blinking &= !mask);
                Err(err)
            }
        }
    }

    /// Makes an output, which is low, of the line of an LED; in the mode "hog" the other driver has.
    pub(crate) fn take_for_led(&self, line: u32) -> Result {
        let mask = mask(line)?;
        self.with_lines(|lines, registers| {
            lines.expect_free(mask)?;
            lines.leds |= mask;
            store(registers, 0, mask);
            if self.mode == Mode::Bank {
                set_oe(registers, mask, true);
            }
            Ok(())
        })
    }

    /// Gives a line to a consumer of gpiolib. `EBUSY` if somebody else has it, or waits for its edges.
    pub(crate) fn request(&self, line: u32) -> Result {
        let mask = mask(line)?;
        self.with_lines(|lines, _| {
            lines.expect_gpiolibs(mask)?;
            if lines.requested & mask != 0 {
                return Err(EBUSY);
            }
            lines.requested |= mask;
            Ok(())
        })
    }

    /// Takes it back, and debounces it no more.
    pub(crate) fn release(&self, line: u32) {
        if let Ok(mask) = mask(line) {
            self.lines.with(|lines| {
                let debounce = &mut lines.debounce;
                // A device that is gone debounces nothing.
                let _ = self.block.with(|registers| debounce.end(registers, mask));
                lines.requested &= !mask;
            });
        }
    }

    /// Lets a line interrupt, for a consumer of gpiolib or without one. `EBUSY` as of
    /// [`request`](Self::request).
    pub(crate) fn begin_interrupts(&self, line: u32) -> Result {
        let mask = mask(line)?;
        self.with_lines(|lines, _| {
            lines.expect_gpiolibs(mask)?;
            lines.interrupting |= mask;
            Ok(())
        })
    }

    /// It interrupts no more.
    pub(crate) fn end_interrupts(&self, line: u32) {
        if let Ok(mask) = mask(line) {
            self.lines.with(|lines| lines.interrupting &= !mask);
        }
    }

    /// Wakes who waits for an edge, or for the device to go.
    pub(crate) fn wake(&self) {
        self.waiting.wake_all();
        self.polling.notify_all();
    }

    /// `EOPNOTSUPP` where edges are another driver's, or not told.
    pub(crate) fn expect_edges(&self) -> Result {
        match self.mode {
            Mode::Bank if self.has_interrupt => Ok(()),
            _ => Err(eopnotsupp()),
        }
    }

    /// Begins to count the edges `which` of a line; how many there were so far. `EBUSY` if a consumer of gpiolib has
    /// it.
    pub(crate) fn watch(&self, line: u32, which: u32) -> Result<EdgeCounts> {
        let mask = mask(line)?;
        let counts = self.with_lines(|lines, registers| {
            if (lines.requested | lines.interrupting) & mask != 0 {
                return Err(EBUSY);
            }
            lines.edges.want(registers, line, which, true);
            lines.edges.counts(line)
        })?;
        self.hold(line, WATCHING)
            .inspect_err(|_| self.want_no_more(line, which))?;
        Ok(counts)
    }

    /// Ends what [`watch`](Self::watch) has begun.
    pub(crate) fn unwatch(&self, line: u32, which: u32) {
        self.let_go(line);
        self.want_no_more(line, which);
    }

    fn want_no_more(&self, line: u32, which: u32) {
        // A device that is gone detects nothing anyway.
        let _ = self.with_lines(|lines, registers| {
            lines.edges.want(registers, line, which, false);
            Ok(())
        });
    }

    /// How many edges a line had so far. `ENODEV` once the device goes.
    pub(crate) fn counts(&self, line: u32) -> Result<EdgeCounts> {
        self.with_lines(|lines, _| lines.edges.counts(line))
    }

    /// `ENODEV` once the device goes, or was found to be gone.
    pub(crate) fn expect_here(&self) -> Result {
        self.with_lines(|_, _| Ok(()))
    }

    /// Registers with `table` what tells that there was an edge, or that the device goes.
    pub(crate) fn register_poll(&self, file: &File, table: &PollTable<'_>) {
        table.register_wait(file, &self.polling);
    }

    /// Sleeps until `line` has one of `which` edges; how many it had. `ETIMEDOUT` after `deadline`,
    /// `ERESTARTSYS` if a signal comes, by which a program is also stopped.
    pub(crate) fn wait(&self, line: u32, which: u32, deadline: &Deadline) -> Result<u32> {
        mask(line)?;
        if which == 0 || which & !(uapi::EDGE_RISING | uapi::EDGE_FALLING) != 0 {
            return Err(EINVAL);
        }
        self.expect_edges()?;
        self.block.revision()?;
        let before = self.watch(line, which)?;
        let result = self.waiting.wait(deadline, || match self.counts(line) {
            Ok(counts) => match counts.since(&before, which) {
                0 => None,
                count => Some(Ok(count)),
            },
            Err(err) => Some(Err(err)),
        });
        self.unwatch(line, which);
        result?
    }
}

/// The `poll(2)` bits of a file whose edges were seen, or not, or cannot be told.
pub(crate) fn poll_bits(has_edges: Result<bool>) -> u32 {
    match has_edges {
        Ok(true) => bindings::POLLIN | bindings::POLLRDNORM,
        Ok(false) => 0,
        Err(_) => bindings::POLLERR | bindings::POLLHUP,
    }
}
