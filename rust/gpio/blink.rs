// SPDX-License-Identifier: GPL-2.0-only

//! An output that the kernel toggles.

use crate::registers::block::Block;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

/// One output and its timer.
#[pin_data]
struct Toggler {
    block: Arc<Block>,
    lines: u32,
    half: Delta,
    high: Atomic<bool>,
    #[pin]
    timer: HrTimer<Self>,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Toggler {
        mode: RelativeMode<Monotonic>,
        field: self.timer
    }
}

impl Toggler {
    /// A single store.
    fn drive(&self, high: bool) -> Result {
        self.high.store(high, Relaxed);
        match high {
            true => self.block.drive(self.lines, 0),
            false => self.block.drive(0, self.lines),
        }
    }
}

impl HrTimerCallback for Toggler {
    type Pointer<'a> = Arc<Self>;

    fn run(
        this: ArcBorrow<'_, Self>,
        mut context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        if this.drive(!this.high.load(Relaxed)).is_err() {
            return HrTimerRestart::NoRestart;
        }
        context.forward_now(this.half);
        HrTimerRestart::Restart
    }
}

/// A blinking output. Dropping it stops the timer, waits for it, and leaves the output low.
pub(crate) struct Blink {
    // Before `toggler`, so that it is dropped first.
    timer: Option<ArcHrTimerHandle<Toggler>>,
    toggler: Arc<Toggler>,
}

impl Blink {
    /// Makes the lines of the mask `lines` high, and toggles them each half `period` (microseconds).
    pub(crate) fn start(block: Arc<Block>, lines: u32, period: u32) -> Result<Self> {
        let half = Delta::from_nanos(i64::from(period).wrapping_mul(500));
        let toggler = Arc::pin_init(
            try_pin_init!(Toggler {
                block,
                lines,
                half,
                high: Atomic::new(false),
                timer <- HrTimer::new(),
            }),
            GFP_KERNEL,
        )?;
        toggler.drive(true)?;
        Ok(Self {
            timer: Some(toggler.clone().start(half)),
            toggler,
        })
    }
}

impl Drop for Blink {
    fn drop(&mut self) {
        drop(self.timer.take());
        // A device that is gone has no output to leave low.
        let _ = self.toggler.drive(false);
    }
}
