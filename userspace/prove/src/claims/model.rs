// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the claims about the seven small programs share.

use crate::{
    finding::plural,
    models::{check, Comparison},
    Finding, Table, Verdict,
};
use anyhow::Result;
use mapwright_models::{run, Kind};

/// The document's example, done by the model and by the kernel.
pub fn compared(kind: Kind, says: &str) -> Result<(Comparison, Finding)> {
    let comparison = check(kind, kind.example())?;
    let all = comparison.steps.len();
    let same = comparison.steps.iter().filter(|step| step.agrees).count();
    let mut table = Table::new(
        format!("The steps of `mapwright model {} --check`", kind.name()),
        ["step", "the model", "the kernel", "the same"],
    );
    for step in &comparison.steps {
        table.row([
            step.step.clone(),
            step.model.clone(),
            step.kernel.clone(),
            if step.agrees { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let compared = format!("{same} of {} agree", plural(all, "comparison"));
    let finding = Finding::new(compared.clone())
        .statement(says, Verdict::of(comparison.agrees), compared)
        .table(table);
    let finding = comparison
        .evidence
        .iter()
        .fold(finding, |finding, table| finding.table(table.clone()));
    Ok((comparison, finding))
}

/// What the model says of its last step, in the example.
pub fn last_of_example(kind: Kind) -> Result<String> {
    let transcript = run(kind, kind.example())?;
    Ok(transcript
        .rows()
        .last()
        .map(|row| row.last.clone())
        .unwrap_or_default())
}
