// SPDX-License-Identifier: GPL-2.0-only

//! The directions of `include/linux/dma-direction.h`: a type of its own, or numbers.

use kernel::bindings::dma_data_direction;

#[cfg(kernel_has = "dma_direction_type")]
mod raw {
    use super::dma_data_direction;

    pub(crate) const BIDIRECTIONAL: dma_data_direction = dma_data_direction::DMA_BIDIRECTIONAL;
    pub(crate) const TO_DEVICE: dma_data_direction = dma_data_direction::DMA_TO_DEVICE;
    pub(crate) const FROM_DEVICE: dma_data_direction = dma_data_direction::DMA_FROM_DEVICE;
}

#[cfg(not(kernel_has = "dma_direction_type"))]
mod raw {
    use super::dma_data_direction;
    use kernel::bindings;

    pub(crate) const BIDIRECTIONAL: dma_data_direction =
        bindings::dma_data_direction_DMA_BIDIRECTIONAL;
    pub(crate) const TO_DEVICE: dma_data_direction = bindings::dma_data_direction_DMA_TO_DEVICE;
    pub(crate) const FROM_DEVICE: dma_data_direction = bindings::dma_data_direction_DMA_FROM_DEVICE;
}

pub(crate) use raw::*;
