// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of a script, and what the document says of each.

use super::{blocks, Outcome, State, Watched, CLUSTER, MAX_ORDER};
use crate::{
    marks::Marks,
    script::{Done, Model, Words},
    transcript::{self, Row},
};

impl Watched {
    fn set_up(&mut self, word: &str, rest: &mut Words) -> Done {
        match word {
            "zone" => {
                let (min, low) = (rest.number("min")?, rest.number("low")?);
                let high = rest.number("high")?;
                if min > low || low > high || high > 1 << 40 {
                    return Err("the marks must rise: min, low, high".to_owned());
                }
                self.marks = Marks { min, low, high };
            }
            "free" => {
                let free = pages(rest)?;
                self.zone.free = free;
                self.zone.blocks = blocks(free);
            }
            "protect" => self.zone.protection = pages(rest)?,
            _ => self.cache = pages(rest)?,
        }
        Ok(Vec::new())
    }

    fn allocs(&mut self, rest: &mut Words) -> Done {
        let order = order(rest)?;
        let (mut count, mut atomic) = (1, false);
        while let Some(word) = rest.next() {
            match word {
                "atomic" => atomic = true,
                word => count = Words::new(word).count("the count", 1, 1 << 20)?,
            }
        }
        let mut rows: Vec<(Row, Outcome, u64)> = Vec::new();
        for _ in 0..count {
            let (documented, place) = (self.documented(), self.place());
            let before = self.zone.free;
            let outcome = self.alloc(order, atomic);
            // As long as the same happens, it is one row.
            match rows.last_mut() {
                Some((row, last, times)) if same(*last, outcome) && row.cells[2] == documented => {
                    *last = add(*last, outcome);
                    *times += 1;
                    row.cells[1] = self.zone.free.to_string();
                }
                _ => {
                    let cells = vec![
                        before.to_string(),
                        self.zone.free.to_string(),
                        documented.to_owned(),
                        place.to_owned(),
                    ];
                    rows.push((Row::new("", cells, ""), outcome, 1));
                }
            }
            if matches!(outcome, Outcome::Refused | Outcome::OutOfMemory) {
                break;
            }
        }
        let rows = rows.into_iter().map(|(mut row, outcome, times)| {
            row.step = name(order, times, atomic);
            row.last = self.says(outcome, times, order);
            row
        });
        Ok(rows.collect())
    }

    fn says(&self, outcome: Outcome, times: u64, order: usize) -> String {
        let given = match times {
            1 => "given".to_owned(),
            times => format!("{times} given"),
        };
        match outcome {
            Outcome::Given => given,
            Outcome::Woken => format!("kswapd is woken; {given}"),
            Outcome::Reclaimed(pages) => format!("direct reclaim frees {pages} pages; {given}"),
            Outcome::FromReserve => format!("{given} from the reserve, down to 3/8 of min"),
            Outcome::Refused => "refused: it may not wait".to_owned(),
            Outcome::OutOfMemory if order > 3 => "nothing left to reclaim: fails".to_owned(),
            Outcome::OutOfMemory => "nothing left to reclaim: the OOM killer".to_owned(),
        }
    }

    fn give(&mut self, rest: &mut Words) -> Done {
        let order = order(rest)?;
        let count = rest.count("the count", 1, 1 << 20)?;
        let before = self.zone.free;
        self.zone.free += count << order;
        self.zone.blocks = blocks(self.zone.free);
        let cells = vec![
            before.to_string(),
            self.zone.free.to_string(),
            String::new(),
            self.place().to_owned(),
        ];
        let what = format!("give {count} × order {order}");
        Ok(vec![Row::new(what, cells, "they merge with their buddies")])
    }

    fn run_kswapd(&mut self) -> Done {
        let before = self.zone.free;
        let mut says = "it sleeps: nobody woke it".to_owned();
        if self.kswapd {
            while self.zone.free <= self.marks.high + self.zone.protection && self.cache > 0 {
                self.reclaim(self.cache.min(CLUSTER));
            }
            let pages = self.zone.free - before;
            self.kswapd = self.zone.free <= self.marks.high + self.zone.protection;
            says = match self.kswapd {
                false => format!("frees {pages} pages, until more than high is free; sleeps"),
                true => format!("frees {pages} pages, and nothing more can be reclaimed"),
            };
        }
        let cells = vec![
            before.to_string(),
            self.zone.free.to_string(),
            String::new(),
            self.place().to_owned(),
        ];
        Ok(vec![Row::new("kswapd", cells, says)])
    }
}

/// `3 × alloc order 0, atomic`
fn name(order: usize, times: u64, atomic: bool) -> String {
    let times = match times {
        1 => String::new(),
        times => format!("{times} × "),
    };
    let atomic = if atomic { ", atomic" } else { "" };
    format!("{times}alloc order {order}{atomic}")
}

/// Whether two outcomes are told in one row.
fn same(a: Outcome, b: Outcome) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

fn add(a: Outcome, b: Outcome) -> Outcome {
    match (a, b) {
        (Outcome::Reclaimed(a), Outcome::Reclaimed(b)) => Outcome::Reclaimed(a + b),
        _ => b,
    }
}

fn pages(rest: &mut Words) -> Result<u64, String> {
    match rest.number("the number of pages")? {
        pages if pages <= 1 << 40 => Ok(pages),
        pages => Err(format!("{pages} pages are more than any machine has")),
    }
}

fn order(rest: &mut Words) -> Result<usize, String> {
    match rest.number("the order")? {
        order if order <= MAX_ORDER as u64 => Ok(order as usize),
        order => Err(format!(
            "the order is {order}, and the largest block has the order {MAX_ORDER}"
        )),
    }
}

impl Model for Watched {
    fn is_setup(word: &str) -> bool {
        ["zone", "free", "protect", "cache"].contains(&word)
    }

    fn begin(&mut self) -> Done {
        let Marks { min, low, high } = self.marks;
        let cells = vec![
            String::new(),
            self.zone.free.to_string(),
            String::new(),
            self.place().to_owned(),
        ];
        let says = format!(
            "min {min}, low {low}, high {high}; {} can be reclaimed",
            self.cache
        );
        Ok(vec![Row::new("Initial", cells, says)])
    }

    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done> {
        match word {
            word if Self::is_setup(word) => Some(self.set_up(word, rest)),
            "alloc" => Some(self.allocs(rest)),
            "give" => Some(self.give(rest)),
            "kswapd" => Some(self.run_kswapd()),
            _ => None,
        }
    }

    fn columns(&self) -> Vec<String> {
        let columns = [
            "Step",
            "Free before",
            "after",
            "The document says",
            "Between",
            "The kernel does",
        ];
        columns.map(str::to_owned).to_vec()
    }

    fn state(&self) -> transcript::State {
        transcript::State::Watermark(State {
            free: self.zone.free,
            blocks: self.zone.blocks.clone(),
            cache: self.cache,
            min: self.marks.min,
            low: self.marks.low,
            high: self.marks.high,
            protection: self.zone.protection,
            kswapd_is_awake: self.kswapd,
        })
    }
}
