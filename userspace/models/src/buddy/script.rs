// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of a script, and the rows that the document has for them.

use super::{buddy_of, Block, Buddies, Pool, State, Taken, MAX_ORDER, PAGE};
use crate::{
    script::{hex, Done, Model, Words},
    transcript::{self, Row},
};
use std::collections::VecDeque;

impl Model for Pool {
    fn is_setup(word: &str) -> bool {
        word == "pool"
    }

    fn begin(&mut self) -> Done {
        let order = self.buddies.order();
        let mut cells = self.cells();
        cells[order] = self.block(0, order);
        Ok(vec![Row::new(
            "Initial",
            cells,
            format!("One order-{order} block"),
        )])
    }

    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done> {
        match word {
            "pool" => Some(self.set_up(rest)),
            "alloc" => Some(self.alloc(rest)),
            "free" => Some(self.free(rest)),
            _ => None,
        }
    }

    fn columns(&self) -> Vec<String> {
        let lists = (0..=self.buddies.order()).map(|order| format!("free_list[{order}]"));
        let ends = ["Step".to_owned()].into_iter().chain(lists);
        ends.chain(["Action".to_owned()]).collect()
    }

    fn state(&self) -> transcript::State {
        let free = self.buddies.free.iter();
        let used = self.buddies.used.iter();
        transcript::State::Buddy(State {
            start: self.start,
            order: self.buddies.order(),
            free: free
                .map(|list| list.iter().map(|block| self.address(*block)).collect())
                .collect(),
            used: used
                .map(|(block, order)| Block {
                    address: self.address(*block),
                    order: *order,
                })
                .collect(),
        })
    }
}

impl Pool {
    fn set_up(&mut self, rest: &mut Words) -> Done {
        let start = rest.number("the pool's address")?;
        let order = rest.number("the pool's order")?;
        if start % PAGE != 0 {
            return Err(format!("{} is not the address of a page", hex(start)));
        }
        let order = usize::try_from(order).unwrap_or(usize::MAX);
        if order > MAX_ORDER {
            return Err(format!("the largest block has the order {MAX_ORDER}"));
        }
        if start.checked_add(PAGE << order).is_none() {
            return Err("the pool is beyond the last address".to_owned());
        }
        self.start = start;
        self.buddies = Buddies::new(order);
        Ok(Vec::new())
    }

    fn alloc(&mut self, rest: &mut Words) -> Done {
        let order = rest.number("the order")?;
        let top = self.buddies.order();
        let order = usize::try_from(order).unwrap_or(usize::MAX);
        if order > top {
            return Err(format!(
                "the order is {order}, and the whole pool has the order {top}"
            ));
        }
        let mut rows = Vec::new();
        let from = self.buddies.smallest(order);
        for empty in order..from.unwrap_or(top + 1) {
            let mut cells = self.cells();
            cells[empty] = "empty".to_owned();
            let says = if empty < top {
                "Miss → look higher"
            } else {
                "Miss, and nothing is higher"
            };
            rows.push(Row::new(format!("Check [{empty}]"), cells, says));
        }
        let before = self.clone();
        let Some(taken) = self.buddies.take(order) else {
            rows.push(Row::new(
                "Fail",
                self.cells(),
                "NULL → caller: no block is large enough",
            ));
            return Ok(rows);
        };
        rows.extend(before.splitting(&taken, order));
        let half = if taken.from > order {
            "Lower half "
        } else {
            ""
        };
        let says = format!("{half}{} → caller", self.block(taken.block, order));
        rows.push(Row::new("Return", self.cells(), says));
        Ok(rows)
    }

    /// The rows of a block that is taken off its list, and split.
    fn splitting(mut self, taken: &Taken, order: usize) -> Vec<Row> {
        let Taken { block, from } = *taken;
        let address = hex(self.address(block));
        self.buddies.free[from].pop_front();
        let says = format!("Dequeue {address} from order-{from}");
        let mut rows = vec![Row::new(format!("Take [{from}]"), self.cells(), says)];
        for half in (order..from).rev() {
            let upper = block + (1 << half);
            let name = hex(self.address(upper));
            self.buddies.free[half].push_front(upper);
            let mut cells = self.cells();
            cells[half] = cells[half].replacen(&name, &format!("{name} (buddy)"), 1);
            let says = format!("Upper half {name} → free_list[{half}]");
            rows.push(Row::new("Split", cells, says));
        }
        rows
    }

    fn free(&mut self, rest: &mut Words) -> Done {
        let address = rest.number("the address")?;
        let none = || format!("no block that was given begins at {}", hex(address));
        let block = address.checked_sub(self.start).ok_or_else(none)?;
        let given = (block % PAGE == 0).then_some(block / PAGE);
        let block = given.filter(|block| self.buddies.used.contains_key(block));
        let Some(block) = block else {
            return Err(match self.freed(address) {
                Some(whole) => format!(
                    "{} is free already: it is in the free block {whole}",
                    hex(address)
                ),
                None => none(),
            });
        };
        let order = self.buddies.used[&block];
        let before = self.clone();
        let merged = self.buddies.give(block).ok_or_else(none)?;
        let says = format!(
            "{} comes back; {}",
            self.block(block, order),
            self.xor(block, order)
        );
        let mut rows = vec![Row::new("Free", before.cells(), says)];
        rows.extend(before.merging(block, order, merged.order));
        let end = if merged.at_tail {
            ", at its end: it will merge soon"
        } else {
            ""
        };
        let says = format!(
            "{} → free_list[{}]{end}",
            self.block(merged.block, merged.order),
            merged.order
        );
        rows.push(Row::new("Put", self.cells(), says));
        Ok(rows)
    }

    /// The rows of a block that becomes a larger one with its buddy, again and again.
    fn merging(mut self, block: u64, order: usize, until: usize) -> Vec<Row> {
        let mut block = block;
        let mut rows = Vec::new();
        for order in order..until {
            let buddy = buddy_of(block, order);
            self.buddies.remove(buddy, order);
            block = block.min(buddy);
            let name = hex(self.address(buddy));
            let says = format!(
                "Buddy {name} is free: together {}",
                self.block(block, order + 1)
            );
            rows.push(Row::new("Merge", self.cells(), says));
        }
        rows
    }

    /// The free block that an address is in.
    fn freed(&self, address: u64) -> Option<String> {
        let page = address.checked_sub(self.start)? / PAGE;
        let lists = self.buddies.free.iter().enumerate();
        let mut blocks =
            lists.flat_map(|(order, list)| list.iter().map(move |block| (*block, order)));
        let (block, order) =
            blocks.find(|(block, order)| (*block..block + (1 << order)).contains(&page))?;
        Some(self.block(block, order))
    }

    fn address(&self, block: u64) -> u64 {
        self.start + block * PAGE
    }

    /// `0x1000 (4 pages)`
    fn block(&self, block: u64, order: usize) -> String {
        let pages = 1u64 << order;
        let plural = if pages == 1 { "" } else { "s" };
        format!("{} ({pages} page{plural})", hex(self.address(block)))
    }

    /// How the buddy of a block is found.
    fn xor(&self, block: u64, order: usize) -> String {
        if order == self.buddies.order() {
            return "it is the whole pool".to_owned();
        }
        let (address, size) = (self.address(block), PAGE << order);
        let buddy = self.address(buddy_of(block, order));
        match address ^ size == buddy {
            true => format!(
                "its buddy is {} XOR {} = {}",
                hex(address),
                hex(size),
                hex(buddy)
            ),
            false => format!("its buddy is {}", hex(buddy)),
        }
    }

    fn cells(&self) -> Vec<String> {
        let list = |list: &VecDeque<u64>| {
            let names = list.iter().map(|block| hex(self.address(*block)));
            names.collect::<Vec<_>>().join(", ")
        };
        self.buddies.free.iter().map(list).collect()
    }
}
