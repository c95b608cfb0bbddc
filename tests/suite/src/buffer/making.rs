// SPDX-License-Identifier: MIT OR Apache-2.0

//! How buffers are made: by the parameter, in configfs and with the command.

use super::{errno, io_errno, make, of_pages, open, Made, MODULE};
use crate::{
    module::{remove_named, wait_for},
    raw::Map,
    runner::Context,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::buffer::{NamedBuffer, Spec, CONFIG};
use nix::{
    errno::Errno,
    kmod::{finit_module, ModuleInitFlags},
};
use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// Runs `f` with the module inserted with `parameters`.
pub fn with_parameters(
    context: &Context,
    parameters: &CStr,
    f: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let file = context.module_named("mapwright_buffer")?;
    let insert = |parameters| -> Result<()> {
        Ok(finit_module(
            &File::open(&file)?,
            parameters,
            ModuleInitFlags::empty(),
        )?)
    };
    remove_named(MODULE).context("removing the module")?;
    let result = insert(parameters).and_then(|()| {
        let result = f();
        remove_named(MODULE).context("removing the module")?;
        result
    });
    // Whatever happened, the other tests have a module.
    insert(c"")?;
    result
}

pub(super) fn a_parameter_makes_buffers(context: &Context) -> Result<()> {
    with_parameters(
        context,
        c"buffers=quick:64K,second.one:1M:vmalloc:fault",
        || {
            let quick = NamedBuffer::new("quick");
            let second = NamedBuffer::new("second.one");
            for (buffer, bytes) in [(&quick, 64 << 10), (&second, 1 << 20)] {
                wait_for("the device node", || buffer.node().exists())?;
                let file = open(buffer)?;
                let map = Map::shared(&file, 0, bytes)?;
                map.store(bytes - 1, 7);
                let mut contents = [0];
                file.read_exact_at(&mut contents, bytes as u64 - 1)?;
                ensure!(contents == [7] && map.load(0) == 0);
                ensure!(buffer.attribute("size")? == bytes.to_string());
            }
            let all = NamedBuffer::all()?;
            ensure!(all == [quick, second], "{all:?}");
            Ok(())
        },
    )
}

pub(super) fn a_wrong_parameter_is_einval(context: &Context) -> Result<()> {
    let file = context.module_named("mapwright_buffer")?;
    remove_named(MODULE)?;
    let wrong = [
        "buffers=noname",
        "buffers=:64K",
        "buffers=a/b:64K",
        "buffers=dma0:64K",
        "buffers=zero:0",
        "buffers=much:64X",
        "buffers=word:64K:granite",
        "buffers=pair:64K:vmalloc:remap",
        "buffers=more:64K:pages:remap:wb:more",
        "address_mode=0777",
    ];
    let mut failures = Vec::new();
    for parameters in wrong {
        let text = CString::new(parameters)?;
        let inserted = finit_module(&File::open(&file)?, &text, ModuleInitFlags::empty());
        if inserted.is_ok() {
            remove_named(MODULE)?;
        }
        if inserted != Err(Errno::EINVAL) {
            failures.push(format!("{parameters}: {inserted:?}"));
        }
    }
    let twice = c"buffers=twice:64K,twice:64K";
    let inserted = finit_module(&File::open(&file)?, twice, ModuleInitFlags::empty());
    // What a module says so is told as EBUSY, as it could be loaded already.
    if !matches!(inserted, Err(Errno::EEXIST | Errno::EBUSY)) {
        failures.push(format!("the same name twice: {inserted:?}"));
    }
    finit_module(&File::open(&file)?, c"", ModuleInitFlags::empty())?;
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

pub(super) fn names_are_checked(_: &Context) -> Result<()> {
    let mut failures = Vec::new();
    let long = "x".repeat(65);
    for name in [
        "dma0", "gpio", "gpio12", "alloc", "inspect", "a b", "ä", "a:b", &long,
    ] {
        let result = fs::create_dir(Path::new(CONFIG).join(name));
        if result.is_ok() {
            fs::remove_dir(Path::new(CONFIG).join(name))?;
        }
        if io_errno(result) != Some(Errno::EINVAL) {
            failures.push(name);
        }
    }
    ensure!(failures.is_empty(), "not refused: {failures:?}");
    for name in ["dmax", "gpio-0", "allocator", "A.b_c-9"] {
        fs::create_dir(Path::new(CONFIG).join(name)).with_context(|| name.to_owned())?;
        fs::remove_dir(Path::new(CONFIG).join(name))?;
    }
    Ok(())
}

pub(super) fn words_are_checked(_: &Context) -> Result<()> {
    let buffer = NamedBuffer::new("words");
    fs::create_dir(buffer.config())?;
    let owned = Made(buffer);
    let buffer = &owned.0;
    let refused = |setting: &str, text: &str, expected: Errno| -> Result<()> {
        let got = errno(buffer.set(setting, text));
        ensure!(got == Some(expected), "{setting} {text}: {got:?}");
        Ok(())
    };
    for (setting, text) in [
        ("size", "much"),
        ("backing", "granite"),
        ("method", "magic"),
        ("caching", "wx"),
        ("enabled", "2"),
    ] {
        refused(setting, text, Errno::EINVAL)?;
    }
    let setting = |name: &str| buffer.setting(name);
    ensure!(
        setting("size")? == "0" && setting("backing")? == "pages" && setting("method")? == "remap"
    );
    ensure!(
        setting("caching")? == "wb" && setting("device")?.is_empty() && setting("enabled")? == "0"
    );
    refused("enabled", "1", Errno::EINVAL)?; // no size
    buffer.set("size", "1M")?;
    ensure!(setting("size")? == (1 << 20).to_string());
    buffer.set("backing", "vmalloc")?;
    ensure!(
        setting("method")? == "insert",
        "the first that goes with it"
    );
    buffer.set("method", "remap")?;
    refused("enabled", "1", Errno::EINVAL)?; // no such pair
    buffer.set("method", "fault")?;
    buffer.set("caching", "uc")?;
    refused("enabled", "1", Errno::EINVAL)?; // no such memory
    buffer.set("caching", "wb")?;
    buffer.set("enabled", "1")?;
    buffer.set("enabled", "0")?;
    // Not left half-made.
    ensure!(!buffer.sysfs().exists());
    Ok(fs::remove_dir(buffer.config())?)
}

pub(super) fn settings_stay_while_enabled(_: &Context) -> Result<()> {
    let owned = make("settings", &of_pages(1))?;
    let buffer = &owned.0;
    for (setting, text) in [
        ("size", "1M"),
        ("backing", "folio"),
        ("method", "fault"),
        ("caching", "wb"),
        ("device", "pci/0"),
        ("enabled", "1"),
    ] {
        ensure!(
            errno(buffer.set(setting, text)) == Some(Errno::EBUSY),
            "{setting}"
        );
    }
    ensure!(io_errno(fs::remove_dir(buffer.config())) == Some(Errno::EBUSY));
    ensure!(buffer.setting("enabled")? == "1");
    buffer.set("enabled", "0")?;
    wait_for("the node to go", || !buffer.node().exists())?;
    ensure!(!buffer.sysfs().exists());
    // And again, with other settings.
    buffer.set("size", "1M")?;
    buffer.set("enabled", "1")?;
    ensure!(buffer.attribute("size")? == (1 << 20).to_string());
    Ok(buffer.remove(false)?)
}

pub(super) fn no_device_is_enodev(_: &Context) -> Result<()> {
    let buffer = NamedBuffer::new("nodevice");
    for (device, expected) in [
        ("pci/ffff:ff:1f.7", Errno::ENODEV),
        ("/sys/bus/platform/devices/none", Errno::ENODEV),
        ("/sys/devices/none/0000:00:00.0", Errno::ENODEV),
        // It has no driver.
        ("platform/mapwright_buffer", Errno::ENODEV),
        ("none/none", Errno::EINVAL),
        ("none", Errno::EINVAL),
    ] {
        let spec = Spec {
            device: Some(device.to_owned()),
            ..of_pages(1)
        };
        let result = errno(buffer.create(&spec));
        ensure!(result == Some(expected), "{device}: {result:?}");
        ensure!(!buffer.config().exists() && !buffer.sysfs().exists());
    }
    Ok(())
}

pub(super) fn limits_are_kept(context: &Context) -> Result<()> {
    with_parameters(context, c"total_limit_mib=4", || {
        let (one, two) = (NamedBuffer::new("one"), NamedBuffer::new("two"));
        let of = |mib: u64| Spec {
            bytes: mib << 20,
            ..Spec::default()
        };
        one.create(&of(3))?;
        let one = Made(one);
        ensure!(errno(two.create(&of(2))) == Some(Errno::ENOSPC));
        two.create(&of(1))?;
        two.remove(false)?;
        Ok(one.0.remove(false)?)
    })
}

pub(super) fn the_command(_: &Context) -> Result<()> {
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let program = std::env::current_exe()?;
        let output = std::process::Command::new(program)
            .arg("buffer")
            .args(arguments)
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    };
    let expect = |arguments: &[&str], succeeds: bool, has: &str| -> Result<()> {
        let (success, text) = run(arguments)?;
        ensure!(
            success == succeeds && text.contains(has),
            "{arguments:?}: {text}"
        );
        Ok(())
    };
    expect(
        &["create", "typed", "--size", "1M", "--backing", "folio"],
        true,
        "/dev/mapwright-typed",
    )?;
    let owned = Made(NamedBuffer::new("typed"));
    expect(&["list"], true, "/dev/mapwright-typed")?;
    expect(&["list", "--json"], true, r#""bytes":1048576"#)?;
    expect(&["show", "typed"], true, "folio")?;
    expect(&["show", "typed", "--json"], true, r#""phys_addr":"0x"#)?;
    expect(&["create", "typed", "--size", "1M"], false, "EEXIST")?;
    expect(&["create", "dma0", "--size", "1M"], false, "EINVAL")?;
    let file = open(&owned.0)?;
    expect(&["remove", "typed"], false, "--revoke")?;
    expect(&["remove", "typed", "--revoke"], true, "")?;
    drop(file);
    expect(&["remove", "typed"], false, "no such buffer")?;
    expect(&["show", "typed"], false, "there is no buffer")
}
