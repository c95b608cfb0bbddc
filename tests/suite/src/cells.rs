// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each cell of the table: every backing with every method and every memory type. The sound ones are
//! mapped and work; the unsound ones are refused.

use crate::{
    raw::{largest_block, Map},
    runner::{Case, Suite},
    touch::faults_of_loading,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_size, page_bytes, page_size, reason_against, reason_against_caching, uapi,
    uapi::Request as _, Backing, Caching, Method, Region, Session,
};
use nix::errno::Errno;
use std::fs;

pub const SUITE: Suite = Suite {
    name: "cells",
    cases,
};

/// A cell of the table.
#[derive(Clone, Copy)]
pub struct Cell {
    pub backing: Backing,
    pub method: Method,
    pub caching: Caching,
}

impl Cell {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let words = Backing::ALL.iter().flat_map(|backing| {
            Method::ALL.iter().flat_map(move |method| {
                Caching::ALL
                    .iter()
                    .map(move |caching| (*backing, *method, *caching))
            })
        });
        words.map(|(backing, method, caching)| Self {
            backing,
            method,
            caching,
        })
    }

    /// The sound ones whose memory is write-back.
    pub fn ordinary() -> impl Iterator<Item = Self> {
        Self::all().filter(Self::is_sound).filter(Self::is_ordinary)
    }

    /// Whether its memory is write-back.
    pub fn is_ordinary(&self) -> bool {
        self.caching == Caching::WriteBack
    }

    /// Whether the kernel can do that.
    pub fn is_sound(&self) -> bool {
        reason_against(self.backing, self.method).is_none()
            && reason_against_caching(self.backing, self.method, self.caching).is_none()
    }

    /// Whether pages are mapped when they are touched.
    pub fn is_lazy(&self) -> bool {
        matches!(
            self.method,
            Method::Fault | Method::FaultPfn | Method::Huge | Method::HugeFolio | Method::PageCache
        )
    }

    /// Whether the kernel counts the pages, and can pin them.
    pub fn is_counted(&self) -> bool {
        matches!(
            self.method,
            Method::Insert
                | Method::Fault
                | Method::HugeFolio
                | Method::VmallocRemap
                | Method::PageCache
        )
    }

    /// `pages_remap_wb`.
    pub fn name(&self) -> String {
        let words = [self.backing.name(), self.method.name(), self.caching.name()];
        words.join("_").replace('-', "_")
    }

    /// `pages_remap`.
    pub fn pair(&self) -> String {
        [self.backing.name(), self.method.name()]
            .join("_")
            .replace('-', "_")
    }

    /// Makes a region of it.
    pub fn create(&self, session: &Session, bytes: u64) -> Result<Region, Errno> {
        session.create_as(uapi::Create {
            backing: self.backing.number(),
            method: self.method.number(),
            caching: self.caching.number(),
            bytes,
            ..uapi::Create::new()
        })
    }
}

fn cases() -> Vec<Case> {
    Cell::all()
        .map(|cell| match cell.is_sound() {
            true => Case::new(cell.name(), move |_| works(cell)),
            false => Case::new(format!("{}_is_refused", cell.name()), move |_| {
                is_refused(cell)
            }),
        })
        .collect()
}

fn is_refused(cell: Cell) -> Result<()> {
    let result = cell.create(&Session::open()?, page_size()).err();
    ensure!(result == Some(Errno::EOPNOTSUPP), "{result:?}");
    Ok(())
}

/// Bytes that are free in the area for contiguous memory (CMA); 0 if there is none.
pub fn cma_free() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("CmaFree:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.map_or(Ok(0), str::parse::<u64>)? << 10)
}

/// Zeroed, seen alike from both sides at every page, and faulted as the method says.
fn works(cell: Cell) -> Result<()> {
    let session = Session::open()?;
    let page = page_size();
    let most = match cell.backing {
        Backing::Kmalloc => largest_block()?,
        // Half of what was free when the module was loaded is the limit.
        Backing::Coherent => match cma_free()? {
            0 => largest_block()?,
            free => largest_block()?.min(free / 4),
        },
        _ => u64::MAX,
    };
    for bytes in [page, 3 * page, 64 * page, most.min(block_size() + page)] {
        let region = cell
            .create(&session, bytes)
            .with_context(|| format!("{bytes} bytes"))?;
        let length = usize::try_from(bytes)?;
        let map = Map::shared(&session, region.offset, length)?;

        let faults = faults_of_loading(&map, length)?;
        for at in (0..length).step_by(page_bytes()) {
            ensure!(
                map.load(at) == 0 && map.load(at + page_bytes() - 1) == 0,
                "byte {at} was not zeroed"
            );
        }
        let pages = bytes / page;
        match cell.is_lazy() {
            // A window of 16 pages; the first and the last may be cut by the VMA's start and end.
            true => ensure!(
                (1..=pages / 16 + 2).contains(&faults),
                "{faults} faults, {pages} pages"
            ),
            false => ensure!(faults == 0, "{faults} faults of an eager mapping"),
        }

        for page in 0..length / page_bytes() {
            let within = page % page_bytes();
            let (at, value) = (page * page_bytes() + within, page as u8 | 1);
            map.store(at, value);
            let mut byte = [0];
            session.read_at(&region, at as u64, &mut byte)?;
            ensure!(byte == [value], "page {page}: the kernel sees {byte:?}");
            session.write_at(&region, at as u64, &[value ^ 0xfe])?;
            ensure!(
                map.load(at) == value ^ 0xfe,
                "page {page}: the program sees something else"
            );
        }
        drop(map);
        session.destroy(&region)?;
    }
    Ok(())
}
