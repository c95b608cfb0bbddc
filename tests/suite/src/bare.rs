// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that know nothing of mapwright: open, read, write, mmap.

use crate::{
    raw::{Map, RW},
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, page_size, uapi::DEFAULT_BYTES, DEVICE};
use nix::{errno::Errno, sys::mman::MapFlags};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt},
};

suite! { "bare":
    open_mmap_store_load,
    store_is_read_back_with_read,
    mapping_begins_with_zeros,
    second_mapping_is_the_same_memory,
    mapping_longer_than_the_first_is_einval,
    mapping_in_the_middle,
    read_without_mmap_gives_zeros,
    write_then_read,
    read_at_the_end_is_eof,
    write_at_the_end_is_enospc,
    short_read_and_write_at_the_end,
    read_far_away_is_enxio,
    seek_and_read,
    read_only_file_cannot_be_mapped_writable,
    read_only_mapping_cannot_become_writable,
    failed_mmap_makes_no_region,
    cat_and_dd,
    node_is_for_root_only,
}

fn open() -> Result<File> {
    Ok(OpenOptions::new().read(true).write(true).open(DEVICE)?)
}

fn open_mmap_store_load(_: &Context) -> Result<()> {
    let map = Map::shared(&open()?, 0, 2 * page_bytes())?;
    map.store(0, 1);
    map.store(2 * page_bytes() - 1, 2);
    ensure!(map.load(0) == 1 && map.load(2 * page_bytes() - 1) == 2);
    Ok(())
}

fn store_is_read_back_with_read(_: &Context) -> Result<()> {
    let mut file = open()?;
    let map = Map::shared(&file, 0, page_bytes())?;
    map.store(0, b'm');
    map.store(1, b'w');
    let mut contents = [0; 2];
    file.read_exact(&mut contents)?;
    ensure!(&contents == b"mw", "read {contents:?}");
    Ok(())
}

fn mapping_begins_with_zeros(_: &Context) -> Result<()> {
    let map = Map::shared(&open()?, 0, 1 << 20)?;
    ensure!(
        (0..map.length).all(|at| map.load(at) == 0),
        "memory was not zeroed"
    );
    Ok(())
}

fn second_mapping_is_the_same_memory(_: &Context) -> Result<()> {
    let file = open()?;
    let length = 2 * page_bytes();
    let (one, two) = (
        Map::shared(&file, 0, length)?,
        Map::shared(&file, 0, length)?,
    );
    one.store(length - 100, 77);
    ensure!(two.load(length - 100) == 77);
    Ok(())
}

fn mapping_longer_than_the_first_is_einval(_: &Context) -> Result<()> {
    let file = open()?;
    let _first = Map::shared(&file, 0, 2 * page_bytes())?;
    ensure!(Map::shared(&file, 0, 3 * page_bytes()).err() == Some(Errno::EINVAL));
    Ok(())
}

fn mapping_in_the_middle(_: &Context) -> Result<()> {
    let file = open()?;
    let whole = Map::shared(&file, 0, 4 * page_bytes())?;
    let part = Map::shared(&file, 2 * page_size(), page_bytes())?;
    part.store(3, 9);
    ensure!(whole.load(2 * page_bytes() + 3) == 9);
    Ok(())
}

fn read_without_mmap_gives_zeros(_: &Context) -> Result<()> {
    let mut contents = [1; 100];
    open()?.read_exact(&mut contents)?;
    ensure!(contents == [0; 100]);
    Ok(())
}

fn write_then_read(_: &Context) -> Result<()> {
    let mut file = open()?;
    let text: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    file.write_all(&text)?;
    let mut contents = vec![0; text.len()];
    file.read_exact_at(&mut contents, 0)?;
    ensure!(contents == text);
    Ok(())
}

fn read_at_the_end_is_eof(_: &Context) -> Result<()> {
    let file = open()?;
    let _map = Map::shared(&file, 0, page_bytes())?;
    ensure!(file.read_at(&mut [0; 8], page_size())? == 0);
    Ok(())
}

fn write_at_the_end_is_enospc(_: &Context) -> Result<()> {
    let file = open()?;
    let _map = Map::shared(&file, 0, page_bytes())?;
    let failed = file
        .write_at(&[1; 8], page_size())
        .err()
        .and_then(|err| err.raw_os_error());
    ensure!(failed == Some(Errno::ENOSPC as i32), "{failed:?}");
    Ok(())
}

fn short_read_and_write_at_the_end(_: &Context) -> Result<()> {
    let file = open()?;
    let _map = Map::shared(&file, 0, page_bytes())?;
    ensure!(file.write_at(&[1; 100], page_size() - 6)? == 6);
    ensure!(file.read_at(&mut [0; 100], page_size() - 6)? == 6);
    Ok(())
}

fn read_far_away_is_enxio(_: &Context) -> Result<()> {
    let failed = open()?
        .read_at(&mut [0; 8], 1 << 40)
        .err()
        .and_then(|err| err.raw_os_error());
    ensure!(failed == Some(Errno::ENXIO as i32), "{failed:?}");
    Ok(())
}

fn seek_and_read(_: &Context) -> Result<()> {
    let mut file = open()?;
    let map = Map::shared(&file, 0, 2 * page_bytes())?;
    map.store(page_bytes() + 900, 42);
    file.seek(SeekFrom::Start(page_size() + 900))?;
    let mut byte = [0; 1];
    file.read_exact(&mut byte)?;
    ensure!(byte == [42]);
    ensure!(file.stream_position()? == page_size() + 901);
    Ok(())
}

fn read_only_file_cannot_be_mapped_writable(_: &Context) -> Result<()> {
    let file = File::open(DEVICE)?;
    ensure!(Map::shared(&file, 0, page_bytes()).err() == Some(Errno::EACCES));
    Ok(())
}

fn read_only_mapping_cannot_become_writable(_: &Context) -> Result<()> {
    use nix::sys::mman::ProtFlags;
    let file = File::open(DEVICE)?;
    let map = Map::new(
        &file,
        0,
        page_bytes(),
        ProtFlags::PROT_READ,
        MapFlags::MAP_SHARED,
    )?;
    ensure!(map.load(0) == 0);
    ensure!(map.protect(RW) == Err(Errno::EACCES));
    Ok(())
}

fn failed_mmap_makes_no_region(_: &Context) -> Result<()> {
    let file = open()?;
    // The default region is mapped by frame number, which cannot be private.
    let private = Map::new(&file, 0, page_bytes(), RW, MapFlags::MAP_PRIVATE);
    ensure!(private.err() == Some(Errno::EINVAL));
    // Had it stayed, this would be beyond its end.
    let map = Map::shared(&file, 0, 16 * page_bytes())?;
    ensure!(map.load(16 * page_bytes() - 1) == 0);
    Ok(())
}

fn cat_and_dd(_: &Context) -> Result<()> {
    use std::process::Command;
    let shell = |script: String| Command::new("sh").arg("-c").arg(script).output();
    let read = shell(format!("cat {DEVICE} | wc -c"))?;
    let bytes = String::from_utf8_lossy(&read.stdout).trim().to_owned();
    ensure!(bytes == DEFAULT_BYTES.to_string(), "cat read {bytes} bytes");
    let write = shell(format!(
        "dd if=/dev/zero of={DEVICE} bs=64K count=4 2>/dev/null"
    ))?;
    ensure!(write.status.success(), "dd: {}", write.status);
    Ok(())
}

fn node_is_for_root_only(_: &Context) -> Result<()> {
    let node = std::fs::metadata(DEVICE)?;
    ensure!(node.mode() & 0o777 == 0o600, "mode {:o}", node.mode());
    ensure!(node.uid() == 0);
    crate::child::run(|| {
        crate::child::become_nobody()?;
        let failed = File::open(DEVICE).err().and_then(|err| err.raw_os_error());
        ensure!(failed == Some(Errno::EACCES as i32), "{failed:?}");
        Ok(())
    })
}
