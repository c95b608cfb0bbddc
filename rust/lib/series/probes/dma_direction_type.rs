// SPDX-License-Identifier: GPL-2.0-only
// 7.3: `enum dma_data_direction` is a type of its own in Rust; before, a number.
pub const IT: kernel::bindings::dma_data_direction =
    kernel::bindings::dma_data_direction::DMA_TO_DEVICE;
