// SPDX-License-Identifier: MIT OR Apache-2.0

//! A claim: what the documents say, and the experiment that judges it.

use crate::{Finding, Lab, Need, Source};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What the documents say of one system of the kernel, and how to find out.
pub struct Claim {
    /// Part and number: `B4`.
    pub id: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// Where the documents say it.
    pub sources: &'static [Source],
    /// What the documents say, in a sentence or two.
    pub says: &'static str,
    /// What the experiment cannot be done without. Root is always needed.
    pub needs: &'static [Need],
    /// The VMs that `make prove` does it in, one after the other.
    pub vms: &'static [Vm],
    /// The experiment.
    pub prove: fn(&Lab) -> Result<Finding>,
}

impl Claim {
    /// How many seconds the experiment may take, if it is long.
    pub fn seconds(&self) -> Option<u32> {
        self.needs.iter().find_map(|need| match need {
            Need::Seconds(seconds) => Some(*seconds),
            _ => None,
        })
    }

    /// Whether `choice` is this claim, or the part that it is in: `B4`, `b4`, `B`.
    pub fn is_in(&self, choice: &str) -> bool {
        let part = self.id.trim_end_matches(|c: char| c.is_ascii_digit());
        self.id.eq_ignore_ascii_case(choice) || part.eq_ignore_ascii_case(choice)
    }
}

/// A VM that the test harness can boot. What each is made of is in the test harness's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vm {
    /// The VM that everything else runs in: two processors, 1 GiB, four levels of page tables, a kernel at random addresses.
    Normal,
    /// One processor, and the kernel is where it was linked to be.
    Nokaslr,
    /// Five levels of page tables.
    FiveLevels,
    /// The kernel hides itself from user mode, and is at other random addresses than in the first boot.
    Isolated,
    /// Two NUMA nodes.
    Numa,
    /// Half of the memory is above 4 GiB, and memory is allocated as it was left.
    AboveFourGib,
    /// SLUB checks each object.
    SlubDebug,
    /// The kernel of scripts/debug-kernel, looking for leaks.
    DebugKernel,
    /// QEMU's `edu` device, which does DMA, and no IOMMU.
    Edu,
    /// The same behind an IOMMU.
    EduIommu,
    /// The same behind an IOMMU that maps each address to itself.
    EduPassthrough,
    /// The same without an IOMMU, with most of the memory where the device does not reach it.
    EduBounce,
    /// A modelled GPIO bank of an AM335x.
    Gpio,
    /// 32-bit ARM, with the banks at their true addresses.
    GpioArm,
    /// 32-bit ARM, with less memory than the kernel can map all at once.
    Arm,
    /// 32-bit ARM, with more.
    ArmTwoGib,
    /// 64-bit ARM, a Cortex-A72.
    Arm64,
    /// The same with a processor whose addresses may have 52 bits.
    Arm64Max,
    /// 64-bit ARM with the `edu` device, and no IOMMU.
    Arm64Edu,
    /// The same behind an IOMMU.
    Arm64EduIommu,
    /// The same without an IOMMU, with some of the memory where the device does not reach it.
    Arm64EduBounce,
    /// The same with a device that does not see what the processors' caches hold.
    Arm64EduNonCoherent,
    /// 64-bit ARM with a modelled GPIO bank of an AM335x.
    Arm64Gpio,
}

impl Vm {
    /// All of them, in the order in which they are booted.
    pub const ALL: [Self; 23] = [
        Self::Normal,
        Self::Nokaslr,
        Self::FiveLevels,
        Self::Isolated,
        Self::Numa,
        Self::AboveFourGib,
        Self::SlubDebug,
        Self::DebugKernel,
        Self::Edu,
        Self::EduIommu,
        Self::EduPassthrough,
        Self::EduBounce,
        Self::Gpio,
        Self::GpioArm,
        Self::Arm,
        Self::ArmTwoGib,
        Self::Arm64,
        Self::Arm64Max,
        Self::Arm64Edu,
        Self::Arm64EduIommu,
        Self::Arm64EduBounce,
        Self::Arm64EduNonCoherent,
        Self::Arm64Gpio,
    ];

    /// The VM's name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Nokaslr => "nokaslr",
            Self::FiveLevels => "five-levels",
            Self::Isolated => "isolated",
            Self::Numa => "numa",
            Self::AboveFourGib => "above-four-gib",
            Self::SlubDebug => "slub-debug",
            Self::DebugKernel => "debug-kernel",
            Self::Edu => "edu",
            Self::EduIommu => "edu-iommu",
            Self::EduPassthrough => "edu-passthrough",
            Self::EduBounce => "edu-bounce",
            Self::Gpio => "gpio",
            Self::GpioArm => "gpio-arm",
            Self::Arm => "arm",
            Self::ArmTwoGib => "arm-two-gib",
            Self::Arm64 => "arm64",
            Self::Arm64Max => "arm64-max",
            Self::Arm64Edu => "arm64-edu",
            Self::Arm64EduIommu => "arm64-edu-iommu",
            Self::Arm64EduBounce => "arm64-edu-bounce",
            Self::Arm64EduNonCoherent => "arm64-edu-non-coherent",
            Self::Arm64Gpio => "arm64-gpio",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::CLAIMS;

    #[test]
    fn each_id_is_once_there_and_says_which_part() {
        for (i, claim) in CLAIMS.iter().enumerate() {
            let same = |other: &&&crate::Claim| other.id == claim.id;
            assert_eq!(CLAIMS.iter().filter(same).count(), 1, "{}", claim.id);
            assert!(claim.is_in(&claim.id[..1]), "claim {i}: {}", claim.id);
            assert!(!claim.vms.is_empty(), "{} is never proved", claim.id);
            assert!(!claim.sources.is_empty(), "nobody says {}", claim.id);
        }
    }

    #[test]
    fn a_claim_is_chosen_by_id_or_part() {
        let claim = CLAIMS.iter().find(|claim| claim.id == "B13").unwrap();
        assert!(claim.is_in("b13") && claim.is_in("B"));
        assert!(!claim.is_in("B1") && !claim.is_in("C") && !claim.is_in(""));
    }
}
