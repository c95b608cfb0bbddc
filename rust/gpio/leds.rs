// SPDX-License-Identifier: GPL-2.0-only

//! Lines that are LEDs: `/sys/class/leds/mapwright:usr0` and so on.

use crate::bank::{
    mask,
    Bank, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::device::led::{
    Led,
    Switch, //
};

/// The BeagleBone Black's user LEDs, by the lines of GPIO1 that they are at.
const USER_LEDS: [(&CStr, u32); 4] = [
    (c"mapwright:usr0", 21),
    (c"mapwright:usr1", 22),
    (c"mapwright:usr2", 23),
    (c"mapwright:usr3", 24),
];

/// A line, high while its LED is on.
pub(crate) struct Lamp {
    bank: Arc<Bank>,
    mask: u32,
}

impl Switch for Lamp {
    fn set(&self, on: bool) {
        let (set, clear) = if on { (self.mask, 0) } else { (0, self.mask) };
        // A device that is gone has no LED.
        let _ = self.bank.block.drive(set, clear);
    }
}

/// Makes LEDs of the user LEDs' lines that are in the mask `lines`.
///
/// `EINVAL` if others are in it.
pub(crate) fn register(bank: &Arc<Bank>, lines: u32) -> Result<KVec<Led<Lamp>>> {
    let mut left = lines;
    let mut leds = KVec::new();
    for (name, line) in USER_LEDS {
        let mask = mask(line)?;
        if lines & mask == 0 {
            continue;
        }
        left &= !mask;
        bank.take_for_led(line)?;
        let lamp = Lamp {
            bank: bank.clone(),
            mask,
        };
        leds.push(Led::new(name, lamp)?, GFP_KERNEL)?;
    }
    if left != 0 {
        pr_err!("leds={lines:#x}: only the lines 21 to 24 can be LEDs\n");
        return Err(EINVAL);
    }
    Ok(leds)
}
