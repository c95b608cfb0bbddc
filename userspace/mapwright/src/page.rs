// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sizes that the kernel maps memory in: as numbers of bytes, and as lengths in a program's memory.

/// Bytes of a page.
pub fn page_size() -> u64 {
    procfs::page_size()
}

/// Bytes of a page.
pub fn page_bytes() -> usize {
    // It fits: a program has many of them.
    page_size() as usize
}

/// Bytes of a block: what an entry of the middle level of page tables (PMD) maps. 2 MiB with pages of
/// 4 KiB, 32 MiB with pages of 16 KiB.
pub fn block_size() -> u64 {
    block_of(page_size())
}

/// Bytes of a block, see [`block_size`].
pub fn block_bytes() -> usize {
    // It fits, as pages do.
    block_size() as usize
}

/// A block is what a page table maps, which fills a page with 8 bytes for each of its pages. ARM's short
/// descriptors have 4 bytes, but Linux keeps 4 of its own beside each.
const fn block_of(page: u64) -> u64 {
    page * (page / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_with_pages() {
        assert_eq!(block_of(4 << 10), 2 << 20);
        assert_eq!(block_of(16 << 10), 32 << 20);
        assert_eq!(block_of(64 << 10), 512 << 20);
    }
}
