// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was found, as it is kept: the JSON of `mapwright prove`.

use crate::{Claim, Finding, Machine, Verdict};
use serde::{Deserialize, Serialize};

/// What was found on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The rig's name for the machine; empty where the rig did not boot it.
    pub shape: String,
    /// The machine.
    pub machine: Machine,
    /// A record per claim.
    pub records: Vec<Record>,
}

/// What was found of one claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The claim.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// What the documents say.
    pub says: String,
    /// The verdict of the claim's core.
    pub verdict: Verdict,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Record {
    /// What was found of `claim`.
    pub fn new(claim: &Claim, finding: Finding) -> Self {
        Self {
            id: claim.id.to_owned(),
            title: claim.title.to_owned(),
            says: claim.says.to_owned(),
            verdict: finding.verdict(),
            finding,
        }
    }

    /// What of the documents' further statements does not hold: `1 of 3 statements refuted`. Empty if
    /// all are like the first.
    pub fn but(&self) -> String {
        let all = &self.finding.statements;
        let others = [Verdict::Refuted, Verdict::Outdated, Verdict::Config];
        let others = others.iter().filter(|other| **other != self.verdict);
        let counted = others.filter_map(|other| {
            let count = all.iter().filter(|one| one.verdict == *other).count();
            (count > 0).then(|| format!("{count} of {} statements {other}", all.len()))
        });
        counted.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_statement_decides_and_the_others_are_counted() {
        let finding = Finding::new("1 of 2")
            .statement("it is green", Verdict::Confirmed, "green")
            .statement("it is old", Verdict::Refuted, "new");
        let record = Record::new(crate::CLAIMS[0], finding);
        assert_eq!(record.verdict, Verdict::Confirmed);
        assert_eq!(record.but(), "1 of 2 statements refuted");
    }

    #[test]
    fn nothing_judged_is_not_confirmed() {
        let record = Record::new(crate::CLAIMS[0], Finding::new("no second node"));
        assert_eq!(record.verdict, Verdict::NotTestableHere);
        assert_eq!(record.but(), "");
    }
}
