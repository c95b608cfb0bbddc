// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random scripts that are not wrong, for those models that a kernel can do the steps of.

use crate::{buddy::Buddies, cow::Family, slub::Cache, Kind};
use std::fmt::Write as _;

/// Draws a number below a limit, which is not 0.
type Draw<'a> = &'a mut dyn FnMut(u64) -> u64;

/// A script whose steps can all be done. Of other models, the example.
pub fn random_script(kind: Kind, draw: Draw) -> String {
    match kind {
        Kind::Buddy => buddy(draw),
        Kind::Cow => cow(draw),
        Kind::Walk => walk(draw),
        Kind::Slub => slub(draw),
        Kind::Watermark | Kind::Lru | Kind::Dma => kind.example().to_owned(),
    }
}

fn pick<T: Copy>(draw: Draw, list: &[T]) -> Option<T> {
    let at = draw(list.len().max(1) as u64) as usize;
    list.get(at).copied()
}

fn buddy(draw: Draw) -> String {
    const START: u64 = 0x10_0000;
    let order = 2 + draw(3) as usize;
    let mut script = format!("pool {START:#x} {order}\n");
    let mut buddies = Buddies::new(order);
    for _ in 0..8 + draw(24) {
        let used: Vec<u64> = buddies.used().keys().copied().collect();
        match pick(draw, &used) {
            // More is taken than given, until the pool is full.
            Some(block) if draw(5) < 2 => {
                buddies.give(block);
                let _ = writeln!(script, "free {:#x}", START + block * 4096);
            }
            _ => {
                // Small blocks more often than large ones.
                let wanted = draw(order as u64 + 1).min(draw(order as u64 + 1)) as usize;
                buddies.take(wanted);
                let _ = writeln!(script, "alloc {wanted}");
            }
        }
    }
    script
}

fn cow(draw: Draw) -> String {
    const FIRST: u64 = 0xA000;
    let pages: Vec<u64> = (0..1 + draw(3)).map(|page| FIRST + page * 4096).collect();
    let mut script = String::new();
    let mut family = Family::default();
    for page in &pages {
        family.add_page(*page, None);
        let _ = writeln!(script, "page {page:#x}");
    }
    for _ in 0..6 + draw(14) {
        let alive: Vec<usize> = (0..family.processes().len())
            .filter(|who| family.processes()[*who].alive)
            .collect();
        let (Some(who), Some(page)) = (pick(draw, &alive), pick(draw, &pages)) else {
            break;
        };
        let name = family.processes()[who].name.clone();
        match draw(8) {
            0 | 1 if family.processes().len() < 6 => {
                family.fork(who);
                let _ = writeln!(script, "fork {name}");
            }
            2 if who > 0 => {
                family.exit(who);
                let _ = writeln!(script, "exit {name}");
            }
            3 => drop(writeln!(script, "read {name} {page:#x}")),
            _ => {
                family.write(who, page);
                let _ = writeln!(script, "write {name} {page:#x}");
            }
        }
    }
    script
}

fn walk(draw: Draw) -> String {
    let mut script = String::new();
    let mut mapped: Vec<u64> = Vec::new();
    for _ in 0..2 + draw(4) {
        // In the middle of what programs have, far from where the kernel puts them.
        let page = (0x1000_0000_0000 + draw(0x1000_0000_0000)) & !0xfff;
        if !mapped.contains(&page) {
            mapped.push(page);
            let _ = writeln!(script, "map {page:#x} {:#x}", draw(1 << 36) << 12);
        }
    }
    for page in &mapped {
        let _ = writeln!(script, "walk {:#x}", page + draw(4096));
        // A neighbour, which may be there, too.
        let _ = writeln!(script, "walk {:#x}", page ^ (1 << (12 + draw(30))));
    }
    script
}

fn slub(draw: Draw) -> String {
    // As few as one slab has, which is the CPU's all the time.
    let mut script = "cache 64 objects\n".to_owned();
    let mut cache = Cache::new("objects", 64, 64);
    let mut taken: Vec<u64> = Vec::new();
    for _ in 0..10 + draw(30) {
        match pick(draw, &taken) {
            Some(object) if draw(2) == 0 || taken.len() > 20 => {
                taken.retain(|other| *other != object);
                cache.free(object);
                let _ = writeln!(script, "free obj[{object}]");
            }
            _ => {
                taken.push(cache.alloc().0);
                script.push_str("alloc\n");
            }
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_scripts_are_not_wrong() {
        let mut state = 1u64;
        let mut draw = |limit: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % limit
        };
        for kind in Kind::ALL {
            for _ in 0..200 {
                let script = random_script(kind, &mut draw);
                let result = crate::run(kind, &script);
                assert!(result.is_ok(), "{:?}:\n{script}", result.map(|_| ()));
            }
        }
    }
}
