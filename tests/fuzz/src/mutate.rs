// SPDX-License-Identifier: MIT OR Apache-2.0

//! New programs, at random or from old ones.

use crate::program::{Op, Program, MAX_OPS, MAX_THREADS};
use arbitrary::{Arbitrary as _, Unstructured};
use fastrand::Rng;

/// Bytes that the longest call is made from.
const OP_BYTES: usize = 160;

/// A call of any kind.
fn op(random: &mut Rng) -> Op {
    let mut bytes = [0; OP_BYTES];
    loop {
        random.fill(&mut bytes);
        if let Ok(op) = Op::arbitrary(&mut Unstructured::new(&bytes)) {
            // It takes long, and leaves little to try on.
            if !matches!(op, Op::Rebind(_)) || random.u8(..) < 16 {
                return op;
            }
        }
    }
}

/// A program from nothing: it opens a device and makes something, as most calls need that.
pub fn new(random: &mut Rng) -> Program {
    let wanted = [
        |op: &Op| matches!(op, Op::Open(_)),
        |op: &Op| matches!(op, Op::Create { .. }),
        |op: &Op| matches!(op, Op::Map { .. }),
    ];
    let mut first = Vec::new();
    for is_wanted in wanted {
        let found = std::iter::repeat_with(|| op(random)).find(is_wanted);
        first.extend(found);
    }
    first.extend((0..random.usize(1..MAX_OPS / 2)).map(|_| op(random)));
    let mut program = Program {
        first,
        ..Program::default()
    };
    if random.u8(..) < 64 {
        let threads = random.usize(1..=MAX_THREADS);
        program.others = (0..threads)
            .map(|_| (0..random.usize(1..8)).map(|_| op(random)).collect())
            .collect();
    }
    surround(&mut program, random);
    program
}

/// What is around the calls.
fn surround(program: &mut Program, random: &mut Rng) {
    program.limit = if random.u8(..) < 20 {
        random.u8(2..40)
    } else {
        0
    };
    program.killed_after = if random.u8(..) < 20 {
        random.u16(1..300)
    } else {
        0
    };
}

/// A program like `old`, with something of `other`.
pub fn changed(old: &Program, other: &Program, random: &mut Rng) -> Program {
    let mut program = old.clone();
    for _ in 0..random.usize(1..4) {
        if random.u8(..) < 12 {
            surround(&mut program, random);
            continue;
        }
        if random.u8(..) < 12 {
            change_threads(&mut program, random);
            continue;
        }
        let thread = random.usize(..=program.others.len());
        let ops = match thread {
            0 => &mut program.first,
            other => &mut program.others[other - 1],
        };
        change(ops, &other.first, random);
        ops.truncate(MAX_OPS);
    }
    program
}

fn change_threads(program: &mut Program, random: &mut Rng) {
    if program.others.len() < MAX_THREADS && random.bool() {
        // What was done one after the other is done at the same time.
        let from = random.usize(..=program.first.len());
        let ops = program.first[from..].to_vec();
        program.others.push(ops);
    } else {
        program.others.pop();
    }
}

fn change(ops: &mut Vec<Op>, others: &[Op], random: &mut Rng) {
    let at = random.usize(..=ops.len());
    let there = ops.get(at).is_some();
    match random.u8(..8) {
        0 | 1 => ops.insert(at, op(random)),
        2 if there => drop(ops.remove(at)),
        3 if there => ops[at] = op(random),
        4 if there => {
            let again = ops[at].clone();
            ops.insert(random.usize(..=ops.len()), again);
        }
        5 if there => {
            let with = random.usize(..ops.len());
            ops.swap(at, with);
        }
        6 if there => {
            ops.insert(
                at,
                Op::Fail {
                    nth: random.u8(1..40),
                },
            );
        }
        7 if !others.is_empty() => {
            let from = random.usize(..others.len());
            let to = random.usize(from..=others.len());
            ops.splice(at..at, others[from..to].iter().cloned());
        }
        _ => ops.push(op(random)),
    }
}

/// Programs that are a little smaller than `program`, the smallest first.
pub fn smaller(program: &Program) -> Vec<Program> {
    let mut smaller = Vec::new();
    let mut add = |change: &dyn Fn(&mut Program)| {
        let mut changed = program.clone();
        change(&mut changed);
        if changed != *program {
            smaller.push(changed);
        }
    };
    add(&|program| program.others.clear());
    add(&|program| program.limit = 0);
    add(&|program| program.killed_after = 0);
    for thread in 0..program.others.len() {
        add(&|program| drop(program.others.remove(thread)));
    }
    let halves = |length: usize| {
        let sizes = std::iter::successors(Some(length.div_ceil(2)), |size| {
            (*size > 1).then_some(size / 2)
        });
        sizes
            .filter(|size| *size > 0)
            .flat_map(move |size| (0..length).step_by(size).map(move |at| (at, size)))
    };
    for (at, size) in halves(program.first.len()) {
        add(&|program| {
            drop(
                program
                    .first
                    .drain(at..(at + size).min(program.first.len())),
            )
        });
    }
    for thread in 0..program.others.len() {
        for (at, size) in halves(program.others[thread].len()) {
            add(&|program| {
                let ops = &mut program.others[thread];
                drop(ops.drain(at..(at + size).min(ops.len())));
            });
        }
    }
    smaller
}
