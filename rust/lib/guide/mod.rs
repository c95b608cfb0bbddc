// SPDX-License-Identifier: GPL-2.0-only

//! How to write a driver with mapkit: pages to read, in this order.
//!
//! 1. [Your first driver](first_driver): from nothing to a page that a program has mapped, and variations of it.
//! 2. [A driver for a device](device_driver): a PCI device, its registers, and a page of them in a program.
//! 3. [From C to mapkit](from_c): what the function that you know from C is here, and what the type forbids.
//! 4. [What each type promises](promises): what it keeps alive, what cannot be done with it, and what ends it.
//! 5. [Locks](locks): which lock may be taken under which, and what each method is called with.
//!
//! This module is in the documentation only. The examples on the pages are compiled with those of the crate.

#[doc = include_str!("first_driver.md")]
#[doc = concat!("```\n", include_str!("../../../scripts/driver/main.rs"), "# fn main() {}\n```")]
pub mod first_driver {}

#[cfg(CONFIG_PCI)]
#[doc = include_str!("device_driver.md")]
#[doc = concat!("```\n", include_str!("../../../scripts/driver/pci/main.rs"), "# fn main() {}\n```")]
pub mod device_driver {}

#[doc = include_str!("from_c.md")]
pub mod from_c {}

#[doc = include_str!("promises.md")]
pub mod promises {}

#[doc = include_str!("locks.md")]
pub mod locks {}
