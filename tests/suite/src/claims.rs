// SPDX-License-Identifier: MIT OR Apache-2.0

//! The experiments of `mapwright prove`, a test each. It fails when the experiment cannot be done or
//! contradicts itself, not when a textbook is wrong.

use crate::runner::{skip, Case, Context, Suite};
use anyhow::{ensure, Result};
use mapwright_prove::{Claim, Lab, Verdict, CLAIMS};

pub const SUITE: Suite = Suite {
    name: "claims",
    cases: || CLAIMS.iter().map(|claim| case(claim)).collect(),
};

fn case(claim: &'static Claim) -> Case {
    Case::new(claim.id, move |context| is_judged(context, claim))
}

fn is_judged(context: &Context, claim: &Claim) -> Result<()> {
    let record = Lab::here(Vec::new())?.prove(claim)?;
    if record.verdict == Verdict::NotTestableHere {
        return skip(record.finding.figure);
    }
    context.note(format!("{}: {}", record.verdict, record.finding.figure));
    for table in &record.finding.tables {
        let whole = |row: &Vec<String>| row.len() == table.columns.len();
        ensure!(
            table.rows.iter().all(whole),
            "the table “{}” has holes: {:?}",
            table.title,
            table.rows
        );
    }
    Ok(())
}
