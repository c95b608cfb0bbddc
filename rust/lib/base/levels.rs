// SPDX-License-Identifier: GPL-2.0-only

//! How much an entry of each level of page tables maps.
//!
//! C header: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h)

use kernel::page::PAGE_SIZE;

/// Pages of a block, which is what an entry of the middle level of page tables maps: 512 with pages of
/// 4 KiB, 2048 with pages of 16 KiB. A page table, of as many entries, fills a page with 8 bytes for each.
///
/// `helpers.c` checks it: `bindings` has no `PMD_SHIFT` on arm64, where it is a macro with arguments.
///
/// For an example, see [`Folios`](crate::memory::folios::Folios).
pub const PMD_PAGES: usize = PAGE_SIZE / 8;

/// Pages of what an entry of the upper level maps. `helpers.c` checks it.
#[cfg(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))]
pub(crate) const PUD_PAGES: usize = PMD_PAGES * PMD_PAGES;

/// Bytes of them.
#[cfg(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))]
pub(crate) const PUD_BYTES: usize = PUD_PAGES * PAGE_SIZE;
