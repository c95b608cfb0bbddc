// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a GPIO bank of TI's AM335x does, register by register (SPRUH73, chapter "General-Purpose
//! Input/Output"), for machines that have none.
//!
//! [`Bank`] is the hardware: registers, lines, interrupts, and a clock without which an access
//! aborts. [`Bench`] is the bank with instruments on it: a record of each access, and a waveform of
//! the lines. Neither reads a clock: time is an argument. [`Client`] is for tests in the guest that has the
//! bank.
//!
//! Not modelled: debouncing, wake-up, the electrical side, and how an abort reaches the processor.

mod bank;
mod bench;
mod client;
mod clocks;
mod control;
mod record;
mod register;
mod request;
mod waveform;

pub use bank::{Bank, Drive, Unclocked, Width, LINES, SIZE};
pub use bench::{Bench, DUSK};
pub use client::{virtio_port, Client};
pub use clocks::Clocks;
pub use control::listen;
pub use record::{Operation, Record};
pub use register::Register;
pub use request::{Level, Night, Reply, Request, PORT};
pub use waveform::Waveform;
