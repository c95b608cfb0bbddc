// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each test runs where its device is.

use super::names::DMA_LEFT_BEHIND;
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
    assert_eq!(
        runs_of(STOCK, DMA_LEFT_BEHIND),
        ["edu-unplug", "edu-reboot"]
    );
    assert_eq!(runs_of(STOCK, "gpio.suspend"), ["gpio-sleep"]);
    assert_eq!(runs_of(STOCK, "life.fork"), ["virtme", "tiny"]);
    assert_eq!(runs_of(STOCK, "lockdown."), ["lockdown"]);
    assert_eq!(runs_of(DEBUG, "failing.mmap"), ["fail-nth"]);
    assert_eq!(runs_of(DEBUG, "life."), ["kasan", "lockdep-kmemleak"]);
    assert_eq!(runs_of(STOCK, "claims."), ["tiny"]);
    assert_eq!(runs_of(STOCK, "alloc_budget."), ["tiny"]);
    assert_eq!(runs_of(ARM64_PLANS, "claims."), ["arm64"]);
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
    assert_eq!(runs_of(ARM, "tree."), ["arm-buffers"]);
    assert_eq!(runs_of(ARM64_PLANS, "tree."), ["arm64-buffers"]);
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
        [
            "--skip",
            "gpio.",
            "--skip",
            "dma.",
            "--skip",
            "lockdown.",
            "--skip",
            "large.",
            "--skip",
            "tree.",
            "--skip",
            "claims.",
            "--skip",
            "alloc_budget."
        ]
    );
    assert_eq!(DEBUG[2].arguments(None), ["failing."]);
    assert_eq!(DEBUG[2].arguments(Some("failing.x")), ["failing.x"]);
    assert_eq!(
        smoke(MachineType::Arm64).arguments(None),
        ["bare.", "pairs.", "coherence."]
    );
}

#[test]
fn names_are_those_of_plans() {
    assert!(check_names(DEBUG, &["kasan".to_owned()]).is_ok());
    let err = check_names(DEBUG, &["moon".to_owned()]).unwrap_err();
    assert!(err.to_string().contains("kasan, lockdep"), "{err}");
}
