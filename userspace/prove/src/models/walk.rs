// SPDX-License-Identifier: MIT OR Apache-2.0

//! F4: the walk through the page tables, with the kernel's own entries.

use super::{ComparedStep, Comparison};
use crate::{not_testable, Need, Table};
use anyhow::{ensure, Context as _, Result};
use mapwright::inspect::{EntryKind, Inspector, Step, Target, Walk as Real};
use mapwright_models::{
    run,
    walk::{state::Walk, Tables},
    Kind, State,
};
use nix::sys::mman::{madvise, mmap_anonymous, mprotect, munmap, MapFlags, MmapAdvise, ProtFlags};
use std::{ffi::c_void, num::NonZeroUsize, path::Path, ptr::NonNull};

pub const NEEDS: &[Need] = &[Need::Module("mapwright_inspect"), Need::Arch(&["x86_64"])];
/// Where the kernel tells of transparent huge pages, which real-time kernels do not have.
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";
const REASONS: [&str; 2] = [
    "Frames are the kernel's choice. The model is given the kernel's entries, and must find the kernel's frame.",
    "Whether 2 MiB are mapped by one entry is the kernel's choice, too: it takes a free block that large.",
];

pub fn check(script: &str) -> Result<Comparison> {
    let transcript = run(Kind::Walk, script)?;
    let inspector = Inspector::open()?;
    let mut pages = Vec::new();
    let mut compared = Vec::new();
    let mut table = Table::new(
        "The entries that the kernel has (mapwright_inspect), which the model was given",
        ["address", "level", "index", "entry at", "entry"],
    );
    for step in &transcript.steps {
        let words: Vec<&str> = step.text.split_whitespace().collect();
        match words[..] {
            ["map", address, _, ref rest @ ..] => pages.push(Page::new(number(address)?, rest)?),
            ["entry", ..] => {
                return not_testable(
                    "a script's own entries cannot be put into the kernel's page tables",
                )
            }
            ["walk", address] => {
                let address = number(address)?;
                let State::Walk(state) = &step.state else {
                    continue;
                };
                let scripted = state.walk.as_ref().context("a walk that was not done")?;
                let real = inspector.walk(Target::Myself, address)?;
                for entry in entries(&real) {
                    table.row([
                        format!("{address:#x}"),
                        entry.level.name().to_owned(),
                        entry.index.to_string(),
                        format!("{:#x}", entry.entry),
                        format!("{:#x}", entry.value),
                    ]);
                }
                compared.push(indices(step.line, &step.text, scripted, &real));
                compared.push(frame(step.line, &step.text, &real));
                if !pages.is_empty() {
                    compared.push(page(step.line, &step.text, scripted, &real));
                }
            }
            _ => {}
        }
    }
    let about = vec![format!(
        "Each map is {} at the script's address, touched; each walk is done by the module mapwright_inspect in this \
         process's page tables.",
        "anonymous memory of this process"
    )];
    let mut comparison = Comparison::new(about, compared, &REASONS);
    comparison.evidence.push(table);
    Ok(comparison)
}

fn number(word: &str) -> Result<u64> {
    mapwright_models::number(word).map_err(anyhow::Error::msg)
}

/// The levels that the machine has.
fn entries(real: &Real) -> impl Iterator<Item = &Step> {
    real.steps
        .iter()
        .filter(|step| step.kind != EntryKind::Folded)
}

/// The levels and the index at each: the script's model against the kernel's walk, as far as both got.
fn indices(line: usize, step: &str, scripted: &Walk, real: &Real) -> ComparedStep {
    let model = scripted
        .levels
        .iter()
        .map(|level| format!("{} {}", level.name, level.index));
    let kernel = entries(real).map(|step| format!("{} {}", step.level.name(), step.index));
    let (mut model, mut kernel): (Vec<String>, Vec<String>) = (model.collect(), kernel.collect());
    let both = model.len().min(kernel.len());
    model.truncate(both);
    kernel.truncate(both);
    ComparedStep {
        line,
        step: format!("{step}: indices"),
        agrees: both > 0 && model == kernel,
        model: model.join(", "),
        kernel: kernel.join(", "),
    }
}

/// What the model makes of the kernel's entries.
fn frame(line: usize, step: &str, real: &Real) -> ComparedStep {
    // Bits 47 to 39 select the first entry, or bits 56 to 48.
    let five = entries(real).next().is_some_and(|step| step.shift > 39);
    let mut tables = Tables::at(real.root, if five { 5 } else { 4 });
    for entry in entries(real) {
        tables.set(entry.entry, entry.value);
    }
    let physical = |physical: Option<u64>| {
        physical.map_or("no page".to_owned(), |physical| {
            format!("physical {physical:#x}")
        })
    };
    let (model, kernel) = (
        physical(tables.translate(real.address).physical),
        physical(real.physical),
    );
    ComparedStep {
        line,
        step: format!("{step}: the kernel's entries"),
        agrees: model == kernel,
        model,
        kernel,
    }
}

/// Whether there is a page, and how large it is.
fn page(line: usize, step: &str, scripted: &Walk, real: &Real) -> ComparedStep {
    let size = |bytes: Option<u64>| match bytes {
        Some(bytes) => format!("a page of {} KiB", bytes >> 10),
        None => "no page".to_owned(),
    };
    let (model, kernel) = (
        size(scripted.page),
        size(real.physical.map(|_| real.page_size)),
    );
    ComparedStep {
        line,
        step: format!("{step}: the page"),
        agrees: model == kernel,
        model,
        kernel,
    }
}

/// A page of this process's at a given address, unmapped when dropped.
struct Page {
    addr: NonNull<c_void>,
    bytes: usize,
}

impl Page {
    fn new(address: u64, rest: &[&str]) -> Result<Self> {
        if rest.contains(&"1G") {
            return not_testable(
                "a page of 1 GiB takes a pool that was set aside at boot (hugepagesz=1G)",
            );
        }
        let huge = rest.contains(&"2M");
        if huge && !Path::new(HUGE_PAGES).exists() {
            return not_testable("this kernel has no transparent huge pages");
        }
        let bytes: usize = if huge { 2 << 20 } else { 4096 };
        let place = NonZeroUsize::new(usize::try_from(address)?)
            .context("a program has nothing at the address 0")?;
        ensure!(
            address < 1 << 47,
            "{address:#x} is not an address that a program gets"
        );
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
        let length = NonZeroUsize::new(bytes).context("no bytes")?;
        // SAFETY: The kernel refuses an address where something is mapped.
        let addr = unsafe { mmap_anonymous(Some(place), length, prot, flags) };
        let addr = addr.with_context(|| format!("this program cannot map {address:#x}"))?;
        let page = Self { addr, bytes };
        let advice = if huge {
            MmapAdvise::MADV_HUGEPAGE
        } else {
            MmapAdvise::MADV_NOHUGEPAGE
        };
        // SAFETY: The mapping is this type's own, and nobody has a reference to its memory.
        let _ = unsafe { madvise(addr, bytes, advice) };
        // SAFETY: It is the first byte of the mapping, which is writable.
        unsafe { addr.cast::<u8>().write_volatile(1) };
        if rest.contains(&"ro") {
            // SAFETY: As above.
            unsafe { mprotect(addr, bytes, ProtFlags::PROT_READ) }
                .context("making it read-only")?;
        }
        Ok(page)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: This owns the mapping. It cannot fail for what `mmap` gave.
        let _ = unsafe { munmap(self.addr, self.bytes) };
    }
}
