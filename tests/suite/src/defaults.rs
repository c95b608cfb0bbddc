// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program gets without asking: the default region, as the module's parameters say, and `O_SYNC`.

use crate::{
    cells::Cell,
    limits::with_parameters,
    log::Log,
    module::{insert, remove},
    raw::{Map, RW},
    runner::{skip, Case, Context, Suite},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_bytes, page_size, reason_against, reason_against_caching,
    uapi::{Query, Request as _},
    Backing, Caching, Method, Session, DEVICE,
};
use nix::{errno::Errno, libc, sys::mman::MapFlags};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
};

pub const SUITE: Suite = Suite {
    name: "defaults",
    cases,
};

fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("are_pages_remap_wb", are_pages_remap_wb),
        Case::new("an_unknown_word_is_einval", an_unknown_word_is_einval),
        Case::new("an_unsound_pair_is_einval", an_unsound_pair_is_einval),
        Case::new(
            "an_unsound_memory_type_is_einval",
            an_unsound_memory_type_is_einval,
        ),
        Case::new(
            "counted_default_can_be_private",
            counted_default_can_be_private,
        ),
        Case::new("o_sync_is_uncached", o_sync_is_uncached),
        Case::new("o_sync_is_refused_where_it_cannot_be", o_sync_is_refused),
    ];
    let can_be = |cell: Cell| {
        Case::new(format!("can_be_{}", cell.name()), move |context| {
            can_be(context, cell)
        })
    };
    cases.extend(Cell::ordinary().map(can_be));
    if PAGES_REMAP_WC.is_sound() {
        cases.push(can_be(PAGES_REMAP_WC));
    }
    cases
}

const PAGES_REMAP_WC: Cell = Cell {
    backing: Backing::Pages,
    method: Method::Remap,
    caching: Caching::WriteCombine,
};

/// What the module's parameters are for a cell.
fn parameters(backing: &str, method: &str, caching: &str) -> String {
    format!("default_backing={backing} default_method={method} default_caching={caching}")
}

/// Maps a default region and fails unless it is of that kind.
fn expect_default(file: &File, cell: Cell) -> Result<()> {
    let map = Map::shared(file, 0, 3 * page_bytes())?;
    map.store(page_bytes(), 7);
    let mut byte = [0];
    file.read_exact_at(&mut byte, page_size())?;
    ensure!(byte == [7]);
    let mut query = Query::new();
    Session::from(file.try_clone()?).request(&mut query)?;
    let asked = (
        cell.backing.number(),
        cell.method.number(),
        cell.caching.number(),
    );
    let got = (query.backing, query.method, query.caching);
    ensure!(
        got == asked,
        "backing, method and caching {got:?}, not {asked:?}"
    );
    ensure!(query.bytes == 3 * page_size());
    Ok(())
}

fn open(flags: i32) -> Result<File> {
    Ok(OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(DEVICE)?)
}

fn are_pages_remap_wb(_: &Context) -> Result<()> {
    expect_default(
        &open(0)?,
        Cell {
            caching: Caching::WriteBack,
            ..PAGES_REMAP_WC
        },
    )
}

/// Skips what needs another memory type than write-back where there is none.
fn needs_caching(caching: Caching) -> Result<()> {
    if Session::open()?.info()?.cachings & caching.bit() == 0 {
        return skip("this architecture has no way to change the memory type of memory");
    }
    Ok(())
}

fn can_be(context: &Context, cell: Cell) -> Result<()> {
    needs_caching(cell.caching)?;
    let (backing, method, caching) = (cell.backing.name(), cell.method.name(), cell.caching.name());
    with_parameters(context, &parameters(backing, method, caching), || {
        let info = Session::open()?.info()?;
        let result = (
            info.default_backing,
            info.default_method,
            info.default_caching,
        );
        let asked = (
            cell.backing.number(),
            cell.method.number(),
            cell.caching.number(),
        );
        ensure!(result == asked, "INFO tells {result:?}");
        let shown = fs::read_to_string("/sys/module/mapwright/parameters/default_method")?;
        ensure!(shown.trim() == method, "sysfs shows {shown}");
        expect_default(&open(0)?, cell)
    })
}

/// The module is not inserted with such parameters, and the log has a line with all of `sentence`.
fn expect_refusal(context: &Context, parameters: &str, sentence: &[&str]) -> Result<()> {
    let file = context.module()?;
    remove().context("removing the module")?;
    let mut log = Log::from_now()?;
    let inserted = insert(&file, parameters);
    if inserted.is_ok() {
        remove().context("removing the module")?;
    }
    insert(&file, "")?;
    let errno = inserted.err().and_then(|err| err.downcast::<Errno>().ok());
    ensure!(errno == Some(Errno::EINVAL), "{errno:?}");

    let lines = log.lines();
    ensure!(
        lines
            .iter()
            .any(|line| line.contains("mapwright: ")
                && sentence.iter().all(|part| line.contains(part))),
        "the log does not say {sentence:?}: {lines:?}"
    );
    Ok(())
}

fn an_unknown_word_is_einval(context: &Context) -> Result<()> {
    expect_refusal(
        context,
        "default_backing=paper",
        &["paper", "only one of", "kmalloc pages folio"],
    )?;
    expect_refusal(context, "default_method=", &["only one of", "remap insert"])?;
    expect_refusal(context, "default_caching=WB", &["WB", "wb wc uc"])
}

fn an_unsound_pair_is_einval(context: &Context) -> Result<()> {
    let (backing, method) = (Backing::Kmalloc, Method::Insert);
    let reason = reason_against(backing, method).context("it is sound")?;
    let asked = parameters(backing.name(), method.name(), "wb");
    expect_refusal(context, &asked, &["kmalloc and insert", reason])
}

fn an_unsound_memory_type_is_einval(context: &Context) -> Result<()> {
    let reason = reason_against_caching(Backing::Vmalloc, Method::Insert, Caching::Uncached)
        .context("it is sound")?;
    let asked = parameters("vmalloc", "insert", "uc");
    expect_refusal(context, &asked, &["vmalloc and uc", reason])
}

fn counted_default_can_be_private(context: &Context) -> Result<()> {
    with_parameters(context, &parameters("folio", "fault", "wb"), || {
        let file = open(0)?;
        let private = Map::new(&file, 0, 2 * page_bytes(), RW, MapFlags::MAP_PRIVATE)?;
        private.store(page_bytes(), 7);
        let mut byte = [1];
        file.read_exact_at(&mut byte, page_size())?;
        ensure!(byte == [0], "a private store reached the region");
        Ok(())
    })
}

fn o_sync_is_uncached(context: &Context) -> Result<()> {
    needs_caching(Caching::Uncached)?;
    let uncached = Cell {
        caching: Caching::Uncached,
        ..PAGES_REMAP_WC
    };
    if !uncached.is_sound() {
        // The architecture has no such thing, and says so rather than map it cached.
        let result = Map::shared(&open(libc::O_SYNC)?, 0, page_bytes()).err();
        ensure!(result == Some(Errno::EOPNOTSUPP), "{result:?}");
        return Ok(());
    }
    expect_default(&open(libc::O_SYNC)?, uncached)?;
    // `O_DSYNC` is a part of it, and means nothing here.
    expect_default(
        &open(libc::O_DSYNC)?,
        Cell {
            caching: Caching::WriteBack,
            ..uncached
        },
    )?;
    // Whatever the default is otherwise.
    with_parameters(context, "default_caching=wc", || {
        expect_default(&open(libc::O_SYNC)?, uncached)
    })
}

fn o_sync_is_refused(context: &Context) -> Result<()> {
    with_parameters(context, &parameters("vmalloc", "insert", "wb"), || {
        let file = open(libc::O_SYNC)?;
        ensure!(Map::shared(&file, 0, page_bytes()).err() == Some(Errno::EOPNOTSUPP));
        let read = file
            .read_at(&mut [0; 8], 0)
            .err()
            .and_then(|err| err.raw_os_error());
        ensure!(read == Some(Errno::EOPNOTSUPP as i32), "{read:?}");
        // What is asked for is what one gets.
        let session = Session::from(file);
        let region = session.create(Backing::Vmalloc, Method::Insert, page_size())?;
        Map::shared(&session, region.offset, page_bytes())?;
        Ok(())
    })
}
