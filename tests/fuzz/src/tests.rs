// SPDX-License-Identifier: MIT OR Apache-2.0

//! What needs no kernel: programs are made, changed, written and read.

use crate::corpus::{parse, text};
use crate::mutate::{changed, new, smaller};
use crate::program::{Program, MAX_OPS, MAX_THREADS};
use fastrand::Rng;

fn programs() -> impl Iterator<Item = Program> {
    let mut random = Rng::with_seed(7);
    std::iter::successors(Some(new(&mut random)), move |last| {
        let other = new(&mut random);
        Some(changed(last, &other, &mut random))
    })
}

fn calls(program: &Program) -> usize {
    program.first.len() + program.others.iter().map(Vec::len).sum::<usize>()
}

#[test]
fn a_program_is_read_as_it_was_written() {
    for program in programs().take(300) {
        let text = text(&program).expect("a program can be written");
        assert_eq!(parse(&text).expect("and read"), program, "{text}");
    }
}

#[test]
fn the_same_seed_makes_the_same_programs() {
    assert!(programs().take(100).eq(programs().take(100)));
}

#[test]
fn programs_stay_within_their_limits() {
    for program in programs().take(1000) {
        assert!(program.others.len() <= MAX_THREADS);
        assert!(
            program.first.len() <= MAX_OPS + 1,
            "{}",
            program.first.len()
        );
    }
}

#[test]
fn what_is_smaller_is_and_ends_with_nothing() {
    for mut program in programs().take(20) {
        while let Some(least) = smaller(&program).into_iter().next() {
            let around = |program: &Program| {
                (
                    calls(program),
                    program.limit,
                    program.killed_after,
                    program.others.len(),
                )
            };
            assert!(around(&least) < around(&program));
            program = least;
        }
        assert_eq!(program, Program::default());
    }
}
