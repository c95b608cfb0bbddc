// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of a script, and the rows that the document has for them.

use super::{Back, Cache, State, Way, PAGE};
use crate::{
    script::{Done, Model, Words},
    transcript::{self, Row},
};

/// Objects that a script may take.
const MOST: u64 = 1 << 16;

impl Cache {
    /// `obj[1]→obj[2]→…`
    fn shown(list: &[u64]) -> String {
        let names: Vec<String> = list
            .iter()
            .take(2)
            .map(|object| format!("obj[{object}]"))
            .collect();
        match list.len() {
            0 => "NULL".to_owned(),
            1 | 2 => names.join("→"),
            _ => format!("{}→…", names.join("→")),
        }
    }

    fn partial_shown(&self) -> String {
        match self.partial.len() {
            0 => "empty".to_owned(),
            1 => "1 partial slab".to_owned(),
            count => format!("{count} partial slabs"),
        }
    }

    fn set_up(&mut self, rest: &mut Words) -> Done {
        let bytes = rest.number("the size of an object")?;
        let name = rest.next().unwrap_or("objects");
        let pages = rest.count("the number of pages", 1, 8)?;
        if !(8..=PAGE * pages).contains(&bytes) {
            let most = PAGE * pages;
            return Err(format!(
                "an object has 8 to {most} bytes, the first 8 for the list, not {bytes}"
            ));
        }
        // Objects are aligned to the size of a pointer.
        let bytes = bytes.next_multiple_of(8);
        *self = Self::new(name, bytes, PAGE * pages / bytes);
        Ok(Vec::new())
    }

    fn allocs(&mut self, rest: &mut Words) -> Done {
        let count = rest.count("the count", 1, MOST)?;
        if self.allocated + count > MOST {
            return Err(format!("a script may take {MOST} objects"));
        }
        let mut rows: Vec<Row> = Vec::new();
        let mut run: Option<(u64, u64)> = None;
        for _ in 0..count {
            let (free_list, listed) = (self.cpu_list(), self.partial_shown());
            let had_slab = self.cpu.is_some();
            let (object, way) = self.alloc();
            let nth = self.allocated;
            if way == Way::Fast {
                let first = run.map_or(nth, |(first, _)| first);
                let row = Row::new(
                    alloc_name(first, nth),
                    vec![Self::shown(&free_list), listed],
                    format!("Fast path: pop freelist head, return obj[{object}]"),
                );
                match (run, rows.last_mut()) {
                    (Some(_), Some(last)) => {
                        last.step = row.step;
                        last.last = "Fast path each time: pop freelist head, return".to_owned();
                    }
                    _ => rows.push(row),
                }
                run = Some((first, nth));
                continue;
            }
            run = None;
            rows.push(self.slow_row(nth, had_slab, &listed, way));
        }
        Ok(rows)
    }

    fn slow_row(&self, nth: u64, had_slab: bool, listed: &str, way: Way) -> Row {
        let objects = self.per_slab;
        let (free_list, listed, says) = match (way, had_slab) {
            (Way::New, false) => (
                "NULL → slow path",
                "empty → must allocate".to_owned(),
                format!(
                    "alloc_pages() → init {objects} objects in page, install as CPU active slab"
                ),
            ),
            (Way::New, true) => (
                "NULL (slab exhausted)",
                "slab now full".to_owned(),
                "Slow path: alloc another buddy page, init new freelist".to_owned(),
            ),
            _ => (
                "NULL (slab exhausted)",
                listed.to_owned(),
                "Slow path: lock the node's list, make its first slab the CPU's".to_owned(),
            ),
        };
        Row::new(
            alloc_name(nth, nth),
            vec![free_list.to_owned(), listed],
            says,
        )
    }

    fn frees(&mut self, rest: &mut Words) -> Done {
        let word = rest.word("the object")?;
        let digits = word
            .strip_prefix("obj[")
            .and_then(|rest| rest.strip_suffix(']'));
        let object = crate::script::number(digits.unwrap_or(word), "the object")?;
        let before = self.cpu_list();
        let known = object / self.per_slab < self.slabs.len() as u64;
        let Some(back) = self.free(object) else {
            return Err(match known {
                true => format!("obj[{object}] is free already"),
                false => format!("obj[{object}] was never given"),
            });
        };
        let lists = match back {
            Back::Fast => vec![format!("obj[{object}] → old head"), "unchanged".to_owned()],
            _ => vec![Self::shown(&before), self.partial_shown()],
        };
        let says = match back {
            Back::Fast => "Fast path: push to freelist head, no lock needed",
            Back::WasFull => {
                "Slow path: to its own slab, which was full: into the node's list, under a lock"
            }
            Back::Slow => "Slow path: to its own slab's list",
            Back::SlabFreed => {
                "Slow path: its slab is empty, and there are enough: its pages are freed"
            }
        };
        Ok(vec![Row::new(format!("free(obj[{object}])"), lists, says)])
    }
}

fn alloc_name(first: u64, last: u64) -> String {
    match first == last {
        true => format!("{} alloc", nth(first)),
        false => format!("{}–{} alloc", nth(first), nth(last)),
    }
}

fn nth(n: u64) -> String {
    let end = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{end}")
}

impl Model for Cache {
    fn is_setup(word: &str) -> bool {
        word == "cache"
    }

    fn begin(&mut self) -> Done {
        let says = "kmem_cache_create() — no pages yet, lazy init";
        let cells = vec!["NULL".to_owned(), "empty".to_owned()];
        Ok(vec![Row::new("Cache created", cells, says)])
    }

    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done> {
        match word {
            "cache" => Some(self.set_up(rest)),
            "alloc" => Some(self.allocs(rest)),
            "free" => Some(self.frees(rest)),
            _ => None,
        }
    }

    fn columns(&self) -> Vec<String> {
        ["Event", "CPU freelist", "Node partial list", "Action"]
            .map(str::to_owned)
            .to_vec()
    }

    fn state(&self) -> transcript::State {
        transcript::State::Slub(State {
            name: self.name.clone(),
            bytes: self.bytes,
            objects_per_slab: self.per_slab,
            slabs: self.slabs.clone(),
            partial: self.partial.clone(),
        })
    }
}
