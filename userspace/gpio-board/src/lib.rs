// SPDX-License-Identifier: MIT OR Apache-2.0

//! The AM335x's four GPIO banks and their clock module at their true addresses in QEMU's machine
//! `virt`, as a plugin of a stock `qemu-system-arm`. An access to a bank without its clock is an external
//! abort, as on the chip.
//!
//! ```text
//! qemu-system-arm -M virt -plugin libmapwright_gpio_board.so,control=SOCKET,directory=DIR
//! ```
//!
//! QEMU has no interface for devices in plugins: this uses its internal functions, which Debian's
//! build exports. So it works with the QEMU of Debian 13 only, looks whether it is in that, and
//! tries what it relies on before the VM starts.

mod board;
mod plugin;
mod qemu;
