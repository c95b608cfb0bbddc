// SPDX-License-Identifier: MIT OR Apache-2.0

//! A line of a bank, by its number or as one of the BeagleBone Black's LEDs.

use crate::uapi::gpio::LINES;
use std::{fmt, str::FromStr};

/// The BeagleBone Black's user LEDs, by the lines of the bank GPIO1 that they are at.
pub const USER_LEDS: [(&str, u32); 4] = [("USR0", 21), ("USR1", 22), ("USR2", 23), ("USR3", 24)];

/// A line of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line(u32);

/// What is no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no line {0:?}: lines are numbers from 0 to {last}, pins such as P9_12, USR0 to USR3, or GPIO1_28", last = LINES - 1)]
pub struct NoSuchLine(pub(crate) String);

impl Line {
    /// The line of that number, if there is one.
    pub fn new(number: u32) -> Option<Self> {
        (number < LINES).then_some(Self(number))
    }

    /// The line's number in the bank.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The line's bit in the registers.
    pub fn mask(self) -> u32 {
        1 << self.0
    }

    /// The lines of a mask.
    pub fn all_of(mask: u32) -> impl Iterator<Item = Line> {
        (0..LINES)
            .map(Line)
            .filter(move |line| mask & line.mask() != 0)
    }
}

impl FromStr for Line {
    type Err = NoSuchLine;

    fn from_str(text: &str) -> std::result::Result<Self, NoSuchLine> {
        let led = USER_LEDS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        let number = led.map(|(_, line)| *line).or_else(|| text.parse().ok());
        match number {
            Some(number) if number < LINES => Ok(Self(number)),
            _ => Err(NoSuchLine(text.to_owned())),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match USER_LEDS.iter().find(|(_, line)| *line == self.0) {
            Some((name, line)) => write!(f, "{line} ({name})"),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_names() {
        assert_eq!("usr0".parse(), Ok(Line(21)));
        assert_eq!("31".parse(), Ok(Line(31)));
        for wrong in ["32", "USR4", "-1", "", "1.5"] {
            let said = wrong.parse::<Line>().unwrap_err().to_string();
            assert!(said.contains("0 to 31"), "{said}");
        }
        assert_eq!(Line(24).to_string(), "24 (USR3)");
        assert_eq!(
            Line::all_of(0x8000_0001)
                .map(Line::number)
                .collect::<Vec<_>>(),
            [0, 31]
        );
    }
}
