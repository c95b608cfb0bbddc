// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of a script, and the rows that the document has for them.

use super::{Family, Process, State, Written, PAGE};
use crate::{
    script::{hex, Done, Model, Words},
    transcript::{self, Row},
};
use std::collections::BTreeMap;

/// How many processes a script may have.
const MOST_PROCESSES: usize = 16;
/// The largest address that a page may have.
const LAST: u64 = (1 << 56) - 1;

impl Family {
    /// The process of this name, which runs.
    pub fn who(&self, name: &str) -> Result<usize, String> {
        let who = self
            .processes
            .iter()
            .position(|process| process.name == name);
        match who {
            Some(who) if self.processes[who].alive => Ok(who),
            Some(_) => Err(format!("{name} has ended")),
            None => {
                let alive = self.processes.iter().filter(|process| process.alive);
                let names: Vec<&str> = alive.map(|process| process.name.as_str()).collect();
                Err(format!(
                    "there is no process {name}: there is {}",
                    names.join(", ")
                ))
            }
        }
    }

    /// The process and the page that a step is about.
    fn who_and_where(&self, rest: &mut Words) -> Result<(usize, u64), String> {
        let who = self.who(rest.word("the process")?)?;
        let address = rest.number("the address")?;
        let page = address - address % PAGE;
        match self.processes[who].entries.contains_key(&page) {
            true => Ok((who, page)),
            false => Err(format!(
                "{} is not mapped in {}",
                hex(address),
                self.processes[who].name
            )),
        }
    }

    /// The page's entry of each process: of all, or only of those that have this frame.
    fn cells(&self, page: u64, only: Option<u64>) -> Vec<String> {
        let cell = |process: &Process| match process.entries.get(&page) {
            Some(pte) if only.is_none_or(|frame| frame == pte.frame) => {
                format!("W={} → {}", u8::from(pte.writable), hex(pte.frame))
            }
            _ => String::new(),
        };
        self.processes.iter().map(cell).collect()
    }

    /// `1 (parent)`: references to a frame, and whose if there is one.
    fn references(&self, page: u64, frame: u64) -> String {
        let has = |process: &&Process| {
            process
                .entries
                .get(&page)
                .is_some_and(|pte| pte.frame == frame)
        };
        let owners: Vec<&Process> = self.processes.iter().filter(has).collect();
        match (owners.len(), owners.first()) {
            (1, Some(owner)) if self.processes.len() > 1 => format!("1 ({})", owner.name),
            (count, _) => count.to_string(),
        }
    }

    /// References to all frames that a page is in.
    fn all_references(&self, page: u64) -> String {
        let entries = self
            .processes
            .iter()
            .filter_map(|process| process.entries.get(&page));
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for pte in entries {
            *counts.entry(pte.frame).or_insert(0) += 1;
        }
        let each: Vec<String> = counts
            .iter()
            .map(|(frame, count)| format!("{}: {count}", hex(*frame)))
            .collect();
        match counts.len() {
            1 => counts.values().map(u32::to_string).collect(),
            _ if counts.values().all(|count| *count == 1) => "1 each".to_owned(),
            _ => each.join(", "),
        }
    }

    /// ` 0x5000`, if there are several pages.
    fn of(&self, page: u64) -> String {
        match self.processes[0].entries.len() {
            0 | 1 => String::new(),
            _ => format!(" ({})", hex(page)),
        }
    }

    fn pages(&self) -> Vec<u64> {
        let pages = self
            .processes
            .iter()
            .flat_map(|process| process.entries.keys());
        let mut pages: Vec<u64> = pages.copied().collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// A row for each page.
    fn each_page(&self, what: &str) -> Vec<Row> {
        let row = |page: &u64| {
            let step = format!("{what}{}", self.of(*page));
            Row::new(step, self.cells(*page, None), self.all_references(*page))
        };
        self.pages().iter().map(row).collect()
    }

    fn set_up(&mut self, rest: &mut Words) -> Done {
        let address = rest.number("the address")?;
        if address % PAGE != 0 || address > LAST {
            return Err(format!("{} is not the address of a page", hex(address)));
        }
        if self.processes[0].entries.contains_key(&address) {
            return Err(format!("{} is mapped already", hex(address)));
        }
        let frame = match rest.next() {
            None => None,
            Some(word) => Some(crate::script::number(word, "the frame")?),
        };
        if let Some(frame) = frame.filter(|frame| frame % PAGE != 0 || *frame > LAST) {
            return Err(format!("{} is not the address of a frame", hex(frame)));
        }
        if frame.is_some_and(|frame| self.frames.contains_key(&frame)) {
            return Err("the frame is in use already".to_owned());
        }
        self.add_page(address, frame);
        Ok(Vec::new())
    }

    fn forks(&mut self, rest: &mut Words) -> Done {
        let who = self.who(rest.next().unwrap_or("parent"))?;
        if self.processes.len() == MOST_PROCESSES {
            return Err(format!("a script may have {MOST_PROCESSES} processes"));
        }
        self.fork(who);
        let by = match who {
            0 => String::new(),
            who => format!(" of {}", self.processes[who].name),
        };
        Ok(self.each_page(&format!("After fork(){by}")))
    }

    fn writes(&mut self, rest: &mut Words) -> Done {
        let (who, page) = self.who_and_where(rest)?;
        let name = capital(&self.processes[who].name);
        let step = format!("{name} writes VA{}", self.of(page));
        let pte = self.processes[who].entries[&page];
        let mut cells = self.cells(page, Some(pte.frame));
        let owners = self.frames[&pte.frame];
        let written = self.write(who, page).ok_or("there is no page")?;
        if written == Written::AtOnce {
            return Ok(vec![Row::new(
                step,
                self.cells(page, None),
                self.all_references(page),
            )]);
        }
        cells[who] = match owners {
            1 => "#PF fired (refcnt=1)".to_owned(),
            _ => "#PF fired".to_owned(),
        };
        let fault = Row::new(step, cells, owners.to_string());
        let (what, references) = match written {
            Written::Copied { from, to } => (
                format!("COW fault: alloc {}", hex(to)),
                self.references(page, from),
            ),
            _ => (
                format!("Re-arm {} PTE", self.processes[who].name),
                self.all_references(page),
            ),
        };
        Ok(vec![
            fault,
            Row::new(what, self.cells(page, None), references),
        ])
    }

    fn reads(&mut self, rest: &mut Words) -> Done {
        let (who, page) = self.who_and_where(rest)?;
        let step = format!(
            "{} reads VA{}",
            capital(&self.processes[who].name),
            self.of(page)
        );
        Ok(vec![Row::new(
            step,
            self.cells(page, None),
            self.all_references(page),
        )])
    }

    fn exits(&mut self, rest: &mut Words) -> Done {
        let who = self.who(rest.word("the process")?)?;
        if who == 0 {
            return Err("the parent stays until the end of the script".to_owned());
        }
        self.exit(who);
        Ok(self.each_page(&format!("{} exits", capital(&self.processes[who].name))))
    }
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

impl Model for Family {
    fn is_setup(word: &str) -> bool {
        word == "page"
    }

    fn begin(&mut self) -> Done {
        if self.processes[0].entries.is_empty() {
            self.add_page(0xA000, Some(0xA000));
        }
        Ok(self.each_page("Before fork"))
    }

    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done> {
        match word {
            "page" => Some(self.set_up(rest)),
            "fork" => Some(self.forks(rest)),
            "write" => Some(self.writes(rest)),
            "read" => Some(self.reads(rest)),
            "exit" => Some(self.exits(rest)),
            _ => None,
        }
    }

    fn columns(&self) -> Vec<String> {
        let ptes = self
            .processes
            .iter()
            .map(|process| format!("{} PTE", capital(&process.name)));
        let ends = ["Step".to_owned()].into_iter().chain(ptes);
        ends.chain(["Phys page refcnt".to_owned()]).collect()
    }

    fn state(&self) -> transcript::State {
        transcript::State::Cow(State {
            processes: self.processes.clone(),
            frames: self.frames.clone(),
        })
    }
}
