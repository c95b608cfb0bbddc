// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two lists of pages that reclaim works with: `folio_mark_accessed()` of `mm/swap.c`, `shrink_active_list()`
//! and `shrink_inactive_list()` of `mm/vmscan.c`, for pages of files. Kernels that have MGLRU on use other lists.

pub mod state;

use crate::{
    script::{Done, Model, Words},
    transcript::{self, Row},
};
use state::{Page, State};
use std::collections::VecDeque;

/// A hot set survives a scan.
pub const EXAMPLE: &str = "\
frames 6
read A
read B
read A          # the second time: promoted
read B
scan 1..6       # six pages, once each
write C
reclaim 2
";

pub const STEPS: &[&str] = &[
    "frames COUNT    how many pages fit",
    "read PAGE       reads a page, which is brought in if it is not there",
    "write PAGE      the same, and makes it dirty",
    "scan A..B       reads the pages A, A+1, … B once each",
    "reclaim COUNT   reclaims so many pages",
];

pub const NOTES: &[&str] = &[
    "The document's plan (point 3) demotes active pages “to the inactive list tail”. Reclaim takes from that tail, so \
     they would be gone at once. The kernel puts them at the head: they have the whole list's time to be read again.",
    "“Reclaim always takes from the inactive list” holds, but it first refills that list from the active one when it \
     is the shorter of the two. So a scan spares the hot set only while that is no more than half of the memory.",
];

/// Pages that fit, at most.
const MOST: u64 = 4096;

/// The two lists.
#[derive(Clone, Debug)]
pub struct Lists {
    frames: usize,
    active: VecDeque<Page>,
    inactive: VecDeque<Page>,
    evicted: Vec<String>,
}

impl Default for Lists {
    fn default() -> Self {
        Self::new(6)
    }
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The page was not there, and is read in.
    Miss,
    /// The page was there, and is marked as referenced.
    Marked,
    /// The page was marked and inactive, and is active now.
    Promoted,
    /// The page was marked and active already.
    Hit,
}

impl Lists {
    /// Empty lists, with room for so many pages.
    pub fn new(frames: usize) -> Self {
        Self {
            frames,
            active: VecDeque::new(),
            inactive: VecDeque::new(),
            evicted: Vec::new(),
        }
    }

    /// Hot pages, first to last.
    pub fn active(&self) -> &VecDeque<Page> {
        &self.active
    }

    /// Cold pages, first to last.
    pub fn inactive(&self) -> &VecDeque<Page> {
        &self.inactive
    }

    /// A page is read or, with `dirty`, written. Brings it in where it is missing; what had to go for it is told
    /// by [`reclaim`](Self::reclaim)'s lines in `log`.
    pub fn access(&mut self, name: &str, dirty: bool, log: &mut Vec<String>) -> Access {
        let find = |list: &VecDeque<Page>| list.iter().position(|page| page.name == name);
        if let Some(at) = find(&self.active) {
            let page = &mut self.active[at];
            page.dirty |= dirty;
            return match std::mem::replace(&mut page.referenced, true) {
                true => Access::Hit,
                false => Access::Marked,
            };
        }
        if let Some(at) = find(&self.inactive) {
            let page = &mut self.inactive[at];
            page.dirty |= dirty;
            if !std::mem::replace(&mut page.referenced, true) {
                return Access::Marked;
            }
            if let Some(mut page) = self.inactive.remove(at) {
                page.referenced = false;
                self.active.push_front(page);
            }
            return Access::Promoted;
        }
        while self.active.len() + self.inactive.len() >= self.frames {
            self.reclaim_one(log);
        }
        let name = name.to_owned();
        self.inactive.push_front(Page {
            name,
            referenced: true,
            dirty,
        });
        Access::Miss
    }

    /// Makes a page go. Returns its name, if there was one.
    pub fn reclaim_one(&mut self, log: &mut Vec<String>) -> Option<String> {
        while self.inactive.len() < self.active.len() {
            let mut page = self.active.pop_back()?;
            page.referenced = false;
            log.push(format!("{} is demoted", page.name));
            self.inactive.push_front(page);
        }
        let page = self.inactive.pop_back()?;
        log.push(match page.dirty {
            true => format!("{} is written back and evicted", page.name),
            false => format!("{} is evicted", page.name),
        });
        self.evicted.push(page.name.clone());
        Some(page.name)
    }

    /// `A* B`: a star is for referenced, a plus for dirty.
    fn shown(list: &VecDeque<Page>) -> String {
        let name = |page: &Page| {
            let mark = |on: bool, mark: &'static str| if on { mark } else { "" };
            format!(
                "{}{}{}",
                page.name,
                mark(page.referenced, "*"),
                mark(page.dirty, "+")
            )
        };
        list.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    fn row(&self, step: String, says: impl Into<String>) -> Row {
        let cells = vec![Self::shown(&self.active), Self::shown(&self.inactive)];
        Row::new(step, cells, says)
    }

    fn accesses(&mut self, name: &str, dirty: bool) -> Row {
        let mut log = Vec::new();
        let says = match self.access(name, dirty, &mut log) {
            Access::Miss => "brought in: head of the inactive list",
            Access::Marked => "referenced",
            Access::Promoted => "second access: promoted to the active list",
            Access::Hit => "hot already",
        };
        log.push(says.to_owned());
        let what = if dirty { "write" } else { "read" };
        self.row(format!("{what} {name}"), log.join("; "))
    }

    fn set_up(&mut self, rest: &mut Words) -> Done {
        match rest.number("the number of pages")? {
            frames @ 1..=MOST => self.frames = frames as usize,
            frames => return Err(format!("{frames} pages fit? It must be 1 to {MOST}")),
        }
        Ok(Vec::new())
    }

    fn scans(&mut self, rest: &mut Words) -> Done {
        let range = rest.word("the range")?;
        let ends = range.split_once("..");
        let (first, last) = ends.ok_or_else(|| format!("{range} is no range like 1..6"))?;
        let first = crate::script::number(first, "the first page")?;
        let last = crate::script::number(last, "the last page")?;
        if last < first || last - first >= MOST {
            return Err(format!("{range} is no range of up to {MOST} pages"));
        }
        Ok((first..=last)
            .map(|page| self.accesses(&page.to_string(), false))
            .collect())
    }

    fn reclaims(&mut self, rest: &mut Words) -> Done {
        let count = rest.count("the count", 1, MOST)?;
        let there = (self.active.len() + self.inactive.len()) as u64;
        if count > there {
            return Err(format!("{count} pages are to go, and {there} are there"));
        }
        let row = |_| {
            let mut log = Vec::new();
            self.reclaim_one(&mut log);
            self.row("reclaim".to_owned(), log.join("; "))
        };
        Ok((0..count).map(row).collect())
    }
}

impl Model for Lists {
    fn is_setup(word: &str) -> bool {
        word == "frames"
    }

    fn begin(&mut self) -> Done {
        Ok(vec![self.row(
            "Initial".to_owned(),
            format!("{} pages fit", self.frames),
        )])
    }

    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done> {
        self.evicted.clear();
        match word {
            "frames" => Some(self.set_up(rest)),
            "read" | "write" => {
                let row = |name: &str| vec![self.accesses(name, word == "write")];
                Some(rest.word("the page").map(row))
            }
            "scan" => Some(self.scans(rest)),
            "reclaim" => Some(self.reclaims(rest)),
            _ => None,
        }
    }

    fn columns(&self) -> Vec<String> {
        let columns = [
            "Step",
            "Active: head … tail",
            "Inactive: head … tail",
            "Action (* referenced, + dirty)",
        ];
        columns.map(str::to_owned).to_vec()
    }

    fn state(&self) -> transcript::State {
        transcript::State::Lru(State {
            frames: self.frames,
            active: self.active.iter().cloned().collect(),
            inactive: self.inactive.iter().cloned().collect(),
            evicted: self.evicted.clone(),
        })
    }
}
