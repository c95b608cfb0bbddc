// SPDX-License-Identifier: MIT OR Apache-2.0

//! F3: which object is given next, with objects of the kernel's.

use super::{ComparedStep, Comparison};
use crate::{not_testable, pin::Pinned, Need, Table};
use anyhow::{Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, Pattern, Plan};
use mapwright_models::{run, slub::Cache, Kind, State};
use std::collections::{BTreeMap, BTreeSet};

pub const NEEDS: &[Need] = &[Need::Module("mapwright_alloc")];
/// A size that little else is allocated of.
const BYTES: u64 = 1024;
/// Objects that are held at a time: each takes an open file.
const MOST: usize = 200;
/// How often it is tried to be alone.
const TRIES: usize = 5;
const REASONS: [&str; 4] = [
    "Kernels since 6.18 put what is freed into an array of pointers of each processor's (a sheaf), whichever slab it \
     is of: it is given again first, where the model's slow path puts it into its own slab.",
    "A new slab's list is in random order (CONFIG_SLAB_FREELIST_RANDOM): which new object is given is not compared, \
     only that nobody has it.",
    "Where the list's pointer is in a free object, and that it is scrambled: mapwright prove B12.",
    "Others allocate objects of this size at the same time.",
];

pub fn check(script: &str) -> Result<Comparison> {
    let transcript = run(Kind::Slub, script)?;
    let State::Slub(first) = &transcript.steps[0].state else {
        return not_testable("the model has no cache");
    };
    let steps: Vec<(usize, &str)> = transcript
        .steps
        .iter()
        .skip(1)
        .map(|step| (step.line, step.text.as_str()))
        .collect();
    let _pinned = Pinned::to(0)?;
    let mut best: Option<(Vec<ComparedStep>, Table)> = None;
    for _ in 0..TRIES {
        let model = Cache::new(&first.name, first.bytes, first.objects_per_slab);
        let done = objects(model, &steps)?;
        let agrees = done.0.iter().all(|step| step.agrees);
        best = Some(done);
        if agrees {
            break;
        }
    }
    let (compared, table) = best.context("no try")?;
    let about = vec![format!(
        "Each object is a kmalloc({BYTES}) of its own, held until the script frees it, on one processor. The model has \
         {} in a slab.",
        first.objects_per_slab
    )];
    let mut comparison = Comparison::new(about, compared, &REASONS);
    comparison.evidence.push(table);
    Ok(comparison)
}

/// Does the steps, object by object.
fn objects(mut model: Cache, steps: &[(usize, &str)]) -> Result<(Vec<ComparedStep>, Table)> {
    let plan = Plan::new(Allocator::Kmalloc, BYTES).with_pattern(Pattern::Batches { batch: 1 });
    let plan = plan.holding();
    // Opening a device allocates, too: it is done before.
    let mut spare = (0..MOST)
        .map(|_| AllocDevice::open())
        .collect::<mapwright::Result<Vec<_>>>()?;
    let mut live: BTreeMap<u64, (u64, AllocDevice)> = BTreeMap::new();
    let mut addresses: BTreeMap<u64, u64> = BTreeMap::new();
    let mut compared: Vec<(ComparedStep, u64)> = Vec::new();
    let mut table = Table::new(
        "Where the objects are",
        ["object", "address", "from the one before"],
    );
    let mut last = None;
    for (line, text) in steps {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let ["free", object] = words[..] {
            let digits = object.trim_start_matches("obj[").trim_end_matches(']');
            let object = mapwright_models::number(digits).map_err(anyhow::Error::msg)?;
            model.free(object).context("the model has no such object")?;
            let (_, device) = live
                .remove(&object)
                .context("the kernel gave no such object")?;
            device.release()?;
            spare.push(device);
            continue;
        }
        let count = words
            .get(1)
            .map_or(Ok(1), |count| mapwright_models::number(count));
        for _ in 0..count.map_err(anyhow::Error::msg)? {
            let (object, _) = model.alloc();
            let Some(device) = spare.pop() else {
                return not_testable(format!(
                    "beside the kernel a script may hold {MOST} objects"
                ));
            };
            let (_, given) = device.record(&plan, 1)?;
            let address = given.first().context("an object was refused")?.address;
            let taken: BTreeSet<u64> = live.values().map(|(address, _)| *address).collect();
            let known = addresses.get(&object).copied();
            let is_free_one = addresses
                .iter()
                .find(|(_, other)| **other == address)
                .map(|(object, _)| *object);
            let kernel = match (is_free_one, taken.contains(&address)) {
                (_, true) => "one that is taken".to_owned(),
                (Some(object), false) => format!("obj[{object}] again"),
                (None, false) => "a new one".to_owned(),
            };
            let model_gave = match known {
                Some(_) => format!("obj[{object}] again"),
                None => "a new one".to_owned(),
            };
            if known.is_none() {
                let apart = last.map_or(String::new(), |last: u64| {
                    (address as i64).wrapping_sub(last as i64).to_string()
                });
                table.row([format!("obj[{object}]"), format!("{address:#x}"), apart]);
                last = Some(address);
            }
            let entry = ComparedStep {
                line: *line,
                step: (*text).to_owned(),
                agrees: model_gave == kernel && address % BYTES == 0,
                model: model_gave,
                kernel,
            };
            match compared.last_mut() {
                Some((last, times)) if *last == entry => *times += 1,
                _ => compared.push((entry, 1)),
            }
            addresses.retain(|_, other| *other != address);
            addresses.insert(object, address);
            live.insert(object, (address, device));
        }
    }
    let compared = compared.into_iter().map(|(entry, times)| match times {
        1 => entry,
        times => ComparedStep {
            model: format!("{times} × {}", entry.model),
            kernel: format!("{times} × {}", entry.kernel),
            ..entry
        },
    });
    Ok((compared.collect(), table))
}
