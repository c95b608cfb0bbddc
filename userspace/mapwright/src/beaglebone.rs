// SPDX-License-Identifier: MIT OR Apache-2.0

//! What lines are called on a BeagleBone Black: pins of its headers, `P9_12`, its LEDs, `USR0`, and what the
//! processor's manual calls them, `GPIO1_28`.
//!
//! Pins from the board's System Reference Manual, tables "Expansion Header P8 Pinout" and "Expansion Header P9 Pinout":
//! those that are GPIO in mode 7.

use crate::{
    line::{Line, NoSuchLine, USER_LEDS},
    uapi::gpio::LINES,
};
use std::{fmt, str::FromStr};

/// The bank that the user LEDs are at.
const LEDS_BANK: u32 = 1;

/// Pin, bank and line.
type Pin = (u32, u32, u32);

/// Pins of the header P8.
const P8: &[Pin] = &[
    (3, 1, 6),
    (4, 1, 7),
    (5, 1, 2),
    (6, 1, 3),
    (7, 2, 2),
    (8, 2, 3),
    (9, 2, 5),
    (10, 2, 4),
    (11, 1, 13),
    (12, 1, 12),
    (13, 0, 23),
    (14, 0, 26),
    (15, 1, 15),
    (16, 1, 14),
    (17, 0, 27),
    (18, 2, 1),
    (19, 0, 22),
    (20, 1, 31),
    (21, 1, 30),
    (22, 1, 5),
    (23, 1, 4),
    (24, 1, 1),
    (25, 1, 0),
    (26, 1, 29),
    (27, 2, 22),
    (28, 2, 24),
    (29, 2, 23),
    (30, 2, 25),
    (31, 0, 10),
    (32, 0, 11),
    (33, 0, 9),
    (34, 2, 17),
    (35, 0, 8),
    (36, 2, 16),
    (37, 2, 14),
    (38, 2, 15),
    (39, 2, 12),
    (40, 2, 13),
    (41, 2, 10),
    (42, 2, 11),
    (43, 2, 8),
    (44, 2, 9),
    (45, 2, 6),
    (46, 2, 7),
];

/// Pins of the header P9. Another line is at each of 41 and 42, too: these are the ones that the manual names first.
const P9: &[Pin] = &[
    (11, 0, 30),
    (12, 1, 28),
    (13, 0, 31),
    (14, 1, 18),
    (15, 1, 16),
    (16, 1, 19),
    (17, 0, 5),
    (18, 0, 4),
    (19, 0, 13),
    (20, 0, 12),
    (21, 0, 3),
    (22, 0, 2),
    (23, 1, 17),
    (24, 0, 15),
    (25, 3, 21),
    (26, 0, 14),
    (27, 3, 19),
    (28, 3, 17),
    (29, 3, 15),
    (30, 3, 16),
    (31, 3, 14),
    (41, 0, 20),
    (42, 0, 7),
];

/// Where the banks GPIO0 to GPIO3 have their registers, as a device's name in sysfs begins.
const ADDRESSES: [&str; 4] = ["44e07000", "4804c000", "481ac000", "481ae000"];

/// A line by one of its names: a number is of any bank, and the others say of which.
///
/// ```
/// use mapwright::beaglebone::NamedLine;
///
/// let pin: NamedLine = "P9_12".parse()?;
/// assert_eq!((pin.gpio, pin.line.number()), (Some(1), 28));
/// let line: NamedLine = "28".parse()?;
/// assert_eq!((line.gpio, line.line.number()), (None, 28));
/// # Ok::<(), mapwright::gpio::NoSuchLine>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedLine {
    /// The bank, 1 for GPIO1.
    pub gpio: Option<u32>,
    /// The line of it.
    pub line: Line,
}

impl FromStr for NamedLine {
    type Err = NoSuchLine;

    fn from_str(text: &str) -> Result<Self, NoSuchLine> {
        let upper = text.to_ascii_uppercase();
        let numbers = match upper.parse() {
            Ok(number) => Some((None, number)),
            Err(_) => place(&upper).map(|(gpio, line)| (Some(gpio), line)),
        };
        let known = numbers.and_then(|(gpio, line)| {
            let line = Line::new(line)?;
            Some(Self { gpio, line })
        });
        known.ok_or_else(|| NoSuchLine(text.to_owned()))
    }
}

/// Bank and line of a name in capital letters.
fn place(name: &str) -> Option<(u32, u32)> {
    if let Some((_, line)) = USER_LEDS.iter().find(|(led, _)| *led == name) {
        return Some((LEDS_BANK, *line));
    }
    let (of, number) = name.split_once('_')?;
    let number = number.parse().ok()?;
    let pins = match of {
        "P8" => P8,
        "P9" => P9,
        _ => {
            let gpio = of.strip_prefix("GPIO")?.parse().ok()?;
            let is_one = gpio < ADDRESSES.len() as u32 && number < LINES;
            return is_one.then_some((gpio, number));
        }
    };
    let pin = pins.iter().find(|(pin, ..)| *pin == number);
    pin.map(|(_, gpio, line)| (*gpio, *line))
}

/// What is at a line of a bank: an LED, or a pin of a header. Most lines of it have a name.
pub fn name_of(gpio: u32, line: Line) -> Option<String> {
    let led = USER_LEDS.iter().find(|(_, of)| *of == line.number());
    if let Some((name, _)) = led.filter(|_| gpio == LEDS_BANK) {
        return Some((*name).to_owned());
    }
    let pin = |header: &str, pins: &[Pin]| {
        let is_it = |(_, of, number): &&Pin| (*of, *number) == (gpio, line.number());
        let pin = pins.iter().find(is_it);
        pin.map(|(pin, ..)| format!("{header}_{pin}"))
    };
    pin("P8", P8).or_else(|| pin("P9", P9))
}

/// The bank of a device, by its name in sysfs: `4804c000.mapwright-gpio`. The PCI function of an emulated machine is
/// GPIO1.
pub(crate) fn gpio_of(device: &str) -> Option<u32> {
    let begins = |address: &&str| device.starts_with(*address);
    match ADDRESSES.iter().position(begins) {
        Some(number) => u32::try_from(number).ok(),
        None => device.starts_with("0000:").then_some(LEDS_BANK),
    }
}

impl fmt::Display for NamedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.number();
        match self.gpio.and_then(|gpio| name_of(gpio, self.line)) {
            Some(name) => write!(f, "{number} ({name})"),
            None => match self.gpio {
                Some(gpio) => write!(f, "{number} (GPIO{gpio}_{number})"),
                None => write!(f, "{}", self.line),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(Option<u32>, u32)> {
        let named: NamedLine = text.parse().ok()?;
        Some((named.gpio, named.line.number()))
    }

    #[test]
    fn lines_are_found_by_all_of_their_names() {
        for (name, expected) in [
            ("P9_12", (Some(1), 28)),
            ("p9_12", (Some(1), 28)),
            ("P8_17", (Some(0), 27)),
            ("P8_46", (Some(2), 7)),
            ("P9_31", (Some(3), 14)),
            ("USR3", (Some(1), 24)),
            ("usr0", (Some(1), 21)),
            ("GPIO1_28", (Some(1), 28)),
            ("gpio3_0", (Some(3), 0)),
            ("28", (None, 28)),
        ] {
            assert_eq!(parsed(name), Some(expected), "{name}");
        }
        for wrong in [
            "P9_1", "P8_1", "P8_47", "P9_", "P9", "P7_3", "P9_12A", "GPIO4_0", "GPIO1_32",
            "GPIO_1", "32", "-1", "", "USR4", "_", "P9_-3",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn no_line_is_at_two_pins() {
        let all = || P8.iter().chain(P9);
        for (at, (_, gpio, line)) in all().enumerate() {
            assert!(*line < LINES && *gpio < 4);
            let same = all()
                .skip(at + 1)
                .find(|pin| (pin.1, pin.2) == (*gpio, *line));
            assert_eq!(same, None, "GPIO{gpio}_{line}");
        }
        assert_eq!(P8.len() + P9.len(), 44 + 23);
    }

    #[test]
    fn names_are_told() {
        let displayed = |text: &str| text.parse::<NamedLine>().unwrap().to_string();
        assert_eq!(displayed("P9_12"), "28 (P9_12)");
        assert_eq!(displayed("GPIO1_28"), "28 (P9_12)");
        assert_eq!(displayed("GPIO1_21"), "21 (USR0)");
        assert_eq!(displayed("GPIO3_0"), "0 (GPIO3_0)");
        assert_eq!(displayed("7"), "7");
        assert_eq!(gpio_of("4804c000.mapwright-gpio"), Some(1));
        assert_eq!(gpio_of("44e07000.mapwright-gpio"), Some(0));
        assert_eq!(gpio_of("0000:00:03.0"), Some(1));
        assert_eq!(gpio_of("mouse"), None);
    }
}
