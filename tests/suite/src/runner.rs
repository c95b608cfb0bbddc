// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs the tests one after the other and prints KTAP.

use crate::{LEFT_BEHIND, SUITES};
use anyhow::{bail, ensure, Result};
use mapwright_prove::NotTestable;
use std::{
    any::Any,
    cell::RefCell,
    fmt,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Of a test that takes longer than this, its result tells how long.
const SLOW: Duration = Duration::from_secs(1);

/// Tests of one subject.
pub struct Suite {
    pub name: &'static str,
    pub cases: fn() -> Vec<Case>,
}

/// What a test does.
type Run = dyn Fn(&Context) -> Result<()>;

/// A test.
pub struct Case {
    pub name: String,
    pub run: Box<Run>,
}

impl Case {
    /// A test `name` that does `run`.
    pub fn new(name: impl Into<String>, run: impl Fn(&Context) -> Result<()> + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// A suite whose tests are named like their functions.
macro_rules! suite {
    ($name:literal: $($case:ident),* $(,)?) => {
        pub const SUITE: $crate::runner::Suite = $crate::runner::Suite {
            name: $name,
            cases: || vec![$($crate::runner::Case::new(stringify!($case), $case)),*],
        };
    };
}
pub(crate) use suite;

/// What the tests are told.
pub struct Context {
    modules: Option<PathBuf>,
    notes: RefCell<Vec<String>>,
}

impl Context {
    /// The file of `mapwright.ko`, or a skip.
    pub fn module(&self) -> Result<PathBuf> {
        self.module_named("mapwright")
    }

    /// The file of a module, or a skip.
    pub fn module_named(&self, name: &str) -> Result<PathBuf> {
        let file = self.modules()?.join(format!("{name}.ko"));
        ensure!(file.exists(), "{} does not exist", file.display());
        Ok(file)
    }

    /// The directory that the modules are in, or a skip.
    pub fn modules(&self) -> Result<&Path> {
        match &self.modules {
            Some(dir) => Ok(dir),
            None => skip("it inserts and removes modules: say --modules DIR"),
        }
    }

    /// Has something told beside the test's result.
    pub fn note(&self, text: String) {
        self.notes.borrow_mut().push(text);
    }
}

/// Why a test was not run.
#[derive(Debug)]
struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends a test that cannot be run here.
pub fn skip<T>(reason: impl Into<String>) -> Result<T> {
    Err(Skip(reason.into()).into())
}

/// Which tests: by what their `suite.test` names contain.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// One of these; if there are none, any name will do.
    pub with: &'a [String],
    pub without: &'a [String],
}

impl Choice<'_> {
    fn takes(&self, name: &str) -> bool {
        let has = |texts: &[String]| texts.iter().any(|text| name.contains(text));
        (self.with.is_empty() || has(self.with)) && !has(self.without)
    }
}

/// Names of the chosen tests.
pub fn names(choice: Choice) -> Vec<String> {
    selected(choice)
        .iter()
        .flat_map(|(suite, cases)| cases.iter().map(|case| full_name(suite, case)))
        .collect()
}

/// Runs the chosen tests. Returns whether none failed.
pub fn run(choice: Choice, modules: Option<&Path>) -> Result<bool> {
    let selected = selected(choice);
    if selected.is_empty() {
        bail!("no test's name is like that: `mapwright test --list` shows them");
    }
    let context = Context {
        modules: modules.map(Path::to_owned),
        notes: RefCell::default(),
    };
    panic::set_hook(Box::new(|_| ()));
    let mut out = ktap::Writer::new(std::io::stdout());
    out.version()?;
    out.plan(selected.len())?;
    let mut all_passed = true;
    for (suite, cases) in selected {
        let mut group = out.suite(suite.name, cases.len())?;
        for case in &cases {
            let begun = Instant::now();
            let result = run_case(case, &context);
            let took = begun.elapsed();
            if took > SLOW {
                context.note(format!("took {:.1} s", took.as_secs_f32()));
            }
            all_passed &= !matches!(result, ktap::Outcome::Failed(_));
            for note in context.notes.take() {
                group.diagnostic(&note)?;
            }
            group.result(&case.name, &result)?;
        }
        group.end()?;
    }
    Ok(all_passed)
}

fn selected(choice: Choice) -> Vec<(&'static Suite, Vec<Case>)> {
    SUITES
        .iter()
        .map(|suite| {
            let mut cases = (suite.cases)();
            cases.retain(|case| choice.takes(&full_name(suite, case)));
            (suite, cases)
        })
        .filter(|(_, cases)| !cases.is_empty())
        .collect()
}

fn full_name(suite: &Suite, case: &Case) -> String {
    format!("{}.{}", suite.name, case.name)
}

fn run_case(case: &Case, context: &Context) -> ktap::Outcome {
    let ran = panic::catch_unwind(AssertUnwindSafe(|| (case.run)(context)));
    let result = ran.unwrap_or_else(|panic| bail!("panicked: {}", panic_text(&*panic)));
    let left = || LEFT_BEHIND.iter().try_for_each(|is_clean| is_clean());
    match result.and_then(|()| left()) {
        Ok(()) => ktap::Outcome::Passed,
        Err(err) => {
            let skipped = err.downcast_ref::<Skip>().map(Skip::to_string);
            let lacking = err
                .downcast_ref::<NotTestable>()
                .map(NotTestable::to_string);
            match skipped.or(lacking) {
                Some(reason) => ktap::Outcome::Skipped(reason),
                None => ktap::Outcome::Failed(format!("{err:#}")),
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
