// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was found in all boots, claim by claim.

use mapwright_prove::{Claim, Record, Report, Verdict};
use serde_json::json;

/// What was found in all boots.
pub struct Verdicts {
    pub claims: Vec<&'static Claim>,
    pub boots: Vec<Report>,
    /// What is wrong with the boots themselves.
    pub problems: Vec<String>,
    /// Claims that have not been tried in a boot, and why.
    not_booted: Vec<(&'static str, &'static str)>,
}

/// What was found of a claim, in short.
pub struct Row {
    pub verdict: Option<Verdict>,
    /// How many of its statements are not as the verdict says, in words; or nothing.
    pub but: String,
    /// The deciding figure, of each boot where there are several.
    pub figure: String,
}

impl Row {
    /// The verdict for a person: `partly (2 of 4 statements refuted)`.
    pub fn verdict_text(&self) -> String {
        let verdict = self.verdict.map_or("no verdict", Verdict::name);
        match self.but.as_str() {
            "" => verdict.to_owned(),
            but => format!("{verdict} ({but})"),
        }
    }
}

impl Verdicts {
    pub fn new(claims: &[&'static Claim]) -> Self {
        Self {
            claims: claims.to_vec(),
            boots: Vec::new(),
            problems: Vec::new(),
            not_booted: Vec::new(),
        }
    }

    pub fn not_booted(&mut self, claims: &[&Claim], why: &'static str) {
        self.not_booted
            .extend(claims.iter().map(|claim| (claim.id, why)));
    }

    /// The boots in which `claim` was judged, and what was found.
    pub fn of(&self, claim: &Claim) -> Vec<(&Report, &Record)> {
        let id = claim.id;
        let in_boots = self.boots.iter().flat_map(|report| {
            let records = report.records.iter().filter(move |record| record.id == id);
            records.map(move |record| (report, record))
        });
        in_boots.collect()
    }

    /// The verdict of a claim that was judged in several boots is that of the one which objects most.
    pub fn row(&self, claim: &Claim) -> Row {
        let records = self.of(claim);
        let testable =
            |(_, record): &&(&Report, &Record)| record.verdict != Verdict::NotTestableHere;
        let judged: Vec<_> = records.iter().filter(testable).collect();
        let of_boot = |(report, record): &(&Report, &Record)| match judged.len() {
            1 => record.finding.figure.clone(),
            _ => format!("{}: {}", report.vm, record.finding.figure),
        };
        let objects_most = judged.iter().max_by_key(|(_, record)| record.verdict);
        if let Some((_, record)) = objects_most {
            let figures: Vec<String> = judged.iter().map(|boot| of_boot(boot)).collect();
            return Row {
                verdict: Some(record.verdict),
                but: record.but(),
                figure: figures.join("; "),
            };
        }
        let reason = records
            .first()
            .map(|(_, record)| record.finding.figure.clone());
        let skipped = self.not_booted.iter().find(|(id, _)| *id == claim.id);
        let reason = reason.or(skipped.map(|(_, why)| (*why).to_owned()));
        Row {
            verdict: reason.as_ref().map(|_| Verdict::NotTestableHere),
            but: String::new(),
            figure: reason.unwrap_or_else(|| self.why_no_verdict(claim).to_owned()),
        }
    }

    fn why_no_verdict(&self, claim: &Claim) -> &'static str {
        let is_its = |report: &Report| claim.vms.iter().any(|one| one.name() == report.vm);
        match self.boots.iter().any(is_its) {
            true => "the experiment has failed",
            false => "none of its VMs was booted",
        }
    }

    /// The verdicts as `build/results/prove.json` keeps them.
    pub fn to_json(&self) -> serde_json::Value {
        let lines = self.claims.iter().map(|claim| {
            let row = self.row(claim);
            json!({
                "id": claim.id,
                "title": claim.title,
                "verdict": row.verdict,
                "but": row.but,
                "figure": row.figure,
            })
        });
        json!({
            "verdicts": lines.collect::<Vec<_>>(),
            "boots": self.boots,
            "problems": self.problems,
        })
    }

    /// Prints a row per claim.
    pub fn show(&self) {
        for claim in &self.claims {
            let row = self.row(claim);
            let verdict = row.verdict_text();
            println!("{:<4} {verdict:<18} {}", claim.id, row.figure);
        }
        for problem in &self.problems {
            eprintln!("mapwright-harness: {problem}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mapwright_prove::{Finding, Machine, CLAIMS};

    fn report(vm: &str, verdict: Option<Verdict>) -> Report {
        let finding = Finding::new(format!("figure of {vm}"));
        let finding = match verdict {
            Some(verdict) => finding.statement("it is so", verdict, "seen"),
            None => finding,
        };
        Report {
            vm: vm.into(),
            date: "2026-11-29".into(),
            machine: Machine {
                release: "7.2".into(),
                arch: "x86_64".into(),
                cpus: 2,
                nodes: 1,
                memory_mib: 1000,
                page_size: 4096,
                command_line: String::new(),
            },
            records: vec![Record::new(CLAIMS[0], finding)],
        }
    }

    fn row(boots: Vec<Report>) -> Row {
        let mut verdicts = Verdicts::new(&CLAIMS[..1]);
        verdicts.boots = boots;
        verdicts.row(CLAIMS[0])
    }

    #[test]
    fn the_boot_that_objects_most_decides() {
        let both = row(vec![
            report("a", Some(Verdict::Confirmed)),
            report("b", Some(Verdict::Refuted)),
            report("c", None),
        ]);
        assert_eq!(both.verdict, Some(Verdict::Refuted));
        assert_eq!(both.figure, "a: figure of a; b: figure of b");
    }

    #[test]
    fn the_verdict_tells_how_much_of_it_does_not_hold() {
        let mut boot = report("a", Some(Verdict::Confirmed));
        let finding = boot.records[0].finding.clone();
        let finding = finding.statement("it is old", Verdict::Refuted, "new");
        boot.records[0] = Record::new(CLAIMS[0], finding);
        let row = row(vec![boot]);
        assert_eq!(row.verdict_text(), "partly (1 of 2 statements refuted)");
        assert_eq!(row.figure, "figure of a");
    }

    #[test]
    fn what_was_not_judged_is_never_called_confirmed() {
        assert_eq!(row(vec![]).verdict, None);
        let skipped = row(vec![report("a", None)]);
        assert_eq!(skipped.verdict, Some(Verdict::NotTestableHere));
        assert_eq!(skipped.figure, "figure of a");
    }
}
