// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `/dev/mapwright-dmaN` can do beside what `/dev/mapwright` can: transfers by DMA.

use crate::{Region, Session};
use mapwright_uapi::{self as uapi, MapCall, Request};
use nix::errno::Errno;
use std::{
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    path::PathBuf,
};

/// About a device with an engine, see [`uapi::DmaInfo`].
pub type DmaInfo = uapi::DmaInfo;

/// The device nodes of engines, of those that there are now.
pub fn dma_devices() -> Vec<PathBuf> {
    (0..8)
        .map(|number| PathBuf::from(format!("/dev/{}{number}", uapi::DMA_NAME)))
        .filter(|path| path.exists())
        .collect()
}

/// A buffer that somebody made and this session has imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The number of the buffer.
    pub id: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A range of a region that the device has, see [`Session::dma_map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaMapping {
    /// The number of the mapping.
    pub id: u64,
    /// The first bus address; `None` without `CAP_SYS_ADMIN`.
    pub bus: Option<u64>,
    /// Entries of the list that was given to the DMA API.
    pub entries: u32,
    /// Contiguous stretches of bus addresses that came of it.
    pub segments: u32,
}

/// Which way the device moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads memory.
    ToDevice,
    /// The device writes to memory.
    FromDevice,
    /// Both.
    Bidirectional,
}

impl Direction {
    fn word(self) -> u32 {
        match self {
            Self::ToDevice => uapi::DMA_TO_DEVICE,
            Self::FromDevice => uapi::DMA_FROM_DEVICE,
            Self::Bidirectional => uapi::DMA_TO_DEVICE | uapi::DMA_FROM_DEVICE,
        }
    }
}

/// One end of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The device's buffer, from this byte on.
    Buffer(u64),
    /// A region, from this byte on.
    Region(Region, u64),
    /// An imported buffer, from this byte on.
    Import(Imported, u64),
}

impl Endpoint {
    fn words(self) -> (u64, u64) {
        match self {
            Self::Buffer(offset) => (0, offset),
            Self::Region(region, offset) => (region.id, offset),
            Self::Import(buffer, offset) => (buffer.id, offset),
        }
    }
}

/// A transfer to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What is read.
    pub source: Endpoint,
    /// What is written to.
    pub target: Endpoint,
    /// How many bytes.
    pub bytes: u64,
    /// How regions that are not coherent are mapped for the device.
    pub map_call: MapCall,
}

impl Transfer {
    /// The transfer as the ioctl takes it.
    pub fn request(&self) -> uapi::Transfer {
        let ((source, source_offset), (target, target_offset)) =
            (self.source.words(), self.target.words());
        uapi::Transfer {
            source,
            source_offset,
            target,
            target_offset,
            bytes: self.bytes,
            map_call: self.map_call.number(),
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

    /// Has the device move bytes later. `cookie` comes back in [`done`](Self::done).
    pub fn queue(
        &self,
        transfer: &Transfer,
        cookie: u64,
        eventfd: Option<BorrowedFd<'_>>,
    ) -> std::result::Result<(), Errno> {
        let mut request = transfer.request();
        request.flags |= uapi::TRANSFER_QUEUE;
        request.cookie = cookie;
        if let Some(fd) = eventfd {
            request.flags |= uapi::TRANSFER_EVENTFD;
            request.eventfd = fd.as_raw_fd().unsigned_abs();
        }
        self.request(&mut request)
    }

    /// The first transfer that has ended and was not told of: its cookie, and how it ended. `EAGAIN` if
    /// there is none.
    pub fn done(&self) -> std::result::Result<(u64, std::result::Result<(), Errno>), Errno> {
        let mut done = uapi::Done::new();
        self.request(&mut done)?;
        let ended = match i32::try_from(done.error).unwrap_or(i32::MAX) {
            0 => Ok(()),
            error => Err(Errno::from_raw(error)),
        };
        Ok((done.cookie, ended))
    }

    /// Maps `bytes` bytes of a region, from `first` on, for the device.
    pub fn dma_map(
        &self,
        region: &Region,
        (first, bytes): (u64, u64),
        map_call: MapCall,
        direction: Direction,
    ) -> std::result::Result<DmaMapping, Errno> {
        let mut map = uapi::DmaMap {
            region: region.id,
            first,
            bytes,
            map_call: map_call.number(),
            direction: direction.word(),
            ..uapi::DmaMap::new()
        };
        self.request(&mut map)?;
        Ok(DmaMapping {
            id: map.id,
            bus: (map.bus != uapi::NO_DMA_ADDR).then_some(map.bus),
            entries: map.entries,
            segments: map.segments,
        })
    }

    /// Ends the mapping, or lets go of the imported buffer, with the number `id`.
    pub fn dma_unmap(&self, id: u64) -> std::result::Result<(), Errno> {
        self.request(&mut uapi::DmaUnmap {
            id,
            ..uapi::DmaUnmap::new()
        })
    }

    /// Makes a DMA-buf of whole pages of a region.
    pub fn export(
        &self,
        region: &Region,
        (first, bytes): (u64, u64),
        writable: bool,
    ) -> std::result::Result<OwnedFd, Errno> {
        let mut export = uapi::Export {
            region: region.id,
            first,
            bytes,
            flags: match writable {
                true => 0,
                false => uapi::EXPORT_READ_ONLY,
            },
            ..uapi::Export::new()
        };
        self.request(&mut export)?;
        let fd = RawFd::try_from(export.fd).map_err(|_| Errno::EBADF)?;
        // SAFETY: The kernel has just made it for this process, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Attaches the device to a DMA-buf.
    pub fn import(&self, buffer: BorrowedFd<'_>) -> std::result::Result<Imported, Errno> {
        let mut import = uapi::Import {
            fd: buffer.as_raw_fd().unsigned_abs(),
            ..uapi::Import::new()
        };
        self.request(&mut import)?;
        Ok(Imported {
            id: import.id,
            bytes: import.bytes,
        })
    }
}
