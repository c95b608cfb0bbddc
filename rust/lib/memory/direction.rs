// SPDX-License-Identifier: GPL-2.0-only

//! Which way a device moves data, `enum dma_data_direction`, and who has the memory that it moves.
//!
//! C header: [`include/linux/dma-direction.h`](srctree/include/linux/dma-direction.h)

use crate::series::dma_direction;
use kernel::bindings;

/// Which way a device moves data. There is no `DMA_NONE`, with which the DMA API ends in a `BUG`.
///
/// # Examples
///
/// ```
/// use mapkit::dma::direction::Direction;
///
/// /// What a program may ask for: 1 is to the device, 2 from the device, 3 both.
/// fn direction(asked: u32) -> Option<Direction> {
///     match asked {
///         1 => Some(Direction::ToDevice),
///         2 => Some(Direction::FromDevice),
///         3 => Some(Direction::Bidirectional),
///         _ => None,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads the memory.
    ToDevice,
    /// The device writes to the memory.
    FromDevice,
    /// The device does both.
    Bidirectional,
}

impl Direction {
    #[inline]
    pub(crate) fn as_raw(self) -> bindings::dma_data_direction {
        match self {
            Self::ToDevice => dma_direction::TO_DEVICE,
            Self::FromDevice => dma_direction::FROM_DEVICE,
            Self::Bidirectional => dma_direction::BIDIRECTIONAL,
        }
    }
}

/// Who may use memory that only one of both may use at a time, as the device does not see what is in the CPU's caches.
///
/// For an example, see [`Backing::sync`](crate::memory::backing::Backing::sync).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The CPU: programs and the kernel.
    Cpu,
    /// The device that the memory is mapped for.
    Device,
}
