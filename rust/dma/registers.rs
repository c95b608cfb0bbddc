// SPDX-License-Identifier: GPL-2.0-only

//! The registers of QEMU's `edu` device, as its specification (`docs/specs/edu.rst`) has them.

use kernel::io::register;

register! {
    /// What the device is: 0x010000ed, of which the upper half is a version.
    pub(crate) IDENTIFICATION(u32) @ 0x00 {
        31:0 value;
    }

    /// Gives back the inverse of what was written.
    pub(crate) LIVENESS(u32) @ 0x04 {
        31:0 value;
    }

    /// Computes the factorial of what is written, modulo 2^32, while `STATUS.computing` is set.
    pub(crate) FACTORIAL(u32) @ 0x08 {
        31:0 value;
    }

    /// The state of the factorial.
    pub(crate) STATUS(u32) @ 0x20 {
        0:0 computing => bool;
        7:7 interrupt_when_computed => bool;
    }

    /// What interrupts were raised and not acknowledged.
    pub(crate) INTERRUPT_STATUS(u32) @ 0x24 {
        0:0 factorial => bool;
        8:8 dma => bool;
    }

    /// Raises interrupts: these bits appear in the status.
    pub(crate) INTERRUPT_RAISE(u32) @ 0x60 {
        31:0 value;
    }

    /// Acknowledges interrupts: these bits vanish from the status.
    pub(crate) INTERRUPT_ACKNOWLEDGE(u32) @ 0x64 {
        31:0 value;
    }

    /// Where the engine reads: a bus address, or one of the device's buffer.
    pub(crate) DMA_SOURCE(u32) @ 0x80 {
        31:0 value;
    }

    /// Where the engine writes to, likewise.
    pub(crate) DMA_TARGET(u32) @ 0x88 {
        31:0 value;
    }

    /// How many bytes.
    pub(crate) DMA_COUNT(u32) @ 0x90 {
        31:0 value;
    }

    /// Starts the engine, and tells whether it runs.
    pub(crate) DMA_COMMAND(u32) @ 0x98 {
        /// Runs until the bytes are moved.
        0:0 run => bool;
        /// The device moves bytes from its buffer to memory, instead of the other way.
        1:1 to_memory => bool;
        /// Raises an interrupt in the end.
        2:2 interrupt => bool;
    }
}

/// Bytes of the address range that has these registers.
pub(crate) const END: usize = 0x9c;

/// Where the engine has the device's buffer among its addresses.
pub(crate) const BUFFER: u32 = 0x4_0000;
/// Bytes of that buffer.
pub(crate) const BUFFER_BYTES: usize = 4096;
/// What identifies an `edu` device, whatever its version.
pub(crate) const EDU: u32 = 0xed;
