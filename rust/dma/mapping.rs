// SPDX-License-Identifier: GPL-2.0-only

//! A streaming DMA mapping that a program keeps, and who has the memory now.

use crate::stats::{
    Counter,
    Stats, //
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
        device::DmaDevice,
        direction::Direction,
        mapping::MapCall,
        segment::Segment,
        streaming::{
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
    const BOTH: u32 = uapi::DMA_TO_DEVICE | uapi::DMA_FROM_DEVICE;
    match flags {
        uapi::DMA_TO_DEVICE => Ok(Direction::ToDevice),
        uapi::DMA_FROM_DEVICE => Ok(Direction::FromDevice),
        BOTH => Ok(Direction::Bidirectional),
        _ => Err(EINVAL),
    }
}

/// Bytes of a region, and which way the device moves them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) region: u64,
    pub(crate) range: Range<usize>,
    pub(crate) direction: u32,
}

impl Part {
    /// Whether it has one of the bytes `range` of region `region`.
    pub(crate) fn overlaps(&self, region: u64, range: &Range<usize>) -> bool {
        self.region == region && self.range.start < range.end && range.start < self.range.end
    }
}

/// Bytes of a region that a program has mapped for the device.
#[pin_data(PinnedDrop)]
pub(crate) struct Mapping {
    pub(crate) id: u64,
    pub(crate) part: Part,
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

impl Mapping {
    /// Maps the bytes `range` of `region` for `device`. The number is the caller's choice.
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
        let streaming = StreamingMapping::map(device, region.clone(), range.clone(), call, way)?;
        let held = Some(Held::Device(streaming));
        let mapping = Arc::pin_init(
            try_pin_init!(Self {
                id,
                part: Part { region: region.number(), range, direction },
                stats: stats.clone(),
                state <- new_mutex!(State { held, users: 0 }),
            }? Error),
            GFP_FOR_CALLER,
        )?;
        stats.inc(Counter::Mapped);
        Ok(mapping)
    }

    /// Entries of its list, and stretches of the device's addresses.
    pub(crate) fn count(&self) -> (u32, u32) {
        let state = self.state.lock();
        state.held.as_ref().map_or((0, 0), Held::count)
    }

    /// Whether a transfer uses it.
    pub(crate) fn is_used(&self) -> bool {
        self.state.lock().users > 0
    }

    /// Has a transfer in `direction` use it, for the bytes `range` of the region. `EBUSY` if it is for another
    /// direction, for only some of them, or if the CPU has it now.
    pub(crate) fn use_for(self: &Arc<Self>, range: &Range<usize>, direction: u32) -> Result<Used> {
        let part = &self.part;
        let all = part.range.start <= range.start && range.end <= part.range.end;
        let mut state = self.state.lock();
        let mapping = state.held.as_ref().and_then(Held::of_device);
        let there = mapping.is_some_and(|mapping| mapping.segment_at(0).is_some());
        if !all || !there || part.direction & direction != direction {
            return Err(EBUSY);
        }
        state.users = state.users.checked_add(1).ok_or(EBUSY)?;
        drop(state);
        Ok(Used(self.clone()))
    }

    /// Passes it from one side to the other.
    pub(crate) fn sync(&self, flags: u32) {
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
impl PinnedDrop for Mapping {
    fn drop(self: Pin<&mut Self>) {
        self.stats.inc(Counter::Unmapped);
    }
}

/// A mapping that a transfer uses: it stays the device's meanwhile.
pub(crate) struct Used(Arc<Mapping>);

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
