// SPDX-License-Identifier: GPL-2.0-only

//! What the files of a device have beside their regions: the ioctls of the engine.

use crate::{
    channel::{
        Channel,
        Opened, //
    },
    engine::Engine,
    mapping::Mapping,
    measure::measure,
    queue::Job,
    registers::BUFFER_BYTES,
    transfer::{
        map_call,
        Endpoint,
        Transfer, //
    },
    MODULE, //
};
use core::{
    cell::Cell,
    ops::Range, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    sync::{
        poll::PollTable,
        Arc, //
    },
    uaccess::UserPtr, //
};
use mapkit::{
    base::{
        capability,
        gfp::GFP_FOR_CALLER,
        memcg::Payer, //
    },
    dma::import::Import,
    sync::eventfd::EventFd, //
};
use mapwright_session::{
    ioctl::{
        expect_zero,
        read,
        reply, //
    },
    Device,
    Driver,
    File,
    Session, //
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
    const MODULE: &'static ThisModule = MODULE;

    type PerFile = Opened;

    fn open(&self) -> Result<Opened> {
        self.engine.turns.check()?;
        Opened::new(self.engine.clone(), self.device.clone())
    }

    fn changes(cmd: u32) -> bool {
        matches!(cmd, uapi::IOCTL_TRANSFER | uapi::IOCTL_DMA_MAP)
    }

    fn ioctl(file: &File<Self>, cmd: u32, arg: UserPtr) -> Result<u32> {
        match cmd {
            uapi::IOCTL_DMA_INFO => reply(arg, |info| file.driver().info(info)),
            uapi::IOCTL_TRANSFER => transfer(file, arg),
            uapi::IOCTL_DONE => done(file, arg),
            uapi::IOCTL_DMA_MAP => dma_map(file, arg),
            uapi::IOCTL_DMA_UNMAP => dma_unmap(file, arg),
            uapi::IOCTL_IMPORT => import(file, arg),
            uapi::IOCTL_MEASURE => {
                let channel: &Channel = file.per_file();
                reply(arg, |request| {
                    measure(
                        file.session(),
                        channel.device.dma(),
                        &channel.mappings,
                        request,
                    )
                })
            }
            _ => Err(ENOTTY),
        }
    }

    fn sync(file: &File<Self>, region: u64, bytes: Range<u64>, flags: u32) -> Result {
        file.per_file().mappings.lock().sync(region, &bytes, flags)
    }

    fn poll(file: &File<Self>, opened: &kernel::fs::File, table: &PollTable<'_>) -> u32 {
        file.per_file().poll(opened, table)
    }

    fn show_stats(&self, m: &SeqFile) {
        self.engine.stats.show(m);
    }
}

impl Files {
    fn info(&self, info: &mut uapi::DmaInfo) -> Result {
        self.engine.turns.check()?;
        *info = uapi::DmaInfo {
            size: info.size,
            identification: self.engine.identification()?,
            buffer_bytes: BUFFER_BYTES as u32,
            address_bits: self.address_bits,
            interrupt: self.interrupt.number(),
            translated: self.device.dma().is_translated().into(),
            coherent: self.device.dma().is_coherent().into(),
        };
        Ok(())
    }
}

/// A program asks for a transfer.
fn transfer(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (user, mut request) = read::<uapi::Transfer>(arg)?;
    let known = uapi::TRANSFER_RAW_TARGET | uapi::TRANSFER_QUEUE | uapi::TRANSFER_EVENTFD;
    let queue = request.flags & uapi::TRANSFER_QUEUE != 0;
    let has_eventfd = request.flags & uapi::TRANSFER_EVENTFD != 0;
    if request.flags & !known != 0 || has_eventfd && !queue || request.eventfd != 0 && !has_eventfd
    {
        return Err(EINVAL);
    }
    let channel: &Arc<Channel> = file.per_file();
    channel.engine.turns.check()?;
    let transfer = checked(file.session(), channel, &request)?;
    if queue {
        let eventfd = match has_eventfd {
            true => Some(EventFd::new(
                i32::try_from(request.eventfd).map_err(|_| EBADF)?,
            )?),
            false => None,
        };
        channel.enqueue(Job {
            transfer,
            cookie: request.cookie,
            eventfd,
            payer: Payer::of_caller(),
        })?;
        return Ok(0);
    }
    let stopped = || match kernel::current!().signal_pending() {
        true => Err(ERESTARTSYS),
        false => Ok(()),
    };
    let moved = Cell::new(0);
    let result = channel.run(&transfer, &stopped, &moved);
    if result == Err(ERESTARTSYS) && moved.get() > 0 {
        // The kernel begins the call again, which is to move the rest, or the program is told of that.
        let moved = moved.get() as u64;
        request.bytes = request.bytes.wrapping_sub(moved);
        request.source_offset = request.source_offset.wrapping_add(moved);
        request.target_offset = request.target_offset.wrapping_add(moved);
        user.write(&request)?;
    }
    result.map(|()| 0)
}

/// The transfer that `request` describes, if it can be made.
fn checked(session: &Session, channel: &Channel, request: &uapi::Transfer) -> Result<Transfer> {
    let bytes = request.bytes;
    let source = Endpoint::new(
        session,
        &channel.mappings,
        request.source,
        request.source_offset,
        bytes,
    )?;
    let target = match request.flags & uapi::TRANSFER_RAW_TARGET {
        0 => Endpoint::new(
            session,
            &channel.mappings,
            request.target,
            request.target_offset,
            bytes,
        )?,
        _ if !capability::is_sys_rawio() || !channel.device.dma().is_translated() => {
            return Err(EPERM);
        }
        _ => Endpoint::Raw(request.target_offset),
    };
    target.check_writable()?;
    if matches!(
        (&source, &target),
        (Endpoint::Buffer(_), Endpoint::Buffer(_))
    ) {
        return Err(EINVAL);
    }
    Ok(Transfer {
        source,
        target,
        bytes: usize::try_from(bytes).map_err(|_| EINVAL)?,
        call: map_call(request.map_call)?,
    })
}

fn dma_map(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (user, mut request) = read::<uapi::DmaMap>(arg)?;
    expect_zero(&[request.flags])?;
    let call = map_call(request.map_call)?;
    let channel: &Arc<Channel> = file.per_file();
    let device = channel.device.dma();
    let region = file.session().by_id(request.region)?;
    let end = request.first.checked_add(request.bytes).ok_or(EINVAL)?;
    if request.bytes == 0 || end > region.memory().len() as u64 {
        return Err(EINVAL);
    }
    // As a region they fit.
    let range = request.first as usize..end as usize;
    request.id = channel.device.new_id();

    let mut mappings = channel.mappings.lock();
    mappings.check_room(region.number(), &range, request.direction)?;
    let (id, stats) = (request.id, &channel.engine.stats);
    let start = range.start;
    let mapping = Mapping::new(device, stats, id, &region, range, call, request.direction)?;
    (request.entries, request.segments) = mapping.count();
    request.bus = match mapping.segment_at(start) {
        Some(first) if capability::may_see_addresses() => first.bus,
        _ => uapi::NO_DMA_ADDR,
    };
    mappings.add(mapping)?;
    drop(mappings);
    // A program that cannot be told of its mapping does not get one.
    let written = user.write(&request);
    if written.is_err() {
        let taken = channel.mappings.lock().take(id);
        drop(taken);
    }
    written.map(|()| 0)
}

fn dma_unmap(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (_, request) = read::<uapi::DmaUnmap>(arg)?;
    expect_zero(&[request.flags])?;
    let taken = file.per_file().mappings.lock().take(request.id)?;
    // With the lock released.
    drop(taken);
    Ok(0)
}

fn import(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (user, mut request) = read::<uapi::Import>(arg)?;
    expect_zero(&[request.flags, request.reserved])?;
    let channel: &Arc<Channel> = file.per_file();
    let device = channel.device.dma();
    let fd = i32::try_from(request.fd).map_err(|_| EBADF)?;
    let import = Arc::new(Import::new(fd, device)?, GFP_FOR_CALLER)?;
    request.id = channel.device.new_id();
    request.bytes = import.len() as u64;
    channel.mappings.lock().add_import(request.id, import)?;
    let written = user.write(&request);
    if written.is_err() {
        let taken = channel.mappings.lock().take(request.id);
        drop(taken);
    }
    written.map(|()| 0)
}

fn done(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (user, mut done) = read::<uapi::Done>(arg)?;
    expect_zero(&[done.flags])?;
    let channel: &Arc<Channel> = file.per_file();
    let ended = channel.queue.lock().tell()?;
    done.cookie = ended.cookie;
    done.error = ended.error;
    done.reserved = 0;
    let written = user.write(&done);
    // A program that cannot be told of it now is told the next time.
    channel.queue.lock().delivered(ended, written.is_ok());
    written.map(|()| 0)
}
