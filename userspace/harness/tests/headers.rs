// SPDX-License-Identifier: MIT OR Apache-2.0

//! `scripts/rust-headers` on a machine whose headers came with Rust metadata, as some distributions' do: it says so, and
//! changes nothing. To be run inside the toolchain root, as `make test` does, where such headers are made up of those
//! that are there.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// A kernel whose headers have metadata here.
fn kernel() -> String {
    let kernels = fs::read_dir("/lib/modules").unwrap().flatten();
    let has_metadata = |entry: &fs::DirEntry| {
        let metadata = entry.path().join("build/rust/libkernel.rmeta");
        metadata.exists()
            && fs::read_to_string(entry.path().join("build/.config")).is_ok_and(
                // The host's.
                |config| {
                    config.contains(&format!(
                        "CONFIG_{}=y",
                        if cfg!(target_arch = "x86_64") {
                            "X86_64"
                        } else {
                            "ARM64"
                        }
                    ))
                },
            )
    };
    let mut names: Vec<_> = kernels
        .filter(has_metadata)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
        .pop()
        .expect("no kernel's headers have metadata: run make setup")
}

/// Runs the script with these arguments, where `change` was done to `$rust`, a copy of the headers' directory rust.
fn run(kernel: &str, change: &str, arguments: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/rust-headers");
    let commands = format!(
        "set -e; rust=$(mktemp -d)/rust; headers=$(readlink -f /lib/modules/{kernel}/build)
         cp -a \"$headers/rust\" \"$rust\"
         {change}
         mount --bind \"$rust\" \"$headers/rust\"
         status=0; {script} {kernel} {arguments} || status=$?
         (cd \"$rust\" && ls -A) | wc -l; exit $status",
        script = script.display(),
    );
    Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "unchanged",
            "bash",
            "-c",
            &commands,
        ])
        .output()
        .unwrap()
}

#[test]
fn shipped_metadata_is_left_alone() {
    let kernel = kernel();
    let shipped = "rm -f \"$rust/.mapwright-rust-headers\"; (cd \"$rust\" && ls -A) | wc -l";
    for arguments in ["--check", ""] {
        let output = run(&kernel, shipped, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(
            said.contains("came with its Rust metadata"),
            "{arguments:?}: {said}"
        );
        let files = String::from_utf8_lossy(&output.stdout);
        let files: Vec<_> = files.split_whitespace().collect();
        assert_eq!(files[0], files[1], "files before and after: {files:?}");
    }
    // Nothing of it is this tool's.
    let output = run(&kernel, shipped, "--remove");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nothing to remove"), "{said}");
}

#[test]
fn half_of_it_is_none() {
    let half = "rm -f \"$rust/.mapwright-rust-headers\" \"$rust/libkernel.rmeta\"";
    let output = run(&kernel(), half, "--check");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("there is none"),
        "{said}"
    );
}

#[test]
fn what_the_tool_made_is_checked() {
    let output = run(&kernel(), "", "--check");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("has its Rust metadata"),
        "{said}"
    );
    let changed = "echo >>\"$rust/libkernel.rmeta\"";
    let output = run(&kernel(), changed, "--check");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("changed"),
        "{said}"
    );
}

/// What the tool put beside headers goes after them, and only then.
#[test]
fn headers_that_are_gone_leave_nothing() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/rust-headers");
    let commands = format!(
        "set -e; mount -t tmpfs none /usr/src
         cd /usr/src
         for kernel in 1-gone 2-here; do
             mkdir -p linux-headers-$kernel/rust kbuild/$kernel
             touch linux-headers-$kernel/rust/libkernel.rmeta kbuild/$kernel/target.json
             printf 'made-directory no\nfile 0 %s\nfile 0 %s\n' \
                 $PWD/linux-headers-$kernel/rust/libkernel.rmeta $PWD/kbuild/$kernel/target.json \
                 >linux-headers-$kernel/rust/.mapwright-rust-headers
         done
         touch linux-headers-2-here/Makefile
         {script} --clean
         find . -type f -o -type d -name '*-gone' | sort",
        script = script.display(),
    );
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "unchanged",
            "sh",
            "-c",
            &commands,
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1-gone"), "{said}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "./kbuild/2-here/target.json\n\
         ./linux-headers-2-here/Makefile\n\
         ./linux-headers-2-here/rust/.mapwright-rust-headers\n\
         ./linux-headers-2-here/rust/libkernel.rmeta\n"
    );
}
