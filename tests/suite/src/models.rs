// SPDX-License-Identifier: MIT OR Apache-2.0

//! The models beside the kernel: the textbook's example, and random scripts, step by step.

use crate::{
    random::Random,
    runner::{skip, Case, Context, Suite},
};
use anyhow::{ensure, Context as _, Result};
use mapwright_models::{random_script, Kind};
use mapwright_prove::{
    models::{check, Comparison},
    NotTestable,
};
use std::env;

/// How many random scripts are done, if it is set.
const SCRIPTS: &str = "MAPWRIGHT_SCRIPTS";
/// How many without.
const USUALLY: u64 = 20;

/// The models that the kernel can do the steps of, whatever machine it runs on.
const EXAMPLES: [Kind; 5] = [Kind::Buddy, Kind::Cow, Kind::Walk, Kind::Slub, Kind::Lru];
/// Of those, the ones that there are random scripts for.
const RANDOM: [Kind; 4] = [Kind::Buddy, Kind::Cow, Kind::Walk, Kind::Slub];

pub const SUITE: Suite = Suite {
    name: "models",
    cases: || {
        let examples = EXAMPLES
            .map(|kind| Case::new(format!("{}_example", kind.name()), move |_| example(kind)));
        let random = RANDOM.map(|kind| {
            Case::new(format!("{}_random", kind.name()), move |context| {
                random_scripts(context, kind)
            })
        });
        examples.into_iter().chain(random).collect()
    },
};

/// What is compared; a skip where this machine cannot.
fn compare(kind: Kind, script: &str) -> Result<Comparison> {
    check(kind, script).or_else(|err| match err.downcast::<NotTestable>() {
        Ok(NotTestable(reason)) => skip(reason),
        Err(err) => Err(err),
    })
}

fn agrees(kind: Kind, script: &str) -> Result<usize> {
    let compared = compare(kind, script)?;
    let parts = compared.steps.iter().find(|step| !step.agrees);
    if let Some(step) = parts {
        println!("# the script:");
        for line in script.lines() {
            println!("#   {line}");
        }
        ensure!(
            step.agrees,
            "line {}, {}: the model has “{}”, the kernel “{}”",
            step.line,
            step.step,
            step.model,
            step.kernel
        );
    }
    Ok(compared.steps.len())
}

fn example(kind: Kind) -> Result<()> {
    agrees(kind, kind.example()).map(drop)
}

fn random_scripts(context: &Context, kind: Kind) -> Result<()> {
    let scripts = match env::var(SCRIPTS) {
        Ok(number) => number
            .parse()
            .with_context(|| format!("{SCRIPTS}={number}"))?,
        Err(_) => USUALLY,
    };
    let mut compared = 0;
    for seed in 0..scripts {
        let mut random = Random::new(seed + 1);
        let script = random_script(kind, &mut |limit| random.below(limit));
        compared += agrees(kind, &script).with_context(|| format!("script {seed} of {scripts}"))?;
    }
    context.note(format!("{scripts} scripts, {compared} comparisons"));
    Ok(())
}
