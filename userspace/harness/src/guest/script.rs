// SPDX-License-Identifier: MIT OR Apache-2.0
//! The script that runs in the guest.
//!
//! It speaks to the test harness through three virtio ports: `mapwright.out` and `mapwright.err` carry the
//! command's output, each ended by the run's token; `mapwright.ctl` carries one line per step:
//! `ready` to insert the modules, `fail TEXT`, `running`, `exit STATUS`. After `exit` the guest waits for the test harness's
//! answer, so that nothing is still on its way when the power goes off.

use super::{Boot, Guest};
use shell_words::quote;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Where the tiny guest has the modules.
pub const TINY_MODULES: &str = "/modules";
/// The modules of the kernel's that the tiny guest needs to see the host's files.
pub const TINY_KERNEL_MODULES: &str = "/modules/kernel";

pub const PORT_CONTROL: &str = "mapwright.ctl";
pub const PORT_OUT: &str = "mapwright.out";
pub const PORT_ERR: &str = "mapwright.err";
/// QEMU's monitor.
pub const PORT_MONITOR: &str = "mapwright.monitor";
pub const TAG_REPOSITORY: &str = "mapwright.repo";
pub const TAG_KERNEL: &str = "mapwright.kernel";
pub const TAG_RESULTS: &str = "mapwright.results";

/// Where the guest has what `--results` names.
pub const RESULTS: &str = "/results";

const BODY: &str = include_str!("guest.sh");

/// The whole script. `kernel_modules` are the files the tiny guest inserts first.
pub fn script(guest: &Guest, token: &str, kernel_modules: &[String]) -> String {
    let mut text = "#!/bin/sh\n# Written by mapwright-harness for one run.\n".to_owned();
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}={}", quote(value));
    };
    set("BOOT", &guest.boot.to_string());
    let machine = guest.machine;
    let programs = match guest.has_own_program() {
        true => PathBuf::from("/bin"),
        false => guest.programs.clone(),
    };
    let device = |name: Option<&str>| name.map(|name| format!("/dev/{name}")).unwrap_or_default();
    let console = (!guest.has_ports()).then(|| machine.console());
    set("CONSOLE", &device(console));
    set("TERMINAL", &device(machine.terminal()));
    set("PROGRAMS", &programs.to_string_lossy());
    let repository = guest.sees_repository().then_some(&guest.repository);
    set(
        "REPO",
        &repository.map_or_else(Default::default, |dir| dir.to_string_lossy()),
    );
    set("RELEASE", &guest.kernel.release);
    set("TOKEN", token);
    set(
        "RESULTS",
        if guest.results.is_some() { RESULTS } else { "" },
    );
    set("KERNEL_MODULES", &kernel_modules.join(" "));
    set("MODULES_DIR", &modules_dir(guest));
    let names: Vec<&str> = guest
        .modules
        .iter()
        .map(|module| module.name.as_str())
        .collect();
    set("MODULE_NAMES", &names.join(" "));
    set(
        "TERM_TYPE",
        &std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned()),
    );
    // The guest has only a pipe, but what comes out of it may be seen on a terminal.
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    set("COLOR", if color { "1" } else { "" });
    let command = guest.command.as_deref().unwrap_or_default();
    set("COMMAND", &shell_words::join(command));

    text.push_str("insert_modules() {\n\t:\n");
    for module in &guest.modules {
        let file = match guest.boot {
            Boot::Virtme => module.file.to_string_lossy().into_owned(),
            Boot::Tiny => format!("{TINY_MODULES}/{}", file_name(&module.file)),
        };
        let _ = write!(
            text,
            "\tinsert {} {}",
            quote(&file),
            quote(&module.needs.join(" "))
        );
        for param in &module.params {
            let _ = write!(text, " {}", quote(param));
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "}}\nexec_command() {{\n\texec setsid {}\n}}\n",
        shell_words::join(command)
    );
    text.push_str(BODY);
    text.push_str(if guest.command.is_some() {
        "\nrun\n"
    } else {
        "\nshell\n"
    });
    text
}

/// Where the guest finds the files of the modules that are inserted.
fn modules_dir(guest: &Guest) -> String {
    match (guest.boot, guest.modules.first()) {
        (_, None) => String::new(),
        (Boot::Tiny, _) => TINY_MODULES.to_owned(),
        (Boot::Virtme, Some(module)) => {
            let dir = module.file.parent().unwrap_or(Path::new("/"));
            dir.to_string_lossy().into_owned()
        }
    }
}

pub fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::tests::guest;
    use std::process::{Command, Stdio};

    #[test]
    fn words_are_quoted() {
        let mut guest = guest(Boot::Tiny);
        guest.command = Some(vec!["echo".into(), "it's $HOME; `x`".into()]);
        let text = script(&guest, "token", &["9p.ko".into()]);
        assert!(
            text.contains("exec setsid echo 'it'\\''s $HOME; `x`'\n"),
            "{text}"
        );
        assert!(text.contains("\tinsert /modules/mapwright.ko 'vfio iommufd' 'x=1'\n"));
        assert!(text.ends_with("\nrun\n"));
    }

    #[test]
    fn is_a_shell_script() {
        for boot in [Boot::Tiny, Boot::Virtme] {
            let mut guest = guest(boot);
            for command in [None, Some(vec!["a b".to_owned(), "'".to_owned()])] {
                guest.command = command;
                let text = script(&guest, "token", &[]);
                let checked = Command::new("sh")
                    .args(["-n", "-c", &text])
                    .stdout(Stdio::null())
                    .status()
                    .unwrap();
                assert!(checked.success());
            }
        }
    }
}
