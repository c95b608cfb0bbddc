// SPDX-License-Identifier: MIT OR Apache-2.0

//! The record of an access, one JSON object a line in a file.

use crate::Register;
use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A load.
    Read,
    /// A store.
    Write,
}

/// One access to the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Nanoseconds since the model was started.
    pub time: u64,
    /// What was done.
    pub operation: Operation,
    /// Bytes from the bank's base; of what is no bank, the physical address.
    pub offset: u32,
    /// The register's name; none where there is no register.
    pub name: Option<String>,
    /// Bits.
    pub width: u32,
    /// What was read or written.
    pub value: u32,
    /// Whether the bank had no clock, so that this would have been an external abort.
    pub aborted: bool,
}

impl Record {
    /// The register, where there is one.
    pub fn register(&self) -> Option<Register> {
        Register::at(self.offset)
    }

    /// Whether it is what a driver should do: 32 bits, aligned, to a register, with the clock on.
    pub fn is_proper(&self) -> bool {
        self.width == 32 && self.offset % 4 == 0 && self.name.is_some() && !self.aborted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_back() {
        let record = Record {
            time: 1_000_000,
            operation: Operation::Write,
            offset: 0x194,
            name: Some("SETDATAOUT".into()),
            width: 32,
            value: 1 << 21,
            aborted: false,
        };
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.contains(r#""operation":"write""#), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        assert!(record.is_proper());
    }
}
