// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `make test-debug` boots: a kernel with checkers.

use super::names::*;
use super::stock::{ALL, DMA, DMA_PULLED, GPIO_PCI, GPIO_SLEEP, REBOOTED};
use super::Plan;
use crate::vms::{Build, EDU_BOUNCE, EDU_IOMMU, EDU_UNPLUG, GPIO, USUAL};

/// All of the debug kernel, which takes more memory for KASAN's shadow.
const CHECKED: Build = Build {
    memory: "1280M",
    ..USUAL
};

const ALL_CHECKED: Plan = Plan {
    build: CHECKED,
    without: &[
        GPIO_TESTS,
        DMA_TESTS,
        FAILING,
        LOCKDOWN_TESTS,
        LARGE_TESTS,
        TREE_TESTS,
        MODEL_TESTS,
    ],
    ..ALL
};

/// Without what only one checker needs to see.
const MODULES_CHECKED: Plan = Plan {
    without: &[
        GPIO_TESTS,
        DMA_TESTS,
        FAILING,
        LOCKDOWN_TESTS,
        LARGE_TESTS,
        TREE_TESTS,
        MODEL_TESTS,
        CLAIM_TESTS,
    ],
    ..ALL_CHECKED
};

/// All checkers, of a boot for a device, which has few tests.
const EVERYTHING: &str = "kasan_multi_shot slab_debug=U";
/// The same for a device that may write to pages that are free.
const EVERYTHING_AND_POISON: &str = "kasan_multi_shot page_poison=1 slab_debug=U";

const BOUNCE_CHECKED: Plan = Plan {
    name: "edu-bounce-checked",
    build: Build {
        memory: CHECKED.memory,
        ..EDU_BOUNCE
    },
    append: EVERYTHING_AND_POISON,
    without: &[DMA_FAILING, DMA_SLEEP, DMA_UNPLUG, DMA_REACH],
    ..DMA
};

const IOMMU_CHECKED: Plan = Plan {
    name: "edu-iommu-checked",
    build: Build {
        memory: CHECKED.memory,
        ..EDU_IOMMU
    },
    ..BOUNCE_CHECKED
};

const PULLED_CHECKED: Plan = Plan {
    name: "edu-unplug-checked",
    build: Build {
        memory: CHECKED.memory,
        qemu: "-M pc,max-ram-below-4g=256M -device edu,id=edu",
        ..EDU_UNPLUG
    },
    append: EVERYTHING_AND_POISON,
    ..DMA_PULLED
};

/// Where allocations fail. The DMA API's checker gives up for good when one of its own does; and the
/// kernel warns of files in `/proc/irq` that it could not make, when it frees a message's interrupt.
const FAILING_EVERYTHING: &str = "kasan_multi_shot slab_debug=U dma_debug=off pci=nomsi";

/// Those of `make test-debug`, the longest first. KASAN has a boot of its own: a report of it turns lockdep off, and what its
/// caches hold on to kmemleak does not see. Free pages are poisoned in the other boot: looking whether the poison is
/// whole, KASAN's instrumentation finds fault with each word and is told not to mind.
pub const DEBUG: &[Plan] = &[
    Plan {
        name: "kasan",
        append: "kasan_multi_shot kmemleak=off lockdep.prove_locking=0",
        ..ALL_CHECKED
    },
    Plan {
        name: "lockdep-kmemleak",
        append: "page_poison=1 slab_debug=U",
        ..MODULES_CHECKED
    },
    Plan {
        name: "fail-nth",
        append: "kasan_multi_shot slab_debug=U page_owner=on lockdep.prove_locking=0",
        tests: &[FAILING],
        without: &[],
        ..ALL_CHECKED
    },
    BOUNCE_CHECKED,
    Plan {
        name: "gpio-checked",
        build: Build {
            memory: CHECKED.memory,
            ..GPIO
        },
        append: EVERYTHING,
        ..GPIO_PCI
    },
    Plan {
        name: "gpio-sleep-checked",
        build: Build {
            memory: CHECKED.memory,
            ..GPIO
        },
        append: EVERYTHING,
        ..GPIO_SLEEP
    },
    IOMMU_CHECKED,
    PULLED_CHECKED,
    Plan {
        name: "edu-reboot-checked",
        append: REBOOTED,
        tests: &[DMA_LEFT_BEHIND],
        ..PULLED_CHECKED
    },
    Plan {
        name: "edu-bounce-failing",
        append: FAILING_EVERYTHING,
        tests: &[DMA_FAILING],
        without: &[],
        ..BOUNCE_CHECKED
    },
    Plan {
        name: "edu-iommu-failing",
        append: FAILING_EVERYTHING,
        tests: &[DMA_FAILING],
        without: &[],
        ..IOMMU_CHECKED
    },
];
