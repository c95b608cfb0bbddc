// SPDX-License-Identifier: GPL-2.0-only

//! What the files of a device have beside their regions: the ioctls of the engine.

use crate::{
    engine::Engine,
    registers::BUFFER_BYTES,
    transfer::{
        shape,
        Side,
        Transfer, //
    },
    THIS_MODULE, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::capability;
use mapwright_session::{
    ioctl::{
        expect_zero,
        read,
        reply, //
    },
    Device,
    Driver,
    File, //
};
use mapwright_uapi as uapi;

/// A device's engine, for its files.
pub(crate) struct Files {
    pub(crate) engine: Arc<Engine>,
    pub(crate) device: Arc<Device>,
    pub(crate) address_bits: u32,
    pub(crate) interrupt: uapi::Interrupt,
}

impl Driver for Files {
    const MODULE: &'static ThisModule = &THIS_MODULE;

    type PerFile = ();

    fn open(&self) -> Result {
        self.engine.check()
    }

    fn ioctl(file: &File<Self>, cmd: u32, arg: UserPtr) -> Result<u32> {
        match cmd {
            uapi::IOCTL_DMA_INFO => reply(arg, |info| file.driver().info(info)),
            uapi::IOCTL_TRANSFER => transfer(file, arg),
            _ => Err(ENOTTY),
        }
    }

    fn show_stats(&self, m: &SeqFile) {
        self.engine.stats.show(m);
    }
}

impl Files {
    fn info(&self, info: &mut uapi::DmaInfo) -> Result {
        self.engine.check()?;
        *info = uapi::DmaInfo {
            size: info.size,
            identification: self.engine.identification()?,
            buffer_bytes: BUFFER_BYTES as u32,
            address_bits: self.address_bits,
            interrupt: self.interrupt.number(),
            translated: self.device.dma()?.is_translated().into(),
        };
        Ok(())
    }
}

fn transfer(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (_, request) = read::<uapi::Transfer>(arg)?;
    expect_zero(&[request.flags & !uapi::TRANSFER_RAW_TARGET, request.reserved])?;
    let (session, driver) = (file.session(), file.driver());
    let device = driver.device.dma()?;
    let source = Side::new(
        session,
        request.source,
        request.source_offset,
        request.bytes,
    )?;
    let target = match request.flags & uapi::TRANSFER_RAW_TARGET {
        0 => Side::new(
            session,
            request.target,
            request.target_offset,
            request.bytes,
        )?,
        _ if !capability::is_sys_rawio() || !device.is_translated() => return Err(EPERM),
        _ => Side::Raw(request.target_offset),
    };
    if matches!((&source, &target), (Side::Buffer(_), Side::Buffer(_))) {
        return Err(EINVAL);
    }
    let transfer = Transfer {
        source,
        target,
        bytes: usize::try_from(request.bytes).map_err(|_| EINVAL)?,
        shape: shape(request.lending)?,
    };
    let interrupted = || kernel::current!().signal_pending();
    transfer.run(&driver.engine, &device, &interrupted)?;
    Ok(0)
}
