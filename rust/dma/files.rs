// SPDX-License-Identifier: GPL-2.0-only

//! What the files of a device have beside their regions: the ioctls of the engine.

use crate::{
    channel::{
        Channel,
        Opened, //
    },
    engine::Engine,
    loans::Loan,
    measure::measure,
    queue::Job,
    registers::BUFFER_BYTES,
    transfer::{
        map_call,
        Side,
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
        self.engine.check()?;
        Opened::new(self.engine.clone(), self.device.clone())
    }

    fn changes(cmd: u32) -> bool {
        matches!(cmd, uapi::IOCTL_TRANSFER | uapi::IOCTL_LEND)
    }

    fn ioctl(file: &File<Self>, cmd: u32, arg: UserPtr) -> Result<u32> {
        match cmd {
            uapi::IOCTL_DMA_INFO => reply(arg, |info| file.driver().info(info)),
            uapi::IOCTL_TRANSFER => transfer(file, arg),
            uapi::IOCTL_DONE => done(file, arg),
            uapi::IOCTL_LEND => lend(file, arg),
            uapi::IOCTL_GIVE_BACK => give_back(file, arg),
            uapi::IOCTL_IMPORT => import(file, arg),
            uapi::IOCTL_MEASURE => reply(arg, |request| measure(file, request)),
            _ => Err(ENOTTY),
        }
    }

    fn sync(file: &File<Self>, region: u64, bytes: Range<u64>, flags: u32) -> Result {
        file.per_file().loans.lock().sync(region, &bytes, flags)
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
        self.engine.check()?;
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
    channel.engine.check()?;
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
    let source = Side::new(
        session,
        channel,
        request.source,
        request.source_offset,
        bytes,
    )?;
    let target = match request.flags & uapi::TRANSFER_RAW_TARGET {
        0 => Side::new(
            session,
            channel,
            request.target,
            request.target_offset,
            bytes,
        )?,
        _ if !capability::is_sys_rawio() || !channel.device.dma().is_translated() => {
            return Err(EPERM);
        }
        _ => Side::Raw(request.target_offset),
    };
    target.check_writable()?;
    if matches!((&source, &target), (Side::Buffer(_), Side::Buffer(_))) {
        return Err(EINVAL);
    }
    Ok(Transfer {
        source,
        target,
        bytes: usize::try_from(bytes).map_err(|_| EINVAL)?,
        call: map_call(request.lending)?,
    })
}

fn lend(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (user, mut lend) = read::<uapi::Lend>(arg)?;
    expect_zero(&[lend.flags])?;
    let call = map_call(lend.lending)?;
    let channel: &Arc<Channel> = file.per_file();
    let device = channel.device.dma();
    let region = file.session().by_id(lend.region)?;
    let end = lend.first.checked_add(lend.bytes).ok_or(EINVAL)?;
    if lend.bytes == 0 || end > region.memory().len() as u64 {
        return Err(EINVAL);
    }
    // As a region they fit.
    let range = lend.first as usize..end as usize;
    lend.id = channel.device.new_id();

    let mut loans = channel.loans.lock();
    loans.check_room(region.number(), &range, lend.direction)?;
    let (id, stats) = (lend.id, &channel.engine.stats);
    let start = range.start;
    let loan = Loan::new(device, stats, id, &region, range, call, lend.direction)?;
    (lend.entries, lend.segments) = loan.count();
    lend.bus = match loan.segment_at(start) {
        Some(first) if capability::may_see_addresses() => first.bus,
        _ => uapi::NO_DMA_ADDR,
    };
    loans.add(loan)?;
    drop(loans);
    // A program that cannot be told of its loan does not get one.
    let told = user.write(&lend);
    if told.is_err() {
        let taken = channel.loans.lock().take(id);
        drop(taken);
    }
    told.map(|()| 0)
}

fn give_back(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (_, back) = read::<uapi::GiveBack>(arg)?;
    expect_zero(&[back.flags])?;
    let taken = file.per_file().loans.lock().take(back.id)?;
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
    let import = Arc::new(Import::new(fd, device)?, GFP_KERNEL_ACCOUNT)?;
    request.id = channel.device.new_id();
    request.bytes = import.len() as u64;
    channel.loans.lock().add_import(request.id, import)?;
    let told = user.write(&request);
    if told.is_err() {
        let taken = channel.loans.lock().take(request.id);
        drop(taken);
    }
    told.map(|()| 0)
}

fn done(file: &File<Files>, arg: UserPtr) -> Result<u32> {
    let (user, mut done) = read::<uapi::Done>(arg)?;
    expect_zero(&[done.flags])?;
    let channel: &Arc<Channel> = file.per_file();
    let ended = channel.queue.lock().tell()?;
    done.cookie = ended.cookie;
    done.error = ended.error;
    done.reserved = 0;
    let told = user.write(&done);
    // A program that cannot be told of it now is told the next time.
    channel.queue.lock().told(ended, told.is_ok());
    told.map(|()| 0)
}
