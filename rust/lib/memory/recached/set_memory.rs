// SPDX-License-Identifier: GPL-2.0-only

//! Memory of another type in the direct map, too, as x86 needs it.
//!
//! On x86 a page must have the same memory type wherever it is mapped: the kernel silently keeps a
//! user mapping of ordinary memory write-back, whatever it is asked for, as long as the direct map has
//! it so. Here the direct map is changed first, and changed back before the memory is freed. Others
//! than x86 have no such functions for modules.

use crate::{
    base::{
        errno,
        task::{
            between_pieces,
            let_others_run, //
        }, //
    },
    memory::{
        backing::{
            AddressClass,
            Backing,
            KernelRange,
            Run, //
        },
        blocks::MAX_BLOCK_PAGES,
        caching::Caching, //
    }, //
};
use core::mem::ManuallyDrop;
use kernel::prelude::*;

/// A backing whose memory has another memory type, in the direct map and wherever it is mapped.
///
/// # Invariants
///
/// The pages of `backing` from `changed` on are write-back in the direct map. When `new` returns there are
/// none, and all have the type `caching`. `backing` is in the direct map.
pub struct Recached<B: Backing> {
    backing: ManuallyDrop<B>,
    caching: Caching,
    changed: usize,
}

impl<B: Backing + 'static> Recached<B> {
    /// Changes the memory type of `backing`.
    ///
    /// `EOPNOTSUPP` if it is not in the direct map or the architecture has no way to do that,
    /// `ENOMEM` if a page table could not be allocated, `EINTR` if the caller is killed meanwhile.
    pub fn new(backing: B, caching: Caching) -> Result<Self> {
        if backing.address_class() != AddressClass::DirectMap {
            return Err(errno::eopnotsupp());
        }
        // The invariant holds for what has been changed so far, so that an early return undoes it.
        let mut recached = Self {
            backing: ManuallyDrop::new(backing),
            caching,
            changed: 0,
        };
        while recached.changed < recached.nr_pages() {
            let first = recached.changed;
            let nr_pages = piece_at(&recached, first).ok_or(EINVAL)?;
            // Also what fails: the kernel leaves the pages before the one that failed as they are.
            recached.changed = first.wrapping_add(nr_pages);
            set_memory(&recached, first, nr_pages, caching)?;
            between_pieces()?;
        }
        Ok(recached)
    }
}

/// How many contiguous pages there are from page `page` on, of those that one call changes.
fn piece_at(backing: &dyn Backing, page: usize) -> Option<usize> {
    let run = backing.run_at(page)?;
    Some(run.nr_pages.min(MAX_BLOCK_PAGES))
}

impl<B: Backing> Drop for Recached<B> {
    fn drop(&mut self) {
        let mut page = 0usize;
        while page < self.changed {
            let Some(nr_pages) = piece_at(&*self.backing, page) else {
                break;
            };
            if set_memory(&*self.backing, page, nr_pages, Caching::WriteBack).is_err() {
                // Better lost than given to somebody who takes it for ordinary memory.
                pr_err!("{nr_pages} pages could not be made write-back again and are lost\n");
                return;
            }
            page = page.wrapping_add(nr_pages);
            let_others_run();
        }
        // SAFETY: It is not used any more.
        unsafe { ManuallyDrop::drop(&mut self.backing) };
    }
}

// SAFETY: These are the promises of the backing inside, which `Drop` drops last, but for the reference counts, which
// are not offered.
unsafe impl<B: Backing> Backing for Recached<B> {
    fn nr_pages(&self) -> usize {
        self.backing.nr_pages()
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        self.backing.run_at(page)
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        self.backing.range_at(page)
    }

    fn refcounted(&self) -> bool {
        // Who has a reference to a page may map it as ordinary memory.
        false
    }

    fn address_class(&self) -> AddressClass {
        self.backing.address_class()
    }

    fn caching(&self) -> Caching {
        self.caching
    }
}

/// Changes the memory type of `nr_pages` pages of `backing` from page `page` on, in the direct map.
#[cfg(CONFIG_X86)]
fn set_memory(backing: &dyn Backing, page: usize, nr_pages: usize, caching: Caching) -> Result {
    use crate::ffi;
    use kernel::error::to_result;

    let addr = backing.range_at(page).ok_or(EINVAL)?.addr.as_ptr() as usize;
    let nr_pages = i32::try_from(nr_pages).map_err(|_| EINVAL)?;
    // SAFETY: These are pages of the direct map that the backing owns: nobody else minds their memory
    // type. What maps them to user space takes the type from the backing.
    to_result(unsafe {
        match caching {
            Caching::WriteBack => ffi::set_memory_wb(addr, nr_pages),
            Caching::WriteCombine => ffi::set_memory_wc(addr, nr_pages),
            Caching::Uncached => ffi::set_memory_uc(addr, nr_pages),
        }
    })
}

#[cfg(not(CONFIG_X86))]
fn set_memory(_: &dyn Backing, _: usize, _: usize, _: Caching) -> Result {
    Err(errno::eopnotsupp())
}
