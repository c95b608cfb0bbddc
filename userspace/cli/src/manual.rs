// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright manual DIR`: the man pages, and what shells complete the command with, as `make install` puts them below
//! `share`.

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::Shell;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where each shell looks.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/mapwright"),
    (Shell::Zsh, "zsh/site-functions/_mapwright"),
    (Shell::Fish, "fish/vendor_completions.d/mapwright.fish"),
];

#[derive(clap::Args)]
pub struct Args {
    /// The directory, which is `share` of a prefix
    dir: PathBuf,
}

/// Writes them.
pub fn run(args: &Args, mut command: Command) -> Result<()> {
    let pages = args.dir.join("man").join("man1");
    make(&pages)?;
    clap_mangen::generate_to(without_help(command.clone()), &pages)
        .with_context(|| format!("writing to {}", pages.display()))?;
    for (shell, file) in SHELLS {
        let file = args.dir.join(file);
        make(file.parent().context("no directory")?)?;
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "mapwright", &mut text);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// A command of which `help` is no command: it needs no page.
fn without_help(command: Command) -> Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// Each command that people see, and those below it.
    fn all(command: &Command) -> Vec<&Command> {
        let below = command
            .get_subcommands()
            .filter(|it| !it.is_hide_set() && it.get_name() != "help");
        std::iter::once(command)
            .chain(below.flat_map(all))
            .collect()
    }

    #[test]
    fn each_command_and_argument_says_what_it_is() {
        let command = crate::Cli::command();
        command.clone().debug_assert();
        for command in all(&command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
                assert!(
                    argument.get_help().is_some(),
                    "{name}: {}",
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn each_command_has_a_page_and_each_shell_its_completion() {
        let dir = std::env::temp_dir().join(format!("mapwright-manual-{}", std::process::id()));
        run(&Args { dir: dir.clone() }, crate::Cli::command()).unwrap();
        let page = |name: &str| fs::read_to_string(dir.join("man/man1").join(name)).unwrap();
        assert!(page("mapwright.1").contains("tour"));
        assert!(page("mapwright-gpio-blink.1").contains("hz"));
        assert!(!dir.join("man/man1/mapwright-gpio-help.1").exists());
        assert!(
            !dir.join("man/man1/mapwright-manual.1").exists(),
            "it is nobody's but make install's"
        );
        for (shell, file) in SHELLS {
            let text = fs::read_to_string(dir.join(file)).unwrap();
            assert!(
                text.contains("caching") && text.contains("vmalloc-remap"),
                "{shell}"
            );
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
