// SPDX-License-Identifier: MIT OR Apache-2.0

//! SLUB's list of free objects, which is in these objects themselves: `mm/slub.c` with one processor, as it is
//! described in textbooks. Kernels since 6.18 put an array of pointers in front of it (sheaves).

mod script;

use serde::Serialize;

/// The document's example.
pub const EXAMPLE: &str = "\
cache 64 sk_buff   # 64 objects of 64 bytes fill a page
alloc
alloc 63
alloc
free obj[10]
";

pub const STEPS: &[&str] = &[
    "cache BYTES [NAME] [PAGES]  objects of so many bytes, in slabs of so many pages (1)",
    "alloc [COUNT]               takes objects: obj[0], obj[1], …",
    "free obj[NUMBER]            gives one back",
];

pub const NOTES: &[&str] = &[
    "The document's last row, free(obj[10]), is not what its rows before it lead to: by the 65th allocation the CPU \
     has left the first slab, which obj[10] is in, for a second one. So the free is no fast path: obj[10] goes to its \
     own slab's list, under a lock, and that slab comes to the node's partial list. Freed before the 65th \
     allocation, it would be as the document says.",
    "The row “2nd–64th alloc” has “1 partial slab” in the node's list. The row before it has just made that slab the \
     CPU's, and the CPU's slab is on no list.",
    "The text gives an sk_buff about 232 bytes, of which a page holds 17, and the table says 64 objects in a page: \
     those have 64 bytes. It announces 10 objects and allocates 65.",
    "An object is cleared (“zero-init”) only if the caller or the boot parameter init_on_alloc wants it.",
];

const PAGE: u64 = 4096;
/// Empty slabs that may stay in the node's list: `MIN_PARTIAL`.
const MIN_PARTIAL: usize = 5;

/// Where a slab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The slab is the CPU's: objects are taken from it.
    Cpu,
    /// In the node's list, as it has free objects.
    Partial,
    /// In no list: all its objects are taken.
    Full,
    /// The slab's pages went back to the page allocator.
    Gone,
}

/// A slab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slab {
    /// Number of its first object.
    pub first: u64,
    /// Where it is.
    pub place: Place,
    /// The first free object.
    pub head: Option<u64>,
    /// What the first word of each object holds while it is free: the number of the next free one; `None` at the
    /// end of the list.
    pub words: Vec<Word>,
}

/// The first word of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The object is taken: whatever its owner put there.
    Owners,
    /// The object is free: this one is next.
    Next(u64),
    /// The object is free, and the last.
    End,
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// What the objects are.
    pub name: String,
    /// Bytes of an object.
    pub bytes: u64,
    /// Objects of a slab.
    pub objects_per_slab: u64,
    /// All slabs that there were.
    pub slabs: Vec<Slab>,
    /// The node's list: numbers of slabs.
    pub partial: Vec<usize>,
}

/// A cache of objects.
#[derive(Clone, Debug)]
pub struct Cache {
    name: String,
    bytes: u64,
    per_slab: u64,
    slabs: Vec<Slab>,
    cpu: Option<usize>,
    partial: Vec<usize>,
    allocated: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self::new("sk_buff", 64, 64)
    }
}

/// Where an object came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The CPU's list.
    Fast,
    /// A slab of the node's.
    Partial,
    /// New pages.
    New,
}

/// Where an object went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// To the CPU's list.
    Fast,
    /// To its own slab's list, which was full, and is in the node's list now.
    WasFull,
    /// To its own slab's list.
    Slow,
    /// To its own slab's list; the slab was empty then, and its pages were freed.
    SlabFreed,
}

impl Cache {
    /// An empty cache.
    pub fn new(name: &str, bytes: u64, per_slab: u64) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
            per_slab,
            slabs: Vec::new(),
            cpu: None,
            partial: Vec::new(),
            allocated: 0,
        }
    }

    /// Takes an object.
    pub fn alloc(&mut self) -> (u64, Way) {
        self.allocated += 1;
        if let Some(object) = self.cpu.and_then(|slab| self.pop(slab)) {
            return (object, Way::Fast);
        }
        if let Some(slab) = self.cpu.take() {
            self.slabs[slab].place = Place::Full;
        }
        let (slab, way) = match self.partial.is_empty() {
            false => (self.partial.remove(0), Way::Partial),
            true => (self.new_slab(), Way::New),
        };
        self.slabs[slab].place = Place::Cpu;
        self.cpu = Some(slab);
        // Neither a new slab nor one of the node's is without a free object.
        (self.pop(slab).unwrap_or_default(), way)
    }

    /// Gives an object back. `None` if nobody has it.
    pub fn free(&mut self, object: u64) -> Option<Back> {
        let at = usize::try_from(object / self.per_slab).ok()?;
        let slab = self.slabs.get_mut(at)?;
        let word = slab
            .words
            .get_mut(usize::try_from(object - slab.first).ok()?)?;
        if *word != Word::Owners || slab.place == Place::Gone {
            return None;
        }
        *word = slab.head.map_or(Word::End, Word::Next);
        slab.head = Some(object);
        match slab.place {
            Place::Cpu => return Some(Back::Fast),
            Place::Full => {
                slab.place = Place::Partial;
                self.partial.push(at);
                // A slab of one object is empty at once.
                if self.slabs[at].words.len() > 1 {
                    return Some(Back::WasFull);
                }
            }
            _ => {}
        }
        let empty = !self.slabs[at].words.contains(&Word::Owners);
        if empty && self.partial.len() >= MIN_PARTIAL {
            self.slabs[at].place = Place::Gone;
            self.partial.retain(|slab| *slab != at);
            return Some(Back::SlabFreed);
        }
        Some(Back::Slow)
    }

    /// The free objects of the CPU's slab, first to last.
    pub fn cpu_list(&self) -> Vec<u64> {
        self.cpu.map_or(Vec::new(), |slab| self.list(slab))
    }

    /// All slabs.
    pub fn slabs(&self) -> &[Slab] {
        &self.slabs
    }

    /// The free objects of a slab, first to last, as their words tell.
    pub fn list(&self, slab: usize) -> Vec<u64> {
        let slab = &self.slabs[slab];
        let next = |object: &u64| match slab.words[(object - slab.first) as usize] {
            Word::Next(next) => Some(next),
            _ => None,
        };
        let list = std::iter::successors(slab.head, next);
        list.take(slab.words.len()).collect()
    }

    fn pop(&mut self, slab: usize) -> Option<u64> {
        let slab = &mut self.slabs[slab];
        let object = slab.head?;
        let word = slab.words.get_mut((object - slab.first) as usize)?;
        slab.head = match *word {
            Word::Next(next) => Some(next),
            _ => None,
        };
        *word = Word::Owners;
        Some(object)
    }

    fn new_slab(&mut self) -> usize {
        let number = self.slabs.len();
        let first = number as u64 * self.per_slab;
        let words = (1..self.per_slab).map(|next| Word::Next(first + next));
        self.slabs.push(Slab {
            first,
            place: Place::Partial,
            head: Some(first),
            words: words.chain([Word::End]).collect(),
        });
        number
    }
}
