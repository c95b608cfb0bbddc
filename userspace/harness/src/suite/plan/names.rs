// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the names of tests begin with that run in VMs of their own.

/// What the names of the tests of the GPIO driver begin with.
pub(super) const GPIO_TESTS: &str = "gpio.";
/// Of those that need banks at their true addresses, and the mode that the driver is in there.
pub(super) const BOARD_TESTS: &str = "gpio.board.";
pub(super) const HOG_TESTS: &str = "gpio.hog.";
pub(super) const BANKS_TESTS: &str = "gpio.banks.";
pub(super) const SLEEP_TESTS: &str = "gpio.sleep.";
/// Of those after which a VM is good for little more, as it has slept.
pub(super) const SUSPEND_TESTS: &str = "gpio.suspend.";
/// Of those that need a device for DMA.
pub(super) const DMA_TESTS: &str = "dma.";
/// Of those that pull their device out.
pub(super) const DMA_UNPLUG: &str = "dma.unplug.";
/// Of the one among them after which the VM ends while a stopped program holds the device.
pub(super) const DMA_LEFT_BEHIND: &str = "dma.unplug.a_program_that_is_left_behind";
/// Of those for which a device must be unable to reach all memory.
pub(super) const DMA_REACH: &str = "dma.reach.";
pub(super) const GPIO_UNPLUG: &str = "gpio.unplug.";
/// The programs of userspace/examples that use a device.
pub(super) const DMA_EXAMPLES: &str = "dma.examples.";
pub(super) const GPIO_EXAMPLES: &str = "gpio.examples.";
/// Of those that fail allocations, which takes a debug kernel; and of a device's.
pub(super) const FAILING: &str = "failing.";
pub(super) const DMA_FAILING: &str = "dma.failing.";
/// Of those that judge the kernel itself, once for each kernel, as they take long. KASAN looks at them, too.
pub(super) const CLAIM_TESTS: &str = "claims.";
/// Of those that measure how much memory the kernel takes for objects.
pub(super) const BUDGET_TESTS: &str = "alloc_budget.";
/// Of those that do the steps of models on the kernel: a checker keeps what is freed, and frees it later.
pub(super) const MODEL_TESTS: &str = "models.";
/// Of those that lock the kernel down, after which no module can be inserted.
pub(super) const LOCKDOWN_TESTS: &str = "lockdown.";
/// Of those that need more memory than the others.
pub(super) const LARGE_TESTS: &str = "large.";
pub(super) const GIGABYTE_FALLS_BACK: &str = "large.gigabyte.falls_back";
/// Of those of buffers that a device tree describes.
pub(super) const TREE_TESTS: &str = "tree.";
/// Of those after which a VM is good for nothing more.
pub(super) const DMA_SLEEP: &str = "dma.sleep.";
