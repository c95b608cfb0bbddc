// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls: a function each.

use crate::{
    backing,
    device::Device,
    recipe::Recipe,
    region::Region,
    session::Session,
    settings::DefaultRegion,
    stats::RegionCounter, //
};
use core::{
    cmp::min,
    ops::Range, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::{
    base::{
        capability,
        lockdown,
        task::between_pieces,
        uaccess::{
            UserArray,
            UserStruct, //
        }, //
    },
    sync::barrier, //
};
use mapwright_uapi as uapi;
use uapi::Request;

/// Passes bytes of what is mapped of a region on, see [`Driver::sync`](crate::Driver::sync).
type SyncLoans<'a> = dyn Fn(u64, Range<u64>, u32) -> Result + 'a;

/// An open file that has regions.
pub(crate) trait Regions {
    /// The device that they are of.
    fn device(&self) -> &Device;

    /// What a program gets without asking.
    fn default_region(&self) -> &DefaultRegion;

    /// Whether the file was opened for writing.
    fn may_write(&self) -> bool;

    /// Region `id`; `ENOENT` if there is none.
    fn by_id(&self, id: u64) -> Result<Arc<Region>>;

    /// The region that byte `offset` is in; `ENOENT` if there is none.
    fn by_offset(&self, offset: u64) -> Result<Arc<Region>>;
}

impl Regions for Session {
    fn device(&self) -> &Device {
        &self.device
    }

    fn default_region(&self) -> &DefaultRegion {
        &self.device.default_region
    }

    fn may_write(&self) -> bool {
        self.may_write
    }

    fn by_id(&self, id: u64) -> Result<Arc<Region>> {
        self.by_id(id)
    }

    fn by_offset(&self, offset: u64) -> Result<Arc<Region>> {
        self.by_offset(offset)
    }
}

/// Does what `cmd` asks of a session. `ENOTTY` for a number that is not of this interface.
pub(crate) fn dispatch(
    session: &Session,
    cmd: u32,
    arg: UserPtr,
    sync_loans: &SyncLoans<'_>,
) -> Result<u32> {
    match cmd {
        uapi::IOCTL_CREATE => create(session, arg),
        uapi::IOCTL_DESTROY => destroy(session, arg),
        _ => of_regions(session, cmd, arg, sync_loans),
    }
}

/// Does what `cmd` asks of regions that there are. `ENOTTY` for any other number.
pub(crate) fn of_regions(
    file: &impl Regions,
    cmd: u32,
    arg: UserPtr,
    sync_loans: &SyncLoans<'_>,
) -> Result<u32> {
    match cmd {
        uapi::IOCTL_INFO => reply(arg, |info| get_info(file, info)),
        uapi::IOCTL_QUERY => reply(arg, |query| query_region(file, query)),
        uapi::IOCTL_PAGES => reply(arg, |pages| get_pages(file, pages)),
        uapi::IOCTL_SYNC => sync(file, arg, sync_loans),
        #[cfg(CONFIG_DMA_SHARED_BUFFER)]
        uapi::IOCTL_EXPORT => export(file, arg),
        _ => Err(ENOTTY),
    }
}

/// Reads the request at `arg`, lets `f` change it and writes it back.
pub fn reply<R: Request>(arg: UserPtr, f: impl FnOnce(&mut R) -> Result) -> Result<u32> {
    let (user, mut request) = read::<R>(arg)?;
    f(&mut request)?;
    user.write(&request)?;
    Ok(0)
}

/// Reads the request at `arg`.
pub fn read<R: Request>(arg: UserPtr) -> Result<(UserStruct, R)> {
    let user = UserStruct::new(arg, R::MIN_SIZE)?;
    let mut request = R::new();
    user.read(&mut request)?;
    Ok((user, request))
}

/// `EINVAL` unless all of `reserved` are zero.
pub fn expect_zero(reserved: &[u32]) -> Result {
    if reserved.iter().any(|field| *field != 0) {
        return Err(EINVAL);
    }
    Ok(())
}

fn get_info(file: &impl Regions, info: &mut uapi::Info) -> Result {
    let limits = &file.device().limits;
    let default = file.default_region();
    let mut methods = [0; 8];
    for (mask, backing) in methods.iter_mut().zip(uapi::Backing::ALL) {
        *mask = uapi::methods_of(*backing);
    }
    *info = uapi::Info {
        size: info.size,
        version: uapi::VERSION,
        page_size: PAGE_SIZE as u32,
        session_regions: limits.session_regions,
        session_bytes: limits.session_bytes,
        total_bytes: limits.total_bytes,
        methods,
        cachings: uapi::cachings(),
        default_backing: default.backing.number(),
        default_method: default.method.number(),
        default_caching: default.caching.number(),
    };
    Ok(())
}

fn create(session: &Session, arg: UserPtr) -> Result<u32> {
    let (user, mut create) = read::<uapi::Create>(arg)?;
    expect_zero(&[create.flags & !uapi::CREATE_CONTIGUOUS, create.reserved])?;
    let mut recipe = Recipe::new(create.backing, create.method, create.caching, create.bytes)?;
    if create.flags & uapi::CREATE_CONTIGUOUS != 0 {
        recipe = recipe.contiguous()?;
    }

    let prepared = session.prepare(recipe)?;
    create.bytes = prepared.region.bytes();
    create.id = prepared.region.id;
    create.offset = prepared.region.offset;
    // A program that cannot be told of its region does not get one.
    user.write(&create)?;
    session.publish(prepared);
    Ok(0)
}

fn destroy(session: &Session, arg: UserPtr) -> Result<u32> {
    let (_, destroy) = read::<uapi::Destroy>(arg)?;
    expect_zero(&[destroy.flags])?;
    session.destroy(destroy.id)?;
    Ok(0)
}

fn query_region(file: &impl Regions, query: &mut uapi::Query) -> Result {
    expect_zero(&[query.flags])?;
    let region = match query.id {
        0 => file.by_offset(query.offset)?,
        id => file.by_id(id)?,
    };
    let memory = region.hold()?;
    let (runs, longest_run) = memory.count_runs()?;
    let dma_addr = memory
        .dma_addr(0)
        .filter(|_| capability::may_see_addresses());
    *query = uapi::Query {
        size: query.size,
        flags: 0,
        id: region.id,
        offset: region.offset,
        bytes: region.bytes(),
        backing: region.backing.number(),
        method: region.method.number(),
        caching: region.caching.number(),
        address_class: backing::address_class(&*memory).number(),
        runs: runs as u64,
        longest_run: longest_run as u64,
        vmas: region.vmas(),
        mmaps: region.count(RegionCounter::Mmaps),
        faults_read: region.count(RegionCounter::FaultsRead),
        faults_write: region.count(RegionCounter::FaultsWrite),
        pages_faulted: region.count(RegionCounter::PagesFaulted),
        dma_addr: dma_addr.unwrap_or(uapi::NO_DMA_ADDR),
    };
    Ok(())
}

fn sync(file: &impl Regions, arg: UserPtr, sync_loans: &SyncLoans<'_>) -> Result<u32> {
    let (_, sync) = read::<uapi::Sync>(arg)?;
    let known = uapi::SYNC_FOR_CPU | uapi::SYNC_FOR_DEVICE;
    if sync.flags == 0 || sync.flags & !known != 0 || sync.bytes == 0 {
        return Err(EINVAL);
    }
    let region = file.by_id(sync.id)?;
    #[cfg(not(planted_unchecked_sum))]
    let end = sync.first.checked_add(sync.bytes).ok_or(EINVAL)?;
    #[cfg(planted_unchecked_sum)]
    let end = sync.first + sync.bytes;
    if end > region.bytes() {
        return Err(EINVAL);
    }
    barrier::mb();
    sync_loans(region.id, sync.first..end, sync.flags)?;
    Ok(0)
}

/// Makes a DMA-buf of pages of a region.
#[cfg(CONFIG_DMA_SHARED_BUFFER)]
fn export(file: &impl Regions, arg: UserPtr) -> Result<u32> {
    use kernel::fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    };

    let (user, mut export) = read::<uapi::Export>(arg)?;
    expect_zero(&[export.flags & !uapi::EXPORT_READ_ONLY, export.reserved])?;
    let writable = export.flags & uapi::EXPORT_READ_ONLY == 0;
    if writable && !file.may_write() {
        return Err(EBADF);
    }
    let region = file.by_id(export.region)?;
    let end = export.first.checked_add(export.bytes).ok_or(EINVAL)?;
    let page = PAGE_SIZE as u64;
    if export.first % page != 0 || export.bytes % page != 0 || end > region.bytes() {
        return Err(EINVAL);
    }
    // As a region they fit.
    let pages = (export.first / page) as usize..(end / page) as usize;
    let buffer = mapkit::dma::export::export(region, pages, writable)?;
    let reservation = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    export.fd = reservation.reserved_fd();
    // A program that cannot be told of its file does not get one.
    user.write(&export)?;
    reservation.fd_install(buffer);
    Ok(0)
}

fn get_pages(file: &impl Regions, pages: &mut uapi::Pages) -> Result {
    expect_zero(&[pages.flags])?;
    if !capability::is_sys_admin() {
        return Err(EPERM);
    }
    lockdown::expect_kernel_may_be_seen()?;
    let region = file.by_id(pages.id)?;
    let first = usize::try_from(pages.first).map_err(|_| EINVAL)?;
    let rest = region
        .nr_pages
        .checked_sub(first)
        .filter(|rest| *rest > 0)
        .ok_or(EINVAL)?;
    let count = min(usize::try_from(pages.count).unwrap_or(usize::MAX), rest);

    let mut array = UserArray::new(UserPtr::from_addr(
        usize::try_from(pages.array).map_err(|_| EFAULT)?,
    ));
    let mut batch = [uapi::PageInfo::default(); 32];
    let mut done = 0;
    while done < count {
        let n = min(batch.len(), count.wrapping_sub(done));
        let batch = batch.get_mut(..n).ok_or(EINVAL)?;
        // Not while the program is told.
        let memory = region.hold()?;
        for (i, info) in batch.iter_mut().enumerate() {
            let page = first.wrapping_add(done).wrapping_add(i);
            let run = memory.run_at(page).ok_or(EINVAL)?;
            *info = uapi::PageInfo {
                pfn: run.pfn as u64,
                dma_addr: memory.dma_addr(page).unwrap_or(uapi::NO_DMA_ADDR),
            };
        }
        drop(memory);
        array.push(batch)?;
        done = done.wrapping_add(n);
        between_pieces()?;
    }
    pages.count = count as u64;
    Ok(())
}
