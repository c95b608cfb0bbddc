// SPDX-License-Identifier: MIT OR Apache-2.0

//! C4: the arithmetic of `virt_to_phys()` against the page tables.

use crate::{
    anonymous::Anonymous,
    read::{symbols, text, vmallocinfo},
    Claim, Document, Finding, Lab, Need, Source, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::inspect::{Area, Inspector, Layout, Target, Walk};
use std::os::unix::net::UnixDatagram;

pub const CLAIM: Claim = Claim {
    id: "C4",
    title: "virt_to_phys()",
    sources: &[
        Document::Walkthrough.section("2, Kernel virtual address layout"),
        Document::Reference.section("2, Virtual to Physical Address Conversion"),
        Document::Reference.section("4.7, Address Conversion Functions"),
    ],
    says: "virt_to_phys() subtracts PAGE_OFFSET, which is right for kmalloc memory and wrong for vmalloc \
           memory, for what is on the stack, and for addresses of programs.",
    needs: &[Need::Module("mapwright_inspect")],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

/// An address of some kind, and where it is.
struct Case {
    what: String,
    /// What the documents say of it.
    says: &'static str,
    /// Whether the arithmetic holds, as they say.
    holds: bool,
    walk: Walk,
}

impl Case {
    /// What `virt_to_phys()` calculates.
    fn arithmetic(&self, layout: &Layout) -> u64 {
        self.walk.address.wrapping_sub(layout.phys_to_virt)
    }
}

fn prove(lab: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let page_offset = layout.area(Area::DirectMap).context("no direct map")?.start;
    let (cases, lacking) = cases(lab, &inspector, &layout)?;
    ensure!(
        !cases.is_empty(),
        "no address of any kind is known: {lacking:?}"
    );
    let mut table = Table::new(
        format!(
            "PAGE_OFFSET is {page_offset:#x}, where the direct map begins; {:#x} is subtracted",
            layout.phys_to_virt
        ),
        [
            "address of",
            "address",
            "virt_to_phys()",
            "page tables",
            "the same",
        ],
    );
    let mut right = 0;
    let mut statements = Vec::new();
    for case in &cases {
        let physical = case
            .walk
            .physical
            .context("an address in use is not mapped")?;
        let same = case.arithmetic(&layout) == physical;
        right += usize::from(same == case.holds);
        table.row([
            case.what.clone(),
            format!("{:#x}", case.walk.address),
            format!("{:#x}", case.arithmetic(&layout)),
            format!("{physical:#x}"),
            if same { "yes" } else { "no" }.to_owned(),
        ]);
        statements.push((
            case.says,
            Verdict::of(same == case.holds),
            format!("{}: the page tables say {physical:#x}", case.what),
        ));
    }
    let mut finding = Finding::new(format!(
        "{right} of {} kinds of addresses are as the documents say",
        cases.len()
    ));
    for (says, verdict, observed) in statements {
        finding = finding
            .statement(says, verdict, observed)
            .said_in(said(says));
    }
    let begins = page_offset.wrapping_sub(layout.phys_to_virt);
    finding = finding
        .statement(
            "It subtracts PAGE_OFFSET",
            Verdict::Confirmed.if_else(begins == 0, Verdict::Config),
            format!("PAGE_OFFSET is where physical address {begins:#x} is"),
        )
        .said_in(&[FUNCTIONS]);
    for (says, reason) in lacking {
        finding = finding
            .statement(says, Verdict::NotTestableHere, reason)
            .said_in(said(says));
    }
    Ok(finding.table(table))
}

const KMALLOC: &str = "It holds for kmalloc memory";
const VMALLOC: &str = "It does not hold for vmalloc memory";
const STACK: &str = "It does not hold for what is on a kernel stack";
const USER: &str = "It does not hold for addresses of programs";
const SYMBOL: &str = "It does not hold for the kernel's own structures";

const CONVERSION: Source = Document::Reference.section("2, Virtual to Physical Address Conversion");
const FUNCTIONS: Source = Document::Reference.section("4.7, Address Conversion Functions");
const LINEAR: &[Source] = &[
    Document::Walkthrough.section("2, Kernel virtual address layout"),
    CONVERSION,
    FUNCTIONS,
];
const CONVERTED: &[Source] = &[CONVERSION, FUNCTIONS];

/// Where that is said of an address.
fn said(says: &str) -> &'static [Source] {
    match says {
        KMALLOC => LINEAR,
        VMALLOC | USER => CONVERTED,
        _ => &[CONVERSION],
    }
}

type Lacking = Vec<(&'static str, &'static str)>;

/// An address of each kind that the kernel tells; and of which it tells none.
fn cases(lab: &Lab, inspector: &Inspector, layout: &Layout) -> Result<(Vec<Case>, Lacking)> {
    let hidden = "this kernel tells no such address: boot with no_hash_pointers";
    let (mut cases, mut lacking) = (Vec::new(), Vec::new());
    let mut add = |says, holds, what: Option<(String, u64)>, target| -> Result<()> {
        match what {
            Some((what, address)) => cases.push(Case {
                what,
                says,
                holds,
                walk: inspector.walk(target, address)?,
            }),
            None => lacking.push((says, hidden)),
        }
        Ok(())
    };
    // A socket is a slab object whose address the kernel tells. It lives as long as this does.
    let socket = UnixDatagram::unbound()?;
    add(KMALLOC, true, slab_object()?, Target::Kernel)?;
    drop(socket);

    let areas = vmallocinfo::read()?;
    let area = |wanted: &dyn Fn(&vmallocinfo::Area) -> bool| {
        let matching = areas
            .iter()
            .find(|area| area.pages.is_some() && wanted(area));
        matching.and_then(|area| Some((area.caller.clone(), area.start?)))
    };
    let is_stack = |area: &vmallocinfo::Area| is_stack_maker(&area.caller);
    let in_vmalloc = |area: &vmallocinfo::Area| {
        area.start
            .is_some_and(|start| layout.area_of(start) == Some(Area::Vmalloc))
    };
    let buffer = area(&|area| !is_stack(area) && in_vmalloc(area));
    let buffer = buffer.map(|(caller, start)| (format!("vmalloc memory of {caller}()"), start));
    add(VMALLOC, false, buffer, Target::Kernel)?;
    let stack = area(&|area| is_stack(area));
    let stack = stack.map(|(_, start)| ("a kernel stack".to_owned(), start));
    add(STACK, false, stack, Target::Kernel)?;

    let memory = Anonymous::small(usize::try_from(lab.machine.page_size)?)?;
    memory.touch(0..memory.len())?;
    let mine = Some((
        "a variable of this program".to_owned(),
        memory.addr() as u64,
    ));
    add(USER, false, mine, Target::Myself)?;
    let symbol = symbols::addresses(&["init_task"])?.into_iter().next();
    let symbol = symbol.map(|(name, address)| (format!("the kernel's variable {name}"), address));
    add(SYMBOL, false, symbol, Target::Kernel)?;
    Ok((cases, lacking))
}

/// Functions that allocate stacks: which of them is told depends on what the compiler has inlined.
fn is_stack_maker(caller: &str) -> bool {
    let makers = [
        "alloc_thread_stack_node",
        "dup_task_struct",
        "copy_process",
        "kernel_clone",
    ];
    makers.contains(&caller)
}

/// The address of a socket's structure, from `/proc/net/unix`.
fn slab_object() -> Result<Option<(String, u64)>> {
    let Ok(sockets) = text("/proc/net/unix") else {
        return Ok(None);
    };
    let address = sockets.lines().skip(1).find_map(|line| {
        let digits = line.split(':').next()?;
        u64::from_str_radix(digits, 16).ok()
    });
    // A scrambled one has the upper half of its bits zero.
    let address = address.filter(|address| address >> (usize::BITS - 1) == 1);
    Ok(address.map(|address| ("a slab object (a socket)".to_owned(), address)))
}
