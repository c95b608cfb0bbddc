// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bank as the VM sees it: regions and interrupts of a PCI device.

use crate::config::{self, Config};
use crate::shared::Shared;
use gpio_model::Width;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use vfio_bindings::bindings::vfio::{
    vfio_region_info, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER,
    VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSI_IRQ_INDEX,
    VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS, VFIO_REGION_INFO_FLAG_READ,
    VFIO_REGION_INFO_FLAG_WRITE,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, Error, IrqInfo, Server, ServerBackend, ServerRegion};

/// What answers the VM's accesses.
pub struct Device {
    config: Config,
    shared: Arc<Shared>,
}

impl Device {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            config: Config::new(),
            shared,
        }
    }
}

/// A server for one VM, at the socket `path`.
pub fn server(path: &Path) -> Result<Server, Error> {
    let regions = (0..VFIO_PCI_NUM_REGIONS).map(region).collect();
    let irqs = (0..VFIO_PCI_NUM_IRQS).map(irq).collect();
    Server::new(path, true, irqs, regions)
}

fn region(index: u32) -> ServerRegion {
    let size = match index {
        VFIO_PCI_CONFIG_REGION_INDEX => config::SIZE as u64,
        VFIO_PCI_BAR0_REGION_INDEX => u64::from(config::BAR),
        _ => 0,
    };
    let flags = match size {
        0 => 0,
        _ => VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
    };
    ServerRegion {
        region_info: vfio_region_info {
            argsz: size_of::<vfio_region_info>() as u32,
            index,
            size,
            flags,
            ..Default::default()
        },
        sparse_areas: Vec::new(),
        mmap_fd: None,
    }
}

fn irq(index: u32) -> IrqInfo {
    let is_there = index == VFIO_PCI_MSI_IRQ_INDEX;
    IrqInfo {
        index,
        count: u32::from(is_there),
        flags: if is_there { VFIO_IRQ_INFO_EVENTFD } else { 0 },
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// An access to the BAR as offset and width. Nothing is beyond the bank: it reads as zero.
fn location(offset: u64, bytes: usize) -> io::Result<(u32, Width)> {
    let width = Width::of(bytes).ok_or_else(|| invalid("no such width"))?;
    match u32::try_from(offset) {
        Ok(offset) if offset < config::BAR => Ok((offset, width)),
        _ => Err(invalid("beyond the BAR")),
    }
}

impl ServerBackend for Device {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX => {
                if offset == config::CLASS_AT as u64 {
                    self.shared.suspended();
                }
                self.config.read(offset as usize, data);
            }
            VFIO_PCI_BAR0_REGION_INDEX => {
                let (offset, width) = location(offset, data.len())?;
                let value = self.shared.read(offset, width)?.to_le_bytes();
                data.copy_from_slice(&value[..data.len()]);
            }
            _ => return Err(invalid("no such region")),
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX => self.config.write(offset as usize, data),
            VFIO_PCI_BAR0_REGION_INDEX => {
                let (offset, width) = location(offset, data.len())?;
                let mut value = [0; 4];
                value[..data.len()].copy_from_slice(data);
                let value = u32::from_le_bytes(value);
                self.shared
                    .with(|bench, now| bench.write(now, offset, width, value))?;
            }
            _ => return Err(invalid("no such region")),
        }
        Ok(())
    }

    /// The bank has no DMA.
    fn dma_map(
        &mut self,
        _flags: DmaMapFlags,
        _offset: u64,
        _address: u64,
        _size: u64,
        _fd: Option<File>,
    ) -> io::Result<()> {
        Ok(())
    }

    fn dma_unmap(&mut self, _flags: DmaUnmapFlags, _address: u64, _size: u64) -> io::Result<()> {
        Ok(())
    }

    /// A reset of the VM resets the configuration; the bank has a reset of its own.
    fn reset(&mut self) -> io::Result<()> {
        self.config = Config::new();
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        _start: u32,
        count: u32,
        mut fds: Vec<File>,
    ) -> io::Result<()> {
        if index != VFIO_PCI_MSI_IRQ_INDEX || flags & VFIO_IRQ_SET_ACTION_TRIGGER == 0 {
            return Ok(());
        }
        let eventfd = if count == 0 { None } else { fds.pop() };
        self.shared.set_interrupt(eventfd)
    }
}
