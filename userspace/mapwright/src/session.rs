// SPDX-License-Identifier: MIT OR Apache-2.0

//! An open device and its regions.

use crate::{device, Error, Mapping, Protection, Result, DEVICE};
use mapwright_uapi::{self as uapi, AddressClass, Backing, Caching, Method, PageInfo, Request};
use nix::errno::Errno;
use std::{
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    path::Path,
};

/// An open `/dev/mapwright`. Its regions live until it is closed and they are unmapped.
#[derive(Debug)]
pub struct Session {
    file: File,
}

/// A region of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The region's number, which no other region ever has.
    pub id: u64,
    /// Where to map, read and write it, in bytes.
    pub offset: u64,
    /// The region's size in bytes, a multiple of the page size.
    pub bytes: u64,
}

/// Who is to see what the other side wrote, see [`Session::sync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The CPU.
    Cpu,
    /// A device.
    Device,
}

/// What the loaded module can do, see [`uapi::Info`].
pub type Info = uapi::Info;

/// What the kernel says of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The region.
    pub region: Region,
    /// Where its memory comes from.
    pub backing: Backing,
    /// How it is mapped.
    pub method: Method,
    /// The memory type it is mapped with.
    pub caching: Caching,
    /// Where the kernel's own pointer lies.
    pub address_class: AddressClass,
    /// Physically contiguous runs.
    pub runs: u64,
    /// Pages of the longest run.
    pub longest_run: u64,
    /// VMAs that map it now.
    pub vmas: u64,
    /// Successful `mmap(2)` calls so far.
    pub mmaps: u64,
    /// Page faults answered so far, for a load or a store.
    pub faults: u64,
    /// Pages that these mapped.
    pub pages_faulted: u64,
    /// The bus address of its first byte, of memory that a device finds at one all its life; `None`
    /// without `CAP_SYS_ADMIN`.
    pub dma_addr: Option<u64>,
}

impl Session {
    /// Opens `/dev/mapwright` for reading and writing.
    pub fn open() -> Result<Self> {
        Self::open_at(DEVICE)
    }

    /// Opens the device node `path` for reading and writing.
    pub fn open_at(path: impl AsRef<Path>) -> Result<Self> {
        let file = device::open(path.as_ref())?;
        Ok(Self { file })
    }

    /// Does an ioctl of the interface.
    pub fn request<R: Request>(&self, request: &mut R) -> std::result::Result<(), Errno> {
        device::request(&self.file, request)
    }

    /// What the module can do, and its limits.
    pub fn info(&self) -> Result<Info> {
        let mut info = uapi::Info::new();
        self.request(&mut info).map_err(system("INFO"))?;
        Ok(info)
    }

    /// Makes a region of at least `bytes` zeroed bytes, mapped write-back.
    pub fn create(&self, backing: Backing, method: Method, bytes: u64) -> Result<Region> {
        self.create_cached(backing, method, Caching::WriteBack, bytes)
    }

    /// Makes a region of at least `bytes` zeroed bytes, mapped with that memory type.
    pub fn create_cached(
        &self,
        backing: Backing,
        method: Method,
        caching: Caching,
        bytes: u64,
    ) -> Result<Region> {
        self.create_with_flags(0, backing, method, caching, bytes)
    }

    /// The same in one physically contiguous run, or not at all.
    pub fn create_contiguous(
        &self,
        backing: Backing,
        method: Method,
        caching: Caching,
        bytes: u64,
    ) -> Result<Region> {
        self.create_with_flags(uapi::CREATE_CONTIGUOUS, backing, method, caching, bytes)
    }

    fn create_with_flags(
        &self,
        flags: u32,
        backing: Backing,
        method: Method,
        caching: Caching,
        bytes: u64,
    ) -> Result<Region> {
        let create = uapi::Create {
            flags,
            backing: backing.number(),
            method: method.number(),
            caching: caching.number(),
            bytes,
            ..uapi::Create::new()
        };
        let contiguous = flags & uapi::CREATE_CONTIGUOUS != 0;
        self.create_as(create).map_err(|errno| match errno {
            Errno::EOPNOTSUPP if contiguous && backing == Backing::Vmalloc => Error::Unsupported {
                backing,
                what: "the wish for one run",
                reason: "its pages are from anywhere",
            },
            Errno::EOPNOTSUPP => Error::unsupported(backing, method, caching),
            Errno::EPERM if contiguous && caching == Caching::WriteBack => {
                Error::RunNotAllowed { bytes }
            }
            Errno::EPERM => Error::CachingNotAllowed {
                caching: caching.name(),
            },
            Errno::ENOSPC => Error::OverLimit { what: "the region" },
            Errno::ENOMEM => Error::no_memory(backing, contiguous, bytes),
            errno => system("CREATE")(errno),
        })
    }

    /// Makes a region as a request says, with the kernel's own errors.
    pub fn create_as(&self, mut create: uapi::Create) -> std::result::Result<Region, Errno> {
        self.request(&mut create)?;
        Ok(Region {
            id: create.id,
            offset: create.offset,
            bytes: create.bytes,
        })
    }

    /// Frees a region. It must not be mapped.
    pub fn destroy(&self, region: &Region) -> Result<()> {
        let mut destroy = uapi::Destroy {
            id: region.id,
            ..uapi::Destroy::new()
        };
        self.request(&mut destroy).map_err(|errno| match errno {
            Errno::EBUSY => Error::StillMapped { id: region.id },
            errno => system("DESTROY")(errno),
        })
    }

    /// What the kernel says of a region.
    pub fn query(&self, region: &Region) -> Result<Query> {
        let mut query = uapi::Query {
            id: region.id,
            ..uapi::Query::new()
        };
        self.request(&mut query).map_err(system("QUERY"))?;
        Query::try_from(query)
    }

    /// The page frame numbers of `count` pages from page `first` on, fewer at the region's end.
    /// Needs `CAP_SYS_ADMIN`.
    pub fn pages(&self, region: &Region, first: u64, count: u64) -> Result<Vec<PageInfo>> {
        let rest = (region.bytes / crate::page_size()).saturating_sub(first);
        let length =
            usize::try_from(count.min(rest)).map_err(|_| system("PAGES")(Errno::EINVAL))?;
        let mut array = vec![PageInfo::default(); length];
        let mut pages = uapi::Pages {
            id: region.id,
            first,
            count: length as u64,
            array: array.as_mut_ptr() as u64,
            ..uapi::Pages::new()
        };
        self.request(&mut pages).map_err(system("PAGES"))?;
        array.truncate(usize::try_from(pages.count).unwrap_or(length));
        Ok(array)
    }

    /// Makes what one side wrote to `bytes` bytes of a region, from byte `first` on, visible to the
    /// other.
    pub fn sync(&self, region: &Region, first: u64, bytes: u64, side: Side) -> Result<()> {
        let mut sync = uapi::Sync {
            id: region.id,
            first,
            bytes,
            flags: match side {
                Side::Cpu => uapi::SYNC_FOR_CPU,
                Side::Device => uapi::SYNC_FOR_DEVICE,
            },
            ..uapi::Sync::new()
        };
        self.request(&mut sync).map_err(system("SYNC"))
    }

    /// Maps all of a region, shared.
    pub fn map(&self, region: &Region, protection: Protection) -> Result<Mapping> {
        let length = usize::try_from(region.bytes).map_err(|_| system("mmap")(Errno::EINVAL))?;
        Mapping::new(self.as_fd(), region.offset, length, protection).map_err(system("mmap"))
    }

    /// Reads through the kernel's own pointer, from byte `within` of the region on.
    pub fn read_at(&self, region: &Region, within: u64, buffer: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(buffer, region.offset + within)
            .map_err(|err| system("pread")(errno_of(&err)))
    }

    /// Writes through the kernel's own pointer, from byte `within` of the region on.
    pub fn write_at(&self, region: &Region, within: u64, data: &[u8]) -> Result<()> {
        self.file
            .write_all_at(data, region.offset + within)
            .map_err(|err| system("pwrite")(errno_of(&err)))
    }
}

impl From<File> for Session {
    /// An open file of the device, however it was opened.
    fn from(file: File) -> Self {
        Self { file }
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl TryFrom<uapi::Query> for Query {
    type Error = Error;

    fn try_from(query: uapi::Query) -> Result<Self> {
        let unknown = |what: &str, number: u32| Error::Unexpected {
            what: "the module's answer".into(),
            detail: format!("{what} {number} is newer than this program"),
        };
        Ok(Self {
            region: Region {
                id: query.id,
                offset: query.offset,
                bytes: query.bytes,
            },
            backing: Backing::from_number(query.backing)
                .ok_or_else(|| unknown("backing", query.backing))?,
            method: Method::from_number(query.method)
                .ok_or_else(|| unknown("method", query.method))?,
            caching: Caching::from_number(query.caching)
                .ok_or_else(|| unknown("caching", query.caching))?,
            address_class: AddressClass::from_number(query.address_class)
                .ok_or_else(|| unknown("address class", query.address_class))?,
            runs: query.runs,
            longest_run: query.longest_run,
            vmas: query.vmas,
            mmaps: query.mmaps,
            faults: query.faults_read + query.faults_write,
            pages_faulted: query.pages_faulted,
            dma_addr: (query.dma_addr != uapi::NO_DMA_ADDR).then_some(query.dma_addr),
        })
    }
}

fn system(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::System { what, errno }
}

fn errno_of(err: &std::io::Error) -> Errno {
    err.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
