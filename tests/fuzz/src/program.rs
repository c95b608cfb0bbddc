// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is tried: a program of calls, as data that can be made at random, changed, written down and read again.

use arbitrary::Arbitrary;
use serde::{Deserialize, Serialize};

/// Threads that a program has beside its first, at most.
pub const MAX_THREADS: usize = 3;
/// Calls of a thread, at most.
pub const MAX_OPS: usize = 40;

/// Calls that a process makes: first alone, then in several threads at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Bytes in MiB that the process's memory cgroup allows it; 0: no limit.
    pub limit: u8,
    /// Tenths of a millisecond after which the process is killed; 0: it ends by itself.
    pub killed_after: u16,
    /// What the first thread does, before the others begin.
    pub first: Vec<Op>,
    /// What each of the other threads does.
    pub others: Vec<Vec<Op>>,
}

/// Which of the things that there are: the number is taken modulo how many there are.
pub type Slot = u8;

/// A number of pages, mostly small, sometimes next to one where something changes.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count(pub u8);

impl Count {
    /// So many pages, where there are `all`.
    pub fn pages(self, all: u64) -> u64 {
        let near = |middle: u64| (middle + u64::from(self.0 % 3)).saturating_sub(1);
        match self.0 {
            0..=159 => u64::from(self.0 % 9) + 1,
            160..=229 => near(all),
            // Of a block of the middle level.
            230..=241 => near(512),
            242..=249 => near(1024),
            // More than the page allocator's largest block has.
            250..=254 => near(1280),
            255 => 0,
        }
    }

    /// The number of a page, where there are `all`.
    pub fn first(self, all: u64) -> u64 {
        match self.0 {
            0..=99 => 0,
            100..=219 => u64::from(self.0 - 100) * 7 % all.max(1),
            _ => self.pages(all),
        }
    }
}

/// A device.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    Mapwright,
    MapwrightSync,
    MapwrightReadOnly,
    Alloc,
    Dma,
    Gpio,
    Inspect,
    Buffer,
}

/// A field of the structure of a raw ioctl.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    Zero,
    Small(u8),
    Bit(u8),
    /// The number of a region.
    Region(Slot),
    /// Its offset.
    Offset(Slot),
    /// Bytes of so many pages.
    Bytes(Count),
    /// Two halves.
    Pair(u8, u8),
    /// The address of a mapping.
    Address(Slot),
    /// The number of a file descriptor.
    File(Slot),
    /// A number that something was given on return.
    Returned(Slot),
    /// The largest, or one beside it.
    Largest(u8),
    Any(u64),
}

/// How something is mapped.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    Shared,
    Private,
    Populated,
    Locked,
    /// In the place of another mapping.
    Over(Slot),
    /// At an address that a block fits at.
    ForBlocks,
}

/// What may be done with mapped memory.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    None,
    Read,
    Write,
    Execute,
}

/// How a mapping is moved.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Move {
    InPlace,
    Anywhere,
    LeaveBehind,
    Onto(Slot),
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Advice {
    Normal,
    DontNeed,
    Free,
    Remove,
    DontFork,
    DoFork,
    HugePage,
    NoHugePage,
    Cold,
    PageOut,
    PopulateRead,
    PopulateWrite,
    DontDump,
    WipeOnFork,
    Mergeable,
    Collapse,
    SoftOffline,
    WillNeed,
}

/// What a child process does before it ends.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Child {
    Exits,
    Loads(Slot),
    Stores(Slot, Count, u8),
    Unmaps(Slot),
    UnmapsPart(Slot, Count, Count),
    Protects(Slot),
    ClosesAll,
    IsKilled(Slot),
    Executes,
    /// And its child goes on while it ends.
    Forks(Slot),
}

/// What a read or write has at its other end.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Other {
    Buffer(u8),
    Mapping(Slot),
    Nothing,
    Pipe,
}

/// What else a program can do with mapped pages.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    DirectWrite,
    DirectRead,
    Vmsplice,
    ProcessRead,
    ProcessWrite,
    Register,
    Pagemap,
    Mincore,
    Userfault,
    Futex,
}

/// A file of debugfs or procfs that tells of what happens.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Table {
    Stats,
    Regions,
    Latency,
    Smaps,
    FdInfo(Slot),
}

/// A call, or a few that belong together.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Open(Device),
    Close(Slot),
    Duplicate(Slot),
    Create {
        file: Slot,
        pair: u8,
        pages: Count,
        caching: u8,
        contiguous: bool,
    },
    Destroy {
        region: Slot,
    },
    Export {
        region: Slot,
        first: Count,
        pages: Count,
        read_only: bool,
    },
    Map {
        region: Slot,
        from: Count,
        pages: Count,
        access: Access,
        how: How,
    },
    /// An offset of a file that no region may have.
    MapBare {
        file: Slot,
        from: Count,
        pages: Count,
        access: Access,
        how: How,
    },
    Unmap {
        map: Slot,
        from: Count,
        pages: Count,
    },
    Move {
        map: Slot,
        from: Count,
        pages: Count,
        to_pages: Count,
        how: Move,
    },
    Protect {
        map: Slot,
        from: Count,
        pages: Count,
        access: Access,
    },
    Advise {
        map: Slot,
        from: Count,
        pages: Count,
        advice: Advice,
    },
    Lock {
        map: Slot,
        on: bool,
    },
    Synchronize {
        map: Slot,
    },
    Load {
        map: Slot,
        page: Count,
    },
    Store {
        map: Slot,
        page: Count,
        byte: u8,
    },
    LoadAll {
        map: Slot,
    },
    StoreAll {
        map: Slot,
        byte: u8,
    },
    Fork {
        child: Child,
        waits: bool,
    },
    Read {
        region: Slot,
        from: Count,
        within: u8,
        pages: Count,
        to: Other,
    },
    Write {
        region: Slot,
        from: Count,
        within: u8,
        pages: Count,
        of: Other,
    },
    Seek {
        file: Slot,
        to: Count,
    },
    Use {
        map: Slot,
        from: Count,
        pages: Count,
        how: Use,
    },
    Ioctl {
        file: Slot,
        number: u8,
        size: u8,
        words: [Word; 8],
    },
    Poll {
        file: Slot,
    },
    Tell(Table),
    /// The so manieth allocation of the next call fails.
    Fail {
        nth: u8,
    },
    Rebind(Device),
}
