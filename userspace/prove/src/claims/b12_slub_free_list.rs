// SPDX-License-Identifier: MIT OR Apache-2.0

//! B12: where SLUB keeps its free list.

use crate::{
    finding::plural,
    pin::Pinned,
    read::{
        is_emulated,
        trace::{self, Call},
    },
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Object, Pattern, Plan, FILL_BYTE},
    kcore::Kcore,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

pub const CLAIM: Claim = Claim {
    id: "B12",
    title: "SLUB's free list",
    sources: &[
        Document::Memory.section("8, Key Data Structures — Slab"),
        Document::Memory.section("9, Slab Allocation Fast & Slow Path"),
    ],
    says: "SLUB keeps its list of free objects in these themselves: the first 8 bytes of each point to the next. What was \
           freed last is given first, from a list of each processor's own, with no lock.",
    needs: &[
        Need::Module("mapwright_alloc"),
        Need::Arch(&["x86_64"]),
        Need::File("/proc/kcore", "CONFIG_PROC_KCORE"),
        Need::File("/sys/kernel/slab", "CONFIG_SLUB without SLUB_TINY"),
    ],
    vms: &[Vm::Normal, Vm::Nokaslr, Vm::SlubDebug],
    prove,
};

/// A size that little else is allocated of.
const BYTES: u64 = 1024;
const OBJECTS: u32 = 8;
/// What a free object is filled with where SLUB poisons: `include/linux/poison.h`.
const POISON: u8 = 0x6b;
/// Objects that are allocated while it is seen whether locks are taken: in pairs, and so many at a time that
/// no processor keeps them at hand.
const LOCKING: u32 = 1000;
/// What takes a lock, in the kernel: none of these is ever inlined on x86.
const LOCKS: [&str; 5] = [
    "_raw_spin_lock*",
    "_raw_spin_trylock*",
    "_raw_read_lock*",
    "_raw_write_lock*",
    "mutex_lock*",
];

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
    for (when, contents) in [
        ("freed", &freed),
        (
            "after the processors' stores were emptied (/sys/kernel/slab/*/shrink)",
            &listed,
        ),
    ] {
        let places: Vec<String> = contents
            .places
            .iter()
            .map(|place| format!("byte {place}"))
            .collect();
        table.row([
            when.to_owned(),
            contents.untouched.to_string(),
            contents.words.len().to_string(),
            contents.poisoned.to_string(),
            contents.other.to_string(),
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
            .said_in(&[Document::Memory.section("8, Key Data Structures — Slab")])
            .table(table)
            .instead("The list's pointer is behind the object then, so that a store to what was freed does not break it."));
    }
    let locks = locks(lab, &device)?;
    let finding = finding
        .statement(
            "The list is in the free objects themselves",
            Verdict::of(!listed.words.is_empty()),
            format!(
                "a word of {} has changed, and nothing else in them",
                plural(listed.words.len(), "object")
            ),
        )
        .statement(
            "The pointer is the first word, as it is",
            Verdict::Confirmed.if_else(listed.places.contains(&0) && plain > 0, Verdict::Outdated),
            format!(
                "it is at {:?}, and {plain} of {} are the address of another object",
                listed.places,
                listed.words.len()
            ),
        )
        .said_in(&[Document::Memory.section("9, Slab Allocation Fast & Slow Path")])
        .statement(
            "What is freed goes to that list at once",
            Verdict::Confirmed.if_else(freed.words.len() >= listed.words.len(), Verdict::Outdated),
            format!(
                "{} of {} objects were still as they were filled",
                freed.untouched,
                objects.len()
            ),
        )
        .said_in(&[Document::Memory.section("9, Slab Allocation Fast & Slow Path")])
        .statement(
            "What was freed last is given first",
            Verdict::of(reuse == 1),
            format!(
                "eight allocations, each freed before the next, got {reuse} different addresses"
            ),
        )
        .said_in(&[Document::Memory.section("9, Slab Allocation Fast & Slow Path")])
        .table(table);
    let finding = match locks {
        Some(locks) => locks.judge(finding),
        None => finding
            .statement(
                "The fast path takes no lock",
                Verdict::NotTestableHere,
                "to trace functions, the kernel patches itself, which several emulated processors have been seen to \
                 get wrong: it takes one processor, or real ones",
            )
            .said_in(&[Document::Memory.section("9, Slab Allocation Fast & Slow Path")]),
    };
    Ok(finding
        .instead(
            "The pointer is in the middle of the object and scrambled with the address and a secret \
             (CONFIG_SLAB_FREELIST_HARDENED), so that an overflow cannot forge it. Kernels with \
             sheaves put what is freed into an array of pointers of each processor's first: the object itself is not \
             touched. That array is guarded by a local lock, which is no lock between processors: it only keeps the \
             thread where it is.",
        ))
}

/// The calls of locks while objects were allocated and freed.
struct Locks {
    /// Each object freed before the next was allocated.
    pairs: Vec<Call>,
    /// All allocated, then all freed.
    many: Vec<Call>,
}

/// Counts the locks that are taken with what is at hand, and with more than is at hand.
fn locks(lab: &Lab, device: &AllocDevice) -> Result<Option<Locks>> {
    if is_emulated()? && lab.machine.cpus > 1 {
        return Ok(None);
    }
    let pairs = Plan::new(Allocator::Kmalloc, BYTES).repeated(LOCKING);
    let many = pairs
        .clone()
        .with_pattern(Pattern::Batches { batch: LOCKING });
    // The first may have to fill what is kept at hand.
    device.run(&pairs)?;
    let of = |plan: &Plan| -> Result<Vec<Call>> {
        Ok(trace::calls(&LOCKS, || Ok(device.run(plan)?))?.1)
    };
    Ok(Some(Locks {
        pairs: of(&pairs)?,
        many: of(&many)?,
    }))
}

impl Locks {
    fn judge(&self, finding: Finding) -> Finding {
        let mut table = Table::new(
            format!(
                "Calls of functions that take a lock, by this thread (function tracer): {LOCKING} objects of {BYTES} \
                 bytes allocated and freed"
            ),
            ["each freed before the next", "all, then all freed", "lock", "called by"],
        );
        let mut callers: BTreeMap<(&str, &str), [usize; 2]> = BTreeMap::new();
        for (column, calls) in [&self.pairs, &self.many].into_iter().enumerate() {
            for call in calls {
                callers.entry((&call.name, &call.caller)).or_default()[column] += 1;
            }
        }
        for ((name, caller), [pairs, many]) in callers {
            let cells = [pairs.to_string(), many.to_string()];
            let [pairs, many] = cells;
            table.row([pairs, many, name.to_owned(), caller.to_owned()]);
        }
        let (pairs, many) = (self.pairs.len(), self.many.len());
        // The thread is rescheduled now and then, which takes a few, too.
        let few = LOCKING as usize / 10;
        let verdict = match many {
            0 => Verdict::NotTestableHere,
            _ => Verdict::of(pairs < few),
        };
        let observed = match many {
            0 => "nothing was traced, not even where locks must have been taken".to_owned(),
            _ => format!(
                "{pairs} locks for {LOCKING} objects, each freed before the next; {many} where all are allocated before \
                 the first is freed"
            ),
        };
        finding
            .statement("The fast path takes no lock", verdict, observed)
            .said_in(&[Document::Memory.section("9, Slab Allocation Fast & Slow Path")])
            .table(table)
    }
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
struct Contents {
    untouched: usize,
    poisoned: usize,
    /// Someone else has it, or the slab was freed.
    other: usize,
    /// Of objects that are filled but for one word.
    words: Vec<u64>,
    places: BTreeSet<usize>,
}

fn look(kcore: &Kcore, objects: &[Object]) -> Result<Contents> {
    let mut contents = Contents::default();
    for object in objects {
        let mut bytes = vec![0; usize::try_from(BYTES)?];
        kcore.read(object.address, &mut bytes)?;
        let words: Vec<&[u8]> = bytes.chunks_exact(8).collect();
        let changed: Vec<usize> = (0..words.len())
            .filter(|i| words[*i] != [FILL_BYTE; 8])
            .collect();
        match changed[..] {
            [] => contents.untouched += 1,
            [place] => {
                contents.words.push(u64::from_le_bytes(
                    words[place].try_into().context("a word")?,
                ));
                contents.places.insert(place * 8);
            }
            _ if words[1] == [POISON; 8] => contents.poisoned += 1,
            _ => contents.other += 1,
        }
    }
    Ok(contents)
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
