// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of the buddy allocator: how blocks are split and merged.

/// Free blocks of each order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists(pub Vec<u64>);

impl Lists {
    /// Takes a block of `order`: the smallest that is large enough, split in halves, of which one is kept
    /// and the other one is free, until it has the size. Returns the order of the block that was taken,
    /// or `None` if there is none.
    pub fn take(&mut self, order: usize) -> Option<usize> {
        let from = (order..self.0.len()).find(|from| self.0[*from] > 0)?;
        self.0[from] -= 1;
        for half in order..from {
            self.0[half] += 1;
        }
        Some(from)
    }

    /// Gives a block of `order` back, whose buddies up to order `until` are free: each two become one.
    pub fn give(&mut self, order: usize, until: usize) {
        for half in order..until {
            self.0[half] -= 1;
        }
        self.0[until] += 1;
    }
}

/// The frame number of the other half of what a block of `order` at `pfn` was split from.
pub fn buddy_of(pfn: u64, order: usize) -> u64 {
    pfn ^ (1 << order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_block_leaves_a_half_of_each_order() {
        let mut lists = Lists(vec![0, 0, 0, 0, 1]);
        assert_eq!(lists.take(1), Some(4));
        assert_eq!(lists, Lists(vec![0, 1, 1, 1, 0]));
    }

    #[test]
    fn a_block_of_the_right_size_is_not_split() {
        let mut lists = Lists(vec![3, 2, 1]);
        assert_eq!(lists.take(1), Some(1));
        assert_eq!(lists, Lists(vec![3, 1, 1]));
    }

    #[test]
    fn what_was_split_merges_again() {
        let before = Lists(vec![0, 0, 1, 0, 2]);
        let mut lists = before.clone();
        let from = lists.take(0).unwrap();
        assert_eq!((from, &lists), (2, &Lists(vec![1, 1, 0, 0, 2])));
        lists.give(0, from);
        assert_eq!(lists, before);
    }

    #[test]
    fn nothing_is_taken_where_nothing_is_large_enough() {
        let mut lists = Lists(vec![8, 4, 0]);
        assert_eq!(lists.take(2), None);
        assert_eq!(lists, Lists(vec![8, 4, 0]));
    }

    #[test]
    fn buddies_are_each_others() {
        assert_eq!(buddy_of(0x1000, 3), 0x1008);
        assert_eq!(buddy_of(buddy_of(0x12340, 5), 5), 0x12340);
    }
}
