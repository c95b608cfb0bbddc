// SPDX-License-Identifier: GPL-2.0-only

//! Memory types other than write-back, for a [`Backing`](crate::memory::backing::Backing) in the direct map.
//!
//! What it takes depends on the architecture: see `set_memory.rs` for x86, `noncached.rs` for 64-bit ARM.
//! 32-bit ARM has no way to do it.
//!
//! C header: [`include/linux/set_memory.h`](srctree/include/linux/set_memory.h)
//!
//! Documentation: [`Documentation/arch/x86/pat.rst`](srctree/Documentation/arch/x86/pat.rst)
//!
//! # Examples
//!
//! ```
//! use kernel::prelude::*;
//! use mapkit::memory::{backing::Backing, caching::Caching, pages::Pages, recached::Recached};
//!
//! /// A frame buffer: stores are collected, and whoever maps it gets that, too.
//! fn frame_buffer() -> Result<Recached<Pages>> {
//!     let memory = Recached::new(Pages::new(1024)?, Caching::WriteCombine)?;
//!     assert!(memory.caching() == Caching::WriteCombine);
//!     Ok(memory)
//! }
//! ```

#[cfg(CONFIG_ARM64)]
mod noncached;
#[cfg(not(CONFIG_ARM64))]
mod set_memory;

#[cfg(CONFIG_ARM64)]
pub use noncached::Recached;
#[cfg(not(CONFIG_ARM64))]
pub use set_memory::Recached;
