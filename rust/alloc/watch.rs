// SPDX-License-Identifier: GPL-2.0-only

//! What is looked at while a plan runs: the clock, or what was allocated.

use kernel::prelude::*;
use mapkit::{
    base::{
        gfp::GFP_FOR_CALLER,
        sysinfo, //
    },
    memory::backing::AddressClass,
    source::{
        Fresh,
        Source,
        Span,
        Watch,
        Zone, //
    }, //
};
use mapwright_uapi::alloc as uapi;

/// How long operations took, in buckets that double.
pub(crate) type Histogram = [u32; uapi::BUCKETS];

/// Times each operation.
pub(crate) struct Timed<'a> {
    pub(crate) allocating: &'a mut Histogram,
    pub(crate) freeing: &'a mut Histogram,
}

#[inline]
fn timed<T>(histogram: &mut Histogram, f: impl FnOnce() -> T) -> T {
    let before = sysinfo::nanoseconds();
    let result = f();
    let ns = sysinfo::nanoseconds().saturating_sub(before);
    let bucket = (u64::BITS.wrapping_sub(ns.leading_zeros()) as usize).min(uapi::BUCKETS - 1);
    if let Some(count) = histogram.get_mut(bucket) {
        *count = count.saturating_add(1);
    }
    result
}

impl Watch for Timed<'_> {
    fn allocating<T>(&mut self, allocate: impl FnOnce() -> Option<T>) -> Option<T> {
        timed(self.allocating, allocate)
    }

    fn freeing(&mut self, free: impl FnOnce()) {
        timed(self.freeing, free)
    }
}

/// Records what the first allocations gave.
pub(crate) struct Recorder {
    records: KVVec<uapi::Record>,
    room: usize,
    each_page: bool,
    fill: bool,
    /// Allocations so far.
    index: u32,
}

impl Recorder {
    /// A watch with room for `room` records. `ENOMEM` if there is no memory for them.
    pub(crate) fn new(room: usize, flags: u32) -> Result<Self> {
        Ok(Self {
            records: KVVec::with_capacity(room, GFP_FOR_CALLER)?,
            room,
            each_page: flags & uapi::EACH_PAGE != 0,
            fill: flags & uapi::FILL != 0,
            index: 0,
        })
    }

    /// The records.
    pub(crate) fn into_records(self) -> KVVec<uapi::Record> {
        self.records
    }

    fn push(&mut self, record: uapi::Record) {
        // There is room, which was made beforehand.
        let _ = self.records.push_within_capacity(record);
    }

    fn is_full(&self) -> bool {
        self.records.len() >= self.room
    }

    fn record_pages(&mut self, span: &Span<'_>) {
        for page in span.pages() {
            if self.is_full() {
                return;
            }
            self.push(uapi::Record {
                address: page.address as u64,
                pfn: page.pfn as u64,
                pages: 1,
                runs: 1,
                longest_run: 1,
                zone: zone(page.zone).number(),
                node: page.node,
                ..self.outline(span)
            });
        }
    }

    /// What all records of an object have in common.
    fn outline(&self, span: &Span<'_>) -> uapi::Record {
        uapi::Record {
            dma_addr: span.dma_addr().unwrap_or(uapi::NO_DMA_ADDR),
            actual_bytes: span.actual_bytes() as u64,
            index: self.index,
            address_class: address_class(span).number(),
            ..Default::default()
        }
    }

    fn record_object(&mut self, span: &Span<'_>, flags: u32) {
        let mut record = uapi::Record {
            address: span.address() as u64,
            flags,
            ..self.outline(span)
        };
        let mut run = 0u32;
        let mut last = None;
        for page in span.pages() {
            if last.is_none() {
                record.pfn = page.pfn as u64;
                record.zone = zone(page.zone).number();
                record.node = page.node;
            }
            if last == Some(page.pfn.wrapping_sub(1)) {
                run = run.saturating_add(1);
            } else {
                run = 1;
                record.runs = record.runs.saturating_add(1);
            }
            record.longest_run = record.longest_run.max(run);
            record.pages = record.pages.saturating_add(1);
            last = Some(page.pfn);
        }
        self.push(record);
    }
}

impl Watch for Recorder {
    const LOOKS: bool = true;

    fn allocated<S: Source>(&mut self, mut fresh: Fresh<'_, S>) {
        if !self.is_full() {
            match self.each_page {
                true => self.record_pages(&fresh.span()),
                false => {
                    let flags = contents(&mut fresh, self.fill);
                    self.record_object(&fresh.span(), flags);
                }
            }
        }
        self.index = self.index.saturating_add(1);
    }
}

/// What is to be said of an object's bytes. Fills them afterwards, if so wanted.
fn contents<S: Source>(fresh: &mut Fresh<'_, S>, fill: bool) -> u32 {
    let mut flags = 0;
    if fresh.change.moved {
        flags |= uapi::MOVED;
    }
    if fresh.change.kept {
        flags |= uapi::KEPT;
    }
    if let Some(bytes) = fresh.bytes() {
        if bytes.iter().all(|byte| *byte == 0) {
            flags |= uapi::ZEROED;
        }
        if fill {
            bytes.fill(uapi::FILL_BYTE);
        }
    }
    flags
}

fn zone(zone: Zone) -> uapi::Zone {
    match zone {
        Zone::Dma => uapi::Zone::Dma,
        Zone::Dma32 => uapi::Zone::Dma32,
        Zone::Normal => uapi::Zone::Normal,
        Zone::HighMem => uapi::Zone::HighMem,
        Zone::Movable => uapi::Zone::Movable,
        Zone::Device => uapi::Zone::Device,
    }
}

fn address_class(span: &Span<'_>) -> mapwright_uapi::AddressClass {
    match span.address_class() {
        AddressClass::DirectMap => mapwright_uapi::AddressClass::DirectMap,
        AddressClass::Vmalloc => mapwright_uapi::AddressClass::Vmalloc,
    }
}
