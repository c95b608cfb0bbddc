// SPDX-License-Identifier: MIT OR Apache-2.0

//! C10: the sections of a process: the documents' program, which prints where its things are.

use crate::{read, Claim, Document, Finding, Lab, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};
use std::{
    hint::black_box,
    sync::atomic::{AtomicI32, AtomicU8, Ordering},
};

pub const CLAIM: Claim = Claim {
    id: "C10",
    title: "Sections of a process",
    sources: &[
        Document::Reference.section("2.3, What's in User Space?"),
        Document::Reference.section("5, User Space Memory Layout"),
    ],
    says: "From the bottom up, a process has text (code), data (initialized variables), bss (zeroed ones), \
           the heap, which grows up, and at the top the stack.",
    needs: &[],
    vms: &[Vm::Normal],
    prove,
};

/// In the data section: it has a value from the start.
static INITIALIZED: AtomicI32 = AtomicI32::new(100);
/// In the bss section: all zeros.
static ZEROED: [AtomicU8; 1000] = [const { AtomicU8::new(0) }; 1000];

/// Something of a program, and where it is.
struct Thing {
    section: &'static str,
    what: &'static str,
    address: u64,
    map: MemoryMap,
    /// Whether what `/proc/self/maps` says of the place fits the section.
    fits: bool,
}

fn prove(_: &Lab) -> Result<Finding> {
    let things = things()?;
    let wrong: Vec<&str> = things
        .iter()
        .filter(|thing| !thing.fits)
        .map(|thing| thing.section)
        .collect();
    let ascending = |names: &[&str]| {
        let mut addresses = names.iter().filter_map(|name| {
            let thing = things.iter().find(|thing| thing.section == *name);
            thing.map(|thing| thing.address)
        });
        let mut last = 0;
        addresses.all(|address| std::mem::replace(&mut last, address) < address)
    };
    let mut sorted: Vec<&Thing> = things.iter().collect();
    sorted.sort_by_key(|thing| thing.address);
    let order: Vec<&str> = sorted.iter().map(|thing| thing.section).collect();
    let stack = sorted.last().is_some_and(|thing| thing.section == "stack");
    let heap_after = ascending(&["text", "data", "bss", "heap"]);
    Ok(Finding::new(format!("from the bottom up: {}", order.join(", ")))
        .statement(
            "A process has text, data, bss, a heap and a stack",
            Verdict::of(wrong.is_empty()),
            match wrong.is_empty() {
                true => "each is in a mapping of its own kind in /proc/self/maps".to_owned(),
                false => format!("not in a mapping of that kind: {}", wrong.join(", ")),
            },
        )
        .statement(
            "Text is below data, data below bss",
            Verdict::of(ascending(&["text", "data", "bss"])),
            order.join(", "),
        )
        .statement(
            "The heap follows bss",
            Verdict::Confirmed.if_else(heap_after, Verdict::Config),
            match heap_after {
                true => "it does",
                false => {
                    "this program is position-independent and static: the kernel puts it among the \
                     mapped files, far above the heap"
                }
            },
        )
        .statement("The stack is at the top", Verdict::of(stack), order.join(", "))
        .table(table(&sorted)))
}

fn things() -> Result<Vec<Thing>> {
    let on_stack = black_box(0u64);
    let on_heap = black_box(Box::new([1u8; 64]));
    // Used, so that the compiler keeps them where they are.
    INITIALIZED.fetch_add(1, Ordering::Relaxed);
    ZEROED[999].fetch_add(1, Ordering::Relaxed);
    let maps = Process::myself()?.maps()?;
    let code = |map: &MemoryMap| {
        map.perms.contains(MMPermissions::EXECUTE) && !map.perms.contains(MMPermissions::WRITE)
    };
    let data = |map: &MemoryMap| {
        map.perms.contains(MMPermissions::WRITE) && !map.perms.contains(MMPermissions::EXECUTE)
    };
    let heap = |map: &MemoryMap| data(map) && map.pathname == MMapPath::Heap;
    let stack = |map: &MemoryMap| data(map) && map.pathname == MMapPath::Stack;
    type Fits<'a> = &'a dyn Fn(&MemoryMap) -> bool;
    let all: [(&'static str, &'static str, u64, Fits<'_>); 5] = [
        ("text", "a function", prove as usize as u64, &code),
        (
            "data",
            "a static with a value",
            &raw const INITIALIZED as u64,
            &data,
        ),
        ("bss", "a static of zeros", &raw const ZEROED as u64, &data),
        (
            "heap",
            "what Box allocated",
            &raw const *on_heap as u64,
            &heap,
        ),
        (
            "stack",
            "a local variable",
            &raw const on_stack as u64,
            &stack,
        ),
    ];
    let mut things = Vec::new();
    for (section, what, address, fits) in all {
        let map = maps
            .iter()
            .find(|map| map.address.0 <= address && address < map.address.1)
            .with_context(|| format!("{what} at {address:#x} is in no mapping"))?;
        things.push(Thing {
            section,
            what,
            address,
            fits: fits(map),
            map: map.clone(),
        });
    }
    Ok(things)
}

fn table(things: &[&Thing]) -> Table {
    let mut table = Table::new(
        "The documents' program, with its lines of /proc/self/maps, from the bottom up",
        ["section", "what", "at", "mapping", "permissions", "of"],
    );
    for thing in things {
        let of = match &thing.map.pathname {
            MMapPath::Path(path) => read::file_name(path),
            MMapPath::Heap => "[heap]".to_owned(),
            MMapPath::Stack => "[stack]".to_owned(),
            MMapPath::Anonymous => "no file".to_owned(),
            other => format!("{other:?}"),
        };
        table.row([
            thing.section.to_owned(),
            thing.what.to_owned(),
            format!("{:#x}", thing.address),
            format!("{:x}-{:x}", thing.map.address.0, thing.map.address.1),
            thing.map.perms.as_str(),
            of,
        ]);
    }
    table
}
