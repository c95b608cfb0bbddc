// SPDX-License-Identifier: MIT OR Apache-2.0

//! C3: the areas of the kernel's address space, what is in them, and that they move.

use crate::{read::symbols, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright::{
    inspect::{Area, Inspector, Layout},
    AddressClass, Backing, Method, Session,
};

pub const CLAIM: Claim = Claim {
    id: "C3",
    title: "The kernel's address space",
    sources: &[
        Document::Walkthrough.section("2, Kernel virtual address layout"),
        Document::Walkthrough.section("4, Kernel allocators & mappings"),
        Document::Walkthrough.section("11, Security & isolation"),
    ],
    says: "The kernel's half has, from the top: fixmap, modules, the vmalloc area, vmemmap (the array of \
           struct page), and the direct map of all memory, where kmalloc memory is. KASLR moves them at \
           each boot.",
    needs: &[Need::Module("mapwright_inspect"), Need::Module("mapwright")],
    vms: &[Vm::Normal, Vm::Nokaslr, Vm::Isolated, Vm::Arm64, Vm::Arm64Max],
    prove,
};

/// The documents' areas, from the top.
const SAID: [Area; 5] = [
    Area::Fixmap,
    Area::Modules,
    Area::Vmalloc,
    Area::Vmemmap,
    Area::DirectMap,
];
/// Those that KASLR moves, each as the name of its fact.
const MOVED: [(Area, &str); 4] = [
    (Area::DirectMap, "direct_map"),
    (Area::Vmalloc, "vmalloc"),
    (Area::Vmemmap, "vmemmap"),
    // On x86, all of the area that the image is somewhere in.
    (Area::KernelImage, "kernel_image"),
];
/// Where the first are without KASLR on x86, with four levels: `Documentation/arch/x86/x86_64/mm.rst`.
const UNMOVED: [u64; 3] = [
    0xffff_8880_0000_0000,
    0xffff_c900_0000_0000,
    0xffff_ea00_0000_0000,
];

fn prove(lab: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let things = things(&inspector, &layout)?;
    let missing: Vec<&str> = SAID
        .iter()
        .filter(|area| layout.area(**area).is_none())
        .map(|area| area.name())
        .collect();
    let said: Vec<Area> = SAID
        .into_iter()
        .filter(|area| layout.area(*area).is_some())
        .collect();
    let mut order = said.clone();
    order.sort_by_key(|area| std::cmp::Reverse(layout.area(*area).map_or(0, |range| range.start)));
    let names: Vec<&str> = order.iter().map(|area| area.name()).collect();
    let elsewhere: Vec<&Thing> = things
        .iter()
        .filter(|thing| thing.area(&layout) != Some(thing.expected))
        .collect();

    let direct_map = layout.area(Area::DirectMap).context("no direct map")?;
    let mut finding = Finding::new(format!("direct map at {:#x}", direct_map.start))
        .statement(
            "The kernel's half has these five areas",
            Verdict::Confirmed.if_else(missing.is_empty(), Verdict::Config),
            match missing.is_empty() {
                true => format!("all five, and {} more", layout.areas.len() - SAID.len()),
                false => format!(
                    "without {}: with KASLR, modules are in the vmalloc area, near the kernel's image",
                    missing.join(", ")
                ),
            },
        )
        .said_in(&[Document::Walkthrough.section("2, Kernel virtual address layout")])
        .statement(
            "From the top they are fixmap, modules, vmalloc, vmemmap, direct map",
            // On 64-bit ARM, the direct map is at the bottom, too, and vmemmap above the vmalloc area.
            Verdict::Confirmed.if_else(order == said, Verdict::Config),
            names.join(", "),
        )
        .said_in(&[Document::Walkthrough.section("2, Kernel virtual address layout")])
        .statement(
            "Memory of each kind is in the area that is named after it",
            Verdict::of(elsewhere.is_empty()),
            format!("{} of {} are", things.len() - elsewhere.len(), things.len()),
        )
        .said_in(&[
            Document::Walkthrough.section("2, Kernel virtual address layout"),
            Document::Walkthrough.section("4, Kernel allocators & mappings"),
        ]);
    finding = kaslr(finding, lab, &layout)?;
    for (area, name) in MOVED {
        if let Some(range) = layout.area(area) {
            finding = finding.fact(name, range.start);
        }
    }
    Ok(finding
        .table(areas(&layout))
        .table(places(&things, &layout)))
}

/// Something of the kernel's at a known address.
struct Thing {
    what: String,
    address: Place,
    expected: Area,
}

/// How an address is known.
enum Place {
    At(u64),
    /// The module says only which area it is in.
    Class(AddressClass),
}

impl Thing {
    fn area(&self, layout: &Layout) -> Option<Area> {
        match self.address {
            Place::At(address) => layout.area_of(address),
            Place::Class(AddressClass::DirectMap) => Some(Area::DirectMap),
            Place::Class(AddressClass::Vmalloc) => Some(Area::Vmalloc),
        }
    }
}

fn things(inspector: &Inspector, layout: &Layout) -> Result<Vec<Thing>> {
    let session = Session::open()?;
    let mut things = Vec::new();
    for (backing, method, expected) in [
        (Backing::Kmalloc, Method::Remap, Area::DirectMap),
        (Backing::Pages, Method::Remap, Area::DirectMap),
        (Backing::Vmalloc, Method::Insert, Area::Vmalloc),
    ] {
        let region = session.create(backing, method, 64 << 10)?;
        let class = session.query(&region)?.address_class;
        things.push(Thing {
            what: format!("a region of ours, {}", backing.name()),
            address: Place::Class(class),
            expected,
        });
        let pages = session.pages(&region, 0, 1)?;
        let pfn = pages.first().context("a region without a page")?.pfn;
        things.push(Thing {
            what: format!("the struct page of its first frame, {pfn:#x}"),
            address: Place::At(inspector.frame(pfn)?.struct_page),
            expected: Area::Vmemmap,
        });
    }
    let addresses = symbols::addresses(&["init_task", "_text"])?;
    for (name, address) in addresses {
        things.push(Thing {
            what: format!("the kernel's symbol {name}"),
            address: Place::At(address),
            expected: Area::KernelImage,
        });
    }
    if let Some(address) = symbols::first_of_module("mapwright")? {
        things.push(Thing {
            what: "code of the module mapwright".into(),
            address: Place::At(address),
            expected: match layout.area(Area::Modules) {
                Some(_) => Area::Modules,
                None => Area::Vmalloc,
            },
        });
    }
    Ok(things)
}

/// What boots before this one say, or where the areas are when nothing moves them.
fn kaslr(finding: Finding, lab: &Lab, layout: &Layout) -> Result<Finding> {
    let says = "KASLR moves the areas at each boot";
    let start = |area| layout.area(area).map_or(0, |range| range.start);
    if lab.machine.booted_with("nokaslr") {
        let unmoved = MOVED
            .iter()
            .zip(UNMOVED)
            .all(|((area, _), usual)| start(*area) == usual);
        let is_usual = lab.machine.arch == "x86_64" && layout.address_bits == 48;
        return Ok(finding
            .statement(
                "Without KASLR they are where the kernel's documentation says",
                match is_usual {
                    true => Verdict::of(unmoved),
                    false => Verdict::NotTestableHere,
                },
                format!("direct map at {:#x}", start(Area::DirectMap)),
            )
            .asked_here());
    }
    let before: Vec<&Finding> = lab
        .earlier(CLAIM.id)
        .filter(|(machine, _)| machine.arch == lab.machine.arch && !machine.booted_with("nokaslr"))
        .map(|(_, finding)| finding)
        .collect();
    let Some(last) = before.last() else {
        return Ok(finding
            .statement(
                says,
                Verdict::NotTestableHere,
                "this is the first boot: it takes a second one to compare with",
            )
            .said_in(&[Document::Walkthrough.section("11, Security & isolation")]));
    };
    let mut table = Table::new("Two boots of the same kernel", ["area", "before", "now"]);
    let mut moved = 0;
    for (area, name) in MOVED {
        let was = last.facts.get(name).copied().unwrap_or(0);
        moved += usize::from(was != start(area));
        table.row([
            area.name().to_owned(),
            format!("{was:#x}"),
            format!("{:#x}", start(area)),
        ]);
    }
    Ok(finding
        .statement(
            says,
            Verdict::of(moved > 0),
            format!(
                "{moved} of {} are elsewhere than in the boot before",
                MOVED.len()
            ),
        )
        .said_in(&[Document::Walkthrough.section("11, Security & isolation")])
        .table(table))
}

fn areas(layout: &Layout) -> Table {
    let mut table = Table::new(
        "The areas, from the top",
        ["area", "from", "to", "size in MiB"],
    );
    for range in layout.areas.iter().rev() {
        table.row([
            range.area.name().to_owned(),
            format!("{:#x}", range.start),
            format!("{:#x}", range.last),
            ((range.last - range.start) >> 20).to_string(),
        ]);
    }
    table
}

fn places(things: &[Thing], layout: &Layout) -> Table {
    let mut table = Table::new("What is where", ["what", "address", "area"]);
    for thing in things {
        let address = match thing.address {
            Place::At(address) => format!("{address:#x}"),
            Place::Class(_) => "told by its class".to_owned(),
        };
        let area = thing.area(layout).map_or("none", |area| area.name());
        table.row([thing.what.clone(), address, area.to_owned()]);
    }
    table
}
