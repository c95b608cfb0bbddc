// SPDX-License-Identifier: MIT OR Apache-2.0

//! B12: where SLUB keeps its free list.

use crate::{pin::Pinned, read::kcore::Kcore, Claim, Finding, Lab, Need, Shape, Table, Verdict};
use anyhow::{ensure, Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, Object, Pattern, Plan, FILL_BYTE};
use std::{collections::BTreeSet, fs};

pub const CLAIM: Claim = Claim {
    id: "B12",
    title: "SLUB's free list",
    says: "SLUB keeps its list of free objects in these themselves: the first 8 bytes of each point to the next. What was \
           freed last is given first, from a list of each processor's own, with no lock.",
    needs: &[
        Need::Module("mapwright_alloc"),
        Need::Arch("x86_64"),
        Need::File("/proc/kcore", "CONFIG_PROC_KCORE"),
        Need::File("/sys/kernel/slab", "CONFIG_SLUB without SLUB_TINY"),
    ],
    shapes: &[Shape::Normal, Shape::SlubDebug],
    prove,
};

/// A size that little else is allocated of.
const BYTES: u64 = 1024;
const OBJECTS: u32 = 8;
/// What a free object is filled with where SLUB poisons: `include/linux/poison.h`.
const POISON: u8 = 0x6b;

fn prove(lab: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let device = AllocDevice::open()?;
    let kcore = Kcore::open()?;
    let reuse = reuse(&device)?;
    // Some that stay, so that their slabs stay.
    let others = AllocDevice::open()?;
    let stay = Plan::new(Allocator::Kmalloc, BYTES)
        .repeated(OBJECTS)
        .with_pattern(Pattern::Batches { batch: OBJECTS });
    others.run(&stay.clone().holding())?;
    let filled = Plan { fill: true, ..stay };
    let (_, objects) = device.record(&filled, OBJECTS)?;
    let freed = look(&kcore, &objects)?;
    shrink()?;
    let listed = look(&kcore, &objects)?;

    let mut table = Table::new(
        format!("{OBJECTS} objects of {BYTES} bytes, filled with 0xa5 and freed, read through /proc/kcore"),
        ["when", "objects as they were filled", "with one other word", "poisoned", "used again", "where the word is"],
    );
    for (when, seen) in [
        ("freed", &freed),
        (
            "after the processors' stores were emptied (/sys/kernel/slab/*/shrink)",
            &listed,
        ),
    ] {
        let places: Vec<String> = seen
            .places
            .iter()
            .map(|place| format!("byte {place}"))
            .collect();
        table.row([
            when.to_owned(),
            seen.untouched.to_string(),
            seen.words.len().to_string(),
            seen.poisoned.to_string(),
            seen.other.to_string(),
            places.join(", "),
        ]);
    }
    let addresses: BTreeSet<u64> = objects.iter().map(|object| object.address).collect();
    let plain = listed
        .words
        .iter()
        .filter(|word| **word == 0 || addresses.contains(word))
        .count();
    let poisons = lab.machine.booted_with("slab_debug");
    let finding = Finding::new(match poisons {
        true => format!(
            "{} of {} free objects are poisoned",
            listed.poisoned.max(freed.poisoned),
            objects.len()
        ),
        false => format!(
            "{} of {} free objects hold a word of the list, at {}",
            listed.words.len(),
            objects.len(),
            listed
                .places
                .iter()
                .map(|place| format!("byte {place}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    });
    if poisons {
        let poisoned = listed.poisoned.max(freed.poisoned);
        return Ok(finding
            .statement(
                "With slab_debug=P, what is free is filled with 0x6b",
                Verdict::of(poisoned > 0),
                format!("{poisoned} of {} objects", objects.len()),
            )
            .table(table)
            .instead("The list's pointer is behind the object then, so that a store to what was freed does not break it."));
    }
    Ok(finding
        .statement(
            "The list is in the free objects themselves",
            Verdict::of(!listed.words.is_empty()),
            format!("a word of {} objects has changed, and nothing else in them", listed.words.len()),
        )
        .statement(
            "The pointer is the first word, as it is",
            Verdict::Confirmed.if_else(listed.places.contains(&0) && plain > 0, Verdict::Outdated),
            format!("it is at {:?}, and {plain} of {} are the address of another object", listed.places, listed.words.len()),
        )
        .statement(
            "What is freed goes to that list at once",
            Verdict::Confirmed.if_else(freed.words.len() >= listed.words.len(), Verdict::Outdated),
            format!("{} of {} objects were still as they were filled", freed.untouched, objects.len()),
        )
        .statement(
            "What was freed last is given first",
            Verdict::of(reuse == 1),
            format!("eight allocations, each freed before the next, got {reuse} different addresses"),
        )
        .table(table)
        .instead(
            "The pointer is in the middle of the object and scrambled with the address and a secret \
             (CONFIG_SLAB_FREELIST_HARDENED), so that an overflow cannot forge it. Kernels with \
             sheaves put what is freed into an array of pointers of each processor's first: the object itself is not \
             touched.",
        ))
}

/// How many addresses eight allocations get, each freed before the next.
fn reuse(device: &AllocDevice) -> Result<usize> {
    let (_, objects) = device.record(
        &Plan::new(Allocator::Kmalloc, BYTES).repeated(OBJECTS),
        OBJECTS,
    )?;
    ensure!(
        objects.len() == OBJECTS as usize,
        "{} of {OBJECTS} objects",
        objects.len()
    );
    Ok(objects
        .iter()
        .map(|object| object.address)
        .collect::<BTreeSet<_>>()
        .len())
}

/// What free objects hold.
#[derive(Default)]
struct Seen {
    untouched: usize,
    poisoned: usize,
    /// Someone else has it, or the slab was freed.
    other: usize,
    /// Of objects that are filled but for one word.
    words: Vec<u64>,
    places: BTreeSet<usize>,
}

fn look(kcore: &Kcore, objects: &[Object]) -> Result<Seen> {
    let mut seen = Seen::default();
    for object in objects {
        let mut bytes = vec![0; usize::try_from(BYTES)?];
        kcore.read(object.address, &mut bytes)?;
        let words: Vec<&[u8]> = bytes.chunks_exact(8).collect();
        let changed: Vec<usize> = (0..words.len())
            .filter(|i| words[*i] != [FILL_BYTE; 8])
            .collect();
        match changed[..] {
            [] => seen.untouched += 1,
            [place] => {
                seen.words.push(u64::from_le_bytes(
                    words[place].try_into().context("a word")?,
                ));
                seen.places.insert(place * 8);
            }
            _ if words[1] == [POISON; 8] => seen.poisoned += 1,
            _ => seen.other += 1,
        }
    }
    Ok(seen)
}

/// Has the caches for this size give what their processors have in store back to the slabs.
fn shrink() -> Result<()> {
    for entry in fs::read_dir("/sys/kernel/slab")? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("kmalloc") && name.ends_with("-1k") {
            fs::write(path.join("shrink"), "1").with_context(|| format!("shrinking {name}"))?;
        }
    }
    Ok(())
}
