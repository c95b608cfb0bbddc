// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PCI device driven by a program: VFIO, as the kernel's Documentation/driver-api/vfio.rst has it.

use crate::{not_testable, read::text};
use anyhow::{ensure, Context as _, Result};
use nix::{errno::Errno, libc};
use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        unix::fs::FileExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

const DEVICES: &str = "/sys/bus/pci/devices";
const PROBE: &str = "/sys/bus/pci/drivers_probe";
const DRIVER: &str = "vfio-pci";
const UNSAFE: &str = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
/// The kernel's way to program an IOMMU for VFIO, and the regions of a PCI device: `linux/vfio.h`.
const TYPE1V2: libc::c_ulong = 3;
const BAR0: u32 = 0;
const CONFIG: u32 = 7;
/// The device and its groups, `_IO(';', …)`.
const SET_IOMMU: u32 = 102;
const GET_STATUS: u32 = 103;
const SET_CONTAINER: u32 = 104;
const GET_DEVICE_FD: u32 = 106;
const GET_REGION_INFO: u32 = 108;
const MAP_DMA: u32 = 113;
const UNMAP_DMA: u32 = 114;
/// All devices of the group are VFIO's.
const VIABLE: u32 = 1;
const READ_AND_WRITE: u32 = 3;
/// The command register in a device's configuration, and its bits: answers as memory, may do DMA.
const COMMAND: u64 = 4;
const MEMORY_AND_MASTER: u16 = 2 | 4;

#[repr(C)]
struct GroupStatus {
    argsz: u32,
    flags: u32,
}

#[repr(C)]
struct RegionInfo {
    argsz: u32,
    flags: u32,
    index: u32,
    cap_offset: u32,
    size: u64,
    offset: u64,
}

#[repr(C)]
struct MapDma {
    argsz: u32,
    flags: u32,
    vaddr: u64,
    iova: u64,
    size: u64,
}

#[repr(C)]
struct UnmapDma {
    argsz: u32,
    flags: u32,
    iova: u64,
    size: u64,
}

/// The name of the first PCI device of this maker and kind.
pub fn find(vendor: u16, device: u16) -> Result<Option<String>> {
    let number = |name: &str, file: &str| -> Result<u16> {
        let id = text(format!("{DEVICES}/{name}/{file}"))?;
        Ok(u16::from_str_radix(id.trim().trim_start_matches("0x"), 16)?)
    };
    for entry in fs::read_dir(DEVICES).context(DEVICES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if number(&name, "vendor")? == vendor && number(&name, "device")? == device {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// A device that vfio-pci has; whoever had it before has it again when this is dropped.
pub struct Bound {
    name: String,
}

impl Bound {
    /// Takes it from its driver.
    pub fn take(name: &str) -> Result<Self> {
        for module in ["vfio_iommu_type1", DRIVER] {
            let modprobe = Command::new("modprobe").arg(module).output()?;
            if !modprobe.status.success() {
                return not_testable(format!(
                    "this kernel has no {module}, for drivers in programs"
                ));
            }
        }
        let bound = Self {
            name: name.to_owned(),
        };
        if !bound.path("iommu_group").exists() {
            return not_testable("no IOMMU is for the device, and VFIO takes none without one");
        }
        bound.write("driver_override", DRIVER)?;
        bound.leave();
        fs::write(PROBE, name).with_context(|| format!("binding {name} to {DRIVER}"))?;
        let driver = bound.driver();
        ensure!(
            driver.as_deref() == Some(DRIVER),
            "{name} has the driver {driver:?} instead of {DRIVER}"
        );
        Ok(bound)
    }

    fn path(&self, file: &str) -> PathBuf {
        Path::new(DEVICES).join(&self.name).join(file)
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        fs::write(self.path(file), value).with_context(|| format!("writing {file}"))
    }

    /// The name of the driver that has it.
    pub fn driver(&self) -> Option<String> {
        let driver = fs::read_link(self.path("driver")).ok()?;
        Some(driver.file_name()?.to_string_lossy().into_owned())
    }

    fn leave(&self) {
        // Without a driver there is nothing to write to.
        let _ = self.write("driver/unbind", &self.name);
    }

    fn group(&self) -> Result<PathBuf> {
        let group = fs::read_link(self.path("iommu_group")).context("its IOMMU group")?;
        let number = group.file_name().context("a group without a number")?;
        Ok(Path::new("/dev/vfio").join(number))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if self.driver().as_deref() == Some(DRIVER) {
            self.leave();
        }
        let _ = self.write("driver_override", "\n");
        if self.driver().is_none() {
            let _ = fs::write(PROBE, &self.name);
        }
    }
}

/// Whether VFIO takes a device whose IOMMU does not check interrupts, until this is dropped. None are used here.
struct UnsafeInterrupts(String);

impl UnsafeInterrupts {
    fn allow() -> Result<Self> {
        let before = text(UNSAFE)?;
        fs::write(UNSAFE, "Y").with_context(|| format!("writing {UNSAFE}"))?;
        Ok(Self(before.trim().to_owned()))
    }
}

impl Drop for UnsafeInterrupts {
    fn drop(&mut self) {
        let _ = fs::write(UNSAFE, &self.0);
    }
}

/// A device in this program's hands. Fields are dropped in this order.
pub struct Vfio {
    device: File,
    _group: File,
    container: File,
    _interrupts: UnsafeInterrupts,
    /// Where its registers are in the file, and its configuration.
    registers: u64,
    config: u64,
}

impl Vfio {
    /// Opens the device, and lets it do DMA: to nothing yet.
    pub fn open(bound: &Bound) -> Result<Self> {
        let interrupts = UnsafeInterrupts::allow()?;
        let container = open(Path::new("/dev/vfio/vfio"))?;
        let group = open(&bound.group()?)?;
        let mut status = GroupStatus {
            argsz: size_of::<GroupStatus>() as u32,
            flags: 0,
        };
        // SAFETY: It is the structure that the call fills.
        unsafe { call(&group, GET_STATUS, (&raw mut status).cast()) }
            .context("the group's status")?;
        ensure!(
            status.flags & VIABLE != 0,
            "other devices of its IOMMU group have drivers of the kernel's"
        );
        let mut fd = container.as_raw_fd();
        // SAFETY: The call reads a file descriptor.
        unsafe { call(&group, SET_CONTAINER, (&raw mut fd).cast()) }
            .context("VFIO_GROUP_SET_CONTAINER")?;
        // SAFETY: The call takes a number instead of an address.
        unsafe { call(&container, SET_IOMMU, TYPE1V2 as *mut libc::c_void) }
            .context("VFIO_SET_IOMMU")?;
        let name = CString::new(bound.name.as_str())?;
        // SAFETY: The call reads a name.
        let fd = unsafe { call(&group, GET_DEVICE_FD, name.as_ptr().cast_mut().cast()) };
        // SAFETY: It is a file descriptor that the call has made for the caller.
        let device = unsafe { File::from_raw_fd(fd.context("VFIO_GROUP_GET_DEVICE_FD")?) };
        let vfio = Self {
            registers: region(&device, BAR0)?,
            config: region(&device, CONFIG)?,
            device,
            _group: group,
            container,
            _interrupts: interrupts,
        };
        vfio.enable()?;
        Ok(vfio)
    }

    fn enable(&self) -> Result<()> {
        let mut command = [0; 2];
        let at = self.config + COMMAND;
        self.device.read_exact_at(&mut command, at)?;
        let command = u16::from_le_bytes(command) | MEMORY_AND_MASTER;
        let written = self.device.write_all_at(&command.to_le_bytes(), at);
        written.context("writing the command register")
    }

    /// Loads a register.
    pub fn read(&self, register: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        let read = self
            .device
            .read_exact_at(&mut bytes, self.registers + register);
        read.with_context(|| format!("reading the register {register:#x}"))?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Stores to a register.
    pub fn write(&self, register: u64, value: u32) -> Result<()> {
        let at = self.registers + register;
        let written = self.device.write_all_at(&value.to_le_bytes(), at);
        written.with_context(|| format!("writing the register {register:#x}"))
    }

    /// Registers this program's memory from `addr` on: the device has it from `bus` on.
    ///
    /// # Safety
    ///
    /// Until it is taken back by [`unmap`](Self::unmap), or `self` is dropped, the device may write there at any
    /// time: nobody may hold a reference to that memory. (It may be unmapped: its pages are pinned meanwhile.)
    pub unsafe fn map(&self, addr: usize, bytes: usize, bus: u64) -> Result<(), Errno> {
        let mut map = MapDma {
            argsz: size_of::<MapDma>() as u32,
            flags: READ_AND_WRITE,
            vaddr: addr as u64,
            iova: bus,
            size: bytes as u64,
        };
        // SAFETY: It is the structure that the call reads. The kernel looks itself at what is mapped there.
        unsafe { call(&self.container, MAP_DMA, (&raw mut map).cast()) }.map(drop)
    }

    /// Takes it from the device again.
    pub fn unmap(&self, bytes: usize, bus: u64) -> Result<(), Errno> {
        let mut unmap = UnmapDma {
            argsz: size_of::<UnmapDma>() as u32,
            flags: 0,
            iova: bus,
            size: bytes as u64,
        };
        // SAFETY: It is the structure that the call reads.
        unsafe { call(&self.container, UNMAP_DMA, (&raw mut unmap).cast()) }.map(drop)
    }
}

fn open(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.with_context(|| format!("opening {}", path.display()))
}

/// Where a region of the device is in its file.
fn region(device: &File, index: u32) -> Result<u64> {
    let mut info = RegionInfo {
        argsz: size_of::<RegionInfo>() as u32,
        flags: 0,
        index,
        cap_offset: 0,
        size: 0,
        offset: 0,
    };
    // SAFETY: It is the structure that the call fills.
    unsafe { call(device, GET_REGION_INFO, (&raw mut info).cast()) }
        .context("a region of the device")?;
    ensure!(info.size > 0, "the device has no region {index}");
    Ok(info.offset)
}

/// An ioctl of VFIO's.
///
/// # Safety
///
/// `argument` must be what the call takes.
unsafe fn call(file: &File, number: u32, argument: *mut libc::c_void) -> Result<i32, Errno> {
    let request = nix::request_code_none!(b';', number);
    // SAFETY: The caller vouches for the argument.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), request as _, argument) })
}
