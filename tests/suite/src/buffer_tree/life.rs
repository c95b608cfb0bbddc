// SPDX-License-Identifier: MIT OR Apache-2.0

//! How buffers of a device tree come and go, and what is refused.

use super::{available, bind, device, is_bound, unbind, BUFFERS, DEVICES, DRIVER, FIRST};
use crate::{
    buffer::{
        available as configfs, errno, io_errno, is_bus_error, make, open, with_parameters, Made,
        DEBUGFS, MODULE,
    },
    module::remove_named,
    raw::Map,
    runner::Context,
};
use anyhow::{ensure, Result};
use mapwright::{
    buffer::{NamedBuffer, Spec},
    page_bytes, page_size, uapi,
    uapi::Request as _,
    Session, Tables,
};
use nix::errno::Errno;
use std::{collections::BTreeMap, fs, os::unix::fs::FileExt as _, path::Path};

pub(super) fn is_taken_back_when_it_is_unbound(_: &Context) -> Result<()> {
    available()?;
    for (label, _) in BUFFERS {
        let buffer = NamedBuffer::new(label);
        let (one, other) = (open(&buffer)?, open(&buffer)?);
        let touched = Map::shared(&one, 0, page_bytes())?;
        let untouched = Map::shared(&other, page_size(), page_bytes())?;
        let first = touched.load(0);
        touched.store(0, first);
        unbind(label)?;
        ensure!(
            is_bus_error(&touched, 0)? && is_bus_error(&untouched, 0)?,
            "{label} is still mapped"
        );
        ensure!(Map::shared(&one, 0, page_bytes()).err() == Some(Errno::ENODEV));
        let read = io_errno(one.read_at(&mut [0], 0));
        ensure!(read == Some(Errno::ENODEV), "{label}: {read:?}");
        let asked = Session::from(other).request(&mut uapi::Query::new());
        ensure!(asked == Err(Errno::ENODEV), "{label}: {asked:?}");
        // What nobody can use any more is in nobody's way.
        bind(label)?;
        let file = open(&buffer)?;
        let again = Map::shared(&file, 0, page_bytes())?;
        again.store(1, again.load(1));
        ensure!(is_bus_error(&touched, 0)?, "{label} came back");
    }
    Ok(())
}

/// The error of each node that describes none: that of `bind`.
pub(super) fn what_is_wrong_is_refused(_: &Context) -> Result<()> {
    available()?;
    let expected = BTreeMap::from([
        ("no-label", Errno::EINVAL),
        ("label-of-another", Errno::EINVAL),
        ("label-twice", Errno::EEXIST),
        ("no-size", Errno::EINVAL),
        ("size-of-nothing", Errno::EINVAL),
        ("size-of-three-cells", Errno::EINVAL),
        ("size-of-all", Errno::ENOSPC),
        ("size-over-the-limit", Errno::ENOSPC),
        ("backing", Errno::EINVAL),
        ("backing-of-a-number", Errno::EINVAL),
        ("pair", Errno::EINVAL),
        ("address-bits-0", Errno::EINVAL),
        ("address-bits-65", Errno::EINVAL),
        ("address-bits-30", Errno::EIO),
        ("kept-beyond-reach", Errno::EIO),
        ("pool-beyond-reach", Errno::EIO),
        ("pages-of-a-region", Errno::EINVAL),
        ("more-than-the-pool", Errno::ENOMEM),
        ("more-than-cma", Errno::ENOMEM),
        ("not-kept", Errno::EINVAL),
        ("kept-nothing", Errno::EINVAL),
        ("kept-pool", Errno::EINVAL),
        ("kept-though-mapped", Errno::EINVAL),
        ("kept-twice", Errno::EBUSY),
        ("kept-too-much", Errno::EINVAL),
        ("mapped-pool", Errno::EINVAL),
        ("disabled-region", Errno::ENODEV),
        ("no-region", Errno::EINVAL),
    ]);
    let mut refused = BTreeMap::new();
    for entry in fs::read_dir(DEVICES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(what) = name.strip_prefix("refused-") {
            ensure!(!is_bound(&name), "{what} is a buffer");
            let bound = fs::write(format!("{DRIVER}/bind"), &name);
            refused.insert(what.to_owned(), io_errno(bound));
        }
    }
    let expected: BTreeMap<String, Option<Errno>> = expected
        .into_iter()
        .map(|(what, errno)| (what.to_owned(), Some(errno)))
        .collect();
    let wrong: Vec<_> = refused
        .iter()
        .filter(|(what, errno)| expected.get(*what) != Some(errno))
        .collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    ensure!(
        refused.len() == expected.len(),
        "the device tree lacks nodes: {refused:?}"
    );
    // Nothing of them is left.
    available()?;
    let regions = Tables::read_from(Path::new(DEBUGFS))?.regions.len();
    ensure!(regions == BUFFERS.len(), "{regions} regions");
    Ok(())
}

pub(super) fn names_are_those_of_all_buffers(_: &Context) -> Result<()> {
    configfs()?;
    available()?;
    let spec = Spec {
        bytes: page_size(),
        ..Spec::default()
    };
    let owned = Made(NamedBuffer::new("plain"));
    let taken = errno(owned.0.create(&spec));
    ensure!(taken == Some(Errno::EEXIST), "{taken:?}");
    unbind("plain")?;
    let owned = make("plain", &spec)?;
    let bound = io_errno(fs::write(format!("{DRIVER}/bind"), device("plain")));
    ensure!(bound == Some(Errno::EEXIST), "{bound:?}");
    owned.0.remove(false)?;
    bind("plain")
}

pub(super) fn goes_and_comes_with_the_module(context: &Context) -> Result<()> {
    available()?;
    let frame = NamedBuffer::new("frame");
    let file = open(&frame)?;
    let removed = remove_named(MODULE);
    ensure!(removed == Err(Errno::EAGAIN), "{removed:?}");
    let map = Map::shared(&file, 0, page_bytes())?;
    drop(file);
    let removed = remove_named(MODULE);
    ensure!(removed == Err(Errno::EAGAIN), "{removed:?}");
    drop(map);
    for _ in 0..2 {
        with_parameters(context, c"", available)?;
    }
    available()?;
    let mut contents = [0; 8];
    open(&frame)?.read_exact_at(&mut contents, 0)?;
    ensure!(contents == *FIRST, "{contents:?}");
    Ok(())
}

pub(super) fn the_command_shows_them(_: &Context) -> Result<()> {
    available()?;
    let command = std::env::current_exe()?;
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let output = std::process::Command::new(&command)
            .arg("buffer")
            .args(arguments)
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8(text)?))
    };
    let (listed, text) = run(&["list"])?;
    for (label, _) in BUFFERS {
        ensure!(
            listed && text.contains(&format!("/dev/mapwright-{label}")),
            "{text}"
        );
    }
    let (shown, text) = run(&["show", "ring"])?;
    ensure!(shown && text.contains("0x5d200000"), "{text}");
    let (removed, text) = run(&["remove", "ring"])?;
    ensure!(
        !removed && text.contains("no such buffer was made with create"),
        "{text}"
    );
    available()
}
