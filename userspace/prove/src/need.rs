// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an experiment cannot be done without.

use crate::Machine;
use std::path::Path;

/// What an experiment cannot be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A module of the project: `mapwright_alloc`.
    Module(&'static str),
    /// At least so many processors.
    Cpus(usize),
    /// At least so many NUMA nodes.
    Nodes(usize),
    /// One of these architectures, as `uname -m` calls them.
    Arch(&'static [&'static str]),
    /// A word of the kernel's command line: `nokaslr`, `slab_debug`.
    BootParameter(&'static str),
    /// A file of the kernel's, and what makes it be there.
    File(&'static str, &'static str),
    /// Patience: it fills memory, or waits for the kernel's own threads, for so many seconds in an emulated VM.
    Seconds(u32),
}

impl Need {
    /// What the machine lacks for it, if it does.
    pub fn lacking(self, machine: &Machine) -> Option<String> {
        match self {
            Self::Module(name) => {
                let loaded = Path::new("/sys/module").join(name).exists();
                (!loaded).then(|| {
                    format!("the module {name} is not loaded: load it first (`sudo make load`)")
                })
            }
            Self::Cpus(count) => (machine.cpus < count).then(|| {
                format!(
                    "it needs {count} processors, and there are {}",
                    machine.cpus
                )
            }),
            Self::Nodes(count) => (machine.nodes < count).then(|| {
                format!(
                    "it needs {count} NUMA nodes, and there are {}",
                    machine.nodes
                )
            }),
            Self::Arch(names) => (!names.contains(&machine.arch.as_str())).then(|| {
                let names = names.join(" or ");
                format!("it needs {names}, and this is {}", machine.arch)
            }),
            Self::BootParameter(word) => (!machine.booted_with(word))
                .then(|| format!("it needs a kernel that was booted with {word}")),
            Self::File(path, from) => {
                (!Path::new(path).exists()).then(|| format!("{path} is not there: it needs {from}"))
            }
            Self::Seconds(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named() {
        let machine = Machine {
            release: "7.2".into(),
            arch: "x86_64".into(),
            cpus: 1,
            nodes: 1,
            memory_mib: 1000,
            page_size: 4096,
            command_line: "quiet slab_debug=U".into(),
        };
        let lacking = |need: Need| need.lacking(&machine);
        assert!(lacking(Need::Cpus(2)).unwrap().contains("2 processors"));
        assert!(lacking(Need::Nodes(2)).is_some() && lacking(Need::Nodes(1)).is_none());
        assert!(lacking(Need::BootParameter("slab_debug")).is_none());
        assert!(lacking(Need::BootParameter("slab")).is_some());
        assert!(lacking(Need::Arch(&["armv7l"])).unwrap().contains("x86_64"));
        assert!(lacking(Need::File("/proc/none", "CONFIG_NONE")).is_some());
        let not_loaded = lacking(Need::Module("mapwright_none")).unwrap();
        assert!(not_loaded.contains("mapwright_none") && not_loaded.contains("make load"));
    }
}
