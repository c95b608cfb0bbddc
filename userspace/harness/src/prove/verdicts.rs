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
pub struct Line {
    pub verdict: Option<Verdict>,
    /// How many of its statements are not as the verdict says, in words; or nothing.
    pub but: String,
    /// The deciding figure, of each boot where there are several.
    pub figure: String,
}

impl Line {
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
    pub fn line(&self, claim: &Claim) -> Line {
        let found = self.of(claim);
        let testable =
            |(_, record): &&(&Report, &Record)| record.verdict != Verdict::NotTestableHere;
        let judged: Vec<_> = found.iter().filter(testable).collect();
        let of_boot = |(report, record): &(&Report, &Record)| match judged.len() {
            1 => record.finding.figure.clone(),
            _ => format!("{}: {}", report.vm, record.finding.figure),
        };
        let objects_most = judged.iter().max_by_key(|(_, record)| record.verdict);
        if let Some((_, record)) = objects_most {
            let figures: Vec<String> = judged.iter().map(|boot| of_boot(boot)).collect();
            return Line {
                verdict: Some(record.verdict),
                but: record.but(),
                figure: figures.join("; "),
            };
        }
        let reason = found
            .first()
            .map(|(_, record)| record.finding.figure.clone());
        let skipped = self.not_booted.iter().find(|(id, _)| *id == claim.id);
        let reason = reason.or(skipped.map(|(_, why)| (*why).to_owned()));
        Line {
            verdict: reason.as_ref().map(|_| Verdict::NotTestableHere),
            but: String::new(),
            figure: reason.unwrap_or_else(|| self.why_no_verdict(claim).to_owned()),
        }
    }

    fn why_no_verdict(&self, claim: &Claim) -> &'static str {
        let is_its = |report: &Report| claim.vms.iter().any(|one| one.name() == report.vm);
        match self.boots.iter().any(is_its) {
            true => "the experiment has failed",
            false => "none of its machines was booted",
        }
    }

    /// As it is kept.
    pub fn to_json(&self) -> serde_json::Value {
        let lines = self.claims.iter().map(|claim| {
            let line = self.line(claim);
            json!({
                "id": claim.id,
                "title": claim.title,
                "verdict": line.verdict,
                "but": line.but,
                "figure": line.figure,
            })
        });
        json!({
            "verdicts": lines.collect::<Vec<_>>(),
            "boots": self.boots,
            "problems": self.problems,
        })
    }

    /// Prints a line per claim.
    pub fn show(&self) {
        for claim in &self.claims {
            let line = self.line(claim);
            let verdict = line.verdict_text();
            println!("{:<4} {verdict:<18} {}", claim.id, line.figure);
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

    fn line(boots: Vec<Report>) -> Line {
        let mut verdicts = Verdicts::new(&CLAIMS[..1]);
        verdicts.boots = boots;
        verdicts.line(CLAIMS[0])
    }

    #[test]
    fn the_boot_that_objects_most_decides() {
        let both = line(vec![
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
        let line = line(vec![boot]);
        assert_eq!(line.verdict_text(), "partly (1 of 2 statements refuted)");
        assert_eq!(line.figure, "figure of a");
    }

    #[test]
    fn what_was_not_judged_is_never_called_confirmed() {
        assert_eq!(line(vec![]).verdict, None);
        let skipped = line(vec![report("a", None)]);
        assert_eq!(skipped.verdict, Some(Verdict::NotTestableHere));
        assert_eq!(skipped.figure, "figure of a");
    }
}
