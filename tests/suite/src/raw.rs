// SPDX-License-Identifier: MIT OR Apache-2.0

//! System calls as a program makes them that knows nothing of the library, wrong ones included.

use anyhow::{Context as _, Result};
use mapwright::{block_bytes, page_bytes, page_size};
use nix::{
    errno::Errno,
    libc,
    sys::mman::{MapFlags, ProtFlags},
};
use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

/// A mapping with any flags, unmapped when dropped.
pub struct Map {
    pub addr: usize,
    pub length: usize,
}

pub const RW: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Whether an entry of the middle level of page tables can map a block in user space.
pub fn has_huge_pages() -> bool {
    Path::new("/sys/kernel/mm/transparent_hugepage").exists()
}

/// Bytes of the page allocator's largest block, which is also the largest `kmalloc()`.
pub fn largest_block() -> Result<u64> {
    let text = fs::read_to_string("/proc/buddyinfo")?;
    // `Node 0, zone Normal`, then the free blocks of each order.
    let line = text.lines().next().context("/proc/buddyinfo is empty")?;
    Ok(page_size() << (line.split_whitespace().count() - 5))
}

impl Map {
    /// `mmap(NULL, length, prot, flags, fd, offset)`.
    pub fn new(
        fd: &impl AsFd,
        offset: u64,
        length: usize,
        prot: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        let fd = fd.as_fd().as_raw_fd();
        let offset = libc::off64_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe {
            libc::mmap64(
                std::ptr::null_mut(),
                length,
                prot.bits(),
                flags.bits(),
                fd,
                offset,
            )
        };
        if addr == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let addr = addr as usize;
        Ok(Self { addr, length })
    }

    /// A shared one that can be read and written, at an address where nothing is mapped.
    pub fn shared_at(
        fd: &impl AsFd,
        addr: usize,
        offset: u64,
        length: usize,
    ) -> Result<Self, Errno> {
        let fd = fd.as_fd().as_raw_fd();
        let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE;
        let offset = libc::off64_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: The kernel refuses to replace anything.
        let got = unsafe { libc::mmap64(addr as *mut _, length, RW.bits(), flags, fd, offset) };
        if got == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let map = Self {
            addr: got as usize,
            length,
        };
        (map.addr == addr).then_some(map).ok_or(Errno::EEXIST)
    }

    /// A shared one that can be read and written.
    pub fn shared(fd: &impl AsFd, offset: u64, length: usize) -> Result<Self, Errno> {
        Self::new(fd, offset, length, RW, MapFlags::MAP_SHARED)
    }

    /// The same, at an address that is a multiple of a block if it is as large as one. The kernel chooses such an
    /// address by itself only for 64-bit programs.
    pub fn shared_for_blocks(fd: &impl AsFd, offset: u64, length: usize) -> Result<Self, Errno> {
        if length < block_bytes() {
            return Self::shared(fd, offset, length);
        }
        let room = Self::anonymous(length + block_bytes(), ProtFlags::PROT_NONE)?;
        let addr = room.addr.next_multiple_of(block_bytes());
        drop(room);
        Self::shared_at(fd, addr, offset, length)
    }

    /// Anonymous memory.
    pub fn anonymous(length: usize, prot: ProtFlags) -> Result<Self, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe { libc::mmap(std::ptr::null_mut(), length, prot.bits(), flags, -1, 0) };
        if addr == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let addr = addr as usize;
        Ok(Self { addr, length })
    }

    /// Loads the byte at `within`. Dies like any program if it is not there.
    pub fn load(&self, within: usize) -> u8 {
        assert!(within < self.length, "a test loads beyond its mapping");
        // SAFETY: Inside this mapping; volatile, as others may change it.
        unsafe { ((self.addr + within) as *const u8).read_volatile() }
    }

    /// Stores a byte at `within`.
    pub fn store(&self, within: usize, byte: u8) {
        assert!(within < self.length, "a test stores beyond its mapping");
        // SAFETY: Inside this mapping; volatile, as others may use it.
        unsafe { ((self.addr + within) as *mut u8).write_volatile(byte) }
    }

    /// Loads a register of 32 bits at `within`, a multiple of 4.
    pub fn load_u32(&self, within: usize) -> u32 {
        assert!(within % 4 == 0 && within + 4 <= self.length);
        // SAFETY: Inside this mapping, and aligned; volatile, as a device may change it.
        unsafe { ((self.addr + within) as *const u32).read_volatile() }
    }

    /// Stores to a register of 32 bits at `within`, a multiple of 4.
    pub fn store_u32(&self, within: usize, value: u32) {
        assert!(within % 4 == 0 && within + 4 <= self.length);
        // SAFETY: Inside this mapping, and aligned; volatile, as a device may act on it.
        unsafe { ((self.addr + within) as *mut u32).write_volatile(value) }
    }

    /// `munmap` of a part; what is left is unmapped when dropped.
    pub fn unmap_part(&self, within: usize, length: usize) -> Result<(), Errno> {
        assert!(
            within + length <= self.length,
            "a test unmaps beyond its mapping"
        );
        // SAFETY: Inside this mapping, of which nothing is borrowed.
        Errno::result(unsafe { libc::munmap((self.addr + within) as *mut _, length) }).map(drop)
    }

    /// `munmap` of all of it. Nothing is mapped here any more.
    pub fn unmap(&mut self) -> Result<(), Errno> {
        self.unmap_part(0, self.length)?;
        self.length = 0;
        Ok(())
    }

    /// `mprotect` of all of it.
    pub fn protect(&self, prot: ProtFlags) -> Result<(), Errno> {
        self.protect_part(0, self.length, prot)
    }

    /// `mprotect` of a part.
    pub fn protect_part(&self, at: usize, length: usize, prot: ProtFlags) -> Result<(), Errno> {
        assert!(
            at + length <= self.length,
            "a test protects beyond its mapping"
        );
        // SAFETY: Inside this mapping, of which nothing is borrowed.
        let ret = unsafe { libc::mprotect((self.addr + at) as *mut _, length, prot.bits()) };
        Errno::result(ret).map(drop)
    }

    /// `madvise` on all of it.
    pub fn advise(&self, advice: i32) -> Result<(), Errno> {
        self.advise_part(0, self.length, advice)
    }

    /// `madvise` on a part.
    pub fn advise_part(&self, at: usize, length: usize, advice: i32) -> Result<(), Errno> {
        assert!(
            at + length <= self.length,
            "a test advises beyond its mapping"
        );
        // SAFETY: Inside this mapping, of which nothing is borrowed.
        let answer = unsafe { libc::madvise((self.addr + at) as *mut _, length, advice) };
        match Errno::result(answer) {
            // A kernel that has no huge pages takes no advice on them.
            Err(Errno::EINVAL)
                if matches!(advice, libc::MADV_HUGEPAGE | libc::MADV_NOHUGEPAGE)
                    && !has_huge_pages() =>
            {
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    /// `mlock` of all of it.
    pub fn lock(&self) -> Result<(), Errno> {
        // SAFETY: Locking changes nothing that a program could see.
        Errno::result(unsafe { libc::mlock(self.addr as *const _, self.length) }).map(drop)
    }

    /// `msync` of all of it.
    pub fn synchronize(&self, flags: i32) -> Result<(), Errno> {
        // SAFETY: It changes nothing that a program could see.
        Errno::result(unsafe { libc::msync(self.addr as *mut _, self.length, flags) }).map(drop)
    }

    /// `mremap` with an old length of 0, which would make a second mapping of the same memory.
    pub fn duplicate(&self) -> Result<usize, Errno> {
        let flags = libc::MREMAP_MAYMOVE;
        // SAFETY: This mapping stays as it is; a second one would be at an address of the kernel's
        // choosing.
        let addr = unsafe { libc::mremap(self.addr as *mut _, 0, self.length, flags) };
        if addr == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(addr as usize)
    }

    /// `mremap` with `MREMAP_DONTUNMAP`, which would move the pages and leave a VMA.
    pub fn move_and_leave(&self) -> Result<usize, Errno> {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        let (addr, length) = (self.addr as *mut _, self.length);
        // SAFETY: All of this mapping, of which nothing is borrowed.
        let moved = unsafe { libc::mremap(addr, length, length, flags) };
        if moved == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(moved as usize)
    }

    /// `mincore` of all of it: a byte for each page.
    pub fn in_core(&self) -> Result<Vec<u8>, Errno> {
        let mut pages = vec![0; self.length.div_ceil(page_bytes())];
        // SAFETY: There is a byte for each page.
        let ret = unsafe { libc::mincore(self.addr as *mut _, self.length, pages.as_mut_ptr()) };
        Errno::result(ret).map(|_| pages)
    }

    /// `mremap` to another length, at another address.
    pub fn remap(&mut self, length: usize) -> Result<(), Errno> {
        let flags = libc::MREMAP_MAYMOVE;
        // SAFETY: All of this mapping, of which nothing is borrowed.
        let addr = unsafe { libc::mremap(self.addr as *mut _, self.length, length, flags) };
        if addr == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        (self.addr, self.length) = (addr as usize, length);
        Ok(())
    }

    /// `mremap` to the place of another mapping, which this one replaces.
    pub fn move_onto(&mut self, other: Map) -> Result<(), Errno> {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        assert_eq!(
            self.length, other.length,
            "a test moves to a place of another size"
        );
        let (from, to, length) = (self.addr, other.addr, self.length);
        // SAFETY: Both are whole mappings of which nothing is borrowed.
        let ret = unsafe { libc::mremap(from as *mut _, length, length, flags, to as *mut u8) };
        if ret == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // The other is gone: its place is now this one's.
        std::mem::forget(other);
        self.addr = to;
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: All of this mapping, of which nothing is borrowed. Parts that are gone are no
            // error.
            unsafe { libc::munmap(self.addr as *mut _, self.length) };
        }
    }
}

/// Why `mmap` refuses an offset, which may be of any value. What is mapped if it does not, stays so.
pub fn mmap_errno(fd: &impl AsFd, offset: u64, length: usize) -> Option<Errno> {
    let (fd, none) = (fd.as_fd().as_raw_fd(), std::ptr::null_mut());
    let (prot, offset) = (RW.bits(), offset as libc::off64_t);
    // SAFETY: The kernel chooses an address where nothing is mapped.
    let addr = unsafe { libc::mmap64(none, length, prot, libc::MAP_SHARED, fd, offset) };
    (addr == libc::MAP_FAILED).then(Errno::last)
}

/// `ioctl(fd, number, argument)` with any number and any address.
pub fn ioctl(fd: &impl AsFd, number: u32, argument: usize) -> Result<(), Errno> {
    // The type of the number is not the same in every C library.
    let number = number as libc::Ioctl;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: The tests only pass null, addresses of nothing, and buffers of at least a page, which
    // is the most that any structure may have.
    Errno::result(unsafe { libc::ioctl(fd, number, argument) }).map(drop)
}

/// The same with a structure that begins with `size` and that the kernel cannot write to.
pub fn ioctl_read_only(fd: &impl AsFd, number: u32, size: u32) -> Result<(), Errno> {
    let page = Map::anonymous(page_bytes(), RW)?;
    for (at, byte) in size.to_ne_bytes().into_iter().enumerate() {
        page.store(at, byte);
    }
    page.protect(ProtFlags::PROT_READ)?;
    ioctl(fd, number, page.addr)
}

/// `write(fd, address, length)`: all of it.
pub fn write(fd: &impl AsFd, address: usize, length: usize) -> Result<(), Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: The kernel checks the address, and only reads there.
    let written = Errno::result(unsafe { libc::write(fd, address as *const _, length) })?;
    (written as usize == length).then_some(()).ok_or(Errno::EIO)
}

/// `read(fd, address, length)` to a place inside a mapping: all of it.
pub fn read(fd: &impl AsFd, address: usize, length: usize) -> Result<(), Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: The tests only pass places inside their mappings, of which nothing is borrowed.
    let read = Errno::result(unsafe { libc::read(fd, address as *mut _, length) })?;
    (read as usize == length).then_some(()).ok_or(Errno::EIO)
}

/// `pwrite(fd, address, length, offset)`, which may be of anything that is mapped, or of nothing.
pub fn pwrite(fd: &impl AsFd, address: usize, length: usize, offset: i64) -> Result<usize, Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: The kernel checks the address, and only reads there.
    Errno::result(unsafe { libc::pwrite64(fd, address as *const _, length, offset) })
        .map(|bytes| bytes as usize)
}

/// `pread(fd, address, length, offset)` to a place inside a mapping.
pub fn pread(fd: &impl AsFd, address: usize, length: usize, offset: i64) -> Result<usize, Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: The tests only pass places inside their mappings, of which nothing is borrowed.
    Errno::result(unsafe { libc::pread64(fd, address as *mut _, length, offset) })
        .map(|bytes| bytes as usize)
}

/// `preadv(fd, …, offset)` to the same place inside a mapping again and again, up to a thousand times.
pub fn pread_again(
    fd: &impl AsFd,
    address: usize,
    length: usize,
    times: usize,
    offset: i64,
) -> Result<usize, Errno> {
    let part = libc::iovec {
        iov_base: address as *mut _,
        iov_len: length,
    };
    let parts = vec![part; times.min(1000)];
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: The tests only pass places inside their mappings, of which nothing is borrowed. There are so many parts.
    Errno::result(unsafe { libc::preadv64(fd, parts.as_ptr(), parts.len() as i32, offset) })
        .map(|bytes| bytes as usize)
}

/// `vmsplice(fd, address, length)`: the pages themselves go into a pipe.
pub fn vmsplice(fd: &impl AsFd, address: usize, length: usize) -> Result<usize, Errno> {
    let part = libc::iovec {
        iov_base: address as *mut _,
        iov_len: length,
    };
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: The kernel checks the address, and only reads there.
    Errno::result(unsafe { libc::vmsplice(fd, &part, 1, 0) }).map(|bytes| bytes as usize)
}

/// An ioctl whose structure begins with `size` and goes on with `rest`, in a buffer of two pages.
pub fn ioctl_bytes(fd: &impl AsFd, number: u32, size: u32, rest: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0u8; 2 * page_bytes()];
    buffer[..4].copy_from_slice(&size.to_ne_bytes());
    buffer[4..4 + rest.len()].copy_from_slice(rest);
    ioctl(fd, number, buffer.as_mut_ptr() as usize)?;
    Ok(buffer)
}
