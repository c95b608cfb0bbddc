// SPDX-License-Identifier: MIT OR Apache-2.0

//! The calls on the devices' files.

use super::{io::Span, keep, Contents, Machine, Region};
use crate::program::{Count, Device, Op, Slot, Table};
use anyhow::Result;
use mapwright::{page_bytes, uapi, uapi::Request, Backing, Method};
use nix::errno::Errno;
use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The sound pairs.
fn pairs() -> Vec<(Backing, Method)> {
    let all = Backing::ALL
        .iter()
        .flat_map(|backing| Method::ALL.iter().map(move |method| (*backing, *method)));
    all.filter(|(backing, method)| uapi::reason_against(*backing, *method).is_none())
        .collect()
}

/// `ioctl(fd, number, argument)` with a structure of the interface.
pub fn request<T: Request>(file: RawFd, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: The structure begins with its size, and the kernel writes no more than that to it; any bits are a value of it.
    let answer =
        unsafe { libc::ioctl(file, T::IOCTL as libc::Ioctl, std::ptr::from_mut(argument)) };
    Errno::result(answer).map(drop)
}

/// The device's node.
fn path(device: Device) -> PathBuf {
    let named = |directory: &str, start: &str| {
        let names = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths = names.map(|entry| entry.path()).filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(start))
        });
        paths.next()
    };
    match device {
        Device::Mapwright | Device::MapwrightSync | Device::MapwrightReadOnly => {
            "/dev/mapwright".into()
        }
        Device::Alloc => "/dev/mapwright_alloc".into(),
        Device::Inspect => "/dev/mapwright_inspect".into(),
        Device::Dma => named("/dev", "mapwright_dma").unwrap_or_default(),
        Device::Gpio => named("/dev", "mapwright_gpio").unwrap_or_default(),
        Device::Buffer => named("/dev/mapwright_buffer", "").unwrap_or_default(),
    }
}

impl Machine {
    /// Makes a call. That it is refused is no failure.
    pub(super) fn call(&self, op: &Op) -> Result<()> {
        match *op {
            Op::Open(device) => self.open(device),
            Op::Close(slot) => self.close(slot),
            Op::Duplicate(slot) => {
                if let Some(file) = self.file(slot).and_then(|file| file.try_clone().ok()) {
                    self.add_file(file);
                }
            }
            Op::Create {
                file,
                pair,
                pages,
                caching,
                contiguous,
            } => self.create(file, pair, pages, caching, contiguous),
            Op::Destroy { region } => self.destroy(region),
            Op::Export {
                region,
                first,
                pages,
                read_only,
            } => self.export(region, first, pages, read_only),
            Op::Map {
                region,
                from,
                pages,
                access,
                how,
            } => self.map_region(region, from, pages, access, how),
            Op::MapBare {
                file,
                from,
                pages,
                access,
                how,
            } => self.map_bare(file, from, pages, access, how),
            Op::Unmap { map, from, pages } => self.unmap(map, from, pages),
            Op::Move {
                map,
                from,
                pages,
                to_pages,
                how,
            } => self.move_map(map, from, pages, to_pages, how),
            Op::Protect {
                map,
                from,
                pages,
                access,
            } => self.protect(map, from, pages, access),
            Op::Advise {
                map,
                from,
                pages,
                advice,
            } => self.advise(map, from, pages, advice),
            Op::Lock { map, on } => self.lock(map, on),
            Op::Synchronize { map } => self.synchronize(map),
            Op::Load { map, page } => return self.load(map, page),
            Op::Store { map, page, byte } => self.store(map, page, byte),
            Op::LoadAll { map } => return self.load_all(map),
            Op::StoreAll { map, byte } => self.store_all(map, byte),
            Op::Fork { child, waits } => return self.fork(child, waits),
            Op::Read {
                region,
                from,
                within,
                pages,
                to,
            } => return self.read(region, Span::new(from, within, pages), to),
            Op::Write {
                region,
                from,
                within,
                pages,
                of,
            } => self.write(region, Span::new(from, within, pages), of),
            Op::Seek { file, to } => self.seek(file, to),
            Op::Use {
                map,
                from,
                pages,
                how,
            } => self.use_pages(map, from, pages, how),
            Op::Ioctl {
                file,
                number,
                size,
                words,
            } => self.ioctl(file, number, size, &words),
            Op::Poll { file } => self.poll(file),
            Op::Tell(table) => self.tell(table),
            Op::Fail { .. } => {}
            Op::Rebind(device) => rebind(device),
        }
        Ok(())
    }

    fn open(&self, device: Device) {
        let flags = match device {
            Device::MapwrightSync => libc::O_RDWR | libc::O_SYNC,
            Device::MapwrightReadOnly | Device::Inspect => libc::O_RDONLY,
            _ => libc::O_RDWR,
        };
        let Ok(path) = std::ffi::CString::new(path(device).into_os_string().into_encoded_bytes())
        else {
            return;
        };
        // SAFETY: The path ends with a zero.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC | libc::O_NONBLOCK) };
        if fd >= 0 {
            // SAFETY: It was opened just now, and nobody else knows of it.
            self.add_file(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }

    fn close(&self, slot: Slot) {
        let mut things = self.things();
        if !things.files.is_empty() {
            let at = usize::from(slot) % things.files.len();
            let file = things.files.remove(at);
            things
                .regions
                .retain(|region| !Arc::ptr_eq(&region.file, &file));
            drop(things);
            drop(file);
        }
    }

    fn create(&self, file: Slot, pair: u8, pages: Count, caching: u8, contiguous: bool) {
        let Some(file) = self.file(file) else { return };
        let pairs = pairs();
        let (backing, method) = pairs[usize::from(pair) % pairs.len()];
        let mut create = uapi::Create {
            flags: u32::from(contiguous),
            backing: backing.number(),
            method: method.number(),
            // Most are ordinary memory.
            caching: u32::from(caching).saturating_sub(250),
            bytes: pages.pages(4) * page_bytes() as u64,
            ..uapi::Create::new()
        };
        if request(file.as_raw_fd(), &mut create).is_err() {
            return;
        }
        let pages = create.bytes / page_bytes() as u64;
        let region = Region {
            file,
            id: create.id,
            offset: create.offset,
            pages,
            contents: Arc::new(Contents::zeroed(pages)),
        };
        let gone = keep(&mut self.things().regions, region);
        drop(gone);
    }

    fn destroy(&self, slot: Slot) {
        let Some(region) = self.region(slot) else {
            return;
        };
        let mut destroy = uapi::Destroy {
            id: region.id,
            ..uapi::Destroy::new()
        };
        if request(region.file.as_raw_fd(), &mut destroy).is_ok() {
            self.things().regions.retain(|other| other.id != region.id);
        }
    }

    fn export(&self, slot: Slot, first: Count, pages: Count, read_only: bool) {
        let Some(region) = self.region(slot) else {
            return;
        };
        let mut export = uapi::Export {
            flags: u32::from(read_only),
            region: region.id,
            first: first.first(region.pages) * page_bytes() as u64,
            bytes: pages.pages(region.pages) * page_bytes() as u64,
            ..uapi::Export::new()
        };
        if request(region.file.as_raw_fd(), &mut export).is_ok() {
            region.contents.share();
            // SAFETY: The kernel made it just now, and nobody else knows of it.
            self.add_file(unsafe { OwnedFd::from_raw_fd(export.fd as RawFd) });
        }
    }

    fn seek(&self, file: Slot, to: Count) {
        if let Some(file) = self.file(file) {
            let to = to.first(256) * page_bytes() as u64;
            for whence in [
                libc::SEEK_SET,
                libc::SEEK_END,
                libc::SEEK_DATA,
                libc::SEEK_HOLE,
            ] {
                // SAFETY: Only numbers are passed.
                unsafe { libc::lseek64(file.as_raw_fd(), to as i64, whence) };
            }
        }
    }

    fn poll(&self, file: Slot) {
        if let Some(file) = self.file(file) {
            let mut poll = libc::pollfd {
                fd: file.as_raw_fd(),
                events: libc::POLLIN | libc::POLLOUT | libc::POLLPRI,
                revents: 0,
            };
            // SAFETY: There is one.
            unsafe { libc::poll(&mut poll, 1, 0) };
        }
    }

    pub(super) fn forget_all(&self) {
        for region in &self.things().regions {
            region.contents.forget();
        }
    }

    fn tell(&self, table: Table) {
        let path = match table {
            Table::Stats => "/sys/kernel/debug/mapwright/stats".to_owned(),
            Table::Regions => "/sys/kernel/debug/mapwright/regions".to_owned(),
            Table::Latency => "/sys/kernel/debug/mapwright/latency".to_owned(),
            Table::Smaps => "/proc/self/smaps".to_owned(),
            Table::FdInfo(slot) => match self.file(slot) {
                Some(file) => format!("/proc/self/fdinfo/{}", file.as_raw_fd()),
                None => return,
            },
        };
        let _ = fs::read(path);
    }
}

/// Takes the driver of a device away, and gives it back.
fn rebind(device: Device) {
    let driver = match device {
        Device::Dma => "mapwright_dma",
        Device::Gpio => "mapwright_gpio",
        _ => return,
    };
    let directory = Path::new("/sys/bus/pci/drivers").join(driver);
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.path().join("vendor").exists()) {
        let name = entry.file_name().into_encoded_bytes();
        let _ = fs::write(directory.join("unbind"), &name);
        let _ = fs::write(directory.join("bind"), &name);
    }
}
