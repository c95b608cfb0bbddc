// SPDX-License-Identifier: MIT OR Apache-2.0

//! C11: page sizes, levels and address bits of 64-bit ARM.

use crate::{
    anonymous::Anonymous,
    read::{config::Config, symbols},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    btf::{Btf, FILE},
    inspect::{EntryKind, Inspector, Step, Target, Walk},
    kcore::Kcore,
};

pub const CLAIM: Claim = Claim {
    id: "C11",
    title: "Page tables of 64-bit ARM",
    sources: &[Document::Reference.section("0.6, ARM MMU")],
    says: "ARMv8 has pages of 4 KB or 16 KB, three levels of page tables, and uses 48 bits of an address, \
           which is 256 TB.",
    needs: &[
        Need::Arch(&["aarch64"]),
        Need::Module("mapwright_inspect"),
        Need::File(FILE, "CONFIG_DEBUG_INFO_BTF"),
    ],
    vms: &[Vm::Arm64, Vm::Arm64Max],
    prove,
};

/// What the documents say.
const CLAIMED_KIB: [u64; 2] = [4, 16];
const CLAIMED_LEVELS: usize = 3;
const CLAIMED_BITS: u32 = 48;
/// A size of pages in KiB, and the option of a kernel that is built for it.
const SIZES: [(u64, &str); 3] = [
    (4, "CONFIG_ARM64_4K_PAGES"),
    (16, "CONFIG_ARM64_16K_PAGES"),
    (64, "CONFIG_ARM64_64K_PAGES"),
];

fn prove(lab: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let page = usize::try_from(lab.machine.page_size)?;
    let memory = Anonymous::small(page)?;
    memory.touch(0..page)?;
    let walk = inspector.walk(Target::Myself, memory.addr() as u64)?;
    let bits = inspector.layout()?.address_bits;
    let levels: Vec<&Step> = real(&walk).collect();
    let translated: u32 = levels.iter().map(|step| step.bits).sum();
    ensure!(
        translated + page.trailing_zeros() == bits,
        "the levels take {translated} bits of an address and a page {}, but {bits} are translated",
        page.trailing_zeros()
    );

    let config = Config::read(&lab.machine.release)?;
    let processor = Granules::of_processor()?;
    let kib = page as u64 >> 10;
    ensure!(
        processor.sizes().contains(&kib),
        "the kernel has pages of {kib} KiB, which the processor says it has not: {:#x}",
        processor.0
    );
    let others: Vec<u64> = SIZES
        .map(|(kib, _)| kib)
        .into_iter()
        .filter(|kib| processor.sizes().contains(kib) != CLAIMED_KIB.contains(kib))
        .collect();
    let names: Vec<&str> = levels.iter().map(|step| step.level.name()).collect();
    Ok(Finding::new(format!(
        "pages of {kib} KiB, {} levels, {bits} bits",
        levels.len()
    ))
    .statement(
        "Pages have 4 KB or 16 KB",
        Verdict::Confirmed.if_else(others.is_empty(), Verdict::Config),
        format!(
            "{kib} KiB in this kernel; this processor can have {}",
            in_kib(&processor.sizes())
        ),
    )
    .statement(
        "There are three levels of page tables",
        Verdict::Confirmed.if_else(levels.len() == CLAIMED_LEVELS, Verdict::Config),
        format!("a walk goes through {}: {}", levels.len(), names.join(", ")),
    )
    .statement(
        "48 bits of an address are used, 256 TB",
        Verdict::Confirmed.if_else(bits == CLAIMED_BITS, Verdict::Config),
        format!(
            "{bits} bits, {} TiB, of a program's addresses and as many of the kernel's",
            (1u64 << bits) >> 40
        ),
    )
    .fact("levels", levels.len() as u64)
    .fact("bits", bits.into())
    .table(sizes(config.as_ref(), &processor, kib))
    .table(built(config.as_ref(), levels.len(), bits))
    .table(steps(&walk))
    .instead(
        "A kernel is built for one of three page sizes, 4, 16 or 64 KiB, and for 36 to 52 bits; from both follows \
         how many levels there are. One for 52 bits starts on a processor that has fewer, too: with pages of 4 KiB it then \
         folds the top level.",
    ))
}

/// The page sizes that a processor has, in its register ID_AA64MMFR0_EL1: Arm Architecture Reference Manual,
/// D24.2.
struct Granules(u64);

impl Granules {
    /// Those of the processor that the kernel was booted on. The kernel hides these fields from a program that reads the
    /// register.
    fn of_processor() -> Result<Self> {
        let addresses = symbols::addresses(&["boot_cpu_data"])?;
        let (_, address) = addresses
            .first()
            .context("the kernel hides boot_cpu_data")?;
        let field = Btf::read()?
            .structure("cpuinfo_arm64")?
            .byte_of("reg_id_aa64mmfr0")?;
        let mut register = [0; 8];
        Kcore::open()?.read(address + field, &mut register)?;
        Ok(Self(u64::from_ne_bytes(register)))
    }

    fn field(&self, lowest: u32) -> u64 {
        (self.0 >> lowest) & 0xf
    }

    /// The value that the field of this size has, and whether it means that the processor has it.
    fn of(&self, kib: u64) -> (u64, bool) {
        match kib {
            4 => (self.field(28), self.field(28) != 0xf),
            16 => (self.field(20), self.field(20) != 0),
            _ => (self.field(24), self.field(24) != 0xf),
        }
    }

    fn sizes(&self) -> Vec<u64> {
        let sizes = SIZES.map(|(kib, _)| kib).into_iter();
        sizes.filter(|kib| self.of(*kib).1).collect()
    }
}

/// `4, 64 KiB`
fn in_kib(sizes: &[u64]) -> String {
    let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
    format!("{} KiB", sizes.join(", "))
}

/// The steps that the machine takes.
fn real(walk: &Walk) -> impl Iterator<Item = &Step> {
    let folded = |step: &&Step| step.kind != EntryKind::Folded;
    walk.steps.iter().filter(folded)
}

fn line<'a>(config: Option<&'a Config>, option: &str) -> &'a str {
    match config {
        None => "its configuration is nowhere",
        Some(config) => config.line(option).unwrap_or("no such choice"),
    }
}

fn sizes(config: Option<&Config>, processor: &Granules, running: u64) -> Table {
    let mut table = Table::new(
        format!(
            "Page sizes: the processor's ID_AA64MMFR0_EL1 is {:#x}, in /proc/kcore",
            processor.0
        ),
        [
            "size",
            "its field",
            "the processor has it",
            "the kernel",
            "pages of this program",
        ],
    );
    for (kib, option) in SIZES {
        let (value, has) = processor.of(kib);
        table.row([
            format!("{kib} KiB"),
            format!("{value:#x}"),
            if has { "yes" } else { "no" }.to_owned(),
            line(config, option).to_owned(),
            if kib == running { "these" } else { "" }.to_owned(),
        ]);
    }
    table
}

fn built(config: Option<&Config>, levels: usize, bits: u32) -> Table {
    let mut table = Table::new(
        "What the kernel was built for, and what it does here",
        ["what", "built for", "here"],
    );
    let levels_line = line(config, "CONFIG_PGTABLE_LEVELS").to_owned();
    table.row(["levels".into(), levels_line, levels.to_string()]);
    let bits_line = line(config, "CONFIG_ARM64_VA_BITS").to_owned();
    table.row(["bits of an address".into(), bits_line, bits.to_string()]);
    table
}

fn steps(walk: &Walk) -> Table {
    let mut table = Table::new(
        format!("The walk for {:#x}, a page of this program", walk.address),
        ["level", "bits of the address", "index", "entry"],
    );
    for step in &walk.steps {
        let folded = step.kind == EntryKind::Folded;
        let or_folded = |text: String| match folded {
            true => "folded".to_owned(),
            false => text,
        };
        table.row([
            step.level.name().to_owned(),
            or_folded(format!(
                "{}…{}",
                (step.shift + step.bits).saturating_sub(1),
                step.shift
            )),
            or_folded(step.index.to_string()),
            or_folded(format!("{:#x}", step.value)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_tells_its_page_sizes() {
        // A Cortex-A72: no field for 16 KiB.
        assert_eq!(Granules(0x1124).sizes(), [4, 64]);
        assert_eq!(Granules(0x0010_1124).sizes(), [4, 16, 64]);
        assert_eq!(Granules(0xff00_0000).sizes(), [] as [u64; 0]);
    }
}
