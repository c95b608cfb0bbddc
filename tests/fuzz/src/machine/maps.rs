// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens to mappings.

use super::{keep, of, Machine, Mapping};
use crate::access;
use crate::program::{Access, Advice, Count, How, Move, Slot};
use anyhow::Result;
use mapwright::{block_bytes, page_bytes};
use std::os::fd::{AsRawFd as _, RawFd};

const NOWHERE: *mut libc::c_void = std::ptr::null_mut();

/// Where a mapping of a file begins, and what of it.
struct Place {
    file: RawFd,
    offset: u64,
    length: usize,
}

fn protection(access: Access) -> i32 {
    match access {
        Access::None => libc::PROT_NONE,
        Access::Read => libc::PROT_READ,
        Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        Access::Execute => libc::PROT_READ | libc::PROT_EXEC,
    }
}

fn advice_number(advice: Advice) -> i32 {
    match advice {
        Advice::Normal => libc::MADV_NORMAL,
        Advice::DontNeed => libc::MADV_DONTNEED,
        Advice::Free => libc::MADV_FREE,
        Advice::Remove => libc::MADV_REMOVE,
        Advice::DontFork => libc::MADV_DONTFORK,
        Advice::DoFork => libc::MADV_DOFORK,
        Advice::HugePage => libc::MADV_HUGEPAGE,
        Advice::NoHugePage => libc::MADV_NOHUGEPAGE,
        Advice::Cold => libc::MADV_COLD,
        Advice::PageOut => libc::MADV_PAGEOUT,
        Advice::PopulateRead => libc::MADV_POPULATE_READ,
        Advice::PopulateWrite => libc::MADV_POPULATE_WRITE,
        Advice::DontDump => libc::MADV_DONTDUMP,
        Advice::WipeOnFork => libc::MADV_WIPEONFORK,
        Advice::Mergeable => libc::MADV_MERGEABLE,
        Advice::Collapse => 25,
        Advice::SoftOffline => libc::MADV_SOFT_OFFLINE,
        Advice::WillNeed => libc::MADV_WILLNEED,
    }
}

/// An address that is a multiple of a block, with room for `length` bytes, if there is one.
fn room_for_blocks(length: usize) -> *mut libc::c_void {
    let room = length + block_bytes();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: The kernel chooses an address; what it chose is unmapped at once, and only taken again if nobody else did.
    unsafe {
        let at = libc::mmap(NOWHERE, room, libc::PROT_NONE, flags, -1, 0);
        if at == libc::MAP_FAILED {
            return NOWHERE;
        }
        libc::munmap(at, room);
        (at as usize).next_multiple_of(block_bytes()) as *mut _
    }
}

impl Machine {
    fn mmap(&self, place: &Place, access: Access, how: How) -> Option<usize> {
        let mut flags = match how {
            How::Private => libc::MAP_PRIVATE,
            How::Populated => libc::MAP_SHARED | libc::MAP_POPULATE,
            How::Locked => libc::MAP_SHARED | libc::MAP_LOCKED,
            _ => libc::MAP_SHARED,
        };
        let mut at = NOWHERE;
        let mut length = place.length;
        match how {
            How::Over(slot) => {
                let old = self.map(slot)?;
                // Whoever stored to the old one finds nothing of that in the new one.
                self.things().maps.retain(|map| map.address != old.address);
                (at, length) = (
                    old.address as *mut _,
                    length.min(old.pages as usize * page_bytes()),
                );
                flags |= libc::MAP_FIXED;
            }
            How::ForBlocks => {
                at = room_for_blocks(length);
                flags |= if at.is_null() {
                    0
                } else {
                    libc::MAP_FIXED_NOREPLACE
                };
            }
            _ => {}
        }
        let offset = place.offset as i64;
        // SAFETY: The kernel chooses where nothing is mapped, or it is in the place of a mapping that nobody borrows.
        let got =
            unsafe { libc::mmap64(at, length, protection(access), flags, place.file, offset) };
        (got != libc::MAP_FAILED).then_some(got as usize)
    }

    fn add_map(&self, map: Mapping) {
        if let Some(gone) = keep(&mut self.things().maps, map) {
            // SAFETY: The program's own, of which nothing is borrowed; no thread is sure that it is there.
            unsafe { libc::munmap(gone.address as *mut _, gone.pages as usize * page_bytes()) };
        }
    }

    pub(super) fn map_region(
        &self,
        region: Slot,
        from: Count,
        pages: Count,
        access: Access,
        how: How,
    ) {
        let Some(region) = self.region(region) else {
            return;
        };
        let first = from.first(region.pages);
        let offset = region.offset + first * page_bytes() as u64;
        let pages = pages.pages(region.pages);
        let place = Place {
            file: region.file.as_raw_fd(),
            offset,
            length: pages as usize * page_bytes(),
        };
        if let Some(address) = self.mmap(&place, access, how) {
            let contents = (!matches!(how, How::Private)).then(|| (region.contents.clone(), first));
            self.add_map(Mapping {
                address,
                pages,
                of: contents,
            });
        }
    }

    pub(super) fn map_bare(&self, file: Slot, from: Count, pages: Count, access: Access, how: How) {
        let Some(file) = self.file(file) else { return };
        let pages = pages.pages(256);
        let offset = from.first(256) * page_bytes() as u64;
        let place = Place {
            file: file.as_raw_fd(),
            offset,
            length: pages as usize * page_bytes(),
        };
        // It may be a region's memory under another name: a DMA-buf.
        self.forget_all();
        if let Some(address) = self.mmap(&place, access, how) {
            self.add_map(Mapping {
                address,
                pages,
                of: None,
            });
        }
    }

    /// Where a part of a mapping is: its address and bytes, which may reach beyond the mapping's end.
    pub(super) fn part(
        &self,
        slot: Slot,
        from: Count,
        pages: Count,
    ) -> Option<(Mapping, usize, usize)> {
        let map = self.map(slot)?;
        let first = from.first(map.pages).min(map.pages);
        let pages = pages.pages(map.pages).min(map.pages - first);
        let address = map.address + first as usize * page_bytes();
        Some((map, address, pages as usize * page_bytes()))
    }

    pub(super) fn unmap(&self, slot: Slot, from: Count, pages: Count) {
        let Some((map, address, bytes)) = self.part(slot, from, pages) else {
            return;
        };
        // Nobody knows what will be there.
        self.things()
            .maps
            .retain(|other| other.address != map.address);
        // SAFETY: A part of a mapping that nobody borrows.
        unsafe { libc::munmap(address as *mut _, bytes) };
        let put = |address: usize, pages: u64, first: u64| {
            if pages > 0 {
                let of = map
                    .of
                    .as_ref()
                    .map(|(contents, page)| (contents.clone(), page + first));
                keep(&mut self.things().maps, Mapping { address, pages, of });
            }
        };
        let before = (address - map.address) as u64 / page_bytes() as u64;
        let gone = bytes as u64 / page_bytes() as u64;
        put(map.address, before, 0);
        put(address + bytes, map.pages - before - gone, before + gone);
    }

    pub(super) fn move_map(
        &self,
        slot: Slot,
        from: Count,
        pages: Count,
        to_pages: Count,
        how: Move,
    ) {
        let Some((map, address, bytes)) = self.part(slot, from, pages) else {
            return;
        };
        let new_pages = to_pages.pages(map.pages);
        let (mut flags, mut onto) = (0, NOWHERE);
        match how {
            Move::InPlace => {}
            Move::Anywhere => flags = libc::MREMAP_MAYMOVE,
            Move::LeaveBehind => flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP,
            Move::Onto(slot) => {
                let Some(other) = self.map(slot) else { return };
                if new_pages > other.pages {
                    return;
                }
                flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
                onto = other.address as *mut _;
                self.things()
                    .maps
                    .retain(|map| map.address != other.address);
            }
        }
        let length = new_pages as usize * page_bytes();
        // SAFETY: Parts of mappings that nobody borrows, moved to where nothing is, or onto another such mapping.
        let got = unsafe { libc::mremap(address as *mut _, bytes, length, flags, onto) };
        if got == libc::MAP_FAILED {
            return;
        }
        let first = (address - map.address) as u64 / page_bytes() as u64;
        self.things()
            .maps
            .retain(|other| other.address != map.address);
        let of = map.of.map(|(contents, page)| (contents, page + first));
        self.add_map(Mapping {
            address: got as usize,
            pages: new_pages,
            of,
        });
    }

    pub(super) fn protect(&self, slot: Slot, from: Count, pages: Count, access: Access) {
        if let Some((_, address, bytes)) = self.part(slot, from, pages) {
            // SAFETY: A part of a mapping that nobody borrows.
            unsafe { libc::mprotect(address as *mut _, bytes, protection(access)) };
        }
    }

    pub(super) fn advise(&self, slot: Slot, from: Count, pages: Count, advice: Advice) {
        if let Some((_, address, bytes)) = self.part(slot, from, pages) {
            // SAFETY: A part of a mapping that nobody borrows.
            unsafe { libc::madvise(address as *mut _, bytes, advice_number(advice)) };
        }
    }

    pub(super) fn lock(&self, slot: Slot, on: bool) {
        if let Some(map) = self.map(slot) {
            let (at, bytes) = (map.address as *const _, map.pages as usize * page_bytes());
            // SAFETY: It changes nothing that a program could see.
            unsafe {
                if on {
                    libc::mlock(at, bytes)
                } else {
                    libc::munlock(at, bytes)
                }
            };
        }
    }

    pub(super) fn synchronize(&self, slot: Slot) {
        if let Some(map) = self.map(slot) {
            // SAFETY: It changes nothing that a program could see.
            unsafe {
                libc::msync(
                    map.address as *mut _,
                    map.pages as usize * page_bytes(),
                    libc::MS_SYNC,
                )
            };
        }
    }

    pub(super) fn load(&self, slot: Slot, page: Count) -> Result<()> {
        let Some(map) = self.map(slot) else {
            return Ok(());
        };
        let page = page.first(map.pages);
        if page >= map.pages {
            return Ok(());
        }
        self.load_page(&map, page)
    }

    fn load_page(&self, map: &Mapping, page: u64) -> Result<()> {
        let byte = access::load(map.address + page as usize * page_bytes());
        match (byte, &map.of) {
            (Some(byte), Some((contents, first))) if self.has(map) => {
                self.expect(contents, first + page, byte, "a load")
            }
            _ => Ok(()),
        }
    }

    /// Whether the mapping is still what the program knows of it.
    fn has(&self, map: &Mapping) -> bool {
        let things = self.things();
        things
            .maps
            .iter()
            .any(|other| other.address == map.address && other.pages == map.pages)
    }

    pub(super) fn store(&self, slot: Slot, page: Count, byte: u8) {
        if let Some(map) = self.map(slot) {
            let page = page.first(map.pages);
            if page < map.pages {
                store_page(&map, page, byte);
            }
        }
    }

    pub(super) fn load_all(&self, slot: Slot) -> Result<()> {
        let Some(map) = self.map(slot) else {
            return Ok(());
        };
        (0..map.pages).try_for_each(|page| self.load_page(&map, page))
    }

    pub(super) fn store_all(&self, slot: Slot, byte: u8) {
        if let Some(map) = self.map(slot) {
            (0..map.pages).for_each(|page| store_page(&map, page, byte));
        }
    }

    /// A mapping for a child, which has it, too.
    pub(super) fn inherited(&self, slot: Slot) -> Option<Mapping> {
        of(&self.things().maps, slot)
    }
}

pub(super) fn store_page(map: &Mapping, page: u64, byte: u8) {
    if access::store(map.address + page as usize * page_bytes(), byte) {
        if let Some((contents, first)) = &map.of {
            contents.set(first + page, byte);
        }
    }
}
