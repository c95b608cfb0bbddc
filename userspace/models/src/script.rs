// SPDX-License-Identifier: MIT OR Apache-2.0

//! Scripts: a step per line, as words. What follows a `#` is a comment.

use crate::{
    transcript::{Row, State, Step, Transcript},
    Kind,
};
use std::str::SplitWhitespace;
use thiserror::Error;

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {says}")]
pub struct Wrong {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong, in a sentence.
    pub says: String,
}

/// What a step comes to: its rows, or what is wrong with it.
pub type Done = Result<Vec<Row>, String>;

/// A model that does steps.
pub trait Model {
    /// Whether a step with this first word is about what there is before the first other step.
    fn is_setup(word: &str) -> bool;

    /// Begins, with what the document begins with if no step said anything else.
    fn begin(&mut self) -> Done;

    /// Does a step. `word` is the first of it, `rest` what follows. `None` if it is not known.
    fn step(&mut self, word: &str, rest: &mut Words) -> Option<Done>;

    /// The names of the table's columns, after the last step.
    fn columns(&self) -> Vec<String>;

    /// What there is now.
    fn state(&self) -> State;
}

/// The steps of a script: the number of each line, and its words.
pub fn steps(script: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = script.lines().zip(1..).map(|(line, number)| {
        let code = line.split('#').next().unwrap_or("");
        (number, code.trim())
    });
    lines.filter(|(_, code)| !code.is_empty())
}

/// Has a model do a script.
pub fn run<M: Model>(kind: Kind, script: &str, mut model: M) -> Result<Transcript, Wrong> {
    let mut all_steps = Vec::new();
    let mut begun = false;
    for (line, text) in steps(script) {
        let wrong = |says| Wrong { line, says };
        let mut rest = Words::new(text);
        let word = rest.next().unwrap_or("");
        match (M::is_setup(word), begun) {
            (true, true) => {
                let says = format!("{word} must come before all other steps");
                return Err(wrong(says));
            }
            (false, false) => {
                begun = true;
                all_steps.push(begin(&mut model).map_err(wrong)?);
            }
            _ => {}
        }
        let Some(done) = model.step(word, &mut rest) else {
            return Err(wrong(unknown(kind, word)));
        };
        let rows = done.map_err(wrong)?;
        rest.end().map_err(wrong)?;
        if begun {
            all_steps.push(Step {
                line,
                text: text.to_owned(),
                rows,
                state: model.state(),
            });
        }
    }
    if !begun {
        let line = script.lines().count().max(1);
        all_steps.push(begin(&mut model).map_err(|says| Wrong { line, says })?);
    }
    Ok(Transcript {
        model: kind.name(),
        title: kind.title(),
        columns: model.columns(),
        steps: all_steps,
        notes: kind.notes(),
    })
}

fn begin<M: Model>(model: &mut M) -> Result<Step, String> {
    Ok(Step {
        line: 0,
        text: String::new(),
        rows: model.begin()?,
        state: model.state(),
    })
}

fn unknown(kind: Kind, word: &str) -> String {
    let known = kind
        .steps()
        .iter()
        .filter_map(|step| step.split(' ').next());
    let known: Vec<&str> = known.collect();
    format!(
        "there is no step {word}: the model {} knows {}",
        kind.name(),
        known.join(", ")
    )
}

/// The words of a step.
pub struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    pub fn new(text: &'a str) -> Self {
        Self(text.split_whitespace())
    }

    /// The next word, if there is one.
    pub fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// The next word, which must be there.
    pub fn word(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// The next word, which must be a number.
    pub fn number(&mut self, what: &str) -> Result<u64, String> {
        number(self.word(what)?, what)
    }

    /// The next word, which must be a number from 1 to `most`; `otherwise` if there is none.
    pub fn count(&mut self, what: &str, otherwise: u64, most: u64) -> Result<u64, String> {
        let Some(word) = self.next() else {
            return Ok(otherwise);
        };
        match number(word, what)? {
            count if (1..=most).contains(&count) => Ok(count),
            count => Err(format!("{what} is {count}, not 1 to {most}")),
        }
    }

    /// Fails if there is a further word.
    pub fn end(&mut self) -> Result<(), String> {
        match self.next() {
            Some(word) => Err(format!("{word} is too much: the step ends before it")),
            None => Ok(()),
        }
    }
}

/// A number as scripts have them: decimal, or hexadecimal with `0x`.
///
/// # Errors
///
/// A sentence if it is none.
pub fn parse(word: &str) -> Result<u64, String> {
    number(word, "the number")
}

/// A number: decimal, or hexadecimal with `0x`.
pub fn number(word: &str, what: &str) -> Result<u64, String> {
    let digits = word.replace('_', "");
    let parsed = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    parsed.map_err(|_| format!("{what} is {word}, which is no number"))
}

/// An address, as the document writes it: `0xA000`.
pub fn hex(address: u64) -> String {
    format!("0x{address:X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_are_no_steps() {
        let script = "# first\n\nalloc 1 # two pages\n  free 0x1000\n";
        let parsed: Vec<_> = steps(script).collect();
        assert_eq!(parsed, [(3, "alloc 1"), (4, "free 0x1000")]);
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(number("0xffff_8880", "x"), Ok(0xffff_8880));
        assert_eq!(number("12", "x"), Ok(12));
        assert!(number("0x", "the address")
            .unwrap_err()
            .contains("no number"));
    }
}
