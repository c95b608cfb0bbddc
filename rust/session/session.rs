// SPDX-License-Identifier: GPL-2.0-only

//! A session: an open file, with its regions.

use crate::{
    device::Device,
    limits::{
        Account,
        Reserved, //
    },
    method,
    recipe::Recipe,
    region::{
        self,
        Region, //
    },
    regions::{
        Ready,
        Regions, //
    },
    settings::DefaultRegion,
    stats::Counter, //
};
use kernel::{
    fs::{
        file::flags::O_SYNC,
        File, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTreeNode,
    seq_file::SeqFile,
    seq_print,
    sync::{Arc, Mutex}, //
};
use mapkit::{
    base::{
        gfp::GFP_FOR_CALLER,
        text::Decimal, //
    },
    device::chardev,
    map::vma::{
        Mapped,
        NewVma, //
    }, //
};
use mapwright_uapi as uapi;

/// The regions of an open file.
#[pin_data(PinnedDrop)]
pub struct Session {
    pub(crate) device: Arc<Device>,
    /// What the default region is made of.
    default_region: DefaultRegion,
    /// Whether the file was opened for writing.
    pub(crate) may_write: bool,
    /// What is left of the session's limits.
    account: Arc<Account>,
    #[pin]
    pub(crate) regions: Mutex<Regions>,
}

/// The most bytes that are mapped with the lock of the session held, which takes a fraction of a millisecond: to mark
/// a region as busy costs more than that saves.
const MAPPED_WITH_LOCK: u64 = 4 << 20;

/// A region that is not yet in the session's table.
pub(crate) struct Unpublished {
    pub(crate) region: Arc<Region>,
    pub(crate) node: RBTreeNode<u64, Arc<Region>>,
}

impl Session {
    /// Allocates a region, to be published with [`publish`](Self::publish) or dropped.
    pub(crate) fn prepare(&self, recipe: Recipe) -> Result<Unpublished> {
        self.device.expect_allowed(recipe.caching)?;
        recipe.expect_allowed()?;
        self.prepare_at(recipe, || self.regions.lock().take_offset(recipe.bytes()))
    }

    fn prepare_at(
        &self,
        recipe: Recipe,
        take_offset: impl FnOnce() -> Result<u64>,
    ) -> Result<Unpublished> {
        let region = region::allocate(
            &self.device,
            self.device.dma(),
            &self.account,
            recipe,
            None,
            take_offset,
        )?;
        let node = RBTreeNode::new(region.offset, region.clone(), GFP_FOR_CALLER);
        if cfg!(planted_error_leak) && node.is_err() {
            core::mem::forget(region.clone());
        }
        Ok(Unpublished {
            region,
            node: node?,
        })
    }

    /// Allocates a default region, to be published or dropped.
    pub(crate) fn prepare_default(&self, bytes: u64) -> Result<Unpublished> {
        let recipe = Recipe::default_region(&self.default_region, bytes)?;
        // What the administrator has chosen is for all; `O_SYNC` is the program's choice.
        if recipe.caching != self.device.default_region.caching {
            self.device.expect_allowed(recipe.caching)?;
        }
        self.prepare_at(recipe, || Ok(0))
    }

    /// Makes a region part of the session.
    pub(crate) fn publish(&self, unpublished: Unpublished) {
        self.regions.lock().by_offset.insert(unpublished.node);
    }

    /// Lets go of region `id`: `ENOENT` if there is none, `EBUSY` if it is mapped.
    pub(crate) fn destroy(&self, id: u64) -> Result {
        let mut regions = self.regions.lock();
        let region = regions.find_id(id).ok_or(ENOENT)?;
        // This file's `mmap(2)` maps it or marks it as busy with the lock held, or finds no region. A DMA-buf of
        // the region may be mapped meanwhile, as it may be later: it holds a reference of its own.
        if region.is_busy() {
            return Err(EBUSY);
        }
        let offset = region.offset;
        let removed = regions.by_offset.remove(&offset);
        drop(regions);
        // Frees the memory, with the lock released.
        drop(removed);
        Ok(())
    }

    /// Counts `bytes` bytes of memory as a region's, which it is not; `ENOSPC` over a limit.
    pub fn reserve(&self, bytes: u64) -> Result<Reserved> {
        Reserved::new(&self.account, &self.device.accounts, bytes)
    }

    /// Region `id`, which keeps its length from now on; `ENOENT` if there is none.
    pub fn by_id(&self, id: u64) -> Result<Arc<Region>> {
        let regions = self.regions.lock();
        let region = regions.find_id(id).ok_or(ENOENT)?;
        region.fix_length();
        Ok(region.clone())
    }

    /// The region that byte `offset` is in, which keeps its length from now on; `ENOENT` if there is none.
    pub(crate) fn by_offset(&self, offset: u64) -> Result<Arc<Region>> {
        let regions = self.regions.lock();
        let entry = regions
            .find(offset)
            .filter(|(region, within)| *within < region.bytes());
        let (region, _) = entry.ok_or(ENOENT)?;
        region.fix_length();
        Ok(region.clone())
    }

    /// The region that byte `pos` is in or just behind, and how far in, for `read(2)` and `write(2)`.
    fn region_at(&self, pos: u64) -> Option<(Arc<Region>, u64)> {
        let regions = self.regions.lock();
        let (region, within) = regions.find(pos)?;
        region.used();
        Some((region.clone(), within))
    }

    /// Maps the region at `offset`, of which `bytes` are wanted.
    fn map_at<'a>(&self, vma: NewVma<'a>, offset: u64, bytes: u64) -> Result<Mapped<'a>> {
        let end = offset.checked_add(bytes).ok_or(EINVAL)?;
        if bytes <= MAPPED_WITH_LOCK {
            let regions = self.regions.lock();
            if let Some(region) = regions.find_to_map(offset, end) {
                return method::map(region, vma);
            }
        }
        // The lock of the address space is held: no more than this is allocated.
        let ready = match end <= uapi::DEFAULT_MAX_BYTES {
            true => self.make_default(end),
            false => Ok(Ready::Already),
        };
        let is_new = match ready {
            // It keeps its length, which is too short.
            Err(EBUSY) => return Err(EINVAL),
            ready => matches!(ready?, Ready::Made),
        };
        // From here on it cannot be destroyed.
        let find = |regions: &Regions| regions.find_to_map(offset, end).map(Busy::new);
        let busy = find(&self.regions.lock()).ok_or(EINVAL)?;
        let mapped = method::map(&busy.0, vma);
        drop(busy);
        if is_new && mapped.is_err() {
            self.forget_default();
        }
        mapped
    }
}

/// Whether no other region than the default one can be at byte `pos`.
fn is_of_default(pos: u64) -> bool {
    pos < uapi::FIRST_OFFSET
}

/// A region that is about to be mapped, and is not destroyed as long as this is there.
struct Busy(Arc<Region>);

impl Busy {
    /// To be made with the lock of the session held.
    fn new(region: &Arc<Region>) -> Self {
        region.mapping_begins();
        Self(region.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.mapping_ends();
    }
}

impl Session {
    /// A session of `device`, without regions, for `file` that is being opened.
    pub(crate) fn new(device: Arc<Device>, file: &File) -> Result<impl PinInit<Self, Error>> {
        let limits = &device.limits;
        let account = Account::new(limits.session_bytes, limits.session_regions.into())?;
        // As users of other buffer drivers expect.
        let mut default_region = device.default_region;
        if file.flags() & O_SYNC == O_SYNC {
            default_region.caching = uapi::Caching::Uncached;
        }
        let may_write = chardev::may_write(file);
        Ok(try_pin_init!(Self {
            device,
            account,
            default_region,
            may_write,
            regions <- new_mutex!(Regions::new()),
        }? Error)
        .pin_chain(|session| {
            // Only now will it be dropped, and counted as closed.
            session.device.stats.inc(Counter::SessionsOpened);
            Ok(())
        }))
    }

    /// `mmap(2)`.
    #[inline]
    pub(crate) fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        let offset = (vma.pgoff() as u64)
            .checked_mul(PAGE_SIZE as u64)
            .ok_or(EINVAL);
        let bytes = (vma.nr_pages() as u64).wrapping_mul(PAGE_SIZE as u64);
        let mapped = vma
            .deny_exec()
            .and(offset)
            .and_then(|offset| self.map_at(vma, offset, bytes));
        self.device.stats.note(mapped)
    }

    /// `read(2)` at `pos`.
    pub(crate) fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let copied = self.make_default_to_read(pos).and_then(|()| {
            let Some((region, within)) = self.region_at(pos) else {
                // Beyond the end, or beyond all that it could be the end of.
                return is_of_default(pos).then_some(0).ok_or(ENXIO);
            };
            #[cfg(planted_lock_order)]
            let _regions = self.regions.lock();
            region::copy_to_iter(&region, within, iov)
        });
        self.device.stats.note_read(copied)
    }

    /// `write(2)` at `pos`.
    pub(crate) fn write(&self, pos: u64, iov: &mut IovIterSource<'_>) -> Result<usize> {
        self.device.stats.note_written(self.copy_in(pos, iov))
    }

    fn copy_in(&self, pos: u64, iov: &mut IovIterSource<'_>) -> Result<usize> {
        if iov.is_empty() {
            return Ok(0);
        }
        if is_of_default(pos) {
            self.make_default_to_write(pos..pos.saturating_add(iov.len() as u64))?;
        }
        let (region, within) = self.region_at(pos).ok_or(ENOSPC)?;
        if within == region.bytes() {
            return Err(ENOSPC);
        }
        let within = usize::try_from(within).map_err(|_| EINVAL)?;
        let bytes = region.memory().copy_from_iter(within, iov)?;
        self.carry_over(&region, within..within.saturating_add(bytes))?;
        Ok(bytes)
    }

    /// A line for each region.
    pub(crate) fn show_fdinfo(&self, m: &SeqFile) {
        let mut from = 0;
        loop {
            // With the lock for each one: there may be many.
            let next = self.regions.lock().next(from);
            let Some(region) = next else {
                return;
            };
            from = region.offset.wrapping_add(1);
            seq_print!(
                m,
                "mapwright-region:\tid {} offset {:#x} bytes {} backing {} method {} caching {} vmas {}\n",
                Decimal(region.id),
                region.offset,
                Decimal(region.bytes()),
                region.backing.name(),
                region.method.name(),
                region.caching.name(),
                Decimal(region.vmas()),
            );
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Session {
    fn drop(self: Pin<&mut Self>) {
        // No region is mapped any more: a VMA holds its file.
        self.device.stats.inc(Counter::SessionsClosed);
    }
}
