// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of the page allocator's watermarks: how `__setup_per_zone_wmarks()` sets them and how
//! `__zone_watermark_ok()` compares with them (`mm/page_alloc.c`). All numbers are of pages.

/// The watermarks of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Below it, who allocates must reclaim memory first.
    pub min: u64,
    /// Below it, kswapd is woken.
    pub low: u64,
    /// Above it, kswapd sleeps again.
    pub high: u64,
}

/// What the watermarks of all zones are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `vm.min_free_kbytes`, in pages.
    pub min_free: u64,
    /// `vm.watermark_scale_factor`, in parts of 10000.
    pub scale_factor: u64,
    /// Managed pages of all zones but `HighMem` and `Movable`.
    pub lowmem: u64,
}

impl Settings {
    /// The watermarks of a zone with `managed` pages, which is not `HighMem` or `Movable`.
    pub fn marks(&self, managed: u64) -> Marks {
        let share = self.min_free * managed / self.lowmem.max(1);
        let distance = (share / 4).max(managed * self.scale_factor / 10_000);
        Marks {
            min: share,
            low: share + distance,
            high: share + 2 * distance,
        }
    }
}

/// What a zone has at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Free pages.
    pub free: u64,
    /// Free pages that are kept for urgent allocations of several pages.
    pub free_highatomic: u64,
    /// Pages that are kept from allocations which could also use a higher zone.
    pub protection: u64,
    /// Free blocks by order.
    pub blocks: Vec<u64>,
}

impl Zone {
    /// How many more single pages there are than an allocation with no right to reserves must leave, if
    /// `mark` is its watermark; negative if so many are missing.
    pub fn room(&self, mark: u64) -> i64 {
        let must_stay = mark + self.protection + self.free_highatomic;
        self.free as i64 - must_stay as i64
    }

    /// Whether an allocation of 2^`order` pages, with no right to reserves, may be made above `mark`.
    pub fn is_ok(&self, order: usize, mark: u64) -> bool {
        let unusable = self.free_highatomic + (1 << order) - 1;
        let usable = self.free.saturating_sub(unusable);
        // Enough pages, and for a block one that is large enough.
        let enough = usable > mark + self.protection;
        enough && (order == 0 || self.blocks.iter().skip(order).any(|blocks| *blocks > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(free: u64) -> Zone {
        Zone {
            free,
            free_highatomic: 0,
            protection: 0,
            blocks: vec![free, 0, 0],
        }
    }

    #[test]
    fn marks_of_a_real_machine() {
        // Linux 7.2, 1 GiB: min_free_kbytes is 45056.
        let settings = Settings {
            min_free: 45056 / 4,
            scale_factor: 10,
            lowmem: 3840 + 242_303,
        };
        let dma = settings.marks(3840);
        assert_eq!((dma.min, dma.low, dma.high), (175, 218, 261));
        let dma32 = settings.marks(242_303);
        assert_eq!((dma32.min, dma32.low, dma32.high), (11088, 13860, 16632));
    }

    #[test]
    fn a_large_zone_is_spread_by_the_scale_factor() {
        let settings = Settings {
            min_free: 1000,
            scale_factor: 100,
            lowmem: 1_000_000,
        };
        let marks = settings.marks(1_000_000);
        assert_eq!((marks.min, marks.low, marks.high), (1000, 11_000, 21_000));
    }

    #[test]
    fn free_pages_must_be_more_than_the_mark() {
        assert!(zone(101).is_ok(0, 100));
        assert!(!zone(100).is_ok(0, 100));
    }

    #[test]
    fn what_is_kept_does_not_count() {
        let kept = Zone {
            protection: 50,
            ..zone(150)
        };
        assert!(!kept.is_ok(0, 100));
        let urgent = Zone {
            free_highatomic: 1,
            ..zone(101)
        };
        assert!(!urgent.is_ok(0, 100));
    }

    #[test]
    fn a_block_needs_one_that_is_large_enough() {
        assert!(!zone(1000).is_ok(1, 100), "all free pages are single");
        let split = Zone {
            blocks: vec![0, 0, 1],
            ..zone(1000)
        };
        assert!(split.is_ok(1, 100) && split.is_ok(2, 100));
        // 1000 - 3 are not more than 997.
        assert!(!split.is_ok(2, 997));
    }
}
