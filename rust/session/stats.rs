// SPDX-License-Identifier: GPL-2.0-only

//! What the module counts.

use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};
use mapkit::{
    base::{
        errno,
        text::Decimal, //
    },
    observe::{
        histogram::{
            Histograms,
            BUCKETS, //
        },
        percpu::{
            CounterNames,
            PerCpuCounters, //
        }, //
    }, //
};

macro_rules! names {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl CounterNames for $name {
            const COUNT: usize = Self::ALL.len();

            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }

        impl $name {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in the table, which stays the same in later versions.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

names! {
    /// The counters of a region. What all regions have is told by the counter of the same name.
    RegionCounter {
        /// Successful `mmap(2)` calls.
        Mmaps = "mmaps";
        /// Page faults answered for a load.
        FaultsRead = "faults_read";
        /// Page faults answered for a store.
        FaultsWrite = "faults_write";
        /// Pages that these mapped.
        PagesFaulted = "pages_faulted";
    }
}

names! {
    /// What is timed.
    Timed {
        /// Allocating a region's memory.
        Allocate = "allocate";
        /// Freeing it.
        Free = "free";
        /// `mmap(2)`, as far as the module is concerned.
        Mmap = "mmap";
        /// A page fault, as far as the module is concerned.
        Fault = "fault";
    }
}

names! {
    /// The counters since the module was loaded.
    Counter {
    /// Files opened.
    SessionsOpened = "sessions_opened";
    /// Files closed.
    SessionsClosed = "sessions_closed";
    /// Regions made.
    RegionsCreated = "regions_created";
    /// Regions freed.
    RegionsFreed = "regions_freed";
    /// Pages of regions made.
    PagesAllocated = "pages_allocated";
    /// Pages of regions freed.
    PagesFreed = "pages_freed";
    /// Successful `mmap(2)` calls.
    Mmaps = "mmaps";
    /// Pages that these mapped.
    PagesMapped = "pages_mapped";
    /// Page faults answered for a load.
    FaultsRead = "faults_read";
    /// Page faults answered for a store.
    FaultsWrite = "faults_write";
    /// Page faults refused.
    FaultsFailed = "faults_failed";
    /// Pages that these mapped. Threads that fault in the same page frame numbers at the same time count
    /// these each.
    PagesFaulted = "pages_faulted";
    /// VMAs that began: by `mmap(2)`, `fork(2)`, a split or a move.
    VmasOpened = "vmas_opened";
    /// VMAs that ended.
    VmasClosed = "vmas_closed";
    /// Successful `read(2)` calls.
    Reads = "reads";
    /// Bytes that these copied.
    BytesRead = "bytes_read";
    /// Successful `write(2)` calls.
    Writes = "writes";
    /// Bytes that these copied.
    BytesWritten = "bytes_written";
    /// Calls that failed with `EPERM`.
    FailedEperm = "failed_EPERM";
    /// Calls that failed with `ENOENT`.
    FailedEnoent = "failed_ENOENT";
    /// Calls that failed with `ENXIO`.
    FailedEnxio = "failed_ENXIO";
    /// Calls that failed with `E2BIG`.
    FailedE2big = "failed_E2BIG";
    /// Calls that failed with `ENOMEM`.
    FailedEnomem = "failed_ENOMEM";
    /// Calls that failed with `EFAULT`.
    FailedEfault = "failed_EFAULT";
    /// Calls that failed with `EBUSY`.
    FailedEbusy = "failed_EBUSY";
    /// Calls that failed with `EINVAL`.
    FailedEinval = "failed_EINVAL";
    /// Calls that failed with `ENOTTY`.
    FailedEnotty = "failed_ENOTTY";
    /// Calls that failed with `ENOSPC`.
    FailedEnospc = "failed_ENOSPC";
    /// Calls that failed with `EOPNOTSUPP`.
    FailedEopnotsupp = "failed_EOPNOTSUPP";
    /// Calls that failed with anything else.
    FailedOther = "failed_other";
    }
}

/// The counters of the module.
pub(crate) struct Stats {
    counters: PerCpuCounters<Counter>,
    pub(crate) latency: Histograms<Timed>,
}

impl Stats {
    /// All zero, with the clock on or off.
    pub(crate) fn new(timing: bool) -> Result<Self> {
        Ok(Self {
            counters: PerCpuCounters::new()?,
            latency: Histograms::new(timing)?,
        })
    }

    /// Adds one.
    pub(crate) fn inc(&self, counter: Counter) {
        self.counters.inc(counter);
    }

    /// Adds `n`.
    pub(crate) fn add(&self, counter: Counter, n: usize) {
        self.counters.add(counter, n);
    }

    /// Counts a failure by its errno, and passes the result on.
    pub(crate) fn note<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(err) = &result {
            self.counters.inc(failure(*err));
        }
        result
    }

    /// Counts what `read(2)` did, and passes it on.
    pub(crate) fn note_read(&self, copied: Result<usize>) -> Result<usize> {
        let bytes = self.note(copied)?;
        self.inc(Counter::Reads);
        self.add(Counter::BytesRead, bytes);
        Ok(bytes)
    }

    /// Counts what `write(2)` did, and passes it on.
    pub(crate) fn note_written(&self, copied: Result<usize>) -> Result<usize> {
        let bytes = self.note(copied)?;
        self.inc(Counter::Writes);
        self.add(Counter::BytesWritten, bytes);
        Ok(bytes)
    }

    /// Writes the table: a header line, then a line per counter. A counter is an `unsigned long`: on 32-bit machines
    /// it begins again at 2^32.
    pub(crate) fn show(&self, m: &SeqFile) {
        seq_print!(m, "counter value\n");
        for counter in Counter::ALL {
            let sum = self.counters.sum(*counter);
            seq_print!(m, "{} {}\n", counter.name(), Decimal(sum as u64));
        }
    }
}

impl Stats {
    /// Writes the table of latencies: a header line, then a line per bucket that is not empty.
    pub(crate) fn show_latency(&self, m: &SeqFile) {
        seq_print!(m, "operation below_ns count\n");
        for timed in Timed::ALL {
            for bucket in 0..BUCKETS {
                let count = self.latency.count(*timed, bucket);
                if count > 0 {
                    let below = Decimal(1u64.wrapping_shl(bucket as u32));
                    seq_print!(m, "{} {} {}\n", timed.name(), below, Decimal(count as u64));
                }
            }
        }
    }
}

fn failure(err: Error) -> Counter {
    match err {
        EPERM => Counter::FailedEperm,
        ENOENT => Counter::FailedEnoent,
        ENXIO => Counter::FailedEnxio,
        E2BIG => Counter::FailedE2big,
        ENOMEM => Counter::FailedEnomem,
        EFAULT => Counter::FailedEfault,
        EBUSY => Counter::FailedEbusy,
        EINVAL => Counter::FailedEinval,
        ENOTTY => Counter::FailedEnotty,
        ENOSPC => Counter::FailedEnospc,
        _ if err == errno::eopnotsupp() => Counter::FailedEopnotsupp,
        _ => Counter::FailedOther,
    }
}
