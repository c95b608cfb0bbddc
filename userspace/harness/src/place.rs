// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where things are: the repository, the cache, the kernel and the modules.

use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KERNELS: &str = "/usr/lib/modules";

/// The repository: above this program, or above the current directory.
pub fn repository() -> Result<PathBuf> {
    let exe = env::current_exe().context("cannot find out where mapwright-harness itself is")?;
    let here = env::current_dir().context("the current directory does not exist any more")?;
    let is_it = |dir: &&Path| dir.join("userspace/harness/Cargo.toml").is_file();
    let root = here.ancestors().find(is_it);
    let root = root.or_else(|| exe.ancestors().find(is_it));
    let Some(root) = root else {
        bail!("this is not mapwright's repository: change to it and try again");
    };
    Ok(root.to_owned())
}

/// The cache directory, which `scripts/in-root` passes on.
pub fn cache() -> Result<PathBuf> {
    match env::var_os("MAPWRIGHT_CACHE") {
        Some(dir) if !dir.is_empty() => Ok(dir.into()),
        _ => bail!("MAPWRIGHT_CACHE is not set: start this through scripts/in-root"),
    }
}

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub release: String,
    pub image: PathBuf,
    /// The modules that belong to this kernel.
    pub modules: PathBuf,
}

impl Kernel {
    /// Whether its headers say that it, or a module of its, was built with `CONFIG_…`.
    pub fn has(&self, option: &str) -> bool {
        let config = fs::read_to_string(self.modules.join("build/.config")).unwrap_or_default();
        config
            .lines()
            .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='))
            .any(|(name, value)| name == option && ["y", "m"].contains(&value))
    }

    /// The file of a device tree that comes with it.
    pub fn device_tree(&self, name: &str) -> String {
        let file = self.modules.join("dtb").join(name).with_extension("dtb");
        file.to_string_lossy().into_owned()
    }
}

/// The kernel of `release`; without it the only kernel, or the one that modules were built for.
pub fn kernel(repository: &Path, release: Option<&str>) -> Result<Kernel> {
    let mut installed: Vec<String> = fs::read_dir(KERNELS)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("vmlinuz").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    installed.sort();
    let release = match release {
        Some(release) if installed.iter().any(|r| r == release) => release.to_owned(),
        Some(release) if installed.is_empty() => {
            bail!("there is no kernel {release} in {KERNELS}: run `make setup`")
        }
        Some(release) => bail!(
            "there is no kernel {release}: choose one of {}",
            installed.join(", ")
        ),
        None => choose(repository, &installed)?,
    };
    let modules = Path::new(KERNELS).join(&release);
    Ok(Kernel {
        image: modules.join("vmlinuz"),
        modules,
        release,
    })
}

/// The kernel of a directory that scripts/debug-kernel made.
pub fn kernel_in(dir: &Path) -> Result<Kernel> {
    let file = dir.join("build/include/config/kernel.release");
    let release = fs::read_to_string(&file);
    let release =
        release.with_context(|| format!("cannot read {}: is there a kernel?", file.display()))?;
    Ok(Kernel {
        release: release.trim().to_owned(),
        image: dir.join("vmlinuz"),
        modules: dir.to_owned(),
    })
}

fn choose(repository: &Path, installed: &[String]) -> Result<String> {
    let is_built = |release: &&String| {
        let dir = repository.join("build").join(release);
        objects(&dir).is_ok_and(|files| !files.is_empty())
    };
    let built: Vec<&String> = installed.iter().filter(is_built).collect();
    match (installed, built.as_slice()) {
        ([], _) => bail!("there is no kernel in {KERNELS}: run `make setup`"),
        ([only], _) => Ok(only.clone()),
        (_, [only]) => Ok((*only).clone()),
        _ => bail!(
            "there are several kernels: choose one with --kernel: {}",
            installed.join(", ")
        ),
    }
}

/// One module to insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    pub name: String,
    pub file: PathBuf,
    /// Modules of the kernel it needs.
    pub needs: Vec<String>,
    pub params: Vec<String>,
}

/// The *.ko files of a directory.
fn objects(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "ko"))
        .collect();
    files.sort();
    Ok(files)
}

/// The modules of a directory, in the order in which they can be inserted.
pub fn modules(dir: &Path, release: &str, params: &str) -> Result<Vec<Module>> {
    let files = objects(dir).unwrap_or_default();
    if files.is_empty() {
        bail!(
            "there are no modules in {}: build them with `make`, or say --no-modules",
            dir.display()
        );
    }
    let mut needs = BTreeMap::new();
    let mut paths = BTreeMap::new();
    let mut known = BTreeMap::new();
    for file in files {
        let file = file.canonicalize().unwrap_or(file);
        let name = module_name(&file);
        let built_for = modinfo(&file, "vermagic")?;
        if built_for.split_whitespace().next() != Some(release) {
            bail!(
                "{} was built for {}, not for {release}: run `make` for that kernel",
                file.display(),
                built_for
                    .split_whitespace()
                    .next()
                    .unwrap_or("another kernel")
            );
        }
        let depends = modinfo(&file, "depends")?;
        let depends = depends.split([',', '\n']).map(str::trim);
        let depends = depends.filter(|d| !d.is_empty()).map(str::to_owned);
        needs.insert(name.clone(), depends.collect::<Vec<_>>());
        // "limit:how much is allowed" and "limit:u32"
        let described = modinfo(&file, "parm")? + "\n" + &modinfo(&file, "parmtype")?;
        let of_module = described.lines().filter_map(|line| line.split_once(':'));
        let of_module = of_module.map(|(parameter, _)| parameter.trim().to_owned());
        known.insert(name.clone(), of_module.collect::<Vec<_>>());
        paths.insert(name, file);
    }
    let mut params = split_params(params, &known)?;
    order(&needs)
        .into_iter()
        .map(|name| {
            let external = needs[&name].iter().filter(|n| !paths.contains_key(*n));
            Ok(Module {
                file: paths[&name].clone(),
                needs: external.cloned().collect(),
                params: params.remove(&name).unwrap_or_default(),
                name,
            })
        })
        .collect()
}

fn module_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.replace('-', "_")
}

fn modinfo(file: &Path, field: &str) -> Result<String> {
    let output = Command::new("modinfo")
        .args(["-F", field])
        .arg(file)
        .output()
        .context("cannot run modinfo: run this inside the toolchain root")?;
    if !output.status.success() {
        bail!(
            "{} is not a kernel module: {}",
            file.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Puts what is needed first. Modules that need each other in a circle come in the order of their names.
fn order(needs: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut done: Vec<String> = Vec::new();
    while done.len() < needs.len() {
        let left = || needs.iter().filter(|(name, _)| !done.contains(name));
        let ready = left().find(|(_, needs_of)| {
            let mut of = needs_of.iter();
            of.all(|n| !needs.contains_key(n) || done.contains(n))
        });
        let Some((next, _)) = ready.or_else(|| left().next()) else {
            break;
        };
        let next = next.clone();
        done.push(next);
    }
    done
}

/// Which parameter goes to which module: to that before its dot, or to all that have it. The kernel
/// itself ignores what it does not know.
fn split_params(
    params: &str,
    known: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let words = shell_words::split(params).context("--module-params has an open quote")?;
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for word in words {
        let key = word.split('=').next().unwrap_or_default();
        let (module, key, param) = match key.split_once('.') {
            Some((module, key)) => (
                Some(module.replace('-', "_")),
                key,
                &word[module.len() + 1..],
            ),
            None => (None, key, word.as_str()),
        };
        let has = |name: &String, parameters: &[String]| {
            // Every module has this one.
            let in_it = key == "dyndbg" || parameters.iter().any(|p| p == key);
            in_it && module.as_ref().is_none_or(|module| module == name)
        };
        let takers: Vec<&String> = known
            .iter()
            .filter(|(name, parameters)| has(name, parameters))
            .map(|(name, _)| name)
            .collect();
        if takers.is_empty() {
            let all = known.iter().flat_map(|(name, parameters)| {
                parameters.iter().map(move |p| format!("{name}.{p}"))
            });
            let mut all: Vec<String> = all.collect();
            all.sort();
            all.dedup();
            bail!(
                "no module has the parameter {word}: they have {}",
                all.join(", ")
            );
        }
        for name in takers {
            of.entry(name.clone()).or_default().push(param.to_owned());
        }
    }
    Ok(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(of: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let entry = |(name, of): &(&str, &[&str])| {
            let of = of.iter().map(|n| (*n).to_owned()).collect();
            ((*name).to_owned(), of)
        };
        of.iter().map(entry).collect()
    }

    #[test]
    fn insertion_order() {
        let all = needs(&[("a", &["c", "vfio"]), ("b", &[]), ("c", &["d"]), ("d", &[])]);
        assert_eq!(order(&all), ["b", "d", "c", "a"]);
        let circle = needs(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(order(&circle), ["a", "b"]);
    }

    #[test]
    fn parameters() {
        let known = needs(&[("mapwright", &["x"]), ("other", &["x", "y", "path"])]);
        let of = split_params("x=1 other.y='a b'", &known).unwrap();
        assert_eq!(of["mapwright"], ["x=1"]);
        assert_eq!(of["other"], ["x=1", "y=a b"]);
        let of = split_params("path=/a.b/c dyndbg=+p", &known).unwrap();
        assert_eq!(of["other"], ["path=/a.b/c", "dyndbg=+p"]);
        assert_eq!(of["mapwright"], ["dyndbg=+p"]);
        for wrong in ["third.x=1", "z=1", "mapwright.y=1", "'"] {
            assert!(split_params(wrong, &known).is_err(), "{wrong}");
        }
        let said = split_params("z=1", &known).unwrap_err().to_string();
        assert!(said.contains("mapwright.x, other.path"), "{said}");
    }

    #[test]
    fn names() {
        assert_eq!(module_name(Path::new("/x/my-module.ko")), "my_module");
    }
}
