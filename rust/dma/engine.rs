// SPDX-License-Identifier: GPL-2.0-only

//! The engine: moves bytes between memory and the device's buffer, a piece at a time.

use crate::{
    registers::*,
    stats::{
        Counter,
        Stats, //
    },
    turns::{
        self,
        Awake,
        Entered,
        Place,
        Stopped,
        Turns, //
    },
    workers::Workers, //
};
use core::cmp::min;
use kernel::{
    device::{
        self,
        Bound, //
    },
    devres::Devres,
    io::{
        poll::read_poll_timeout,
        Io, //
    },
    irq::ThreadedIrqReturn,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Delta, //
    },
    workqueue::RawWorkItem, //
};
use mapkit::{
    device::{
        irq,
        mmio::{
            self,
            Window, //
        },
        pci::BusMaster,
        power::Sleeper, //
    },
    sync::{
        completion::Announcement,
        workqueue::OwnQueue, //
    }, //
};

/// The device's registers, as long as it has its driver.
pub(crate) type Registers = Window<END>;

/// A piece takes a tenth of a second. What takes that much longer will never end.
const TIMEOUT_MS: u32 = 5000;

/// A device's engine.
#[pin_data]
pub(crate) struct Engine {
    registers: Registers,
    master: Devres<BusMaster>,
    pub(crate) stats: Arc<Stats>,
    /// The engine has moved a piece.
    #[pin]
    moved: Announcement,
    /// An interrupt was raised to see whether it arrives.
    #[pin]
    tested: Announcement,
    /// Who may use it.
    #[pin]
    pub(crate) turns: Turns,
    /// Who may have something done later.
    pub(crate) workers: Arc<Workers>,
    /// What is done later, until the device is gone.
    #[pin]
    queue: Mutex<Option<OwnQueue>>,
}

/// A way to go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From memory to the device's buffer.
    FromMemory,
    /// From the device's buffer to memory.
    ToMemory,
}

impl Engine {
    /// The engine behind `registers`, which may use the bus as long as it answers.
    pub(crate) fn new(registers: Registers, master: Devres<BusMaster>) -> Result<Arc<Self>> {
        let stats = Arc::new(Stats::new()?, GFP_KERNEL)?;
        let queue = OwnQueue::new(c"mapwright_dma")?;
        Arc::pin_init(
            try_pin_init!(Self {
                registers,
                master,
                stats,
                moved <- Announcement::new(),
                tested <- Announcement::new(),
                turns <- Turns::new(),
                workers: Workers::new()?,
                queue <- new_mutex!(Some(queue)),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Ends the use of the engine: what is under way stops after the piece that is being moved, and
    /// whoever wants it gets the error `why`. Returns when it is idle.
    pub(crate) fn close(&self, why: Error) {
        self.turns.close(why);
        // Idle or not: no byte is moved from here on.
        self.forbid();
        let queue = self.queue.lock().take();
        // With the lock released: waits for what was put in, which fails at once now.
        drop(queue);
    }

    /// Has the device move nothing any more.
    fn forbid(&self) {
        // A device that has lost its driver may not use the bus anyway.
        if let Some(master) = self.master.try_access() {
            master.forbid();
        }
    }

    /// Has `work` done by some other thread; `ENODEV` if the device is gone.
    pub(crate) fn enqueue<W: RawWorkItem<0> + Send + 'static>(&self, work: W) -> Result {
        self.turns.check()?;
        let queue = self.queue.lock();
        // Nothing is to be done if it is there already.
        let _ = queue.as_ref().ok_or(ENODEV)?.enqueue(work);
        Ok(())
    }

    /// Reads the device's identification.
    pub(crate) fn identification(&self) -> Result<u32> {
        let read = |registers: mmio::Registers<'_, END>| registers.read(IDENTIFICATION);
        Ok(self.registers.with(read).ok_or(ENODEV)?.into_raw())
    }

    /// Makes sure that what somebody else began is over, and forgets that it interrupted: only then may
    /// the device use the bus. `ETIMEDOUT` if it goes on.
    pub(crate) fn settle(registers: &Registers, device: &device::Device<Bound>) -> Result {
        let registers = registers.of(device)?;
        read_poll_timeout(
            || Ok(registers.read(DMA_COMMAND)),
            |command| !command.run(),
            Delta::from_millis(10),
            Delta::from_secs(5),
        )?;
        registers.write_reg(INTERRUPT_ACKNOWLEDGE::from_raw(u32::MAX));
        Ok(())
    }

    /// Makes sure that this is the device it seems to be, and that it is alive.
    ///
    /// `ENODEV` if it is another one, `EIO` if it does not compute or its interrupts do not arrive.
    pub(crate) fn test(&self, device: &device::Device<Bound>) -> Result {
        let registers = self.registers.of(device)?;
        if registers.read(IDENTIFICATION).into_raw() & 0xff != EDU {
            return Err(ENODEV);
        }
        let word = 0x6d61_7077;
        registers.write_reg(LIVENESS::from_raw(word));
        if registers.read(LIVENESS).into_raw() != !word {
            return Err(EIO);
        }
        registers.write_reg(FACTORIAL::from_raw(10));
        read_poll_timeout(
            || Ok(registers.read(STATUS)),
            |status| !status.computing(),
            Delta::from_millis(1),
            Delta::from_secs(5),
        )?;
        if registers.read(FACTORIAL).into_raw() != 3_628_800 {
            return Err(EIO);
        }
        registers.write_reg(INTERRUPT_RAISE::from_raw(TEST_INTERRUPT));
        match self.tested.wait(msecs_to_jiffies(TIMEOUT_MS)) {
            true => Ok(()),
            false => Err(EIO),
        }
    }

    /// Waits until it is the turn of the file `place`, and takes the engine: see
    /// [`Entered::take`](turns::Entered::take).
    pub(crate) fn take<'a>(
        &'a self,
        entered: &Entered<'a>,
        place: &Place,
        stopped: &Stopped<'_>,
    ) -> Result<Turn<'a>> {
        Ok(Turn {
            engine: self,
            _turn: entered.take(place, stopped)?,
        })
    }

    /// Moves a piece of `bytes` bytes between `bus` and byte `offset` of the device's buffer, and waits
    /// until that is done. The system is kept awake meanwhile.
    fn move_piece(&self, _: &Awake<'_>, way: Way, bus: u32, offset: u32, bytes: u32) -> Result {
        let buffer = BUFFER.checked_add(offset).ok_or(EINVAL)?;
        let (source, target) = match way {
            Way::FromMemory => (bus, buffer),
            Way::ToMemory => (buffer, bus),
        };
        self.moved.forget();
        let command = DMA_COMMAND::zeroed()
            .with_run(true)
            .with_to_memory(way == Way::ToMemory)
            .with_interrupt(true);
        let start = |registers: mmio::Registers<'_, END>| {
            registers.write_reg(DMA_SOURCE::from_raw(source));
            registers.write_reg(DMA_TARGET::from_raw(target));
            registers.write_reg(DMA_COUNT::from_raw(bytes));
            registers.write_reg(command);
        };
        self.registers.with(start).ok_or(ENODEV)?;
        self.stats.inc(Counter::PiecesStarted);
        if !self.moved.wait(msecs_to_jiffies(TIMEOUT_MS)) {
            return Err(self.lost());
        }
        self.stats.inc(match way {
            Way::FromMemory => Counter::PiecesFromMemory,
            Way::ToMemory => Counter::PiecesToMemory,
        });
        self.stats.add(Counter::BytesMoved, bytes as usize);
        Ok(())
    }

    /// The engine did not say that it was done: it may still move bytes, so it is kept from that before
    /// anybody gets the memory back, and nobody may use it any more.
    fn lost(&self) -> Error {
        self.forbid();
        self.stats.inc(Counter::Timeouts);
        self.turns.end(EIO);
        dev_err!(
            self.registers.device(),
            "the device did not answer for {} ms: unbind the driver and bind it again\n",
            TIMEOUT_MS
        );
        EIO
    }
}

/// What the device moves while it is suspended is lost, and it is not told to. The bus restores the rest.
impl Sleeper for Engine {
    fn sleep(&self) {
        self.turns.sleep();
    }

    fn wake(&self) {
        self.turns.wake();
    }
}

/// Bit that the driver raises to see whether interrupts arrive. Any that the device does not use.
const TEST_INTERRUPT: u32 = 1 << 16;

impl irq::Handler for Engine {
    const THREADED: bool = false;

    fn handle(&self, device: &device::Device<Bound>) -> ThreadedIrqReturn {
        let Ok(registers) = self.registers.of(device) else {
            return ThreadedIrqReturn::None;
        };
        let status = registers.read(INTERRUPT_STATUS);
        let raw = status.into_raw();
        // All ones is what is read of a device that is not there.
        if raw == 0 || raw == u32::MAX {
            return ThreadedIrqReturn::None;
        }
        registers.write_reg(INTERRUPT_ACKNOWLEDGE::from_raw(raw));
        if raw & TEST_INTERRUPT != 0 {
            self.tested.announce();
        }
        if status.dma() {
            self.stats.inc(Counter::Interrupts);
            self.moved.announce();
        }
        ThreadedIrqReturn::Handled
    }
}

/// The right to use the engine, given back when dropped.
pub(crate) struct Turn<'a> {
    engine: &'a Engine,
    _turn: turns::Turn<'a>,
}

impl Turn<'_> {
    /// Moves `bytes` bytes between memory, of which `at` tells the bus address of each byte and how
    /// many follow there, and byte `offset` of the device's buffer. They must fit into it. `stopped` says when
    /// to give up, between two pieces.
    pub(crate) fn transfer(
        &self,
        stopped: &Stopped<'_>,
        way: Way,
        at: &dyn Fn(usize) -> Option<(u64, usize)>,
        offset: usize,
        bytes: usize,
    ) -> Result {
        let mut done = 0usize;
        while done < bytes {
            let (bus, contiguous) = at(done).ok_or(EINVAL)?;
            let piece = min(contiguous, bytes.wrapping_sub(done));
            let within = offset.checked_add(done).ok_or(EINVAL)?;
            if within
                .checked_add(piece)
                .is_none_or(|end| end > BUFFER_BYTES)
            {
                return Err(EINVAL);
            }
            // The mask that was set makes it fit.
            let bus = u32::try_from(bus).map_err(|_| EIO)?;
            let awake = self.engine.turns.stay_awake(stopped)?;
            self.engine
                .move_piece(&awake, way, bus, within as u32, piece as u32)?;
            done = done.wrapping_add(piece);
        }
        Ok(())
    }
}
