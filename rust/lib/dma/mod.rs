// SPDX-License-Identifier: GPL-2.0-only

//! Memory that a device reads and writes by itself.
//!
//! There are three kinds. [`Coherent`](coherent::Coherent) memory is allocated for a device, and both sides see
//! each other's stores at once. [`Noncontiguous`](noncontiguous::Noncontiguous) memory is allocated for a device, too, but
//! cached as usual: programs say when it is whose. A [streaming mapping](streaming::StreamingMapping) gives a device memory that is there
//! already, for a while and in one direction. It belongs to one side at a time: its type says to which, and only
//! the owner's type has the owner's methods.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)
//!
//! Documentation: [`Documentation/core-api/dma-api-howto.rst`](srctree/Documentation/core-api/dma-api-howto.rst), [`Documentation/core-api/dma-api.rst`](srctree/Documentation/core-api/dma-api.rst)

pub mod coherent;
pub mod device;
mod driven;
#[cfg(CONFIG_DMA_SHARED_BUFFER)]
pub mod export;
pub mod foreign;
#[cfg(CONFIG_DMA_SHARED_BUFFER)]
pub mod import;
pub mod mapping;
#[cfg(CONFIG_OF)]
pub mod memory_region;
pub mod noncontiguous;
mod reach;
mod scatter;
pub mod segment;
pub mod streaming;

pub use crate::memory::direction;
