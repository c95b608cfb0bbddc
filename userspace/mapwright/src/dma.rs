// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `/dev/mapwright-dmaN` can do beside what `/dev/mapwright` can: transfers by DMA.

use crate::{Region, Session};
use mapwright_uapi::{self as uapi, Lending, Request};
use nix::errno::Errno;
use std::path::PathBuf;

/// About a device with an engine, see [`uapi::DmaInfo`].
pub type DmaInfo = uapi::DmaInfo;

/// The device nodes of engines, of those that there are now.
pub fn dma_devices() -> Vec<PathBuf> {
    (0..8)
        .map(|number| PathBuf::from(format!("/dev/{}{number}", uapi::DMA_NAME)))
        .filter(|path| path.exists())
        .collect()
}

/// One side of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The device's buffer, from this byte on.
    Buffer(u64),
    /// A region, from this byte on.
    Region(Region, u64),
}

impl Side {
    fn words(self) -> (u64, u64) {
        match self {
            Self::Buffer(offset) => (0, offset),
            Self::Region(region, offset) => (region.id, offset),
        }
    }
}

/// A transfer to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What is read.
    pub source: Side,
    /// What is written to.
    pub target: Side,
    /// How many bytes.
    pub bytes: u64,
    /// How regions that are not coherent are lent to the device.
    pub lending: Lending,
}

impl Transfer {
    /// As the interface has it.
    pub fn request(&self) -> uapi::Transfer {
        let ((source, source_offset), (target, target_offset)) =
            (self.source.words(), self.target.words());
        uapi::Transfer {
            source,
            source_offset,
            target,
            target_offset,
            bytes: self.bytes,
            lending: self.lending.number(),
            ..uapi::Transfer::new()
        }
    }
}

impl Session {
    /// About the device's engine. `ENOTTY` if it has none.
    pub fn dma_info(&self) -> std::result::Result<DmaInfo, Errno> {
        let mut info = uapi::DmaInfo::new();
        self.request(&mut info)?;
        Ok(info)
    }

    /// Has the device move bytes, and waits until they are moved.
    pub fn transfer(&self, transfer: &Transfer) -> std::result::Result<(), Errno> {
        self.request(&mut transfer.request())
    }
}
