// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `make test-arm` and `make test-arm64` boot: Debian's kernels for 32-bit and 64-bit ARM.

use super::names::*;
use super::stock::{ALL, DMA, GPIO_PCI, SECOND};
use super::Plan;
use crate::guest::GpioMode;
use crate::machine_type::MachineType;
use crate::vms::{
    Build, ARM64, ARM64_BUFFERS, ARM64_EDU, ARM64_EDU_BOUNCE, ARM64_EDU_IOMMU,
    ARM64_EDU_NON_COHERENT, ARM64_GPIO, ARM64_MAX, ARM_BUFFERS, GPIO_ARM, USUAL,
};

/// GPIO banks at their true addresses, of which this driver has one and the kernel's own the others.
const GPIO_BOARD: Plan = Plan {
    name: "arm-gpio",
    build: GPIO_ARM,
    tests: &[GPIO_TESTS],
    without: &[
        HOG_TESTS,
        BANKS_TESTS,
        SLEEP_TESTS,
        SUSPEND_TESTS,
        GPIO_UNPLUG,
    ],
    ..ALL
};

/// Those of `make test-arm`: the whole suite where the devices are that it runs with, its basics on the
/// BeagleBone's processor, and the GPIO driver. A VM that slept is good for nothing more.
pub const ARM: &[Plan] = &[
    Plan {
        name: "arm-virt",
        build: Build {
            machine: MachineType::Virt,
            ..USUAL
        },
        ..ALL
    },
    Plan {
        name: "arm-cubieboard",
        build: Build {
            machine: MachineType::Cubieboard,
            ..USUAL
        },
        tests: &["bare."],
        ..ALL
    },
    Plan {
        name: "arm-buffers",
        build: ARM_BUFFERS,
        tests: &[TREE_TESTS],
        without: &[],
        ..ALL
    },
    GPIO_BOARD,
    Plan {
        name: "arm-gpio-hog",
        build: Build {
            gpio_mode: GpioMode::Hog,
            ..GPIO_ARM
        },
        tests: &[HOG_TESTS],
        without: &[],
        ..GPIO_BOARD
    },
    Plan {
        name: "arm-gpio-banks",
        build: Build {
            gpio_mode: GpioMode::Banks,
            ..GPIO_ARM
        },
        tests: &[BANKS_TESTS],
        without: &[],
        ..GPIO_BOARD
    },
    Plan {
        name: "arm-gpio-pci",
        build: Build {
            gpio_mode: GpioMode::Pci,
            ..GPIO_ARM
        },
        without: &[
            BOARD_TESTS,
            HOG_TESTS,
            BANKS_TESTS,
            SLEEP_TESTS,
            SUSPEND_TESTS,
            GPIO_UNPLUG,
        ],
        ..GPIO_BOARD
    },
    Plan {
        name: "arm-gpio-sleep",
        tests: &[SLEEP_TESTS],
        without: &[],
        ..GPIO_BOARD
    },
    Plan {
        name: "arm-gpio-suspend",
        tests: &[SUSPEND_TESTS],
        without: &[],
        ..GPIO_BOARD
    },
    Plan {
        name: "arm-gpio-hog-sleep",
        build: Build {
            gpio_mode: GpioMode::Hog,
            ..GPIO_ARM
        },
        tests: &[SLEEP_TESTS],
        without: &[],
        ..GPIO_BOARD
    },
];

/// Those of `make test-arm64`.
pub const ARM64_PLANS: &[Plan] = &[
    Plan {
        name: "arm64",
        build: ARM64,
        ..ALL
    },
    // 32-bit programs on the 64-bit kernel.
    Plan {
        name: "arm64-compat",
        build: ARM64,
        narrow: true,
        ..SECOND
    },
    Plan {
        name: "arm64-edu",
        build: ARM64_EDU,
        ..DMA
    },
    Plan {
        name: "arm64-edu-iommu",
        build: ARM64_EDU_IOMMU,
        ..DMA
    },
    Plan {
        name: "arm64-edu-bounce",
        build: ARM64_EDU_BOUNCE,
        ..DMA
    },
    Plan {
        name: "arm64-edu-non-coherent",
        build: ARM64_EDU_NON_COHERENT,
        ..DMA
    },
    Plan {
        name: "arm64-edu-sleep",
        build: ARM64_EDU,
        tests: &[DMA_SLEEP],
        without: &[],
        ..DMA
    },
    Plan {
        name: "arm64-gpio",
        build: ARM64_GPIO,
        ..GPIO_PCI
    },
    Plan {
        name: "arm64-buffers",
        build: ARM64_BUFFERS,
        tests: &[TREE_TESTS],
        without: &[],
        ..ALL
    },
    // Addresses of 52 bits, and what looks into the page tables.
    Plan {
        name: "arm64-max",
        build: ARM64_MAX,
        tests: &["bare.", "walk.", "inspect."],
        without: &[],
        ..ALL
    },
];
