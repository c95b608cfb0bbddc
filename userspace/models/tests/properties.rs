// SPDX-License-Identifier: MIT OR Apache-2.0

//! What holds for each script.

use mapwright_models::{
    buddy::Buddies,
    cow::Family,
    dma::{state::Direction, Machine},
    lru::Lists,
    marks::Zone,
    picture, run,
    slub::{Cache, Place},
    walk::{Tables, PRESENT},
    Kind,
};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

/// Each page of the pool is in exactly one block, and blocks are aligned to their size.
fn no_page_twice_and_none_lost(buddies: &Buddies) {
    let mut pages = BTreeSet::new();
    let free = buddies.free().iter().enumerate();
    let free = free.flat_map(|(order, list)| list.iter().map(move |block| (*block, order)));
    let used = buddies.used().iter().map(|(block, order)| (*block, *order));
    for (block, order) in free.chain(used) {
        assert_eq!(block % (1 << order), 0, "block {block} of order {order}");
        for page in block..block + (1 << order) {
            assert!(pages.insert(page), "page {page} is in two blocks");
        }
    }
    assert_eq!(pages.len(), 1 << buddies.order());
}

/// No two free blocks are each other's buddies: they would have merged.
fn no_free_buddies(buddies: &Buddies) {
    for (order, list) in buddies.free().iter().enumerate().take(buddies.order()) {
        for block in list {
            assert!(
                !list.contains(&(block ^ (1 << order))),
                "{block} of order {order}"
            );
        }
    }
}

proptest! {
    #[test]
    fn buddies_never_overlap_and_coalesce_to_one_block(steps in vec((0usize..6, any::<u32>()), 1..120)) {
        let mut buddies = Buddies::new(5);
        for (order, pick) in steps {
            let used: Vec<u64> = buddies.used().keys().copied().collect();
            match order {
                5 if !used.is_empty() => {
                    let block = used[pick as usize % used.len()];
                    prop_assert!(buddies.give(block).is_some());
                    prop_assert!(buddies.give(block).is_none(), "a block is given back twice");
                }
                order => {
                    let largest = buddies.free().iter().rposition(|list| !list.is_empty());
                    prop_assert_eq!(buddies.take(order).is_some(), largest.is_some_and(|largest| largest >= order));
                }
            }
            no_page_twice_and_none_lost(&buddies);
            no_free_buddies(&buddies);
        }
        for block in buddies.used().keys().copied().collect::<Vec<_>>() {
            buddies.give(block);
        }
        prop_assert_eq!(buddies, Buddies::new(5));
    }

    #[test]
    fn references_are_as_many_as_entries(steps in vec((0u8..4, any::<u8>(), any::<u8>()), 1..60)) {
        let mut family = Family::default();
        let mut memory: BTreeMap<(usize, u64), u32> = BTreeMap::new();
        for page in 0..3 {
            family.add_page(page << 12, None);
            memory.insert((0, page << 12), 0);
        }
        // What each frame holds, to see that nobody sees another's store.
        let mut frames: BTreeMap<u64, u32> = BTreeMap::new();
        for (at, (step, who, page)) in steps.into_iter().enumerate() {
            let alive: Vec<usize> = (0..family.processes().len()).filter(|who| family.processes()[*who].alive).collect();
            let who = alive[who as usize % alive.len()];
            let page = u64::from(page % 3) << 12;
            match step {
                0 if alive.len() < 8 => {
                    let child = family.fork(who);
                    for page in 0..3 {
                        memory.insert((child, page << 12), memory[&(who, page << 12)]);
                    }
                }
                1 if who > 0 => family.exit(who),
                _ => {
                    let before = family.processes()[who].entries[&page].frame;
                    family.write(who, page);
                    let after = family.processes()[who].entries[&page].frame;
                    // A copy holds what was there, until the store.
                    let held = frames.get(&before).copied().unwrap_or(0);
                    frames.entry(after).or_insert(held);
                    frames.insert(after, at as u32 + 1);
                    memory.insert((who, page), at as u32 + 1);
                }
            }
            let mut counted: BTreeMap<u64, u32> = BTreeMap::new();
            for (who, process) in family.processes().iter().enumerate() {
                for (page, pte) in &process.entries {
                    *counted.entry(pte.frame).or_insert(0) += 1;
                    let held = frames.get(&pte.frame).copied().unwrap_or(0);
                    prop_assert_eq!(held, memory[&(who, *page)], "process {} sees another's store", who);
                }
            }
            prop_assert_eq!(&counted, family.frames());
            for process in family.processes() {
                for pte in process.entries.values() {
                    prop_assert!(!pte.writable || counted[&pte.frame] == 1, "a shared frame may be written");
                }
            }
        }
    }

    #[test]
    fn objects_are_given_once_and_lists_end(steps in vec((any::<bool>(), any::<u16>()), 1..300)) {
        let mut cache = Cache::new("objects", 512, 8);
        let mut taken = BTreeSet::new();
        let mut last_freed_fast = None;
        for (alloc, pick) in steps {
            if alloc || taken.is_empty() {
                let (object, _) = cache.alloc();
                prop_assert!(taken.insert(object), "obj[{}] is given twice", object);
                if let Some(last) = last_freed_fast.take() {
                    prop_assert_eq!(object, last, "what was freed last is given first");
                }
            } else {
                let object = *taken.iter().nth(pick as usize % taken.len()).unwrap();
                taken.remove(&object);
                let back = cache.free(object);
                last_freed_fast = (back == Some(mapwright_models::slub::Back::Fast)).then_some(object);
                prop_assert!(back.is_some());
                prop_assert!(cache.free(object).is_none(), "obj[{}] is freed twice", object);
            }
            let mut free = 0;
            for (number, slab) in cache.slabs().iter().enumerate() {
                let list = cache.list(number);
                let of_slab: BTreeSet<u64> = list.iter().copied().collect();
                prop_assert_eq!(of_slab.len(), list.len(), "a list goes round");
                prop_assert!(of_slab.is_disjoint(&taken));
                if slab.place == Place::Full {
                    prop_assert!(list.is_empty());
                }
                if slab.place != Place::Gone {
                    free += list.len();
                }
            }
            let there = cache.slabs().iter().filter(|slab| slab.place != Place::Gone).count();
            prop_assert_eq!(free + taken.len(), there * 8);
        }
    }

    #[test]
    fn what_was_used_twice_is_not_evicted_by_a_scan(hot in 1usize..8, scan in 1usize..200) {
        let mut lists = Lists::new(16);
        let mut log = Vec::new();
        for _ in 0..2 {
            for page in 0..hot {
                lists.access(&format!("hot{page}"), false, &mut log);
            }
        }
        for page in 0..scan {
            lists.access(&page.to_string(), false, &mut log);
            prop_assert!(lists.active().len() + lists.inactive().len() <= 16);
        }
        prop_assert_eq!(lists.active().len(), hot);
        prop_assert!(lists.active().iter().all(|page| page.name.starts_with("hot")));
    }

    #[test]
    fn a_page_is_in_one_list(steps in vec((0u8..10, 0u8..20), 1..200)) {
        let mut lists = Lists::new(7);
        let mut log = Vec::new();
        for (step, page) in steps {
            match step {
                0 => drop(lists.reclaim_one(&mut log)),
                step => drop(lists.access(&page.to_string(), step == 1, &mut log)),
            }
            let both = lists.active().iter().chain(lists.inactive());
            let names: BTreeSet<&str> = both.map(|page| page.name.as_str()).collect();
            let count = lists.active().len() + lists.inactive().len();
            prop_assert_eq!(names.len(), count);
            prop_assert!(count <= 7);
        }
    }

    #[test]
    fn indices_and_offset_put_together_are_the_address(address in 0u64..1 << 47, five in any::<bool>()) {
        let tables = Tables::at(0x1000, if five { 5 } else { 4 });
        let mut entries = tables.clone();
        // All tables are the same page.
        for level in 0..5 {
            let index = (address >> (12 + 9 * level)) & 511;
            entries.set(0x1000 + 8 * index, 0x1000 | PRESENT);
        }
        let walk = entries.translate(address);
        let sum = walk.levels.iter().fold(address & 0xfff, |sum, level| sum | (level.index << level.shift));
        prop_assert_eq!(sum, address);
        prop_assert_eq!(walk.physical, Some(0x1000 | (address & 0xfff)));
        prop_assert_eq!(tables.translate(address).physical, None);
    }

    #[test]
    fn more_free_pages_never_make_it_worse(free in 0u64..2000, mark in 0u64..1000, protection in 0u64..500, order in 0usize..4) {
        let zone = |free: u64| Zone {
            free,
            free_highatomic: 0,
            protection,
            blocks: vec![1; 11],
        };
        prop_assert!(!zone(free).is_ok(order, mark) || zone(free + 1).is_ok(order, mark));
        prop_assert!(!zone(free).is_ok(order, mark + 1) || zone(free).is_ok(order, mark));
        prop_assert!(!zone(free).is_ok(order + 1, mark) || zone(free).is_ok(order, mark));
    }

    #[test]
    fn a_device_reaches_its_buffers_and_nothing_else(buffers in vec((0u64..1 << 20, 1u64..20_000), 1..12), probe in 0u64..1 << 32) {
        let base = 0xFFFF_8880_0000_0000;
        let mut machine = Machine::new(base, 1 << 32, true);
        let mut mapped = Vec::new();
        for (at, bytes) in buffers {
            let mapping = machine.map(base + at, bytes, Direction::Both).unwrap();
            prop_assert_eq!(mapping.bus % 4096, mapping.physical % 4096, "the offset in the page stays");
            mapped.push(mapping);
        }
        let pages = |bus: u64, bytes: u64| bus / 4096..(bus + bytes).div_ceil(4096);
        for (i, mapping) in mapped.iter().enumerate() {
            for offset in [0, mapping.bytes / 2, mapping.bytes - 1] {
                let used = machine.device(mapping.bus + offset, true);
                prop_assert_eq!(used.physical, Some(mapping.physical + offset));
                prop_assert!(used.meant);
            }
            for other in &mapped[..i] {
                let (a, b) = (pages(mapping.bus, mapping.bytes), pages(other.bus, other.bytes));
                prop_assert!(a.end <= b.start || b.end <= a.start, "two buffers share a bus page");
            }
        }
        let covered = mapped.iter().any(|mapping| pages(mapping.bus, mapping.bytes).contains(&(probe / 4096)));
        prop_assert_eq!(machine.device(probe, false).physical.is_some(), covered);
        for mapping in &mapped {
            machine.unmap(mapping.bus);
        }
        prop_assert_eq!(machine.device(mapped[0].bus, false).physical, None);
    }

    /// Whatever a script says, it is run or refused, and what is run can be drawn.
    #[test]
    fn no_script_breaks_a_model(kind in 0usize..7, lines in vec((0usize..12, vec(0usize..26, 0..4)), 0..14)) {
        const WORDS: [&str; 26] = [
            "0", "1", "2", "3", "16", "64", "0x1000", "0x3000", "0xA000", "4096", "1..3", "on", "off", "parent", "child",
            "child2", "obj[0]", "obj[65]", "atomic", "2M", "A", "B", "to", "18446744073709551615", "0x7F1234567000",
            "0xFFFF888012345678",
        ];
        let kind = Kind::ALL[kind];
        let first: Vec<&str> = kind.steps().iter().filter_map(|step| step.split(' ').next()).collect();
        let lines = lines.iter().map(|(word, rest)| {
            let rest: Vec<&str> = rest.iter().map(|word| WORDS[*word]).collect();
            format!("{} {}\n", first[word % first.len()], rest.join(" "))
        });
        let script: String = lines.collect();
        match run(kind, &script) {
            Ok(transcript) => prop_assert!(picture(&transcript).ends_with("</svg>\n")),
            Err(wrong) => prop_assert!(wrong.line >= 1 && wrong.line <= script.lines().count()),
        }
    }
}
