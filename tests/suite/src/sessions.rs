// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sessions and their regions.

use crate::{
    raw::Map,
    runner::{suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_bytes, page_size, uapi, uapi::Request as _, Backing, Method, Protection, Region, Session,
    Tables,
};
use nix::errno::Errno;
use std::os::fd::{AsFd as _, AsRawFd as _};

suite! { "sessions":
    two_sessions_are_apart,
    numbers_and_offsets_are_never_used_again,
    query_by_offset,
    close_before_munmap,
    a_duplicate_keeps_the_session,
    fdinfo_lists_the_regions,
    table_lists_the_regions,
    many_regions,
}

fn create(session: &Session) -> Result<Region> {
    Ok(session.create(Backing::Vmalloc, Method::Insert, 2 * page_size())?)
}

fn two_sessions_are_apart(_: &Context) -> Result<()> {
    let (one, two) = (Session::open()?, Session::open()?);
    let (mine, other) = (create(&one)?, create(&two)?);
    ensure!(mine.id != other.id);
    for foreign in [two.query(&mine).err(), two.destroy(&mine).err()] {
        let errno = foreign.context("a foreign region was accepted")?.errno();
        ensure!(errno == Some(Errno::ENOENT), "{errno:?}");
    }
    let pages = two.pages(&mine, 0, 1).err().and_then(|err| err.errno());
    ensure!(pages == Some(Errno::ENOENT), "{pages:?}");

    // The same offset is other memory.
    ensure!(mine.offset == other.offset);
    one.write_at(&mine, 0, b"one")?;
    two.write_at(&other, 0, b"two")?;
    let mapping = one.map(&mine, Protection::Read)?;
    let mut contents = [0; 3];
    mapping.read(0, &mut contents);
    ensure!(&contents == b"one");
    Ok(())
}

fn numbers_and_offsets_are_never_used_again(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let first = create(&session)?;
    session.destroy(&first)?;
    let second = create(&session)?;
    ensure!(second.id > first.id && second.offset > first.offset);
    ensure!(Map::shared(&session, first.offset, page_bytes()).err() == Some(Errno::EINVAL));
    let gone = session
        .read_at(&first, 0, &mut [0; 8])
        .err()
        .and_then(|err| err.errno());
    ensure!(gone == Some(Errno::ENXIO), "{gone:?}");
    Ok(())
}

fn query_by_offset(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = create(&session)?;
    for within in [0, region.bytes - 1] {
        let mut query = uapi::Query {
            offset: region.offset + within,
            ..uapi::Query::new()
        };
        session.request(&mut query)?;
        ensure!((query.id, query.offset) == (region.id, region.offset));
    }
    let mut beyond = uapi::Query {
        offset: region.offset + region.bytes,
        ..uapi::Query::new()
    };
    ensure!(session.request(&mut beyond) == Err(Errno::ENOENT));
    Ok(())
}

fn close_before_munmap(_: &Context) -> Result<()> {
    for (backing, method) in [
        (Backing::Pages, Method::Remap),
        (Backing::Vmalloc, Method::Insert),
    ] {
        let session = Session::open()?;
        let region = session.create(backing, method, 16 * page_size())?;
        let mut mapping = session.map(&region, Protection::ReadWrite)?;
        mapping.write(0, b"still here");
        drop(session);
        let mut contents = [0; 10];
        mapping.read(0, &mut contents);
        ensure!(&contents == b"still here");
        mapping.write(16 * page_bytes() - 1, &[1]);
        ensure!(Tables::read()?.live_pages() == 16, "freed under a mapping");
        drop(mapping);
        ensure!(
            Tables::read()?.live_pages() == 0,
            "not freed with the last mapping"
        );
    }
    Ok(())
}

fn a_duplicate_keeps_the_session(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = create(&session)?;
    session.write_at(&region, 0, b"kept")?;
    let duplicate = std::fs::File::from(session.as_fd().try_clone_to_owned()?);
    drop(session);
    let map = Map::shared(&duplicate, region.offset, page_bytes())?;
    ensure!(map.load(0) == b'k');
    Ok(())
}

fn fdinfo_lists_the_regions(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Pages, Method::Remap, 3 * page_size())?;
    let _mapping = session.map(&region, Protection::Read)?;
    let path = format!("/proc/self/fdinfo/{}", session.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path)?;
    let line = format!(
        "mapwright-region:\tid {} offset {:#x} bytes {} backing pages method remap caching wb vmas 1",
        region.id, region.offset, region.bytes
    );
    ensure!(text.lines().any(|one| one == line), "{text}");
    Ok(())
}

fn table_lists_the_regions(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = create(&session)?;
    let tables = Tables::read()?;
    let listed = tables.regions.iter().find(|listed| listed.id == region.id);
    let listed = listed.context("not in the table")?;
    ensure!(listed.pid == std::process::id() as i32);
    ensure!((listed.backing.as_str(), listed.method.as_str()) == ("vmalloc", "insert"));
    ensure!((listed.bytes, listed.vmas, listed.mmaps) == (2 * page_size(), 0, 0));
    session.destroy(&region)?;
    ensure!(Tables::read()?.regions.is_empty());
    Ok(())
}

fn many_regions(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let regions = (0..200)
        .map(|_| create(&session))
        .collect::<Result<Vec<_>>>()?;
    for (i, region) in regions.iter().enumerate() {
        session.write_at(region, 0, &[i as u8])?;
    }
    // Every other one goes; the rest must be found where they were.
    for region in regions.iter().step_by(2) {
        session.destroy(region)?;
    }
    for (i, region) in regions.iter().enumerate().skip(1).step_by(2) {
        let map = Map::shared(&session, region.offset, page_bytes())?;
        ensure!(map.load(0) == i as u8, "region {i}");
    }
    ensure!(Tables::read()?.regions.len() == 100);
    Ok(())
}
