// SPDX-License-Identifier: MIT OR Apache-2.0

//! `make load` where the kernel refuses a module: it says why, in a sentence. `insmod` and its like are stand-ins here.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A directory with two modules, which are nothing, and the stand-ins.
struct Place(TempDir);

impl Place {
    /// Where `insmod` says that of the second module, if it says anything.
    fn new(refusal: &str) -> Self {
        let place = Self(TempDir::new().unwrap());
        for module in ["mapwright.ko", "mapwright_gpio.ko"] {
            fs::write(place.path(module), "").unwrap();
        }
        let log = place.path("log").display().to_string();
        let refuse = match refusal {
            "" => String::new(),
            text => format!(
                "case $1 in *_gpio.ko) echo 'insmod: ERROR: could not insert module '$1': {text}' >&2; exit 1;; esac"
            ),
        };
        place.script(
            "insmod",
            &format!("{refuse}\necho \"insmod ${{1##*/}}\" >>{log}"),
        );
        place.script("rmmod", &format!("echo \"rmmod $*\" >>{log}"));
        place.script("modinfo", "");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn load(&self, lockdown: &str) -> Output {
        fs::write(self.path("lockdown"), lockdown).unwrap();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
        let path = std::env::var("PATH").unwrap();
        Command::new(scripts.join("modules"))
            .arg("load")
            .arg(self.0.path())
            .env("PATH", format!("{}:{path}", self.0.path().display()))
            .env("MAPWRIGHT_LOCKDOWN", self.path("lockdown"))
            .output()
            .unwrap()
    }

    fn done(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

const OPEN: &str = "[none] integrity confidentiality\n";
const LOCKED: &str = "none [integrity] confidentiality\n";

#[test]
fn a_refused_module_is_explained() {
    let rejected = "Key was rejected by service";
    let missing = "Required key not available";
    let denied = "Operation not permitted";
    let format = "Invalid module format";
    for (refusal, lockdown, words) in [
        (
            rejected,
            OPEN,
            &["signed", "Secure Boot", "docs/secure-boot.md"][..],
        ),
        (
            rejected,
            LOCKED,
            &["signed", "Secure Boot", "docs/secure-boot.md"],
        ),
        (
            missing,
            OPEN,
            &["signed", "module.sig_enforce=1", "docs/secure-boot.md"],
        ),
        (format, OPEN, &["another kernel", "make"]),
        ("No such device", OPEN, &[]),
    ] {
        expect_words(refusal, lockdown, words);
    }
    let words: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &["locked down (integrity)", "signed", "docs/secure-boot.md"],
        false => &["takes root"],
    };
    expect_words(denied, LOCKED, words);
}

/// Fails unless what the kernel says is told, and explained by a sentence with these words.
fn expect_words(refusal: &str, lockdown: &str, words: &[&str]) {
    let place = Place::new(refusal);
    let output = place.load(lockdown);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{refusal}: {said}");
    assert!(said.contains(refusal), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 1 + usize::from(!words.is_empty()), "{said}");
    for word in words {
        assert!(lines[1].contains(word), "no {word:?} in {said}");
    }
    // All or none.
    assert_eq!(place.done(), "insmod mapwright.ko\nrmmod mapwright\n");
}

#[test]
fn what_is_not_refused_is_inserted() {
    let place = Place::new("");
    let output = place.load(OPEN);
    let said = String::from_utf8_lossy(&output.stderr);
    // On a machine that has them, nothing would be inserted.
    if !Path::new("/sys/module/mapwright").exists() {
        assert!(output.status.success() && said.is_empty(), "{said}");
        assert_eq!(
            place.done(),
            "insmod mapwright.ko\ninsmod mapwright_gpio.ko\n"
        );
    }
}

#[test]
fn its_page_exists() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(repository.join("docs/secure-boot.md")).unwrap();
    for word in [
        "sign-file",
        "mokutil --import",
        "Key was rejected by service",
    ] {
        assert!(page.contains(word), "{word}");
    }
}
