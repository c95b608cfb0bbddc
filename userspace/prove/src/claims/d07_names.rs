// SPDX-License-Identifier: MIT OR Apache-2.0

//! D7: the names of the kernel's functions and structures that documents give.

use crate::{read::symbols::Symbols, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Result};
use mapwright::btf::{Btf, FILE};

pub const CLAIM: Claim = Claim {
    id: "D7",
    title: "Names in the kernel's source",
    sources: &[
        Document::Walkthrough.section("5, User mappings"),
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Memory.section("15, Key Data Structures"),
        Document::Memory.section("5, Kernel Source Pointers"),
        Document::Memory.section("12, Kernel Source Pointers"),
        Document::Memory.section("20, Kernel Source Pointers"),
    ],
    says: "Page faults come to do_page_fault() and handle_mm_fault(), pages from __alloc_pages_nodemask(), files' pages by readpage(), \
           and so on: names to look up in the source.",
    needs: &[Need::Arch(&["x86_64", "aarch64"]), Need::File(FILE, "CONFIG_DEBUG_INFO_BTF")],
    // The documents name functions of x86.
    vms: &[Vm::Normal],
    prove,
};

/// A function, for what it is named, and functions of which one may be there instead.
type Function = (&'static str, &'static str, &'static [&'static str]);

/// Functions that another file of the kernel can call.
const FUNCTIONS: &[Function] = &[
    (
        "do_page_fault",
        "x86's page fault",
        &["exc_page_fault", "asm_exc_page_fault"],
    ),
    ("handle_mm_fault", "page faults of all architectures", &[]),
    ("filemap_fault", "a fault of a file's mapping", &[]),
    ("do_mmap", "mmap()", &[]),
    ("remap_pfn_range", "maps frames into a program", &[]),
    ("copy_page_range", "fork()", &[]),
    (
        "__alloc_pages_nodemask",
        "allocates pages",
        &["__alloc_pages_noprof", "__alloc_pages"],
    ),
    ("free_pages", "frees pages", &[]),
    (
        "zone_watermark_ok",
        "compares a zone with a watermark",
        &["__zone_watermark_ok"],
    ),
    ("out_of_memory", "the OOM killer", &[]),
    ("kmem_cache_free", "frees an object", &[]),
    (
        "alloc_huge_page",
        "a page of hugetlb",
        &["alloc_hugetlb_folio"],
    ),
    ("ioremap", "maps registers", &[]),
    ("ioremap_wc", "the same, write-combining", &[]),
    ("ioremap_cache", "the same, cached", &[]),
];

/// What a header may make a macro or an inline function of, which has no symbol, and what that calls.
const IN_HEADERS: &[Function] = &[
    ("kmalloc", "bytes", &["__kmalloc_noprof", "__kmalloc"]),
    ("vmalloc", "virtually contiguous bytes", &["vmalloc_noprof"]),
    ("alloc_pages", "allocates pages", &["alloc_pages_noprof"]),
    (
        "kmem_cache_alloc",
        "an object of a cache",
        &["kmem_cache_alloc_noprof"],
    ),
    (
        "kmem_cache_create",
        "makes a cache",
        &["__kmem_cache_create_args"],
    ),
    (
        "flush_tlb_mm",
        "flushes a process's translations",
        &["flush_tlb_mm_range"],
    ),
    (
        "dma_alloc_coherent",
        "memory for a device",
        &["dma_alloc_attrs"],
    ),
    (
        "dma_map_single",
        "memory that a device is to see",
        &["dma_map_page_attrs", "dma_map_phys"],
    ),
    ("dma_map_sg", "the same, scattered", &["dma_map_sg_attrs"]),
];

/// Functions of one file: the compiler may put them into those that call them, which are named last.
const INNER: &[(Function, &[&str])] = &[
    (
        ("do_anonymous_page", "a fault of anonymous memory", &[]),
        &["__handle_mm_fault"],
    ),
    (
        ("do_fault", "a fault of a file's mapping", &[]),
        &["__handle_mm_fault"],
    ),
    (
        (
            "do_cow_fault",
            "a store to a private mapping of a file",
            &[],
        ),
        &["do_fault", "__handle_mm_fault"],
    ),
    (
        ("do_swap_page", "a fault of a page in swap", &[]),
        &["__handle_mm_fault"],
    ),
    (
        ("get_page_from_freelist", "takes pages of a zone", &[]),
        &[],
    ),
    (
        ("__rmqueue", "takes a block of a free list", &[]),
        &["rmqueue_buddy", "rmqueue_bulk", "get_page_from_freelist"],
    ),
    (
        ("expand", "splits a block", &[]),
        &["rmqueue_buddy", "get_page_from_freelist"],
    ),
    (
        ("__free_one_page", "merges buddies", &[]),
        &["free_one_page", "free_pcppages_bulk"],
    ),
    (("compact_zone", "compaction", &[]), &[]),
    (
        ("shrink_inactive_list", "reclaim of the inactive list", &[]),
        &["shrink_list", "shrink_lruvec"],
    ),
    (
        ("shrink_active_list", "demotes pages", &[]),
        &["shrink_list", "shrink_lruvec"],
    ),
    (("wb_writeback", "writes dirty pages", &[]), &["wb_workfn"]),
    (
        ("balance_dirty_pages", "throttles who writes", &[]),
        &["balance_dirty_pages_ratelimited_flags"],
    ),
    (
        ("__slab_alloc", "SLUB's slow path", &["___slab_alloc"]),
        &[],
    ),
    (
        (
            "khugepaged_scan_mm_slot",
            "looks for memory to make huge",
            &["collapse_scan_mm_slot"],
        ),
        &["khugepaged"],
    ),
    (
        (
            "intel_iommu_map",
            "maps for Intel's IOMMU",
            &["intel_iommu_map_pages", "vtdss_map_range"],
        ),
        &[],
    ),
    (
        (
            "dma_direct_map_page",
            "maps without an IOMMU",
            &["dma_direct_map_phys"],
        ),
        &["dma_map_phys", "dma_map_page_attrs"],
    ),
];

/// Structures and fields of them, and what may have taken a field's place.
const FIELDS: &[(&str, &str, &[&str])] = &[
    ("page", "flags", &[]),
    ("page", "_refcount", &[]),
    ("zone", "free_area", &[]),
    ("mm_struct", "mmap_lock", &[]),
    ("mm_struct", "pgd", &[]),
    ("vm_area_struct", "vm_ops", &[]),
    ("vm_area_struct", "vm_file", &[]),
    ("address_space", "i_pages", &[]),
    ("address_space_operations", "readpage", &["read_folio"]),
    ("kmem_cache", "cpu_slab", &["cpu_sheaves"]),
    ("kmem_cache", "object_size", &[]),
];

/// What became of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// It is there.
    Same,
    /// It is not, and this one is.
    Other(&'static str),
    /// It is not, nor any that took its place, but this one, which may have it inside.
    Within(&'static str),
    Nothing,
}

struct Looked {
    name: String,
    what: &'static str,
    presence: Presence,
}

fn prove(_: &Lab) -> Result<Finding> {
    let symbols = Symbols::read()?;
    ensure!(
        symbols.has("schedule"),
        "/proc/kallsyms has not even schedule()"
    );
    let functions = look_up(&symbols, FUNCTIONS.iter().map(|one| (*one, NONE)));
    let in_headers = look_up(&symbols, IN_HEADERS.iter().map(|one| (*one, NONE)));
    let inner = look_up(&symbols, INNER.iter().copied());
    let fields = look_up_fields(&Btf::read()?)?;
    let outer = Count::of(&functions);
    let all = Count::of(&inner);
    let of_fields = Count::of(&fields);
    Ok(Finding::new(format!(
        "{} of {} functions that others call, {} of {} inner ones and {} of {} fields have the names of the documents",
        outer.same,
        functions.len(),
        all.same,
        inner.len(),
        of_fields.same,
        fields.len()
    ))
    .statement(
        "Functions that drivers and other files call have the names that the documents give",
        outer.verdict(),
        outer.describe(&functions),
    )
    .statement(
        "What is named of headers is there: a function, or what their macro calls",
        Verdict::of(in_headers.iter().all(|one| one.presence != Presence::Nothing)),
        format!(
            "{} have a symbol of their own, {} only the function that they call",
            Count::of(&in_headers).same,
            Count::of(&in_headers).other
        ),
    )
    .statement(
        "Functions inside of the kernel's files have the names that the documents give",
        all.verdict(),
        all.describe(&inner),
    )
    // The course's lists of them.
    .said_in(&CLAIM.sources[3..])
    .statement(
        "Structures and their fields have the names that the documents give",
        of_fields.verdict(),
        of_fields.describe(&fields),
    )
    .table(table("Functions that others call, in /proc/kallsyms", &functions))
    .table(table("Names of headers, in /proc/kallsyms", &in_headers))
    .table(table("Functions of one file, in /proc/kallsyms", &inner))
    .table(table(&format!("Fields, in {FILE}"), &fields))
    .instead(
        "A name that the table of symbols lacks may still be in the source: as a macro or an inline function of a header, as \
         kmalloc() is, or put into its caller by the compiler. Others are gone: readpage became read_folio in 5.19, \
         __alloc_pages_nodemask() __alloc_pages() in 5.13, alloc_huge_page() alloc_hugetlb_folio() in 6.3.",
    ))
}

const NONE: &[&str] = &[];

fn look_up(
    symbols: &Symbols,
    functions: impl Iterator<Item = (Function, &'static [&'static str])>,
) -> Vec<Looked> {
    let first = |names: &'static [&'static str]| {
        let mut names = names.iter().copied();
        names.find(|name| symbols.has_form_of(name))
    };
    let find = |((name, what, others), callers): (Function, &'static [&'static str])| {
        let presence = match symbols.has_form_of(name) {
            true => Presence::Same,
            false => match (first(others), first(callers)) {
                (Some(other), _) => Presence::Other(other),
                (None, Some(caller)) => Presence::Within(caller),
                (None, None) => Presence::Nothing,
            },
        };
        Looked {
            name: format!("{name}()"),
            what,
            presence,
        }
    };
    functions.map(find).collect()
}

fn look_up_fields(btf: &Btf) -> Result<Vec<Looked>> {
    let mut looked = Vec::new();
    for (structure, field, others) in FIELDS {
        let fields = btf.structure(structure)?;
        let has = |name: &&&str| fields.field(name).is_some();
        let presence = match has(&field) {
            true => Presence::Same,
            false => match others.iter().find(has) {
                Some(other) => Presence::Other(other),
                None => Presence::Nothing,
            },
        };
        looked.push(Looked {
            name: format!("{structure}.{field}"),
            what: "the documents' field",
            presence,
        });
    }
    Ok(looked)
}

/// How many of some names are there.
struct Count {
    same: usize,
    other: usize,
    within: usize,
    nothing: usize,
}

impl Count {
    fn of(looked: &[Looked]) -> Self {
        let count =
            |test: fn(&Presence) -> bool| looked.iter().filter(|one| test(&one.presence)).count();
        Self {
            same: count(|presence| *presence == Presence::Same),
            other: count(|presence| matches!(presence, Presence::Other(_))),
            within: count(|presence| matches!(presence, Presence::Within(_))),
            nothing: count(|presence| *presence == Presence::Nothing),
        }
    }

    fn verdict(&self) -> Verdict {
        match (self.other + self.nothing, self.within) {
            (0, 0) => Verdict::Confirmed,
            // Where they are is the compiler's choice.
            (0, _) => Verdict::Config,
            _ => Verdict::Outdated,
        }
    }

    fn describe(&self, looked: &[Looked]) -> String {
        let named = |test: fn(&Presence) -> bool| {
            let named = looked.iter().filter(|one| test(&one.presence));
            let named: Vec<&str> = named.map(|one| one.name.as_str()).collect();
            named.join(", ")
        };
        let mut text = format!("{} of {} are there", self.same, looked.len());
        for (count, what, names) in [
            (
                self.other,
                "others instead of",
                named(|presence| matches!(presence, Presence::Other(_))),
            ),
            (
                self.nothing,
                "nothing for",
                named(|presence| *presence == Presence::Nothing),
            ),
            (
                self.within,
                "perhaps inside their callers",
                named(|presence| matches!(presence, Presence::Within(_))),
            ),
        ] {
            if count > 0 {
                text = format!("{text}; {what} {names}");
            }
        }
        text
    }
}

fn table(title: &str, looked: &[Looked]) -> Table {
    let mut table = Table::new(title, ["name", "for", "there", "instead"]);
    for one in looked {
        let (there, instead) = match one.presence {
            Presence::Same => ("yes", String::new()),
            Presence::Other(other) => ("no", format!("{other} is")),
            Presence::Within(caller) => ("no", format!("perhaps inside {caller}")),
            Presence::Nothing => ("no", "none that was looked for".to_owned()),
        };
        table.row([
            one.name.clone(),
            one.what.to_owned(),
            there.to_owned(),
            instead,
        ]);
    }
    table
}
