// SPDX-License-Identifier: MIT OR Apache-2.0

//! F6: which list a page of a file is on after it was read, with a disk's page cache and MGLRU off.

use super::{ComparedStep, Comparison};
use crate::{
    disk::{Disk, DISK_BYTES, NODE},
    lru_gen::LruGen,
    not_testable,
    page_cache::{self, ACTIVE, DIRTY, REFERENCED},
    pin::Pinned,
    Need, Table,
};
use anyhow::{bail, Context as _, Result};
use mapwright::page_bytes;
use mapwright_models::{
    lru::state::{Page, State as Model},
    run, Kind, State, Step,
};
use nix::fcntl::{posix_fadvise, PosixFadviseAdvice};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
};

pub const NEEDS: &[Need] = &[Need::File("/proc/kpageflags", "CONFIG_PROC_PAGE_MONITOR")];
/// Others may read the disk, and the kernel may write what is dirty, at any time: how often it is tried.
const TRIES: usize = 3;
const REASONS: [&str; 3] = [
    "MGLRU, which is on in many kernels, has generations instead of two lists: it was switched off for this.",
    "The kernel reclaims 32 pages at a time and more, and as many as it needs itself: which page goes next is not \
     compared, only what is there.",
    "A write leaves no mark that the page was used, where the file system writes by iomap: only that it is dirty is \
     compared.",
];

pub fn check(script: &str) -> Result<Comparison> {
    let mut comparison = attempt(script)?;
    for _ in 1..TRIES {
        if comparison.agrees {
            break;
        }
        comparison = attempt(script)?;
    }
    Ok(comparison)
}

fn attempt(script: &str) -> Result<Comparison> {
    let transcript = run(Kind::Lru, script)?;
    let _pinned = Pinned::to(0)?;
    let _two_lists = LruGen::switch(false)?;
    let disk = Disk::new()?;
    let mut cache = PageCache { names: Vec::new() };
    let mut compared = Vec::new();
    let mut table = Table::new(
        "Pages of the disk in /proc/kpageflags, after each step",
        ["step", "page", "frame", "active", "referenced", "dirty"],
    );
    let mut left_out = 0;
    for step in transcript.steps.iter().skip(1) {
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
            compared.push(ComparedStep {
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
    let mut comparison = Comparison::new(about, compared, &REASONS);
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

/// The pages of the disk, by the script's names for them.
struct PageCache {
    names: Vec<String>,
}

impl PageCache {
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
        let place = self.place(name)?;
        let page = page_cache::look(&Self::open(false)?, place, 1)?;
        let page = page.first().copied().flatten();
        let page = page.context("a page that was read is not there")?;
        Ok((page.pfn, page.flags))
    }
}
