// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright layout`: the address space of the kernel and of a process, to scale.

use crate::style::{bytes, paint, width, DIM, GOOD, HEADING, STRONG};
use anyhow::{Context as _, Result};
use mapwright::{
    inspect::{Area, Inspector, Layout},
    Backing, Mapping, Method, Protection, Region, Session, DEVICE,
};
use procfs::process::{MMPermissions, MMapPath, Process};
use serde_json::{json, Value};
use std::path::Path;

/// Cells of the longest bar, where there is room. Each is a doubling then.
const BAR: usize = 40;
/// Columns that a line has besides: an address, a size, a name.
const BESIDES: usize = 56;

#[derive(clap::Args)]
pub struct Args {
    /// Number of the process; without it, this program with two regions mapped
    pid: Option<i32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A stretch of addresses.
#[derive(Clone)]
struct Stretch {
    start: u64,
    last: u64,
    name: String,
    detail: String,
    is_ours: bool,
}

impl Stretch {
    fn bytes(&self) -> u64 {
        (self.last - self.start).saturating_add(1)
    }

    /// Its part from an address on.
    fn from(&self, start: u64) -> Self {
        Self {
            start,
            ..self.clone()
        }
    }

    /// Its part up to an address.
    fn up_to(&self, last: u64) -> Self {
        Self {
            last,
            ..self.clone()
        }
    }
}

/// A region of this program, mapped, to be seen in its address space and in the kernel's.
struct Sample {
    region: Region,
    mapping: Mapping,
    backing: Backing,
}

fn samples(session: &Session) -> Result<Vec<Sample>> {
    let kinds = [
        (Backing::Pages, Method::Remap),
        (Backing::Vmalloc, Method::Insert),
    ];
    let make = |(backing, method)| {
        let region = session.create(backing, method, 1 << 20)?;
        let mapping = session.map(&region, Protection::ReadWrite)?;
        Ok(Sample {
            region,
            mapping,
            backing,
        })
    };
    kinds.into_iter().map(make).collect()
}

pub fn run(args: &Args) -> Result<()> {
    let layout = Inspector::open()?.layout()?;
    let session = Session::open();
    let samples = match (args.pid, &session) {
        (None, Ok(session)) => samples(session)?,
        _ => Vec::new(),
    };
    let process = match args.pid {
        None => Process::myself()?,
        Some(pid) => Process::new(pid).with_context(|| format!("there is no process {pid}"))?,
    };
    let kernel = kernel_stretches(&layout, &samples, session.as_ref().ok())?;
    let user = user_stretches(&process, &samples)?;
    if args.json {
        let value = json!({
            "address_bits": layout.address_bits,
            "kernel": kernel.iter().map(to_json).collect::<Vec<_>>(),
            "pid": process.pid,
            "process": user.iter().map(to_json).collect::<Vec<_>>(),
        });
        println!("{value:#}");
        return Ok(());
    }
    let name = process.stat()?.comm;
    let note = match bar_width() {
        BAR => "a bar grows by a cell each time the size doubles",
        _ => "to scale, as logarithms",
    };
    let note = paint(DIM, note);
    anstream::println!(
        "{}  {note}\n",
        paint(HEADING, format_args!("Process {} ({name})", process.pid))
    );
    show(&user, 0, layout.user_last);
    anstream::println!(
        "\n{}\n",
        paint(
            HEADING,
            format_args!("The kernel: addresses of {} bits", layout.address_bits)
        )
    );
    show(&cut(kernel), layout.kernel_first, u64::MAX);
    Ok(())
}

/// The kernel's areas, and which regions are in them.
fn kernel_stretches(
    layout: &Layout,
    samples: &[Sample],
    session: Option<&Session>,
) -> Result<Vec<Stretch>> {
    let mut stretches = Vec::new();
    for range in &layout.areas {
        let mut stretch = Stretch {
            start: range.start,
            last: range.last,
            name: range.area.name().to_owned(),
            detail: about(range.area).to_owned(),
            is_ours: false,
        };
        for sample in samples {
            let class = match sample.backing {
                Backing::Vmalloc => Area::Vmalloc,
                _ => Area::DirectMap,
            };
            if class != range.area {
                continue;
            }
            stretch.is_ours = true;
            let place = match (class, session) {
                (Area::DirectMap, Some(session)) => {
                    let first = session.pages(&sample.region, 0, 1)?;
                    let first = first.first().context("the region has no page")?;
                    let physical = first.pfn * mapwright::page_size();
                    let address = layout.direct_map_address(physical);
                    format!(" at {:#x}", address.context("not in the direct map")?)
                }
                _ => String::new(),
            };
            stretch.detail = format!("region {}{place}", sample.region.id);
        }
        stretches.push(stretch);
    }
    Ok(stretches)
}

/// What an area is for.
fn about(area: Area) -> &'static str {
    match area {
        Area::DirectMap => "all memory, one after the other",
        Area::Vmalloc => "vmalloc(), ioremap(), kernel stacks",
        Area::Vmemmap => "the struct page of each frame",
        Area::Modules => "loaded modules",
        Area::KernelImage => "the kernel's own code and data",
        Area::Fixmap => "addresses fixed at build time",
        Area::CpuEntry => "entry code and stacks of each CPU",
        Area::Kasan => "KASAN's notes on each 8 bytes",
        Area::Ldt => "local descriptor tables",
        Area::Pkmap => "high memory, for a moment",
        Area::PciIo => "I/O ports of PCI",
    }
}

/// Cuts a stretch in two where another one is inside it.
fn cut(stretches: Vec<Stretch>) -> Vec<Stretch> {
    let mut done: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        match done.pop() {
            Some(outer) if stretch.last < outer.last => {
                let before = (outer.start < stretch.start).then(|| outer.up_to(stretch.start - 1));
                let after = outer.from(stretch.last + 1);
                done.extend(before.into_iter().chain([stretch, after]));
            }
            other => done.extend(other.into_iter().chain([stretch])),
        }
    }
    done
}

/// What is mapped in a process, neighbours of one file together.
fn user_stretches(process: &Process, samples: &[Sample]) -> Result<Vec<Stretch>> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for map in process.maps()? {
        let name = match &map.pathname {
            MMapPath::Path(path) => short(path),
            MMapPath::Heap => "heap".to_owned(),
            MMapPath::Stack | MMapPath::TStack(_) => "stack".to_owned(),
            MMapPath::Vdso => "vdso: code of the kernel's for programs".to_owned(),
            MMapPath::Vvar => "vvar: data of the kernel's for programs".to_owned(),
            MMapPath::Anonymous => "anonymous".to_owned(),
            MMapPath::Other(name) => name.clone(),
            other => format!("{other:?}").to_lowercase(),
        };
        // The vsyscall page, which is in the kernel's half.
        if map.address.0 >> (u64::BITS - 1) == 1 {
            continue;
        }
        let is_ours = Path::new(&name) == Path::new(DEVICE);
        let region = samples
            .iter()
            .find(|sample| sample.mapping.addr() as u64 == map.address.0);
        let mut detail = permissions(map.perms);
        if let Some(sample) = region {
            detail = format!("{detail}  region {}", sample.region.id);
        }
        match stretches.last_mut() {
            Some(last) if last.name == name && last.last + 1 == map.address.0 && !is_ours => {
                last.last = map.address.1 - 1;
                last.detail = format!("{} {detail}", last.detail);
            }
            _ => stretches.push(Stretch {
                start: map.address.0,
                last: map.address.1 - 1,
                name,
                detail,
                is_ours,
            }),
        }
    }
    Ok(stretches)
}

/// A path, without the directories that make it long.
fn short(path: &Path) -> String {
    let whole = path.display().to_string();
    match path.file_name() {
        Some(name) if whole.len() > 40 => format!("…/{}", name.to_string_lossy()),
        _ => whole,
    }
}

fn permissions(permissions: MMPermissions) -> String {
    permissions.as_str()
}

/// Prints stretches from `first` to `last`, the highest addresses on top, with the gaps between
/// them.
fn show(stretches: &[Stretch], first: u64, last: u64) {
    let mut end = last;
    for stretch in stretches.iter().rev() {
        if end > stretch.last {
            show_gap(end - stretch.last);
        }
        show_stretch(stretch);
        end = stretch.start.wrapping_sub(1);
    }
    if end >= first && end != u64::MAX {
        show_gap(end - first + 1);
    }
}

fn show_stretch(stretch: &Stretch) {
    let style = if stretch.is_ours { GOOD } else { STRONG };
    let most = bar_width();
    let name = &stretch.name;
    // What does not fit is left out, the least important first.
    let room = width().saturating_sub(BESIDES - 24 + most);
    let detail = match name.chars().count() + 2 + stretch.detail.chars().count() <= room {
        true => stretch.detail.as_str(),
        false => "",
    };
    let name: String = name.chars().take(room).collect();
    anstream::println!(
        "  {:016x}  {}  {:>9}  {}  {}",
        stretch.start,
        paint(
            style,
            format_args!("{:<most$}", "█".repeat(cells(stretch.bytes())))
        ),
        size(stretch.bytes()),
        paint(style, name),
        paint(DIM, detail),
    );
}

/// Cells of the longest bar on this terminal.
fn bar_width() -> usize {
    width().saturating_sub(BESIDES).clamp(10, BAR)
}

/// Cells for a size on this terminal.
fn cells(bytes: u64) -> usize {
    (length(bytes) * bar_width()).div_ceil(BAR)
}

fn show_gap(gap: u64) {
    let (dots, most) = ("·".repeat(cells(gap)), bar_width());
    anstream::println!(
        "  {:16}  {}  {:>9}",
        "",
        paint(DIM, format_args!("{dots:<most$}")),
        paint(DIM, format_args!("{:>9}", size(gap))),
    );
}

/// Cells for a size: one for a page, one more each time it doubles.
fn length(bytes: u64) -> usize {
    let pages = (bytes / mapwright::page_size()).max(1);
    (pages.ilog2() as usize + 1).min(BAR)
}

/// A size in three digits.
fn size(n: u64) -> String {
    const PIB: u64 = 1 << 50;
    match n {
        _ if n >= PIB => format!("{:.0} PiB", n as f64 / PIB as f64),
        _ if n >= 1 << 40 => format!("{:.0} TiB", n as f64 / (1u64 << 40) as f64),
        _ => bytes(n),
    }
}

fn to_json(stretch: &Stretch) -> Value {
    json!({
        "start": stretch.start,
        "last": stretch.last,
        "bytes": stretch.bytes(),
        "name": stretch.name,
        "detail": stretch.detail,
        "ours": stretch.is_ours,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_by_a_cell_when_the_size_doubles() {
        let page = mapwright::page_size();
        assert_eq!(length(1), 1);
        assert_eq!(length(page), 1);
        assert_eq!(length(2 * page), 2);
        assert_eq!(length(1024 * page), 11);
        assert_eq!(length(u64::MAX), BAR);
    }

    #[test]
    fn what_has_another_inside_is_cut() {
        let stretch = |start, last| Stretch {
            start,
            last,
            name: String::new(),
            detail: String::new(),
            is_ours: false,
        };
        let parts = |stretches: Vec<Stretch>| -> Vec<_> {
            let parts = cut(stretches).into_iter();
            parts.map(|part| (part.start, part.last)).collect()
        };
        let inside = vec![stretch(0, 9), stretch(20, 99), stretch(40, 59)];
        assert_eq!(parts(inside), [(0, 9), (20, 39), (40, 59), (60, 99)]);
        let at_the_start = vec![stretch(20, 99), stretch(20, 59)];
        assert_eq!(parts(at_the_start), [(20, 59), (60, 99)]);
    }

    #[test]
    fn large_sizes_are_short() {
        assert_eq!(size(4096), "4 KiB");
        assert_eq!(size(32 << 40), "32 TiB");
        assert_eq!(size(12 << 50), "12 PiB");
    }
}
