// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the kernel has for all programs, and for those that may open a device of its.

use super::{area::Area, memory::Memory};
use anyhow::Result;
use mapwright::block_size;
use nix::{
    errno::Errno,
    fcntl::{fcntl, FcntlArg, SealFlag},
    libc,
    sys::memfd::{memfd_create, MFdFlags},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    rc::Rc,
};

/// A kind of it.
#[derive(Clone)]
pub enum KernelMemory {
    Anonymous,
    /// Anonymous memory in transparent huge pages.
    Thp,
    /// Anonymous memory of the pool of huge pages.
    Hugetlb,
    Memfd,
    /// A memfd in transparent huge pages, if the system lets it.
    MemfdThp,
    /// A memfd of the pool of huge pages.
    MemfdHugetlb,
    /// `/dev/zero`, shared.
    Zero,
    /// A DMA-buf of the system heap, by its device.
    Heap(Rc<File>),
    /// A DMA-buf of a memfd's pages, by the device that makes it.
    Udmabuf(Rc<File>),
}

nix::ioctl_readwrite!(heap_alloc, b'H', 0, HeapAllocation);
nix::ioctl_write_ptr!(udmabuf_create, b'u', 0x42, UdmabufCreate);

/// `struct dma_heap_allocation_data` of `linux/dma-heap.h`.
#[repr(C)]
struct HeapAllocation {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

/// `struct udmabuf_create` of `linux/udmabuf.h`.
#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

/// `UDMABUF_FLAGS_CLOEXEC`.
const UDMABUF_CLOEXEC: u32 = 1;

impl KernelMemory {
    /// What every program can have, without any preparation.
    pub fn usual() -> [Self; 3] {
        [Self::Anonymous, Self::Memfd, Self::Thp]
    }

    /// The system heap, if the kernel has it.
    pub fn heap() -> io::Result<Self> {
        Ok(Self::Heap(open("/dev/dma_heap/system")?))
    }

    /// What makes DMA-bufs of memfds, if the kernel has it.
    pub fn udmabuf() -> io::Result<Self> {
        Ok(Self::Udmabuf(open("/dev/udmabuf")?))
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Thp => "anonymous, THP",
            Self::Hugetlb => "anonymous, hugetlb",
            Self::Memfd => "memfd",
            Self::MemfdThp => "memfd, THP",
            Self::MemfdHugetlb => "memfd, hugetlb",
            Self::Zero => "/dev/zero, shared",
            Self::Heap(_) => "dma-heap (system)",
            Self::Udmabuf(_) => "udmabuf of a memfd",
        }
    }

    /// Whether it comes in such an amount: THP needs room for a block, and hugetlb has only whole ones.
    pub fn fits(&self, bytes: u64) -> bool {
        match self {
            Self::Thp | Self::MemfdThp => bytes >= block_size(),
            Self::Hugetlb | Self::MemfdHugetlb => bytes % block_size() == 0,
            _ => true,
        }
    }

    /// Makes it, or `None` if there is no such amount.
    pub fn create(&self, bytes: u64) -> Result<Option<Memory>> {
        let made = match self {
            Self::Anonymous | Self::Thp | Self::Hugetlb | Self::Zero => {
                return Ok(Some(Memory::None(bytes)))
            }
            Self::Memfd | Self::MemfdThp => memfd(bytes, MFdFlags::empty()),
            Self::MemfdHugetlb => memfd(bytes, MFdFlags::MFD_HUGETLB),
            Self::Heap(heap) => of_heap(heap, bytes),
            Self::Udmabuf(maker) => of_memfd(maker, bytes),
        };
        match made {
            Ok(file) => Ok(Some(Memory::File(file, bytes))),
            Err(err) if err.raw_os_error() == Some(Errno::ENOMEM as i32) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    /// Maps all of what was made.
    pub fn map(&self, memory: &Memory) -> Result<Area> {
        match (memory, self) {
            (Memory::None(bytes), Self::Hugetlb) => Area::of_pool(usize::try_from(*bytes)?),
            // Each mapping of it has memory of its own.
            (Memory::None(bytes), Self::Zero) => {
                Area::shared(open_for_both("/dev/zero")?, 0, usize::try_from(*bytes)?)
            }
            (Memory::None(bytes), _) => {
                Area::anonymous(usize::try_from(*bytes)?, matches!(self, Self::Thp))
            }
            (Memory::File(file, bytes), _) => {
                let area = Area::shared(file, 0, usize::try_from(*bytes)?)?;
                if matches!(self, Self::MemfdThp) {
                    area.want_huge()?;
                }
                Ok(area)
            }
            (Memory::Region(_), _) => unreachable!("only devices make regions"),
        }
    }
}

fn open_for_both(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn open(path: &str) -> io::Result<Rc<File>> {
    Ok(Rc::new(open_for_both(path)?))
}

fn memfd(bytes: u64, flags: MFdFlags) -> io::Result<File> {
    let file = File::from(memfd_create(
        c"mapwright-bench",
        flags | MFdFlags::MFD_CLOEXEC,
    )?);
    file.set_len(bytes)?;
    Ok(file)
}

fn of_heap(heap: &File, bytes: u64) -> io::Result<File> {
    let mut request = HeapAllocation {
        len: bytes,
        fd: 0,
        fd_flags: (libc::O_RDWR | libc::O_CLOEXEC) as u32,
        heap_flags: 0,
    };
    // SAFETY: The structure is that of this request, which fills it in.
    unsafe { heap_alloc(heap.as_raw_fd(), &mut request) }?;
    // SAFETY: The kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(request.fd as i32) }.into())
}

/// It keeps the pages of the memfd, which need not stay open.
fn of_memfd(maker: &File, bytes: u64) -> io::Result<File> {
    let memory = memfd(bytes, MFdFlags::MFD_ALLOW_SEALING)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
    let request = UdmabufCreate {
        memfd: memory.as_raw_fd() as u32,
        flags: UDMABUF_CLOEXEC,
        offset: 0,
        size: bytes,
    };
    // SAFETY: The structure is that of this request.
    let file = unsafe { udmabuf_create(maker.as_raw_fd(), &request) }?;
    // SAFETY: The kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(file) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_whole() {
        let block = block_size();
        assert!(KernelMemory::Hugetlb.fits(2 * block));
        assert!(!KernelMemory::Hugetlb.fits(block + 4096));
        assert!(KernelMemory::Thp.fits(block + 4096) && !KernelMemory::Thp.fits(4096));
        assert!(KernelMemory::Memfd.fits(4096));
    }
}
