// SPDX-License-Identifier: MIT OR Apache-2.0

//! C5: where 32-bit ARM's kernel addresses begin, and where memory does.

use crate::{read::config::Config, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Context as _, Result};
use mapwright::inspect::{Area, Inspector, Target};
use nix::{
    errno::Errno,
    sys::mman::{mmap_anonymous, munmap, MapFlags, ProtFlags},
};
use std::{fs, num::NonZeroUsize, path::Path};

pub const CLAIM: Claim = Claim {
    id: "C5",
    title: "PAGE_OFFSET on 32-bit ARM",
    sources: &[
        Document::Reference.section("1.2, ARM Physical Address Layout"),
        Document::Reference.section("2.1, ARM 32-bit Virtual Memory Layout"),
        Document::Reference.section("4.2, ARM 32-bit Address Space Division"),
    ],
    says: "On 32-bit ARM, PAGE_OFFSET is 0x80000000: 3 GB of addresses are the program's and 1 GB the \
           kernel's. The BeagleBone's memory begins at physical address 0x20000000.",
    needs: &[Need::Arch(&["armv7l"]), Need::Module("mapwright_inspect")],
    vms: &[Vm::Arm, Vm::ArmTwoGib, Vm::GpioArm],
    prove,
};

/// What the documents say.
const CLAIMED_OFFSET: u64 = 0x8000_0000;
const CLAIMED_MEMORY: u64 = 0x2000_0000;
/// The board of the documents, as Debian's kernel describes it.
const BOARD: &str = "am335x-boneblack.dtb";

fn prove(lab: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let direct = layout.area(Area::DirectMap).context("no direct map")?;
    let walk = inspector.walk(Target::Kernel, direct.start)?;
    let memory = walk.physical.context("the direct map begins with a hole")?;
    let end = end_of_user_space()?;
    let configured = Config::read(&lab.machine.release)?
        .and_then(|config| config.line("CONFIG_PAGE_OFFSET").map(str::to_owned))
        .unwrap_or_else(|| "the kernel's configuration is nowhere".into());

    let mut table = Table::new(
        "Where things are in the running kernel",
        ["what", "address", "seen in"],
    );
    let row =
        |what: &str, address: u64, note: &str| [what.into(), format!("{address:#x}"), note.into()];
    table.row(row(
        "end of a program's addresses",
        end,
        "mmap() of the pages around it",
    ));
    table.row(row(
        "first address of the direct map",
        direct.start,
        "mapwright_inspect",
    ));
    table.row(row(
        "memory that it maps there",
        memory,
        "a walk of the kernel's page tables",
    ));

    let finding = Finding::new(format!("PAGE_OFFSET {:#x}", direct.start))
        .statement(
            "PAGE_OFFSET is 0x80000000",
            Verdict::of(direct.start == CLAIMED_OFFSET),
            format!("{:#x}; {configured}", direct.start),
        )
        .said_in(&[
            Document::Reference.section("2.1, ARM 32-bit Virtual Memory Layout"),
            Document::Reference.section("4.2, ARM 32-bit Address Space Division"),
        ])
        .statement(
            "3 GB of addresses are the program's, 1 GB the kernel's",
            // What lies between the two is for modules.
            Verdict::of((end >> 20).abs_diff(3 << 10) <= 16),
            format!(
                "a program's end at {end:#x}, {} MiB before 3 GiB",
                (3u64 << 10).saturating_sub(end >> 20)
            ),
        )
        .said_in(&[Document::Reference.section("2.1, ARM 32-bit Virtual Memory Layout")]);
    let finding = match board_memory(&lab.machine.release)? {
        None => finding
            .statement(
                "The BeagleBone's memory begins at 0x20000000",
                Verdict::NotTestableHere,
                format!("there is no {BOARD} beside this kernel's modules"),
            )
            .said_in(&[Document::Reference.section("1.2, ARM Physical Address Layout")]),
        Some(start) => finding
            .statement(
                "The BeagleBone's memory begins at 0x20000000",
                Verdict::of(start == CLAIMED_MEMORY),
                format!("{start:#x} in {BOARD}, which comes with the kernel; no board was asked"),
            )
            .said_in(&[Document::Reference.section("1.2, ARM Physical Address Layout")]),
    };
    Ok(finding.fact("page_offset", direct.start).table(table).instead(
        "With the usual split of 3 GiB and 1 GiB (CONFIG_VMSPLIT_3G) PAGE_OFFSET is 0xc0000000, and the last \
         16 MiB before it are for modules; 0x80000000 is the split of 2 GiB and 2 GiB. The AM335x has its \
         memory at physical address 0x80000000.",
    ))
}

/// The first address, to a mebibyte, that no program can have a page at or above.
fn end_of_user_space() -> Result<u64> {
    const STEP: u64 = 1 << 20;
    let page = mapwright::page_size();
    let mut end = u64::from(u32::MAX) & !(STEP - 1);
    while end > 0 && !can_be_mapped(end - page)? {
        end -= STEP;
    }
    ensure!(end > 0, "nothing can be mapped anywhere");
    Ok(end)
}

/// Whether a program can have a page at an address, or has one there.
fn can_be_mapped(address: u64) -> Result<bool> {
    let length = NonZeroUsize::new(usize::try_from(mapwright::page_size())?).context("no page")?;
    let address = NonZeroUsize::new(usize::try_from(address)?);
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
    // SAFETY: Nothing is replaced: where something is mapped, this fails.
    match unsafe { mmap_anonymous(address, length, ProtFlags::PROT_NONE, flags) } {
        Ok(mapped) => {
            // SAFETY: Just mapped, and used by nobody.
            unsafe { munmap(mapped, length.get()) }?;
            Ok(true)
        }
        Err(Errno::EEXIST) => Ok(true),
        Err(Errno::ENOMEM | Errno::EINVAL | Errno::EPERM) => Ok(false),
        Err(err) => Err(err).context("mmap"),
    }
}

/// Where the board's memory begins, as its device tree says.
fn board_memory(release: &str) -> Result<Option<u64>> {
    let file = Path::new("/lib/modules")
        .join(release)
        .join("dtb")
        .join(BOARD);
    if !file.exists() {
        return Ok(None);
    }
    let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let tree = fdt::Fdt::new(&bytes).map_err(|err| anyhow::anyhow!("{BOARD}: {err}"))?;
    let start = tree
        .memory()
        .regions()
        .map(|region| region.starting_address as u64)
        .min();
    Ok(start)
}
