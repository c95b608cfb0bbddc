// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device nodes as containers have them: made by `mknod`, in a directory of their own. Each is an inode of its own, and
//! the page of registers is mapped by all of them, and taken out of all programs when the driver goes.

use crate::{
    child,
    gpio::{expect_untouched, line, modelled_bank, settled, unbind},
    raw::{ioctl_bytes, Map, RW},
    runner::{suite, Context},
};
use anyhow::{anyhow, ensure, Context as _, Result};
use gpio_model::Register;
use mapwright::{
    gpio::{Bank, EDGE_RISING},
    page_bytes,
    uapi::{gpio as uapi, Request as _},
};
use nix::{
    errno::Errno,
    sys::{
        mman::{MapFlags, ProtFlags},
        signal::Signal,
        stat::{mknod, stat, Mode, SFlag},
    },
};
use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
};

suite! { "gpio.nodes":
    the_page_maps_from_any_node,
    the_page_goes_from_all_nodes,
    a_node_that_was_removed_keeps_its_mapping,
    a_page_of_one_node_outlives_that_of_another,
    a_reading_descriptor_maps_nothing_writable,
    a_reading_descriptor_may_look_and_wait,
}

/// A device node of the bank's, in a directory of its own, both of which go when this does.
struct Node {
    directory: PathBuf,
}

impl Node {
    fn new(name: &str) -> Result<Self> {
        let directory = PathBuf::from(format!("/dev/mapwright-{name}-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let node = Self { directory };
        let device = stat(&Bank::path(0))?.st_rdev;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        mknod(&node.path(), SFlag::S_IFCHR, mode, device).context("mknod")?;
        Ok(node)
    }

    fn path(&self) -> PathBuf {
        self.directory.join("gpio")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn open(path: &Path) -> Result<File> {
    Ok(OpenOptions::new().read(true).write(true).open(path)?)
}

/// The page of registers, read-only.
fn map(file: &File) -> Result<Map, Errno> {
    Map::new(
        file,
        0,
        page_bytes(),
        ProtFlags::PROT_READ,
        MapFlags::MAP_SHARED,
    )
}

/// A load of REVISION.
fn load(page: &Map) -> u32 {
    // SAFETY: The page is mapped as long as `page` lives, and a load changes nothing.
    unsafe { (page.addr as *const u32).read_volatile() }
}

const REVISION: u32 = 0x5060_0801;

fn expect_mapped(page: &Map, what: &str) -> Result<()> {
    let revision = load(page);
    ensure!(revision == REVISION, "{what}: {revision:#x}");
    Ok(())
}

/// Fails unless a load is SIGBUS.
fn expect_gone(page: &Map, what: &str) -> Result<()> {
    let signal = child::killed_by(|| {
        load(page);
        Ok(())
    })?;
    ensure!(signal == Some(Signal::SIGBUS), "{what}: {signal:?}");
    Ok(())
}

fn the_page_maps_from_any_node(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    drop(bank);
    let (first, second) = (Node::new("first")?, Node::new("second")?);
    let files = [
        open(&Bank::path(0))?,
        open(&first.path())?,
        open(&second.path())?,
    ];
    let pages = files.each_ref().map(map);
    for (page, what) in pages.iter().zip(["/dev", "the first", "the second"]) {
        match page {
            Ok(page) => expect_mapped(page, what)?,
            Err(err) => return Err(anyhow!("{what}: {err}")),
        }
    }
    // And the other way round.
    drop(pages);
    let pages = [map(&files[2]), map(&files[1]), map(&files[0])];
    ensure!(pages.iter().all(Result::is_ok), "in another order");
    Ok(())
}

fn the_page_goes_from_all_nodes(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    drop(bank);
    let (first, second) = (Node::new("first")?, Node::new("second")?);
    let files = [
        open(&Bank::path(0))?,
        open(&first.path())?,
        open(&first.path())?,
        open(&second.path())?,
    ];
    let pages: Vec<Map> = files.iter().map(map).collect::<Result<_, _>>()?;
    for page in &pages {
        expect_mapped(page, "before")?;
    }
    let device = unbind()?;
    let from = model.count()?;
    for (at, page) in pages.iter().enumerate() {
        expect_gone(page, &format!("mapping {at}"))?;
    }
    let again = map(&files[1]).err();
    ensure!(again == Some(Errno::ENODEV), "mapped again: {again:?}");
    expect_untouched(&mut model, from, "its driver had left")?;
    drop(pages);
    drop(files);
    device.bind()
}

fn a_node_that_was_removed_keeps_its_mapping(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    drop(bank);
    let node = Node::new("first")?;
    let file = open(&node.path())?;
    let page = map(&file)?;
    drop(file);
    drop(node);
    expect_mapped(&page, "after its node and its file have gone")?;
    let device = unbind()?;
    expect_gone(&page, "after its driver has gone")?;
    drop(page);
    device.bind()
}

fn a_page_of_one_node_outlives_that_of_another(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    drop(bank);
    let node = Node::new("first")?;
    let usual = open(&Bank::path(0))?;
    let kept = map(&open(&node.path())?)?;
    for _ in 0..3 {
        drop(map(&usual)?);
        drop(map(&open(&node.path())?)?);
        expect_mapped(&kept, "others have gone")?;
    }
    let device = unbind()?;
    expect_gone(&kept, "its driver has gone")?;
    drop((kept, usual));
    device.bind()
}

fn a_reading_descriptor_maps_nothing_writable(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    drop(bank);
    let node = Node::new("first")?;
    for path in [Bank::path(0), node.path()] {
        let file = File::open(&path)?;
        let writable = Map::new(&file, 0, page_bytes(), RW, MapFlags::MAP_SHARED).err();
        ensure!(writable == Some(Errno::EACCES), "{writable:?}");
        let page = map(&file)?;
        let changed = page.protect(RW);
        ensure!(changed == Err(Errno::EACCES), "{changed:?}");
    }
    Ok(())
}

/// What drives a line takes a descriptor that is open for writing (`gpio.a_reading_descriptor_drives_nothing`).
/// The rest does not.
fn a_reading_descriptor_may_look_and_wait(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    let from = settled(&mut model, &bank)?;
    let reader = File::open(Bank::path(0))?;
    let arguments = [button.number(), EDGE_RISING, 50, 0, 0];
    let arguments: Vec<u8> = arguments
        .iter()
        .flat_map(|n: &u32| n.to_ne_bytes())
        .collect();
    let size = uapi::Wait::new().size;
    let waited = ioctl_bytes(&reader, uapi::IOCTL_WAIT, size, &arguments).map(drop);
    ensure!(waited == Err(Errno::ETIMEDOUT), "{waited:?}");
    let text = fs::read_to_string(Bank::path(0))?;
    ensure!(text.len() == 9, "{text:?}");
    let writes = model.writes(from)?;
    let driven = writes.iter().find(|(register, _)| {
        matches!(
            register,
            Register::Oe | Register::DataOut | Register::SetDataOut | Register::ClearDataOut
        )
    });
    ensure!(driven.is_none(), "it drives: {driven:?}");
    Ok(())
}
