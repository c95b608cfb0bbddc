// SPDX-License-Identifier: GPL-2.0-only

//! What a driver is made of: a character device, registers and interrupts, GPIO lines and LEDs, power.

pub mod attributes;
pub mod chardev;
pub mod configfs;
pub mod find;
pub mod gpio_chip;
pub mod irq;
pub mod led;
pub mod mem_region;
pub mod mmio;
#[cfg(CONFIG_PCI)]
pub mod pci;
pub mod power;
pub mod suspend;
