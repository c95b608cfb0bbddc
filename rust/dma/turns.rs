// SPDX-License-Identifier: GPL-2.0-only

//! Who may use the engine: one file at a time, which take turns, and nobody while the system sleeps.

use kernel::{
    fs::File,
    new_mutex,
    new_poll_condvar,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        poll::{
            PollCondVar,
            PollTable, //
        },
        Mutex, //
    }, //
};
use mapkit::base::gfp::GFP_FOR_CALLER;

/// Who may use the engine.
#[pin_data]
pub(crate) struct Turns {
    #[pin]
    state: Mutex<State>,
    /// The engine is free, still or gone, or the system awake.
    #[pin]
    changed: PollCondVar,
}

struct State {
    /// A file has the engine.
    taken: bool,
    /// The files that wait for the engine.
    waiting: KVec<Waiter>,
    /// How many files may wait at the same time: `waiting` has room for them.
    entered: usize,
    /// Turns that the engine was taken for.
    turns: u64,
    last_waiter: u64,
    /// The engine moves a piece.
    moving: bool,
    /// The system sleeps, or is about to: no piece is begun.
    asleep: bool,
    /// Why no file can have the engine any more.
    gone: Option<Error>,
}

/// A caller that waits for the engine.
struct Waiter {
    number: u64,
    /// The number of the file that waits.
    file: u64,
    /// The last turn of that file.
    last_turn: u64,
}

impl State {
    /// Whose turn is next: of the file that had none for the longest time, who waits for the longest time.
    fn next(&self) -> Option<u64> {
        let next = self.waiting.iter().min_by_key(|waiter| waiter.last_turn);
        next.map(|waiter| waiter.number)
    }

    /// Waits no more.
    fn leave(&mut self, number: u64) {
        self.waiting.retain(|waiter| waiter.number != number);
    }
}

/// A file, in the order of those who wait for the engine.
pub(crate) struct Place {
    file: u64,
    /// The last turn that it had.
    last_turn: Atomic<u64>,
}

/// Whether somebody is to give up, and with which error.
pub(crate) type Stopped<'a> = dyn Fn() -> Result + 'a;

impl Turns {
    /// The turns of an engine that is free.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(State {
                taken: false,
                waiting: KVec::new(),
                entered: 0,
                turns: 0,
                last_waiter: 0,
                moving: false,
                asleep: false,
                gone: None,
            }),
            changed <- new_poll_condvar!(),
        })
    }

    /// Makes room for one more who waits for the engine, so that [`take`](Entered::take) need not fail for lack
    /// of memory.
    pub(crate) fn enter(&self) -> Result<Entered<'_>> {
        let mut state = self.state.lock();
        let entered = state.entered.wrapping_add(1);
        let more = entered.saturating_sub(state.waiting.len());
        state.waiting.reserve(more, GFP_FOR_CALLER)?;
        state.entered = entered;
        Ok(Entered(self))
    }

    /// The place of the file with this number, which has just been opened: those who wait already go first.
    pub(crate) fn place(&self, file: u64) -> Place {
        Place {
            file,
            last_turn: Atomic::new(self.state.lock().turns),
        }
    }

    /// Has those who wait for the engine see whether they are to give up.
    pub(crate) fn look_again(&self) {
        // Whoever has looked but does not wait yet holds the lock.
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// `ENODEV` if the device is gone, `EIO` if it did not answer once.
    pub(crate) fn check(&self) -> Result {
        self.state.lock().gone.map_or(Ok(()), Err)
    }

    /// Nobody can have the engine any more, and gets the error `why`, unless there is another reason already. Who
    /// has it has it still.
    pub(crate) fn end(&self, why: Error) {
        self.state.lock().gone.get_or_insert(why);
    }

    /// As [`end`](Self::end), and waits until nobody has it.
    pub(crate) fn close(&self, why: Error) {
        let mut state = self.state.lock();
        state.gone.get_or_insert(why);
        self.changed.notify_all();
        while state.taken {
            self.changed.wait(&mut state);
        }
    }

    /// Keeps the system awake, once it is, until what is returned is dropped: for a piece. Fails as `stopped` does,
    /// and as [`check`](Self::check).
    pub(crate) fn stay_awake(&self, stopped: &Stopped<'_>) -> Result<Awake<'_>> {
        let mut state = self.state.lock();
        loop {
            if let Some(why) = state.gone {
                return Err(why);
            }
            stopped()?;
            if !state.asleep {
                state.moving = true;
                return Ok(Awake(self));
            }
            // A signal also freezes a program, which begins again when it is thawed.
            let _ = self.changed.wait_interruptible(&mut state);
        }
    }

    /// The system is about to sleep: waits for the piece that is being moved, and no other is begun.
    pub(crate) fn sleep(&self) {
        let mut state = self.state.lock();
        state.asleep = true;
        while state.moving {
            self.changed.wait(&mut state);
        }
    }

    /// The system is awake again.
    pub(crate) fn wake(&self) {
        self.state.lock().asleep = false;
        self.changed.notify_all();
    }

    /// Has `table` told when the device is gone, among other times.
    pub(crate) fn register_poll(&self, file: &File, table: &PollTable<'_>) {
        table.register_wait(file, &self.changed);
    }
}

/// The system stays awake until this is dropped.
pub(crate) struct Awake<'a>(&'a Turns);

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.state.lock().moving = false;
        self.0.changed.notify_all();
    }
}

/// The right to wait for the engine, given back when dropped.
pub(crate) struct Entered<'a>(&'a Turns);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.entered = state.entered.wrapping_sub(1);
    }
}

impl<'a> Entered<'a> {
    /// Waits until it is the turn of the file `place`, and takes the engine. Files take turns, however many
    /// of each wait.
    ///
    /// Fails as `stopped` does, which is asked when a signal comes and when somebody says
    /// [`look_again`](Turns::look_again), and as [`check`](Turns::check).
    pub(crate) fn take(&self, place: &Place, stopped: &Stopped<'_>) -> Result<Turn<'a>> {
        let turns = self.0;
        let mut state = turns.state.lock();
        state.last_waiter = state.last_waiter.wrapping_add(1);
        let number = state.last_waiter;
        let waiter = Waiter {
            number,
            file: place.file,
            last_turn: place.last_turn.load(Relaxed),
        };
        // There is room for it.
        let _ = state.waiting.push_within_capacity(waiter);
        let result = loop {
            if let Some(why) = state.gone {
                break Err(why);
            }
            if let Err(why) = stopped() {
                break Err(why);
            }
            if !state.taken && !state.asleep && state.next() == Some(number) {
                break Ok(());
            }
            // A signal also freezes a program. It must not be frozen here, where others would wait for it.
            let _ = turns.changed.wait_interruptible(&mut state);
        };
        state.leave(number);
        if let Err(why) = result {
            drop(state);
            // Somebody else may be the next one.
            turns.changed.notify_all();
            return Err(why);
        }
        state.turns = state.turns.wrapping_add(1);
        let turn = state.turns;
        for waiter in state.waiting.iter_mut() {
            if waiter.file == place.file {
                waiter.last_turn = turn;
            }
        }
        place.last_turn.store(turn, Relaxed);
        state.taken = true;
        Ok(Turn(turns))
    }
}

/// The right to use the engine, given back when dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().taken = false;
        // Those who wait see whose turn it is, or all give up.
        self.0.changed.notify_all();
    }
}
