// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel itself does otherwise in one series than in another.

use anyhow::{Context as _, Result};

/// Whether the running kernel is of the series `major.minor`, as 7.3, or of a later one.
pub fn is_since(major: u32, minor: u32) -> Result<bool> {
    let name = nix::sys::utsname::uname()?;
    let release = name.release().to_string_lossy().into_owned();
    Ok(series_of(&release).context("the kernel's release is no number")? >= (major, minor))
}

/// The series of "7.3.4+deb13-amd64" is 7.3.
fn series_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(series_of("7.3.4+deb13-rt-amd64"), Some((7, 3)));
        assert_eq!(series_of("7.10-rc1"), Some((7, 10)));
        assert_eq!(series_of("next"), None);
    }
}
