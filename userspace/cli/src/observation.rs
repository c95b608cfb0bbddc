// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens when a region is made, mapped and touched: measured once, shown in several ways.

use crate::style::{bytes, count, line, more, paint, table, BAD, DIM, GOOD, STRONG};
use anyhow::{Context as _, Result};
use mapwright::{
    page_bytes, page_faults, pagemap_pfns, settle, vma_of, AddressClass, Mapping, Protection,
    Query, Region, Session, Vma,
};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Pages whose frames are shown one by one.
const FIRST_PAGES: usize = 8;

/// A region that is mapped and has been touched, with what was seen on the way.
pub struct Observation {
    pub query: Query,
    pub mapping: Mapping,
    pub vma: Vma,
    /// Frame of each page, as the module says.
    pub pfns: Vec<u64>,
    /// Frame of each of the first pages, as `/proc/self/pagemap` says.
    pub pagemap: Vec<Option<u64>>,
    pub mmap_time: Duration,
    pub first_touch: Touch,
    pub second_touch: Touch,
}

/// A load from each page.
#[derive(Clone, Copy, Serialize)]
pub struct Touch {
    pub nanoseconds: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
}

impl Observation {
    /// Maps `region` and touches it twice.
    pub fn make(session: &Session, region: &Region) -> Result<Self> {
        settle();
        let start = Instant::now();
        let mapping = session.map(region, Protection::ReadWrite)?;
        let mmap_time = start.elapsed();
        let first_touch = touch(&mapping)?;
        let second_touch = touch(&mapping)?;
        let pages = session
            .pages(region, 0, u64::MAX)
            .context("page frame numbers need root")?;
        let pfns: Vec<u64> = pages.iter().map(|page| page.pfn).collect();
        Ok(Self {
            query: session.query(region)?,
            vma: vma_of(mapping.addr())?,
            pagemap: pagemap_pfns(mapping.addr(), pfns.len().min(FIRST_PAGES))?,
            pfns,
            mapping,
            mmap_time,
            first_touch,
            second_touch,
        })
    }

    /// Prints the region and where its memory is.
    pub fn show_region(&self) {
        let Query { region, .. } = self.query;
        let pages = count(self.pfns.len() as u64, "page");
        line(
            "region",
            format_args!(
                "number {}, {} ({pages}), {} + {}, {}",
                region.id,
                bytes(region.bytes),
                self.query.backing.name(),
                self.query.method.name(),
                self.query.caching.name(),
            ),
        );
        let class = match self.query.address_class {
            AddressClass::DirectMap => "the direct map: all memory, one after the other",
            AddressClass::Vmalloc => "the vmalloc area: any frames, strung together by page tables",
        };
        line("kernel sees", format_args!("it in {class}"));
    }

    /// Prints how scattered the frames are, and a picture of it.
    pub fn show_frames(&self) {
        let runs = count(self.query.runs, "physically contiguous run");
        let longest = count(self.query.longest_run, "page");
        let verdict = match (self.query.runs, self.query.address_class) {
            (1, AddressClass::DirectMap) => "contiguous",
            (1, AddressClass::Vmalloc) => "contiguous, by luck",
            _ => "scattered",
        };
        line(
            "frames",
            format_args!("{runs}, the longest {longest}: {}", paint(STRONG, verdict)),
        );
        let legend = match (self.query.runs, self.query.address_class) {
            (1, AddressClass::DirectMap) => "",
            (1, AddressClass::Vmalloc) => "  memory is little used yet",
            _ => "  each new run changes the shade",
        };
        more(paint(DIM, format_args!("{}{legend}", self.strip(48))));
    }

    /// The frames as a strip of at most `width` cells; the shade changes where a run ends.
    fn strip(&self, width: usize) -> String {
        let cells = width.min(self.pfns.len());
        let mut shade = false;
        let mut last_page = 0;
        (0..cells)
            .map(|cell| {
                let page = cell * self.pfns.len() / cells;
                let breaks = (last_page..page).any(|p| self.pfns[p + 1] != self.pfns[p] + 1);
                shade ^= breaks;
                last_page = page;
                if shade {
                    '░'
                } else {
                    '█'
                }
            })
            .collect()
    }

    /// Prints the first pages with their frames.
    pub fn show_first_pages(&self) {
        let header = [
            "page",
            "user address",
            "pfn (module)",
            "pfn (/proc/self/pagemap)",
        ];
        let mut table = table(header, 0);
        for (page, (pfn, seen)) in self.pfns.iter().zip(&self.pagemap).enumerate() {
            let addr = self.mapping.addr() + page * page_bytes();
            let seen = seen.map_or("hidden".to_owned(), |pfn| format!("{pfn:#x}"));
            table.add_row([
                page.to_string(),
                format!("{addr:#x}"),
                format!("{pfn:#x}"),
                seen,
            ]);
        }
        for row in table.lines() {
            more(row);
        }
        let rest = self.pfns.len().saturating_sub(FIRST_PAGES);
        if rest > 0 {
            more(paint(
                DIM,
                format_args!("and {}", count(rest as u64, "more page")),
            ));
        }
    }

    /// Prints the VMA and what its flags mean.
    pub fn show_vma(&self) {
        let (start, end) = self.vma.range;
        line(
            "VMA",
            format_args!("{start:#x}-{end:#x} {}", self.vma.permissions),
        );
        more(format_args!("VmFlags {}", self.vma.flags.join(" ")));
        let (flag, meaning) = if self.vma.has("pf") {
            (
                "pf",
                "page frame numbers only: the kernel does not count or pin these pages",
            )
        } else if self.vma.has("mm") {
            (
                "mm",
                "pages with a reference count: the kernel counts them, and can pin them",
            )
        } else {
            (
                "neither pf nor mm",
                "an ordinary mapping, like a file's: the kernel counts its folios, and can pin them",
            )
        };
        more(format_args!(
            "{} {}",
            paint(STRONG, flag),
            paint(DIM, meaning)
        ));
        line(
            "Rss",
            format_args!("{} counted as resident", bytes(self.vma.rss_bytes)),
        );
    }

    /// Prints what it cost.
    pub fn show_cost(&self) {
        line("mmap", format_args!("{:.1?}", self.mmap_time));
        line("first touch", self.first_touch.text());
        line("second touch", self.second_touch.text());
    }

    /// Stores in the mapping and reads through the kernel, and the other way round; prints both.
    /// Returns whether both saw the same bytes.
    pub fn show_coherence(&mut self, session: &Session) -> Result<bool> {
        let region = self.query.region;
        let told = b"stored by the program";
        self.mapping.write(0, told);
        let mut seen = vec![0; told.len()];
        session.read_at(&region, 0, &mut seen)?;
        let first = show_exchange("program", "a store, no system call", told, "kernel", &seen);

        let told = b"written by the kernel";
        let middle = usize::try_from(region.bytes / 2)?;
        session.write_at(&region, region.bytes / 2, told)?;
        let mut seen = vec![0; told.len()];
        self.mapping.read(middle, &mut seen);
        let second = show_exchange("kernel", "pwrite, its own pointer", told, "program", &seen);
        Ok(first && second)
    }

    /// All of it for programs.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "region": {
                "id": self.query.region.id,
                "bytes": self.query.region.bytes,
                "offset": self.query.region.offset,
                "backing": self.query.backing.name(),
                "method": self.query.method.name(),
                "caching": self.query.caching.name(),
                "address_class": self.query.address_class.name(),
                "runs": self.query.runs,
                "longest_run": self.query.longest_run,
            },
            "vma": {
                "start": self.vma.range.0,
                "end": self.vma.range.1,
                "permissions": self.vma.permissions,
                "flags": self.vma.flags,
                "rss_bytes": self.vma.rss_bytes,
            },
            "pfns": self.pfns,
            "mmap_nanoseconds": nanoseconds(self.mmap_time),
            "first_touch": self.first_touch,
            "second_touch": self.second_touch,
        })
    }
}

impl Touch {
    fn text(&self) -> String {
        let faults = count(self.minor_faults + self.major_faults, "page fault");
        format!("{:.1?}, {faults}", Duration::from_nanos(self.nanoseconds))
    }
}

fn touch(mapping: &Mapping) -> Result<Touch> {
    let before = page_faults()?;
    let start = Instant::now();
    std::hint::black_box(mapping.touch());
    let time = start.elapsed();
    let after = page_faults()?;
    Ok(Touch {
        nanoseconds: nanoseconds(time),
        minor_faults: after.0 - before.0,
        major_faults: after.1 - before.1,
    })
}

fn show_exchange(from: &str, how: &str, told: &[u8], to: &str, seen: &[u8]) -> bool {
    let quote = |text| format!("\"{}\"", String::from_utf8_lossy(text));
    line(
        from,
        format_args!(
            "puts  {}  {}",
            quote(told),
            paint(DIM, format_args!("({how})"))
        ),
    );
    let verdict = match told == seen {
        true => paint(GOOD, "the same bytes"),
        false => paint(BAD, "NOT the same bytes"),
    };
    line(to, format_args!("finds {}  {verdict}", quote(seen)));
    told == seen
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
