// SPDX-License-Identifier: MIT OR Apache-2.0

//! Regions of kernel memory, mapped into this process.
//!
//! ```no_run
//! use mapwright::{Backing, Method, Protection, Session};
//!
//! # fn main() -> mapwright::Result<()> {
//! let session = Session::open()?;
//! let region = session.create(Backing::Pages, Method::Remap, 64 << 10)?;
//! let mut mapping = session.map(&region, Protection::ReadWrite)?;
//!
//! mapping.write(0, b"seen by the kernel at once");
//! let mut text = [0; 26];
//! session.read_at(&region, 0, &mut text)?;
//! assert_eq!(&text, b"seen by the kernel at once");
//! # Ok(())
//! # }
//! ```

pub mod alloc;
mod architecture;
pub mod beaglebone;
pub mod btf;
pub mod buffer;
mod device;
mod dma;
mod error;
pub mod gpio;
pub mod inspect;
pub mod kcore;
mod line;
mod mapping;
mod observe;
mod page;
mod session;
pub mod slab;
mod tables;

pub use architecture::{architecture, reason_against_caching};
pub use dma::{dma_devices, Direction, DmaInfo, DmaMapping, Endpoint, Imported, Transfer};
pub use error::{Error, Result};
pub use mapping::{Mapping, Protection};
pub use mapwright_uapi as uapi;
pub use mapwright_uapi::{
    reason_against, AddressClass, Architecture, Backing, Caching, Interrupt, MapCall, Method,
};
pub use observe::{page_faults, pagemap, pagemap_pfns, settle, vma_of, PagemapEntry, Vma};
pub use page::{block_bytes, block_size, page_bytes, page_size};
pub use session::{Info, Query, Region, Session, Side};
pub use tables::{Bucket, LiveRegion, Tables};

pub use inspect::Inspector;

/// Where the module shows its tables.
pub const DEBUGFS: &str = "/sys/kernel/debug/mapwright";
/// The device node.
pub const DEVICE: &str = "/dev/mapwright";
