// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PCI configuration space: one memory BAR, one MSI vector.

use mapwright_uapi::gpio::PCI_ID;

const VENDOR: u16 = PCI_ID.0;
const DEVICE: u16 = PCI_ID.1;
/// Bytes of it.
pub const SIZE: usize = 256;

const STATUS_HAS_CAPABILITIES: u16 = 1 << 4;
/// Bytes of the BAR: the largest page of any Linux. A program that maps the page that the registers begin
/// sees no other function's, whatever the size of a page.
pub const BAR: u32 = 64 << 10;
/// Where the class is, and the revision. A driver has no need to look there; the kernel does when it suspends a
/// function, to save what is in the configuration space.
pub const CLASS_AT: usize = 0x08;
/// "Other", of the class "base peripheral".
const CLASS: [u8; 3] = [0x00, 0x80, 0x08];
const REVISION: u8 = 1;
const MSI_AT: usize = 0x40;
const MSI_ID: u8 = 0x05;
/// Its address has 64 bits; it has one vector.
const MSI_64_BIT: u16 = 1 << 7;

/// What is read there, and which bits can be written.
pub struct Config {
    bytes: [u8; SIZE],
    writable: [u8; SIZE],
}

impl Config {
    pub fn new() -> Self {
        let mut config = Self {
            bytes: [0; SIZE],
            writable: [0; SIZE],
        };
        config.put(0x00, &VENDOR.to_le_bytes(), &[0; 2]);
        config.put(0x02, &DEVICE.to_le_bytes(), &[0; 2]);
        // Memory accesses, bus mastering, no INTx.
        config.put(0x04, &[0; 2], &[0x06, 0x04]);
        config.put(0x06, &STATUS_HAS_CAPABILITIES.to_le_bytes(), &[0; 2]);
        config.put(CLASS_AT, &[REVISION], &[0]);
        config.put(CLASS_AT + 1, &CLASS, &[0; 3]);
        // BAR 0: 32-bit memory.
        config.put(0x10, &[0; 4], &(!(BAR - 1)).to_le_bytes());
        config.put(0x2c, &VENDOR.to_le_bytes(), &[0; 2]);
        config.put(0x2e, &DEVICE.to_le_bytes(), &[0; 2]);
        config.put(0x34, &[MSI_AT as u8], &[0]);
        config.put(0x3c, &[0], &[0xff]);
        config.put(MSI_AT, &[MSI_ID, 0], &[0; 2]);
        config.put(MSI_AT + 2, &MSI_64_BIT.to_le_bytes(), &[0x01, 0x00]);
        config.put(
            MSI_AT + 4,
            &[0; 8],
            &[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        );
        config.put(MSI_AT + 12, &[0; 2], &[0xff; 2]);
        config
    }

    fn put(&mut self, at: usize, bytes: &[u8], writable: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.writable[at..at + writable.len()].copy_from_slice(writable);
    }

    /// What is at `at`; zeros beyond the end.
    pub fn read(&self, at: usize, data: &mut [u8]) {
        for (byte, at) in data.iter_mut().zip(at..) {
            *byte = self.bytes.get(at).copied().unwrap_or(0);
        }
    }

    /// Changes the bits that can be changed.
    pub fn write(&mut self, at: usize, data: &[u8]) {
        for (new, at) in data.iter().zip(at..) {
            if let (Some(byte), Some(mask)) = (self.bytes.get_mut(at), self.writable.get(at)) {
                *byte = (*byte & !mask) | (new & mask);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(config: &Config, at: usize) -> u32 {
        let mut word = [0; 4];
        config.read(at, &mut word);
        u32::from_le_bytes(word)
    }

    #[test]
    fn says_who_it_is_and_keeps_saying_so() {
        let mut config = Config::new();
        config.write(0, &[0xff; 4]);
        assert_eq!(
            word(&config, 0),
            (u32::from(DEVICE) << 16) | u32::from(VENDOR)
        );
    }

    #[test]
    fn the_bar_tells_its_size() {
        let mut config = Config::new();
        config.write(0x10, &[0xff; 4]);
        assert_eq!(!word(&config, 0x10) + 1, BAR);
        config.write(0x14, &[0xff; 4]);
        assert_eq!(word(&config, 0x14), 0, "there is no other");
    }

    #[test]
    fn has_one_capability() {
        let config = Config::new();
        let msi = word(&config, 0x34) as usize;
        assert_eq!(word(&config, msi) & 0xffff, 0x05, "MSI, and the last");
    }

    #[test]
    fn ends() {
        let mut config = Config::new();
        config.write(SIZE - 1, &[1, 2, 3]);
        assert_eq!(word(&config, SIZE - 2), 0);
    }
}
