// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copy-on-write: `copy_present_ptes()` and `do_wp_page()` of `mm/memory.c`.

mod script;

use serde::Serialize;
use std::collections::BTreeMap;

/// The document's example.
pub const EXAMPLE: &str = "\
page 0xA000     # a page of the parent's, in the frame 0xA000
fork
write child 0xA000
write parent 0xA000
";

pub const STEPS: &[&str] = &[
    "page ADDRESS [FRAME]   the parent has a page there, in that frame (else the next free one)",
    "fork [WHO]             WHO (the parent) gets a child: child, child2, …",
    "write WHO ADDRESS      stores to a page",
    "read WHO ADDRESS       loads from a page",
    "exit WHO               a child ends",
];

pub const NOTES: &[&str] = &[
    "The document's plan (point 4) and its answer Q11 say that the last owner is made writable again as soon as the \
     other one has its copy, “no future fault needed”. Its own table shows the opposite: the parent's write still \
     faults, and only that fault makes the entry writable. The kernel does as the table: nobody looks for the last \
     owner's entry, but its fault is cheap, as nothing is copied.",
    "The fault after fork() is answered by do_wp_page() and wp_page_copy(). do_cow_fault(), which the document names, \
     is for the first store to a private mapping of a file.",
];

const PAGE: u64 = 4096;

/// An entry of a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pte {
    /// The frame's address.
    pub frame: u64,
    /// Whether stores are allowed.
    pub writable: bool,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// `parent`, `child`, `child2`, …
    pub name: String,
    /// Whether it still runs.
    pub alive: bool,
    /// The entries of the process's page table, by address.
    pub entries: BTreeMap<u64, Pte>,
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// All processes that there were, in the order in which they began.
    pub processes: Vec<Process>,
    /// References to frames.
    pub frames: BTreeMap<u64, u32>,
}

/// What a store came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The entry allowed it.
    AtOnce,
    /// A fault, and a copy in another frame.
    Copied { from: u64, to: u64 },
    /// A fault, and as nobody else has the frame, the entry allows stores again.
    Rearmed,
}

/// A parent, and all that came of it.
#[derive(Clone, Debug)]
pub struct Family {
    processes: Vec<Process>,
    frames: BTreeMap<u64, u32>,
    next_frame: u64,
}

impl Default for Family {
    fn default() -> Self {
        let parent = Process {
            name: "parent".to_owned(),
            alive: true,
            entries: BTreeMap::new(),
        };
        Self {
            processes: vec![parent],
            frames: BTreeMap::new(),
            next_frame: 0xA000,
        }
    }
}

impl Family {
    /// Gives the parent a page, in this frame or the next one that was never used.
    pub fn add_page(&mut self, address: u64, frame: Option<u64>) {
        let frame = frame.unwrap_or(self.next_frame);
        self.next_frame = self.next_frame.max(frame + PAGE);
        *self.frames.entry(frame).or_insert(0) += 1;
        let writable = true;
        self.processes[0]
            .entries
            .insert(address, Pte { frame, writable });
    }

    /// The process `who` gets a child: neither may store to what they share.
    pub fn fork(&mut self, who: usize) -> usize {
        for pte in self.processes[who].entries.values_mut() {
            pte.writable = false;
            *self.frames.entry(pte.frame).or_insert(0) += 1;
        }
        let number = self.processes.len();
        self.processes.push(Process {
            name: match number {
                1 => "child".to_owned(),
                number => format!("child{number}"),
            },
            alive: true,
            entries: self.processes[who].entries.clone(),
        });
        number
    }

    /// The process `who` stores to the page at `address`. `None` if it has none there.
    pub fn write(&mut self, who: usize, address: u64) -> Option<Written> {
        let pte = self.processes.get(who)?.entries.get(&address).copied()?;
        if pte.writable {
            return Some(Written::AtOnce);
        }
        let owners = self.frames.get(&pte.frame).copied()?;
        let (frame, written) = match owners {
            1 => (pte.frame, Written::Rearmed),
            owners => {
                let copy = self.next_frame;
                self.next_frame += PAGE;
                self.frames.insert(pte.frame, owners - 1);
                self.frames.insert(copy, 1);
                let from = pte.frame;
                (copy, Written::Copied { from, to: copy })
            }
        };
        let writable = true;
        self.processes[who]
            .entries
            .insert(address, Pte { frame, writable });
        Some(written)
    }

    /// The process `who` ends, and lets go of its frames.
    pub fn exit(&mut self, who: usize) {
        let process = &mut self.processes[who];
        process.alive = false;
        for pte in std::mem::take(&mut process.entries).values() {
            if let Some(owners) = self.frames.get_mut(&pte.frame) {
                *owners -= 1;
                if *owners == 0 {
                    self.frames.remove(&pte.frame);
                }
            }
        }
    }

    /// The processes, dead ones, too.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// References to each frame in use.
    pub fn frames(&self) -> &BTreeMap<u64, u32> {
        &self.frames
    }
}
