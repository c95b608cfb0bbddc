// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers with names: `/dev/mapwright-NAME`, made by the module's parameter and in configfs.

mod attributes;
mod ends;
mod file;
mod large;
mod making;

pub use ends::is_bus_error;
pub use making::with_parameters;

use crate::{
    cells::Cell,
    module::wait_for,
    runner::{skip, Case, Context, Suite},
};
use anyhow::{ensure, Context as _, Result};
use attributes::{
    addresses_are_for_all_by_parameter, addresses_are_hidden, example_c, example_python,
    has_the_attributes_of_u_dma_buf, python_as_for_u_dma_buf,
};
use ends::{
    a_forked_mapping_is_revoked, holds_the_module, is_revoked_from_a_container,
    is_shared_and_revoked, stays_while_it_is_used,
};
use file::{
    a_reader_cannot_write, fsync_succeeds, is_queried_and_exported, makes_no_regions,
    maps_at_any_page, outlives_a_killed_program, reads_and_writes_to_its_end, seeks_to_its_end,
    two_programs_share_it,
};
use large::large_in_one_piece;
use making::{
    a_parameter_makes_buffers, a_wrong_parameter_is_einval, limits_are_kept, names_are_checked,
    no_device_is_enodev, settings_stay_while_enabled, the_command, words_are_checked,
};
use mapwright::{
    buffer::{NamedBuffer, Spec, CONFIG},
    page_size, Tables,
};
use nix::{
    errno::Errno,
    mount::{mount, MsFlags},
};
use std::{
    ffi::CStr,
    fs::{self, File, OpenOptions},
    path::Path,
};

pub const SUITE: Suite = Suite {
    name: "buffer",
    cases,
};

/// A test, by its name.
type Test = (&'static str, fn(&Context) -> Result<()>);

const TESTS: &[Test] = &[
    ("a_parameter_makes_buffers", a_parameter_makes_buffers),
    ("a_wrong_parameter_is_einval", a_wrong_parameter_is_einval),
    ("two_programs_share_it", two_programs_share_it),
    ("outlives_a_killed_program", outlives_a_killed_program),
    ("seeks_to_its_end", seeks_to_its_end),
    ("reads_and_writes_to_its_end", reads_and_writes_to_its_end),
    ("maps_at_any_page", maps_at_any_page),
    ("fsync_succeeds", fsync_succeeds),
    ("is_queried_and_exported", is_queried_and_exported),
    ("makes_no_regions", makes_no_regions),
    ("a_reader_cannot_write", a_reader_cannot_write),
    ("holds_the_module", holds_the_module),
    (
        "has_the_attributes_of_u_dma_buf",
        has_the_attributes_of_u_dma_buf,
    ),
    ("addresses_are_hidden", addresses_are_hidden),
    (
        "addresses_are_for_all_by_parameter",
        addresses_are_for_all_by_parameter,
    ),
    ("names_are_checked", names_are_checked),
    ("words_are_checked", words_are_checked),
    ("settings_stay_while_enabled", settings_stay_while_enabled),
    ("stays_while_it_is_used", stays_while_it_is_used),
    ("is_revoked_from_a_container", is_revoked_from_a_container),
    ("a_forked_mapping_is_revoked", a_forked_mapping_is_revoked),
    ("no_device_is_enodev", no_device_is_enodev),
    ("limits_are_kept", limits_are_kept),
    ("large_in_one_piece", large_in_one_piece),
    ("python_as_for_u_dma_buf", python_as_for_u_dma_buf),
    ("example_c", example_c),
    ("example_python", example_python),
    ("the_command", the_command),
];

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = TESTS
        .iter()
        .map(|(name, test)| {
            let test = *test;
            Case::new(*name, move |context: &Context| {
                let is_there = available()?;
                test(context)?;
                nothing_is_left(&is_there)
            })
        })
        .collect();
    cases.extend(Cell::all().filter(Cell::is_sound).map(|cell| {
        Case::new(
            format!("is_shared_and_revoked__{}", cell.name()),
            move |_| {
                let is_there = available()?;
                is_shared_and_revoked(cell)?;
                nothing_is_left(&is_there)
            },
        )
    }));
    cases
}

pub const MODULE: &CStr = c"mapwright_buffer";

pub const DEBUGFS: &str = "/sys/kernel/debug/mapwright_buffer";

/// That the module is loaded, and buffers can be made.
pub struct Available;

/// Mounts configfs where it is not, or skips the test.
pub fn available() -> Result<Available> {
    if !Path::new("/sys/module/mapwright_buffer").exists() {
        return skip("mapwright_buffer is not loaded");
    }
    if !Path::new("/sys/kernel/config").exists() {
        return skip("this kernel has no configfs");
    }
    if !Path::new(CONFIG).exists() {
        let none: Option<&str> = None;
        let flags = MsFlags::empty();
        mount(
            Some("none"),
            "/sys/kernel/config",
            Some("configfs"),
            flags,
            none,
        )?;
    }
    Ok(Available)
}

/// Fails if a buffer, its memory or a mapping outlived a test.
pub fn nothing_is_left(_: &Available) -> Result<()> {
    let names: Vec<_> = fs::read_dir(CONFIG)?.collect();
    ensure!(names.is_empty(), "left behind: {names:?}");
    let tables = Tables::read_from(Path::new(DEBUGFS))?;
    ensure!(tables.regions.is_empty(), "{:?}", tables.regions);
    for (begun, ended) in [
        ("regions_created", "regions_freed"),
        ("pages_allocated", "pages_freed"),
        ("vmas_opened", "vmas_closed"),
    ] {
        let (begun_count, ended_count) = (tables.counter(begun), tables.counter(ended));
        ensure!(
            begun_count == ended_count,
            "{begun} {begun_count}, {ended} {ended_count}"
        );
    }
    Ok(())
}

/// A buffer that is removed when dropped, whoever has it.
pub struct Made(pub NamedBuffer);

impl Drop for Made {
    fn drop(&mut self) {
        if self.0.config().exists() {
            let _ = self.0.remove(true);
        }
    }
}

/// Makes a buffer, whose node is there.
pub fn make(name: &str, spec: &Spec) -> Result<Made> {
    let owned = Made(NamedBuffer::new(name));
    owned.0.create(spec)?;
    wait_for("the device node", || owned.0.node().exists())?;
    Ok(owned)
}

pub fn of_pages(pages: u64) -> Spec {
    Spec {
        bytes: pages * page_size(),
        ..Spec::default()
    }
}

pub fn open(buffer: &NamedBuffer) -> Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .open(buffer.node());
    opened.with_context(|| format!("opening {}", buffer.node().display()))
}

pub fn errno<T>(result: mapwright::Result<T>) -> Option<Errno> {
    result.err().and_then(|err| err.errno())
}

pub fn io_errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    let err = result.err()?;
    err.raw_os_error().map(Errno::from_raw)
}
