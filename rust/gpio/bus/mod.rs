// SPDX-License-Identifier: GPL-2.0-only

//! The buses that a bank is found on.

#[cfg(CONFIG_PCI)]
pub(crate) mod pci;
#[cfg(CONFIG_OF)]
pub(crate) mod platform;
