// SPDX-License-Identifier: GPL-2.0-only

//! Lines that are LEDs: `/sys/class/leds/mapwright:usr0` and so on.
//!
//! The parameter `leds` says which, as `BANK:MASK,...`. A bank is called what its device is called in
//! `/sys/bus/pci/devices` or `/sys/bus/platform/devices`: there may be several, and a mask alone would be of
//! none of them in particular.

use crate::bank::{
    mask,
    Bank, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use mapkit::{
    base::param,
    device::led::{
        Led,
        Switch, //
    }, //
};
use mapwright_uapi::gpio as uapi;

/// The BeagleBone Black's user LEDs, by the lines of GPIO1 that they are at.
const USER_LEDS: [(&CStr, u32); 4] = [
    (c"mapwright:usr0", 21),
    (c"mapwright:usr1", 22),
    (c"mapwright:usr2", 23),
    (c"mapwright:usr3", 24),
];

/// All of their lines.
const LED_LINES: u32 = 0x01e0_0000;

/// As many entries as the parameter can have.
const MAX_ENTRIES: usize = uapi::MAX_BANKS as usize;

/// Whether the bank of each entry has been there.
static FOUND: [Atomic<bool>; MAX_ENTRIES] = [const { Atomic::new(false) }; MAX_ENTRIES];

/// What is wrong with an entry of the parameter.
type Mistake = &'static str;

/// A bank and its LEDs' lines, from `BANK:MASK`.
fn parse(entry: &str) -> Result<(&str, u32), Mistake> {
    // A PCI function's name has colons, too.
    let (bank, mask) = entry
        .rsplit_once(':')
        .filter(|(bank, _)| !bank.is_empty())
        .ok_or("it names no bank: write BANK:MASK, with the name of the bank's device in sysfs")?;
    let lines = match mask.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => mask.parse(),
    };
    match lines {
        Ok(lines) if lines & !LED_LINES == 0 => Ok((bank, lines)),
        Ok(_) => Err("only the lines 21 to 24, 0x01e00000, can be LEDs"),
        Err(_) => Err("what is after the last colon is no mask of lines, such as 0x01e00000"),
    }
}

/// The parameter's entries: none, where it is empty.
fn entries() -> impl Iterator<Item = &'static str> {
    let text = param::word(crate::MODULE, c"leds").unwrap_or("").trim();
    text.split(',').filter(move |_| !text.is_empty())
}

/// `EINVAL`, and a sentence in the log, if the parameter is wrong.
pub(crate) fn check_parameter() -> Result {
    for (at, entry) in entries().enumerate() {
        let mistake = match parse(entry) {
            Ok(_) if at < MAX_ENTRIES => continue,
            Ok(_) => "it is one too many: there are up to 4 banks",
            Err(mistake) => mistake,
        };
        pr_err!("leds={entry}: {mistake}\n");
        return Err(EINVAL);
    }
    Ok(())
}

/// The LEDs' lines of the bank whose device is called `bank`.
pub(crate) fn lines_of(bank: &CStr) -> u32 {
    let named = entries().map(parse).zip(&FOUND);
    named.fold(0, |lines, (entry, is_known)| match entry {
        Ok((name, more)) if name.as_bytes() == bank.to_bytes() => {
            is_known.store(true, Relaxed);
            lines | more
        }
        _ => lines,
    })
}

/// Says which banks the parameter names that are not there, or not yet.
pub(crate) fn tell_of_strangers() {
    for (entry, is_known) in entries().zip(&FOUND) {
        if !is_known.load(Relaxed) {
            pr_warn!("leds={entry}: there is no such bank so far\n");
        }
    }
}

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
pub(crate) fn register(bank: &Arc<Bank>, lines: u32) -> Result<KVec<Led<Lamp>>> {
    let mut leds = KVec::new();
    for (name, line) in USER_LEDS {
        let mask = mask(line)?;
        if lines & mask == 0 {
            continue;
        }
        bank.take_for_led(line)?;
        let lamp = Lamp {
            bank: bank.clone(),
            mask,
        };
        leds.push(Led::new(name, lamp)?, GFP_KERNEL)?;
    }
    Ok(leds)
}

/// Has gpiolib tell that LEDs use the user LEDs' lines that are in the mask `lines`.
pub(crate) fn tell(bank: &Bank, lines: u32) -> Result {
    for (name, line) in USER_LEDS {
        if lines & mask(line)? != 0 {
            bank.hold(line, name)?;
        }
    }
    Ok(())
}
