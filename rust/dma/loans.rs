// SPDX-License-Identifier: GPL-2.0-only

//! What a file has lent to the device, and what it has imported.

use crate::{
    channel::Channel,
    stats::{
        Counter,
        Stats, //
    }, //
};
use core::ops::Range;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER, //
    },
    dma::{
        device::{
            DmaDevice,
            InUse, //
        },
        direction::Direction,
        import::Import,
        mapping::MapCall,
        segment::Segment,
        streaming::{
            cache_lines,
            map_for_call,
            ScopedMapping,
            StreamingMapping,
            SyncedForCpu, //
        }, //
    }, //
};
use mapwright_session::Region;
use mapwright_uapi as uapi;

/// A mapping, and who has the memory now.
enum Held {
    Device(StreamingMapping<Arc<Region>>),
    Cpu(SyncedForCpu<Arc<Region>>),
}

impl Held {
    fn synced(self, flags: u32) -> Self {
        let mut held = self;
        if flags & uapi::SYNC_FOR_CPU != 0 {
            held = match held {
                Self::Device(mapping) => Self::Cpu(mapping.sync_for_cpu()),
                cpu => cpu,
            };
        }
        if flags & uapi::SYNC_FOR_DEVICE != 0 {
            held = match held {
                Self::Cpu(synced) => Self::Device(synced.sync_for_device()),
                device => device,
            };
        }
        held
    }

    /// The mapping, if the device has the memory.
    fn of_device(&self) -> Option<&StreamingMapping<Arc<Region>>> {
        match self {
            Self::Device(mapping) => Some(mapping),
            Self::Cpu(_) => None,
        }
    }

    /// Entries of the list, and stretches of the device's addresses.
    fn count(&self) -> (u32, u32) {
        let Some(mapping) = self.of_device() else {
            return (0, 0);
        };
        let mut segments = 0u32;
        mapping.for_each_segment(|_| segments = segments.wrapping_add(1));
        (mapping.entries() as u32, segments)
    }
}

/// The direction that a program chose.
pub(crate) fn direction_of(flags: u32) -> Result<Direction> {
    const BOTH: u32 = uapi::LEND_TO_DEVICE | uapi::LEND_FROM_DEVICE;
    match flags {
        uapi::LEND_TO_DEVICE => Ok(Direction::ToDevice),
        uapi::LEND_FROM_DEVICE => Ok(Direction::FromDevice),
        BOTH => Ok(Direction::Bidirectional),
        _ => Err(EINVAL),
    }
}

/// Bytes of a region, and which way the device moves them.
#[derive(Clone, PartialEq, Eq)]
struct Part {
    region: u64,
    range: Range<usize>,
    direction: u32,
}

impl Part {
    /// Whether it has one of the bytes `range` of region `region`.
    fn overlaps(&self, region: u64, range: &Range<usize>) -> bool {
        self.region == region && self.range.start < range.end && range.start < self.range.end
    }
}

/// A loan.
#[pin_data(PinnedDrop)]
pub(crate) struct Loan {
    pub(crate) id: u64,
    part: Part,
    stats: Arc<Stats>,
    #[pin]
    state: Mutex<State>,
}

struct State {
    /// `None` only while it passes from one side to the other.
    held: Option<Held>,
    /// Transfers that use it.
    users: u32,
}

impl Loan {
    /// Lends the bytes `range` of `region` to `device`. The number is the caller's choice.
    pub(crate) fn new(
        device: &Arc<DmaDevice>,
        stats: &Arc<Stats>,
        id: u64,
        region: &Arc<Region>,
        range: Range<usize>,
        call: MapCall,
        direction: u32,
    ) -> Result<Arc<Self>> {
        if region.memory().is_dma() {
            return Err(errno::eopnotsupp());
        }
        let way = direction_of(direction)?;
        let mapping = StreamingMapping::map(device, region.clone(), range.clone(), call, way)?;
        let held = Some(Held::Device(mapping));
        let loan = Arc::pin_init(
            try_pin_init!(Self {
                id,
                part: Part { region: region.number(), range, direction },
                stats: stats.clone(),
                state <- new_mutex!(State { held, users: 0 }),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )?;
        stats.inc(Counter::Lent);
        Ok(loan)
    }

    /// Entries of its list, and stretches of the device's addresses.
    pub(crate) fn count(&self) -> (u32, u32) {
        let state = self.state.lock();
        state.held.as_ref().map_or((0, 0), Held::count)
    }

    /// Whether a transfer uses it.
    fn is_used(&self) -> bool {
        self.state.lock().users > 0
    }

    /// Passes it from one side to the other.
    fn sync(&self, flags: u32) {
        let mut state = self.state.lock();
        state.held = state.held.take().map(|held| held.synced(flags));
    }

    /// Where the device finds byte `offset` of the region.
    pub(crate) fn segment_at(&self, offset: usize) -> Option<Segment> {
        let within = offset.checked_sub(self.part.range.start)?;
        let state = self.state.lock();
        state.held.as_ref()?.of_device()?.segment_at(within)
    }
}

#[pinned_drop]
impl PinnedDrop for Loan {
    fn drop(self: Pin<&mut Self>) {
        self.stats.inc(Counter::TakenBack);
    }
}

/// A loan that a transfer uses: it stays the device's meanwhile.
pub(crate) struct Used(Arc<Loan>);

impl Used {
    /// Where the device finds byte `offset` of the region.
    pub(crate) fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.0.segment_at(offset)
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.users = state.users.wrapping_sub(1);
    }
}

/// Maps a part of a region for as long as `f` runs, which nobody else can map meanwhile.
///
/// `EBUSY` if somebody has mapped some of these bytes; else what [`map_for_call`] fails with.
pub(crate) fn map_for_transfer<R>(
    channel: &Channel,
    device: &InUse<'_>,
    region: &Region,
    range: Range<usize>,
    call: MapCall,
    direction: u32,
    f: impl for<'a> FnOnce(&mut ScopedMapping<'a>) -> R,
) -> Result<R> {
    let stats = &channel.engine.stats;
    let way = direction_of(direction)?;
    let _reserved = Reserved::new(channel, region.number(), range.clone(), direction)?;
    let result = map_for_call(device, region.memory(), range, call, way, |mapping| {
        stats.inc(Counter::Lent);
        f(mapping)
    })?;
    stats.inc(Counter::TakenBack);
    Ok(result)
}

/// A part of a region that a transfer uses, and that is no loan of the program's.
struct Reserved<'a> {
    channel: &'a Channel,
    part: Part,
}

impl<'a> Reserved<'a> {
    fn new(channel: &'a Channel, region: u64, range: Range<usize>, direction: u32) -> Result<Self> {
        let mut loans = channel.loans.lock();
        loans.check_free(region, &range, direction)?;
        let part = Part {
            region,
            range,
            direction,
        };
        loans.reserved.push(part.clone(), GFP_FOR_CALLER)?;
        Ok(Self { channel, part })
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut loans = self.channel.loans.lock();
        if let Some(at) = loans.reserved.iter().position(|part| *part == self.part) {
            // It was just found.
            let _ = loans.reserved.remove(at);
        }
    }
}

/// The loans and imported buffers of a file.
pub(crate) struct Loans {
    loans: KVec<Arc<Loan>>,
    /// What the transfer that is being made uses beside them.
    reserved: KVec<Part>,
    imports: KVec<(u64, Arc<Import>)>,
}

impl Loans {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            loans: KVec::new(),
            reserved: KVec::new(),
            imports: KVec::new(),
        }
    }

    /// `EBUSY` if some of these bytes are lent, or a transfer uses them, `ENOSPC` if there is no room for
    /// one more loan.
    pub(crate) fn check_room(&self, region: u64, range: &Range<usize>, direction: u32) -> Result {
        self.check_free(region, range, direction)?;
        if self
            .reserved
            .iter()
            .any(|part| part.overlaps(region, range))
        {
            return Err(EBUSY);
        }
        match self.loans.len() < uapi::MAX_LOANS as usize {
            true => Ok(()),
            false => Err(ENOSPC),
        }
    }

    /// `EBUSY` if some of these bytes are lent, but for what the transfer itself uses: it may read what
    /// it writes to. Two loans that the device writes to may not even share a cache line, as the CPU can
    /// only take back whole ones.
    fn check_free(&self, region: u64, range: &Range<usize>, direction: u32) -> Result {
        let lines = cache_lines(range);
        let mut all = Iterator::chain(self.parts(), self.reserved.iter());
        let shares_line = all.any(|part| {
            let both_write = direction & part.direction & uapi::LEND_FROM_DEVICE != 0;
            both_write && part.overlaps(region, &lines)
        });
        match shares_line || self.parts().any(|part| part.overlaps(region, range)) {
            true => Err(EBUSY),
            false => Ok(()),
        }
    }

    /// What the loans are of.
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.loans.iter().map(|loan| &loan.part)
    }

    /// Adds a loan.
    pub(crate) fn add(&mut self, loan: Arc<Loan>) -> Result {
        Ok(self.loans.push(loan, GFP_KERNEL_ACCOUNT)?)
    }

    /// Adds an imported buffer; `ENOSPC` if there is no room.
    pub(crate) fn add_import(&mut self, id: u64, import: Arc<Import>) -> Result {
        if self.imports.len() >= uapi::MAX_LOANS as usize {
            return Err(ENOSPC);
        }
        Ok(self.imports.push((id, import), GFP_KERNEL_ACCOUNT)?)
    }

    /// The imported buffer `id`, if there is one.
    pub(crate) fn import(&self, id: u64) -> Option<Arc<Import>> {
        let found = self.imports.iter().find(|(number, _)| *number == id);
        found.map(|(_, import)| import.clone())
    }

    /// Uses the loan of the bytes `range` for a transfer in `direction`. `None` if none of them is
    /// lent, `EBUSY` if it is another direction, only some of them, or the CPU's now.
    pub(crate) fn find(
        &self,
        region: u64,
        range: &Range<usize>,
        direction: u32,
    ) -> Result<Option<Used>> {
        let mut overlapping = self
            .loans
            .iter()
            .filter(|loan| loan.part.overlaps(region, range));
        let Some(loan) = overlapping.next() else {
            return Ok(None);
        };
        let part = &loan.part;
        let all = part.range.start <= range.start && range.end <= part.range.end;
        let mut state = loan.state.lock();
        let mapping = state.held.as_ref().and_then(Held::of_device);
        let there = mapping.is_some_and(|mapping| mapping.segment_at(0).is_some());
        if !all || !there || part.direction & direction != direction {
            return Err(EBUSY);
        }
        state.users = state.users.checked_add(1).ok_or(EBUSY)?;
        drop(state);
        Ok(Some(Used(loan.clone())))
    }

    /// Passes the loans that have some of the bytes `bytes` of a region from one side to the other. `EBUSY` if a
    /// transfer uses one of them: then none is.
    pub(crate) fn sync(&self, region: u64, bytes: &Range<u64>, flags: u32) -> Result {
        // As a region they fit.
        let bytes = bytes.start as usize..bytes.end as usize;
        let meant = |loan: &&Arc<Loan>| loan.part.overlaps(region, &bytes);
        // Nobody begins to use one meanwhile, as `find` wants `self`, which is locked.
        if self.loans.iter().filter(meant).any(|loan| loan.is_used()) {
            return Err(EBUSY);
        }
        self.loans
            .iter()
            .filter(meant)
            .for_each(|loan| loan.sync(flags));
        Ok(())
    }

    /// Takes out the loan or imported buffer `id`, to be dropped with no lock held.
    pub(crate) fn take(&mut self, id: u64) -> Result<Taken> {
        if let Some(at) = self.loans.iter().position(|loan| loan.id == id) {
            if self.loans.get(at).is_some_and(|loan| loan.is_used()) {
                return Err(EBUSY);
            }
            let loan = self.loans.remove(at).map_err(|_| ENOENT)?;
            return Ok(Taken::Loan { _loan: loan });
        }
        let at = self.imports.iter().position(|(number, _)| *number == id);
        let (_, import) = self.imports.remove(at.ok_or(ENOENT)?).map_err(|_| ENOENT)?;
        Ok(Taken::Import { _import: import })
    }
}

/// What was taken out.
pub(crate) enum Taken {
    Loan { _loan: Arc<Loan> },
    Import { _import: Arc<Import> },
}
