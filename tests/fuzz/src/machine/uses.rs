// SPDX-License-Identifier: MIT OR Apache-2.0

//! What else a program does with mapped pages: I/O to and from them, pins, and what tells of them.

use super::Machine;
use crate::program::{Count, Slot, Use};
use io_uring::IoUring;
use mapwright::page_bytes;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

/// A file on tmpfs that O_DIRECT reads and writes.
const FILE: &str = "/tmp/mapwright-fuzz";

/// `UFFDIO_API` and `UFFDIO_REGISTER`.
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f_u32 as libc::Ioctl;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00_u32 as libc::Ioctl;

impl Machine {
    pub(super) fn use_pages(&self, slot: Slot, from: Count, pages: Count, how: Use) {
        let Some((map, address, bytes)) = self.part(slot, from, pages) else {
            return;
        };
        let written = matches!(how, Use::DirectRead | Use::ProcessWrite | Use::Userfault);
        if let Some((contents, _)) = map.of.as_ref().filter(|_| written) {
            contents.forget();
        }
        match how {
            Use::DirectWrite | Use::DirectRead => direct(address, bytes, how == Use::DirectRead),
            Use::Vmsplice => vmsplice(address, bytes),
            Use::ProcessRead | Use::ProcessWrite => {
                process_vm(address, bytes, how == Use::ProcessWrite)
            }
            Use::Register => register(address, bytes),
            Use::Pagemap => pagemap(address, bytes),
            Use::Mincore => {
                let mut pages = vec![0u8; bytes.div_ceil(page_bytes())];
                // SAFETY: There is a byte for each page.
                unsafe { libc::mincore(address as *mut _, bytes, pages.as_mut_ptr()) };
            }
            Use::Userfault => userfault(address, bytes),
            Use::Futex => {
                let none = std::ptr::null::<u8>();
                // SAFETY: The kernel looks at the address, and wakes nobody that does not wait there.
                unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, 1, none) };
            }
        }
    }
}

fn direct(address: usize, bytes: usize, read: bool) {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(libc::O_DIRECT);
    let Ok(file) = options.open(FILE) else { return };
    let bytes = bytes.min(64 * page_bytes());
    // SAFETY: The kernel looks at the addresses, which are of a mapping that nobody borrows.
    unsafe {
        if read {
            libc::pread64(file.as_raw_fd(), address as *mut _, bytes, 0);
        } else {
            libc::pwrite64(file.as_raw_fd(), address as *const _, bytes, 0);
        }
    }
}

/// The pages themselves in a pipe, which ends with this function.
fn vmsplice(address: usize, bytes: usize) {
    let Ok((_from, to)) = nix::unistd::pipe() else {
        return;
    };
    let part = libc::iovec {
        iov_base: address as *mut _,
        iov_len: bytes,
    };
    // SAFETY: The kernel looks at the address, and only reads there.
    unsafe { libc::vmsplice(to.as_raw_fd(), &part, 1, libc::SPLICE_F_NONBLOCK) };
}

/// Through `get_user_pages()`, as a debugger does.
fn process_vm(address: usize, bytes: usize, write: bool) {
    let bytes = bytes.min(16 * page_bytes());
    let mut buffer = vec![9u8; bytes];
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: bytes,
    };
    let remote = libc::iovec {
        iov_base: address as *mut _,
        iov_len: bytes,
    };
    // SAFETY: The buffer has so many bytes; the kernel looks at the other address, of a mapping that nobody borrows.
    unsafe {
        let pid = libc::getpid();
        if write {
            libc::process_vm_writev(pid, &local, 1, &remote, 1, 0);
        } else {
            libc::process_vm_readv(pid, &local, 1, &remote, 1, 0);
        }
    }
}

/// A pin that lasts: io_uring's fixed buffers.
fn register(address: usize, bytes: usize) {
    let Ok(ring) = IoUring::new(2) else { return };
    let part = libc::iovec {
        iov_base: address as *mut _,
        iov_len: bytes,
    };
    // SAFETY: The ring uses it for nothing, and ends with this function.
    let _ = unsafe { ring.submitter().register_buffers(&[part]) };
}

fn pagemap(address: usize, bytes: usize) {
    let Ok(file) = File::open("/proc/self/pagemap") else {
        return;
    };
    let mut entries = vec![0u8; bytes / page_bytes() * 8];
    let _ = file.read_at(&mut entries, (address / page_bytes() * 8) as u64);
}

/// Asks to be told of faults there, which the kernel refuses for mappings of devices.
fn userfault(address: usize, bytes: usize) {
    let mut api = [0xaau64, 0, 0];
    let mut range = [address as u64, bytes as u64, 1, 0];
    // SAFETY: Both structures are as long as the kernel's. Who faults on what it takes is never woken: the descriptor ends here.
    unsafe {
        let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) as i32;
        if fd >= 0 {
            libc::ioctl(fd, UFFDIO_API, api.as_mut_ptr());
            libc::ioctl(fd, UFFDIO_REGISTER, range.as_mut_ptr());
            libc::close(fd);
        }
    }
}
