// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers with names, of `mapwright_buffer.ko`: `/dev/mapwright-NAME`.
//!
//! ```no_run
//! use mapwright::buffer::{NamedBuffer, Spec};
//!
//! # fn main() -> mapwright::Result<()> {
//! let image = NamedBuffer::new("image");
//! image.create(&Spec { bytes: 16 << 20, ..Spec::default() })?;
//! assert_eq!(image.attribute("size")?, (16 << 20).to_string());
//! image.remove(false)?;
//! # Ok(())
//! # }
//! ```

use crate::{Error, Result};
use mapwright_uapi::{Backing, Caching, Method};
use nix::errno::Errno;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where buffers are made.
pub const CONFIG: &str = "/sys/kernel/config/mapwright";

/// Where the attributes of those that can be opened are.
const CLASS: &str = "/sys/class/misc";

/// What the device nodes' names begin with.
const PREFIX: &str = "mapwright-";

/// What a buffer is made of. What is not given is up to the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Its size, which is rounded up to whole pages.
    pub bytes: u64,
    /// Where its memory comes from.
    pub backing: Option<Backing>,
    /// How it is mapped.
    pub method: Option<Method>,
    /// Its memory type.
    pub caching: Option<Caching>,
    /// The device that it is for: its path in `/sys`, or `BUS/NAME`.
    pub device: Option<String>,
}

/// A buffer, by its name, whether there is one or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBuffer {
    name: String,
}

impl NamedBuffer {
    /// The one of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Those that can be opened, in the order of their names.
    pub fn all() -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(CLASS).map_err(failed("listing buffers"))? {
            let entry = entry.map_err(failed("listing buffers"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Another module's device has no such attribute.
            if let Some(name) = name.strip_prefix(PREFIX) {
                if entry.path().join("sync_for_cpu").exists() {
                    all.push(Self::new(name));
                }
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its device node.
    pub fn node(&self) -> PathBuf {
        Path::new("/dev").join(format!("{PREFIX}{}", self.name))
    }

    /// The directory of its attributes.
    pub fn sysfs(&self) -> PathBuf {
        Path::new(CLASS).join(format!("{PREFIX}{}", self.name))
    }

    /// Its directory in configfs, which those have that were made there.
    pub fn config(&self) -> PathBuf {
        Path::new(CONFIG).join(&self.name)
    }

    /// What an attribute of its device says.
    pub fn attribute(&self, attribute: &str) -> Result<String> {
        read(&self.sysfs().join(attribute), "reading an attribute")
    }

    /// Writes to an attribute of its device.
    pub fn set_attribute(&self, attribute: &str, text: &str) -> Result<()> {
        let path = self.sysfs().join(attribute);
        fs::write(path, text).map_err(failed("writing an attribute"))
    }

    /// What a setting says, of one that was made in configfs.
    pub fn setting(&self, setting: &str) -> Result<String> {
        read(&self.config().join(setting), "reading a setting")
    }

    /// Writes a setting, of one that was made in configfs.
    pub fn set(&self, setting: &str, text: &str) -> Result<()> {
        let path = self.config().join(setting);
        fs::write(path, text).map_err(failed("writing a setting"))
    }

    /// Makes it, as `spec` says. Needs root.
    pub fn create(&self, spec: &Spec) -> Result<()> {
        if !Path::new(CONFIG).exists() {
            return Err(Error::NoConfigfs { path: CONFIG });
        }
        fs::create_dir(self.config()).map_err(failed("making the buffer's directory"))?;
        let result = self.set_up(spec);
        if result.is_err() {
            // What failed is what counts.
            let _ = fs::remove_dir(self.config());
        }
        result
    }

    fn set_up(&self, spec: &Spec) -> Result<()> {
        self.set("size", &spec.bytes.to_string())?;
        let words = [
            ("backing", spec.backing.map(Backing::name)),
            ("method", spec.method.map(Method::name)),
            ("caching", spec.caching.map(Caching::name)),
            ("device", spec.device.as_deref()),
        ];
        for (setting, word) in words {
            if let Some(word) = word {
                self.set(setting, word)?;
            }
        }
        self.set("enabled", "1")
    }

    /// Removes it, of those that were made in configfs. If a program has it open or mapped, that fails with `EBUSY`,
    /// unless it is to be taken away from them (`revoke`). Needs root.
    pub fn remove(&self, revoke: bool) -> Result<()> {
        self.set("enabled", if revoke { "revoke" } else { "0" })?;
        fs::remove_dir(self.config()).map_err(failed("removing the buffer's directory"))
    }
}

fn read(path: &Path, what: &'static str) -> Result<String> {
    let text = fs::read_to_string(path).map_err(failed(what))?;
    Ok(text.trim_end().to_owned())
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |err| Error::System {
        what,
        errno: err.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
    }
}
