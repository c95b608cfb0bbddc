// SPDX-License-Identifier: MIT OR Apache-2.0
//! What VMs found in a run that did not get to its end, for the next run.

use super::{write_json, Job};
use anyhow::Result;
use mapwright_prove::Report;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What one VM found, as it is kept.
#[derive(Serialize, Deserialize)]
struct OfVm {
    /// The claims, and what programs and modules judged them.
    by: String,
    report: Report,
}

/// What is kept, in a directory per VM.
pub(super) struct Kept {
    dir: PathBuf,
    programs: String,
}

impl Kept {
    /// What `dir` has kept from a run with the same programs and modules, which are in `build`.
    pub(super) fn of(dir: &Path, build: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            programs: programs(build),
        }
    }

    fn file(&self, job: &Job) -> PathBuf {
        self.dir.join(job.build.vm.name()).join("kept.json")
    }

    fn by(&self, job: &Job) -> String {
        let ids: Vec<&str> = job.claims.iter().map(|claim| claim.id).collect();
        format!("{} by {}", ids.join(" "), self.programs)
    }

    /// What a VM found before, if it was the same.
    pub(super) fn report(&self, job: &Job) -> Option<Report> {
        let text = fs::read(self.file(job)).ok()?;
        let kept: OfVm = serde_json::from_slice(&text).ok()?;
        (kept.by == self.by(job)).then_some(kept.report)
    }

    /// Keeps what a VM has found.
    pub(super) fn keep(&self, job: &Job, report: &Report) -> Result<()> {
        let kept = OfVm {
            by: self.by(job),
            report: report.clone(),
        };
        write_json(&self.file(job), &kept)
    }

    /// The run got to its end: the next one begins anew.
    pub(super) fn forget(&self, jobs: &[Job]) {
        for job in jobs {
            // There need not be one.
            let _ = fs::remove_file(self.file(job));
        }
    }
}

/// The programs and modules below `build`, with their sizes and when they were built.
fn programs(build: &Path) -> String {
    let inside = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let mut programs: Vec<String> = inside(build)
        .flat_map(|entry| inside(&entry.path()).collect::<Vec<_>>())
        .map(|entry| entry.path())
        .filter(|path| path.ends_with("mapwright") || path.extension().is_some_and(|it| it == "ko"))
        .filter_map(|path| {
            let data = fs::metadata(&path).ok()?;
            let built = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(format!(
                "{} {} {}",
                path.display(),
                data.len(),
                built.as_nanos()
            ))
        })
        .collect();
    programs.sort();
    programs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vms::USUAL;
    use mapwright_prove::{Machine, CLAIMS};

    fn job(claims: usize) -> Job {
        Job {
            build: &USUAL,
            claims: CLAIMS[..claims].to_vec(),
        }
    }

    fn report() -> Report {
        Report {
            vm: "normal".into(),
            date: "2026-11-29".into(),
            machine: Machine {
                release: "7.3".into(),
                arch: "x86_64".into(),
                cpus: 2,
                nodes: 1,
                memory_mib: 1000,
                page_size: 4096,
                command_line: String::new(),
            },
            records: vec![],
        }
    }

    #[test]
    fn only_the_same_is_taken_from_before() {
        let dir = tempfile::tempdir().unwrap();
        let (results, build) = (dir.path().join("results"), dir.path().join("build"));
        fs::create_dir_all(results.join("normal")).unwrap();
        fs::create_dir_all(build.join("bin")).unwrap();
        let kept = Kept::of(&results, &build);
        assert_eq!(kept.report(&job(2)), None);
        kept.keep(&job(2), &report()).unwrap();
        assert_eq!(kept.report(&job(2)), Some(report()));
        assert_eq!(kept.report(&job(1)), None, "other claims");
        fs::write(build.join("bin/mapwright"), "another").unwrap();
        assert_eq!(
            Kept::of(&results, &build).report(&job(2)),
            None,
            "another program"
        );
        kept.forget(&[job(2)]);
        assert_eq!(kept.report(&job(2)), None, "its run has ended");
    }
}
