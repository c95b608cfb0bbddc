// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was found, as it is kept: the JSON of `mapwright prove`.

use crate::{Claim, Finding, Machine, Verdict};
use serde::{Deserialize, Serialize};

/// What was found on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The test harness's name for the VM; empty where the test harness did not boot one.
    pub vm: String,
    /// When the test harness booted it; empty where it did not.
    pub date: String,
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
    /// The verdict of the claim.
    pub verdict: Verdict,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Record {
    /// What was found of `claim`.
    pub fn new(claim: &Claim, finding: Finding) -> Self {
        let finding = finding.with_sources(claim.sources);
        Self {
            id: claim.id.to_owned(),
            title: claim.title.to_owned(),
            says: claim.says.to_owned(),
            verdict: finding.verdict(),
            finding,
        }
    }

    /// The statements that are not as the verdict says: `1 of 3 statements refuted`. Empty if all are.
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
    fn what_does_not_hold_is_counted() {
        let finding = Finding::new("1 of 2")
            .statement("it is green", Verdict::Confirmed, "green")
            .statement("it is old", Verdict::Refuted, "new");
        let record = Record::new(crate::CLAIMS[0], finding);
        assert_eq!(record.verdict, Verdict::Partly);
        assert_eq!(record.but(), "1 of 2 statements refuted");
    }

    #[test]
    fn a_claim_is_what_all_of_its_statements_are() {
        use Verdict::{Config, Confirmed, Outdated, Partly, Refuted};
        let verdict = |all: &[Verdict]| {
            let add = |finding: Finding, verdict| finding.statement("it is so", verdict, "seen");
            let finding = all.iter().copied().fold(Finding::new("figure"), add);
            finding.verdict()
        };
        assert_eq!(verdict(&[Confirmed, Confirmed]), Confirmed);
        assert_eq!(verdict(&[Confirmed, Config]), Confirmed);
        assert_eq!(verdict(&[Config, Confirmed]), Config);
        assert_eq!(verdict(&[Refuted, Refuted]), Refuted);
        assert_eq!(verdict(&[Outdated, Refuted]), Outdated);
        assert_eq!(verdict(&[Refuted, Confirmed]), Partly);
        assert_eq!(verdict(&[Confirmed, Outdated, Config]), Partly);
    }

    #[test]
    fn nothing_judged_is_not_confirmed() {
        let record = Record::new(crate::CLAIMS[0], Finding::new("no second node"));
        assert_eq!(record.verdict, Verdict::NotTestableHere);
        assert_eq!(record.but(), "");
    }
}
