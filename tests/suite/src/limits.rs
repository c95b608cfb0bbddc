// SPDX-License-Identifier: MIT OR Apache-2.0

//! The limits that the module's parameters set.

use crate::{
    module::{insert, remove},
    raw::Map,
    runner::{suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_size, Backing, Method, Protection, Region, Session};
use nix::errno::Errno;

suite! { "limits":
    session_limit,
    total_limit,
    number_of_regions,
    a_freed_region_can_be_had_again,
    a_mapping_holds_its_share,
    the_default_region_counts,
    small_regions_count_as_what_they_take,
    rounded_sizes_count_as_what_they_take,
    number_of_regions_in_all,
    coherent_memory_has_a_limit_of_its_own,
    half_the_memory_by_default,
}

/// Runs `f` with the module inserted with `parameters`.
pub fn with_parameters(
    context: &Context,
    parameters: &str,
    f: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let file = context.module()?;
    remove().context("removing the module")?;
    let result = insert(&file, parameters).and_then(|()| {
        let result = f();
        remove().context("removing the module")?;
        result
    });
    // Whatever happened, the other tests have a module.
    insert(&file, "")?;
    result
}

fn create(session: &Session, mib: u64) -> Result<Region, Option<Errno>> {
    session
        .create(Backing::Vmalloc, Method::Insert, mib << 20)
        .map_err(|err| err.errno())
}

const FULL: Result<Region, Option<Errno>> = Err(Some(Errno::ENOSPC));

fn session_limit(context: &Context) -> Result<()> {
    with_parameters(context, "session_limit_mib=4", || {
        let (one, two) = (Session::open()?, Session::open()?);
        ensure!(one.info()?.session_bytes == 4 << 20);
        ensure!(create(&one, 3).is_ok());
        ensure!(create(&one, 2) == FULL);
        ensure!(create(&one, 1).is_ok(), "a refusal took something");
        ensure!(create(&one, 1) == FULL);
        ensure!(create(&two, 4).is_ok(), "sessions have a limit each");
        Ok(())
    })
}

fn total_limit(context: &Context) -> Result<()> {
    with_parameters(context, "total_limit_mib=4", || {
        let (one, two) = (Session::open()?, Session::open()?);
        ensure!(one.info()?.total_bytes == 4 << 20);
        ensure!(create(&one, 3).is_ok());
        ensure!(create(&two, 2) == FULL);
        ensure!(create(&two, 1).is_ok());
        ensure!(create(&one, 1) == FULL);
        Ok(())
    })
}

fn number_of_regions(context: &Context) -> Result<()> {
    with_parameters(context, "session_regions=2", || {
        let session = Session::open()?;
        ensure!(session.info()?.session_regions == 2);
        let first = session.create(Backing::Pages, Method::Remap, page_size())?;
        session.create(Backing::Pages, Method::Remap, page_size())?;
        ensure!(create(&session, 1) == FULL);
        session.destroy(&first)?;
        ensure!(create(&session, 1).is_ok());
        Ok(())
    })
}

fn a_freed_region_can_be_had_again(context: &Context) -> Result<()> {
    with_parameters(context, "total_limit_mib=4", || {
        for _ in 0..20 {
            let session = Session::open()?;
            let region = create(&session, 4)
                .ok()
                .context("a freed region was not given back")?;
            ensure!(create(&session, 1) == FULL);
            session.destroy(&region)?;
            ensure!(create(&session, 4).is_ok());
        }
        Ok(())
    })
}

fn a_mapping_holds_its_share(context: &Context) -> Result<()> {
    with_parameters(context, "total_limit_mib=4", || {
        let session = Session::open()?;
        let region = create(&session, 4).ok().context("create")?;
        let mapping = session.map(&region, Protection::ReadWrite)?;
        drop(session);
        let session = Session::open()?;
        ensure!(create(&session, 1) == FULL, "mapped memory is not counted");
        drop(mapping);
        ensure!(create(&session, 4).is_ok());
        Ok(())
    })
}

fn the_default_region_counts(context: &Context) -> Result<()> {
    with_parameters(context, "session_limit_mib=1", || {
        let session = Session::open()?;
        ensure!(Map::shared(&session, 0, 2 << 20).err() == Some(Errno::ENOSPC));
        let _map = Map::shared(&session, 0, 1 << 20)?;
        ensure!(create(&session, 1) == FULL);
        Ok(())
    })
}

fn small_regions_count_as_what_they_take(context: &Context) -> Result<()> {
    with_parameters(context, "session_limit_mib=1", || {
        let session = Session::open()?;
        let mut regions = 0;
        let refused = loop {
            match session.create(Backing::Pages, Method::Remap, page_size()) {
                Ok(_) => regions += 1,
                Err(err) => break err.errno(),
            }
        };
        ensure!(refused == Some(Errno::ENOSPC), "{refused:?}");
        // Beside its page, each has structures in the kernel and counters for each CPU.
        let least = regions * (page_size() + 512);
        ensure!(least <= 1 << 20, "{regions} regions of a page in 1 MiB");
        Ok(())
    })
}

fn rounded_sizes_count_as_what_they_take(context: &Context) -> Result<()> {
    with_parameters(context, "session_limit_mib=4", || {
        for (backing, method) in [
            (Backing::Kmalloc, Method::Remap),
            (Backing::Coherent, Method::Dma),
        ] {
            let session = Session::open()?;
            // They come in blocks of a power of two: this takes 4 MiB.
            session.create(backing, method, 3 << 20)?;
            let result = create(&session, 1);
            ensure!(result == FULL, "{}: {result:?}", backing.name());
        }
        Ok(())
    })
}

fn number_of_regions_in_all(context: &Context) -> Result<()> {
    with_parameters(context, "total_regions=3", || {
        let (one, two) = (Session::open()?, Session::open()?);
        ensure!(create(&one, 1).is_ok() && create(&two, 1).is_ok());
        let last = create(&two, 1).ok().context("the third")?;
        ensure!(create(&one, 1) == FULL && create(&two, 1) == FULL);
        two.destroy(&last)?;
        ensure!(create(&one, 1).is_ok());
        Ok(())
    })
}

fn coherent_memory_has_a_limit_of_its_own(context: &Context) -> Result<()> {
    with_parameters(context, "coherent_limit_mib=1", || {
        let (one, two) = (Session::open()?, Session::open()?);
        let coherent = |session: &Session, bytes| {
            let created = session.create(Backing::Coherent, Method::Dma, bytes);
            created.map_err(|err| err.errno())
        };
        ensure!(coherent(&one, 1 << 20).is_ok());
        ensure!(coherent(&two, page_size()) == FULL);
        ensure!(create(&one, 2).is_ok(), "other memory is not coherent");
        drop(one);
        ensure!(coherent(&two, page_size()).is_ok());
        Ok(())
    })
}

fn half_the_memory_by_default(_: &Context) -> Result<()> {
    let info = Session::open()?.info()?;
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    // The kernel has no addresses for what is above, which 32-bit machines may have.
    let line = |name| meminfo.lines().find_map(|line| line.strip_prefix(name));
    let total = line("LowTotal:").or_else(|| line("MemTotal:"));
    let kib: u64 = total
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("0")
        .parse()?;
    let half = kib * 1024 / 2;
    ensure!(
        info.total_bytes.abs_diff(half) < 1 << 20,
        "{} of {half}",
        info.total_bytes
    );
    ensure!(info.session_bytes == info.total_bytes);
    Ok(())
}
