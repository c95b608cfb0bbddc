// SPDX-License-Identifier: GPL-2.0-only

//! Which way a device moves data: `enum dma_data_direction`.

use crate::series::dma_direction;
use kernel::bindings;

/// Which way a device moves data.
pub trait Direction: Send + Sync + 'static {
    #[doc(hidden)]
    const RAW: bindings::dma_data_direction;
}

/// The device reads the memory.
pub enum ToDevice {}
/// The device writes to the memory.
pub enum FromDevice {}
/// The device does both.
pub enum BothWays {}

impl Direction for ToDevice {
    const RAW: bindings::dma_data_direction = dma_direction::TO_DEVICE;
}
impl Direction for FromDevice {
    const RAW: bindings::dma_data_direction = dma_direction::FROM_DEVICE;
}
impl Direction for BothWays {
    const RAW: bindings::dma_data_direction = dma_direction::BOTH_WAYS;
}
