// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens when a region is made, mapped and touched: measured once, shown in several ways.

use crate::style::{bytes, count, more, paint, row, table, BAD, DIM, GOOD, STRONG};
use anyhow::{Context as _, Result};
use mapwright::{
    page_bytes, page_faults, pagemap_pfns, settle, vma_of, AddressClass, Mapping, Protection,
    Query, Region, Session, Vma,
};
use nix::errno::Errno;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Pages whose frames are shown one by one.
const FIRST_PAGES: usize = 8;

/// A region that is mapped and has been touched, with what was seen on the way.
pub struct Observation {
    pub query: Query,
    pub mapping: Mapping,
    pub vma: Vma,
    /// Pages that it has.
    pages: usize,
    /// Frame of each page, as the module says; hidden from who lacks `CAP_SYS_ADMIN`, and where lockdown says so.
    pub pfns: Option<Vec<u64>>,
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
        let pfns = match session.pages(region, 0, u64::MAX) {
            Ok(pages) => Some(pages.iter().map(|page| page.pfn).collect()),
            Err(err) if err.errno() == Some(Errno::EPERM) => None,
            Err(err) => return Err(err).context("asking for page frame numbers"),
        };
        let pages = usize::try_from(region.bytes)?.div_ceil(page_bytes());
        Ok(Self {
            query: session.query(region)?,
            vma: vma_of(mapping.addr())?,
            pagemap: pagemap_pfns(mapping.addr(), pages.min(FIRST_PAGES))?,
            pages,
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
        let pages = count(self.pages as u64, "page");
        row(
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
        row("kernel sees", format_args!("it in {class}"));
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
        row(
            "frames",
            format_args!("{runs}, the longest {longest}: {}", paint(STRONG, verdict)),
        );
        let legend = match (self.query.runs, self.query.address_class) {
            (1, AddressClass::DirectMap) => "",
            (1, AddressClass::Vmalloc) => "  memory is little used yet",
            _ => "  each new run changes the shade",
        };
        match &self.pfns {
            Some(pfns) => more(paint(DIM, format_args!("{}{legend}", strip(pfns, 48)))),
            None => more(paint(
                DIM,
                "which they are is hidden: to be told takes CAP_SYS_ADMIN",
            )),
        }
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
        let shown = |pfn: Option<u64>| pfn.map_or("hidden".to_owned(), |pfn| format!("{pfn:#x}"));
        for (page, mapped) in self.pagemap.iter().enumerate() {
            let addr = self.mapping.addr() + page * page_bytes();
            let pfn = self.pfns.as_ref().and_then(|pfns| pfns.get(page));
            table.add_row([
                page.to_string(),
                format!("{addr:#x}"),
                shown(pfn.copied()),
                shown(*mapped),
            ]);
        }
        for row in table.lines() {
            more(row);
        }
        let rest = self.pages.saturating_sub(FIRST_PAGES);
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
        row(
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
        row(
            "Rss",
            format_args!("{} counted as resident", bytes(self.vma.rss_bytes)),
        );
    }

    /// Prints what it cost.
    pub fn show_cost(&self) {
        row("mmap", format_args!("{:.1?}", self.mmap_time));
        row("first touch", self.first_touch.text());
        row("second touch", self.second_touch.text());
    }

    /// Stores in the mapping and reads through the kernel, and the other way round; prints both.
    /// Returns whether both saw the same bytes.
    pub fn show_coherence(&mut self, session: &Session) -> Result<bool> {
        let region = self.query.region;
        let text = b"stored by the program";
        self.mapping.write(0, text);
        let mut contents = vec![0; text.len()];
        session.read_at(&region, 0, &mut contents)?;
        let first = show_exchange(
            "program",
            "a store, no system call",
            text,
            "kernel",
            &contents,
        );

        let text = b"written by the kernel";
        let middle = usize::try_from(region.bytes / 2)?;
        session.write_at(&region, region.bytes / 2, text)?;
        let mut contents = vec![0; text.len()];
        self.mapping.read(middle, &mut contents);
        let second = show_exchange(
            "kernel",
            "pwrite, its own pointer",
            text,
            "program",
            &contents,
        );
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

/// Frames as a strip of at most `width` cells; the shade changes where a run ends.
fn strip(pfns: &[u64], width: usize) -> String {
    let cells = width.min(pfns.len());
    let mut shade = false;
    let mut last_page = 0;
    (0..cells)
        .map(|cell| {
            let page = cell * pfns.len() / cells;
            let breaks = (last_page..page).any(|p| pfns[p + 1] != pfns[p] + 1);
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

fn show_exchange(from: &str, how: &str, stored: &[u8], to: &str, contents: &[u8]) -> bool {
    let quote = |text| format!("\"{}\"", String::from_utf8_lossy(text));
    row(
        from,
        format_args!(
            "puts  {}  {}",
            quote(stored),
            paint(DIM, format_args!("({how})"))
        ),
    );
    let verdict = match stored == contents {
        true => paint(GOOD, "the same bytes"),
        false => paint(BAD, "NOT the same bytes"),
    };
    row(to, format_args!("finds {}  {verdict}", quote(contents)));
    stored == contents
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
