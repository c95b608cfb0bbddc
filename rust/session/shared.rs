// SPDX-License-Identifier: GPL-2.0-only

//! A region that is no session's: files that know nothing of each other have it in common.

use crate::{
    device::Device,
    ioctl,
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
    settings::DefaultRegion, //
};
use core::ops::Range;
use kernel::{
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::{
    base::{
        gfp::GFP_FOR_CALLER,
        task::between_pieces, //
    },
    dma::{
        coherent::Coherent,
        device::DmaDevice, //
    },
    map::vma::{
        Mapped,
        NewVma, //
    },
    memory::{
        backing::Backing as _,
        direction::{
            Direction,
            Owner, //
        }, //
    },
    revoke::{
        revocable::Revocable,
        unbind::Revoke, //
    }, //
};
use mapwright_uapi::{
    Backing,
    SYNC_FOR_CPU,
    SYNC_FOR_DEVICE, //
};

/// Bytes that are written out of the caches, or dropped from them, at once.
const SYNC_PIECE: u64 = 1 << 20;

/// A region at offset 0 of all files of a device node.
///
/// The right to use it can be [taken back](Self::revoke), after which its memory is freed as soon as nothing holds it
/// any more: a mapping, or a DMA-buf that was made of it.
pub struct SharedRegion {
    device: Arc<Device>,
    region: Arc<Region>,
    right: Arc<Revocable<()>>,
    made_of: DefaultRegion,
}

impl SharedRegion {
    /// Allocates `bytes` zeroed bytes, rounded up to whole pages. If `dma` has a driver, the memory is for that device, which
    /// takes it back when it loses the driver; else only coherent memory is for `dma`.
    ///
    /// `EINVAL` if that is none, or memory of another kind than a device gets, `ENOSPC` over a limit, `ENOMEM` without memory, `EINTR` if the caller is killed meanwhile.
    pub fn new(
        device: &Arc<Device>,
        dma: &Arc<DmaDevice>,
        made_of: DefaultRegion,
        bytes: u64,
    ) -> Result<Self> {
        let recipe = Recipe::default_region(&made_of, bytes)?;
        let recipe = match (dma.has_driver(), made_of.is_for_devices()) {
            (false, _) => recipe,
            (true, true) => recipe.for_device(),
            (true, false) => return Err(EINVAL),
        };
        let account = account(device)?;
        let right = Revocable::right()?;
        let of_region = Some(right.clone());
        let region = region::allocate(device, dma, &account, recipe, of_region, || Ok(0))?;
        Ok(Self {
            device: device.clone(),
            region,
            right,
            made_of,
        })
    }

    /// Takes `memory` for it, which is coherent memory for `dma`. No limit counts it: it is memory that the machine has
    /// reserved for the region.
    pub fn of_reserved(
        device: &Arc<Device>,
        dma: &Arc<DmaDevice>,
        made_of: DefaultRegion,
        memory: Coherent,
    ) -> Result<Self> {
        let bytes = (memory.nr_pages() as u64).saturating_mul(PAGE_SIZE as u64);
        let recipe = Recipe::default_region(&made_of, bytes)?;
        if recipe.backing != Backing::Coherent {
            return Err(EINVAL);
        }
        let reserved = Reserved::beside_memory(&account(device)?, &device.accounts)?;
        let memory = KBox::new(memory, GFP_FOR_CALLER)?;
        let right = Revocable::right()?;
        let of_region = Some(right.clone());
        let (device, dma) = (device.clone(), dma.clone());
        let region =
            region::of_memory(device.clone(), dma, reserved, recipe, memory, of_region, 0)?;
        Ok(Self {
            device,
            region,
            right,
            made_of,
        })
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.region.bytes()
    }

    /// The region.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Whether it is mapped, or about to be.
    pub fn is_busy(&self) -> bool {
        self.region.is_busy()
    }

    /// Takes it back from all programs: what is mapped of it is a `SIGBUS` from now on. A DMA-buf that was made of it stays
    /// until it is released, with what was mapped of that at `mmap(2)`. The owner has to see to it that no call of a file
    /// finds this any more.
    pub fn revoke(&self) {
        self.right.revoke();
    }

    /// `mmap(2)`, of a file whose device has [a space](mapkit::device::chardev::CharDevice::space) for all of them.
    pub fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        let mapped = vma
            .deny_exec()
            .and_then(|()| self.region.dma.check())
            .and_then(|()| vma.revoked_with(&self.right, &self.region))
            .and_then(|()| method::map(&self.region, vma));
        self.device.stats.note(mapped)
    }

    /// Gives bytes of it to the CPU, or to the device that it is for, which moves them in `direction`.
    ///
    /// `ENODEV` if it was taken back, `EINTR` if the caller is killed meanwhile.
    pub fn sync(&self, bytes: Range<u64>, direction: Direction, owner: Owner) -> Result {
        let mut next = bytes.start;
        while next < bytes.end {
            let end = bytes.end.min(next.saturating_add(SYNC_PIECE));
            let [from, to] = [next, end].map(usize::try_from);
            let piece = from.map_err(|_| EINVAL)?..to.map_err(|_| EINVAL)?;
            // For each piece: who takes the memory back waits for it.
            self.region.hold()?.sync(piece, direction, owner);
            between_pieces()?;
            next = end;
        }
        Ok(())
    }

    /// Whether it is cached memory of a device, of which bytes that a cache has are dropped when the CPU gets them.
    fn is_passed(&self) -> bool {
        self.made_of.backing() == Backing::Pages && self.region.dma.has_driver()
    }

    /// The ioctl SYNC. For both, the device has what the CPU has stored before the CPU gets it back. `EBADF` for a file that
    /// was not opened for writing, if others may lose what they have stored.
    fn sync_as_asked(&self, may_write: bool, bytes: Range<u64>, flags: u32) -> Result {
        if flags & SYNC_FOR_CPU != 0 && self.is_passed() && !may_write {
            return Err(EBADF);
        }
        for (flag, owner) in [(SYNC_FOR_DEVICE, Owner::Device), (SYNC_FOR_CPU, Owner::Cpu)] {
            if flags & flag != 0 {
                self.sync(bytes.clone(), Direction::Bidirectional, owner)?;
            }
        }
        Ok(())
    }

    /// `read(2)` at `pos`.
    pub fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let copied = self
            .region
            .dma
            .check()
            .and_then(|()| region::copy_to_iter(&self.region, pos, iov));
        self.device.stats.note_read(copied)
    }

    /// `write(2)` at `pos`.
    pub fn write(&self, pos: u64, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let copied = self
            .region
            .dma
            .check()
            .and_then(|()| region::copy_from_iter(&self.region, pos, iov));
        self.device.stats.note_written(copied)
    }

    /// `ioctl(2)`, of a file that was opened for writing if `may_write`: those of a session that ask about a region
    /// or export it. Region 0 is this one, too. `ENOTTY` for any other.
    pub fn ioctl(&self, may_write: bool, cmd: u32, arg: UserPtr) -> Result<u32> {
        let file = File {
            shared: self,
            may_write,
        };
        let done = self.region.dma.check().and_then(|()| {
            ioctl::of_regions(&file, cmd, arg, &|_, bytes, flags| {
                self.sync_as_asked(may_write, bytes, flags)
            })
        });
        self.device.stats.note(done)
    }
}

/// The limits of one region.
fn account(device: &Device) -> Result<Arc<Account>> {
    let limits = &device.limits;
    Account::new(limits.session_bytes, limits.session_regions.into())
}

/// A file that has it.
struct File<'a> {
    shared: &'a SharedRegion,
    may_write: bool,
}

impl ioctl::Regions for File<'_> {
    fn device(&self) -> &Device {
        &self.shared.device
    }

    fn default_region(&self) -> &DefaultRegion {
        &self.shared.made_of
    }

    fn may_write(&self) -> bool {
        self.may_write
    }

    fn by_id(&self, id: u64) -> Result<Arc<Region>> {
        let region = &self.shared.region;
        match id == 0 || id == region.number() {
            true => Ok(region.clone()),
            false => Err(ENOENT),
        }
    }

    fn by_offset(&self, offset: u64) -> Result<Arc<Region>> {
        let region = &self.shared.region;
        match offset < region.bytes() {
            true => Ok(region.clone()),
            false => Err(ENOENT),
        }
    }
}
