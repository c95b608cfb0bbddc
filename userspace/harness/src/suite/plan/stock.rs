// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `make test` and `make smoke` boot: Debian's kernel, on a machine type of this program's architecture.

use super::names::*;
use super::Plan;
use crate::guest::Boot;
use crate::machine_type::MachineType;
use crate::vms::{
    Build, EDU, EDU_BOUNCE, EDU_FAR, EDU_IOMMU, EDU_PASSTHROUGH, EDU_UNPLUG, GPIO, GPIO_UNPLUGGED,
    USUAL,
};

pub(super) const ALL: Plan = Plan {
    name: "tiny",
    boot: Boot::Tiny,
    build: USUAL,
    append: "",
    tests: &[],
    without: &[
        GPIO_TESTS,
        DMA_TESTS,
        LOCKDOWN_TESTS,
        LARGE_TESTS,
        TREE_TESTS,
    ],
    narrow: false,
};

/// For a second boot of a kernel: without what judges or measures the kernel itself, which takes long.
pub(super) const SECOND: Plan = Plan {
    without: &[
        GPIO_TESTS,
        DMA_TESTS,
        LOCKDOWN_TESTS,
        LARGE_TESTS,
        TREE_TESTS,
        CLAIM_TESTS,
        BUDGET_TESTS,
    ],
    ..ALL
};

pub(super) const DMA: Plan = Plan {
    tests: &[DMA_TESTS],
    without: &[DMA_SLEEP, DMA_UNPLUG, DMA_REACH],
    ..ALL
};

/// A device that can be pulled out. The clock is the host's, as its monitor is.
pub(super) const DMA_PULLED: Plan = Plan {
    name: "edu-unplug",
    build: EDU_UNPLUG,
    tests: &[DMA_UNPLUG],
    without: &[],
    ..ALL
};

/// For the guest's script.
pub(super) const REBOOTED: &str = "mapwright.end=reboot";

/// The VM is rebooted, instead of switched off, while a stopped program holds all that can be held of the device.
pub(super) const DMA_REBOOT: Plan = Plan {
    name: "edu-reboot",
    append: REBOOTED,
    tests: &[DMA_LEFT_BEHIND],
    ..DMA_PULLED
};

/// A bank that is a PCI function.
pub(super) const GPIO_PCI: Plan = Plan {
    name: "gpio",
    build: GPIO,
    tests: &[GPIO_TESTS],
    without: &[
        BOARD_TESTS,
        HOG_TESTS,
        BANKS_TESTS,
        SLEEP_TESTS,
        SUSPEND_TESTS,
        GPIO_UNPLUG,
    ],
    ..ALL
};

/// A bank that is a PCI function, in a VM that sleeps.
pub(super) const GPIO_SLEEP: Plan = Plan {
    name: "gpio-sleep",
    build: GPIO,
    tests: &[SUSPEND_TESTS],
    without: &[],
    ..ALL
};

/// The examples of devices, in a VM that has Python.
const EXAMPLES: Plan = Plan {
    name: "examples",
    boot: Boot::Virtme,
    build: Build {
        about: "QEMU's edu device and a modelled GPIO bank",
        qemu: "-device edu",
        gpio: true,
        ..USUAL
    },
    tests: &[DMA_EXAMPLES, GPIO_EXAMPLES],
    without: &[],
    ..ALL
};

/// Handlers of interrupts run in threads, as they always do on a real-time kernel.
pub(super) const THREADED: &str = "threadirqs";

/// Those of `make test`, the longest first.
pub const STOCK: &[Plan] = &[
    Plan {
        name: "virtme",
        boot: Boot::Virtme,
        ..SECOND
    },
    ALL,
    Plan {
        name: "edu",
        build: EDU,
        ..DMA
    },
    Plan {
        name: "edu-iommu",
        build: EDU_IOMMU,
        ..DMA
    },
    Plan {
        name: "edu-passthrough",
        build: EDU_PASSTHROUGH,
        ..DMA
    },
    Plan {
        name: "edu-bounce",
        build: EDU_BOUNCE,
        ..DMA
    },
    Plan {
        name: "edu-threadirqs",
        build: EDU,
        append: THREADED,
        ..DMA
    },
    Plan {
        name: "edu-sleep",
        build: EDU,
        tests: &[DMA_SLEEP],
        without: &[],
        ..DMA
    },
    Plan {
        name: "edu-far",
        build: EDU_FAR,
        tests: &[DMA_REACH],
        without: &[],
        ..DMA
    },
    DMA_PULLED,
    DMA_REBOOT,
    Plan {
        name: "large",
        build: Build {
            about: "6 GiB of memory",
            memory: "6G",
            ..USUAL
        },
        tests: &[LARGE_TESTS],
        without: &[],
        ..ALL
    },
    // A CPU whose entries map 2 MiB at most.
    Plan {
        name: "large-blocks",
        build: Build {
            about: "6 GiB of memory, no entries for a gigabyte",
            memory: "6G",
            qemu: "-cpu max,la57=off,pdpe1gb=off",
            ..USUAL
        },
        tests: &[GIGABYTE_FALLS_BACK],
        without: &[],
        ..ALL
    },
    GPIO_PCI,
    EXAMPLES,
    GPIO_SLEEP,
    Plan {
        name: "gpio-unplug",
        build: GPIO_UNPLUGGED,
        tests: &[GPIO_UNPLUG],
        without: &[],
        ..ALL
    },
    Plan {
        name: "lockdown",
        build: GPIO,
        tests: &[LOCKDOWN_TESTS],
        without: &[],
        ..ALL
    },
    Plan {
        name: "gpio-threadirqs",
        append: THREADED,
        ..GPIO_PCI
    },
];

/// That of `make smoke`, on any machine type: its architecture, and what a program does most.
pub fn smoke(machine: MachineType) -> Plan {
    Plan {
        name: "smoke",
        build: Build { machine, ..USUAL },
        tests: &["bare.", "pairs.", "coherence."],
        without: &[],
        ..ALL
    }
}
