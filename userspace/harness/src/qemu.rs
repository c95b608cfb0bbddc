// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments as QEMU takes them.

use std::path::Path;

/// QEMU takes a comma in a value doubled.
pub fn value(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// A directory of the host, for the guest to mount by its tag.
pub fn share_args(tag: &str, dir: &Path, readonly: bool) -> Vec<String> {
    let id = tag.replace('.', "-");
    let access = if readonly { ",readonly=on" } else { "" };
    vec![
        "-fsdev".to_owned(),
        format!(
            "local,id={id},path={},security_model=none,multidevs=remap{access}",
            value(dir)
        ),
        "-device".to_owned(),
        format!("virtio-9p-pci,fsdev={id},mount_tag={tag}"),
    ]
}

pub fn port_args(name: &str, socket: &Path) -> Vec<String> {
    let id = name.replace('.', "-");
    vec![
        "-chardev".to_owned(),
        format!("socket,id={id},path={}", value(socket)),
        "-device".to_owned(),
        format!("virtserialport,bus=mapwright.0,chardev={id},name={name}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_doubled() {
        let args = share_args("mapwright.repo", Path::new("/a,b"), true).join(" ");
        assert!(args.contains("path=/a,,b,"), "{args}");
        assert!(args.contains("readonly=on"), "{args}");
    }
}
