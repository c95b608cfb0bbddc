// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which tests run in which machines: a line per boot.

use crate::guest::{Boot, GpioMode, GuestArgs};
use crate::machine::Machine;
use crate::place::Kernel;
use crate::vms::{
    Build, ARM64, ARM64_EDU, ARM64_EDU_BOUNCE, ARM64_EDU_IOMMU, ARM64_EDU_NON_COHERENT, ARM64_GPIO,
    ARM64_MAX, EDU, EDU_BOUNCE, EDU_FAR, EDU_IOMMU, EDU_PASSTHROUGH, EDU_UNPLUG, GPIO, GPIO_ARM,
    GPIO_UNPLUGGED, USUAL,
};
use anyhow::{bail, Result};
use std::path::Path;

/// What the names of the tests of the GPIO driver begin with.
const GPIO_TESTS: &str = "gpio.";
/// Of those that need banks at their true addresses, and the mode that the driver is in there.
const BOARD_TESTS: &str = "gpio.board.";
const HOG_TESTS: &str = "gpio.hog.";
const BANKS_TESTS: &str = "gpio.banks.";
const SLEEP_TESTS: &str = "gpio.sleep.";
/// Of those after which a machine is good for little more, as it has slept.
const SUSPEND_TESTS: &str = "gpio.suspend.";
/// Of those that need a device for DMA.
const DMA_TESTS: &str = "dma.";
/// Of those that pull their device out.
const DMA_UNPLUG: &str = "dma.unplug.";
/// Of those for which a device must be unable to reach all memory.
const DMA_REACH: &str = "dma.reach.";
const GPIO_UNPLUG: &str = "gpio.unplug.";
/// The programs of userspace/examples that use a device.
const DMA_EXAMPLES: &str = "dma.examples.";
const GPIO_EXAMPLES: &str = "gpio.examples.";
/// Of those that fail allocations, which takes a debug kernel; and of a device's.
const FAILING: &str = "failing.";
const DMA_FAILING: &str = "dma.failing.";
/// Of those that judge the kernel itself: they take long, and KASAN looks at them.
const CLAIM_TESTS: &str = "claims.";
/// Of those that do the steps of models on the kernel: a checker keeps what is freed, and frees it later.
const MODEL_TESTS: &str = "models.";
/// Of those that lock the kernel down, after which no module can be inserted.
const LOCKDOWN_TESTS: &str = "lockdown.";
/// Of those that need more memory than the others.
const LARGE_TESTS: &str = "large.";
/// Of those after which a machine is good for nothing more.
const DMA_SLEEP: &str = "dma.sleep.";

/// A boot, and the tests that run in it.
pub struct Plan {
    pub name: &'static str,
    pub boot: Boot,
    build: Build,
    /// For the kernel's command line, beside what the machine takes.
    append: &'static str,
    /// What the tests' names begin with; anything, where this is empty.
    tests: &'static [&'static str],
    /// What the names of tests begin with that are left out, as they have boots of their own.
    without: &'static [&'static str],
    /// Whether its programs are those of 32-bit ARM.
    narrow: bool,
}

const ALL: Plan = Plan {
    name: "tiny",
    boot: Boot::Tiny,
    build: USUAL,
    append: "",
    tests: &[],
    without: &[GPIO_TESTS, DMA_TESTS, LOCKDOWN_TESTS, LARGE_TESTS],
    narrow: false,
};

const DMA: Plan = Plan {
    tests: &[DMA_TESTS],
    without: &[DMA_SLEEP, DMA_UNPLUG, DMA_REACH],
    ..ALL
};

/// A device that can be pulled out. The clock is the host's, as its monitor is.
const DMA_PULLED: Plan = Plan {
    name: "edu-unplug",
    build: EDU_UNPLUG,
    tests: &[DMA_UNPLUG],
    without: &[],
    ..ALL
};

/// A bank that is a PCI function.
const GPIO_PCI: Plan = Plan {
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

/// A bank that is a PCI function, in a machine that sleeps.
const GPIO_SLEEP: Plan = Plan {
    name: "gpio-sleep",
    build: GPIO,
    tests: &[SUSPEND_TESTS],
    without: &[],
    ..ALL
};

/// The examples of devices, in a machine that has Python.
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
const THREADED: &str = "threadirqs";

/// Those of `make test`, the longest first.
pub const STOCK: &[Plan] = &[
    Plan {
        name: "virtme",
        boot: Boot::Virtme,
        ..ALL
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

/// Where allocations fail. The DMA API's checker gives up for good when one of its own does; and the
/// kernel warns of files in `/proc/irq` that it could not make, when it frees a message's interrupt.
const FAILING_EVERYTHING: &str = "kasan_multi_shot slab_debug=U dma_debug=off pci=nomsi";

/// Those of `make test-debug`, the longest first. Checkers that are in each other's way, or would only
/// slow down another, have boots of their own: a report of KASAN turns lockdep off, and kmemleak only
/// sees what a cache does not hold on to. Free pages are poisoned in lockdep's, not in KASAN's: looking
/// whether the poison is whole, KASAN's instrumentation finds fault with each word and is told not to mind.
pub const DEBUG: &[Plan] = &[
    Plan {
        name: "kasan",
        append: "kasan_multi_shot kmemleak=off lockdep.prove_locking=0",
        ..ALL_CHECKED
    },
    Plan {
        name: "kmemleak",
        append: "slab_debug=U lockdep.prove_locking=0",
        ..MODULES_CHECKED
    },
    Plan {
        name: "lockdep",
        append: "page_poison=1 kmemleak=off",
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
    Plan {
        name: "edu-unplug-checked",
        build: Build {
            memory: CHECKED.memory,
            qemu: "-M pc,max-ram-below-4g=256M -device edu,id=edu",
            ..EDU_UNPLUG
        },
        append: EVERYTHING_AND_POISON,
        ..DMA_PULLED
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
/// BeagleBone's processor, and the GPIO driver. A machine that slept is good for nothing more.
pub const ARM: &[Plan] = &[
    Plan {
        name: "arm-virt",
        build: Build {
            machine: Machine::Virt,
            ..USUAL
        },
        ..ALL
    },
    Plan {
        name: "arm-cubieboard",
        build: Build {
            machine: Machine::Cubieboard,
            ..USUAL
        },
        tests: &["bare."],
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
        ..ALL
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
    // Addresses of 52 bits, and what looks into the page tables.
    Plan {
        name: "arm64-max",
        build: ARM64_MAX,
        tests: &["bare.", "walk.", "inspect."],
        without: &[],
        ..ALL
    },
];

/// That of `make smoke`, on any machine: its architecture, and what a program does most.
pub fn smoke(machine: Machine) -> Plan {
    Plan {
        name: "smoke",
        build: Build { machine, ..USUAL },
        tests: &["bare.", "pairs.", "coherence."],
        without: &[],
        ..ALL
    }
}

/// Fails unless what is asked for are names of plans.
pub fn check_names(plans: &[Plan], asked: &[String]) -> Result<()> {
    let names: Vec<&str> = plans.iter().map(|plan| plan.name).collect();
    match asked.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => bail!(
            "there is no run named {name}: they are {}",
            names.join(", ")
        ),
        None => Ok(()),
    }
}

impl Plan {
    /// Whether its machine is the usual one, in which everything runs but what takes another.
    pub fn has_all(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether tests run in it whose names contain `filter`.
    pub fn has(&self, filter: Option<&str>) -> bool {
        let Some(filter) = filter else {
            return true;
        };
        // The dot at its end may be left out.
        let begins =
            |start: &&str| filter.starts_with(*start) || start.strip_suffix('.') == Some(filter);
        let taken = self.has_all() || self.tests.iter().any(begins);
        taken && !self.without.iter().any(begins)
    }

    /// Why a kernel cannot do what this plan tests, if it cannot.
    pub fn lacking(&self, kernel: &Kernel) -> Option<&'static str> {
        if self.narrow && !kernel.has("COMPAT") {
            Some("this kernel runs no 32-bit programs (CONFIG_COMPAT)")
        } else if self.build.gpio && !kernel.has("GPIOLIB") {
            Some("this kernel has no GPIO lines (CONFIG_GPIOLIB)")
        } else if self.build.monitor && !kernel.has("HOTPLUG_PCI_ACPI") {
            Some("this kernel lets no device be pulled out (CONFIG_HOTPLUG_PCI_ACPI)")
        } else {
            None
        }
    }

    /// The suite's arguments, to run those whose names contain `filter`.
    pub fn arguments(&self, filter: Option<&str>) -> Vec<String> {
        let names = filter.as_slice();
        let names = if names.is_empty() { self.tests } else { names };
        let mut arguments: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for start in self.without {
            arguments.extend(["--skip", start].map(str::to_owned));
        }
        arguments
    }

    /// The arguments of its guest, but for the kernel. What a modelled device has to tell goes into a
    /// directory of its own in `results`.
    pub fn machine(&self, results: &Path) -> GuestArgs {
        let mut guest = self.build.machine(&results.join(self.name));
        guest.append = format!("{} {}", guest.append, self.append)
            .trim()
            .to_owned();
        let sleeps = |start: &&str| [DMA_SLEEP, SLEEP_TESTS, SUSPEND_TESTS].contains(start);
        guest.own_program = self.tests.iter().any(sleeps);
        guest.programs = self.narrow.then(|| Machine::Virt.programs().into());
        guest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_of<'a>(plans: &'a [Plan], filter: &'a str) -> Vec<&'a str> {
        let has = |plan: &&Plan| plan.has(Some(filter));
        plans.iter().filter(has).map(|plan| plan.name).collect()
    }

    #[test]
    fn tests_run_where_their_device_is() {
        assert_eq!(runs_of(STOCK, "gpio.blink"), ["gpio", "gpio-threadirqs"]);
        assert_eq!(
            runs_of(STOCK, "dma."),
            [
                "edu",
                "edu-iommu",
                "edu-passthrough",
                "edu-bounce",
                "edu-threadirqs"
            ]
        );
        assert_eq!(runs_of(STOCK, "dma.sleep"), ["edu-sleep"]);
        assert_eq!(runs_of(STOCK, "dma.reach."), ["edu-far"]);
        assert_eq!(runs_of(STOCK, "dma.unplug"), ["edu-unplug"]);
        assert_eq!(runs_of(STOCK, "gpio.suspend"), ["gpio-sleep"]);
        assert_eq!(runs_of(STOCK, "life.fork"), ["virtme", "tiny"]);
        assert_eq!(runs_of(STOCK, "lockdown."), ["lockdown"]);
        assert_eq!(runs_of(DEBUG, "failing.mmap"), ["fail-nth"]);
        assert_eq!(runs_of(DEBUG, "life."), ["kasan", "kmemleak", "lockdep"]);
        assert_eq!(runs_of(DEBUG, "claims."), ["kasan"]);
        assert_eq!(
            runs_of(DEBUG, "dma.failing."),
            ["edu-bounce-failing", "edu-iommu-failing"]
        );
        assert_eq!(
            runs_of(ARM64_PLANS, "walk."),
            ["arm64", "arm64-compat", "arm64-max"]
        );
        assert_eq!(runs_of(ARM, "life."), ["arm-virt"]);
        assert_eq!(
            runs_of(ARM, "gpio.the_kernel"),
            ["arm-gpio", "arm-gpio-pci"]
        );
        assert_eq!(runs_of(ARM, "gpio.hog."), ["arm-gpio-hog"]);
        assert_eq!(runs_of(ARM, "gpio.banks."), ["arm-gpio-banks"]);
        assert_eq!(
            runs_of(ARM, "gpio.sleep."),
            ["arm-gpio-sleep", "arm-gpio-hog-sleep"]
        );
        assert_eq!(runs_of(ARM, "bare.mmap"), ["arm-virt", "arm-cubieboard"]);
    }

    #[test]
    fn what_has_a_boot_of_its_own_is_left_out() {
        assert_eq!(
            STOCK[0].arguments(None),
            ["--skip", "gpio.", "--skip", "dma.", "--skip", "lockdown."]
        );
        assert_eq!(DEBUG[3].arguments(None), ["failing."]);
        assert_eq!(DEBUG[3].arguments(Some("failing.x")), ["failing.x"]);
        assert_eq!(
            smoke(Machine::Arm64).arguments(None),
            ["bare.", "pairs.", "coherence."]
        );
    }

    #[test]
    fn names_are_those_of_plans() {
        assert!(check_names(DEBUG, &["kasan".to_owned()]).is_ok());
        let err = check_names(DEBUG, &["moon".to_owned()]).unwrap_err();
        assert!(err.to_string().contains("kasan, kmemleak"), "{err}");
    }
}
