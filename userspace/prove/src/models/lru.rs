// SPDX-License-Identifier: MIT OR Apache-2.0

//! F6: which list a page of a file is on after it was read, with a disk's page cache and MGLRU off.

use super::{Comparison, Side};
use crate::{
    disk::{Disk, DISK_BYTES, NODE},
    not_testable,
    pin::Pinned,
    Need, Table,
};
use anyhow::{bail, Context as _, Result};
use mapwright::{page_bytes, pagemap_pfns};
use mapwright_models::{
    lru::{Page, State as Model},
    run, Kind, State, Step,
};
use nix::{
    fcntl::{posix_fadvise, PosixFadviseAdvice},
    sys::mman::{madvise, mmap, munmap, MapFlags, MmapAdvise, ProtFlags},
};
use std::{
    fs::{self, File, OpenOptions},
    num::NonZeroUsize,
    os::unix::fs::FileExt as _,
    path::Path,
};

pub const NEEDS: &[Need] = &[Need::File("/proc/kpageflags", "CONFIG_PROC_PAGE_MONITOR")];
const REASONS: [&str; 3] = [
    "MGLRU, which is on in many kernels, has generations instead of two lists: it was switched off for this.",
    "The kernel reclaims 32 pages at a time and more, and as many as it needs itself: which page goes next is not \
     compared, only what is there.",
    "A write leaves no mark that the page was used, where the file system writes by iomap: only that it is dirty is \
     compared.",
];
const MGLRU: &str = "/sys/kernel/mm/lru_gen/enabled";
/// Bits of `/proc/kpageflags`: `linux/kernel-page-flags.h`.
const REFERENCED: u64 = 1 << 2;
const DIRTY: u64 = 1 << 4;
const ACTIVE: u64 = 1 << 6;

pub fn check(script: &str) -> Result<Comparison> {
    let told = run(Kind::Lru, script)?;
    let _pinned = Pinned::to(0)?;
    let _two_lists = TwoLists::choose()?;
    let disk = Disk::new()?;
    let mut cache = PageCache::new()?;
    let mut sides = Vec::new();
    let mut table = Table::new(
        "Pages of the disk in /proc/kpageflags, after each step",
        ["step", "page", "frame", "active", "referenced", "dirty"],
    );
    let mut left_out = 0;
    for step in told.steps.iter().skip(1) {
        let model = model(step)?;
        let words: Vec<&str> = step.text.split_whitespace().collect();
        let names: Vec<String> = match words[..] {
            ["read", name] => vec![name.to_owned()],
            ["write", name] => {
                cache.write(name)?;
                vec![name.to_owned()]
            }
            ["scan", range] => numbers(range)?,
            _ => {
                left_out += 1;
                continue;
            }
        };
        for name in &names {
            if words[0] != "write" {
                cache.read(name)?;
            }
        }
        for name in &names {
            // What the model has made go, the kernel may keep.
            let Some(of_model) = find(model, name) else {
                left_out += 1;
                continue;
            };
            let (pfn, flags) = cache.flags(name)?;
            let has = |bit: u64| if flags & bit != 0 { "yes" } else { "" }.to_owned();
            table.row([
                step.text.clone(),
                name.clone(),
                format!("{pfn:#x}"),
                has(ACTIVE),
                has(REFERENCED),
                has(DIRTY),
            ]);
            let (model, kernel) = match words[0] {
                "write" => (dirty(of_model.1.dirty), dirty(flags & DIRTY != 0)),
                _ => (
                    told_of(of_model.0, of_model.1.referenced),
                    told_of(flags & ACTIVE != 0, flags & REFERENCED != 0),
                ),
            };
            sides.push(Side {
                line: step.line,
                step: format!("{}: {name}", step.text),
                agrees: model == kernel,
                model,
                kernel,
            });
        }
    }
    drop(disk);
    let mut about = vec![format!("The pages are those of {NODE}, a disk in memory; each read opens it anew, so that it counts.")];
    if left_out > 0 {
        about.push(format!(
            "{left_out} steps or pages were left out: what is reclaimed, the kernel chooses."
        ));
    }
    let mut comparison = Comparison::new(about, sides, &REASONS);
    comparison.evidence.push(table);
    Ok(comparison)
}

fn model(step: &Step) -> Result<&Model> {
    match &step.state {
        State::Lru(state) => Ok(state),
        _ => bail!("the model has no lists"),
    }
}

/// A page of the model's, and whether it is active.
fn find<'a>(model: &'a Model, name: &str) -> Option<(bool, &'a Page)> {
    let on = |list: &'a [Page]| list.iter().find(|page| page.name == name);
    let active = on(&model.active).map(|page| (true, page));
    active.or_else(|| on(&model.inactive).map(|page| (false, page)))
}

fn told_of(active: bool, referenced: bool) -> String {
    let list = if active { "active" } else { "inactive" };
    format!("{list}{}", if referenced { ", referenced" } else { "" })
}

fn dirty(dirty: bool) -> String {
    if dirty { "dirty" } else { "clean" }.to_owned()
}

/// `1..6`
fn numbers(range: &str) -> Result<Vec<String>> {
    let (first, last) = range.split_once("..").context("no range")?;
    let number = |word: &str| mapwright_models::number(word).map_err(anyhow::Error::msg);
    Ok((number(first)?..=number(last)?)
        .map(|page| page.to_string())
        .collect())
}

/// The kernel has two lists, until this is dropped.
struct TwoLists(Option<String>);

impl TwoLists {
    fn choose() -> Result<Self> {
        if !Path::new(MGLRU).exists() {
            return Ok(Self(None));
        }
        let before = fs::read_to_string(MGLRU).context(MGLRU)?;
        fs::write(MGLRU, "0").with_context(|| format!("writing {MGLRU}"))?;
        Ok(Self(Some(before.trim().to_owned())))
    }
}

impl Drop for TwoLists {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(MGLRU, before);
        }
    }
}

/// The pages of the disk, by the script's names for them.
struct PageCache {
    names: Vec<String>,
    flags: File,
}

impl PageCache {
    fn new() -> Result<Self> {
        Ok(Self {
            names: Vec::new(),
            flags: File::open("/proc/kpageflags").context("opening /proc/kpageflags")?,
        })
    }

    /// Where a page is on the disk. Pages are far apart, so that none is in another's folio.
    fn place(&mut self, name: &str) -> Result<u64> {
        let known = self.names.iter().position(|other| other == name);
        let at = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let place = at * 8 * page_bytes();
        match place + page_bytes() <= DISK_BYTES {
            true => Ok(place as u64),
            false => not_testable(format!(
                "beside the kernel a script may name {} pages",
                DISK_BYTES / (8 * page_bytes())
            )),
        }
    }

    fn open(writable: bool) -> Result<File> {
        let file = OpenOptions::new().read(true).write(writable).open(NODE);
        let file = file.with_context(|| format!("opening {NODE}"))?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?;
        Ok(file)
    }

    fn read(&mut self, name: &str) -> Result<()> {
        let place = self.place(name)?;
        Self::open(false)?
            .read_exact_at(&mut [0; 16], place)
            .context("reading the disk")
    }

    fn write(&mut self, name: &str) -> Result<()> {
        let place = self.place(name)?;
        let page = vec![0x5a; page_bytes()];
        Self::open(true)?
            .write_all_at(&page, place)
            .context("writing to the disk")
    }

    /// A page's frame and its flags.
    fn flags(&mut self, name: &str) -> Result<(u64, u64)> {
        let place = nix::libc::off_t::try_from(self.place(name)?)?;
        let file = Self::open(false)?;
        let length = NonZeroUsize::new(page_bytes()).context("no bytes")?;
        // SAFETY: The kernel chooses an address where nothing is mapped, and nobody uses the memory.
        let addr = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED,
                &file,
                place,
            )
        };
        let addr = addr.context("mapping the disk")?;
        // A mapping with random access leaves no mark that the page was used, nor does a fault. With
        // MADV_POPULATE_READ, the kernel would mark it.
        // SAFETY: It is the mapping from above.
        unsafe { madvise(addr, page_bytes(), MmapAdvise::MADV_RANDOM) }?;
        // SAFETY: It is the first byte of the mapping, which is inside the disk.
        let _ = unsafe { addr.cast::<u8>().read_volatile() };
        let pfn = pagemap_pfns(addr.as_ptr() as usize, 1)?;
        // SAFETY: As above. It also has this processor put what waits for its list there.
        unsafe { munmap(addr, page_bytes()) }?;
        let pfn = pfn
            .first()
            .copied()
            .flatten()
            .context("a page that was read is not there")?;
        let mut word = [0; 8];
        self.flags
            .read_exact_at(&mut word, pfn * 8)
            .context("reading /proc/kpageflags")?;
        Ok((pfn, u64::from_ne_bytes(word)))
    }
}
